"""Expands ``Fn::ForEach``, a loop of the template language extensions.

CloudFormation expands a loop before it reads the template:
https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/intrinsic-function-reference-foreach.html
"""

import re
from collections.abc import Callable, Mapping
from typing import Any

from .errors import UserError

LANGUAGE_EXTENSIONS = "AWS::LanguageExtensions"
_LOOP = "Fn::ForEach::"


def expand_loops(template: dict[str, Any], resolve: Callable[[Any], Any], name: str) -> dict[str, Any]:
    """Return the template without loops. ``resolve`` returns the value of a collection that is a function.

    Raises ``UserError``, with the ``name`` of the template, for a collection that is not a list of texts.
    """
    expanded: dict[str, Any] = _expand(template, resolve, name)
    return expanded


def _expand(value: Any, resolve: Callable[[Any], Any], name: str) -> Any:
    if isinstance(value, list):
        return [_expand(item, resolve, name) for item in value]
    if not isinstance(value, dict):
        return value
    expanded: dict[str, Any] = {}
    for key, item in value.items():
        if key.startswith(_LOOP):
            expanded |= _expand_loop(key, item, resolve, name)
        else:
            expanded[key] = _expand(item, resolve, name)
    return expanded


def _expand_loop(key: str, loop: Any, resolve: Callable[[Any], Any], name: str) -> dict[str, Any]:
    if not isinstance(loop, list) or len(loop) != 3 or not isinstance(loop[2], dict):
        raise UserError(f"{name}: {key} must have an identifier, a collection, and the outputs for each item")
    identifier, collection, body = loop
    items = resolve(collection)
    if not isinstance(items, list) or not all(isinstance(item, str) and "${" not in item for item in items):
        raise UserError(f"{name}: {key}: the collection cannot be known without CloudFormation")
    expanded: dict[str, Any] = {}
    for item in items:
        expanded |= _expand(_replace_identifier(body, identifier, item), resolve, name)
    return expanded


def _replace_identifier(value: Any, identifier: str, item: str) -> Any:
    """Return ``value`` with the item in place of ``${identifier}``; ``&{identifier}`` is its letters and digits."""
    if isinstance(value, Mapping):
        if value == {"Ref": identifier}:
            return item
        return {
            _replace_identifier(key, identifier, item): _replace_identifier(content, identifier, item)
            for key, content in value.items()
        }
    if isinstance(value, list):
        return [_replace_identifier(content, identifier, item) for content in value]
    if isinstance(value, str):
        letters = re.sub(r"[^A-Za-z0-9]", "", item)
        return value.replace(f"${{{identifier}}}", item).replace(f"&{{{identifier}}}", letters)
    return value
