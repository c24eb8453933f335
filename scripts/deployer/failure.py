"""Explains a failed deployment: the first cause, later causes, what was rolled back, and what to do next."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

from scripts.common.errors import UserError
from scripts.common.templates import STACK

from .declarations import Declaration, find_declaration

# The reasons of resources that fail only because another one failed.
_CONSEQUENCES = ("cancelled", "Embedded stack", "The following resource(s) failed", "Nested stack")


@dataclass(frozen=True)
class Event:
    id: str
    at: datetime
    stack_id: str
    # The path from the root stack: Data/Transactions.
    path: str
    resource_type: str
    status: str
    reason: str
    physical_id: str

    def __str__(self) -> str:
        return f"{self.path} ({self.resource_type})"


@dataclass(frozen=True)
class Failure:
    stack_name: str
    status: str
    # The first event of a failure that no other failure caused, in any stack; and the later ones.
    cause: Event | None
    later_causes: tuple[Event, ...] = ()
    declared: Declaration | None = None
    # How many resources were restored.
    rolled_back: int = 0
    outcome: str = ""
    next_step: str = ""
    # Resources that exist although their creation was rolled back or their stack deleted; their names stay taken.
    left_behind: tuple[Event, ...] = ()

    @property
    def reason(self) -> str:
        if self.cause is None:
            return "no event gives a reason; see the stack events in CloudFormation"
        return f"{self.cause}: {self.cause.reason or self.cause.status}"


@dataclass
class DeploymentFailed(UserError):
    """The deployment has failed. The message is one line; ``failure`` has the details."""

    failure: Failure = field()

    def __post_init__(self) -> None:
        super().__init__(f"{self.failure.stack_name} ended {self.failure.status}: {self.failure.reason}")


def describe_failure(stack_name: str, environment: str, status: str, events: list[Event]) -> Failure:
    """Return the failure of a deployment that ended with ``status``, from its events in order of time."""
    failures = _find_independent_failures(events)
    cause = failures[0] if failures else next(iter(_find_failed(events)), None) or _find_root_reason(events)
    # What an update deletes before its rollback begins is deleted as planned.
    undoing = _select_rollback(events) if status.startswith("UPDATE_") else events
    left_behind = _find_left_behind(undoing)
    blocking_paths = _find_blocking(_select_rollback(events) or events)
    outcome, next_step = _describe_outcome(status, environment, blocking_paths, left_behind)
    if not environment:
        next_step = f"fix the cause; see aws cloudformation describe-stack-events --stack-name {stack_name}"
    return Failure(
        stack_name,
        status,
        cause,
        later_causes=tuple(failures[1:]),
        declared=find_declaration(cause.path) if cause else None,
        rolled_back=_count_rolled_back(events),
        outcome=outcome,
        next_step=next_step,
        left_behind=left_behind,
    )


def _find_failed(events: list[Event]) -> list[Event]:
    return [event for event in events if event.status.endswith("_FAILED") and event.reason]


def _find_independent_failures(events: list[Event]) -> list[Event]:
    """Return the first failure of each resource that failed by itself, in order of time."""
    failures: dict[str, Event] = {}
    for event in (event for event in events if event.status.endswith("_FAILED")):
        if event.resource_type != STACK and not any(text in event.reason for text in _CONSEQUENCES):
            failures.setdefault(event.path, event)
    return list(failures.values())


def _find_root_reason(events: list[Event]) -> Event | None:
    """Return the stack's own event that says why it is rolled back, for example because of an alarm."""
    rollback_events = [event for event in events if event.physical_id == event.stack_id and "ROLLBACK" in event.status]
    return next((event for event in rollback_events if event.reason), None)


def _select_rollback(events: list[Event]) -> list[Event]:
    """Return the events from the beginning of the rollback on."""
    start = next((i for i, e in enumerate(events) if e.physical_id == e.stack_id and "ROLLBACK" in e.status), None)
    return [] if start is None else events[start:]


def _count_rolled_back(events: list[Event]) -> int:
    """Return how many resources, nested stacks not counted, the rollback deleted or updated."""
    changed = [event for event in _select_rollback(events) if event.status in ("DELETE_COMPLETE", "UPDATE_COMPLETE")]
    return len({event.path for event in changed if event.resource_type != STACK})


def _find_blocking(events: list[Event]) -> list[str]:
    """Return the paths of the resources that block a rollback or a deletion, from its events."""
    return [event.path for event in _find_independent_failures(events)]


def _find_left_behind(events: list[Event]) -> tuple[Event, ...]:
    """Return the last event of each resource that a rollback or a deletion left behind.

    CloudFormation may treat a complete nested stack as one to delete, not as one that was never created. Then the
    rollback retains resources by their deletion policies, with the status DELETE_SKIPPED.
    """
    last = {event.path: event for event in events if event.resource_type != STACK and event.physical_id}
    return tuple(event for event in last.values() if event.status in ("DELETE_SKIPPED", "DELETE_FAILED"))


def _describe_outcome(
    status: str, environment: str, blocking_paths: list[str], left_behind: Sequence[Event] = ()
) -> tuple[str, str]:
    """Return the state of the stack, and what to do next."""
    deploy, purge = f"scripts/deploy.sh {environment}", f"scripts/destroy.sh {environment} --purge"
    if status == "UPDATE_ROLLBACK_COMPLETE" and left_behind:
        # A purge would delete the running environment.
        return "rolled back to its previous state", f"fix the cause, delete what was left behind, then run {deploy}"
    if status == "UPDATE_ROLLBACK_COMPLETE":
        return "rolled back to its previous state", f"fix the cause, then run {deploy}"
    if status == "ROLLBACK_COMPLETE" and left_behind:
        return (
            "rolled back, but not everything that it created is deleted",
            f"fix the cause; {purge} deletes the stack and, by name, what was left behind; then run {deploy}",
        )
    if status == "ROLLBACK_COMPLETE":
        return (
            "empty: its creation was rolled back",
            f"fix the cause, then run {deploy}, which first deletes the remains",
        )
    if status == "UPDATE_ROLLBACK_FAILED":
        skip = "".join(f" --skip {path}" for path in blocking_paths) or " --skip STACK/RESOURCE"
        unblock = f"fix what blocks the rollback, then run {deploy} --continue-rollback; or skip the resource: {deploy}"
        return "stuck between two versions (UPDATE_ROLLBACK_FAILED)", f"{unblock} --continue-rollback{skip}"
    if status in ("ROLLBACK_FAILED", "CREATE_FAILED"):
        return (
            "created in part, and its rollback is not complete",
            f"fix the cause; {purge} deletes the stack and, by name, what its deletion retains; then run {deploy}",
        )
    if status == "DELETE_FAILED":
        blocking = ", ".join(blocking_paths) or "what its events report"
        return (
            "some resources could not be deleted",
            f"fix what blocks the deletion of {blocking}, then run scripts/destroy.sh {environment} again",
        )
    return status, f"scripts/status.sh {environment}"
