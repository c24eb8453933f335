"""Reconciliation of abandoned payments, refunds and redrives on the deployed platform."""

import json
import time

import pytest
from payments.payment import TRANSITIONS, Status

from scripts.operator import payment_lists
from scripts.operator import platform as operator_platform
from tests.e2e.conftest import ENVIRONMENT, Platform
from tests.e2e.situations import (
    DAY,
    HOUR,
    RECONCILIATION,
    call_function,
    put_abandoned_payment,
    read_ledger,
    reconcile,
    without_permission,
)

pytestmark = pytest.mark.e2e


@pytest.mark.parametrize(
    ("status", "cents", "age", "settled"),
    [
        (Status.PENDING, 0, HOUR, "FAILED"),
        (Status.PROCESSING, 4, HOUR, "COMPLETED"),
        (Status.PROCESSING, 5, HOUR, "FAILED"),
        (Status.UNKNOWN, 4, HOUR, "COMPLETED"),
        (Status.UNKNOWN, 6, HOUR, "UNKNOWN"),
        (Status.UNKNOWN, 6, DAY, "REVIEW"),
        (Status.PROCESSING, 4, 60, "PROCESSING"),
    ],
)
def test_reconciliation_settles_every_abandoned_payment(
    platform: Platform, status: Status, cents: int, age: float, settled: str
) -> None:
    transaction_id = put_abandoned_payment(platform, status, cents, age)
    reconcile(platform)
    assert platform.read_item(transaction_id)["status"] == {"S": settled}
    notices = [notice for notice in platform.receive_notices() if notice["transaction_id"] == transaction_id]
    assert [notice["status"] for notice in notices] == (
        [settled] if settled in ("COMPLETED", "FAILED", "REVIEW") else []
    )
    # A second run publishes nothing.
    reconcile(platform)
    assert [n for n in platform.receive_notices() if n["transaction_id"] == transaction_id] == []


def test_a_run_ends_with_a_summary(platform: Platform) -> None:
    assert set(reconcile(platform)) == {"overdue", "settled", "open", "errors", "erased"}
    events = platform.client("logs").filter_log_events(logGroupName=f"/aws/lambda/{RECONCILIATION}")["events"]
    lines = [json.loads(event["message"]) for event in events if event["message"].startswith("{")]
    (line, *_) = [line for line in lines if line.get("message") == "reconciliation finished"]
    # The dimension of the heartbeat's metric.
    assert line["Environment"] == "local"


def test_the_ledger_records_every_step_and_who_took_it(platform: Platform) -> None:
    request, _ = platform.pay(payment_amount=150.02)
    steps = read_ledger(platform, request["transaction_id"])
    statuses = [step["status"]["S"] for step in steps]
    assert statuses == ["PENDING", *["PROCESSING", "PENDING"] * 2, "PROCESSING", "COMPLETED"]
    assert [int(step["sequence"]["N"]) for step in steps] == list(range(1, len(steps) + 1))
    assert {step["actor"]["S"].split(":")[0] for step in steps} == {
        "lambda-payment-validation-local",
        "lambda-payment-processing-local",
    }
    before: str | None = None
    for status in statuses:
        assert Status(status) in TRANSITIONS[Status(before) if before else None]
        before = status
    assert "CUST" not in json.dumps(steps)


def test_a_refund_that_is_requested_twice_is_made_once(platform: Platform) -> None:
    request, _ = platform.pay()
    refund = {"action": "refund", "transaction_id": request["transaction_id"], "operator": "alice"}
    answers = [call_function(platform, "reconciliation", **refund) for _ in range(2)]
    assert [answer["status"] for answer in answers] == ["REFUNDED", "REFUNDED"]
    steps = read_ledger(platform, request["transaction_id"])
    assert [step["status"]["S"] for step in steps][-2:] == ["REFUNDING", "REFUNDED"]
    assert steps[-1]["actor"]["S"].startswith("alice by way of lambda-payment-reconciliation-local")


def test_a_payment_that_was_not_charged_is_not_refunded(platform: Platform) -> None:
    request, _ = platform.pay(payment_amount=150.01)
    answer = call_function(
        platform, "reconciliation", action="refund", transaction_id=request["transaction_id"], operator="alice"
    )
    # The function answers without an error, which would set off an alarm.
    assert answer["refused"] == "NotAllowed"


