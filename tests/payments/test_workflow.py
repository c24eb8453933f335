"""The real definition and the real handlers, with the services around them in memory."""

import json
import logging
from typing import Any

import pytest
from adapters.simulator import Simulator
from handlers import processing, validation
from payments.errors import LedgerUnavailable, MalformedRequest
from payments.ports import NotCharged, Unknown

from tests.emitted import load_template
from tests.fakes import ScriptedGateway
from tests.workflow import Workflow, request


def test_a_charged_payment_succeeds_without_a_notice(workflow: Workflow) -> None:
    execution = workflow.pay(request())
    assert execution.status == "SUCCEEDED"
    assert execution.output["status"] == "COMPLETED"
    assert workflow.notices == workflow.dead_letters == []


def test_a_decline_and_a_rejection_are_announced_by_executions_that_succeed(workflow: Workflow) -> None:
    workflow.gateway = Simulator()
    declined = workflow.pay(request(payment_amount=150.01))
    rejected = workflow.pay(request(transaction_id="T-2", payment_amount=-1))
    assert [e.path[-1] for e in (declined, rejected)] == ["PaymentUnsuccessful"] * 2
    assert [n["status"] for n in workflow.notices] == ["DECLINED", "REJECTED"]
    assert [n["attributes"]["outcome"]["StringValue"] for n in workflow.notices] == ["DECLINED", "REJECTED"]
    assert workflow.notices[0]["reasons"] == ["insufficient_funds"]
    assert [n["kind"] for n in workflow.notices] == ["payment"] * 2
    assert not any(payment.notification.is_due for payment in workflow.ledger.payments.values())
    assert workflow.dead_letters == []


def test_business_outcomes_are_not_announced_if_the_setting_is_off(workflow: Workflow) -> None:
    workflow.notify = "false"
    rejected = workflow.pay(request(payment_amount=-1))
    assert (rejected.path[-1], rejected.output["status"]) == ("PaymentUnsuccessful", "REJECTED")
    workflow.gateway = ScriptedGateway(script=[NotCharged("away")] * 4)
    workflow.pay(request(transaction_id="T-2"))
    # A technical failure is announced all the same.
    assert [notice["state"] for notice in workflow.notices] == ["ProcessPayment"]


def test_a_payment_completes_after_retries(workflow: Workflow) -> None:
    workflow.gateway = Simulator()
    execution = workflow.pay(request(payment_amount=150.02))
    assert execution.output["status"] == "COMPLETED"
    assert execution.output["attempt"] == 3
    assert execution.waited_seconds == 2 + 4


def test_a_payment_that_fails_is_recorded_dead_lettered_and_announced(workflow: Workflow) -> None:
    workflow.gateway = ScriptedGateway(script=[NotCharged("away")] * 4)
    execution = workflow.pay(request())
    assert execution.path == [
        "ValidatePayment", "ProcessPayment", "RecordFailure", "FailureOutcome", "SendToDeadLetterQueue",
        "NotifyFailure", "RecordNotice", "PaymentFailed",
    ]  # fmt: skip
    assert (execution.status, execution.error) == ("FAILED", "GatewayUnavailable")
    assert workflow.ledger.payments["TXN-TEST-001"].status == "FAILED"
    (letter,) = workflow.dead_letters
    assert letter["transaction_id"] == "TXN-TEST-001"
    assert letter["payment_status"] == "FAILED"
    assert letter["error"] == "GatewayUnavailable"
    assert letter["execution_arn"] == "arn:test:execution:test"
    (notice,) = workflow.notices
    assert notice["attributes"]["outcome"]["StringValue"] == "FAILED"
    assert notice["notice_id"] == letter["notice_id"] == "TXN-TEST-001:10"
    assert (notice["kind"], notice["status"]) == ("payment", "FAILED")
    assert not workflow.ledger.payments["TXN-TEST-001"].notification.is_due


