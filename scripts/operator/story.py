"""The story of one payment: what it is now, and all that happened to it in the order of time.

It costs one read of the table, a query of the ledger, two calls for each execution, up to ``PAGES`` to find executions
by their names, and a call for each of the three log groups, and for each megabyte that was logged between the payment's
first moment and its last.
"""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from botocore.exceptions import ClientError
from payments.payment import OPEN, Status

from stacks import names

from . import logs, records
from .execution_names import is_named_after
from .executions import GONE, SHORT, Execution, read
from .platform import Platform
from .records import Record, hidden, instant, time_of
from .statuses import FAILED

# Of a thousand executions each, the newest first: beyond these only those are found that the ledger names.
PAGES = 3
# What a log line is about may be logged a moment before the payment is recorded, and a clock may differ.
_MARGIN_SECONDS = 60
_NOTIFIED = "subscribers notified"
# What is logged of a payment after the last thing that the ledger and the executions know is a replay's, soon after it.
_LATE_SECONDS = 60 * 60


@dataclass(frozen=True)
class Entry:
    """One thing that happened. ``at`` is ISO 8601 in UTC.

    ``source`` is ``workflow``, ``ledger``, ``notice`` (what people were told: notices and dead letters) or a function,
    ``validation``, ``processing`` or ``reconciliation`` (a line of its log). ``execution`` is the ARN of the one that
    it happened in or for, if that is known. ``bad`` is what went wrong.
    """

    at: str
    source: str
    what: str
    detail: str = ""
    bad: bool = False
    execution: str = ""


@dataclass(frozen=True)
class Story:
    """``told`` says who was told what; ``executions`` are ARNs, in the order in which they started."""

    payment: Record
    told: tuple[str, ...]
    executions: tuple[str, ...]
    timeline: tuple[Entry, ...]


def story_of(platform: Platform, transaction_id: str) -> Story:
    """The story of a payment. Raises ``UserError`` for one that is not recorded.

    Executions are those that the ledger and the table name, and those of the newest whose name holds the id: one that
    wrote nothing, because the payment had its outcome or was another request's, is known by its name alone.
    """
    payment = records.one(platform, transaction_id)
    for service in ("dynamodb", "stepfunctions", "logs"):
        platform.client(service)  # made before the threads ask for it
    with ThreadPoolExecutor(8) as pool:
        named = pool.submit(_named, platform, transaction_id)
        steps = _steps(platform, transaction_id)
        arns = dict.fromkeys(step["execution"] for step in steps if step.get("execution"))
        arns |= dict.fromkeys(arn for arn in (payment.execution, payment.announced_by) if arn.startswith("arn:"))
        arns |= dict.fromkeys(named.result())
        executions = [one for one in pool.map(lambda arn: _execution(platform, arn), arns) if one]
    # A former name may be another payment's, and anybody can give any: what it was started with decides.
    executions = [one for one in executions if one.transaction_id == transaction_id]
    executions.sort(
        key=lambda execution: execution.moments[0].at if execution.moments else datetime.max.replace(tzinfo=UTC)
    )
    entries = [entry for execution in executions for entry in _of_execution(execution)]
    entries += [_of_step(step) for step in steps]
    entries += _logged(platform, payment, latest=max((entry.at for entry in entries), default=""))
    # What has the same time stays in the order of cause: the ledger's step, its log line, what the workflow made of it.
    order = {"ledger": 0, "workflow": 2, "notice": 2}
    entries.sort(key=lambda entry: (entry.at, order.get(entry.source, 1)))
    return Story(
        payment, _describe_notifications(payment), tuple(one.execution_arn for one in executions), tuple(entries)
    )


def _steps(platform: Platform, transaction_id: str) -> list[dict[str, Any]]:
    pages = (
        platform.client("dynamodb")
        .get_paginator("query")
        .paginate(
            TableName=names.in_environment(names.LEDGER_TABLE, platform.environment),
            KeyConditionExpression="transaction_id = :id",
            ExpressionAttributeValues={":id": {"S": transaction_id}},
            ConsistentRead=True,
        )
    )
    return [
        {name: next(iter(value.values())) for name, value in item.items()} for page in pages for item in page["Items"]
    ]


def _named(platform: Platform, transaction_id: str) -> list[str]:
    """Executions whose names hold the id, as `start` and `dlq redrive` call them."""
    pages = (
        platform.client("stepfunctions")
        .get_paginator("list_executions")
        .paginate(
            stateMachineArn=platform.outputs["StepFunctionsStateMachineArn"],
            PaginationConfig={"MaxItems": PAGES * 1000, "PageSize": 1000},
        )
    )
    found = (execution for page in pages for execution in page["executions"])
    return [execution["executionArn"] for execution in found if is_named_after(execution["name"], transaction_id)]


