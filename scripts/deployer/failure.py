"""Explains a failed deployment: the first cause, later causes, what was rolled back, and what to do next."""

import itertools
import re
from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import datetime

from scripts.common.errors import UserError
from scripts.common.suggestion import complete_aws_commands
from scripts.common.templates import STACK
from stacks import names

from .declarations import Declaration, find_declaration
from .plan.danger import list_stateful_types
from .plan.traffic import ALIAS
from .statuses import PRESERVING, advise_next_step

_COMPLETED = ("CREATE_COMPLETE", "UPDATE_COMPLETE")
# The reasons of resources that fail only because another one failed; those that say most of it come first.
_CONSEQUENCES = ("The following resource(s) failed", "Embedded stack", "Nested stack", "cancelled")


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
    # Of the operation of the stack, and of the request that started it; empty if the service gives none.
    operation_id: str = ""
    request_token: str = ""

    @property
    def is_of_stack(self) -> bool:
        """Whether the event is about its stack, not about a resource in it."""
        return self.physical_id == self.stack_id

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
    # How many resources were restored, or stay as the operation made them, because it was not to roll back.
    rolled_back: int = 0
    preserved: int = 0
    outcome: str = ""
    next_step: str = ""
    # Resources that exist although their creation was rolled back or their stack deleted; their names stay taken.
    left_behind: tuple[Event, ...] = ()
    # Those that exist on purpose, with what they hold: they were to be imported, or the deletion retains them.
    retained: tuple[Event, ...] = ()

    # The AWS CLI's command that shows why CodeDeploy ended the shift that is the cause; empty for another cause.
    shift_command: str = ""

    # The operation in which the cause failed, or else the one that ended so; empty if the service gives no ids.
    operation_id: str = ""

    @property
    def events_command(self) -> str:
        """The AWS CLI's command that shows the events of the operation; empty without its id.

        https://docs.aws.amazon.com/AWSCloudFormation/latest/APIReference/API_DescribeEvents.html
        """
        if not self.operation_id:
            return ""
        return complete_aws_commands(f"aws cloudformation describe-events --operation-id {self.operation_id}")

    @property
    def reason(self) -> str:
        if self.cause is None:
            return "no event gives a reason; see the stack events in CloudFormation"
        return f"{self.cause}: {self.cause.reason or self.cause.status}"


@dataclass
class DeploymentFailed(UserError):
    """A failed deployment. The message is one line; ``failure`` has the details."""

    failure: Failure = field()
    names_changes = True

    def __post_init__(self) -> None:
        super().__init__(f"{self.failure.stack_name} ended {self.failure.status}: {self.failure.reason}")


def describe_failure(
    stack_name: str,
    environment: str,
    status: str,
    events: list[Event],
    *,
    shifts_traffic: bool = False,
    imports: Collection[str] = (),
) -> Failure:
    """Explain a deployment that ended with ``status`` by its events, which are in order of time.

    ``shifts_traffic`` is whether CodeDeploy updates the aliases of the environment, and ``imports`` are the paths of
    the resources that the change set was to import, which the events name as well.
    """
    failures = _find_independent_failures(events)
    rollback = _select_rollback(events)
    cause = failures[0] if failures else _find_reason(events, rollback)
    # What an update deletes before its rollback begins is deleted as planned.
    imported_paths = {*imports, *(event.path for event in events if event.status.startswith("IMPORT_"))}
    is_update = status.startswith("UPDATE_")
    remaining = find_remaining(rollback if is_update else events)
    left_behind = _select_left_behind(events, remaining, imported_paths, is_update=is_update)
    retained = tuple(event for event in remaining if event not in left_behind)
    blocking_paths = [event.path for event in _find_independent_failures(rollback or events)]
    outcome, next_step = advise_next_step(
        stack_name,
        status,
        environment,
        blocking=blocking_paths,
        has_remains=bool(left_behind),
        is_import=bool(imported_paths),
    )
    return Failure(
        stack_name,
        status,
        cause,
        later_causes=tuple(failures[1:]),
        declared=find_declaration(cause.path) if cause else None,
        rolled_back=_count_completed_resources(rollback, "DELETE_COMPLETE", "UPDATE_COMPLETE"),
        preserved=_count_completed_resources(events, *_COMPLETED) if status in PRESERVING else 0,
        outcome=outcome,
        next_step=next_step,
        left_behind=left_behind,
        retained=retained,
        shift_command=_suggest_shift(cause, environment) if cause and shifts_traffic else "",
        operation_id=_find_operation(cause, events),
    )


