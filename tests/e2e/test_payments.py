"""Payments through the deployed platform: the real state machine, the real functions, IAM enforced."""

import json
import re
import time

import pytest

from tests.e2e.conftest import Platform
from tests.workflow import END_STATES

pytestmark = pytest.mark.e2e


def test_a_valid_payment_completes(platform: Platform) -> None:
    request, story = platform.pay()
    assert story.states == ["ValidatePayment", "ProcessPayment", "PaymentOutcome", "PaymentComplete"]
    assert (story.status, story.transition_count) == ("SUCCEEDED", 4)
    item = platform.read_item(request["transaction_id"])
    assert item["status"] == {"S": "COMPLETED"}
    assert item["amount_minor"] == {"N": "15000"}
    assert item["gateway_reference"]["S"] == story.output["gateway_reference"]
    assert platform.receive_dead_letters() == platform.receive_notices() == []


@pytest.mark.parametrize(
    ("amount", "status", "reason"),
    [
        (150.01, "DECLINED", "insufficient_funds"),
        (150.10, "ACTION_REQUIRED", "authentication_required"),
        (10000.01, "REJECTED", "payment_amount exceeds the limit"),
    ],
)
def test_a_payment_that_is_not_charged_has_its_outcome_and_reason(
    platform: Platform, amount: float, status: str, reason: str
) -> None:
    request, story = platform.pay(payment_amount=amount)
    assert (story.status, story.states[-1]) == ("SUCCEEDED", "PaymentUnsuccessful")
    assert platform.read_item(request["transaction_id"])["status"] == {"S": status}
    (notice,) = platform.receive_notices()
    assert notice["subject"] == f"Payment {status}"
    assert (notice["transaction_id"], notice["status"], notice["reasons"]) == (
        request["transaction_id"],
        status,
        [reason],
    )
    assert notice["attributes"]["outcome"]["Value"] == status
    assert notice["attributes"]["environment"]["Value"] == "local"
    assert platform.receive_dead_letters() == []


def test_a_payment_completes_after_retries(platform: Platform) -> None:
    request, story = platform.pay(payment_amount=150.02)
    assert story.status == "SUCCEEDED"
    assert story.runs["ProcessPayment"] == 3
    assert platform.read_item(request["transaction_id"])["attempt"] == {"N": "3"}


def test_an_unknown_outcome_is_resolved_by_a_lookup(platform: Platform) -> None:
    request, story = platform.pay(payment_amount=150.04)
    assert story.status == "SUCCEEDED"
    assert story.runs["ProcessPayment"] == 2
    item = platform.read_item(request["transaction_id"])
    # The payment was claimed, and so charged, once.
    assert (item["status"], item["attempt"]) == ({"S": "COMPLETED"}, {"N": "1"})


def test_a_payment_fails_permanently(platform: Platform) -> None:
    request, story = platform.pay(payment_amount=150.03)
    assert (story.status, story.error) == ("FAILED", "GatewayUnavailable")
    assert story.runs["ProcessPayment"] == 4
    assert platform.read_item(request["transaction_id"])["status"] == {"S": "FAILED"}
    (letter,), (notice,) = platform.receive_dead_letters(), platform.receive_notices()
    assert notice["subject"] == "Payment FAILED"
    assert notice["attributes"]["outcome"]["Value"] == "FAILED"
    for message in (letter, notice):
        assert message["transaction_id"] == request["transaction_id"]
        assert message["execution_arn"] == story.execution_arn
        assert (message["error"], message["payment_status"]) == ("GatewayUnavailable", "FAILED")


@pytest.mark.parametrize("data", [None, 7, "text", [], {}, {"transaction_id": 7}, {"transaction_id": "x" * 250_000}])
def test_a_malformed_request_fails_as_malformed(platform: Platform, data: object) -> None:
    story = platform.follow(platform.start(data))
    assert story.states[-1] == "PaymentFailed"
    big = len(json.dumps(data)) > 20_000
    assert story.error == ("States.QueryEvaluationError" if big else "MalformedRequest")
    assert len(platform.receive_dead_letters()) == 1
    (notice,) = platform.receive_notices()
    # The notification concerns the execution and contains no payment.
    assert (notice["subject"], notice["kind"], "transaction_id" in notice) == ("Execution failed", "execution", False)
    assert notice["attributes"]["outcome"]["Value"] == "EXECUTION_FAILED"


