"""Execute what was proposed, or join what is running, and tell the events of all its stacks until it has ended."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from scripts.common.errors import AWS_ERRORS, UserError, describe_aws_error
from scripts.common.target import POLL_SECONDS
from scripts.common.templates import STACK

from .change_set import Proposal
from .failure import DeploymentFailed, Event, failure
from .stack import Stack, StackTree, describe_tree

# The longest that a deployment may be watched by alarms after its end is three hours.
LONGEST_SECONDS = 4 * 60 * 60
# Throttling and dropped connections are waited out this many times in a row.
PATIENCE = 15

_SUCCEEDED = {"CREATE_COMPLETE", "UPDATE_COMPLETE"}
# What of a nested stack goes on though its own event in the parent says that it has ended.
_ALL_STACKS = ("CLEANUP", "ROLLBACK", "DELETE")

# Called after each look with what is new, which may be nothing.
Tell = Callable[[list[Event]], None]


@dataclass(frozen=True)
class Follow:
    """How to follow: whose command may take it up again, how often to look, and whom to tell."""

    environment: str
    tell: Tell
    poll_seconds: float = POLL_SECONDS


def execute(proposal: Proposal, tree: StackTree, how: Follow) -> None:
    """Raises ``DeploymentFailed`` when the deployment fails, and ``UserError`` when it cannot be followed.

    ``tree`` is what there was before: its events are not this deployment's.
    """
    watch = Watch(proposal.cloudformation, proposal.stack_id, tree)
    try:
        proposal.execute()
    except KeyboardInterrupt:
        if not proposal.executed:
            raise
        raise UserError(f"interrupted; {_goes_on(how, 'deployment')}") from None
    until_ended(watch, tree.stack.name, how, _SUCCEEDED)


def join(cloudformation: Any, stack: Stack, how: Follow, succeeded: set[str] = _SUCCEEDED) -> str:
    """Follow what is running already, from its beginning; how it ended."""
    watch = Watch(cloudformation, stack.id, describe_tree(cloudformation, stack), from_beginning=True)
    return until_ended(watch, stack.name, how, succeeded)


def until_ended(watch: "Watch", name: str, how: Follow, succeeded: set[str], what: str = "deployment") -> str:
    """Tell what happens until the root stack has ended; its status, or ``DeploymentFailed`` for any but those."""
    try:
        status, happened = _follow(watch, how)
    except KeyboardInterrupt:
        raise UserError(f"interrupted; {_goes_on(how, what)}") from None
    except AWS_ERRORS as error:
        raise UserError(f"{describe_aws_error(error)}; {_goes_on(how, what)}") from error
    except TimeoutError:
        raise UserError(f"{name} has not ended after {LONGEST_SECONDS // 3600} hours; {_goes_on(how, what)}") from None
    if status not in succeeded:
        raise DeploymentFailed(failure(name, how.environment, status, happened))
    return status


def _goes_on(how: Follow, what: str) -> str:
    if not how.environment:
        return f"the {what} continues"
    if what == "deletion":
        return f"the deletion goes on; watch it: scripts/status.sh {how.environment}"
    command = f"scripts/deploy.sh {how.environment}"
    return f"the deployment goes on; watch it: {command} --follow, or cancel it: {command} --cancel"


def _follow(watch: "Watch", how: Follow) -> tuple[str, list[Event]]:
    """Until the root stack's own last event; how it ended, and all that happened."""
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
        how.tell(new)
        happened += new
        # The event, not the stack's status: read too early, that is still how the last deployment ended.
        ends = [event for event in new if watch.is_root(event) and not event.status.endswith("_IN_PROGRESS")]
        if ends:
            return ends[-1].status, happened
        if time.monotonic() > deadline:
            raise TimeoutError
        time.sleep(how.poll_seconds)


class Watch:
    """The events of a stack and of its nested stacks: from now on, or from the beginning of what is running."""

    def __init__(self, cloudformation: Any, stack_id: str, tree: StackTree, *, from_beginning: bool = False) -> None:
        self._cloudformation, self._root = cloudformation, stack_id
        self._paths = {stack_id: ""} | {stack.id: path for path, stack in tree.walk() if path}
        # Nested stacks that something happens in, as far as their parents have said.
        self._active: set[str] = set()
        self._all = from_beginning
        self._beginning = self._began() if from_beginning else None
        # The newest event of each stack that there is before anything happens.
        self._newest: dict[str, str | None] = {
            stack: None if from_beginning else next((event.id for event in self._events(stack)), None)
            for stack in self._paths
        }

    def is_root(self, event: Event) -> bool:
        return event.physical_id == event.stack_id == self._root

    def new_events(self) -> list[Event]:
        """Those not given before, oldest first."""
        new: list[Event] = []
        newest, active, paths = dict(self._newest), set(self._active), dict(self._paths)
        # The root first; nested stacks join as they are named. One that nothing happens in is not asked.
        todo = [stack for stack in newest if stack == self._root or stack in active or self._all]
        for stack in todo:
            unseen = self._unseen(stack, newest.get(stack), paths)
            if any(self.is_root(event) and any(word in event.status for word in _ALL_STACKS) for event in unseen):
                self._all = True
                todo += [one for one in newest if one not in todo]
            if unseen:
                newest[stack] = unseen[0].id
            # A nested stack's own events repeat those that its parent has of it.
            new += [e for e in reversed(unseen) if e.physical_id != e.stack_id or e.stack_id == self._root]
            for event in reversed(unseen):
                below = event.physical_id
                if event.resource_type != STACK or not below.startswith("arn:") or below == stack:
                    continue
                paths[below] = event.where
                newest.setdefault(below, None)
                (active.add if event.status.endswith("_IN_PROGRESS") else active.discard)(below)
                if below not in todo:
                    todo.append(below)
        # Only now: a page that could not be read is read again.
        self._newest, self._active, self._paths = newest, active, paths
        # Several may be of one instant: the sort keeps their order, and a parent's before its child's.
        return sorted(new, key=lambda event: event.at)

    def _unseen(self, stack: str, newest: str | None, paths: dict[str, str]) -> list[Event]:
        unseen = []
        for event in self._events(stack, paths[stack]):
            if event.id == newest or (self._beginning is not None and event.at < self._beginning):
                break
            unseen.append(event)
        return unseen

    def _began(self) -> datetime:
        """When what is running was asked for: the root's newest event that is the first of an operation."""
        last = None
        for event in self._events(self._root):
            last = event.at
            # https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/view-stack-events.html
            if self.is_root(event) and event.reason == "User Initiated":
                return event.at
        if last is None:
            raise UserError("the stack has no events yet; try again in a moment")
        return last

    def _events(self, stack: str, path: str = "") -> Iterator[Event]:
        """Newest first."""
        for page in self._cloudformation.get_paginator("describe_stack_events").paginate(StackName=stack):
            for event in page["StackEvents"]:
                own = event.get("PhysicalResourceId", "") == event["StackId"]
                logical_id = event["LogicalResourceId"]
                yield Event(
                    id=event["EventId"],
                    at=event["Timestamp"],
                    stack_id=event["StackId"],
                    # As in the plan: the path below the root; the root itself has its name.
                    where=(path or logical_id) if own else f"{path}/{logical_id}" if path else logical_id,
                    resource_type=event["ResourceType"],
                    status=event["ResourceStatus"],
                    reason=event.get("ResourceStatusReason", ""),
                    physical_id=event.get("PhysicalResourceId", ""),
                )