def test_a_repeated_request_of_a_failed_payment_is_not_announced_again(workflow: Workflow) -> None:
    workflow.gateway = ScriptedGateway(script=[NotCharged("away")] * 4)
    workflow.pay(request(), name="1")
    execution = workflow.pay(request(), name="2")
    assert execution.path == ["ValidatePayment", "ProcessPayment", "RecordFailure", "FailureOutcome", "PaymentFailed"]
    assert execution.error == "PaymentGivenUp"
    assert (len(workflow.dead_letters), len(workflow.notices)) == (1, 1)


def test_a_failure_that_could_not_be_announced_stays_due(workflow: Workflow) -> None:
    workflow.broken = {"sns": "SNS.AuthorizationError"}
    workflow.gateway = ScriptedGateway(script=[NotCharged("away")] * 4)
    execution = workflow.pay(request())
    assert execution.error == "GatewayUnavailable"
    assert workflow.ledger.payments["TXN-TEST-001"].notification.is_due


def test_an_outcome_that_stays_unknown_is_announced_as_that(workflow: Workflow) -> None:
    workflow.gateway = ScriptedGateway(script=[Unknown("timeout")] * 4)
    execution = workflow.pay(request())
    assert execution.error == "ChargeOutcomeUnknown"
    assert workflow.dead_letters[0]["payment_status"] == "UNKNOWN"


@pytest.mark.parametrize(
    ("broken", "dead_letters", "notices"),
    [
        ({"${ProcessingFunctionArn}": "Lambda.ResourceNotFoundException"}, 1, 1),
        ({"${ProcessingFunctionArn}": "Lambda.Unknown", "sqs": "SQS.AccessDenied"}, 0, 1),
        ({"${ValidationFunctionArn}": "Lambda.Unknown", "sns": "SNS.AuthorizationError"}, 1, 0),
        ({"${ProcessingFunctionArn}": "Lambda.Unknown", "sqs": "SQS.X", "sns": "SNS.X"}, 0, 0),
    ],
)
def test_a_broken_service_does_not_hide_the_failure(
    workflow: Workflow, broken: dict[str, str], dead_letters: int, notices: int
) -> None:
    workflow.broken = broken
    execution = workflow.pay(request())
    assert execution.path[-1] == "PaymentFailed"
    assert execution.error == next(iter(broken.values()))
    assert (len(workflow.dead_letters), len(workflow.notices)) == (dead_letters, notices)
    # The payment could not be read, so nothing is stated about it.
    assert {letter["payment_status"] for letter in workflow.dead_letters} <= {"NOT_READ", "NOT_RECORDED"}
    assert {notice["kind"] for notice in workflow.notices} <= {"execution"}


def test_a_dead_letter_says_that_the_status_could_not_be_read(
    workflow: Workflow, monkeypatch: pytest.MonkeyPatch
) -> None:
    workflow.pay(request())

    def throttled(*_: object, **__: object) -> None:
        raise LedgerUnavailable("throttled")

    monkeypatch.setattr("handlers.processing.record_failure", throttled)
    workflow.pay(request(payment_amount=151))
    assert workflow.dead_letters[0]["payment_status"] == "NOT_READ"
    _check_notice_of_an_execution(workflow.notices[0])


def _check_notice_of_an_execution(notice: dict[str, Any]) -> None:
    """Check that neither its fields nor the attributes that subscribers filter by state anything about a payment."""
    assert set(notice) == {"kind", "notice_id", "state", "error", "execution_arn", "timestamp", "attributes"}
    assert notice["kind"] == "execution"
    attributes = {name: attribute["StringValue"] for name, attribute in notice["attributes"].items()}
    assert (attributes["outcome"], attributes["payment_status"]) == ("EXECUTION_FAILED", "NONE")


