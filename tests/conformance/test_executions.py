"""Each recorded execution ends on the interpreter as it did on AWS, unless it is a known disagreement."""

import pytest

from tests.conformance.executions import RecordedExecution, load_executions, play_execution
from tests.conformance.verdicts import load_disagreements

EXECUTIONS = list(load_executions())
LISTED = load_disagreements("executions")


@pytest.mark.parametrize("execution", EXECUTIONS, ids=lambda execution: execution.name)
def test_the_execution_ends_as_it_did_on_aws(execution: RecordedExecution) -> None:
    differences = play_execution(execution)
    if execution.name in LISTED:
        assert differences, f"listed as a disagreement, but it agrees: {LISTED[execution.name]}"
    else:
        assert not differences


def test_every_execution_has_a_name_of_its_own_and_every_listed_one_is_there() -> None:
    names = [execution.name for execution in EXECUTIONS]
    assert len(names) == len(set(names))
    assert set(LISTED) <= set(names)


@pytest.mark.parametrize(
    ("end", "difference"),
    [
        ({"status": "FAILED"}, 'the status is "FAILED"; ours is "SUCCEEDED"'),
        ({"error": "CardError"}, 'the error is "CardError"; ours is ""'),
        ({"cause": "declined"}, 'the cause is "declined"; ours is ""'),
        ({"output": {"is_refundable": 1}}, 'the output is {"is_refundable": 1}; ours is {"is_refundable": true}'),
        ({"entered": ["CanRefund"]}, 'the states entered are ["CanRefund"]; ours is ["CanRefund", "Refund"]'),
        ({"events": 5}, "the id of the last event is 5; ours is 6"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_another_end_is_a_difference(end: dict[str, object], difference: str) -> None:
    execution = _find_execution("assign_in_choice: that of the rule that applies")
    changed = RecordedExecution(execution.name, execution.machine, execution.data, [], execution.ended | end)
    assert play_execution(changed) == [difference]


def test_another_call_of_a_task_is_a_difference() -> None:
    execution = _find_execution("arguments: no arguments, in a state of JSONata")
    end = execution.ended
    changed_calls = [{"arguments": {"currency": "EUR"}, "result": {}}]
    assert play_execution(RecordedExecution("", execution.machine, execution.data, changed_calls, end)) == [
        'call 1 has the arguments {"currency": "EUR"}; ours has {}'
    ]
    doubled_calls = [*execution.tasks, *execution.tasks]
    assert play_execution(RecordedExecution("", execution.machine, execution.data, doubled_calls, end)) == [
        "1 recorded calls were not made"
    ]
    (first, *_) = play_execution(RecordedExecution("", execution.machine, execution.data, [], end))
    assert first == "a call is not recorded; its arguments are {}"


def _find_execution(name: str) -> RecordedExecution:
    return next(execution for execution in EXECUTIONS if execution.name == name)
