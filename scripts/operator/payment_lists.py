"""Payments that are open, or failed, or new."""

import heapq
from collections.abc import Collection, Iterator
from enum import StrEnum
from typing import Any

from payments.payment import Status

from . import records
from .platform import Platform
from .records import Record, time_of
from .statuses import FAILED


class Which(StrEnum):
    ALL = "all"
    OPEN = "open"
    UNKNOWN = "unknown"
    FAILED = "failed"


def recent(platform: Platform, *, which: Which = Which.ALL, since: float = 0.0, limit: int = 50) -> list[Record]:
    """Payments that changed since then (seconds since 1970), the newest first, at most ``limit``.

    ``OPEN`` and ``UNKNOWN`` read the index of open payments, eight queries, and each payment in it: what they cost
    follows from how many are open. ``ALL`` and ``FAILED`` scan the table, because no index has the others: they read,
    and cost, half a read unit for each four kilobytes of all that was ever recorded, whatever ``since`` and ``limit``
    are. A million payments are about a hundred thousand read units, and half a minute.
    """
    match which:
        case Which.OPEN:
            found = _open(platform)
        case Which.UNKNOWN:
            found = (record for record in _open(platform) if record.status == Status.UNKNOWN)
        case Which.FAILED:
            found = _scanned(platform, since, FAILED)
        case _:
            found = _scanned(platform, since)
    after = time_of(since)
    return heapq.nlargest(limit, (one for one in found if one.updated_at >= after), key=lambda one: one.updated_at)


def _open(platform: Platform) -> Iterator[Record]:
    """Those that are not settled, or of which somebody has to be told yet."""
    yield from (one for one in records.several(platform, records.open_ids(platform)).values() if one.overdue_at)


def _scanned(platform: Platform, since: float, statuses: Collection[str] = ()) -> Iterator[Record]:
    ask: dict[str, Any] = records.expression()
    condition, values = "#updated_at >= :since", {":since": {"N": f"{since:.6f}"}}
    if statuses:
        values |= {f":{status}": {"S": status} for status in statuses}
        condition += f" AND #status IN ({', '.join(f':{status}' for status in statuses)})"
    pages = platform.client("dynamodb").get_paginator("scan")
    for page in pages.paginate(
        TableName=platform.outputs["DynamodbTableName"],
        FilterExpression=condition,
        ExpressionAttributeValues=values,
        **ask,
    ):
        yield from (records.of(item) for item in page["Items"])