def test_a_repeated_failed_payment_fails_again_and_is_published_once(platform: Platform) -> None:
    request, _ = platform.pay(payment_amount=150.03)
    again = platform.follow(platform.start(request))
    assert (again.status, again.error) == ("FAILED", "PaymentGivenUp")
    assert len(platform.receive_dead_letters()) == 1
    (notice,) = platform.receive_notices()
    item = platform.read_item(request["transaction_id"])
    assert (item["notified_status"], item["notification_confirmed"]) == ({"S": "FAILED"}, {"BOOL": True})
    assert "notification_due" not in item
    # A subscriber recognizes a repeated notification by this attribute.
    assert notice["notice_id"].startswith(request["transaction_id"])


def test_a_repeated_payment_returns_its_outcome_and_is_not_charged_again(platform: Platform) -> None:
    request, first = platform.pay()
    _, second = platform.pay(**request)
    assert second.output == first.output | {"announce": False}
    assert platform.read_item(request["transaction_id"])["attempt"] == {"N": "1"}


def test_another_payment_under_the_same_id_is_a_conflict(platform: Platform) -> None:
    request, _ = platform.pay()
    _, story = platform.pay(**request | {"payment_amount": 151})
    assert story.error == "IdempotencyConflict"
    assert platform.read_item(request["transaction_id"])["status"] == {"S": "COMPLETED"}


def test_the_same_payment_five_times_at_once_is_charged_once(platform: Platform) -> None:
    request, _ = platform.pay(payment_amount=-1)  # warms the functions up
    request |= {"transaction_id": request["transaction_id"] + "-5", "payment_amount": 80.07}
    stories = [platform.follow(arn) for arn in [platform.start(request) for _ in range(5)]]
    assert {story.states[-1] for story in stories} <= END_STATES
    # An execution that found the payment held waits for the lease, which is longer than this test's waits.
    assert {story.error for story in stories} <= {"", "PaymentInProgress", "PaymentChanged"}
    completed = [story.output for story in stories if story.status == "SUCCEEDED"]
    assert completed
    assert {output["attempt"] for output in completed} == {1}
    assert platform.read_item(request["transaction_id"])["status"] == {"S": "COMPLETED"}


def test_the_functions_log_json_and_no_payment_data(platform: Platform) -> None:
    request, _ = platform.pay(customer_id="CUST-MARKED", payment_amount=4321.03)
    logs = platform.client("logs").get_paginator("filter_log_events")
    groups = [platform.outputs[f"CloudwatchLogGroup{name}Name"] for name in ("Validation", "Processing")]
    # The log lines of a function arrive a moment after its answer.
    for _ in range(50):
        pages = [page for group in groups for page in logs.paginate(logGroupName=group)]
        text = "\n".join(event["message"] for page in pages for event in page["events"])
        lines_of_payment = [line for line in text.splitlines() if request["transaction_id"] in line]
        if any("payment failed" in line for line in lines_of_payment):
            break
        time.sleep(0.1)
    assert {json.loads(line)["message"] for line in lines_of_payment if '"message"' in line} >= {
        "payment validated",
        "payment failed",
    }
    assert "CUST-MARKED" not in text
    # Random ids may contain any short sequence of digits.
    assert "4321" not in re.sub("[0-9a-f]{8}-[0-9a-f-]{27}|[0-9a-f]{12,}|20[0-9]{2}-[0-9T:.Z-]+", "", text)


def test_a_failed_asynchronous_invocation_is_dead_lettered(platform: Platform) -> None:
    """Another caller invokes a function asynchronously, and it fails permanently."""
    lambda_ = platform.client("lambda")
    name = platform.outputs["LambdaProcessingFunctionName"]
    lambda_.put_function_event_invoke_config(FunctionName=name, MaximumRetryAttempts=0)
    lambda_.invoke(FunctionName=name, InvocationType="Event", Payload=b'{"note": "no request"}')
    for _ in range(20):
        letters = platform.receive_dead_letters()
        if letters:
            break
        time.sleep(0.2)
    assert letters == [{"note": "no request"}]
