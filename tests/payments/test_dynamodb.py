"""The ledger on DynamoDB: what it sends, and what it makes of each answer. End to end it is tested in tests/e2e."""

from types import SimpleNamespace
from typing import Any

import pytest
from adapters import dynamodb
from adapters.dynamodb import DynamoDBLedger, from_item, to_item, to_step
from botocore.exceptions import ConnectTimeoutError, ReadTimeoutError
from botocore.stub import Stubber
from hypothesis import given
from hypothesis import strategies as st
from payments.errors import LedgerRefused, LedgerUnavailable
from payments.money import Money
from payments.notification import NOTIFIER_SECONDS, Notification
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


@pytest.fixture
def stubbed(monkeypatch: pytest.MonkeyPatch) -> Any:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "test")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    client = dynamodb.create_client()
    with Stubber(client) as stub:
        yield DynamoDBLedger("table", "ledger", client, "function:1"), stub, client


@given(
    st.builds(
        Payment,
        transaction_id=st.just("T-1"),
        status=st.sampled_from(Status),
        sequence=st.integers(1, 100),
        fingerprint=st.text("0123456789abcdef", min_size=64, max_size=64),
        execution=st.text(min_size=1, max_size=20),
        created_at=st.floats(1e9, 4e9),
        updated_at=st.floats(1e9, 4e9),
        since=st.floats(1e9, 4e9),
        salt=st.none() | st.just("00" * 16),
        closed=st.booleans(),
        generation=st.integers(0, 3),
        request_version=st.integers(1, 3),
        notification=st.builds(
            Notification,
            is_due=st.booleans(),
            status=st.none() | st.sampled_from(Status),
            notice_id=st.none() | st.just("T-1:2"),
            is_confirmed=st.booleans(),
            notifier=st.none() | st.just("arn:1"),
            notifier_until=st.none() | st.floats(1e9, 4e9),
            is_dead_lettered=st.booleans(),
        ),
        amount=st.none() | st.builds(Money, st.integers(-(10**15), 10**15), st.sampled_from(["USD", "JPY"])),
        payment_method=st.none() | st.just("credit_card"),
        customer_id=st.none() | st.just("C-1"),
        reasons=st.lists(st.text(max_size=10), max_size=3).map(tuple),
        attempt=st.integers(0, 9),
        lease_until=st.none() | st.floats(1e9, 4e9),
        gateway_reference=st.none() | st.just("ref"),
        failure=st.none() | st.just("Broken"),
    )
)
def test_what_is_written_reads_back_as_the_same(payment: Payment) -> None:
    assert from_item(to_item(payment)) == payment


def test_an_item_of_before_notices_were_claimed_reads_as_what_it_stated() -> None:
    item = to_item(PAYMENT.with_status(Status.FAILED, at=1010.0)) | {
        "told": {"S": "UNKNOWN"},
        "told_id": {"S": "T-1:1"},
        "letter": {"BOOL": True},
        "notice_due": {"BOOL": True},
        "announced_by": {"S": "arn:1"},
    }
    del item["notification_due"]
    payment = from_item(item)
    assert payment.notification == Notification(
        is_due=True,
        status=Status.UNKNOWN,
        notice_id="T-1:1",
        is_confirmed=True,
        notifier="arn:1",
        notifier_until=1010.0 + NOTIFIER_SECONDS,
        is_dead_lettered=True,
    )
    assert payment.overdue_at == 1010.0 + NOTIFIER_SECONDS