@pytest.mark.parametrize("action", ["dynamodb:Query", "dynamodb:GetItem", "dynamodb:PutItem"])
def test_an_event_without_an_action_settles_and_publishes_nothing(platform: Platform, action: str) -> None:
    transaction_id = put_abandoned_payment(platform, Status.PENDING, 0, HOUR)
    with without_permission(platform, "Reconciliation", action):
        answer = reconcile(platform)
    # A payment that cannot be settled and a failed query are both logged as errors, which an alarm counts.
    assert answer.get("errors") == 1 or answer["errorType"] == "LedgerRefused"
    assert platform.receive_notices() == []
    assert platform.read_item(transaction_id)["status"] == {"S": "PENDING"}
    reconcile(platform)


def test_a_dead_letter_that_could_not_be_sent_is_sent_later(platform: Platform) -> None:
    transaction_id = put_abandoned_payment(platform, Status.PENDING, 0, HOUR)
    with without_permission(platform, "Reconciliation", "sqs:SendMessage"):
        assert reconcile(platform)["errors"] == 1
    item = platform.read_item(transaction_id)
    assert (item["status"], item["notified_status"]) == ({"S": "FAILED"}, {"S": "FAILED"})
    assert item["notification_confirmed"] == item["notification_due"] == {"BOOL": True}
    assert [notice["attributes"]["outcome"]["Value"] for notice in platform.receive_notices()] == ["FAILED"]
    # The next scheduled run.
    platform.client("dynamodb").update_item(
        TableName=platform.outputs["DynamodbTableName"],
        Key={"transaction_id": {"S": transaction_id}},
        UpdateExpression="SET overdue_at = :past, updated_at = :past",
        ExpressionAttributeValues={":past": {"N": "1000"}},
    )
    reconcile(platform)
    assert [letter["transaction_id"] for letter in platform.receive_dead_letters()][-1:] == [transaction_id]
    # A repeated run does nothing.
    assert platform.receive_notices() == []
    assert "notification_due" not in platform.read_item(transaction_id)


def test_a_run_erases_who_paid_from_finished_payments_that_are_old_enough(platform: Platform) -> None:
    """The tests' settings keep a customer for 30 days."""
    ages = {Status.COMPLETED: 31 * DAY, Status.REFUNDED: 29 * DAY, Status.REVIEW: 400 * DAY}
    ids = {status: put_abandoned_payment(platform, status, 0, age) for status, age in ages.items()}
    assert reconcile(platform)["erased"] == 1
    assert {status: "customer_id" in platform.read_item(name) for status, name in ids.items()} == {
        Status.COMPLETED: False,
        Status.REFUNDED: True,
        Status.REVIEW: True,
    }
    (step,) = read_ledger(platform, ids[Status.COMPLETED])
    assert step["note"]["S"].endswith("customer erased: True")
    assert reconcile(platform)["erased"] == 0


def test_an_operator_finds_the_old_payments_whose_customer_no_run_erases(platform: Platform) -> None:
    """What was recorded while the setting was 0 is in no index."""
    recorded, waiting = (put_abandoned_payment(platform, Status.COMPLETED, 0, age * DAY) for age in (31, 31.5))
    others = [(Status.COMPLETED, 29 * DAY), (Status.UNKNOWN, 40 * DAY), (Status.REVIEW, 40 * DAY)]
    kept = {put_abandoned_payment(platform, status, 6, age) for status, age in others}
    platform.client("dynamodb").update_item(
        TableName=platform.outputs["DynamodbTableName"],
        Key={"transaction_id": {"S": recorded}},
        UpdateExpression="REMOVE open_shard, overdue_at",
    )
    operator = operator_platform.Platform(ENVIRONMENT, platform.target, "operator")
    listed = set(payment_lists.list_erasable_ids(operator, time.time() - 30 * DAY))
    assert listed & {recorded, waiting, *kept} == {recorded, waiting}
    assert reconcile(platform)["erased"] == 1
    erased = call_function(platform, "reconciliation", action="erase", transaction_id=recorded, operator="alice")
    assert erased["status"] == "COMPLETED"
    assert payment_lists.list_erasable_ids(operator, time.time() - 30 * DAY) == []
