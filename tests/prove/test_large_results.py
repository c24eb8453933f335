"""A function returns more than Step Functions accepts: whether that is caught or not, money and notices are right.

Only a defect could make a function do so. AWS's documentation says that ``States.DataLimitExceeded`` cannot be caught
(https://docs.aws.amazon.com/step-functions/latest/dg/concepts-error-handling.html); AWS itself let a catcher catch it.
"""

from collections.abc import Callable, Collection
from itertools import combinations
from typing import Any

import pytest
from payments.payment import Status
from payments.ports import Charge, Declined, NotCharged, Outcome, Unknown

from tests.asl import LIMIT_BYTES, Execution, Interpreter, StatesError
from tests.prove.world import World
from tests.workflow import request

VALIDATE = "validate"
FUNCTION_CALLS = (VALIDATE, "process", "record_failure", "record_notice")
SUBSETS = [calls for count in (1, 2, 3, 4) for calls in combinations(FUNCTION_CALLS, count)]
BEHAVIOURS: dict[Status, Callable[[Charge], Outcome | None]] = {
    Status.COMPLETED: lambda _: None,
    Status.DECLINED: lambda _: Declined("insufficient_funds"),
    Status.FAILED: lambda _: NotCharged("away"),
    # Never charged, which only a later lookup finds.
    Status.UNKNOWN: lambda _: Unknown("timeout"),
}


class LargeResults(World):
    """Each call in ``large`` takes effect, and its answer is too large."""

    def __init__(self, large: Collection[str], behaviour: Callable[[Charge], Outcome | None]) -> None:
        super().__init__(behaviour=behaviour)
        self._large = large
        self.large_results = 0

    def _invoke_function(self, arguments: dict[str, Any]) -> dict[str, Any]:
        result = super()._invoke_function(arguments)
        if arguments["Payload"].get("action", VALIDATE) in self._large:
            self.large_results += 1
            result["Payload"] |= {"padding": "x" * LIMIT_BYTES}
        return result


def run_payment(
    large: Collection[str], status: Status, catches: bool, amount: float = 150.0
) -> tuple[LargeResults, Execution]:
    world = LargeResults(large, BEHAVIOURS[status])
    world.catches_large_results = catches
    with world.install_ports():
        execution = world.run_payment(request(payment_amount=amount))
        world.run_schedule()
    return world, execution


@pytest.mark.parametrize("catches", [True, False], ids=["caught", "not-caught"])
@pytest.mark.parametrize("status", BEHAVIOURS)
@pytest.mark.parametrize("large", SUBSETS, ids="+".join)
def test_money_and_notices_are_right_whichever_results_are_too_large(
    large: Collection[str], status: Status, catches: bool
) -> None:
    world, execution = run_payment(large, status, catches)
    world.check_payments()
    (payment,) = world.read_payments().values()
    charges = world.gateway.count_moves("charge", payment.transaction_id)
    assert (charges == 1) is (payment.status is Status.COMPLETED)
    for notice in world.topic.notices:
        is_of_the_execution = notice["kind"] == "execution"
        assert is_of_the_execution or notice["outcome"] in (payment.status, Status.UNKNOWN), f"heard {notice}"
    if execution.status == "SUCCEEDED":
        assert payment.status is status, "an execution succeeds only with its payment's outcome"
    assert world.large_results <= len(large), "a call was retried, which cannot help"


@pytest.mark.parametrize("catches", [True, False], ids=["caught", "not-caught"])
@pytest.mark.parametrize("amount", [150.0, -1.0], ids=["accepted", "rejected"])
def test_a_validation_that_answers_too_much_records_the_payment_once(amount: float, catches: bool) -> None:
    world, execution = run_payment([VALIDATE], Status.COMPLETED, catches, amount)
    world.check_payments()
    (payment,) = world.read_payments().values()
    assert payment.status is (Status.FAILED if amount > 0 else Status.REJECTED)
    assert "ProcessPayment" not in execution.path
    if catches and amount < 0:  # a rejection is an outcome
        assert execution.path[-1] == "PaymentUnsuccessful"
    else:
        assert (execution.status, execution.error) == ("FAILED", "States.DataLimitExceeded")


@pytest.mark.parametrize(
    ("catches", "path_after_charge"), [(True, ["RecordFailure", "FailureOutcome", "PaymentComplete"]), (False, [])]
)
def test_a_charge_with_too_large_an_answer_is_no_failure(catches: bool, path_after_charge: list[str]) -> None:
    world, execution = run_payment(["process"], Status.COMPLETED, catches=catches)
    assert execution.path == ["ValidatePayment", "ProcessPayment", *path_after_charge]
    assert world.topic.notices == world.queue.letters == []


def test_reconciliation_announces_a_failure_that_the_execution_could_not() -> None:
    """The failure was recorded, but the answer to announce it was too large."""
    world, execution = run_payment(["record_failure"], Status.FAILED, catches=False)
    assert execution.path[-1] == "RecordFailure"
    assert [notice["outcome"] for notice in world.topic.notices] == [Status.FAILED]
    assert [letter["payment_status"] for letter in world.queue.letters] == [Status.FAILED]


TASK = {
    "QueryLanguage": "JSONata",
    "StartAt": "Call",
    "States": {
        "Call": {
            "Type": "Task",
            "Resource": "function",
            "Arguments": {},
            "Catch": [{"ErrorEquals": ["States.ALL"], "Next": "Caught"}],
            "Next": "Done",
        },
        "Done": {"Type": "Succeed"},
        "Caught": {"Type": "Succeed", "Output": "{% $states.input.Error %}"},
    },
}


@pytest.mark.parametrize("name", ["States.ALL", "States.DataLimitExceeded"])
def test_the_interpreter_catches_a_large_result_as_aws_did(name: str) -> None:
    states = TASK["States"] | {"Call": TASK["States"]["Call"] | {"Catch": [{"ErrorEquals": [name], "Next": "Caught"}]}}
    tasks = {"function": lambda _: "x" * LIMIT_BYTES}
    execution = Interpreter(TASK | {"States": states}, tasks, catches_large_results=True).run({})
    assert (execution.status, execution.output) == ("SUCCEEDED", "States.DataLimitExceeded")
    documented = Interpreter(TASK | {"States": states}, tasks).run({})
    assert (documented.status, documented.error) == ("FAILED", "States.DataLimitExceeded")


def test_nothing_else_that_is_too_large_is_ever_caught() -> None:
    """AWS let a catcher catch only the result of a task; other data that was too large ended executions."""
    states = TASK["States"] | {"Call": TASK["States"]["Call"] | {"Output": "{% $states.result & $states.result %}"}}
    tasks = {"function": lambda _: "x" * (LIMIT_BYTES - 10)}
    execution = Interpreter(TASK | {"States": states}, tasks, catches_large_results=True).run({})
    assert (execution.status, execution.error) == ("FAILED", "States.DataLimitExceeded")


def test_a_runtime_error_is_never_caught() -> None:
    def fail(_: Any) -> Any:
        raise StatesError("States.Runtime")

    execution = Interpreter(TASK, {"function": fail}, catches_large_results=True).run({})
    assert execution.error == "States.Runtime"
