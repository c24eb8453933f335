"""The ledger on two tables: what is known of each payment, and every step that led there, written together."""

import json
import logging
import zlib
from collections.abc import Callable, Iterable, Iterator
from decimal import Decimal
from itertools import islice
from typing import Any

import botocore.session
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from payments.errors import LedgerRefused, LedgerUnavailable
from payments.money import Money
from payments.notification import NOTIFIER_SECONDS, Notification
from payments.payment import OPEN, Payment, Status

# botocore may repeat a call whose answer was lost: it sends the same ClientRequestToken, and DynamoDB answers as it did
# then. Ten minutes later, or from another process, the condition fails, and what the table holds tells (see write).
_CONFIG = Config(connect_timeout=2, read_timeout=5, retries={"mode": "standard", "total_max_attempts": 3})

# The index of open payments, and of those of which somebody has to be told yet. The others leave it, because they lose
# its key; the shards spread its load.
OPEN_INDEX = "open-payments"
SHARDS = 8
# How many open payments are looked at for their age, an eighth of each shard: those that are overdue first.
MEASURED_PAYMENTS = 10_000


def create_client() -> Any:
    # It tells where it found its credentials, at INFO, for every new environment.
    logging.getLogger("botocore").setLevel(logging.WARNING)
    return botocore.session.get_session().create_client("dynamodb", config=_CONFIG)


