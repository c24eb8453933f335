"""How a deployment failed: the first cause, what else failed by itself, what was rolled back, and what to do next."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

from scripts.common.errors import UserError
from scripts.common.templates import STACK

from .source import Declaration, find_declaration

# A resource that fails because another one did says one of these.
_CONSEQUENCES = ("cancelled", "Embedded stack", "The following resource(s) failed", "Nested stack")


@dataclass(frozen=True)
class Event:
    id: str
    at: datetime
    stack_id: str
    # The path from the root stack: Data/Transactions.
    where: str
    resource_type: str
    status: str
    reason: str
    physical_id: str

    def __str__(self) -> str:
        return f"{self.where} ({self.resource_type})"


@dataclass(frozen=True)
class Failure:
    stack_name: str
    status: str
    # The first that failed by itself, in whichever stack, and those that failed by themselves after it.
    cause: Event | None
    others: tuple[Event, ...] = ()
    declared: Declaration | None = None
    # How many resources went back to what they were.
    rolled_back: int = 0
    now: str = ""
    next_step: str = ""
    # What exists although its creation was rolled back, or its stack deleted: its name cannot be used again.
    left_behind: tuple[Event, ...] = ()

    @property
    def reason(self) -> str:
        if self.cause is None:
            return "no event gives a reason; see the stack events in CloudFormation"
        return f"{self.cause}: {self.cause.reason or self.cause.status}"


@dataclass
class DeploymentFailed(UserError):
    """The deployment ended, and not well. The message is one line; ``failure`` has the rest."""

    failure: Failure = field()

    def __post_init__(self) -> None:
        super().__init__(f"{self.failure.stack_name} ended {self.failure.status}: {self.failure.reason}")


def failure(stack_name: str, environment: str, status: str, events: list[Event]) -> Failure:
    """What the events of a deployment that ended with ``status`` say."""
    by_themselves = _by_themselves(events)
    cause = by_themselves[0] if by_themselves else next(iter(_failed(events)), None) or _said(events)
    # Of an update, what was deleted before the rollback began belongs to the update.
    undone = _after_it_turned(events) if status.startswith("UPDATE_") else events
    left_behind = _left_behind(undone)
    now, next_step = _outcome(status, environment, _stuck(_after_it_turned(events) or events), left_behind)
    if not environment:
        next_step = f"fix the cause; see aws cloudformation describe-stack-events --stack-name {stack_name}"
    return Failure(
        stack_name,
        status,
        cause,
        others=tuple(by_themselves[1:]),
        declared=find_declaration(cause.where) if cause else None,
        rolled_back=_rolled_back(events),
        now=now,
        next_step=next_step,
        left_behind=left_behind,
    )


def _failed(events: list[Event]) -> list[Event]:
    return [event for event in events if event.status.endswith("_FAILED") and event.reason]


def _by_themselves(events: list[Event]) -> list[Event]:
    """Each resource once, in the order of time."""
    found: dict[str, Event] = {}
    for event in (event for event in events if event.status.endswith("_FAILED")):
        if event.resource_type != STACK and not any(text in event.reason for text in _CONSEQUENCES):
            found.setdefault(event.where, event)
    return list(found.values())


def _said(events: list[Event]) -> Event | None:
    """A rollback that no resource began: an alarm rang, or somebody cancelled; the stack's own event says so."""
    own = [event for event in events if event.physical_id == event.stack_id and "ROLLBACK" in event.status]
    return next((event for event in own if event.reason), None)


def _after_it_turned(events: list[Event]) -> list[Event]:
    """What happened once the rollback had begun."""
    turned = next((i for i, e in enumerate(events) if e.physical_id == e.stack_id and "ROLLBACK" in e.status), None)
    return [] if turned is None else events[turned:]


def _rolled_back(events: list[Event]) -> int:
    """Resources, not stacks, that something was done to after the rollback had begun."""
    done = [event for event in _after_it_turned(events) if event.status in ("DELETE_COMPLETE", "UPDATE_COMPLETE")]
    return len({event.where for event in done if event.resource_type != STACK})


def _stuck(events: list[Event]) -> list[str]:
    """Of the events of a rollback or a deletion, the resources that block it."""
    return [event.where for event in _by_themselves(events)]


def _left_behind(events: list[Event]) -> tuple[Event, ...]:
    """Of the events of a rollback or a deletion, the last of each resource that still exists.

    A nested stack that was complete may count as deleted and not as never created: then the rollback retains what its
    deletion policies retain, with the status DELETE_SKIPPED.
    """
    last = {event.where: event for event in events if event.resource_type != STACK and event.physical_id}
    return tuple(event for event in last.values() if event.status in ("DELETE_SKIPPED", "DELETE_FAILED"))


def _outcome(status: str, environment: str, stuck: list[str], left_behind: Sequence[Event] = ()) -> tuple[str, str]:
    """What the stack is now, and what to do next."""
    deploy, purge = f"scripts/deploy.sh {environment}", f"scripts/destroy.sh {environment} --purge"
    if status == "UPDATE_ROLLBACK_COMPLETE" and left_behind:
        # Purging would take the environment that runs.
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
        skip = "".join(f" --skip {one}" for one in stuck) or " --skip STACK/RESOURCE"
        told = f"fix what blocks the rollback, then run {deploy} --continue-rollback; or skip the resource: {deploy}"
        return "stuck between two versions (UPDATE_ROLLBACK_FAILED)", f"{told} --continue-rollback{skip}"
    if status in ("ROLLBACK_FAILED", "CREATE_FAILED"):
        return (
            "created in part, and its rollback is not complete",
            f"fix the cause; {purge} deletes the stack and, by name, what its deletion retains; then run {deploy}",
        )
    if status == "DELETE_FAILED":
        what = ", ".join(stuck) or "what its events report"
        return (
            "some resources could not be deleted",
            f"fix what blocks the deletion of {what}, then run scripts/destroy.sh {environment} again",
        )
    return status, f"scripts/status.sh {environment}"
