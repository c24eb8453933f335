"""What the table holds of a payment, without the customer: operators do not need to know who paid."""

import json
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from typing import Any

from adapters.stored_items import ERASURE_SHARDS, MAXIMUM_SHARDS
from payments.money import Money
from payments.payment import without_run
from payments.request import CARD_NUMBER, PaymentRequest

from scripts.common.errors import UserError
from stacks.names import OPEN_INDEX

from .platform import Platform

# The limit of BatchGetItem.
BATCH = 100
# Seconds between two attempts to read what the table was too busy for.
_WAITS = (0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4)
# The attributes of fields that have other names. Of a notice, older versions wrote the second one.
_ATTRIBUTES = {
    "attempts": ("attempt",),
    "notified_status": ("notified_status", "told"),
    "notifier": ("notifier", "announced_by"),
    "is_dead_lettered": ("dead_lettered", "letter"),
    "is_notice_due": ("notification_due", "notice_due"),
    "is_confirmed": ("notification_confirmed", "told_id"),
    "idempotency_key_closed": ("closed",),
    "amount": ("amount_minor", "currency"),
    "overdue_at": ("overdue_at", "open_shard"),
}


@dataclass(frozen=True)
class Record:
    """The current state of a payment. Times are ISO 8601 in UTC; what does not apply is empty.

    ``attempts`` is how often the payment was claimed in order to charge it, in all of its executions.
    ``overdue_at`` is from when on reconciliation handles it. The names of what was notified are those of
    ``payments.notification.Notification``, whose ``is_due`` is ``is_notice_due``. ``salt`` is empty for a payment that
    was recorded before fingerprints were keyed.
    """

    transaction_id: str
    status: str
    amount: str
    payment_method: str
    attempts: int
    gateway_reference: str
    refund_reference: str
    failure: str
    reasons: tuple[str, ...]
    notified_status: str
    is_dead_lettered: bool
    is_notice_due: bool
    is_confirmed: bool
    idempotency_key_closed: bool
    execution: str
    notifier: str
    fingerprint: str
    salt: str
    created_at: str
    updated_at: str
    overdue_at: str

    def matches(self, request: PaymentRequest) -> bool:
        """Return whether ``request`` is the recorded one, however its amount is spelled."""
        return self.fingerprint == request.compute_fingerprint(self.salt or None)


def make_projection() -> dict[str, Any]:
    """Return the arguments that limit a read to a record's attributes, by aliases, because ``status`` is reserved."""
    aliases = {f"#{name}": name for field in fields(Record) for name in _ATTRIBUTES.get(field.name, (field.name,))}
    return {"ProjectionExpression": ", ".join(aliases), "ExpressionAttributeNames": aliases}


def read_payment(platform: Platform, transaction_id: str) -> Record:
    """Return the payment. Raises ``UserError`` if it is not recorded."""
    payments = read_payments(platform, [transaction_id])
    if transaction_id not in payments:
        raise UserError(f"{transaction_id} is not recorded in {platform.environment}; see `list` for recorded payments")
    return payments[transaction_id]


def read_payments(
    platform: Platform, transaction_ids: Iterable[str], pause: Callable[[float], None] = time.sleep
) -> dict[str, Record]:
    """Return the recorded payments by id, by consistent reads. Raises ``UserError`` if the table stays too busy."""
    dynamodb, table = platform.client("dynamodb"), platform.outputs["DynamodbTableName"]
    unique_ids, payments = list(dict.fromkeys(transaction_ids)), {}
    for batch in (unique_ids[first : first + BATCH] for first in range(0, len(unique_ids), BATCH)):
        keys = [{"transaction_id": {"S": transaction_id}} for transaction_id in batch]
        request: Any = {table: {"Keys": keys, "ConsistentRead": True} | make_projection()}
        for wait in (*_WAITS, None):
            response = dynamodb.batch_get_item(RequestItems=request)
            for record in map(parse_item, response["Responses"].get(table, [])):
                payments[record.transaction_id] = record
            # botocore does not repeat these, and an immediate repetition would be throttled as well.
            # https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_BatchGetItem.html
            request = response.get("UnprocessedKeys") or {}
            if not request:
                break
            if wait is None:
                raise UserError(f"{table} is too busy to read {len(request[table]['Keys'])} payments; try again later")
            pause(wait)
    return payments


def parse_item(item: dict[str, Any]) -> Record:
    """Return the record of an item of the table; attributes that are missing are empty."""
    values = {name: next(iter(typed.values())) for name, typed in item.items()}
    # In the index only until its customer is erased, it needs nothing.
    if int(values.pop("open_shard", 0)) >= ERASURE_SHARDS:
        values.pop("overdue_at", None)
    # With all of their digits, because ARNs need them.
    texts = ("transaction_id", "status", "notified_status")
    converters: dict[tuple[str, ...], Callable[[Any], Any]] = {
        texts: lambda value: replace_control_characters(str(value or "")),
        ("execution", "notifier"): lambda value: without_run(replace_control_characters(str(value or ""))),
        ("payment_method", "gateway_reference", "refund_reference", "failure"): lambda value: hide_card_numbers(
            value or ""
        ),
        ("fingerprint", "salt"): lambda value: value or "",
        ("is_dead_lettered", "is_notice_due", "is_confirmed", "idempotency_key_closed"): bool,
        ("created_at", "updated_at", "overdue_at"): format_timestamp,
        ("attempts",): lambda value: int(value or 0),
        ("reasons",): lambda value: tuple(hide_card_numbers(str(reason)) for reason in json.loads(value or "[]")),
    }
    amount = str(Money(int(values["amount_minor"]), values.get("currency", ""))) if "amount_minor" in values else ""
    record: dict[str, Any] = {"amount": amount}
    for names, convert in converters.items():
        for name in names:
            attributes = _ATTRIBUTES.get(name, (name,))
            record[name] = convert(next((values[attribute] for attribute in attributes if attribute in values), None))
    return Record(**record)


def format_timestamp(seconds: str | float | None) -> str:
    """Format seconds since 1970 as ``2026-11-23T12:40:37.784Z``, which sorts by time; None is empty."""
    return format_time(datetime.fromtimestamp(float(seconds), UTC)) if seconds is not None else ""


def format_time(time: datetime) -> str:
    return time.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def hide_card_numbers(text: str) -> str:
    """Return printable text, in which anything shaped like a card number is hidden."""
    return CARD_NUMBER.sub(r"\1(hidden)\4", replace_control_characters(text))


def replace_control_characters(text: str) -> str:
    """Replace by spaces the characters that a terminal might interpret as commands."""
    return "".join(character if character.isprintable() else " " for character in text)


def read_open_ids(platform: Platform, overdue_at: float | None = None) -> Iterator[str]:
    """Yield the ids of open payments, or of those overdue at a time in seconds since 1970: one query for each shard."""
    condition, values = "open_shard = :shard", {}
    if overdue_at is not None:
        condition, values = f"{condition} AND overdue_at <= :now", {":now": {"N": f"{overdue_at:.6f}"}}
    request = {"TableName": platform.outputs["DynamodbTableName"], "IndexName": OPEN_INDEX}
    request |= {"KeyConditionExpression": condition}
    for shard in range(MAXIMUM_SHARDS):
        shard_values = {":shard": {"N": str(shard)}} | values
        items = platform.read_pages("dynamodb", "query", "Items", **request, ExpressionAttributeValues=shard_values)
        yield from (item["transaction_id"]["S"] for item in items)
