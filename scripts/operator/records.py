"""What the table holds of a payment. The customer is not asked for: nobody has to see who paid to look after it."""

import dataclasses
import json
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import chain
from typing import Any

from adapters.stored_items import SHARDS
from payments.money import Money
from payments.request import CARD_NUMBER, PaymentRequest

from scripts.common.errors import UserError
from stacks.names import OPEN_INDEX

from .platform import Platform

# As many keys as DynamoDB takes at once.
BATCH = 100
# Seconds between two tries for what the table was too busy for.
_WAITS = (0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4)
_TEXTS = ("status", "execution", "payment_method", "gateway_reference", "refund_reference", "failure")
# By these a request is recognized. Together they give it away to whoever tries all requests, so no command prints them.
_OF_THE_REQUEST = ("fingerprint", "salt")
# Each with the name that it had before notices were claimed.
_NOTICES = {
    "told": ("notified_status", "told"),
    "announced_by": ("notifier", "announced_by"),
    "letter": ("dead_lettered", "letter"),
    "notice_due": ("notification_due", "notice_due"),
    "confirmed": ("notification_confirmed", "told_id"),
}
_NUMBERS = ("amount_minor", "currency", "attempt", "created_at", "updated_at", "overdue_at", "reasons")
READ = ("transaction_id", *_TEXTS, "closed", *_OF_THE_REQUEST, *chain(*_NOTICES.values()), *_NUMBERS)


@dataclass(frozen=True)
class Record:
    """A payment as it is now. Times are ISO 8601 in UTC; what does not apply is empty.

    ``overdue_at`` is when reconciliation takes it up. ``told`` is the status that the last notification stated,
    ``confirmed`` whether that was sent for certain, ``announced_by`` who is sending it; ``letter`` is whether a dead
    letter was left of this try, ``notice_due`` whether one or a notification is still to come.
    ``salt`` is empty for a payment that was recorded before fingerprints were keyed.
    """

    transaction_id: str
    status: str
    amount: str
    method: str
    attempt: int
    gateway_reference: str
    refund_reference: str
    failure: str
    reasons: tuple[str, ...]
    told: str
    letter: bool
    notice_due: bool
    confirmed: bool
    closed: bool
    execution: str
    announced_by: str
    fingerprint: str
    salt: str
    created_at: str
    updated_at: str
    overdue_at: str

    def is_of(self, request: PaymentRequest) -> bool:
        """Return whether ``request`` is the recorded one, however its amount is spelt."""
        return self.fingerprint == request.compute_fingerprint(self.salt or None)


def to_json(record_or_story: Any) -> dict[str, Any]:
    """Return a data class, and those within it, as what a command may print: without fingerprints and their salts."""
    return dataclasses.asdict(
        record_or_story,
        dict_factory=lambda fields: {name: value for name, value in fields if name not in _OF_THE_REQUEST},
    )


def expression() -> dict[str, Any]:
    """What a read asks for: ``status`` and some others are reserved words, so all have a name of their own."""
    return {
        "ProjectionExpression": ", ".join(f"#{name}" for name in READ),
        "ExpressionAttributeNames": {f"#{name}": name for name in READ},
    }


def one(platform: Platform, transaction_id: str) -> Record:
    """Raises ``UserError`` for a payment that is not recorded."""
    found = several(platform, [transaction_id])
    if transaction_id not in found:
        raise UserError(f"{transaction_id} is not recorded in {platform.environment}; see `list` for recorded payments")
    return found[transaction_id]


