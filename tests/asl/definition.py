"""The fields that each state type allows, by query language. Any other field is refused.

https://states-language.net/spec.html#state-type-table
"""

from collections.abc import Iterator
from typing import Any

_ANY = {"Type", "Comment", "QueryLanguage"}
_TRANSITION = {"Next", "End"}
_HANDLERS = {"Retry", "Catch"}
_OUTPUT = {"Assign", "Output"}
_PATHS = {"InputPath", "OutputPath"}
_RESULT = {"ResultSelector", "ResultPath", "Parameters"}
_TASK = {"Resource", "TimeoutSeconds", "HeartbeatSeconds"}
_TASK_PATHS = {"TimeoutSecondsPath", "HeartbeatSecondsPath"}
_MAP = {"ItemProcessor", "ItemSelector", "MaxConcurrency", "ToleratedFailureCount", "ToleratedFailurePercentage"}
_MAP_PATHS = {"ItemsPath", "MaxConcurrencyPath", "ToleratedFailureCountPath", "ToleratedFailurePercentagePath"}

FIELDS = {
    "JSONata": {
        "Task": _ANY | _OUTPUT | _TRANSITION | _HANDLERS | _TASK | {"Arguments"},
        "Pass": _ANY | _OUTPUT | _TRANSITION,
        "Wait": _ANY | _OUTPUT | _TRANSITION | {"Seconds", "Timestamp"},
        "Choice": _ANY | _OUTPUT | {"Choices", "Default"},
        "Map": _ANY | _OUTPUT | _TRANSITION | _HANDLERS | _MAP | {"Items"},
        "Parallel": _ANY | _OUTPUT | _TRANSITION | _HANDLERS | {"Arguments", "Branches"},
        "Succeed": _ANY | {"Output"},
        "Fail": _ANY | {"Error", "Cause"},
    },
    # Choice states in JSONPath, which have comparison operators, are not supported.
    "JSONPath": {
        "Task": _ANY | _PATHS | _RESULT | _TRANSITION | _HANDLERS | _TASK | _TASK_PATHS | {"Assign"},
        "Pass": _ANY | _PATHS | _TRANSITION | {"Assign", "Parameters", "Result", "ResultPath"},
        "Wait": _ANY | _PATHS | _TRANSITION | {"Assign", "Seconds", "SecondsPath", "Timestamp", "TimestampPath"},
        "Map": _ANY | _PATHS | _RESULT - {"Parameters"} | _TRANSITION | _HANDLERS | _MAP | _MAP_PATHS | {"Assign"},
        "Parallel": _ANY | _PATHS | _RESULT | _TRANSITION | _HANDLERS | {"Assign", "Branches"},
        "Succeed": _ANY | _PATHS,
        "Fail": _ANY | {"Error", "Cause", "ErrorPath", "CausePath"},
    },
}
RULE_FIELDS = {"Condition", "Next", "Assign", "Output", "Comment"}
RETRIER_FIELDS = {"ErrorEquals", "IntervalSeconds", "MaxAttempts", "BackoffRate", "MaxDelaySeconds", "JitterStrategy"}
CATCHER_FIELDS = {
    "JSONata": {"ErrorEquals", "Next", "Assign", "Output", "Comment"},
    "JSONPath": {"ErrorEquals", "Next", "Assign", "ResultPath", "Comment"},
}
MACHINE_FIELDS = {"Comment", "QueryLanguage", "StartAt", "States", "TimeoutSeconds", "Version"}
PROCESSOR_FIELDS = {"Comment", "ProcessorConfig", "StartAt", "States"}
_last_checked: list[dict[str, Any]] = []


def choose_language(state: dict[str, Any], default: str) -> str:
    """Return the query language of a state; ``default`` is that of its state machine."""
    return str(state.get("QueryLanguage", default))


def check_definition(definition: dict[str, Any]) -> None:
    """Raise ``AssertionError`` if a definition has a field that the interpreter does not support.

    The same definition is not checked twice in a row: the proofs run one thousands of times.
    """
    if _last_checked and _last_checked[0] is definition:
        return
    _last_checked.clear()
    _refuse_others("The state machine", definition, MACHINE_FIELDS)
    _check_states(definition, definition.get("QueryLanguage", "JSONPath"))
    _last_checked.append(definition)


def _check_states(machine: dict[str, Any], default: str) -> None:
    for name, state in machine["States"].items():
        language = choose_language(state, default)
        assert default == "JSONPath" or language == "JSONata", (
            f"{name} cannot use JSONPath in a state machine that uses JSONata"
        )
        _refuse_others(name, state, FIELDS[language][state["Type"]])
        for rule in state.get("Choices", []):
            _refuse_others(f"{name}, a rule", rule, RULE_FIELDS)
        for retrier in state.get("Retry", []):
            _refuse_others(f"{name}, a retrier", retrier, RETRIER_FIELDS)
        for catcher in state.get("Catch", []):
            _refuse_others(f"{name}, a catcher", catcher, CATCHER_FIELDS[language])
        for nested in _list_nested(state):
            _refuse_others(f"{name}, its states", nested, PROCESSOR_FIELDS)
            _check_states(nested, default)


def _list_nested(state: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield from state.get("Branches", [])
    if "ItemProcessor" in state:
        yield state["ItemProcessor"]


def _refuse_others(place: str, fields: dict[str, Any], allowed: set[str]) -> None:
    assert set(fields) <= allowed, f"{place} has unsupported fields: {sorted(set(fields) - allowed)}"
