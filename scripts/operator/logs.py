"""What the functions logged about payments.

Only the fields that the functions log are read, so a line with more, due to a defect, shows no more here.
FilterLogEvents is free, but limited to five calls a second for an account, so callers use it sparingly.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from botocore.exceptions import ClientError

from stacks import names

from .executions import parse_object
from .platform import Platform
from .records import format_time, hide_card_numbers

GROUPS = {function.purpose: function.log_group for function in names.FUNCTIONS}
WARNING_LEVELS = ("WARN", "WARNING", "ERROR", "CRITICAL", "FATAL")
_NAMED_IN_DETAIL = re.compile(r"transaction ([A-Za-z0-9][A-Za-z0-9._:-]{0,63}?)(?=[:,]? |:?$)")


@dataclass(frozen=True)
class LogLine:
    """A line of a function's log. ``at`` is ISO 8601 in UTC; ``bad`` is whether it reports a failure.

    ``request_id`` is the invocation's; ``key`` identifies the line in repeated reads.
    """

    at: str
    function: str
    transaction_id: str
    summary: str
    detail: str
    bad: bool
    request_id: str
    key: str


def read_lines(
    platform: Platform, since: float, transaction_id: str = "", end: float | None = None
) -> Iterator[LogLine]:
    """Yield the lines of all payments or one, function by function; times are in seconds since 1970.

    A log group that does not exist has no lines, because its function has never run.
    """
    filters: dict[str, Any] = {}
    if end is not None:
        filters["endTime"] = int(end * 1000)
    if transaction_id:
        filters["filterPattern"] = f'"{transaction_id}"'
    for function, group in GROUPS.items():
        yield from _parse_events(read_group(platform, group, since, **filters), function, transaction_id)


def read_group(platform: Platform, group: str, since: float, **filters: Any) -> Iterator[Any]:
    """Yield the events of a log group as FilterLogEvents returns them, none if the group does not exist.

    ``group`` is a name of ``stacks.names``, ``since`` is in seconds since 1970, and ``filters`` are arguments of
    https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_FilterLogEvents.html. Without its
    ``unmask``, CloudWatch masks what the group's data protection policy names.
    """
    name = names.in_environment(group, platform.environment)
    paginator = platform.client("logs").get_paginator("filter_log_events")
    try:
        for page in paginator.paginate(logGroupName=name, startTime=max(0, int(since * 1000)), **filters):
            yield from page["events"]
    except ClientError as error:
        if error.response["Error"]["Code"] != "ResourceNotFoundException":
            raise


def _parse_events(events: Iterable[Any], function: str, transaction_id: str) -> Iterator[LogLine]:
    reported: set[tuple[str, str, str]] = set()
    for line in filter(None, (parse_event(event, function) for event in events)):
        failure = (line.request_id, line.transaction_id, line.detail)
        # Lambda's runtime repeats, in the same words, an error that the function has logged.
        is_repeated = line.bad and all(failure) and failure in reported
        # The filter pattern finds an id within a longer one, too.
        if not is_repeated and transaction_id in ("", line.transaction_id):
            if line.bad:
                reported.add(failure)
            yield line


def parse_event(event: dict[str, Any], function: str) -> LogLine | None:
    """Return the line of a log event, or None if it names no payment."""
    text = event["message"]
    fields = parse_object(text)
    detail = str(fields.get("detail") or fields.get("errorMessage") or "")
    match = _NAMED_IN_DETAIL.search(detail)
    transaction_id = str(fields.get("transaction_id") or (match[1] if match else ""))
    if not transaction_id:
        return None
    reasons = fields.get("reasons")
    if fields.get("answer"):  # of the gateway
        detail = f"{fields.get('Operation')} took {fields.get('GatewayLatency')} ms"
    elif not detail and isinstance(reasons, list):
        detail = ", ".join(map(str, reasons))
    return LogLine(
        at=format_time(datetime.fromtimestamp(event["timestamp"] / 1000, UTC)),
        function=function,
        transaction_id=hide_card_numbers(transaction_id),
        summary=hide_card_numbers(_summarize_fields(fields)),
        detail=hide_card_numbers(detail.removeprefix(f"transaction {transaction_id}: ")),
        bad=str(fields.get("level", "")).upper() in WARNING_LEVELS,
        request_id=str(fields.get("requestId", "")),
        key=str(event.get("eventId") or f"{event.get('logStreamName')}{event['timestamp']}{text}"),
    )


def _summarize_fields(fields: dict[str, Any]) -> str:
    message = "" if fields.get("message") == "payment error" else fields.get("message")
    statuses = " → ".join(str(fields[name]) for name in ("from_status", "status") if fields.get(name))
    statuses = "no payment is recorded" if statuses == "NOT_RECORDED" else statuses
    error = fields.get("error") or fields.get("errorType")
    return ": ".join(str(part) for part in (message, fields.get("answer"), statuses, error) if part)
