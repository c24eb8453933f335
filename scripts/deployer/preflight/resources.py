"""The resources that the templates declare, and which of them a stack already holds."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from scripts.common.clients import CloudFormationClient
from scripts.common.evaluate import Evaluated
from scripts.common.templates import STACK
from scripts.deployer.stack import WORKERS, StackTree

# The statuses of resources that the stack no longer holds: deleted, or retained outside it.
_RELEASED = ("DELETE_COMPLETE", "DELETE_SKIPPED")


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

    def is_held_as(self, name: str) -> bool:
        """Whether the stack holds a resource of this type and name.

        A physical id is a name, or an ARN or URL that ends in it.
        """
        return any(id_ == name or id_.endswith((f":{name}", f"/{name}")) for id_ in self.held_ids or frozenset())


HeldIds = dict[str, frozenset[str]]


def read_held_ids(cloudformation: CloudFormationClient, tree: StackTree) -> HeldIds:
    """Return the physical ids that the stacks of the tree hold, by resource type."""
    if not tree.stack.exists:
        return {}

    def read_stack(stack_id: str) -> list[tuple[str, str]]:
        pages = cloudformation.get_paginator("list_stack_resources").paginate(StackName=stack_id)
        return [
            (summary["ResourceType"], summary.get("PhysicalResourceId", ""))
            for page in pages
            for summary in page["StackResourceSummaries"]
            if summary["ResourceStatus"] not in _RELEASED
        ]

    held_ids: dict[str, set[str]] = {}
    with ThreadPoolExecutor(WORKERS) as pool:
        for pairs in pool.map(read_stack, [stack.id for _, stack in tree.walk()]):
            for resource_type, physical_id in pairs:
                held_ids.setdefault(resource_type, set()).add(physical_id)
    return {resource_type: frozenset(ids) for resource_type, ids in held_ids.items()}


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
                held_ids=None if held_ids is None else held_ids.get(resource.type, frozenset()),
            )
