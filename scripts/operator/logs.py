"""What the functions logged of payments.

Only the fields that our functions log are read, so a line that a defect filled with more shows no more here.
FilterLogEvents has no price of its own, but five calls a second for an account: a caller has to go easy on it.
"""

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from botocore.exceptions import ClientError

from stacks import names

from .platform import Platform
from .records import hidden, instant

GROUPS = {
    "validation": names.VALIDATION_LOG_GROUP,
    "processing": names.PROCESSING_LOG_GROUP,
    "reconciliation": names.RECONCILIATION_LOG_GROUP,
}
_BAD = ("WARN", "WARNING", "ERROR", "CRITICAL", "FATAL")
_NAMED_IN_DETAIL = re.compile(r"transaction ([A-Za-z0-9][A-Za-z0-9._:-]{0,63}?)(?=[:,]? |:?$)")


@dataclass(frozen=True)
class Line:
    """One line of a function's log: when (ISO 8601, UTC), of which function and payment, and what it says."""

    at: str
    function: str
    transaction_id: str
    what: str
    detail: str
    bad: bool
    # Of the invocation, and where in its log: a line that is read twice is the same.
    request_id: str
    key: str


def read(platform: Platform, since: float, transaction_id: str = "", until: float | None = None) -> Iterator[Line]:
    """Lines of payments between these times (seconds since 1970), or of this payment only, function by function.

    A log group that is not there has no lines: a function that never ran has none.
    """
    logs = platform.client("logs")
    ask: dict[str, Any] = {"startTime": max(0, int(since * 1000))}
    if until is not None:
        ask["endTime"] = int(until * 1000)
    if transaction_id:
        ask["filterPattern"] = f'"{transaction_id}"'
    for function, group in GROUPS.items():
        name = names.in_environment(group, platform.environment)
        try:
            pages = logs.get_paginator("filter_log_events").paginate(logGroupName=name, **ask)
            yield from _lines((event for page in pages for event in page["events"]), function, transaction_id)
        except ClientError as error:
            if error.response["Error"]["Code"] != "ResourceNotFoundException":
                raise


def _lines(events: Iterable[Any], function: str, transaction_id: str) -> Iterator[Line]:
    told: set[tuple[str, str, str]] = set()
    for event in events:
        line = parse(event, function)
        # The pattern finds an id in a longer one, too.
        if line is None or (transaction_id and line.transaction_id != transaction_id):
            continue
        # Lambda's runtime repeats, in the same words, an error that the function has logged.
        same = (line.request_id, line.transaction_id, line.detail)
        if line.bad and line.request_id and line.detail:
            if same in told:
                continue
            told.add(same)
        yield line


def parse(event: dict[str, Any], function: str) -> Line | None:
    """A line of an event; None for what tells of no payment."""
    text = event["message"]
    try:
        said = json.loads(text) if text.startswith("{") else None
    except ValueError:
        return None
    if not isinstance(said, dict):
        return None
    error = said.get("error") or said.get("errorType") or ""
    detail = str(said.get("detail") or said.get("errorMessage") or "")
    answer = said.get("answer")  # of the gateway
    if answer:
        detail = f"{said.get('Operation')} took {said.get('GatewayLatency')} ms"
    found = _NAMED_IN_DETAIL.search(detail)
    transaction_id = str(said.get("transaction_id") or (found[1] if found else ""))
    if not transaction_id:
        return None
    words = str(said.get("message") or "")
    statuses = " → ".join(str(said[name]) for name in ("from_status", "status") if said.get(name))
    what = ": ".join(
        part for part in (words if words != "payment error" else "", str(answer or ""), statuses, str(error)) if part
    )
    reasons = said.get("reasons") if isinstance(said.get("reasons"), list) else []
    detail = detail.removeprefix(f"transaction {transaction_id}: ")
    return Line(
        at=instant(datetime.fromtimestamp(event["timestamp"] / 1000, UTC)),
        function=function,
        transaction_id=hidden(transaction_id),
        what=hidden(what),
        detail=hidden(detail or ", ".join(map(str, reasons or []))),
        bad=str(said.get("level", "")).upper() in _BAD,
        request_id=str(said.get("requestId", "")),
        key=str(event.get("eventId") or f"{event.get('logStreamName')}{event['timestamp']}{text}"),
    )
