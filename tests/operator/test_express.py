"""Commands while the Express workflow receives payments: they call only what Step Functions supports for it."""

import json
from typing import Any

import botocore.session
import pytest
from botocore import xform_name

from scripts.operator import records, redrives, story
from scripts.operator.batch import Batch
from scripts.operator.dead_letters import build_letter
from scripts.operator.express_executions import read_executions_of, read_payment_execution
from tests.operator.test_batch import SALT, make_item, make_request

ACCOUNT = "arn:aws:states:eu-west-1:123456789012"
EXPRESS = f"{ACCOUNT}:stateMachine:sfn-payment-express-dev"
STANDARD = f"{ACCOUNT}:stateMachine:sfn-payment-workflow-dev"
EXECUTION = f"{ACCOUNT}:express:sfn-payment-express-dev:T-0:11111111-2222-3333-4444-555555555555"
OUTPUT = "StepFunctionsStateMachineArn"
START = 1_795_437_640_000


def list_unsupported() -> set[str]:
    """Return the methods of the client that the service model says do not support Express workflows."""
    phrases = ("not supported by <code>EXPRESS</code>", "<code>EXPRESS</code> state machine aren't supported")
    model = botocore.session.get_session().get_service_model("stepfunctions")
    return {
        xform_name(name)
        for name in model.operation_names
        if any(phrase in model.operation_model(name).documentation for phrase in phrases)
    }


class DeletedError(Exception):
    pass


class StepFunctions:
    """Starts executions, and fails the test for a call that the service model excludes for Express workflows."""

    def __init__(self, *, deleted: bool = False) -> None:
        self.started: list[dict[str, str]] = []
        self._deleted = deleted
        self.exceptions = type(
            "", (), {"StateMachineDoesNotExist": DeletedError, "StateMachineDeleting": DeletedError,
                     "ExecutionAlreadyExists": LookupError},
        )  # fmt: skip

    def start_execution(self, **arguments: str) -> dict[str, Any]:
        machine = arguments["stateMachineArn"]
        if self._deleted and machine == EXPRESS:
            raise DeletedError
        self.started.append(arguments)
        name = arguments["name"]
        arn = EXECUTION.replace(":T-0:", f":{name}:") if machine == EXPRESS else f"{ACCOUNT}:execution:m:{name}"
        return {"executionArn": arn, "startDate": 0, "ResponseMetadata": {"HTTPHeaders": {}}}

    def __getattr__(self, method: str) -> Any:
        assert method in list_unsupported(), method

        def call(**arguments: str) -> Any:
            raise AssertionError(f"{method} does not support {arguments}")

        return call


class Platform:
    environment = "dev"

    def __init__(self, stepfunctions: StepFunctions, events: list[dict[str, Any]] | None = None) -> None:
        self._stepfunctions, self._events = stepfunctions, events or []
        self.outputs = {OUTPUT: EXPRESS, "DynamodbTableName": "t"}
        self.queries: list[dict[str, Any]] = []

    def client(self, service: str) -> Any:
        return self._stepfunctions if service == "stepfunctions" else self

    def forget_outputs(self) -> None:
        self.outputs = self.outputs | {OUTPUT: STANDARD}

    # The client of CloudWatch Logs, and its paginator.
    def get_paginator(self, operation: str) -> "Platform":
        assert operation == "filter_log_events"
        return self

    def paginate(self, **arguments: Any) -> list[dict[str, Any]]:
        self.queries.append(arguments)
        return [{"events": [{"message": json.dumps(event)} for event in self._events]}]


def make_event(number: int, kind: str, **details: Any) -> dict[str, Any]:
    """Return an event in the form of https://docs.aws.amazon.com/step-functions/latest/dg/cw-logs.html."""
    return {
        "id": str(number),
        "type": kind,
        "details": details,
        "previous_event_id": str(number - 1),
        "event_timestamp": str(START + 100 * number),
        "execution_arn": EXECUTION,
        "redrive_count": "0",
    }


HISTORY = [
    make_event(1, "ExecutionStarted", input='{"transaction_id": "T-0"}', roleArn="role"),
    make_event(2, "PassStateEntered", name="IdentifyRun"),
    make_event(3, "TaskStateEntered", name="ValidatePayment"),
    make_event(4, "TaskScheduled", resource="invoke", resourceType="lambda"),
    make_event(5, "TaskSucceeded", resource="invoke", resourceType="lambda"),
    make_event(6, "TaskStateEntered", name="ProcessPayment"),
    make_event(7, "TaskScheduled", resource="invoke", resourceType="lambda"),
    make_event(8, "TaskFailed", error="GatewayUnavailable", cause='{"errorMessage": "away"}'),
    make_event(9, "TaskScheduled", resource="invoke", resourceType="lambda"),
    make_event(10, "TaskSucceeded", resource="invoke", resourceType="lambda"),
    make_event(11, "SucceedStateEntered", name="PaymentComplete"),
    make_event(12, "ExecutionSucceeded", output='{"gateway_reference": "r-1"}'),
]


