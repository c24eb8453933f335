"""The ledger on two DynamoDB tables, written in one transaction: the state of each payment, and its steps."""

from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError
from payments.errors import LedgerRefused, LedgerUnavailable
from payments.payment import OPEN, Payment

from adapters import clients
from adapters.stored_items import ERASURE_SHARDS, MAXIMUM_SHARDS, from_item, to_item, to_seconds, to_step

# The index of the payments that are open or have a notice due, and, in shards of their own, of those whose customer is
# to be erased. Other payments do not have its key.
OPEN_INDEX = "open-payments"
# The most open payments whose age is read, in turn from each shard that has some left, the earliest overdue first.
MEASURED_PAYMENTS = 10_000
# The keys that one query of the measurement reads. It keeps a page of every shard in memory.
_PAGE_KEYS = 100


def create_client() -> Any:
    # botocore may repeat a call whose answer was lost. It sends the same ClientRequestToken, and gets the same answer.
    # After ten minutes, or from another process, the condition fails, and ``write_step`` recognizes its own write.
    return clients.create_client("dynamodb", connect_seconds=2, read_seconds=5, attempts=3)


class DynamoDBLedger:
    """Stores one item per payment in the transactions table, and one item per step in the ledger table.

    https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/transaction-apis.html
    """

    # The condition of a payment's first write.
    NOT_RECORDED = "attribute_not_exists(transaction_id)"
    # The condition of any other write: the payment has the status and the last write that the caller read.
    UNCHANGED = "#status = :status AND #sequence = :sequence"
    # The condition of a step, which is never overwritten.
    NEW_STEP = "attribute_not_exists(transaction_id)"

    def __init__(
        self,
        table_name: str,
        ledger_table_name: str,
        dynamodb: Any,
        actor: str,
        open_shards: int,
        *,
        erases_customers: bool = False,
    ) -> None:
        """``actor`` is recorded with each step: a function with its version, or an operator by way of one.

        ``open_shards`` is the number of shards of the index to which this ledger writes. It reads all. With
        ``erases_customers``, finished payments are written so that ``list_erasable_ids`` finds them.
        """
        self._table_name = table_name
        self._ledger_table_name = ledger_table_name
        self._dynamodb = dynamodb
        self._actor = actor
        self._open_shards = open_shards
        self._erases_customers = erases_customers

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
            "Item": to_item(after, self._open_shards, erases_customers=self._erases_customers),
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
            # _call_dynamodb raises no other ClientError: the first condition failed, and its reason contains the item.
            response: Any = error.response
            item = response["CancellationReasons"][0].get("Item")
            if not item:  # deleted since it was read
                raise LedgerUnavailable("transact_write_items: the payment is not there any more") from None
            stored = from_item(item)
            # If they are equal, this is our own write, which was repeated because its answer was lost.
            return None if stored == after else stored
        return None

    def list_overdue_ids(self, current_time: float, worker: int = 0, workers: int = 1) -> Iterator[str]:
        """Yield the transaction ids of overdue payments, shard by shard, the longest overdue of each first.

        Of several ``workers``, numbered from 0, each reads the shards whose number modulo ``workers`` is its own.
        Every five minutes another shard comes first, so that none always waits behind the others. The index is
        eventually consistent, so the payment may have changed.
        """
        shards = range(MAXIMUM_SHARDS)[worker::workers]
        first = int(current_time // 300)
        for n in range(len(shards)):
            yield from self._list_ids_until(shards[(first + n) % len(shards)], current_time)

    def list_erasable_ids(self, until: float, worker: int = 0, workers: int = 1) -> Iterator[str]:
        """Yield the ids of finished payments with a customer whose last step was at ``until`` (seconds since 1970) or
        before, of the shards of a worker as in ``list_overdue_ids``. The payment may have changed.
        """
        for shard in range(MAXIMUM_SHARDS)[worker::workers]:
            yield from self._list_ids_until(ERASURE_SHARDS + shard, until)

    def _list_ids_until(self, shard: int, until: float) -> Iterator[str]:
        condition = "open_shard = :shard AND overdue_at <= :now"
        return self._list_ids_of_shard(shard, condition, {":now": to_seconds(until)})

    def read_open_times(self, is_time_left: Callable[[], bool]) -> list[float]:
        """Return the times (seconds since 1970) at which the open payments entered their status, unordered.

        Reads at most ``MEASURED_PAYMENTS``, taken in turn from the shards, so that a full one hides no payment that is
        stuck in another. The index contains no statuses, and also payments that are closed with a notice due. Raises
        ``LedgerUnavailable`` if ``is_time_left`` turns False, because the oldest of a part could be younger than that
        of all.
        """

        def hurry() -> None:
            if not is_time_left():
                raise LedgerUnavailable("read_open_times: no time is left")

        def ids() -> Iterator[str]:
            shards = [
                self._list_ids_of_shard(shard, "open_shard = :shard", {}, Limit=_PAGE_KEYS)
                for shard in range(MAXIMUM_SHARDS)
            ]
            while shards:
                unread = []
                for shard in shards:
                    hurry()
                    page = list(islice(shard, _PAGE_KEYS))
                    yield from page
                    if len(page) == _PAGE_KEYS:
                        unread.append(shard)
                shards = unread

        since: list[float] = []
        for keys in _in_hundreds(islice(ids(), MEASURED_PAYMENTS)):
            hurry()
            open_ones = (item for item in self._read_status_times(keys) if item["status"]["S"] in OPEN)
            # Items of early releases do not have "since".
            since += (float((item.get("since") or item["updated_at"])["N"]) for item in open_ones)
        return since

    def _read_status_times(self, transaction_ids: Iterable[str]) -> Iterable[dict[str, Any]]:
        """Return the status and times of up to 100 payments, without those that a throttled table left out."""
        request = {
            "Keys": [{"transaction_id": {"S": transaction_id}} for transaction_id in transaction_ids],
            "ProjectionExpression": "#status, since, updated_at",
            "ExpressionAttributeNames": {"#status": "status"},
        }
        answer = self._call_dynamodb(self._dynamodb.batch_get_item, RequestItems={self._table_name: request})
        items: list[dict[str, Any]] = answer["Responses"].get(self._table_name, [])
        return items

    def _list_ids_of_shard(self, shard: int, condition: str, values: dict[str, Any], **options: Any) -> Iterator[str]:
        start: dict[str, Any] = {}
        while True:
            page = self._call_dynamodb(
                self._dynamodb.query,
                TableName=self._table_name,
                IndexName=OPEN_INDEX,
                KeyConditionExpression=condition,
                ExpressionAttributeValues={":shard": {"N": str(shard)}, **values},
                **options,
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
            response: Any = error.response
            codes = [response["Error"]["Code"]]
            if codes == ["TransactionCanceledException"]:
                codes = [reason["Code"] for reason in response["CancellationReasons"]]
                if codes[0] == "ConditionalCheckFailed":
                    raise
            # In a conflict, the other condition may have failed because of the unfinished transaction.
            is_retryable = set(codes) & _RETRYABLE_CODES or response["ResponseMetadata"]["HTTPStatusCode"] >= 500
            text = ", ".join(code for code in codes if code != "None")
            raise (LedgerUnavailable if is_retryable else LedgerRefused)(f"{operation.__name__}: {text}") from None
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
    """Yield the values in lists of the most keys that BatchGetItem accepts."""
    while hundred := list(islice(values, 100)):
        yield hundred
