"""The story of one payment: its current state, and everything that happened to it, in chronological order.

It costs one read of the table, one query of the ledger, two calls for each execution, up to ``PAGES`` calls to find
executions by name, and one call for each log group and each megabyte that was logged between the first and last event.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import chain
from typing import Any

from botocore.exceptions import ClientError
from payments.payment import OPEN, Status, without_run

from scripts.common.states import shorten_name
from scripts.common.threads import map_in_threads
from stacks import names

from . import logs, records
from .execution_names import is_express, is_named_after
from .executions import NOT_FOUND_CODES, Execution, Moment, read_execution
from .express_executions import read_executions_of
from .platform import Platform
from .records import Record, format_time, format_timestamp, hide_card_numbers
from .statuses import FAILED

# Of a thousand executions each, newest first; of older executions only those are found that the ledger names.
PAGES = 3
# A line may be logged a moment before the payment is recorded, and clocks may differ.
_MARGIN_SECONDS = 60
# Lines logged after the last event of the ledger and the executions come from a replay soon after it.
_LATE_SECONDS = 60 * 60


@dataclass(frozen=True)
class Entry:
    """One event of the story. ``at`` is ISO 8601 in UTC.

    ``source`` is ``workflow``, ``ledger``, ``notice`` (notifications and dead letters) or, for a line of its log, a
    function: ``validation``, ``processing`` or ``reconciliation``. ``execution`` is the ARN of the execution, if
    known. ``bad`` is whether the event is a failure.
    """

    at: str
    source: str
    summary: str
    detail: str = ""
    bad: bool = False
    execution: str = ""


@dataclass(frozen=True)
class Story:
    """``notifications`` describes who was notified of what; ``executions`` are ARNs in the order of their start."""

    payment: Record
    notifications: tuple[str, ...]
    executions: tuple[str, ...]
    timeline: tuple[Entry, ...]


def read_story(platform: Platform, transaction_id: str) -> Story:
    """Return the story of a payment. Raises ``UserError`` if it is not recorded.

    Its executions are those that ledger and table name, and the newest with the id in their name: those that wrote
    nothing, because the payment had its outcome or belonged to another request, are known by their names alone.
    """
    payment = records.read_payment(platform, transaction_id)
    reads: tuple[Callable[[Platform, str], Any], ...] = (_find_executions_by_name, _read_ledger)
    arns_by_name, steps = map_in_threads(lambda read: read(platform, transaction_id), reads)
    arns = dict.fromkeys(without_run(step["execution"]) for step in steps if step.get("execution"))
    arns |= dict.fromkeys(arn for arn in (payment.execution, payment.notifier) if arn.startswith("arn:"))
    arns |= dict.fromkeys(arns_by_name)
    kept_executions = map_in_threads(
        lambda arn: _read_execution_if_kept(platform, arn), [arn for arn in arns if not is_express(arn)]
    )
    # A former name may be another payment's, and anybody can choose any: the input decides.
    executions = [
        execution for execution in kept_executions if execution and execution.transaction_id == transaction_id
    ]
    executions += _read_express_executions(platform, payment, [arn for arn in arns if is_express(arn)])
    never = datetime.max.replace(tzinfo=UTC)
    executions.sort(key=lambda execution: execution.moments[0].at if execution.moments else never)
    entries = [*chain.from_iterable(map(_describe_execution, executions)), *map(_describe_step, steps)]
    entries += _read_log_entries(platform, payment, latest=max((entry.at for entry in entries), default=""))
    # Entries of the same time stay in causal order: the ledger's step, its log line, then the workflow.
    order = {"ledger": 0, "workflow": 2, "notice": 2}
    entries.sort(key=lambda entry: (entry.at, order.get(entry.source, 1)))
    execution_arns = tuple(execution.execution_arn for execution in executions)
    return Story(payment, _describe_notifications(payment), execution_arns, tuple(entries))


def _read_ledger(platform: Platform, transaction_id: str) -> list[dict[str, Any]]:
    request = {
        "TableName": names.in_environment(names.LEDGER_TABLE, platform.environment),
        "KeyConditionExpression": "transaction_id = :id",
        "ExpressionAttributeValues": {":id": {"S": transaction_id}},
        "ConsistentRead": True,
    }
    items = platform.read_pages("dynamodb", "query", "Items", **request)
    return [{name: next(iter(value.values())) for name, value in item.items()} for item in items]


def _find_executions_by_name(platform: Platform, transaction_id: str) -> list[str]:
    """Return the ARNs of executions whose names `start` or `dlq redrive` may have derived from the payment."""
    limit = {"MaxItems": PAGES * 1000, "PageSize": 1000}
    # Step Functions lists no executions of an Express workflow.
    account = platform.outputs["StepFunctionsStateMachineArn"].rpartition(":")[0]
    standard_arn = f"{account}:{names.in_environment(names.WORKFLOW, platform.environment)}"
    request = {"stateMachineArn": standard_arn, "PaginationConfig": limit}
    executions = platform.read_pages("stepfunctions", "list_executions", "executions", **request)
    return [execution["executionArn"] for execution in executions if is_named_after(execution["name"], transaction_id)]


def _read_express_executions(platform: Platform, payment: Record, arns: list[str]) -> list[Execution]:
    """Return the payment's Express executions. Their log may lack the input, and then their names decide."""
    if not arns and not is_express(platform.outputs["StepFunctionsStateMachineArn"]):
        return []
    since, end = _find_active_time(payment, payment.updated_at)
    executions = read_executions_of(platform, payment.transaction_id, arns, since, end)
    return [execution for execution in executions if execution.transaction_id in (payment.transaction_id, "")]


