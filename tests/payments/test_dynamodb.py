"""The ledger on DynamoDB: the requests that it sends, and how it reads the answers. tests/e2e tests it end to end."""

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
from adapters import dynamodb
from adapters.dynamodb import DynamoDBLedger
from adapters.stored_items import to_item, to_step
from botocore.exceptions import ConnectTimeoutError, ReadTimeoutError
from botocore.stub import Stubber
from botocore.validate import ParamValidator
from payments.errors import LedgerRefused, LedgerUnavailable
from payments.money import Money
from payments.payment import Payment, Status

PAYMENT = Payment(
    transaction_id="T-1",
    status=Status.PENDING,
    sequence=1,
    fingerprint="f" * 64,
    execution="arn:1",
    created_at=1000.25,
    updated_at=1000.25,
    since=1000.25,
    amount=Money(15000, "USD"),
    payment_method="credit_card",
    customer_id="C-1",
)
CLAIMED = PAYMENT.with_status(Status.PROCESSING, at=1001.5, attempt=1, lease_until=1061.5)
# The shards that the ledger writes to.
SHARDS = 8


@pytest.fixture
def stubbed(monkeypatch: pytest.MonkeyPatch) -> Any:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "test")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    client = dynamodb.create_client()
    client.meta.events.register("provide-client-params.dynamodb.*", require_valid_request)
    with Stubber(client) as stub:
        yield DynamoDBLedger("table", "ledger", client, "function:1", SHARDS), stub, client


def require_valid_request(params: Any, model: Any, **_: Any) -> None:
    """Compare a request with the service model: the functions' client does not."""
    problems = ParamValidator().validate(params, model.input_shape)
    assert not problems.has_errors(), problems.generate_report()


def expect_query(shard: int, condition: str = "", values: Any = (), **changes: Any) -> dict[str, Any]:
    """Return the query of one shard of the index, with this further condition and its values."""
    return {
        "TableName": "table",
        "IndexName": "open-payments",
        "KeyConditionExpression": f"open_shard = :shard{condition}",
        "ExpressionAttributeValues": {":shard": {"N": str(shard)}, **dict(values)},
        **changes,
    }


def expect_transaction(before: Payment | None, after: Payment) -> dict[str, Any]:
    """Return the transaction that writes the payment under its condition and appends the step."""
    state: dict[str, Any] = {
        "TableName": "table",
        "Item": to_item(after, SHARDS),
        "ConditionExpression": "attribute_not_exists(transaction_id)",
        "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
    }
    if before:
        state |= {
            "ConditionExpression": "#status = :status AND #sequence = :sequence",
            "ExpressionAttributeNames": {"#status": "status", "#sequence": "sequence"},
            "ExpressionAttributeValues": {":status": {"S": before.status}, ":sequence": {"N": str(before.sequence)}},
        }
    step = {
        "TableName": "ledger",
        "Item": to_step(before, after, "function:1"),
        "ConditionExpression": "attribute_not_exists(transaction_id)",
    }
    return {"TransactItems": [{"Put": state}, {"Put": step}]}


def test_a_step_is_conditional_on_the_very_write_that_was_read(stubbed: Any) -> None:
    ledger, stub, _ = stubbed
    stub.add_response("transact_write_items", {}, expect_transaction(PAYMENT, CLAIMED))
    assert ledger.write_step(PAYMENT, CLAIMED) is None


def test_reads_are_consistent(stubbed: Any) -> None:
    ledger, stub, _ = stubbed
    expected = {"TableName": "table", "Key": {"transaction_id": {"S": "T-1"}}, "ConsistentRead": True}
    stub.add_response("get_item", {"Item": to_item(PAYMENT, SHARDS)}, expected)
    stub.add_response("get_item", {}, expected)
    assert ledger.find_payment("T-1") == PAYMENT
    assert ledger.find_payment("T-1") is None


def build_cancellation(*reasons: dict[str, Any]) -> dict[str, Any]:
    return {
        "service_error_code": "TransactionCanceledException",
        "http_status_code": 400,
        "modeled_fields": {"CancellationReasons": list(reasons)},
    }


