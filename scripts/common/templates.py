"""The templates of a stack and of those nested in it, as they were packaged, deployed, saved or committed."""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import yaml
from cfn_tools import yaml_loader

Template = dict[str, Any]
STACK = "AWS::CloudFormation::Stack"


@dataclass(frozen=True)
class Tree:
    """A template in its long form, and by logical id those of its nested stacks."""

    template: Template
    nested: dict[str, "Tree"] = field(default_factory=dict)

    def resources(self) -> dict[str, dict[str, Any]]:
        resources: dict[str, dict[str, Any]] = self.template.get("Resources", {})
        return resources


def parse_template(text: str | Template) -> Template:
    """YAML or JSON, with short forms such as ``!Sub`` in their long ones; boto3 has parsed JSON already."""
    document: Template = text if isinstance(text, dict) else _load_text(text)
    # A copy for each who asks: they write into it.
    return to_plain_types(document)  # type: ignore[no-any-return]


class _Loader(yaml.CSafeLoader):
    """cfn-flip's reading of the short forms, on libyaml, which is ten times faster than the parser in Python."""


_Loader.add_constructor(yaml_loader.TAG_MAP, yaml_loader.construct_mapping)
_Loader.add_multi_constructor("!", yaml_loader.multi_constructor)


@lru_cache(maxsize=64)
def _load_text(text: str) -> Template:
    """A deployment reads the same text as often as ten times."""
    try:
        document: Template = json.loads(text)
    except ValueError:
        document = _Loader(text).get_single_data()
    return document


def to_plain_types(value: Any) -> Any:
    """Ordinary dicts, lists and strings: the parser has kinds of its own."""
    if isinstance(value, dict):
        return {str(key): to_plain_types(item) for key, item in value.items()}
    if isinstance(value, list):
        return [to_plain_types(item) for item in value]
    return str(value) if isinstance(value, str) else value


def read_tree(text: str | Template, read_text: Callable[[str], str]) -> Tree:
    """The tree below a template; ``read`` gives the text behind a nested stack's TemplateURL."""
    template = parse_template(text)
    return Tree(
        template,
        {
            logical_id: read_tree(read_text(resource["Properties"]["TemplateURL"]), read_text)
            for logical_id, resource in template.get("Resources", {}).items()
            if resource["Type"] == STACK
        },
    )


def as_json(one: Tree) -> dict[str, Any]:
    return {"template": one.template, "nested": {name: as_json(child) for name, child in one.nested.items()}}


def from_json(document: dict[str, Any]) -> Tree:
    nested = {name: from_json(child) for name, child in document["nested"].items()}
    return Tree(document["template"], nested)
