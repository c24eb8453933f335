"""What is said of payments that were started is what became of them."""

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from types import SimpleNamespace
from typing import Any

import pytest
from botocore.exceptions import ClientError

from scripts.deployer.errors import DeployError
from scripts.payments import records, start
from scripts.payments.environment import Platform
from scripts.payments.requests import Request

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)


class StepFunctions:
    """``ends`` is called when an execution is asked after, and says its status."""

    def __init__(self, ends: Any, started: datetime = NOW) -> None:
        self._ends, self._started = ends, started
        self.asked: list[str] = []

    def start_execution(self, **_: Any) -> dict[str, Any]:
        headers = {"date": format_datetime(NOW, usegmt=True)}
        return {"startDate": self._started, "ResponseMetadata": {"HTTPHeaders": headers}}

    def describe_execution(self, executionArn: str) -> dict[str, Any]:
        self.asked.append(executionArn)
        return {"status": self._ends(executionArn)}


def batch(monkeypatch: pytest.MonkeyPatch, stepfunctions: StepFunctions, table: dict[str, str], many: int = 1) -> Any:
    def several(_platform: Any, ids: Any) -> dict[str, Any]:
        return {
            one: SimpleNamespace(
                status=table[one], fingerprint="f" * 64, amount="", execution="", failure="", reasons=(), closed=False
            )
            for one in ids
            if one in table
        }

    monkeypatch.setattr(records, "several", several)
    outputs = {"StepFunctionsStateMachineArn": "arn:aws:states:eu-west-1:1:stateMachine:m"}
    platform: Any = SimpleNamespace(client=lambda _: stepfunctions, outputs=outputs)
    made = start.Batch(platform, [Request(f"T-{n}", "f" * 64, "{}") for n in range(many)])
    list(made.send())
    return made


def wait(made: Any) -> list[start.Result]:
    seconds = [0.0]

    def pause(wait: float) -> None:
        seconds[0] += wait

    return list(made.wait(pause, lambda: seconds[0]))


def test_a_payment_that_completes_while_its_execution_is_asked_after_is_completed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    table: dict[str, str] = {}

    def ends(_arn: str) -> str:
        table["T-0"] = "COMPLETED"
        return "SUCCEEDED"

    (result,) = wait(batch(monkeypatch, StepFunctions(ends), table))
    assert (result.status, result.failed) == ("COMPLETED", False)


def test_an_execution_that_step_functions_does_not_know_yet_has_not_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    table: dict[str, str] = {}
    looks: list[str] = []

    def ends(arn: str) -> str:
        looks.append(arn)
        if len(looks) == 2:
            table["T-0"] = "COMPLETED"
        raise ClientError({"Error": {"Code": "ExecutionDoesNotExist", "Message": ""}}, "DescribeExecution")

    (result,) = wait(batch(monkeypatch, StepFunctions(ends), table))
    assert (result.status, result.failed) == ("COMPLETED", False)


def test_all_executions_are_asked_after_in_turn_and_few_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    many = 2 * start.ASKED_AT_ONCE + 1
    stepfunctions = StepFunctions(lambda _: "FAILED")
    results = wait(batch(monkeypatch, stepfunctions, {}, many))
    assert {one.status for one in results} == {"NOT RECORDED"}
    assert len(set(stepfunctions.asked)) == many
    running = StepFunctions(lambda _: "RUNNING")
    results = wait(batch(monkeypatch, running, {}, many))
    assert {one.said for one in results} == {"not recorded yet; run the same command again later"}
    assert len(set(running.asked)) == many


@pytest.mark.parametrize(("seconds", "sent"), [(0, True), (600, False)])
def test_an_execution_that_ran_already_was_not_sent_by_us(
    monkeypatch: pytest.MonkeyPatch, seconds: int, sent: bool
) -> None:
    """AWS answers a repetition of what still runs as it answered the first."""
    stepfunctions = StepFunctions(lambda _: "RUNNING", NOW - timedelta(seconds=seconds))
    (result,) = batch(monkeypatch, stepfunctions, {}).results.values()
    assert (result.sent, result.said) == (sent, "" if sent else "already sent")


@pytest.mark.parametrize("transaction_id", ["A:1.b", "A-1"])
def test_an_execution_has_a_name_that_is_logged(transaction_id: str) -> None:
    assert start.name_of(Request(transaction_id, "f" * 64, "{}")).replace("-", "").isalnum()


def busy(times: int) -> Any:
    """A table that is too busy so many times."""
    left = [times]

    def batch_get_item(RequestItems: dict[str, Any]) -> dict[str, Any]:
        left[0] -= 1
        if left[0] >= 0:
            return {"Responses": {}, "UnprocessedKeys": RequestItems}
        return {"Responses": {"t": [{"transaction_id": {"S": "T-1"}}]}, "UnprocessedKeys": {}}

    client = SimpleNamespace(batch_get_item=batch_get_item)
    return SimpleNamespace(client=lambda _: client, outputs={"DynamodbTableName": "t"})


def test_a_table_that_is_too_busy_is_asked_again_later_and_not_for_ever() -> None:
    waits: list[float] = []
    assert set(records.several(busy(3), ["T-1"], waits.append)) == {"T-1"}
    assert waits == sorted(waits)
    assert len(waits) == 3
    with pytest.raises(DeployError, match="t is too busy to read 1 payments"):
        records.several(busy(10_000), ["T-1"], waits.append)


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (b'{"errorType": "InternalError", "errorMessage": "at x"}', "InternalError: at x"),
        (b'{"errorMessage": "2026 Task timed out after 300.00 seconds"}', "Task timed out"),
    ],
)
def test_a_function_that_failed_is_no_answer(monkeypatch: pytest.MonkeyPatch, answer: bytes, says: str) -> None:
    payload = SimpleNamespace(read=lambda: answer)
    invoked = SimpleNamespace(invoke=lambda **_: {"FunctionError": "Unhandled", "Payload": payload})
    monkeypatch.setattr(Platform, "check_deployed", lambda _: None)
    target: Any = SimpleNamespace(client=lambda *_: invoked)
    with pytest.raises(DeployError, match=says):
        Platform("dev", target, "alice").ask("refund", "T-1")
