"""Finds what the rollback of a failed operation deletes: all that was created since the last stable state.

The failed operation may be the last of several that went on from each other, and a stack that was never stable is
deleted with all that it has. https://docs.aws.amazon.com/AWSCloudFormation/latest/APIReference/API_RollbackStack.html
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from scripts.common.clients import CloudFormationClient
from scripts.common.templates import STACK

from .plan.danger import Danger, confirmation_names, list_stateful_types
from .stack import RELEASED, StackResource, StackTree

# Those of the page of RollbackStack.
_STABLE = (
    "CREATE_COMPLETE",
    "UPDATE_COMPLETE",
    "UPDATE_ROLLBACK_COMPLETE",
    "IMPORT_COMPLETE",
    "IMPORT_ROLLBACK_COMPLETE",
)


@dataclass(frozen=True)
class RollbackEffect:
    # Whether the stack has no stable state to go back to, as far as its events tell.
    deletes_stack: bool
    # What is lost with its data, by the name that confirms it.
    losses: dict[str, Danger]


def find_rollback_effect(cloudformation: CloudFormationClient, tree: StackTree) -> RollbackEffect:
    """Return what a rollback would do to the stack, whose last operation failed and rolled nothing back.

    CloudFormation keeps the events of 90 days. Without an event of a stable state, all resources count as created.
    """
    began_at = _find_beginning(cloudformation, tree.stack.id)
    dangers = []
    for path, stack in tree.walk():
        created = None if began_at is None else _find_created(cloudformation, stack.id, began_at)
        dangers += [
            Danger(f"{path}/{resource.logical_id}".lstrip("/"), resource.type, "is deleted", loss)
            for resource, loss in _select_stateful(tree, path)
            if created is None or resource.logical_id in created
        ]
    return RollbackEffect(began_at is None, confirmation_names(dangers))


def _select_stateful(tree: StackTree, path: str) -> Iterator[tuple[StackResource, str]]:
    """Yield the existing resources with data of one stack, each with what is lost with it."""
    for resource_path, resource in tree.walk_resources():
        belongs = resource_path.rpartition("/")[0] == path
        loss = list_stateful_types().get(resource.type, "") if resource.type != STACK else ""
        if belongs and loss and resource.physical_id and resource.status not in RELEASED:
            yield resource, loss


def _find_beginning(cloudformation: CloudFormationClient, stack_id: str) -> datetime | None:
    """Return when the stack left its last stable state; None if its events report no such state."""
    began_at: datetime | None = None
    for event in _read_events(cloudformation, stack_id):
        if event.get("PhysicalResourceId") == stack_id and event["ResourceStatus"] in _STABLE:
            # Without a later event, nothing was created since.
            stable_at: datetime = event["Timestamp"]
            return began_at or stable_at
        began_at = event["Timestamp"]
    return None


def _find_created(cloudformation: CloudFormationClient, stack_id: str, began_at: datetime) -> set[str]:
    """Return the logical ids of the resources that the stack has begun to create since then."""
    created = set()
    for event in _read_events(cloudformation, stack_id):
        if event["Timestamp"] < began_at:
            break
        if event["ResourceStatus"].startswith("CREATE_"):
            created.add(event["LogicalResourceId"])
    return created


def _read_events(cloudformation: CloudFormationClient, stack_id: str) -> Iterator[Any]:
    """Yield the events of a stack, newest first."""
    for page in cloudformation.get_paginator("describe_stack_events").paginate(StackName=stack_id):
        yield from page["StackEvents"]
