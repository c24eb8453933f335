"""Each recorded execution ends on the emulator as it did on AWS, unless it is a known disagreement."""

import json
from pathlib import Path

import pytest

from tests.conformance.emulator import compare_calls, compare_ends, is_left_out, judge_emulator
from tests.conformance.executions import RecordedExecution, load_executions
from tests.conformance.verdicts import load_disagreements, summarize_verdicts
from tests.prove.world import load_definition

EXECUTIONS = {recorded.name: recorded for recorded in load_executions()}
PLAIN = EXECUTIONS["arguments: no arguments, in a state of JSONata"]
END = {"status": "SUCCEEDED", "error": "", "cause": "", "output": {}, "entered": ["ChargeCard"]}


def test_no_execution_differs_but_those_that_are_listed() -> None:
    summary = summarize_verdicts(judge_emulator(), load_disagreements("emulator"))
    assert summary.faults == ()
    assert summary.total == len(EXECUTIONS) - 1


def test_only_a_time_limit_that_is_an_expression_is_left_out() -> None:
    left_out = [name for name, recorded in EXECUTIONS.items() if is_left_out(recorded)]
    assert left_out == ["task_limits: a timeout that an expression binds"]


def test_the_workflow_uses_nothing_that_the_emulator_is_listed_to_do_otherwise() -> None:
    """The reasons in disagreements.yaml."""
    workflow = load_definition()
    types = {state["Type"] for state in workflow["States"].values()}
    assert workflow["QueryLanguage"] == "JSONata"
    assert types.isdisjoint({"Map", "Wait"})
    assert all("Error" in state for state in workflow["States"].values() if state["Type"] == "Fail")


@pytest.mark.parametrize(
    ("changes", "difference"),
    [
        ({"status": "FAILED"}, 'status: "SUCCEEDED"; the emulator\'s is "FAILED"'),
        ({"error": "CardError"}, 'error: ""; the emulator\'s is "CardError"'),
        ({"cause": "declined"}, 'cause: ""; the emulator\'s is "declined"'),
        ({"output": None}, "output: {}; the emulator's is null"),
        ({"entered": []}, 'entered: ["ChargeCard"]; the emulator\'s is []'),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_another_end_is_a_difference(changes: dict[str, object], difference: str) -> None:
    assert list(compare_ends(PLAIN, END)) == []
    assert list(compare_ends(PLAIN, END | changes)) == [difference]


def test_a_cause_that_names_a_place_and_states_in_iterations_are_not_compared() -> None:
    recorded = EXECUTIONS["map_catches: a retrier, and a catcher whose output is read as a variable"]
    end = {"status": "FAILED", "error": "States.QueryEvaluationError", "cause": "x", "output": None}
    assert list(compare_ends(recorded, end | {"entered": ["ChargeEach"]})) == []


@pytest.mark.parametrize("calls", [[], [{"currency": "EUR"}], [{}, {}]], ids=["none", "another", "two"])
def test_other_calls_of_tasks_are_a_difference(calls: list[object], tmp_path: Path) -> None:
    path = tmp_path / "calls"
    path.write_text("{}\n")
    assert list(compare_calls(PLAIN, path)) == []
    path.write_text("".join(f"{json.dumps(call)}\n" for call in calls))
    (difference,) = compare_calls(PLAIN, path)
    assert difference == f"calls of tasks: ['{{}}']; the emulator's are {[json.dumps(call) for call in calls]}"


def test_a_task_without_calls_has_no_file(tmp_path: Path) -> None:
    without_tasks = RecordedExecution(PLAIN.name, PLAIN.machine, PLAIN.data, [], PLAIN.ended)
    assert list(compare_calls(without_tasks, tmp_path / "no such file")) == []
