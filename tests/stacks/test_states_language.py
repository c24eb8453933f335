"""Checks the fields and values of the emitted definition against the Amazon States Language.

cfn-lint and ValidateStateMachineDefinition check definitions that are text; this one is an object, with JSONata.
https://states-language.net/spec.html and https://docs.aws.amazon.com/step-functions/latest/dg/transforming-data.html
"""

from typing import Any

import pytest

from tests.emitted import load_template

DEFINITION: dict[str, Any] = load_template("workflow")["Resources"]["PaymentWorkflow"]["Properties"]["Definition"]
STATES: dict[str, Any] = DEFINITION["States"]

MACHINE = {"Comment", "QueryLanguage", "StartAt", "States", "TimeoutSeconds", "Version"}
EVERY = {"Type", "Comment", "QueryLanguage"}
MOVES = EVERY | {"Assign", "Output", "Next", "End"}
# Required and optional fields, by type.
FIELDS: dict[str, tuple[set[str], set[str]]] = {
    "Task": (
        {"Resource"},
        MOVES | {"Arguments", "Credentials", "TimeoutSeconds", "HeartbeatSeconds", "Retry", "Catch"},
    ),
    "Parallel": ({"Branches"}, MOVES | {"Arguments", "Retry", "Catch"}),
    "Map": (
        {"ItemProcessor"},
        MOVES
        | {"Items", "ItemReader", "ItemSelector", "ItemBatcher", "ResultWriter", "MaxConcurrency", "Label", "Retry"}
        | {"ToleratedFailurePercentage", "ToleratedFailureCount", "Catch"},
    ),
    "Choice": ({"Choices"}, EVERY | {"Assign", "Output", "Default"}),
    "Pass": (set(), MOVES),
    "Wait": (set(), MOVES | {"Seconds", "Timestamp"}),
    "Succeed": (set(), EVERY | {"Output"}),
    "Fail": (set(), EVERY | {"Error", "Cause"}),
}
RETRIER = (
    {"ErrorEquals"},
    {"Comment", "IntervalSeconds", "MaxAttempts", "BackoffRate", "MaxDelaySeconds", "JitterStrategy"},
)
CATCHER = ({"ErrorEquals", "Next"}, {"Comment", "Assign", "Output"})
CHOICE = ({"Condition", "Next"}, {"Comment", "Assign", "Output"})

TASKS = [name for name, state in STATES.items() if state["Type"] == "Task"]
# After so many attempts, reconciliation takes over the payment.
MOST_ATTEMPTS = 10


def list_targets(state: dict[str, Any]) -> list[str]:
    """Return the names of the states that may follow a state."""
    targets = [state.get("Next"), state.get("Default")]
    targets += [rule["Next"] for rule in [*state.get("Choices", []), *state.get("Catch", [])]]
    return [target for target in targets if target]


def check_fields(fields: dict[str, Any], names: tuple[set[str], set[str]], place: str) -> None:
    required, optional = names
    assert required <= set(fields), f"{place} lacks {required - set(fields)}"
    assert set(fields) <= required | optional, f"{place} has fields that the language does not know: {set(fields)}"


def test_the_definition_has_known_fields_only() -> None:
    check_fields(DEFINITION, ({"StartAt", "States"}, MACHINE), "the definition")
    assert DEFINITION["QueryLanguage"] == "JSONata"
    assert DEFINITION["StartAt"] in STATES
    assert 0 < DEFINITION["TimeoutSeconds"] < 99_999_999


@pytest.mark.parametrize("name", STATES)
def test_a_state_has_known_fields_only(name: str) -> None:
    state = STATES[name]
    assert state["Type"] in FIELDS
    check_fields(state, FIELDS[state["Type"]], name)
    for field, field_names in (("Retry", RETRIER), ("Catch", CATCHER), ("Choices", CHOICE)):
        for index, item in enumerate(state.get(field, [])):
            check_fields(item, field_names, f"{name}.{field}[{index}]")


@pytest.mark.parametrize("name", STATES)
def test_a_state_has_a_next_state_or_ends(name: str) -> None:
    state = STATES[name]
    if state["Type"] in ("Succeed", "Fail"):
        return
    if state["Type"] == "Choice":
        assert state.get("Default") in STATES, "without a default, States.NoChoiceMatched ends the execution"
    else:
        assert ("Next" in state) != (state.get("End") is True)
    assert set(list_targets(state)) <= set(STATES)


@pytest.mark.parametrize("name", TASKS)
def test_a_task_has_a_time_limit(name: str) -> None:
    """Without a limit, a task and its payment could wait for a year."""
    assert 0 < STATES[name].get("TimeoutSeconds", 0) <= 900


@pytest.mark.parametrize("name", TASKS)
def test_retries_are_limited(name: str) -> None:
    for retrier in STATES[name]["Retry"]:
        assert 1 <= retrier.get("MaxAttempts", 0) <= MOST_ATTEMPTS
        assert isinstance(retrier["IntervalSeconds"], int)
        assert retrier["IntervalSeconds"] > 0
        assert 1 <= retrier["BackoffRate"] <= 2
        assert retrier.get("MaxDelaySeconds", 61) > retrier["IntervalSeconds"]
        assert retrier.get("MaxDelaySeconds", 1) < 31_622_400
        assert retrier.get("JitterStrategy", "NONE") in ("FULL", "NONE")


@pytest.mark.parametrize("name", TASKS)
def test_a_handler_of_all_errors_is_alone_and_last(name: str) -> None:
    """Step Functions refuses other definitions: https://states-language.net/spec.html#errors"""
    for field in ("Retry", "Catch"):
        error_lists = [item["ErrorEquals"] for item in STATES[name].get(field, [])]
        assert all(names for names in error_lists)
        for names in error_lists[:-1]:
            assert "States.ALL" not in names
        for names in error_lists[-1:]:
            assert "States.ALL" not in names or names == ["States.ALL"]


def test_a_function_is_called_by_its_live_alias() -> None:
    """Without the alias, the call would run $LATEST. test_deployed.py checks what the substitutions are."""
    function_arns = {state["Arguments"]["FunctionName"] for state in STATES.values() if "Arguments" in state
              if "FunctionName" in state["Arguments"]}  # fmt: skip
    assert function_arns == {"${ValidationFunctionArn}", "${ProcessingFunctionArn}"}
