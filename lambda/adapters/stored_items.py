"""A payment as the item that the transactions table stores, and a step as the item of the ledger table.

``STORED_FIELDS`` is the format of a payment, with one row for each field. This release reads the items of all earlier
ones, and the release before this one, which may run beside it, reads what this one writes. So a stored attribute is
renamed in two releases: the first reads the new name too, and the second writes it.
"""

import json
import zlib
from collections.abc import Callable
from dataclasses import replace
from typing import Any, NamedTuple

from payments.errors import LedgerRefused
from payments.money import Money
from payments.notification import NOTIFIER_SECONDS, Notification
from payments.payment import Payment, Status

# The first shard of the payments in the same index that need nothing but to lose their customer in time.
ERASURE_SHARDS = 1_000
# The most shards of the index of open payments. Writers use as many as the setting ``open_shards`` says; readers read
# all of these, so a payment is found whatever the setting was when it was written.
MAXIMUM_SHARDS = 64


class Codec(NamedTuple):
    """How a value is written as a DynamoDB attribute value, and read from one."""

    encode: Callable[[Any], dict[str, Any]]
    decode: Callable[[dict[str, Any]], Any]


def to_seconds(value: float) -> dict[str, str]:
    # repr() returns the digits that parse to the same float.
    return {"N": repr(value)}


TEXT = Codec(lambda value: {"S": value}, lambda attribute: attribute["S"])
STATUS = Codec(TEXT.encode, lambda attribute: Status(attribute["S"]))
INTEGER = Codec(lambda value: {"N": str(value)}, lambda attribute: int(attribute["N"]))
SECONDS = Codec(to_seconds, lambda attribute: float(attribute["N"]))
# False is not stored, so an attribute that is present is True.
FLAG = Codec(lambda value: {"BOOL": value}, lambda _: True)
TEXTS = Codec(lambda value: {"S": json.dumps(value)}, lambda attribute: tuple(json.loads(attribute["S"])))


class StoredField(NamedTuple):
    """Where a field is in a ``Payment``, and how it is stored. None and the value ``omitted`` are not stored."""

    path: str
    codec: Codec
    attribute: str
    is_required: bool = False
    omitted: Any = None
    # The attributes of earlier releases, read in this order from an item without ``attribute``.
    older_attributes: tuple[str, ...] = ()


# Without ``since`` and ``status_sequence``, the last write is taken for the one that set the status.
STORED_FIELDS = (
    StoredField("transaction_id", TEXT, "transaction_id", is_required=True),
    StoredField("status", STATUS, "status", is_required=True),
    StoredField("sequence", INTEGER, "sequence", is_required=True),
    StoredField("fingerprint", TEXT, "fingerprint", is_required=True),
    StoredField("execution", TEXT, "execution", is_required=True),
    StoredField("created_at", SECONDS, "created_at", is_required=True),
    StoredField("updated_at", SECONDS, "updated_at", is_required=True),
    StoredField("attempt", INTEGER, "attempt", is_required=True),
    StoredField("since", SECONDS, "since", older_attributes=("updated_at",)),
    StoredField("status_sequence", INTEGER, "status_sequence", older_attributes=("sequence",)),
    StoredField("salt", TEXT, "salt"),
    StoredField("amount.minor_units", INTEGER, "amount_minor"),
    StoredField("amount.currency", TEXT, "currency"),
    StoredField("payment_method", TEXT, "payment_method"),
    StoredField("customer_id", TEXT, "customer_id"),
    StoredField("reasons", TEXTS, "reasons", omitted=()),
    StoredField("lease_until", SECONDS, "lease_until"),
    StoredField("first_claimed_at", SECONDS, "first_claimed_at"),
    StoredField("generation", INTEGER, "generation", omitted=0),
    StoredField("request_version", INTEGER, "request_version", omitted=1),
    StoredField("gateway_reference", TEXT, "gateway_reference"),
    StoredField("refund_reference", TEXT, "refund_reference"),
    StoredField("failure", TEXT, "failure"),
    StoredField("idempotency_key_closed", FLAG, "closed", omitted=False),
    StoredField("notification.is_due", FLAG, "notification_due", omitted=False, older_attributes=("notice_due",)),
    StoredField("notification.notified_status", STATUS, "notified_status", older_attributes=("told",)),
    StoredField("notification.notice_id", TEXT, "notice_id", older_attributes=("told_id",)),
    StoredField(
        "notification.is_confirmed", FLAG, "notification_confirmed", omitted=False, older_attributes=("told_id",)
    ),
    StoredField("notification.notifier", TEXT, "notifier"),
    StoredField("notification.notifier_until", SECONDS, "notifier_until"),
    StoredField("notification.is_dead_lettered", FLAG, "dead_lettered", omitted=False, older_attributes=("letter",)),
)
# Each with the part of the payment that holds it ("" for the payment itself), and its name there.
_PLACES = tuple((*field.path.rpartition(".")[::2], field) for field in STORED_FIELDS)
_REQUIRED = tuple(field.attribute for field in STORED_FIELDS if field.is_required)