def transaction(before: Payment | None, after: Payment) -> dict[str, Any]:
    """What is sent: the state under its condition, and the step that is appended, together or not at all."""
    state: dict[str, Any] = {
        "TableName": "table",
        "Item": to_item(after),
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
    stub.add_response("transact_write_items", {}, transaction(PAYMENT, CLAIMED))
    assert ledger.write_step(PAYMENT, CLAIMED) is None


def test_the_audit_record_says_who_what_when_and_no_payment_data() -> None:
    done = CLAIMED.with_status(Status.COMPLETED, at=1002.0, gateway_reference="ref")
    assert to_step(CLAIMED, done, "function:1") == {
        "transaction_id": {"S": "T-1"},
        "sequence": {"N": "3"},
        "from_status": {"S": "PROCESSING"},
        "status": {"S": "COMPLETED"},
        "at": {"N": "1002.0"},
        "actor": {"S": "function:1"},
        "execution": {"S": "arn:1"},
        "attempt": {"N": "1"},
        "gateway_reference": {"S": "ref"},
    }


def test_only_open_payments_are_in_the_index() -> None:
    assert {"open_shard", "overdue_at"} <= set(to_item(PAYMENT))
    assert to_item(CLAIMED)["overdue_at"] == {"N": str(1001.5 + 300)}
    done = CLAIMED.with_status(Status.COMPLETED, at=1002.0, gateway_reference="ref")
    assert not {"open_shard", "overdue_at"} & set(to_item(done))


def test_an_item_that_something_else_wrote_is_refused_by_name() -> None:
    with pytest.raises(LedgerRefused, match="without sequence, fingerprint"):
        from_item({"transaction_id": {"S": "T"}, "status": {"S": "PENDING"}, "execution": {"S": "x"}})


def test_reads_are_consistent(stubbed: Any) -> None:
    ledger, stub, _ = stubbed
    expected = {"TableName": "table", "Key": {"transaction_id": {"S": "T-1"}}, "ConsistentRead": True}
    stub.add_response("get_item", {"Item": to_item(PAYMENT)}, expected)
    stub.add_response("get_item", {}, expected)
    assert ledger.find_payment("T-1") == PAYMENT
    assert ledger.find_payment("T-1") is None


def cancelled(*reasons: dict[str, Any]) -> dict[str, Any]:
    return {
        "service_error_code": "TransactionCanceledException",
        "http_status_code": 400,
        "modeled_fields": {"CancellationReasons": list(reasons)},
    }


@pytest.mark.parametrize(("held", "answer"), [(CLAIMED, CLAIMED), (PAYMENT, None)])
def test_a_failed_condition_tells_what_is_held_unless_it_is_our_own_write(
    stubbed: Any, held: Payment, answer: Payment | None
) -> None:
    """The own write: its answer was lost, botocore sent it again, and it met itself."""
    ledger, stub, _ = stubbed
    reasons = {"Code": "ConditionalCheckFailed", "Item": to_item(held)}, {"Code": "None"}
    stub.add_client_error("transact_write_items", **cancelled(*reasons), expected_params=transaction(None, PAYMENT))
    assert ledger.write_step(None, PAYMENT) == answer


@pytest.mark.parametrize(
    ("codes", "error"),
    [
        (["ThrottlingError", "None"], LedgerUnavailable),
        (["None", "TransactionConflict"], LedgerUnavailable),
        (["ProvisionedThroughputExceeded", "ThrottlingError"], LedgerUnavailable),
        (["None", "ConditionalCheckFailed"], LedgerRefused),
        (["ValidationError", "None"], LedgerRefused),
        (["ConditionalCheckFailed", "None"], LedgerUnavailable),  # with no item: it is gone since
    ],
)
def test_why_a_transaction_was_cancelled(stubbed: Any, codes: list[str], error: type[Exception]) -> None:
    ledger, stub, _ = stubbed
    stub.add_client_error("transact_write_items", **cancelled(*({"Code": code} for code in codes)))
    with pytest.raises(error):
        ledger.write_step(None, PAYMENT)


def test_overdue_payments_of_all_shards_and_pages(stubbed: Any) -> None:
    ledger, stub, _ = stubbed

    def asked(shard: int, **more: Any) -> dict[str, Any]:
        return {
            "TableName": "table",
            "IndexName": "open-payments",
            "KeyConditionExpression": "open_shard = :shard AND overdue_at <= :now",
            "ExpressionAttributeValues": {":shard": {"N": str(shard)}, ":now": {"N": "305.5"}},
            **more,
        }

    key = {"transaction_id": {"S": "T-1"}}
    # It is the second five minutes since 1970: the second shard comes first, and the first one last.
    stub.add_response("query", {"Items": [key], "LastEvaluatedKey": key}, asked(1))
    stub.add_response("query", {"Items": [{"transaction_id": {"S": "T-2"}}]}, asked(1, ExclusiveStartKey=key))
    for shard in (2, 3, 4, 5, 6, 7, 0):
        stub.add_response("query", {"Items": []}, asked(shard))
    assert list(ledger.list_overdue_ids(305.5)) == ["T-1", "T-2"]
    stub.assert_no_pending_responses()


def test_open_payments_are_measured_in_hundreds_and_others_of_the_index_are_not(stubbed: Any) -> None:
    ledger, stub, _ = stubbed
    keys = [{"transaction_id": {"S": f"T-{n}"}} for n in range(101)]
    found = [
        {"status": {"S": "UNKNOWN"}, "since": {"N": "10.5"}},
        {"status": {"S": "COMPLETED"}, "since": {"N": "3"}},  # ended, and to be told of
        {"status": {"S": "PENDING"}, "since": {"N": "20"}},
    ]

    def asked(shard: int) -> dict[str, Any]:
        return {
            "TableName": "table",
            "IndexName": "open-payments",
            "KeyConditionExpression": "open_shard = :shard",
            "ExpressionAttributeValues": {":shard": {"N": str(shard)}},
        }

    def read(some: list[dict[str, Any]]) -> dict[str, Any]:
        names = {
            "ProjectionExpression": "#status, since, updated_at",
            "ExpressionAttributeNames": {"#status": "status"},
        }
        return {"RequestItems": {"table": {"Keys": some, **names}}}

    stub.add_response("query", {"Items": keys[:60]}, asked(0))
    stub.add_response("query", {"Items": keys[60:]}, asked(1))
    stub.add_response("batch_get_item", {"Responses": {"table": found}}, read(keys[:100]))
    for shard in range(2, 8):
        stub.add_response("query", {"Items": []}, asked(shard))
    stub.add_response("batch_get_item", {"Responses": {}}, read(keys[100:]))
    assert ledger.read_open_times(lambda: True) == [10.5, 20.0]
    stub.assert_no_pending_responses()


def test_a_shard_that_is_full_hides_no_old_payment_of_another(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dynamodb, "MEASURED_PAYMENTS", 80)

    def query(**asked: Any) -> dict[str, Any]:
        shard = asked["ExpressionAttributeValues"][":shard"]["N"]
        ids = [f"new-{n}" for n in range(100)] if shard == "0" else [f"old-{shard}"]
        return {"Items": [{"transaction_id": {"S": one}} for one in ids]}

    def batch_get_item(**asked: Any) -> dict[str, Any]:
        ids = [key["transaction_id"]["S"] for key in asked["RequestItems"]["table"]["Keys"]]
        found = [{"status": {"S": "UNKNOWN"}, "since": {"N": "9" if one.startswith("new") else "1"}} for one in ids]
        return {"Responses": {"table": found}}

    tables = SimpleNamespace(query=query, batch_get_item=batch_get_item)
    since = DynamoDBLedger("table", "ledger", tables, "actor").read_open_times(lambda: True)
    assert (len(since), min(since)) == (17, 1.0)


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
def test_no_answer_is_worth_a_retry(stubbed: Any, error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    ledger, _, client = stubbed

    def transact_write_items(**_: Any) -> None:
        raise error

    monkeypatch.setattr(client, "transact_write_items", transact_write_items)
    with pytest.raises(LedgerUnavailable):
        ledger.write_step(None, PAYMENT)


def test_open_payments_are_not_measured_in_part(stubbed: Any) -> None:
    """What is left out may be the oldest."""
    ledger, stub, _ = stubbed
    stub.add_response("query", {"Items": []})
    left = iter([True, False])
    with pytest.raises(LedgerUnavailable, match="no time"):
        ledger.read_open_times(lambda: next(left))
    stub.assert_no_pending_responses()
