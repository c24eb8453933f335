"""The interpreter follows AWS's documentation where tests/conformance has no recording.

The wording of the cause of a failed expression, and the location in it, were measured on AWS in August 2026:
https://github.com/floci-io/floci/issues/2736 and https://github.com/floci-io/floci/pull/2689.
"""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from tests.asl import LIMIT_BYTES, Execution, Interpreter, StatesError
from tests.asl.timestamps import parse_timestamp

INVOKE = "arn:aws:states:::lambda:invoke"
SUCCEED = {"Type": "Succeed"}
ALWAYS = ["States.ALL"]


def run_states(states: dict[str, Any], data: Any = None, tasks: Any = None, **fields: Any) -> Execution:
    """Run a state machine in JSONata that starts with the first of the states."""
    machine = {"QueryLanguage": "JSONata", "StartAt": next(iter(states)), "States": states} | fields
    return Interpreter(machine, tasks or {}).run({} if data is None else data)


def run_state(state: dict[str, Any], data: Any = None, tasks: Any = None) -> Execution:
    return run_states({"Only": state if state["Type"] in ("Succeed", "Fail") else state | {"End": True}}, data, tasks)


def fail_task(error: str = "CardError", cause: str = "declined") -> Callable[[Any], Any]:
    def run_task(_: Any) -> Any:
        raise StatesError(error, cause)

    return run_task


def explain_failure(location: str, expression: str, ending: str) -> str:
    """Return the cause of a failed expression in a first state called Only."""
    return (
        "An error occurred while executing the state 'Only' (entered at the event id #2). The JSONata expression"
        f" '{expression}' specified for the field '{location}' {ending}"
    )


# https://docs.aws.amazon.com/step-functions/latest/dg/transforming-data.html
# The results of $hash and of $random with a seed were measured: https://github.com/floci-io/floci/issues/2662
@pytest.mark.parametrize(
    ("expression", "result"),
    [
        ("$partition([1,2,3,4,5], 2)", [[1, 2], [3, 4], [5]]),
        ("$partition([1], 3)", [[1]]),
        ("$range(0, 6, 2)", [0, 2, 4, 6]),
        ("$range(0, 7, 2)", [0, 2, 4, 6]),
        ("$range(3, 0, -2)", [3, 1]),
        ("$range(3, 0, 2)", []),
        ("$hash('input', 'SHA-1')", "140f86aae51ab9e1cda9b4254fe98a74eb54c1a1"),
        ("$length($hash('', 'MD5'))", 32),
        ("$length($hash('', 'SHA-256'))", 64),
        ("$length($hash('', 'SHA-384'))", 96),
        ("$length($hash('', 'SHA-512'))", 128),
        ("$random(42)", 0.7275636800328681),
        ("$parse('{\"a\": [null, 1]}')", {"a": [None, 1]}),
        ("[$parse('null')]", [None]),
        ("$length($uuid())", 36),
    ],
)
def test_the_functions_of_step_functions(expression: str, result: Any) -> None:
    assert run_state({"Type": "Pass", "Output": f"{{% {expression} %}}"}).output == result


@pytest.mark.parametrize("name", ["$uuid()", "$random()"])
def test_a_result_that_varies_is_not_kept(name: str) -> None:
    pair = run_state({"Type": "Pass", "Output": [f"{{% {name} %}}", f"{{% {name} %}}"]}).output
    assert pair[0] != pair[1]


@pytest.mark.parametrize(
    ("expression", "message"),
    [
        ("$abs('a')", 'T0410: Argument 1 of function "abs" does not match function signature'),
        ("$sum(['a'])", 'T0412: Argument 1 of function "sum" must be an array of "numbers"'),
        ("1 + 'a'", 'T2002: The right side of the "+" operator must evaluate to a number'),
        ("'a' < 1", 'T2009: The values "a" and 1 either side of operator "<" must be of the same data type'),
        ("-'a'", 'D1002: Cannot negate a non-numeric value: "a"'),
        ("$error('declined')", "D3137: declined"),
        ("$eval('1')", "T1006: Attempted to invoke a non-function"),
    ],
)
def test_a_failed_expression_is_explained_as_jsonata_does(expression: str, message: str) -> None:
    execution = run_state({"Type": "Pass", "Output": f"{{% {expression} %}}"})
    assert execution.error == "States.QueryEvaluationError"
    assert execution.cause == explain_failure("Output", expression, f"threw an error during evaluation. {message}")


