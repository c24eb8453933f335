"""Executes a change set, or joins a running operation, and reports the events of all its stacks until it ends."""

import time
from collections.abc import Callable, Iterator
from contextlib import nullcontext, suppress
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from scripts.common.clients import CloudFormationClient
from scripts.common.errors import AWS_ERRORS, OutputError, StillRunning, UserError, describe_error
from scripts.common.printable import join_lines
from scripts.common.suggestion import suggest_command
from scripts.common.target import POLL_SECONDS
from scripts.common.templates import STACK
from scripts.common.watch import Watch

from .change_set import Proposal
from .failure import DeploymentFailed, Event, describe_failure
from .operations import USER_INITIATED, Operation
from .report.reporter import EventListener
from .stack import Stack, StackTree, describe_tree
from .statuses import list_commands

# Longer than the longest monitoring time of rollback triggers, which is three hours, after two shifts of traffic, each
# of half an hour.
LONGEST_SECONDS = 5 * 60 * 60
# How many failed requests in a row, by throttling or dropped connections, are repeated, and for how long: an endpoint
# that no longer answers ends the command within the three minutes of docs/deploying.md.
MOST_FAILURES = 15
LONGEST_OUTAGE_SECONDS = 150

# How much older than the newest event one may be that is listed only afterwards; AWS documents no bound.
_LATEST = timedelta(seconds=30)
# A stack whose operation imports resources may end as imported.
# https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/view-stack-events.html#cfn-console-view-stack-data-resources-status-codes
SUCCEEDED = {"CREATE_COMPLETE", "UPDATE_COMPLETE", "IMPORT_COMPLETE"}
# In these phases nested stacks have events after their parents have reported them complete.
_ALL_STACKS = ("CLEANUP", "ROLLBACK", "DELETE")


@dataclass(frozen=True)
class FollowOptions:
    """How to follow an operation: the environment that the advice names (or none), the receiver, and the interval."""

    # Empty for a stack that is no environment's, which the advice then names as ``stack_name``.
    environment: str
    receive_events: EventListener
    poll_seconds: float = POLL_SECONDS
    stack_name: str = ""
    # Whether CodeDeploy shifts traffic in the environment.
    shifts_traffic: bool = False
    watch: Watch = field(default_factory=Watch)
    # The paths of the resources that the operation imports.
    imports: frozenset[str] = frozenset()
    # ``Target.find_loss``, which is asked after each failed request.
    find_loss: Callable[[], str] = lambda: ""


def execute_and_follow(proposal: Proposal, tree: StackTree, options: FollowOptions) -> Event:
    """Execute the change set and follow it to its end, and return that event; ``tree`` has the events to skip.

    Raises ``DeploymentFailed`` if the deployment fails, and ``StillRunning`` if it cannot be followed.
    """
    options.watch.raise_postponed_interrupt()
    reader = EventReader(proposal.cloudformation, proposal.stack_id, tree, token=proposal.token)
    options.watch.begin(_describe_continuation(options, "deployment"), lambda: proposal.is_executed)
    with options.watch.report_continuation():
        proposal.execute()
        imports = frozenset(path for path, change in proposal.changes.walk() if change.action == "Import")
        return follow_until_ended(reader, tree.stack.name, replace(options, imports=imports), SUCCEEDED)


def follow_running(cloudformation: CloudFormationClient, stack: Stack, options: FollowOptions) -> str:
    """Follow the running operation from its beginning, and return the final status."""
    reader = EventReader(cloudformation, stack.id, describe_tree(cloudformation, stack), from_beginning=True)
    return follow_until_ended(reader, stack.name, options, SUCCEEDED).status


