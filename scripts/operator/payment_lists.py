"""Payments that are open, or failed, or new."""

import heapq
from collections.abc import Collection, Iterator
from typing import Any

from payments.payment import Status

from . import records
from .platform import Platform
from .records import Record, format_timestamp
from .statuses import FAILED, Selection


def list_recent_payments(
    platform: Platform, *, selection: Selection = Selection.EVERY, since: float = 0.0, limit: int = 50
) -> list[Record]:
    """Return at most ``limit`` payments that changed after ``since``, in seconds since 1970, newest first.

    ``OPEN`` and ``UNKNOWN`` cost eight queries of the index of open payments, and a read of each payment in it.
    ``EVERY`` and ``FAILED`` scan the table, for half a read unit per four kilobytes of everything ever recorded: a
    million payments take about a hundred thousand read units, and half a minute.
    """
    match selection:
        case Selection.OPEN:
            payments = _read_open_payments(platform)
        case Selection.UNKNOWN:
            payments = (payment for payment in _read_open_payments(platform) if payment.status == Status.UNKNOWN)
        case Selection.FAILED:
            payments = _scan_payments(platform, since, FAILED)
        case _:
            payments = _scan_payments(platform, since)
    earliest = format_timestamp(since)
    changed = (payment for payment in payments if payment.updated_at >= earliest)
    return heapq.nlargest(limit, changed, key=lambda payment: payment.updated_at)


def list_ids_of_customer(platform: Platform, customer_id: str) -> list[str]:
    """Return the ids of the payments that name the customer. Scans the table, as ``EVERY`` does."""
    arguments: dict[str, Any] = {
        "TableName": platform.outputs["DynamodbTableName"],
        "FilterExpression": "customer_id = :customer",
        "ExpressionAttributeValues": {":customer": {"S": customer_id}},
        "ProjectionExpression": "transaction_id",
        # A payment that was recorded a moment ago must not be missed.
        "ConsistentRead": True,
    }
    return [item["transaction_id"]["S"] for item in platform.read_pages("dynamodb", "scan", "Items", **arguments)]


def _read_open_payments(platform: Platform) -> Iterator[Record]:
    """Yield the payments that are not settled, or have a notification due."""
    open_payments = records.read_payments(platform, records.read_open_ids(platform))
    yield from (payment for payment in open_payments.values() if payment.overdue_at)


def _scan_payments(platform: Platform, since: float, statuses: Collection[str] = ()) -> Iterator[Record]:
    condition, values = "#updated_at >= :since", {":since": {"N": f"{since:.6f}"}}
    if statuses:
        values |= {f":{status}": {"S": status} for status in statuses}
        condition += f" AND #status IN ({', '.join(f':{status}' for status in statuses)})"
    arguments: dict[str, Any] = {"FilterExpression": condition, "ExpressionAttributeValues": values}
    arguments |= {"TableName": platform.outputs["DynamodbTableName"]} | records.make_projection()
    yield from map(records.parse_item, platform.read_pages("dynamodb", "scan", "Items", **arguments))
