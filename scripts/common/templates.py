"""The templates of a stack and of those nested in it, whether committed, packaged, deployed or saved."""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import yaml
from cfn_tools import yaml_loader

Template = dict[str, Any]
STACK = "AWS::CloudFormation::Stack"


@dataclass(frozen=True)
class Tree:
    """A template in its long form, and the trees of its nested stacks by logical id."""

    template: Template
    nested: dict[str, "Tree"] = field(default_factory=dict)

    def resources(self) -> dict[str, dict[str, Any]]:
        resources: dict[str, dict[str, Any]] = self.template.get("Resources", {})
        return resources


def parse_template(text: str | Template) -> Template:
    """Parse YAML or JSON (which boto3 returns parsed), and expand short forms such as ``!Sub``."""
    # A copy for each caller: callers write into it.
    return to_plain_types(text if isinstance(text, dict) else _load_text(text))  # type: ignore[no-any-return]


class _Loader(yaml.CSafeLoader):
    """Reads the short forms like cfn-flip, but with libyaml, which is ten times as fast."""


_Loader.add_constructor(yaml_loader.TAG_MAP, yaml_loader.construct_mapping)
_Loader.add_multi_constructor("!", yaml_loader.multi_constructor)


@lru_cache(maxsize=64)
def _load_text(text: str) -> Template:
    """Cached, because a deployment parses the same text up to ten times."""
    try:
        document: Template = json.loads(text)
    except ValueError:
        # cfn-flip's mappings create a class for each item that they iterate over.
        document = to_plain_types(_Loader(text).get_single_data())
    return document


def to_plain_types(value: Any) -> Any:
    """Convert the parser's own subclasses to dict, list and str."""
    if isinstance(value, dict):
        return {str(key): to_plain_types(item) for key, item in value.items()}
    if isinstance(value, list):
        return [to_plain_types(item) for item in value]
    return str(value) if isinstance(value, str) else value


def read_tree(text: str | Template, read_text: Callable[[str], str]) -> Tree:
    """Return the tree of a template; ``read_text`` returns the template for a nested stack's TemplateURL."""
    template = parse_template(text)
    return Tree(
        template,
        {
            logical_id: read_tree(read_text(resource["Properties"]["TemplateURL"]), read_text)
            for logical_id, resource in template.get("Resources", {}).items()
            if resource["Type"] == STACK
        },
    )


def read_tree_from_folder(folder: Path, name: str) -> Tree:
    def read_text(path: str) -> str:
        return (folder / path).read_text(encoding="utf-8")

    return read_tree(read_text(name), read_text)


def from_json(document: dict[str, Any]) -> Tree:
    """Return the tree that ``dataclasses.asdict`` gave."""
    nested = {name: from_json(child) for name, child in document["nested"].items()}
    return Tree(document["template"], nested)