def follow_until_ended(
    reader: "EventReader", name: str, options: FollowOptions, succeeded: set[str], operation: str = "deployment"
) -> Event:
    """Report events until the root stack's operation ends; return the last one, whose status is in ``succeeded``.

    Raises ``DeploymentFailed`` for another status, ``StillRunning`` if the operation cannot be followed, and
    ``UserError`` if nothing of it exists any more.
    """
    options.watch.begin(_describe_continuation(options, operation))
    try:
        with options.watch.report_continuation():
            end, events = _poll_events(reader, options)
            options.watch.end()
    except AWS_ERRORS as error:
        raise StillRunning(f"{describe_error(error)}; {_describe_continuation(options, operation)}") from error
    except TimeoutError:
        raise StillRunning(
            f"{name} has not ended after {LONGEST_SECONDS // 3600} hours; {_describe_continuation(options, operation)}"
        ) from None
    if end.status not in succeeded:
        raise DeploymentFailed(
            describe_failure(
                name,
                options.environment,
                end.status,
                events,
                shifts_traffic=options.shifts_traffic,
                imports=options.imports,
            )
        )
    return end


def _describe_continuation(options: FollowOptions, operation: str) -> str:
    if not options.environment:
        events = list_commands(options.stack_name, "")["events"]
        return f"the {operation} of {options.stack_name} continues; watch it: {events}"
    if operation == "deletion":
        return f"the deletion continues; watch it: {suggest_command('status', options.environment)}"
    follow, cancel = (suggest_command("deploy", command, options.environment) for command in ("follow", "cancel"))
    if operation == "rollback":
        return f"the rollback continues; watch it: {follow}"
    return f"the deployment continues; watch it: {follow}, or cancel it: {cancel}"


def _poll_events(reader: "EventReader", options: FollowOptions) -> tuple[Event, list[Event]]:
    """Poll until the root stack's final event, and return it and all events."""
    events: list[Event] = []
    deadline = time.monotonic() + LONGEST_SECONDS
    failures: list[float] = []
    while True:
        try:
            new = reader.read_new_events()
            failures = []
        except AWS_ERRORS as error:
            failures.append(time.monotonic())
            if loss := options.find_loss():
                options.watch.end()
                raise UserError(loss) from error
            if len(failures) > MOST_FAILURES or failures[-1] - failures[0] > LONGEST_OUTAGE_SECONDS:
                raise
            new = []
        # Not the status of the stack: for a moment, that is still the final status of the last operation.
        ends = [event for event in new if reader.is_root(event) and not event.status.endswith("_IN_PROGRESS")]
        # Once it has ended, nothing hides how: neither an interrupt, which only keeps the next step from beginning, nor
        # a closed output, which the next report finds closed as well.
        try:
            with suppress(OutputError) if ends else nullcontext():
                options.receive_events(new)
        except KeyboardInterrupt:
            if not ends:
                raise
            options.watch.postpone_interrupt()
        events += new
        if ends:
            # Those of a later call may be older.
            return ends[-1], sorted(events, key=lambda event: event.at)
        if time.monotonic() > deadline:
            raise TimeoutError
        time.sleep(options.poll_seconds)


