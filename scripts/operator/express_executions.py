"""Executions of the Express workflow, whose history is in the workflow's log alone.

Step Functions describes and lists none of them, and delivers the log as well as it can: an event may be late, or
missing. With a ``workflow_log_level`` below ALL, the log has only what failed; without ``workflow_log_execution_data``,
it has neither input nor output.
https://docs.aws.amazon.com/step-functions/latest/dg/cw-logs.html
"""

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from typing import Any

from stacks import names

from .execution_names import EXPRESS, encode_id, is_express, is_named_after
from .executions import Execution, add_event, parse_object, read_execution
from .logs import read_group
from .platform import Platform
from .records import hide_card_numbers

# An Express execution ends after five minutes at the latest; its start may be asked for and logged some seconds apart.
# https://docs.aws.amazon.com/step-functions/latest/dg/service-quotas.html
LONGEST_SECONDS = 5 * 60 + 30
_ENDS = {
    "ExecutionSucceeded": "SUCCEEDED",
    "ExecutionFailed": "FAILED",
    "ExecutionTimedOut": "TIMED_OUT",
    "ExecutionAborted": "ABORTED",
}


def read_payment_execution(platform: Platform, execution_arn: str) -> Execution:
    """Return an execution of either workflow so far; one of Express without events as running, because it may be late.

    Raises the SDK's ``ExecutionDoesNotExist`` for a Standard one that is unknown or expired.
    """
    if not is_express(execution_arn):
        return read_execution(platform.client("stepfunctions"), execution_arn)
    since = datetime.now(UTC).timestamp() - LONGEST_SECONDS
    executions = _build_executions(_read_events(platform, since, execution_arn))
    return executions.get(execution_arn, Execution(execution_arn))


def read_executions_of(
    platform: Platform, transaction_id: str, arns: Iterable[str], since: float, end: float | None
) -> list[Execution]:
    """Return the Express executions of a payment that logged something between two times in seconds since 1970.

    These are those with the given ARNs, and those that are named after the payment.
    """
    machine = names.in_environment(names.EXPRESS_WORKFLOW, platform.environment)
    beginning = f"{EXPRESS}{machine}:{encode_id(transaction_id)}"
    executions = _build_executions(_read_events(platform, since, beginning, end))
    payment_executions = {
        arn: execution for arn, execution in executions.items() if is_named_after(execution.name, transaction_id)
    }
    for arn in arns:
        if arn not in payment_executions:
            payment_executions |= _build_executions(_read_events(platform, since, arn, end))
    return list(payment_executions.values())


def read_recent_executions(platform: Platform, since: float) -> list[Execution]:
    """Return the Express executions that logged something since a time in seconds since 1970."""
    machine = names.in_environment(names.EXPRESS_WORKFLOW, platform.environment)
    return list(_build_executions(_read_events(platform, since, f"{EXPRESS}{machine}:")).values())


def _read_events(platform: Platform, since: float, phrase: str, end: float | None = None) -> Iterator[dict[str, Any]]:
    """Yield the events of executions whose ARN contains the phrase."""
    filters: dict[str, Any] = {"filterPattern": f'"{phrase}"'}
    if end is not None:
        filters["endTime"] = int(end * 1000)
    for line in read_group(platform, names.WORKFLOW_LOG_GROUP, since, **filters):
        event = parse_object(line["message"])
        # An event may contain the phrase elsewhere.
        if phrase in str(event.get("execution_arn", "")):
            yield event


def _build_executions(events: Iterable[dict[str, Any]]) -> dict[str, Execution]:
    """Return the executions by ARN, each from its events in the order in which they happened."""
    executions: dict[str, Execution] = {}
    ordered = sorted(events, key=lambda event: (int(event["event_timestamp"]), int(event["id"])))
    first_at: dict[str, datetime] = {}
    for event in ordered:
        arn = str(event["execution_arn"])
        execution = executions.setdefault(arn, Execution(arn))
        at = datetime.fromtimestamp(int(event["event_timestamp"]) / 1000, UTC)
        details = event.get("details", {})
        kind = str(event["type"])
        # The detail fields of the history: https://docs.aws.amazon.com/step-functions/latest/apireference/API_HistoryEvent.html
        field = "stateEnteredEventDetails" if kind.endswith("StateEntered") else "otherEventDetails"
        add_event(execution, {"type": kind, "timestamp": at, field: details})
        execution.seconds = (at - first_at.setdefault(arn, at)).total_seconds()
        if kind == "ExecutionStarted":
            transaction_id = parse_object(details.get("input", "")).get("transaction_id")
            execution.transaction_id = transaction_id if isinstance(transaction_id, str) else ""
        if kind in _ENDS:
            execution.status = _ENDS[kind]
            execution.error = hide_card_numbers(details.get("error", ""))
            execution.output = parse_object(details.get("output", ""))
    return executions
