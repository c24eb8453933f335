"""Step 6: execute a change set and follow the events of every stack in the tree until it has ended."""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from rich.console import Console
from rich.text import Text

from .change_set import Proposal
from .errors import AWS_ERRORS, DeployError, explained

POLL_SECONDS = 2.0
LONGEST_SECONDS = 60 * 60
# Throttling and dropped connections are waited out this many times in a row.
PATIENCE = 15

_STACK = "AWS::CloudFormation::Stack"
_SUCCEEDED = {"CREATE_COMPLETE", "UPDATE_COMPLETE"}
# A resource that fails because another one did says one of these.
_CONSEQUENCES = ("cancelled", "Embedded stack", "The following resource(s) failed", "Nested stack")


@dataclass(frozen=True)
class Event:
    id: str
    at: datetime
    stack_id: str
    stack_name: str
    logical_id: str
    resource_type: str
    status: str
    reason: str
    physical_id: str


def execute(cloudformation: Any, proposal: Proposal, console: Console, poll_seconds: float = POLL_SECONDS) -> None:
    """Raises ``DeployError`` with the root cause when the deployment fails, and when it cannot be followed."""
    watch = _Watch(cloudformation, proposal.stack_id)
    name = proposal.changes.stack_name
    goes_on = f"the deployment goes on: aws cloudformation describe-stack-events --stack-name {name}"
    try:
        proposal.execute()
    except KeyboardInterrupt:
        if not proposal.executed:
            raise
        raise DeployError(f"interrupted; {goes_on}") from None
    try:
        status, happened = _follow(watch, console, poll_seconds)
    except KeyboardInterrupt:
        raise DeployError(f"interrupted; {goes_on}") from None
    except AWS_ERRORS as error:
        raise DeployError(f"{explained(error)}; {goes_on}") from error
    except TimeoutError:
        raise DeployError(f"{name} has not ended after {LONGEST_SECONDS // 60} minutes; {goes_on}") from None
    if status not in _SUCCEEDED:
        raise DeployError(f"{name} ended {status}: {root_cause(happened)}")


def root_cause(events: list[Event]) -> str:
    """The first resource that failed by itself, in whichever stack."""
    failed = [event for event in events if event.status.endswith("_FAILED")]
    for event in failed:
        if event.resource_type != _STACK and not any(text in event.reason for text in _CONSEQUENCES):
            return f"{event.stack_name}: {event.logical_id} ({event.resource_type}): {event.reason or event.status}"
    for event in failed:
        if event.reason:
            return f"{event.stack_name}: {event.logical_id}: {event.reason}"
    return "no event gives a reason; see the stack's events"


def _follow(watch: "_Watch", console: Console, poll_seconds: float) -> tuple[str, list[Event]]:
    """Print events until the root stack's own last one; how it ended, and all of them."""
    happened: list[Event] = []
    deadline = time.monotonic() + LONGEST_SECONDS
    failures = 0
    while True:
        try:
            new = watch.new_events()
            failures = 0
        except AWS_ERRORS:
            failures += 1
            if failures > PATIENCE:
                raise
            new = []
        for event in new:
            console.print(_line(event), highlight=False, soft_wrap=True)
        happened += new
        # The event, not the stack's status: read too early, that is still how the last deployment ended.
        ends = [event for event in new if watch.is_root(event) and not event.status.endswith("_IN_PROGRESS")]
        if ends:
            return ends[-1].status, happened
        if time.monotonic() > deadline:
            raise TimeoutError
        time.sleep(poll_seconds)


class _Watch:
    """The events of a stack and of its nested stacks, from now on."""

    def __init__(self, cloudformation: Any, stack_id: str) -> None:
        self._cloudformation, self._root = cloudformation, stack_id
        # The newest event of each stack that there is before anything happens.
        self._newest: dict[str, str | None] = {}
        todo = [stack_id]
        while todo:
            stack = todo.pop()
            self._newest[stack] = next((event.id for event in self._events(stack)), None)
            resources = cloudformation.describe_stack_resources(StackName=stack)["StackResources"]
            todo += [r["PhysicalResourceId"] for r in resources if r["ResourceType"] == _STACK]

    def is_root(self, event: Event) -> bool:
        return event.physical_id == event.stack_id == self._root

    def new_events(self) -> list[Event]:
        """Those not given before, oldest first."""
        new: list[Event] = []
        newest = dict(self._newest)
        todo = list(newest)  # the root first; nested stacks join as they are named
        for stack in todo:
            unseen = []
            for event in self._events(stack):
                if event.id == newest.get(stack):
                    break
                unseen.append(event)
            if unseen:
                newest[stack] = unseen[0].id
            new += reversed(unseen)
            for event in unseen:
                nested = event.resource_type == _STACK and event.physical_id.startswith("arn:")
                if nested and event.physical_id not in newest:
                    newest[event.physical_id] = None
                    todo.append(event.physical_id)
        # Only now: a page that could not be read is read again.
        self._newest = newest
        # Several may be of one instant: the sort keeps their order, and a parent's before its child's.
        return sorted(new, key=lambda event: event.at)

    def _events(self, stack: str) -> Iterator[Event]:
        """Newest first."""
        for page in self._cloudformation.get_paginator("describe_stack_events").paginate(StackName=stack):
            for event in page["StackEvents"]:
                yield Event(
                    id=event["EventId"],
                    at=event["Timestamp"],
                    stack_id=event["StackId"],
                    stack_name=event["StackName"],
                    logical_id=event["LogicalResourceId"],
                    resource_type=event["ResourceType"],
                    status=event["ResourceStatus"],
                    reason=event.get("ResourceStatusReason", ""),
                    physical_id=event.get("PhysicalResourceId", ""),
                )


def _line(event: Event) -> Text:
    colour = "red" if "FAILED" in event.status or "ROLLBACK" in event.status else "green"
    colour = "yellow" if event.status.endswith("IN_PROGRESS") and colour == "green" else colour
    line = Text(f"{event.at:%H:%M:%S} ")
    line.append(f"{event.status:<28} ", style=colour)
    line.append(f"{event.logical_id} ").append(event.resource_type, style="dim")
    if event.reason and "FAILED" in event.status:
        line.append(f"  {event.reason}", style="red")
    return line
