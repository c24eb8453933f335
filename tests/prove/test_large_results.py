"""A function answers more than Step Functions takes: caught or not, money and notices are right.

No function of ours does; a defect may. AWS's documentation says that ``States.DataLimitExceeded`` cannot be caught
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
    # Never charged, and the gateway tells that only when it is asked later.
    Status.UNKNOWN: lambda _: Unknown("timeout"),
}


class LargeResults(World):
    """The answer to each call of ``large`` has its effect, and does not fit."""

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
    assert world.large_results <= len(large), "a call was made again, which changes nothing"


@pytest.mark.parametrize("catches", [True, False], ids=["caught", "not-caught"])
@pytest.mark.parametrize("amount", [150.0, -1.0], ids=["accepted", "rejected"])
def test_a_validation_that_answers_too_much_records_the_payment_once(amount: float, catches: bool) -> None:
    world, execution = run_payment([VALIDATE], Status.COMPLETED, catches, amount)
    world.check_payments()
    (payment,) = world.read_payments().values()
    assert payment.status is (Status.FAILED if amount > 0 else Status.REJECTED)
    assert "ProcessPayment" not in execution.path
    if catches and amount < 0:  # the payment turned out to be rejected, which is an outcome
        assert execution.path[-1] == "PaymentUnsuccessful"
    else:
        assert (execution.status, execution.error) == ("FAILED", "States.DataLimitExceeded")


def test_a_charge_whose_answer_is_too_large_is_completed_where_it_is_caught() -> None:
    world, execution = run_payment(["process"], Status.COMPLETED, catches=True)
    assert execution.path[-1] == "PaymentComplete"
    assert world.topic.notices == world.queue.letters == []


def test_a_charge_whose_answer_is_too_large_ends_the_execution_where_it_is_not_caught() -> None:
    world, execution = run_payment(["process"], Status.COMPLETED, catches=False)
    assert execution.path == ["ValidatePayment", "ProcessPayment"]
    assert world.topic.notices == world.queue.letters == []


def test_what_reconciliation_announces_where_the_execution_could_not() -> None:
    """The failure was recorded, and the answer that it is to be told did not fit."""
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
    """What AWS let a catcher catch was the result of a task; other data that grew too large ended executions."""
    states = TASK["States"] | {"Call": TASK["States"]["Call"] | {"Output": "{% $states.result & $states.result %}"}}
    tasks = {"function": lambda _: "x" * (LIMIT_BYTES - 10)}
    execution = Interpreter(TASK | {"States": states}, tasks, catches_large_results=True).run({})
    assert (execution.status, execution.error) == ("FAILED", "States.DataLimitExceeded")


def test_a_runtime_error_is_never_caught() -> None:
    def fail(_: Any) -> Any:
        raise StatesError("States.Runtime")

    execution = Interpreter(TASK, {"function": fail}, catches_large_results=True).run({})
    assert execution.error == "States.Runtime"