def test_the_model_still_excludes_the_calls_that_the_double_refuses() -> None:
    assert list_unsupported() >= {"describe_execution", "get_execution_history", "list_executions", "stop_execution"}


def test_a_payment_is_followed_by_the_table_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """One that is never recorded is given up when its execution must have ended."""
    stepfunctions, waits = StepFunctions(), list[float]()
    requests = [make_request("T-0"), make_request("T-1")]
    monkeypatch.setattr(
        records,
        "read_payments",
        lambda _, ids: {
            key: records.parse_item(make_item(requests[0], "COMPLETED", SALT)) for key in ids if key == "T-0" and waits
        },
    )
    batch = Batch(Platform(stepfunctions), requests, pause=waits.append, clock=lambda: sum(waits))  # type: ignore[arg-type]
    assert [result.is_newly_sent for result in batch.send_requests()] == [True, True]
    results = {result.transaction_id: result for result in batch.wait_for_outcomes()}
    assert [results[key].status for key in ("T-0", "T-1")] == ["COMPLETED", "NOT RECORDED"]
    assert results["T-0"].execution == EXECUTION
    assert 300 < sum(waits) < 400


def test_a_batch_goes_on_when_the_express_workflow_was_deleted(monkeypatch: pytest.MonkeyPatch) -> None:
    stepfunctions = StepFunctions(deleted=True)
    monkeypatch.setattr(records, "read_payments", lambda *_: {})
    batch = Batch(Platform(stepfunctions), [make_request("T-0")])  # type: ignore[arg-type]
    assert [result.status for result in batch.send_requests()] == ["SENT"]
    assert [call["stateMachineArn"] for call in stepfunctions.started] == [STANDARD]


def test_a_letter_of_an_express_execution_is_redriven_with_the_recorded_request() -> None:
    letter = build_letter(
        {"MessageId": "1", "ReceiptHandle": "r"}, {"transaction_id": "T-0", "execution_arn": EXECUTION}, {}
    )
    platform: Any = Platform(StepFunctions())
    assert redrives.Redrives(platform)._read_sent_request(letter) is None


def test_an_execution_is_read_from_the_log() -> None:
    # In any order, and beside the events of another execution.
    other = {**HISTORY[0], "execution_arn": EXECUTION.replace("T-0", "T-00")}
    platform = Platform(StepFunctions(), [other, *reversed(HISTORY)])
    (execution,) = read_executions_of(platform, "T-0", [], 0, None)  # type: ignore[arg-type]
    assert (execution.status, execution.path, execution.name) == ("SUCCEEDED", "Validate→Process ×2→Complete", "T-0")  # noqa: RUF001
    assert (execution.transaction_id, execution.output, execution.seconds) == ("T-0", {"gateway_reference": "r-1"}, 1.1)
    assert [moment.error for moment in execution.moments if moment.kind == "failed"] == ["GatewayUnavailable"]
    (query,) = platform.queries
    assert query["logGroupName"] == "/aws/vendedlogs/states/sfn-payment-workflow-dev"
    assert query["filterPattern"] == '":express:sfn-payment-express-dev:T-0"'


def test_an_execution_without_data_in_its_log_is_known_by_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    events = [{**event, "details": {k: v for k, v in event["details"].items() if k not in ("input", "output")}}
              for event in HISTORY]  # fmt: skip
    item = make_item(make_request("T-0"), "COMPLETED", SALT) | {
        "created_at": {"N": "1795437640"}, "updated_at": {"N": "1795437642"}, "execution": {"S": f"{EXECUTION}#run"},
    }  # fmt: skip
    payment = records.parse_item(item)
    assert payment.execution == EXECUTION, "the run is no part of the ARN"
    platform: Any = Platform(StepFunctions(), events)
    assert [e.status for e in story._read_express_executions(platform, payment, [EXECUTION])] == ["SUCCEEDED"]


def test_an_execution_whose_log_is_late_is_running() -> None:
    execution = read_payment_execution(Platform(StepFunctions()), EXECUTION)  # type: ignore[arg-type]
    assert (execution.status, execution.has_ended) == ("RUNNING", False)