@pytest.mark.parametrize(("stored", "answer"), [(CLAIMED, CLAIMED), (PAYMENT, None)])
def test_a_failed_condition_returns_the_stored_payment_unless_it_is_our_own_write(
    stubbed: Any, stored: Payment, answer: Payment | None
) -> None:
    """botocore repeats a write whose answer was lost, and the repetition finds the first write."""
    ledger, stub, _ = stubbed
    reasons = {"Code": "ConditionalCheckFailed", "Item": to_item(stored, SHARDS)}, {"Code": "None"}
    stub.add_client_error(
        "transact_write_items", **build_cancellation(*reasons), expected_params=expect_transaction(None, PAYMENT)
    )
    assert ledger.write_step(None, PAYMENT) == answer


@pytest.mark.parametrize(
    ("codes", "error"),
    [
        (["ThrottlingError", "None"], LedgerUnavailable),
        (["None", "TransactionConflict"], LedgerUnavailable),
        (["ProvisionedThroughputExceeded", "ThrottlingError"], LedgerUnavailable),
        (["None", "ConditionalCheckFailed"], LedgerRefused),
        (["ValidationError", "None"], LedgerRefused),
        (["ConditionalCheckFailed", "None"], LedgerUnavailable),  # without an item: it was deleted in the meantime
    ],
)
def test_each_reason_of_a_cancelled_transaction_is_worth_a_retry_or_not(
    stubbed: Any, codes: list[str], error: type[Exception]
) -> None:
    ledger, stub, _ = stubbed
    stub.add_client_error("transact_write_items", **build_cancellation(*({"Code": code} for code in codes)))
    with pytest.raises(error):
        ledger.write_step(None, PAYMENT)


def test_overdue_payments_are_read_from_all_shards_and_pages(stubbed: Any) -> None:
    ledger, stub, _ = stubbed
    is_overdue = (" AND overdue_at <= :now", {":now": {"N": "305.5"}})
    key = {"transaction_id": {"S": "T-1"}}
    # The shard to begin with changes every five minutes; in the second five minutes since 1970 it is the second.
    stub.add_response("query", {"Items": [key], "LastEvaluatedKey": key}, expect_query(1, *is_overdue))
    next_page = expect_query(1, *is_overdue, ExclusiveStartKey=key)
    stub.add_response("query", {"Items": [{"transaction_id": {"S": "T-2"}}]}, next_page)
    for shard in (*range(2, 64), 0):
        stub.add_response("query", {"Items": []}, expect_query(shard, *is_overdue))
    assert list(ledger.list_overdue_ids(305.5)) == ["T-1", "T-2"]
    stub.assert_no_pending_responses()


def test_open_payments_are_read_in_batches_of_a_hundred_without_finished_ones(stubbed: Any) -> None:
    ledger, stub, _ = stubbed
    keys = [{"transaction_id": {"S": f"T-{n}"}} for n in range(101)]
    items = [
        {"status": {"S": "UNKNOWN"}, "since": {"N": "10.5"}},
        {"status": {"S": "COMPLETED"}, "since": {"N": "3"}},  # ended, with a notice that is due
        {"status": {"S": "PENDING"}, "since": {"N": "20"}},
    ]

    def expect_read(keys_page: list[dict[str, Any]]) -> dict[str, Any]:
        names = {
            "ProjectionExpression": "#status, since, updated_at",
            "ExpressionAttributeNames": {"#status": "status"},
        }
        return {"RequestItems": {"table": {"Keys": keys_page, **names}}}

    stub.add_response("query", {"Items": keys[:60]}, expect_query(0, Limit=100))
    stub.add_response("query", {"Items": keys[60:]}, expect_query(1, Limit=100))
    stub.add_response("batch_get_item", {"Responses": {"table": items}}, expect_read(keys[:100]))
    for shard in range(2, 64):
        stub.add_response("query", {"Items": []}, expect_query(shard, Limit=100))
    stub.add_response("batch_get_item", {"Responses": {}}, expect_read(keys[100:]))
    assert ledger.read_open_times(lambda: True) == [10.5, 20.0]
    stub.assert_no_pending_responses()