def several(
    platform: Platform, transaction_ids: Iterable[str], pause: Callable[[float], None] = time.sleep
) -> dict[str, Record]:
    """Those that are recorded, by id, as last written: a consistent read of one item each.

    Raises ``UserError`` where the table stays too busy for a quarter of a minute.
    """
    dynamodb, table = platform.client("dynamodb"), platform.outputs["DynamodbTableName"]
    wanted, found = list(dict.fromkeys(transaction_ids)), {}
    for batch in (wanted[first : first + BATCH] for first in range(0, len(wanted), BATCH)):
        keys: Any = [{"transaction_id": {"S": transaction_id}} for transaction_id in batch]
        asked = {table: {"Keys": keys, "ConsistentRead": True} | expression()}
        for wait in (*_WAITS, None):
            answer = dynamodb.batch_get_item(RequestItems=asked)
            for item in answer["Responses"].get(table, []):
                record = of(item)
                found[record.transaction_id] = record
            # A part that it was too busy for is to be asked for again, and not at once: botocore does not wait for it.
            # https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_BatchGetItem.html
            asked = answer.get("UnprocessedKeys") or {}
            if not asked:
                break
            if wait is None:
                raise UserError(f"{table} is too busy to read {len(asked[table]['Keys'])} payments; try again later")
            pause(wait)
    return found


def of(item: dict[str, Any]) -> Record:
    """The record of an item, whoever wrote it: what is missing is empty."""
    value = {name: next(iter(typed.values())) for name, typed in item.items()}
    amount = ""
    if "amount_minor" in value:
        amount = str(Money(int(value["amount_minor"]), value.get("currency", "")))
    noted = {name: value.get(new, value.get(old)) for name, (new, old) in _NOTICES.items()}
    return Record(
        transaction_id=printable(value["transaction_id"]),
        status=printable(value.get("status", "")),
        amount=amount,
        method=hidden(value.get("payment_method", "")),
        attempt=int(value.get("attempt", 0)),
        gateway_reference=hidden(value.get("gateway_reference", "")),
        refund_reference=hidden(value.get("refund_reference", "")),
        failure=hidden(value.get("failure", "")),
        reasons=tuple(hidden(str(reason)) for reason in json.loads(value.get("reasons", "[]"))),
        told=printable(str(noted["told"] or "")),
        letter=bool(noted["letter"]),
        notice_due=bool(noted["notice_due"]),
        confirmed=bool(noted["confirmed"]),
        closed=bool(value.get("closed")),
        execution=printable(value.get("execution", "")),
        announced_by=printable(str(noted["announced_by"] or "")),
        fingerprint=value.get("fingerprint", ""),
        salt=value.get("salt", ""),
        created_at=time_of(value.get("created_at")),
        updated_at=time_of(value.get("updated_at")),
        overdue_at=time_of(value.get("overdue_at")),
    )


def time_of(seconds: str | float | None) -> str:
    """Seconds since 1970 as ``2026-11-23T12:40:37.784Z``; text of that form sorts by time."""
    return instant(datetime.fromtimestamp(float(seconds), UTC)) if seconds is not None else ""


def instant(at: datetime) -> str:
    return at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def hidden(text: str) -> str:
    """The text, but for what has the form of a card number: whatever a gateway or a defect wrote there."""
    return CARD_NUMBER.sub(r"\1(hidden)\4", printable(text))


def printable(text: str) -> str:
    """The text, but for what a terminal takes for a command: whoever wrote it."""
    return "".join(character if character.isprintable() else " " for character in text)


def open_ids(platform: Platform, overdue_at: float | None = None) -> Iterator[str]:
    """Ids of open payments, of all or of those that are overdue then (seconds since 1970): a query for each shard."""
    pages = platform.client("dynamodb").get_paginator("query")
    condition, values = "open_shard = :shard", {}
    if overdue_at is not None:
        condition, values = f"{condition} AND overdue_at <= :now", {":now": {"N": f"{overdue_at:.6f}"}}
    for shard in range(SHARDS):
        for page in pages.paginate(
            TableName=platform.outputs["DynamodbTableName"],
            IndexName=OPEN_INDEX,
            KeyConditionExpression=condition,
            ExpressionAttributeValues={":shard": {"N": str(shard)}} | values,
        ):
            yield from (item["transaction_id"]["S"] for item in page["Items"])