def _read_execution_if_kept(platform: Platform, arn: str) -> Execution | None:
    """Return the execution, or None after 90 days, when Step Functions deletes it."""
    try:
        return read_execution(platform.client("stepfunctions"), arn)
    except ClientError as error:
        if error.response["Error"]["Code"] not in NOT_FOUND_CODES:
            raise
        return None


def _describe_execution(execution: Execution) -> list[Entry]:
    return [entry for moment in execution.moments if (entry := _describe_moment(execution, moment))]


def _describe_moment(execution: Execution, moment: Moment) -> Entry | None:
    """Return the entry of an event of the execution, or None if it is not shown."""
    # With a lower level, the log of the Express workflow has no state that was entered.
    label = shorten_name(moment.state) or "a task"
    source, detail, bad = "workflow", "", False
    match moment.kind:
        case "started":
            summary, detail = "started", hide_card_numbers(execution.name)
        case "run" if moment.runs > 1:
            summary = f"{label}, run {moment.runs}"
        case "entered" if moment.state in ("ValidatePayment", "ProcessPayment", "RecordFailure"):
            summary = label
        case "failed":
            summary, bad = f"{label} failed: {moment.error}", True
            detail = moment.cause.removeprefix(f"transaction {execution.transaction_id}: ")
        case "succeeded" if moment.message_id:
            bad = moment.state == "SendToDeadLetterQueue"
            source, summary = "notice", "dead letter sent" if bad else "subscribers notified"
            detail = moment.message_id
        case "ended":
            summary = f"{execution.status.lower()}{': ' + moment.error if moment.error else ''}"
            detail, bad = execution.path, execution.status != "SUCCEEDED"
        case _:
            return None
    return Entry(format_time(moment.at), source, summary, detail, bad, execution.execution_arn)


def _describe_step(step: dict[str, Any]) -> Entry:
    """Return the entry of a ledger item: a change of the status, or a note about a notification."""
    before, status = step.get("from_status"), step["status"]
    if "note" in step:
        source, summary, bad, details = "notice", f"recorded: {_describe_note(step['note'])}", False, []
    else:
        source, summary = "ledger", f"{before} → {status}" if before else status
        if status == Status.PROCESSING:
            summary += f", attempt {step['attempt']}"
        bad = status == Status.UNKNOWN or status in FAILED
        details = [str(step[name]) for name in ("gateway_reference", "refund_reference", "failure") if name in step]
    # Only an operator's steps show their actor; the functions' logs show which function took the others.
    actor = step.get("actor", "")
    if " by way of " in actor:
        details.append(f"by {actor.split(' by way of ')[0]}")
    detail = hide_card_numbers(", ".join(details))
    return Entry(format_timestamp(step["at"]), source, summary, detail, bad, without_run(step.get("execution", "")))


def _describe_note(note: str) -> str:
    """Describe what a ledger item records that does not change the status."""
    fields = dict(part.split(": ", 1) for part in note.split(", ") if ": " in part)
    # The second name of each field is the one that older versions wrote.
    status = fields.get("notified of", fields.get("told", "None"))
    facts = []
    if fields.get("notifier", "None") != "None":
        facts.append(f"a notification of {status} is being sent")
    elif fields.get("confirmed") == "True" or fields.get("told", "None") != "None":
        facts.append(f"subscribers notified of {status}")
    if "True" in (fields.get("dead letter"), fields.get("letter")):
        facts.append("dead letter sent")
    if "True" in (fields.get("due"), fields.get("notice_due")) and fields.get("notifier", "None") == "None":
        facts.append("notification due")
    if fields.get("closed at the gateway") == "True":
        facts.append("closed at the gateway")
    return ", ".join(facts) or "nothing to notify of"


def _read_log_entries(platform: Platform, payment: Record, latest: str) -> list[Entry]:
    """Read the logs only of the payment's active time, because CloudWatch searches slowly."""
    since, last_second = _find_active_time(payment, latest)
    lines = logs.read_lines(platform, since, payment.transaction_id, last_second)
    return [Entry(line.at, line.function, line.summary, line.detail, line.bad) for line in lines]


def _find_active_time(payment: Record, latest: str) -> tuple[float, float | None]:
    """Return the times between which something may be logged of a payment, the second None for one that is open.

    ``latest`` is the time of its latest event.
    """
    since = datetime.fromisoformat(payment.created_at).timestamp() - _MARGIN_SECONDS
    if payment.status in OPEN or payment.is_notice_due:
        return since, None
    return since, datetime.fromisoformat(max(payment.updated_at, latest)).timestamp() + _LATE_SECONDS


def _describe_notifications(payment: Record) -> tuple[str, ...]:
    """Describe the notifications by the record alone, because an execution may have published one by itself."""
    notifications = []
    if payment.notifier:
        notifications.append(f"a notification of {payment.notified_status} is being sent")
    elif payment.notified_status:
        notifications.append(
            f"subscribers: {payment.notified_status}{'' if payment.is_confirmed else ', not confirmed'}"
        )
    if payment.is_dead_lettered:
        notifications.append("the dead-letter queue")
    if payment.is_notice_due and not payment.notifier:
        notifications.append("a notification is due; reconciliation will send it")
    return tuple(notifications)