def test_workers_read_different_shards_and_all_of_them(stubbed: Any) -> None:
    ledger, _, client = stubbed
    shards: list[list[int]] = []

    def query(**arguments: Any) -> dict[str, Any]:
        shards[-1].append(int(arguments["ExpressionAttributeValues"][":shard"]["N"]))
        return {"Items": []}

    client.query = query
    for worker in range(3):
        shards.append([])
        assert list(ledger.list_overdue_ids(301.0, worker, 3)) == []
    # In the second five minutes since 1970, each begins with its second shard.
    assert [shard[:2] for shard in shards] == [[3, 6], [4, 7], [5, 8]]
    assert sorted(shard for read in shards for shard in read) == list(range(64))


def test_a_payment_is_written_to_one_of_the_shards_of_the_setting() -> None:
    payments = [replace(PAYMENT, transaction_id=f"T-{n}") for n in range(500)]
    for open_shards in (1, 8, 40, 64):
        shards = {int(to_item(payment, open_shards)["open_shard"]["N"]) for payment in payments}
        assert shards == set(range(open_shards))


def test_a_full_shard_hides_no_old_payment_of_another_shard(monkeypatch: pytest.MonkeyPatch) -> None:
    """The payments that may be read are taken in turn from each shard that has some left."""
    monkeypatch.setattr(dynamodb, "MEASURED_PAYMENTS", 250)

    def query(**arguments: Any) -> dict[str, Any]:
        shard = arguments["ExpressionAttributeValues"][":shard"]["N"]
        ids = [f"new-{n}" for n in range(300)] if shard == "0" else [f"old-{shard}"] * (int(shard) % 2)
        start = arguments.get("ExclusiveStartKey", {"from": 0})["from"]
        end = start + arguments["Limit"]
        items = [{"transaction_id": {"S": transaction_id}} for transaction_id in ids[start:end]]
        return {"Items": items} | ({"LastEvaluatedKey": {"from": end}} if end < len(ids) else {})

    def batch_get_item(**arguments: Any) -> dict[str, Any]:
        ids = [key["transaction_id"]["S"] for key in arguments["RequestItems"]["table"]["Keys"]]
        items = [
            {"status": {"S": "UNKNOWN"}, "since": {"N": "9" if transaction_id.startswith("new") else "1"}}
            for transaction_id in ids
        ]
        return {"Responses": {"table": items}}

    tables = SimpleNamespace(query=query, batch_get_item=batch_get_item)
    since = DynamoDBLedger("table", "ledger", tables, "actor", SHARDS).read_open_times(lambda: True)
    assert (len(since), since.count(1.0)) == (250, 32)


@pytest.mark.parametrize(
    ("code", "http", "error"),
    [
        ("ProvisionedThroughputExceededException", 400, LedgerUnavailable),
        ("ThrottlingException", 400, LedgerUnavailable),
        ("RequestLimitExceeded", 400, LedgerUnavailable),
        ("InternalServerError", 500, LedgerUnavailable),
        ("ServiceUnavailable", 503, LedgerUnavailable),
        ("AccessDeniedException", 400, LedgerRefused),
        ("ResourceNotFoundException", 400, LedgerRefused),
        ("ValidationException", 400, LedgerRefused),
    ],
)
def test_each_error_is_worth_a_retry_or_not(stubbed: Any, code: str, http: int, error: type[Exception]) -> None:
    ledger, stub, _ = stubbed
    stub.add_client_error("get_item", code, "with MARKED data", http_status_code=http)
    with pytest.raises(error) as raised:
        ledger.find_payment("T-1")
    assert code in str(raised.value)
    assert "MARKED" not in str(raised.value)


@pytest.mark.parametrize("error", [ReadTimeoutError(endpoint_url="x"), ConnectTimeoutError(endpoint_url="x")])
def test_a_missing_answer_is_worth_a_retry(stubbed: Any, error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    ledger, _, client = stubbed

    def transact_write_items(**_: Any) -> None:
        raise error

    monkeypatch.setattr(client, "transact_write_items", transact_write_items)
    with pytest.raises(LedgerUnavailable):
        ledger.write_step(None, PAYMENT)


def test_open_payments_are_not_measured_in_part(stubbed: Any) -> None:
    """The payments that are left out may be the oldest."""
    ledger, stub, _ = stubbed
    stub.add_response("query", {"Items": []})
    time_checks = iter([True, False])
    with pytest.raises(LedgerUnavailable, match="no time"):
        ledger.read_open_times(lambda: next(time_checks))
    stub.assert_no_pending_responses()
