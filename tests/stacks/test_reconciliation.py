"""The state machine of reconciliation: its workers, what happens if some fail, and the line of the measurement."""

import json
from typing import Any

import pytest

from stacks.compute.stack import RECONCILIATION_TIMEOUT_SECONDS
from stacks.settings import Settings
from stacks.workflow import reconciliation
from tests.asl import Execution, Interpreter, StatesError

NO_COUNTS = {"overdue": 0, "settled": 0, "open": 0, "errors": 0}


def load_definition(workers: int) -> dict[str, Any]:
    """Return the definition as CloudFormation fills in the number of workers."""
    text = json.dumps(reconciliation.define_reconciliation()).replace("${Workers}", str(workers))
    definition: dict[str, Any] = json.loads(text)
    return definition


class Functions:
    """The reconciliation function. ``broken`` maps a worker to the error of each of its next invocations."""

    def __init__(self, broken: dict[int, list[str]]) -> None:
        self.broken = broken
        self.calls: list[dict[str, Any]] = []

    def invoke(self, arguments: dict[str, Any]) -> dict[str, Any]:
        assert arguments["FunctionName"] == "${ReconciliationFunctionArn}"
        event = arguments["Payload"]
        self.calls.append(event)
        if event["action"] == "measure":
            return {"Payload": {"measured": event["counts"]}}
        if errors := self.broken.get(event["worker"]):
            raise StatesError(errors.pop(0))
        return {"Payload": NO_COUNTS | {"settled": event["worker"]}}


def run_machine(workers: int, broken: dict[int, list[str]] | None = None) -> tuple[Execution, Functions]:
    functions = Functions(broken or {})
    interpreter = Interpreter(load_definition(workers), {"${InvokeFunction}": functions.invoke})
    return interpreter.run({"source": "aws.events"}), functions


@pytest.mark.parametrize("workers", [1, 2, 8, 40])
def test_each_worker_runs_once_and_the_measurement_gets_all_counts(workers: int) -> None:
    execution, functions = run_machine(workers)
    *shares, measure = functions.calls
    assert shares == [{"action": "reconcile", "worker": n, "workers": workers} for n in range(workers)]
    assert measure == {"action": "measure", "counts": [NO_COUNTS | {"settled": n} for n in range(workers)]}
    assert (execution.status, execution.output["measured"]) == ("SUCCEEDED", measure["counts"])


@pytest.mark.parametrize("error", ["Lambda.TooManyRequestsException", "LedgerUnavailable", "Runtime.ExitError"])
def test_a_worker_that_fails_for_a_moment_is_started_again(error: str) -> None:
    execution, _ = run_machine(2, {1: [error]})
    assert execution.output["measured"] == [NO_COUNTS, NO_COUNTS | {"settled": 1}]


@pytest.mark.parametrize("error", ["MalformedRequest", "Lambda.ResourceNotFoundException", "LedgerRefused"])
def test_a_worker_that_fails_for_good_is_an_error_of_the_run_and_stops_no_other(error: str) -> None:
    execution, _ = run_machine(3, {0: [error]})
    assert execution.output["measured"] == [{"errors": 1}, *(NO_COUNTS | {"settled": n} for n in (1, 2))]


def test_an_event_that_only_asks_for_workers_is_the_same_for_the_release_before() -> None:
    """While a deployment runs, the state machine may call the function of the release before: it settles everything."""
    _, functions = run_machine(2)
    assert {event["action"] for event in functions.calls[:-1]} == {"reconcile"}


def test_the_map_runs_all_workers_that_the_setting_allows_at_once() -> None:
    """https://docs.aws.amazon.com/step-functions/latest/dg/state-map-inline.html"""
    assert Settings.reconciliation_workers.constraints() == {"MinValue": 1, "MaxValue": 40}
    assert load_definition(8)["States"]["ReconcileShares"]["MaxConcurrency"] == 40


def test_the_time_limits_leave_a_task_and_a_run_their_time() -> None:
    assert reconciliation.TASK_TIMEOUT_SECONDS > RECONCILIATION_TIMEOUT_SECONDS
    # A worker that is stopped is started again, and so ends before the run does.
    assert 2 * reconciliation.TASK_TIMEOUT_SECONDS < reconciliation.TIMEOUT_SECONDS == 900