def _execution(platform: Platform, arn: str) -> Execution | None:
    """None for one that is there no more: Step Functions keeps them for 90 days."""
    try:
        return read(platform.client("stepfunctions"), arn)
    except ClientError as error:
        if error.response["Error"]["Code"] not in GONE:
            raise
        return None


def _of_execution(execution: Execution) -> Iterator[Entry]:
    for moment in execution.moments:
        at, state = instant(moment.at), SHORT.get(moment.state, moment.state)
        here: dict[str, Any] = {"execution": execution.execution_arn}
        match moment.kind:
            case "started":
                yield Entry(at, "workflow", "started", hidden(execution.name), **here)
            case "tried" if moment.tries > 1:
                yield Entry(at, "workflow", f"{state or moment.state}, attempt {moment.tries}", **here)
            case "entered" if state and moment.state in ("ValidatePayment", "ProcessPayment", "RecordFailure"):
                yield Entry(at, "workflow", state, **here)
            case "failed":
                what = f"{state or moment.state} failed: {moment.error}"
                cause = moment.cause.removeprefix(f"transaction {execution.transaction_id}: ")
                yield Entry(at, "workflow", what, cause, bad=True, **here)
            case "succeeded" if moment.message_id and moment.state == "SendToDeadLetterQueue":
                yield Entry(at, "notice", "dead letter sent", moment.message_id, bad=True, **here)
            case "succeeded" if moment.message_id:
                yield Entry(at, "notice", _NOTIFIED, moment.message_id, **here)
            case "ended":
                bad = execution.status != "SUCCEEDED"
                words = f"{execution.status.lower()}{': ' + moment.error if moment.error else ''}"
                yield Entry(at, "workflow", words, execution.path, bad=bad, **here)


def _of_step(step: dict[str, Any]) -> Entry:
    """A step of the ledger, or a note that it has of what people were told."""
    before, status = step.get("from_status"), step["status"]
    bad = status == Status.UNKNOWN or status in FAILED
    detail = [str(step[name]) for name in ("gateway_reference", "refund_reference", "failure") if name in step]
    if "note" in step:
        source, text, bad = "notice", f"recorded: {_describe_note(step['note'])}", False
        detail = []
    else:
        source, text = "ledger", f"{before} → {status}" if before else status
        if status == Status.PROCESSING:
            text += f", attempt {step['attempt']}"
    # An operator's steps name them; which function took the others, its log says.
    actor = step.get("actor", "")
    if " by way of " in actor:
        detail.append(f"by {actor.split(' by way of ')[0]}")
    return Entry(time_of(step["at"]), source, text, hidden(", ".join(detail)), bad, step.get("execution", ""))


def _describe_note(note: str) -> str:
    """What a step without a change of the status noted, in words."""
    fields = dict(part.split(": ", 1) for part in note.split(", ") if ": " in part)
    # The names of before notices were claimed come second.
    status = fields.get("notified of", fields.get("told", "None"))
    noted = []
    if fields.get("notifier", "None") != "None":
        noted.append(f"a notification of {status} is being sent")
    elif fields.get("confirmed") == "True" or fields.get("told", "None") != "None":
        noted.append(f"subscribers notified of {status}")
    if "True" in (fields.get("dead letter"), fields.get("letter")):
        noted.append("dead letter sent")
    if "True" in (fields.get("due"), fields.get("notice_due")) and fields.get("notifier", "None") == "None":
        noted.append("notification due")
    if fields.get("closed at the gateway") == "True":
        noted.append("closed at the gateway")
    return ", ".join(noted) or "nothing to notify of"


def _logged(platform: Platform, payment: Record, latest: str) -> list[Entry]:
    """Lines of the time in which something happened: CloudWatch searches all that is in between, slowly."""
    since = datetime.fromisoformat(payment.created_at).timestamp() - _MARGIN_SECONDS
    until = None
    if payment.status not in OPEN and not payment.notice_due:
        until = datetime.fromisoformat(max(payment.updated_at, latest)).timestamp() + _LATE_SECONDS
    lines = logs.read(platform, since, payment.transaction_id, until)
    return [Entry(line.at, line.function, line.what, line.detail, line.bad) for line in lines]


def _describe_notifications(payment: Record) -> tuple[str, ...]:
    """Who heard what of the payment, in words: by its record alone, since an execution may have spoken of itself."""
    notifications = []
    if payment.announced_by:
        notifications.append(f"a notification of {payment.told} is being sent")
    elif payment.told:
        notifications.append(f"subscribers: {payment.told}{'' if payment.confirmed else ', not confirmed'}")
    if payment.letter:
        notifications.append("the dead-letter queue")
    if payment.notice_due and not payment.announced_by:
        notifications.append("a notification is due; reconciliation will send it")
    return tuple(notifications)