@pytest.mark.parametrize(
    "transaction_id",
    ["4111 1111 1111 1111 exp 12/29", "4111-1111-1111-1111", "4111111111111111", "A" * 65, "T-\uffff", "T\n1", ""],
)
def test_an_invalid_id_is_repeated_nowhere(
    workflow: Workflow, transaction_id: str, caplog: pytest.LogCaptureFixture
) -> None:
    workflow.pay(request(transaction_id="A" * 64))
    caplog.clear()
    execution = workflow.pay(request(transaction_id=transaction_id))
    assert execution.error == "MalformedRequest"
    assert workflow.dead_letters[0]["transaction_id"] == ""
    _check_notice_of_an_execution(workflow.notices[0])
    records = json.dumps([{k: str(v) for k, v in vars(record).items()} for record in caplog.records])
    assert not transaction_id or transaction_id not in records


def test_a_replay_is_not_announced_again(workflow: Workflow) -> None:
    workflow.pay(request(payment_amount=-1), name="1")
    again = workflow.pay(request(payment_amount=-1), name="2")
    assert again.path[-1] == "PaymentUnsuccessful"
    assert len(workflow.notices) == 1


def test_an_execution_that_is_redriven_sends_no_notice(workflow: Workflow) -> None:
    """RedriveExecution continues an execution however long after its end: by then its claim may be over.

    https://docs.aws.amazon.com/step-functions/latest/dg/redrive-executions.html
    """
    workflow.redrive_count = 1
    rejected = workflow.pay(request(payment_amount=-1))
    assert rejected.path[-1] == "PaymentUnsuccessful"
    workflow.gateway = ScriptedGateway(script=[NotCharged("away")] * 4)
    assert workflow.pay(request(transaction_id="T-2")).path[-1] == "PaymentFailed"
    assert workflow.notices == []
    # Reconciliation sends them.
    assert [payment.notification.is_due for payment in workflow.ledger.payments.values()] == [True, True]


def test_an_unsent_notice_of_an_outcome_stays_due_and_does_not_fail_the_execution(workflow: Workflow) -> None:
    workflow.broken = {"sns": "SNS.AuthorizationError"}
    execution = workflow.pay(request(payment_amount=-1))
    assert (execution.status, execution.path[-1]) == ("SUCCEEDED", "PaymentUnsuccessful")
    payment = workflow.ledger.payments["TXN-TEST-001"]
    assert (payment.status, payment.notification.is_due, payment.notification.notifier) == ("REJECTED", True, None)
    assert workflow.dead_letters == []