def _find_reason(events: list[Event], rollback: list[Event]) -> Event | None:
    """Return the event that says most of a failure without a cause of its own; None if no event gives a reason."""
    reasons = [event for event in events if event.status.endswith("_FAILED") and event.reason]
    # The stack's own events say why it is rolled back, for example because of an alarm.
    reasons += [event for event in rollback if _is_rollback_of_root(event) and event.reason]
    # The first of those that are equally good.
    return min(reasons, key=_rank_consequence, default=None)


def _find_operation(cause: Event | None, events: list[Event]) -> str:
    """Return the id of the operation in which the cause failed, or else of the first event's; empty without one."""
    return next((event.operation_id for event in [*filter(None, [cause]), *events[:1]]), "")


def _suggest_shift(cause: Event, environment: str) -> str:
    """Return the command that shows CodeDeploy's reason, if it is an alias that could not be updated.

    https://docs.aws.amazon.com/codedeploy/latest/APIReference/API_DeploymentInfo.html
    """
    live = re.search(r"(\w+)Live$", cause.path)
    if cause.resource_type != ALIAS or live is None:
        return ""
    application = names.in_environment(names.SHIFTING_APPLICATION, environment)
    return complete_aws_commands(
        "aws deploy get-deployment --query 'deploymentInfo.[errorInformation,rollbackInfo]' --deployment-id "
        f"$(aws deploy list-deployments --application-name {application} --deployment-group-name {live[1].lower()} "
        "--include-only-statuses Failed Stopped --query 'deployments[0]' --output text)"
    )


def _find_independent_failures(events: list[Event]) -> list[Event]:
    """Return the first failure of each resource that no other failure caused, in order of time."""
    failures: dict[str, Event] = {}
    for event in (event for event in events if event.status.endswith("_FAILED")):
        if event.resource_type != STACK and not _rank_consequence(event):
            failures.setdefault(event.path, event)
    return list(failures.values())


def _rank_consequence(event: Event) -> int:
    """Return 0 for a cause, and more for a consequence, the more the less it says about its cause."""
    return next((rank for rank, text in enumerate(_CONSEQUENCES, start=1) if text in event.reason), 0)


def _select_rollback(events: list[Event]) -> list[Event]:
    """Return the events from the beginning of the rollback."""
    return list(itertools.dropwhile(lambda event: not _is_rollback_of_root(event), events))


def _is_rollback_of_root(event: Event) -> bool:
    return event.is_of_stack and "ROLLBACK" in event.status


def _count_completed_resources(events: list[Event], *statuses: str) -> int:
    return len({event.path for event in events if event.status in statuses and event.resource_type != STACK})


def find_remaining(events: list[Event]) -> list[Event]:
    """Return the last event of each resource that a rollback or a deletion has not deleted.

    A rollback deletes a complete nested stack, instead of treating it as never created, and may then retain resources
    by their deletion policies, with the status DELETE_SKIPPED.
    """
    last = {event.path: event for event in events if event.resource_type != STACK and event.physical_id}
    return [event for event in last.values() if event.status in ("DELETE_SKIPPED", "DELETE_FAILED")]


def _select_left_behind(
    events: list[Event], remaining: list[Event], imported_paths: set[str], *, is_update: bool
) -> tuple[Event, ...]:
    """Return those of the remaining resources that the operation has created, and that hold nothing.

    What else exists may hold the data of years: what was imported, and what a deletion retains. A rollback that is not
    followed from the beginning of its operation sees no creation. Until the rollback of an update has taken the
    functions back, the running platform may have written to what the update had created.
    """
    created_paths = {event.path for event in events if event.status.startswith("CREATE_")}
    created_paths |= _find_replaced(events, remaining)
    candidates = [event for event in remaining if event.path in created_paths - imported_paths]
    return tuple(event for event in candidates if not is_update or event.resource_type not in list_stateful_types())


def _find_replaced(events: list[Event], remaining: list[Event]) -> set[str]:
    """Return the paths of those of the remaining resources that a replacement has created: they were others before."""
    first_ids: dict[str, str] = {}
    for event in events:
        if event.physical_id:
            first_ids.setdefault(event.path, event.physical_id)
    return {event.path for event in remaining if first_ids[event.path] != event.physical_id}
