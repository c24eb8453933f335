"""The emitted definition against the Amazon States Language: each field, and what its value may be.

cfn-lint and ValidateStateMachineDefinition look at a definition that is text; here it is an object, in JSONata.
https://states-language.net/spec.html and https://docs.aws.amazon.com/step-functions/latest/dg/transforming-data.html
"""

from typing import Any

import pytest

from tests.emitted import load_template

EMITTED: dict[str, Any] = load_template("workflow")["Resources"]["PaymentWorkflow"]["Properties"]
DEFINITION: dict[str, Any] = EMITTED["Definition"]
STATES: dict[str, Any] = DEFINITION["States"]

MACHINE = {"Comment", "QueryLanguage", "StartAt", "States", "TimeoutSeconds", "Version"}
EVERY = {"Type", "Comment", "QueryLanguage"}
MOVES = EVERY | {"Assign", "Output", "Next", "End"}
# By type: what it must have, and what it may have beside.
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
# The longest that it is worth to try: beyond, reconciliation settles a payment.
MOST_ATTEMPTS = 10


def _fits(fields: dict[str, Any], known: tuple[set[str], set[str]], where: str) -> None:
    must, may = known
    assert must <= set(fields), f"{where} lacks {must - set(fields)}"
    assert set(fields) <= must | may, f"{where} has {set(fields) - must - may}, which the language does not know"


def test_the_definition_has_known_fields_only() -> None:
    _fits(DEFINITION, ({"StartAt", "States"}, MACHINE), "the definition")
    assert DEFINITION["QueryLanguage"] == "JSONata"
    assert DEFINITION["StartAt"] in STATES
    assert 0 < DEFINITION["TimeoutSeconds"] < 99_999_999


@pytest.mark.parametrize("name", STATES)
def test_a_state_has_known_fields_only(name: str) -> None:
    state = STATES[name]
    assert state["Type"] in FIELDS
    _fits(state, FIELDS[state["Type"]], name)
    for field, known in (("Retry", RETRIER), ("Catch", CATCHER), ("Choices", CHOICE)):
        for index, one in enumerate(state.get(field, [])):
            _fits(one, known, f"{name}.{field}[{index}]")


@pytest.mark.parametrize("name", STATES)
def test_a_state_goes_on_or_ends(name: str) -> None:
    state = STATES[name]
    if state["Type"] in ("Succeed", "Fail"):
        return
    if state["Type"] == "Choice":
        assert state.get("Default") in STATES, "what no choice takes is States.NoChoiceMatched, which nobody catches"
    else:
        assert ("Next" in state) != (state.get("End") is True)
    targets = [state.get("Next"), *(one["Next"] for one in [*state.get("Choices", []), *state.get("Catch", [])])]
    assert {target for target in targets if target} <= set(STATES)


@pytest.mark.parametrize("name", TASKS)
def test_a_task_does_not_wait_for_ever(name: str) -> None:
    """Without a limit a task waits for a year, and takes its payment with it."""
    assert 0 < STATES[name].get("TimeoutSeconds", 0) <= 900


@pytest.mark.parametrize("name", TASKS)
def test_a_retry_is_one_that_ends(name: str) -> None:
    for retrier in STATES[name]["Retry"]:
        assert 1 <= retrier.get("MaxAttempts", 0) <= MOST_ATTEMPTS
        assert isinstance(retrier["IntervalSeconds"], int)
        assert retrier["IntervalSeconds"] > 0
        assert 1 <= retrier["BackoffRate"] <= 2
        assert retrier.get("MaxDelaySeconds", 61) > retrier["IntervalSeconds"]
        assert retrier.get("MaxDelaySeconds", 1) < 31_622_400
        assert retrier.get("JitterStrategy", "NONE") in ("FULL", "NONE")


@pytest.mark.parametrize("name", TASKS)
def test_what_takes_all_errors_stands_alone_and_last(name: str) -> None:
    """Otherwise the service refuses the definition: https://states-language.net/spec.html#errors"""
    for field in ("Retry", "Catch"):
        named = [one["ErrorEquals"] for one in STATES[name].get(field, [])]
        assert all(names for names in named)
        for names in named[:-1]:
            assert "States.ALL" not in names
        for names in named[-1:]:
            assert "States.ALL" not in names or names == ["States.ALL"]


def test_a_function_is_called_by_its_live_alias() -> None:
    """By its name alone it would be $LATEST: whatever was uploaded last."""
    called = {state["Arguments"]["FunctionName"] for state in STATES.values() if "Arguments" in state
              if "FunctionName" in state["Arguments"]}  # fmt: skip
    assert called == {"${ValidationFunctionArn}", "${ProcessingFunctionArn}"}
    for title in ("Validation", "Processing"):
        assert EMITTED["DefinitionSubstitutions"][f"{title}FunctionArn"] == {"Ref": f"{title}LiveArn"}
    outputs = load_template("compute")["Outputs"]
    for title in ("Validation", "Processing"):
        assert outputs[f"{title}LiveArn"]["Value"] == {"Ref": f"{title}Live"}
