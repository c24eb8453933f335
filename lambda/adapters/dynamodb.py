"""The ledger on two tables: what is known of each payment, and every step that led there, written together."""

import logging
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import Any

import botocore.session
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from payments.errors import LedgerRefused, LedgerUnavailable
from payments.payment import OPEN, Payment

from adapters.stored_items import SHARDS, from_item, to_item, to_seconds, to_step

# botocore may repeat a call whose answer was lost: it sends the same ClientRequestToken, and DynamoDB answers as it did
# then. Ten minutes later, or from another process, the condition fails, and what the table holds tells (see write).
_CONFIG = Config(connect_timeout=2, read_timeout=5, retries={"mode": "standard", "total_max_attempts": 3})

# The index of open payments, and of those of which somebody has to be told yet. The others leave it, because they lose
# its key; the shards spread its load.
OPEN_INDEX = "open-payments"
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
            items = from_item(item)
            # Our own write, whose answer was lost and which was sent again.
            return None if items == after else items
        return None

    def list_overdue_ids(self, current_time: float) -> Iterator[str]:
        """The transaction ids of payments whose time is up, the longest overdue of each shard first.

        Each five minutes another shard is the first, so that none waits behind the others for ever.
        The index is eventually consistent: what it says is where to look, not what is there.
        """
        first = int(current_time // 300)
        for shard in ((first + n) % SHARDS for n in range(SHARDS)):
            upper_bound = {":now": to_seconds(current_time)}
            yield from self._list_ids_of_shard(shard, "open_shard = :shard AND overdue_at <= :now", upper_bound)

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
        request = {
            "Keys": [{"transaction_id": {"S": transaction_id}} for transaction_id in transaction_ids],
            "ProjectionExpression": "#status, since, updated_at",
            "ExpressionAttributeNames": {"#status": "status"},
        }
        answer = self._call_dynamodb(self._dynamodb.batch_get_item, RequestItems={self._table_name: request})
        items: list[dict[str, Any]] = answer["Responses"].get(self._table_name, [])
        return items

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


def _in_hundreds(values: Iterator[str]) -> Iterator[list[str]]:
    """As many as a call of BatchGetItem takes."""
    while hundred := list(islice(values, 100)):
        yield hundred
