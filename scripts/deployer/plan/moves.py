"""Finds removals and additions that may be one resource, which CloudFormation can move instead of replacing it.

https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/stack-refactoring.html
"""

import re
from collections import defaultdict
from collections.abc import Callable, Container, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from scripts.common.evaluated import TOKEN, Evaluated, Resource
from scripts.common.templates import STACK

from .compare import as_text, find_differences
from .recreation import find_fixed_name, find_recreation
from .resource_schemas import read_schema

# Of the types that the page excludes although they have every handler, the one that holds data.
_EXCLUDED = ("AWS::DynamoDB::GlobalTable",)


@dataclass(frozen=True)
class Move:
    """A resource that gets another logical id, or another stack; both are paths from the root: Data/Transactions."""

    source: str
    destination: str
    resource_type: str

    def __str__(self) -> str:
        return f"{self.source} → {self.destination} ({self.resource_type})"


def split_path(path: str) -> tuple[str, str]:
    """Return the path of a resource's stack, which is empty for the root, and its logical id."""
    stack, _, logical_id = path.rpartition("/")
    return stack, logical_id


def explain_immovable_type(resource_type: str) -> str:
    """Return why CloudFormation cannot move resources of the type; empty if it can, as far as its schema tells.

    It moves fully mutable types only: https://docs.aws.amazon.com/AWSCloudFormation/latest/APIReference/API_DescribeType.html
    It also writes its tags anew, and refuses types whose tags cannot be updated, such as AWS::EC2::KeyPair.
    """
    if resource_type == STACK:
        return "a nested stack is not moved as a whole; move its resources"
    schema = read_schema(resource_type) or {}
    if resource_type in _EXCLUDED or not {"create", "read", "update", "delete"} <= set(schema.get("handlers", {})):
        return f"CloudFormation does not move resources of the type {resource_type}"
    tagging = schema.get("tagging", {})
    if tagging.get("taggable", True) and not tagging.get("tagUpdatable", True):
        return f"CloudFormation does not move resources of the type {resource_type}, whose tags cannot be updated"
    return ""


def find_moves(before: Evaluated, after: Evaluated, replaced: Container[str] = ()) -> list[Move]:
    """Return the removed resources that can become added ones, in the order of the deployed tree.

    These are of one type, and have the same fixed name and no other difference that replaces a resource, or the same
    properties. A resource with more than one counterpart is left out, and so is one of a stack that does not exist.
    ``replaced`` are the paths of the resources that the new templates replace.
    """
    old, new = dict(before.walk()), dict(after.walk())
    stacks = {"", *(path for path, resource in old.items() if resource.type == STACK)}
    removed = {path: resource for path, resource in old.items() if path not in new and _is_movable(resource)}
    added = {
        path: resource
        for path, resource in new.items()
        if path not in old and _is_movable(resource) and split_path(path)[0] in stacks
    }
    moves: dict[str, str] = {}
    # A resource that refers to a moved one is the same only if the reference follows the move.
    for _ in range(len(removed)):
        moves = dict(_pair_resources(removed, added, moves, replaced))
    return [Move(path, moves[path], removed[path].type) for path in removed if path in moves]


def find_replacing_properties(
    deployed: Resource, declared: Resource, moves: Mapping[str, str], replaced: Container[str] = ()
) -> list[str]:
    """Return the properties by which a deployment of ``declared`` replaces ``deployed``, or may replace it.

    ``moves`` are all moves, destination by source: a reference to a moved resource is no difference. A reference to a
    resource whose path is among ``replaced`` is one, as it will lead to another resource.
    """
    differences = find_differences(_follow_moves(deployed.properties, moves), declared.properties)
    names = [
        difference.path[0] if difference.path else "all properties"
        for difference in differences
        if find_recreation(deployed.type, difference.path) != "Never"
    ]
    names += [
        name
        for name, value in declared.properties.items()
        if find_recreation(deployed.type, (name,)) != "Never"
        and any(token[1] in replaced for token in TOKEN.finditer(as_text(value)))
    ]
    return list(dict.fromkeys(names))


def _is_movable(resource: Resource) -> bool:
    return not explain_immovable_type(resource.type)


def _pair_resources(
    removed: Mapping[str, Resource],
    added: Mapping[str, Resource],
    moves: Mapping[str, str],
    replaced: Container[str],
) -> Iterator[tuple[str, str]]:
    def describe_identity(resource: Resource) -> tuple[str, str]:
        name = find_fixed_name(resource)
        return resource.type, f"name {name}" if name else as_text(_follow_moves(resource.properties, moves))

    candidates = _group_paths(added, describe_identity)
    for identity, sources in _group_paths(removed, describe_identity).items():
        destinations = candidates.get(identity, [])
        if len(sources) == len(destinations) == 1:
            source, destination = sources[0], destinations[0]
            following = {**moves, source: destination}
            if not find_replacing_properties(removed[source], added[destination], following, replaced):
                yield source, destination


def _group_paths(
    resources: Mapping[str, Resource], describe_identity: Callable[[Resource], tuple[str, str]]
) -> dict[tuple[str, str], list[str]]:
    groups = defaultdict(list)
    for path, resource in resources.items():
        if resource.properties:
            groups[describe_identity(resource)].append(path)
    return groups


def _follow_moves(value: Any, moves: Mapping[str, str]) -> Any:
    """Return the value with its references to moved resources as they are after the moves."""
    if isinstance(value, Mapping):
        return {key: _follow_moves(item, moves) for key, item in value.items()}
    if isinstance(value, list):
        return [_follow_moves(item, moves) for item in value]
    if not isinstance(value, str):
        return value

    def follow_token(token: re.Match[str]) -> str:
        return f"${{{moves.get(token[1], token[1])}{token[2]}}}"

    return TOKEN.sub(follow_token, value)