class EventReader:
    """Reads the events of a stack and its nested stacks, from now or from the beginning of a running operation."""

    def __init__(
        self,
        cloudformation: CloudFormationClient,
        stack_id: str,
        tree: StackTree,
        *,
        from_beginning: bool = False,
        token: str = "",
    ) -> None:
        """``token`` is that of the request which starts the operation to read, if a request does."""
        self._cloudformation, self._root = cloudformation, stack_id
        self._paths = {stack_id: ""} | {stack.id: path for path, stack in tree.walk() if path}
        self._operation = Operation(token)
        # Nested stacks with an operation in progress, according to the events of their parents.
        self._active: set[str] = set()
        self._reads_all_stacks = from_beginning
        self._beginning = self._find_beginning() if from_beginning else None
        # The events of each stack that have been read or are skipped: the time of the newest one, and their ids.
        self._newest: dict[str, datetime | None] = dict.fromkeys(self._paths)
        self._seen: dict[str, frozenset[str]] = {}
        if not from_beginning:
            for stack in self._paths:
                self._skip_events(stack)

    def is_root(self, event: Event) -> bool:
        return event.physical_id == event.stack_id == self._root

    def _concerns_all_stacks(self, event: Event) -> bool:
        return self.is_root(event) and any(phase in event.status for phase in _ALL_STACKS)

    def _is_reported(self, event: Event) -> bool:
        """Whether the event does not repeat an event of the parent stack."""
        return not event.is_of_stack or event.stack_id == self._root

    def read_new_events(self) -> list[Event]:
        """Return the events since the last call, oldest first."""
        new: list[Event] = []
        operation = self._operation
        newest, active, paths = dict(self._newest), set(self._active), dict(self._paths)
        seen = dict(self._seen)
        # The root comes first; its events name the nested stacks to read. Idle stacks are not read.
        todo = [stack for stack in newest if stack == self._root or stack in active or self._reads_all_stacks]
        for stack in todo:
            unseen = self._read_unseen(stack, paths[stack], seen.get(stack, frozenset()))
            if unseen:
                newest[stack] = _find_newest(unseen, newest.get(stack))
                seen[stack] = seen.get(stack, frozenset()) | {event.id for event in unseen}
            operation, selected = operation.select_events(reversed(unseen), of_root=stack == self._root)
            if any(map(self._concerns_all_stacks, selected)):
                self._reads_all_stacks = True
                todo += [stack_id for stack_id in newest if stack_id not in todo]
            new += filter(self._is_reported, selected)
            for event in _select_nested(stack, selected):
                nested_id = event.physical_id
                paths[nested_id] = event.path
                newest.setdefault(nested_id, None)
                (active.add if event.status.endswith("_IN_PROGRESS") else active.discard)(nested_id)
                if nested_id not in todo:
                    todo.append(nested_id)
        # Last, so that the next call repeats what a failed request has not read.
        self._newest, self._seen, self._active, self._paths, self._operation = newest, seen, active, paths, operation
        # The sort is stable: events of one instant keep their order, those of parents before those of children.
        return sorted(new, key=lambda event: event.at)

    def _skip_events(self, stack: str) -> None:
        """Take the events of earlier operations for seen; one that is listed late is not of this operation's ids."""
        for event in self._read_events(stack):
            newest = self._newest[stack] = self._newest[stack] or event.at
            if event.at < newest - _LATEST:
                break
            self._seen[stack] = self._seen.get(stack, frozenset()) | {event.id}

    def _read_unseen(self, stack: str, path: str, seen: frozenset[str]) -> list[Event]:
        """Return the new events, newest first. One that is listed late is older than some that have been read."""
        newest, unseen = self._newest.get(stack), []
        for event in self._read_events(stack, path):
            is_too_old = newest is not None and event.at < newest - _LATEST
            if is_too_old or (self._beginning is not None and event.at < self._beginning):
                break
            if event.id not in seen:
                unseen.append(event)
        return unseen

    def _find_beginning(self) -> datetime:
        """Return the time of the request that started the running operation."""
        oldest = None
        for event in self._read_events(self._root):
            oldest = event.at
            if self.is_root(event) and event.reason == USER_INITIATED:
                return event.at
        if oldest is None:
            raise UserError("the stack has no events yet; try again in a moment")
        return oldest

    def _read_events(self, stack: str, path: str = "") -> Iterator[Event]:
        """Yield the events of one stack, newest first."""
        for page in self._cloudformation.get_paginator("describe_stack_events").paginate(StackName=stack):
            for event in page["StackEvents"]:
                is_stack_itself = event.get("PhysicalResourceId", "") == event["StackId"]
                logical_id = event["LogicalResourceId"]
                yield Event(
                    id=event["EventId"],
                    at=event["Timestamp"],
                    stack_id=event["StackId"],
                    # The path below the root, as in plans; the root has its name.
                    path=(path or logical_id) if is_stack_itself else f"{path}/{logical_id}" if path else logical_id,
                    resource_type=event["ResourceType"],
                    status=event["ResourceStatus"],
                    reason=join_lines(event.get("ResourceStatusReason", "")),
                    physical_id=event.get("PhysicalResourceId", ""),
                    operation_id=event.get("OperationId", ""),
                    request_token=event.get("ClientRequestToken", ""),
                )


def _find_newest(events: list[Event], newest: datetime | None) -> datetime:
    return max(event.at for event in events) if newest is None else max(newest, *(event.at for event in events))


def _select_nested(stack_id: str, events: list[Event]) -> Iterator[Event]:
    """Yield the events about nested stacks of this stack."""
    for event in events:
        if event.resource_type == STACK and event.physical_id.startswith("arn:") and event.physical_id != stack_id:
            yield event