def test_a_charged_payment_succeeds_even_if_every_answer_is_lost(
    workflow: Workflow, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers: list[dict[str, Any]] = []

    def lose_the_answer(event: Any, context: Any) -> dict[str, Any]:
        answers.append(handle(event, context))
        if event["action"] == "process":
            raise SystemError("Lambda.Unknown")
        return answers[-1]

    handle = processing.handler
    monkeypatch.setattr(processing, "handler", lose_the_answer)
    execution = workflow.pay(request())
    assert (execution.status, execution.path[-1]) == ("SUCCEEDED", "PaymentComplete")
    assert answers[-1]["status"] == "COMPLETED"
    assert workflow.notices == workflow.dead_letters == []


def test_an_unexpected_outcome_is_a_failure(workflow: Workflow, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("handlers.processing.describe_payment", lambda *_: {"status": "REVIEW"})
    execution = workflow.pay(request())
    assert (execution.path[-1], execution.error) == ("PaymentFailed", "UnexpectedOutcome")


def test_a_conflicting_execution_does_not_touch_the_payment_it_conflicts_with(workflow: Workflow) -> None:
    workflow.broken = {"${ProcessingFunctionArn}": "Lambda.Unknown"}
    workflow.pay(request(), name="first")
    workflow.broken = {}
    before = workflow.ledger.payments["TXN-TEST-001"]
    execution = workflow.pay(request(payment_amount=151), name="second")
    assert execution.error == "IdempotencyConflict"
    assert workflow.ledger.payments["TXN-TEST-001"] == before
    _check_notice_of_an_execution(workflow.notices[-1])


def test_a_defect_reports_its_place_and_not_the_data(
    workflow: Workflow, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def defect(*_: object, **__: object) -> None:
        raise ValueError("could not convert MARKED")

    monkeypatch.setattr("handlers.validation.receive_payment", defect)
    execution = workflow.pay(request(customer_id="MARKED"))
    assert execution.error == "InternalError"
    assert "ValueError at test_workflow.py:" in execution.cause
    revealed_text = json.dumps([execution.cause, workflow.dead_letters, workflow.notices]) + caplog.text
    assert "MARKED" not in revealed_text


@pytest.mark.usefixtures("workflow")
def test_an_error_reports_neither_its_cause_nor_our_frames(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lambda reports the chain of causes with an error, and a cause may hold payment data."""

    def fail_because_of(*_: object, **__: object) -> None:
        raise MalformedRequest("transaction_id is missing") from ValueError("MARKED")

    monkeypatch.setattr("handlers.validation.receive_payment", fail_because_of)
    with pytest.raises(MalformedRequest) as raised:
        validation.handler({"request": {}}, None)
    assert raised.value.__cause__ is None
    assert raised.value.__suppress_context__


def test_no_payment_data_leaves_the_table(workflow: Workflow, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    marked = {"customer_id": "MARKED-1", "payment_amount": 4321.0}
    outputs = [workflow.pay(request(**marked)).output]
    workflow.gateway = ScriptedGateway(script=[NotCharged("away")] * 4)
    outputs.append(workflow.pay(request(transaction_id="T-2", **marked)).cause)
    outputs.append(workflow.pay(request(transaction_id="T-3", payment_method="MARKED", **marked)).output)
    # Times, process and thread ids may contain these digits by chance.
    varying = {"created", "msecs", "relativeCreated", "thread", "process"}
    records = [{k: str(v) for k, v in vars(record).items() if k not in varying} for record in caplog.records]
    revealed_text = json.dumps([outputs, workflow.dead_letters, workflow.notices, records])
    assert "MARKED" not in revealed_text
    assert "4321.0" not in revealed_text
    assert '4321"' not in revealed_text
    assert workflow.ledger.payments["T-2"].customer_id == "MARKED-1"


def test_the_filter_of_the_duration_alarm_matches_the_logged_lines(
    workflow: Workflow, caplog: pytest.LogCaptureFixture
) -> None:
    """The lines are those of AWS's runtime client, and the filter is that of the template."""
    from awslambdaric.lambda_runtime_log_utils import JsonFormatter

    caplog.set_level(logging.INFO)
    workflow.pay(request(), name="1")
    workflow.pay(request(), name="2")
    workflow.pay(request(transaction_id="T-2", payment_amount=-1))
    workflow.gateway = ScriptedGateway(script=[NotCharged("away")] * 4)
    workflow.pay(request(transaction_id="T-3"))
    lines = [json.loads(JsonFormatter().format(record)) for record in caplog.records]
    metric = load_template("monitoring")["Resources"]["PaymentDurationFilter"]["Properties"]
    assert metric["FilterPattern"] == '{ ($.message = "payment finished") || ($.message = "payment failed") }'
    matched = [line for line in lines if line["message"] in ("payment finished", "payment failed")]
    # The replay and the rejection are not measured.
    assert [line["message"] for line in matched] == ["payment finished", "payment failed"]
    (transformation,) = metric["MetricTransformations"]
    for line in matched:
        value: Any = line[transformation["MetricValue"].removeprefix("$.")]
        assert isinstance(value, float)
        assert value > 0
        assert line[transformation["Dimensions"][0]["Value"].removeprefix("$.")] == "test"


@pytest.mark.parametrize("event", [None, [], "x", {}, {"action": "charge"}, {"action": "process"}])
def test_an_invalid_event_is_malformed(workflow: Workflow, event: Any) -> None:
    for handler in (validation.handler, processing.handler):
        with pytest.raises(MalformedRequest):
            handler(event, None)


def test_a_missing_environment_variable_is_named(workflow: Workflow, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MAXIMUM_AMOUNTS")
    assert "MAXIMUM_AMOUNTS is not set" in workflow.pay(request()).cause
