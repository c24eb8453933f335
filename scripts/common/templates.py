"""The templates of a stack and of those nested in it, whether committed, packaged, deployed or saved."""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date
from functools import lru_cache
from pathlib import Path
from typing import Any

import yaml
from cfn_tools import yaml_loader

from .errors import UserError

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
    """Parse YAML or JSON (which boto3 returns parsed), and expand short forms such as ``!Sub``.

    Raises ``UserError`` for a text that CloudFormation would not take for a template.
    """
    # A copy for each caller: callers write into it.
    template: Template = to_plain_types(text) if isinstance(text, dict) else json.loads(_convert_to_json(text))
    return template


class _Loader(yaml.CSafeLoader):
    """Reads the short forms like cfn-flip, but with libyaml, which is ten times as fast."""


def _construct_mapping(loader: yaml.CSafeLoader, node: yaml.MappingNode) -> Any:
    """Refuse what CloudFormation refuses in a mapping.

    https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/template-formats.html
    """
    keys = [key.value for key, _ in node.value]
    for key in keys:
        if key == "<<" or keys.count(key) > 1:
            problem = "a hash merge (<<)" if key == "<<" else f"the key {key} twice"
            raise yaml.constructor.ConstructorError(None, None, f"it has {problem}", node.start_mark)
    # A plain dict: each look into a mapping of cfn-flip creates a class.
    return {loader.construct_object(key): loader.construct_object(value) for key, value in node.value}


_Loader.add_constructor(yaml_loader.TAG_MAP, _construct_mapping)
_Loader.add_multi_constructor("!", yaml_loader.multi_constructor)


@lru_cache(maxsize=64)
def _convert_to_json(text: str) -> str:
    """Return a template as JSON. Cached, because a deployment parses the same text up to ten times."""
    try:
        document = json.loads(text)
    except ValueError:
        try:
            document = to_plain_types(_Loader(text).get_single_data())
        # All but the first two are for a value that its tag does not fit, such as !!int x, and a key that is a list.
        except (yaml.YAMLError, RecursionError, ValueError, AttributeError, LookupError, TypeError) as error:
            mark = getattr(error, "problem_mark", None)
            line = f" in line {mark.line + 1}" if mark else ""
            raise UserError(f"not a template{line}: {getattr(error, 'problem', None) or error}") from error
    except RecursionError:
        raise UserError("not a template: it is nested too deeply") from None
    if not isinstance(document, dict):
        raise UserError("not a template: it is no mapping")
    try:
        return json.dumps(document)
    except TypeError as error:  # such as !!binary, which JSON has no value for
        raise UserError(f"not a template: {error}") from error


def to_plain_types(value: Any) -> Any:
    """Convert the parser's own subclasses to dict, list and str; a date, such as a version without quotes, to str."""
    if isinstance(value, dict):
        # By key: items() of cfn-flip's mappings creates a class for each.
        return {str(key): to_plain_types(value[key]) for key in value}
    if isinstance(value, list):
        return [to_plain_types(item) for item in value]
    return str(value) if isinstance(value, str | date) else value


def read_tree(text: str | Template, read_text: Callable[[str], str], above: tuple[str, ...] = ()) -> Tree:
    """Return the tree of a template; ``read_text`` returns the template for a nested stack's TemplateURL.

    ``above`` are the locations of the templates around it. A nested template whose location is no text is left out.
    Raises ``UserError`` for a text that is no template, and for a template that is nested in itself.
    """
    template = parse_template(text)
    resources = template.get("Resources")
    nested = {}
    for logical_id, resource in resources.items() if isinstance(resources, dict) else ():
        if isinstance(resource, dict) and resource.get("Type") == STACK:
            location = (resource.get("Properties") or {}).get("TemplateURL")
            if location in above:
                raise UserError(f"{logical_id}: the template {location} is nested in itself")
            if isinstance(location, str):
                nested[logical_id] = read_tree(read_text(location), read_text, (*above, location))
    return Tree(template, nested)


def read_tree_from_folder(folder: Path, name: str) -> Tree:
    def read_text(path: str) -> str:
        return (folder / path).read_text(encoding="utf-8")

    return read_tree(read_text(name), read_text)


def from_json(document: dict[str, Any]) -> Tree:
    """Return the tree that ``dataclasses.asdict`` gave."""
    nested = {name: from_json(child) for name, child in document["nested"].items()}
    return Tree(document["template"], nested)
