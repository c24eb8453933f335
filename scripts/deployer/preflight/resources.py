"""The resources that the templates declare, and which of them a stack already holds."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from scripts.common.evaluate import Evaluated
from scripts.common.templates import STACK
from scripts.deployer.stack import WORKERS, StackTree

# A resource that a failed creation or a deletion took away, or let go.
_RELEASED = ("DELETE_COMPLETE", "DELETE_SKIPPED")


@dataclass(frozen=True)
class DeclaredResource:
    """A resource of an evaluated template, conditions decided."""

    # The path from its root stack: Data/Transactions.
    path: str
    type: str
    properties: dict[str, Any]
    # Whether it stays when its stack is deleted.
    is_retained: bool
    # Whether its stack is the environment's, and not the account's.
    is_of_environment: bool
    # The physical ids of this type that the stack holds; None if they could not be read.
    held_ids: frozenset[str] | None

    def is_held_as(self, name: str) -> bool:
        """Whether the stack holds a resource of this type and name. A physical id is a name, or an ARN or URL that
        ends in it."""
        return any(held == name or held.endswith((f":{name}", f"/{name}")) for held in self.held_ids or frozenset())


HeldIds = dict[str, frozenset[str]]


def read_held_ids(cloudformation: Any, tree: StackTree) -> HeldIds:
    """The physical ids that the stacks of the tree hold, by resource type."""
    if not tree.stack.exists:
        return {}

    def read(stack_id: str) -> list[tuple[str, str]]:
        pages = cloudformation.get_paginator("list_stack_resources").paginate(StackName=stack_id)
        return [
            (summary["ResourceType"], summary.get("PhysicalResourceId", ""))
            for page in pages
            for summary in page["StackResourceSummaries"]
            if summary["ResourceStatus"] not in _RELEASED
        ]

    with ThreadPoolExecutor(WORKERS) as pool:
        pairs = [pair for pairs in pool.map(read, [stack.id for _, stack in tree.walk()]) for pair in pairs]
    held: dict[str, set[str]] = {}
    for resource_type, physical_id in pairs:
        held.setdefault(resource_type, set()).add(physical_id)
    return {resource_type: frozenset(ids) for resource_type, ids in held.items()}


def declared_resources(
    stack: Evaluated, held: HeldIds | None, *, is_of_environment: bool, path: str = ""
) -> Iterator[DeclaredResource]:
    """All of the tree, without the nested stacks themselves; ``held`` is None if it could not be read."""
    for logical_id, resource in stack.resources.items():
        if logical_id in stack.nested:
            nested = stack.nested[logical_id]
            yield from declared_resources(
                nested, held, is_of_environment=is_of_environment, path=f"{path}{logical_id}/"
            )
        elif resource.type != STACK:
            yield DeclaredResource(
                path=f"{path}{logical_id}",
                type=resource.type,
                properties=resource.properties,
                is_retained=resource.deletion_policy.startswith("Retain"),
                is_of_environment=is_of_environment,
                held_ids=None if held is None else held.get(resource.type, frozenset()),
            )