class DynamoDBLedger:
    """One item per payment in the transactions table, one item per step in the ledger table.

    Each clause of a conditional write has a name. Transactions:
    https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/transaction-apis.html
    """

    # A payment is created once.
    NOT_RECORDED = "attribute_not_exists(transaction_id)"
    # A step is taken from the status, and from the very write, that the caller read.
    UNCHANGED = "#status = :status AND #sequence = :sequence"
    # A step is appended, never overwritten.
    NEW_STEP = "attribute_not_exists(transaction_id)"

    def __init__(self, table_name: str, ledger_table_name: str, dynamodb: Any, actor: str) -> None:
        """``actor`` is who takes the steps: a function with the version of its code, or an operator by way of one."""
        self._table_name = table_name
        self._ledger_table_name = ledger_table_name
        self._dynamodb = dynamodb
        self._actor = actor

    def find_payment(self, transaction_id: str) -> Payment | None:
        answer = self._call_dynamodb(
            self._dynamodb.get_item,
            TableName=self._table_name,
            Key={"transaction_id": {"S": transaction_id}},
            ConsistentRead=True,
        )
        return from_item(answer["Item"]) if "Item" in answer else None

    def write_step(self, before: Payment | None, after: Payment) -> Payment | None:
        condition: dict[str, Any] = {"ConditionExpression": self.NOT_RECORDED}
        if before is not None:
            condition = {
                "ConditionExpression": self.UNCHANGED,
                "ExpressionAttributeNames": {"#status": "status", "#sequence": "sequence"},
                "ExpressionAttributeValues": {
                    ":status": {"S": before.status},
                    ":sequence": {"N": str(before.sequence)},
                },
            }
        state = {
            "TableName": self._table_name,
            "Item": to_item(after),
            "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
            **condition,
        }
        step = {
            "TableName": self._ledger_table_name,
            "Item": to_step(before, after, self._actor),
            "ConditionExpression": self.NEW_STEP,
        }
        try:
            self._call_dynamodb(self._dynamodb.transact_write_items, TransactItems=[{"Put": state}, {"Put": step}])
        except ClientError as error:
            # _call lets no other ClientError pass: the first condition failed, and its reason holds the item.
            response: Any = error.response
            item = response["CancellationReasons"][0].get("Item")
            if not item:  # it is gone since it was read
                raise LedgerUnavailable("transact_write_items: the payment is not there any more") from None
            found = from_item(item)
            # Our own write, whose answer was lost and which was sent again.
            return None if found == after else found
        return None

    def list_overdue_ids(self, now: float) -> Iterator[str]:
        """The transaction ids of payments whose time is up, the longest overdue of each shard first.

        Each five minutes another shard is the first, so that none waits behind the others for ever.
        The index is eventually consistent: what it says is where to look, not what is there.
        """
        first = int(now // 300)
        for shard in ((first + n) % SHARDS for n in range(SHARDS)):
            until = {":now": _seconds(now)}
            yield from self._list_ids_of_shard(shard, "open_shard = :shard AND overdue_at <= :now", until)

    def read_open_times(self, is_time_left: Callable[[], bool]) -> list[float]:
        """The times (seconds since 1970) at which the open payments entered their status, unordered.

        Reads at most ``MEASURED_PAYMENTS``.

        The index knows no statuses: some in it are closed, and wait only to be told of. Raises ``LedgerUnavailable``
        when no time is left, asked before each shard and each hundred: a part would look younger than the whole.
        """

        def hurry() -> None:
            if not is_time_left():
                raise LedgerUnavailable("read_open_times: no time is left")

        def ids() -> Iterator[str]:
            for shard in range(SHARDS):
                hurry()
                # As many of each: one shard that is full must not hide what is stuck in the others.
                yield from islice(
                    self._list_ids_of_shard(shard, "open_shard = :shard", {}), MEASURED_PAYMENTS // SHARDS
                )

        since: list[float] = []
        for keys in _in_hundreds(ids()):
            hurry()
            open_ones = (item for item in self._read_status_times(keys) if item["status"]["S"] in OPEN)
            # An item of before "since" was kept has only its last write.
            since += (float((item.get("since") or item["updated_at"])["N"]) for item in open_ones)
        return since

    def _read_status_times(self, transaction_ids: Iterable[str]) -> Iterable[dict[str, Any]]:
        """Status and time of up to 100 payments. The next run asks again for one that a throttled table left out."""
        asked = {
            "Keys": [{"transaction_id": {"S": one}} for one in transaction_ids],
            "ProjectionExpression": "#status, since, updated_at",
            "ExpressionAttributeNames": {"#status": "status"},
        }
        answer = self._call_dynamodb(self._dynamodb.batch_get_item, RequestItems={self._table_name: asked})
        found: list[dict[str, Any]] = answer["Responses"].get(self._table_name, [])
        return found

    def _list_ids_of_shard(self, shard: int, condition: str, values: dict[str, Any]) -> Iterator[str]:
        start: dict[str, Any] = {}
        while True:
            page = self._call_dynamodb(
                self._dynamodb.query,
                TableName=self._table_name,
                IndexName=OPEN_INDEX,
                KeyConditionExpression=condition,
                ExpressionAttributeValues={":shard": {"N": str(shard)}, **values},
                **start,
            )
            yield from (item["transaction_id"]["S"] for item in page["Items"])
            if "LastEvaluatedKey" not in page:
                return
            start = {"ExclusiveStartKey": page["LastEvaluatedKey"]}

    def _call_dynamodb(self, operation: Callable[..., Any], **arguments: Any) -> Any:
        try:
            return operation(**arguments)
        except ClientError as error:
            code = error.response["Error"]["Code"]
            if code == "TransactionCanceledException":
                response: Any = error.response
                reasons = [reason["Code"] for reason in response["CancellationReasons"]]
                if reasons[0] == "ConditionalCheckFailed":
                    raise
                code = ", ".join(reason for reason in reasons if reason != "None")
                # In a conflict one condition may be judged by what the other transaction has not finished yet.
                if not set(reasons) & _RETRYABLE_CODES:
                    raise LedgerRefused(f"{operation.__name__}: {code}") from None
                raise LedgerUnavailable(f"{operation.__name__}: {code}") from None
            if code in _RETRYABLE_CODES or error.response["ResponseMetadata"]["HTTPStatusCode"] >= 500:
                raise LedgerUnavailable(f"{operation.__name__}: {code}") from None
            raise LedgerRefused(f"{operation.__name__}: {code}") from None
        except BotoCoreError as error:  # no connection, or no answer in time
            raise LedgerUnavailable(f"{operation.__name__}: {type(error).__name__}") from None


_RETRYABLE_CODES = {
    "ProvisionedThroughputExceededException",
    "RequestLimitExceeded",
    "ThrottlingException",
    "TransactionConflictException",
    "TransactionInProgressException",
    "ReplicatedWriteConflictException",
    "KMSThrottlingException",
    # As reasons of a cancelled transaction:
    "ThrottlingError",
    "ProvisionedThroughputExceeded",
    "TransactionConflict",
}


def to_item(payment: Payment) -> dict[str, Any]:
    """A payment as DynamoDB attributes; what is None is left out."""
    item: dict[str, Any] = {
        "transaction_id": {"S": payment.transaction_id},
        "status": {"S": payment.status},
        "sequence": {"N": str(payment.sequence)},
        "fingerprint": {"S": payment.fingerprint},
        "execution": {"S": payment.execution},
        "created_at": _seconds(payment.created_at),
        "updated_at": _seconds(payment.updated_at),
        "since": _seconds(payment.since),
        "status_sequence": {"N": str(payment.status_sequence)},
        "attempt": {"N": str(payment.attempt)},
    }
    if payment.amount is not None:
        item["amount_minor"] = {"N": str(payment.amount.minor_units)}
        item["currency"] = {"S": payment.amount.currency}
    if payment.reasons:
        item["reasons"] = {"S": json.dumps(payment.reasons)}
    if payment.closed:
        item["closed"] = {"BOOL": True}
    for name, default in _COUNTS.items():
        if getattr(payment, name) != default:
            item[name] = {"N": str(getattr(payment, name))}
    item |= _notification_to_item(payment.notification)
    if payment.overdue_at is not None:
        item["open_shard"] = {"N": str(_compute_shard(payment.transaction_id))}
        item["overdue_at"] = _seconds(payment.overdue_at)
    for name in _TIMES:
        value = getattr(payment, name)
        if value is not None:
            item[name] = _seconds(value)
    for name in _TEXTS:
        value = getattr(payment, name)
        if value is not None:
            item[name] = {"S": value}
    return item


def from_item(item: dict[str, Any]) -> Payment:
    """The payment of an item of ``to_item``; raises ``LedgerRefused`` for an item that something else wrote."""
    missing = [name for name in _ALWAYS if name not in item]
    if missing:
        raise LedgerRefused(f"the table holds an item without {', '.join(missing)}")
    amount = Money(int(item["amount_minor"]["N"]), item["currency"]["S"]) if "amount_minor" in item else None
    optional: dict[str, Any] = {name: float(item[name]["N"]) for name in _TIMES if name in item}
    optional |= {name: item[name]["S"] for name in _TEXTS if name in item}
    optional |= {name: int(item[name]["N"]) for name in _COUNTS if name in item}
    return Payment(
        transaction_id=item["transaction_id"]["S"],
        status=Status(item["status"]["S"]),
        sequence=int(item["sequence"]["N"]),
        fingerprint=item["fingerprint"]["S"],
        execution=item["execution"]["S"],
        created_at=float(item["created_at"]["N"]),
        updated_at=float(item["updated_at"]["N"]),
        # Items of before these were kept.
        since=float(item.get("since", item["updated_at"])["N"]),
        status_sequence=int(item.get("status_sequence", item["sequence"])["N"]),
        attempt=int(item["attempt"]["N"]),
        amount=amount,
        reasons=tuple(json.loads(item["reasons"]["S"])) if "reasons" in item else (),
        closed="closed" in item,
        notification=_notification_from_item(item),
        **optional,
    )


def to_step(before: Payment | None, after: Payment, actor: str) -> dict[str, Any]:
    """The audit record of one step: who, what, when, which attempt, which reference; no payment data."""
    step: dict[str, Any] = {
        "transaction_id": {"S": after.transaction_id},
        "sequence": {"N": str(after.sequence)},
        "status": {"S": after.status},
        "at": _seconds(after.updated_at),
        "actor": {"S": actor},
        "execution": {"S": after.execution},
        "attempt": {"N": str(after.attempt)},
    }
    if before is not None:
        step["from_status"] = {"S": before.status}
        if before.status is after.status:
            step["note"] = {"S": _notes(after)}
    for name in ("gateway_reference", "refund_reference", "failure"):
        value = getattr(after, name)
        if value is not None:
            step[name] = {"S": value}
    return step


_ALWAYS = ("status", "sequence", "fingerprint", "execution", "created_at", "updated_at", "attempt")
_TIMES = ("lease_until", "first_claimed_at")
_TEXTS = (
    "payment_method",
    "customer_id",
    "gateway_reference",
    "refund_reference",
    "failure",
    "salt",
)
# With their defaults, which are not stored.
_COUNTS = {"generation": 0, "request_version": 1}


def _notification_to_item(notification: Notification) -> dict[str, Any]:
    item: dict[str, Any] = {}
    for name, value in (
        ("notified_status", notification.status),
        ("notice_id", notification.notice_id),
        ("notifier", notification.notifier),
    ):
        if value is not None:
            item[name] = {"S": value}
    for name, is_so in (
        ("notification_due", notification.is_due),
        ("notification_confirmed", notification.is_confirmed),
        ("dead_lettered", notification.is_dead_lettered),
    ):
        if is_so:
            item[name] = {"BOOL": True}
    if notification.notifier_until is not None:
        item["notifier_until"] = _seconds(notification.notifier_until)
    return item


def _notification_from_item(item: dict[str, Any]) -> Notification:
    """The notification of an item, also of one that was written before notices were claimed (``told``, ``letter``)."""

    def text(*names: str) -> str | None:
        return next((str(item[name]["S"]) for name in names if name in item), None)

    status, is_due = text("notified_status", "told"), "notification_due" in item or "notice_due" in item
    notifier, notifier_until = text("notifier"), None
    if "notifier_until" in item:
        notifier_until = float(item["notifier_until"]["N"])
    elif is_due and "announced_by" in item:
        # Its announcer may be at it still.
        notifier, notifier_until = text("announced_by"), float(item["updated_at"]["N"]) + NOTIFIER_SECONDS
    return Notification(
        is_due=is_due,
        status=Status(status) if status else None,
        notice_id=text("notice_id", "told_id"),
        is_confirmed="notification_confirmed" in item or "told_id" in item,
        notifier=notifier,
        notifier_until=notifier_until,
        is_dead_lettered="dead_lettered" in item or "letter" in item,
    )


def _notes(payment: Payment) -> str:
    """What was noted of a payment without a change of its status, for a person to read."""
    notification = payment.notification
    notes = {
        "notified of": notification.status,
        "notice": notification.notice_id,
        "confirmed": notification.is_confirmed,
        "notifier": notification.notifier,
        "dead letter": notification.is_dead_lettered,
        "due": notification.is_due,
        "closed at the gateway": payment.closed,
    }
    return ", ".join(f"{name}: {value}" for name, value in notes.items())


def _compute_shard(transaction_id: str) -> int:
    return zlib.crc32(transaction_id.encode()) % SHARDS


def _in_hundreds(values: Iterator[str]) -> Iterator[list[str]]:
    """As many as a call of BatchGetItem takes."""
    while hundred := list(islice(values, 100)):
        yield hundred


def _seconds(value: float) -> dict[str, str]:
    # repr of the float, so that it reads back as the same.
    return {"N": str(Decimal(repr(value)))}
