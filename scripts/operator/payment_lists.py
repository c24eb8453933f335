"""Payments that are open, or failed, or new."""

import heapq
import re
from collections.abc import Collection, Iterator
from typing import Any

from adapters.stored_items import ERASURE_SHARDS
from payments.payment import ERASED, Status

from scripts.common.threads import map_in_threads

from . import records
from .platform import Platform
from .records import Record, format_timestamp
from .statuses import FAILED, Selection

# Read at the same time: a scan returns one megabyte after the other.
# https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Scan.html#Scan.ParallelScan
SEGMENTS = 8


def list_recent_payments(
    platform: Platform, *, selection: Selection = Selection.EVERY, since: float = 0.0, limit: int = 50
) -> list[Record]:
    """Return at most ``limit`` payments that changed after ``since``, in seconds since 1970, newest first.

    ``OPEN`` and ``UNKNOWN`` query each shard of the index of open payments, and read each payment in it. ``EVERY`` and
    ``FAILED`` scan the table, for half a read unit per four kilobytes of everything ever recorded: docs/scale.md says
    what that takes and costs, and why there is no index of failed payments.
    """
    match selection:
        case Selection.OPEN:
            payments = _read_open_payments(platform)
        case Selection.UNKNOWN:
            payments = (payment for payment in _read_open_payments(platform) if payment.status == Status.UNKNOWN)
        case Selection.FAILED:
            payments = _read_newest_payments(platform, since, limit, FAILED)
        case _:
            payments = _read_newest_payments(platform, since, limit)
    earliest = format_timestamp(since)
    changed = (payment for payment in payments if payment.updated_at >= earliest)
    return heapq.nlargest(limit, changed, key=lambda payment: payment.updated_at)


def list_ids_of_customer(platform: Platform, customer_id: str) -> list[str]:
    """Return the ids of the payments that name the customer. Scans the table."""
    condition, values = "customer_id = :customer", {":customer": {"S": customer_id}}
    # A payment that was recorded a moment ago must not be missed.
    items = _scan_table(platform, condition, values, ("transaction_id",), ConsistentRead=True)
    return sorted(item["transaction_id"]["S"] for item in items)


def list_erasable_ids(platform: Platform, until: float) -> list[str]:
    """Return the ids of finished payments that name a customer and had no step since ``until``. Scans the table."""
    condition = (
        "#updated_at <= :until AND #fingerprint <> :erased AND #status <> :review"
        " AND (attribute_not_exists(#open_shard) OR #open_shard >= :erasable)"
    )
    values = {
        ":until": {"N": f"{until:.6f}"},
        ":erased": {"S": ERASED},
        ":review": {"S": Status.REVIEW},
        ":erasable": {"N": str(ERASURE_SHARDS)},
    }
    items = _scan_table(platform, condition, values, ("transaction_id",), ConsistentRead=True)
    return sorted(item["transaction_id"]["S"] for item in items)


def _read_open_payments(platform: Platform) -> Iterator[Record]:
    """Yield the payments that are not settled, or have a notification due."""
    open_payments = records.read_payments(platform, records.read_open_ids(platform))
    yield from (payment for payment in open_payments.values() if payment.overdue_at)


def _read_newest_payments(
    platform: Platform, since: float, limit: int, statuses: Collection[str] = ()
) -> Iterator[Record]:
    """Yield the newest payments, with one of the statuses if there are any. Others are transferred as id and time."""
    condition, values = "#updated_at >= :since", {":since": {"N": f"{since:.6f}"}}
    if statuses:
        values |= {f":{status}": {"S": status} for status in statuses}
        condition += f" AND #status IN ({', '.join(f':{status}' for status in statuses)})"
    items = _scan_table(platform, condition, values, ("transaction_id", "updated_at"))
    newest = heapq.nlargest(limit, items, key=lambda item: float(item["updated_at"]["N"]))
    payments = records.read_payments(platform, [item["transaction_id"]["S"] for item in newest])
    yield from (payment for payment in payments.values() if not statuses or payment.status in statuses)


def _scan_table(
    platform: Platform, condition: str, values: dict[str, Any], attributes: Collection[str], **options: Any
) -> Iterator[dict[str, Any]]:
    """Yield the ``attributes`` of the items that meet the condition, unordered."""
    projection = ", ".join(f"#{name}" for name in attributes)
    arguments: dict[str, Any] = {
        "TableName": platform.outputs["DynamodbTableName"],
        "TotalSegments": SEGMENTS,
        "FilterExpression": condition,
        "ExpressionAttributeValues": values,
        "ExpressionAttributeNames": {name: name[1:] for name in re.findall(r"#\w+", f"{condition} {projection}")},
        "ProjectionExpression": projection,
        **options,
    }
    dynamodb = platform.client("dynamodb")
    pages: dict[int, dict[str, Any]] = {segment: {} for segment in range(SEGMENTS)}

    def read_page(segment: int) -> tuple[int, Any]:
        return segment, dynamodb.scan(**arguments, Segment=segment, **pages[segment])

    while pages:
        for segment, page in map_in_threads(read_page, list(pages), workers=SEGMENTS):
            yield from page["Items"]
            if "LastEvaluatedKey" in page:
                pages[segment] = {"ExclusiveStartKey": page["LastEvaluatedKey"]}
            else:
                del pages[segment]