def to_item(payment: Payment, open_shards: int, *, erases_customers: bool = False) -> dict[str, Any]:
    """Return the payment as a DynamoDB item, with the key of the index of open payments if it belongs there.

    ``open_shards`` is the number of shards over which new keys are spread, at most ``MAXIMUM_SHARDS``. With
    ``erases_customers``, a finished payment has a key in the shards from ``ERASURE_SHARDS`` on, until it is erased.
    """
    item = {}
    for holder, name, field in _PLACES:
        value = getattr(getattr(payment, holder) if holder else payment, name, None)
        if value is not None and (field.is_required or value != field.omitted):
            item[field.attribute] = field.codec.encode(value)
    overdue_at, shard = payment.overdue_at, zlib.crc32(payment.transaction_id.encode()) % open_shards
    if overdue_at is not None:
        item |= {"open_shard": INTEGER.encode(shard), "overdue_at": to_seconds(overdue_at)}
    elif erases_customers and payment.is_erasable:
        # By the last step, so that a change of the setting holds for what was recorded before.
        item |= {"open_shard": INTEGER.encode(ERASURE_SHARDS + shard), "overdue_at": to_seconds(payment.updated_at)}
    return item


def from_item(item: dict[str, Any]) -> Payment:
    """Return the payment that an item holds; raises ``LedgerRefused`` for an item that is no payment's."""
    missing = [attribute for attribute in _REQUIRED if attribute not in item]
    if missing:
        raise LedgerRefused(f"the table holds an item without {', '.join(missing)}")
    values: dict[str, dict[str, Any]] = {"": {}, "amount": {}, "notification": {}}
    for holder, name, field in _PLACES:
        stored = item.get(field.attribute)
        for older_attribute in field.older_attributes:
            stored = stored or item.get(older_attribute)
        if stored is not None:
            values[holder][name] = field.codec.decode(stored)
    notification = Notification(**values["notification"])
    if notification.is_due and notification.notifier_until is None and "announced_by" in item:
        # It was written before notices were claimed, and its notifier may still be sending.
        notifier_until = SECONDS.decode(item["updated_at"]) + NOTIFIER_SECONDS
        notification = replace(notification, notifier=TEXT.decode(item["announced_by"]), notifier_until=notifier_until)
    amount = Money(**values["amount"]) if values["amount"] else None
    return Payment(**values[""], amount=amount, notification=notification)


def to_step(before: Payment | None, after: Payment, actor: str) -> dict[str, Any]:
    """Return the audit record of one step: who, what, when, which attempt, which reference; no payment data."""
    step: dict[str, Any] = {
        "transaction_id": {"S": after.transaction_id},
        "sequence": {"N": str(after.sequence)},
        "status": {"S": after.status},
        "at": to_seconds(after.updated_at),
        "actor": {"S": actor},
        "execution": {"S": after.execution},
        "attempt": {"N": str(after.attempt)},
    }
    if before is not None:
        step["from_status"] = {"S": before.status}
        if before.status is after.status:
            step["note"] = {"S": _describe_unchanged_status(after)}
    for name in ("gateway_reference", "refund_reference", "failure"):
        value = getattr(after, name)
        if value is not None:
            step[name] = {"S": value}
    return step


def _describe_unchanged_status(payment: Payment) -> str:
    """Return, for a person to read, what a step records that does not change the status."""
    notification = payment.notification
    notes = {
        "notified of": notification.notified_status,
        "notice": notification.notice_id,
        "confirmed": notification.is_confirmed,
        "notifier": notification.notifier,
        "dead letter": notification.is_dead_lettered,
        "due": notification.is_due,
        "closed at the gateway": payment.idempotency_key_closed,
    }
    if payment.is_erased:
        notes["customer erased"] = True
    return ", ".join(f"{name}: {value}" for name, value in notes.items())