@pytest.mark.parametrize(
    "expression",
    ["$partition([1], 0)", "$partition([1], -1)", "$range(1, 2, 0)", "$hash('', 'SHA-3')", "$parse('{')", "1 / 0"],
)
def test_arguments_that_a_function_refuses_fail_the_state(expression: str) -> None:
    """No recording shows AWS's wording."""
    execution = run_state({"Type": "Pass", "Output": f"{{% {expression} %}}"})
    assert execution.error == "States.QueryEvaluationError"
    assert execution.cause.startswith(explain_failure("Output", expression, "threw an error during evaluation: "))


@pytest.mark.parametrize(
    ("state", "location"),
    [
        ({"Type": "Pass", "Output": {"a": ["", {"b": "{% $no %}"}]}}, "Output/a[1]/b"),
        ({"Type": "Task", "Resource": INVOKE, "Arguments": ["{% $no %}"]}, "Arguments[0]"),
        ({"Type": "Task", "Resource": INVOKE, "TimeoutSeconds": "{% $no %}"}, "TimeoutSeconds"),
        ({"Type": "Fail", "Error": "Refused", "Cause": "{% $no %}"}, "Cause"),
        ({"Type": "Wait", "Seconds": "{% $no %}"}, "Seconds"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_the_cause_names_the_field(state: dict[str, Any], location: str) -> None:
    assert run_state(state).cause == explain_failure(location, "$no", "returned nothing (undefined).")


@pytest.mark.parametrize("place", ["Condition", "Output", "Assign"])
def test_the_cause_names_the_rule(place: str) -> None:
    broken = {"Condition": True, "Next": "Done"} | {place: {"v": "{% $no %}"} if place != "Condition" else "{% $no %}"}
    choice = {"Type": "Choice", "Choices": [{"Condition": False, "Next": "Done"}, broken]}
    location = f"Choices[1]/{place}" + ("/v" if place != "Condition" else "")
    execution = run_states({"Only": choice, "Done": SUCCEED})
    assert execution.cause == explain_failure(location, "$no", "returned nothing (undefined).")


def test_the_cause_names_the_catcher() -> None:
    catchers = [
        {"ErrorEquals": ["Other"], "Next": "Done"},
        {"ErrorEquals": ALWAYS, "Output": "{% $no %}", "Next": "Done"},
    ]
    task = {"Type": "Task", "Resource": INVOKE, "Catch": catchers, "End": True}
    execution = run_states({"Only": task, "Done": SUCCEED}, tasks={INVOKE: fail_task()})
    assert execution.cause == explain_failure("Catch[1]/Output", "$no", "returned nothing (undefined).")


@pytest.mark.parametrize(
    ("state", "location", "expected"),
    [
        ({"Type": "Fail", "Error": "{% 1 %}"}, "Error", "string"),
        ({"Type": "Wait", "Timestamp": "{% 1 %}"}, "Timestamp", "string"),
        ({"Type": "Choice", "Choices": [{"Condition": "{% 1 %}", "Next": "Only"}]}, "Choices[0]/Condition", "boolean"),
    ],
)
def test_a_result_of_another_type_fails_the_state(state: dict[str, Any], location: str, expected: str) -> None:
    """The wording was recorded for the items of a Map state."""
    ending = f"returned an unexpected result type. Expected '{expected}', but was 'number' for value: 1"
    assert run_states({"Only": state}).cause == explain_failure(location, "1", ending)


def test_a_choice_that_matches_nothing_fails() -> None:
    execution = run_states({"Only": {"Type": "Choice", "Choices": [{"Condition": False, "Next": "Only"}]}})
    assert (execution.status, execution.error) == ("FAILED", "States.NoChoiceMatched")


def test_a_fail_state_needs_neither_error_nor_cause() -> None:
    execution = run_state({"Type": "Fail"})
    assert (execution.status, execution.error, execution.cause) == ("FAILED", "", "")
    assert run_state({"Type": "Fail", "Cause": "{% 'a' & 'b' %}"}).cause == "ab"


def test_a_retrier_without_fields_waits_1_2_and_4_seconds() -> None:
    """https://states-language.net/spec.html#errors"""
    task = {"Type": "Task", "Resource": INVOKE, "Retry": [{"ErrorEquals": ALWAYS}]}
    execution = run_state(task, tasks={INVOKE: fail_task()})
    assert (execution.status, execution.error, execution.waited_seconds) == ("FAILED", "CardError", 1 + 2 + 4)


@pytest.mark.parametrize("type_name", ["Map", "Parallel"])
def test_a_map_and_a_parallel_state_retry_and_catch(type_name: str) -> None:
    calls: list[Any] = []

    def run_task(arguments: Any) -> Any:
        calls.append(arguments)
        raise StatesError("CardError", "declined")

    inner = {"StartAt": "Call", "States": {"Call": {"Type": "Task", "Resource": INVOKE, "End": True}}}
    fields = {"Items": [1, 2], "ItemProcessor": inner} if type_name == "Map" else {"Branches": [inner, inner]}
    handlers = {
        "Retry": [{"ErrorEquals": ["CardError"], "MaxAttempts": 1}],
        "Catch": [{"ErrorEquals": ["CardError"], "Next": "Done"}],
    }
    state = {"Type": type_name, "End": True} | fields | handlers
    execution = run_states({"Only": state, "Done": SUCCEED}, tasks={INVOKE: run_task})
    assert execution.output == {"Error": "CardError", "Cause": "declined"}
    assert (len(calls), execution.waited_seconds) == (2, 1), "the first failure ends each attempt"


def test_branches_see_the_variables_around_them_and_keep_their_own() -> None:
    branch = {
        "StartAt": "In",
        "States": {"In": {"Type": "Pass", "Assign": {"a": 2}, "Output": "{% $a %}", "End": True}},
    }
    states = {
        "Before": {"Type": "Pass", "Assign": {"a": 1}, "Next": "Both"},
        "Both": {
            "Type": "Parallel",
            "Branches": [branch, branch],
            "Assign": {"b": "{% $states.result %}"},
            "Next": "Then",
        },
        "Then": {"Type": "Pass", "Output": "{% [$a, $b] %}", "End": True},
    }
    assert run_states(states).output == [1, 1, 1]


def test_a_branch_leaves_its_state_behind() -> None:
    branch = {"StartAt": "In", "States": {"In": {"Type": "Pass", "End": True}}}
    state = {"Type": "Parallel", "Branches": [branch], "Output": "{% $states.context.State.Name %}"}
    execution = run_state(state)
    # Of the execution: started, succeeded; of both states: entered, exited; of the branches: started, succeeded.
    # https://docs.aws.amazon.com/step-functions/latest/apireference/API_HistoryEvent.html
    assert (execution.output, execution.events) == ("Only", 2 + 2 * 2 + 2)


def test_an_iteration_has_its_item_in_the_context_object_and_no_state_after_it() -> None:
    inside = {"Type": "Pass", "Output": "{% $states.context.Map.Item %}", "End": True}
    state = {
        "Type": "Map",
        "Items": ["a", "b"],
        "ItemProcessor": {"StartAt": "In", "States": {"In": inside}},
        "Output": {"items": "{% $states.result %}", "state": "{% $states.context.State.Name %}"},
    }
    items = [{"Index": 0, "Value": "a"}, {"Index": 1, "Value": "b"}]
    assert run_state(state).output == {"items": items, "state": "Only"}


@pytest.mark.parametrize(("data", "status"), [([1, 2], "SUCCEEDED"), ({"a": 1}, "FAILED")])
def test_a_map_state_without_items_takes_its_input(data: Any, status: str) -> None:
    inside = {"StartAt": "In", "States": {"In": {"Type": "Pass", "End": True}}}
    assert run_state({"Type": "Map", "ItemProcessor": inside}, data).status == status


def test_a_task_counts_its_attempts_and_a_pass_state_has_none() -> None:
    """Recorded for a Pass state on 2024-09-11: localstack/localstack, context_object/test_context_object.py."""
    answers = iter([fail_task(), lambda arguments: arguments])
    task = {
        "Type": "Task",
        "Resource": INVOKE,
        "Arguments": "{% $states.context.State.RetryCount %}",
        "Retry": [{"ErrorEquals": ALWAYS}],
    }
    assert run_state(task, tasks={INVOKE: lambda arguments: next(answers)(arguments)}).output == 1
    assert set(run_state({"Type": "Pass", "Output": "{% $states.context.State %}"}).output) == {"Name", "EnteredTime"}


def test_a_task_without_arguments_has_the_input_of_its_state() -> None:
    assert run_state({"Type": "Task", "Resource": "function"}, {"a": 1}, {"function": lambda data: [data]}).output == [
        {"a": 1}
    ]


def test_time_is_virtual_and_the_state_machine_has_a_limit() -> None:
    """How an execution ends that is over its time: https://github.com/floci-io/floci/issues/2733"""
    state = {"Type": "Wait", "Seconds": 25, "Next": "Then"}
    next_state = {"Type": "Pass", "Output": "{% $states.context.State.EnteredTime %}", "End": True}
    assert run_states({"Only": state, "Then": next_state}).output == "2026-01-01T00:00:26.000Z"
    execution = run_states({"Only": state, "Then": next_state}, TimeoutSeconds=3)
    assert (execution.status, execution.error, execution.cause) == ("TIMED_OUT", "States.Timeout", "")
    wait_state = {"Type": "Wait", "Timestamp": "2026-01-01T01:00:00Z", "Next": "Then"}
    assert run_states({"Only": wait_state, "Then": next_state}).output == "2026-01-01T01:00:00.000Z"


@pytest.mark.parametrize("seconds", ["{% -1 %}", "{% 1.5 %}"])
def test_a_wait_takes_a_whole_number_of_seconds(seconds: str) -> None:
    assert run_state({"Type": "Wait", "Seconds": seconds}).error == "States.QueryEvaluationError"


def test_an_execution_ends_at_25_000_events() -> None:
    """Measured on AWS: https://github.com/floci-io/floci/issues/2734"""
    execution = run_states({"Only": {"Type": "Choice", "Choices": [{"Condition": True, "Next": "Only"}]}})
    assert (execution.status, execution.error) == ("FAILED", "States.Runtime")
    assert execution.cause == "The execution reached the maximum number of history events (25000)."
    # Started, then entered and exited; number 25,000 is the failure itself.
    assert (len(execution.path), execution.events) == (12_499, 25_000)


def test_the_cause_of_a_result_that_is_too_large_names_the_service() -> None:
    """Recorded on 2024-03-21: localstack/localstack, error_handling/test_states_errors.py."""
    execution = run_state({"Type": "Task", "Resource": INVOKE}, tasks={INVOKE: lambda _: "x" * LIMIT_BYTES})
    assert (execution.error, execution.cause) == (
        "States.DataLimitExceeded",
        "The state/task 'lambda' returned a result with a size exceeding the maximum number of bytes service limit.",
    )


@pytest.mark.parametrize(
    ("text", "time"),
    [
        ("2020-10-31T08:30:00Z", datetime(2020, 10, 31, 8, 30, tzinfo=UTC)),
        ("2020-10-31T08:30:00.5Z", datetime(2020, 10, 31, 8, 30, 0, 500_000, tzinfo=UTC)),
        ("2020-10-31T08:30:00.123456789Z", datetime(2020, 10, 31, 8, 30, 0, 123_456, tzinfo=UTC)),
        ("2020-10-31T08:30:00+02:00", datetime(2020, 10, 31, 6, 30, tzinfo=UTC)),
        ("2020-10-31T08:30Z", datetime(2020, 10, 31, 8, 30, tzinfo=UTC)),
        ("2020-02-30T08:30:00Z", None),
        ("2020-10-31T24:00:00Z", None),
        ("2020-10-31t08:30:00z", None),
        ("2020-10-31", None),
        ("20201031T083000Z", None),
        ("", None),
    ],
)
def test_a_timestamp_is_rfc_3339(text: str, time: datetime | None) -> None:
    assert parse_timestamp(text) == time


PATH_STATES: list[tuple[dict[str, Any], Any, Any]] = [
    ({"Type": "Pass", "InputPath": "$.a", "OutputPath": "$.b"}, {"a": {"b": 1}}, 1),
    ({"Type": "Pass", "InputPath": None}, {"a": 1}, {}),
    ({"Type": "Pass", "Result": 1, "ResultPath": "$.b.c"}, {"a": 1}, {"a": 1, "b": {"c": 1}}),
    ({"Type": "Pass", "Result": 1, "ResultPath": None}, {"a": 1}, {"a": 1}),
    ({"Type": "Pass", "Parameters": {"n.$": "$$.Execution.Name", "l": [{"x.$": "$['a'][1]"}]}}, {"a": [0, 2]},
     {"n": "test", "l": [{"x": 2}]}),
    ({"Type": "Pass", "Parameters": {"all.$": "$.a[*].b"}}, {"a": [{"b": 1}, {"b": 2}]}, {"all": [1, 2]}),
    ({"Type": "Task", "Resource": "echo", "Parameters": {"a.$": "$.a"}, "ResultSelector": {"b.$": "$.a"}},
     {"a": 1}, {"b": 1}),
    ({"Type": "Task", "Resource": "echo", "ResultPath": "$.r"}, {"a": 1}, {"a": 1, "r": {"a": 1}}),
    ({"Type": "Map", "ItemsPath": "$.l", "ItemSelector": {"v.$": "$$.Map.Item.Value", "a.$": "$.a"},
      "ItemProcessor": {"StartAt": "In", "States": {"In": {"Type": "Pass", "End": True}}}},
     {"l": [1, 2], "a": 0}, [{"v": 1, "a": 0}, {"v": 2, "a": 0}]),
    ({"Type": "Wait", "SecondsPath": "$.s"}, {"s": 3}, {"s": 3}),
    ({"Type": "Task", "Resource": "echo", "TimeoutSecondsPath": "$.s"}, {"s": 3}, {"s": 3}),
]  # fmt: skip


@pytest.mark.parametrize(("state", "data", "output"), PATH_STATES)
def test_the_fields_of_a_state_in_jsonpath(state: dict[str, Any], data: Any, output: Any) -> None:
    """https://docs.aws.amazon.com/step-functions/latest/dg/concepts-input-output-filtering.html"""
    machine = {"StartAt": "Only", "States": {"Only": state | {"End": True}}}
    execution = Interpreter(machine, {"echo": lambda arguments: arguments}).run(data)
    assert (execution.status, execution.output) == ("SUCCEEDED", output)


def test_variables_pass_from_jsonpath_to_jsonata_and_back() -> None:
    states = {
        "First": {"Type": "Pass", "Assign": {"a.$": "$.a"}, "Next": "Second"},
        "Second": {"QueryLanguage": "JSONata", "Type": "Pass", "Assign": {"b": {"c": "{% $a + 1 %}"}}, "Next": "Third"},
        "Third": {"Type": "Pass", "Parameters": {"c.$": "$b.c"}, "End": True},
    }
    assert Interpreter({"StartAt": "First", "States": states}, {}).run({"a": 1}).output == {"c": 2}


def test_a_path_that_selects_nothing_ends_the_execution() -> None:
    state = {"Type": "Pass", "Parameters": {"b.$": "$.a.b"}, "End": True}
    execution = Interpreter({"StartAt": "Only", "States": {"Only": state}}, {}).run({"a": 1})
    assert execution.error == "States.Runtime"
    assert "The JSONPath '$.a.b' specified for the field 'b.$' could not be found in the input" in execution.cause


@pytest.mark.parametrize(
    "fields",
    [
        {"Type": "Pass", "Result": 1},
        {"Type": "Wait", "SecondsPath": "$.a"},
        {"Type": "Task", "Resource": INVOKE, "Retry": [{"ErrorEquals": ALWAYS, "Attempts": 1}]},
        {"Type": "Task", "Resource": INVOKE, "Catch": [{"ErrorEquals": ALWAYS, "ResultPath": "$"}]},
        {"Type": "Map", "ItemReader": {}},
        {"Type": "Pass", "QueryLanguage": "JSONPath"},
        {"Type": "Map", "ItemProcessor": {"StartAt": "In", "States": {"In": {"Type": "Pass", "Rest": 1}}}},
    ],
    ids=["field", "path", "retrier", "catcher", "reader", "language", "nested"],
)
def test_a_field_that_is_not_known_is_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(AssertionError):
        run_state(fields)
