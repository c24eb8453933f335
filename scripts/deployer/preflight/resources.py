"""The resources that the templates declare, and which of them a stack already holds."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from scripts.common.evaluated import Evaluated
from scripts.common.templates import STACK
from scripts.deployer.stack import RELEASED, StackTree


@dataclass(frozen=True)
class DeclaredResource:
    """A resource of an evaluated template, whose conditions are resolved."""

    # The path from its root stack: Data/Transactions.
    path: str
    type: str
    properties: dict[str, Any]
    # Whether it is retained when its stack is deleted.
    is_retained: bool
    # Whether it belongs to the environment's stack, not to the account's.
    is_of_environment: bool
    # The physical ids of this type that the stack holds; None if they could not be read.
    held_ids: frozenset[str] | None
    # The physical id of the resource that the stack holds in its place; empty for none, or if it could not be read.
    deployed_id: str = ""

    def is_held_as(self, name: str) -> bool:
        """Whether the stack holds a resource of this name; a physical id is a name, or an ARN or URL with it."""
        return any(id_ == name or id_.endswith((f":{name}", f"/{name}")) for id_ in self.held_ids or frozenset())


@dataclass(frozen=True)
class HeldIds:
    """The physical ids that the stacks of a tree hold."""

    by_type: Mapping[str, frozenset[str]] = field(default_factory=dict)
    # By the path from the root stack.
    by_path: Mapping[str, str] = field(default_factory=dict)


def read_held_ids(tree: StackTree) -> HeldIds:
    """Return the physical ids of the resources that the stacks have not released."""
    by_type: dict[str, frozenset[str]] = {}
    by_path: dict[str, str] = {}
    for path, resource in tree.walk_resources():
        if resource.status not in RELEASED:
            by_type[resource.type] = by_type.get(resource.type, frozenset()) | {resource.physical_id}
            by_path[path] = resource.physical_id
    return HeldIds(by_type, by_path)


def declared_resources(
    stack: Evaluated, held_ids: HeldIds | None, *, is_of_environment: bool
) -> Iterator[DeclaredResource]:
    """Yield the resources of the tree except its nested stacks; ``held_ids`` is None if they could not be read."""
    for path, resource in stack.walk():
        if resource.type != STACK:
            yield DeclaredResource(
                path=path,
                type=resource.type,
                properties=resource.properties,
                is_retained=resource.deletion_policy.startswith("Retain"),
                is_of_environment=is_of_environment,
                held_ids=None if held_ids is None else held_ids.by_type.get(resource.type, frozenset()),
                deployed_id="" if held_ids is None else held_ids.by_path.get(path, ""),
            )
