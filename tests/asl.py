"""A strict interpreter of the Amazon States Language with JSONata, where an emulator is lenient.

It supports the states and fields that the payment workflow uses, and refuses others:

- an expression without a result is ``States.QueryEvaluationError``;
- only ``Task`` states catch; the same error elsewhere ends the execution;
- ``States.DataLimitExceeded`` (256 KiB of state input, output, arguments, result or variables) and ``States.Runtime``
  cannot be caught or retried, not even by ``States.ALL``. In March 2024, AWS did let a catcher of ``States.ALL``, or
  of its name, catch a task's result that was too large. ``catches_large_results`` chooses between the two;
- ``Output`` and ``Assign`` see the variables as they were before the state;
- a ``Fail`` state's error and cause are strings.

https://docs.aws.amazon.com/step-functions/latest/dg/concepts-error-handling.html
https://docs.aws.amazon.com/step-functions/latest/dg/transforming-data.html
"""

import functools
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import jsonata

from tests import jsonata2

LIMIT_BYTES = 256 * 1024
UNCATCHABLE = ("States.DataLimitExceeded", "States.Runtime")

_COMMON = {"Type", "Comment", "QueryLanguage", "Assign", "Output"}
_FIELDS = {
    "Task": _COMMON | {"Resource", "Arguments", "TimeoutSeconds", "Retry", "Catch", "Next", "End"},
    "Choice": _COMMON | {"Choices", "Default"},
    "Succeed": {"Type", "Comment", "QueryLanguage", "Output"},
    "Fail": {"Type", "Comment", "QueryLanguage", "Error", "Cause"},
}


class StatesError(Exception):
    def __init__(self, error: str, cause: str = "") -> None:
        super().__init__(f"{error}: {cause}")
        self.error, self.cause = error, cause


class ResultTooLarge(StatesError):
    """``States.DataLimitExceeded`` of a task's result."""


@dataclass
class Execution:
    status: str = "RUNNING"
    error: str = ""
    cause: str = ""
    output: Any = None
    path: list[str] = field(default_factory=list)
    waited_seconds: float = 0.0


Task = Callable[[Any], Any]


class Interpreter:
    """Runs a definition. ``tasks`` maps a resource to a function from arguments to a result; it may raise StatesError.

    ``sleep`` is called before a retry with the wait in seconds. With ``catches_large_results``, retriers and catchers
    apply to a task's result of more than LIMIT_BYTES; without, it ends the execution, as AWS documents.
    """

    def __init__(
        self,
        definition: dict[str, Any],
        tasks: dict[str, Task],
        sleep: Callable[[float], None] = lambda _: None,
        *,
        catches_large_results: bool = False,
    ) -> None:
        assert definition["QueryLanguage"] == "JSONata"
        for name, state in definition["States"].items():
            assert set(state) <= _FIELDS[state["Type"]], f"{name} has fields that its type does not know"
        self._definition, self._tasks, self._sleep = definition, tasks, sleep
        self._catches_large_results = catches_large_results

    def run(self, data: Any, name: str = "test", redrive_count: int = 0) -> Execution:
        execution = self._begin(data, name, redrive_count)
        state_name: str | None = self._definition["StartAt"]
        try:
            while state_name is not None:
                data, state_name = self._run_state(state_name, _limited(data), execution)
            execution.status, execution.output = "SUCCEEDED", data
        except StatesError as error:
            execution.status, execution.error, execution.cause = "FAILED", error.error, error.cause
        return execution

    def _begin(self, data: Any, name: str, redrive_count: int = 0) -> Execution:
        self._variables: dict[str, Any] = {}
        self._context = {
            "Execution": {"Id": f"arn:test:execution:{name}", "Input": data, "Name": name, "RoleArn": "arn:test:role",
                          "StartTime": "2026-01-01T00:00:00.000Z", "RedriveCount": redrive_count},
            "StateMachine": {"Id": "arn:test:stateMachine", "Name": "test"},
        }  # fmt: skip
        return Execution()

    def _run_state(self, state_name: str, data: Any, execution: Execution) -> tuple[Any, str | None]:
        """Return the output of a state and the name of the next state, or None when the execution succeeds."""
        execution.path.append(state_name)
        assert len(execution.path) < 100, "the execution does not end"
        self._context["State"] = {"Name": state_name, "EnteredTime": "2026-01-01T00:00:01.000Z", "RetryCount": 0}
        return self._step(self._definition["States"][state_name], data, execution)

    def _step(self, state: dict[str, Any], data: Any, execution: Execution) -> tuple[Any, str | None]:
        match state["Type"]:
            case "Task":
                return self._task(state, data, execution)
            case "Choice":
                for choice in state["Choices"]:
                    condition = self._evaluate(choice["Condition"], input=data)
                    if not isinstance(condition, bool):
                        raise StatesError("States.QueryEvaluationError", "a condition is not a boolean")
                    if condition:
                        return self._leave(choice, default=data, input=data), choice["Next"]
                return self._leave(state, default=data, input=data), state["Default"]
            case "Succeed":
                return self._leave(state, default=data, input=data), None
            case "Fail":
                error, cause = (self._evaluate(state[key], input=data) for key in ("Error", "Cause"))
                if not isinstance(error, str) or not isinstance(cause, str):
                    raise StatesError("States.QueryEvaluationError", "Error and Cause must be strings")
                raise StatesError(error, cause)
        raise AssertionError(state["Type"])

    def _task(self, state: dict[str, Any], data: Any, execution: Execution) -> tuple[Any, str | None]:
        retried: dict[int, int] = {}
        while True:
            try:
                arguments = _limited(self._evaluate(state["Arguments"], input=data))
                result = self._result(state["Resource"], arguments)
                return self._leave(state, default=result, input=data, result=result), state.get("Next")
            except StatesError as error:
                if error.error in UNCATCHABLE and not (
                    self._catches_large_results and isinstance(error, ResultTooLarge)
                ):
                    raise
                index = _matching(state.get("Retry", []), error.error)
                if index is not None and retried.get(index, 0) < state["Retry"][index]["MaxAttempts"]:
                    retrier, count = state["Retry"][index], retried.get(index, 0)
                    wait = retrier["IntervalSeconds"] * retrier["BackoffRate"] ** count
                    wait = min(wait, retrier.get("MaxDelaySeconds", wait))
                    execution.waited_seconds += wait
                    self._sleep(wait)
                    retried[index] = count + 1
                    self._context["State"]["RetryCount"] += 1
                    continue
                index = _matching(state.get("Catch", []), error.error)
                if index is None:
                    raise
                catcher = state["Catch"][index]
                failure = {"Error": error.error, "Cause": error.cause}
                return self._leave(catcher, default=failure, input=data, errorOutput=failure), catcher["Next"]

    def _result(self, resource: str, arguments: Any) -> Any:
        result = self._tasks[resource](arguments)
        try:
            return _limited(result)
        except StatesError as error:
            raise ResultTooLarge(error.error, error.cause) from None

    def _leave(self, fields: dict[str, Any], default: Any, **states: Any) -> Any:
        """Apply ``Output`` and ``Assign`` of a state, a choice or a catcher, and return the output."""
        output = self._evaluate(fields["Output"], **states) if "Output" in fields else default
        assigned = {name: self._evaluate(value, **states) for name, value in fields.get("Assign", {}).items()}
        self._variables |= _limited(assigned)
        return _limited(output)

    def _evaluate(self, value: Any, **states: Any) -> Any:
        bindings = self._variables | {"states": states | {"context": self._context}}
        return _fill_in(value, json.dumps(bindings))


def _fill_in(value: Any, bindings: str) -> Any:
    """Replace each expression in a value by its result; ``bindings`` are the variables in JSON."""
    if isinstance(value, dict):
        return {key: _fill_in(item, bindings) for key, item in value.items()}
    if isinstance(value, list):
        return [_fill_in(item, bindings) for item in value]
    if isinstance(value, str) and value.startswith("{%") and value.endswith("%}"):
        return _evaluate_expression(value[2:-2].strip(), bindings)
    return value


@functools.lru_cache(maxsize=4096)
def _evaluate_expression(text: str, bindings: str) -> Any:
    """Return the result of an expression. Tests evaluate the same ones thousands of times, so results are cached."""
    expression, exists = _compiled(text), _compiled(f"$exists(({text}))")
    variables = {name: jsonata2.with_nulls(value) for name, value in json.loads(bindings).items()}
    try:
        result = expression.evaluate(None, variables)
        if result is None and not exists.evaluate(None, variables):
            raise StatesError("States.QueryEvaluationError", f"no result: {text}")
    except (jsonata.jexception.JException, RecursionError, OverflowError) as error:
        raise StatesError("States.QueryEvaluationError", str(error)) from None
    return None if result is jsonata.utils.Utils.NULL_VALUE else result


@functools.cache
def _compiled(text: str) -> Any:
    return jsonata2.Expression(text)


def _limited(value: Any) -> Any:
    """Return the value after a round trip through JSON; raise ``States.DataLimitExceeded`` if it is too large."""
    text = json.dumps(value, default=_null, ensure_ascii=False)
    if len(text.encode(errors="surrogatepass")) > LIMIT_BYTES:
        raise StatesError("States.DataLimitExceeded", f"{len(text)} characters")
    return json.loads(text)


def _null(value: Any) -> None:
    assert value is jsonata.utils.Utils.NULL_VALUE, type(value)


def _matching(fields: list[dict[str, Any]], error: str) -> int | None:
    for index, handler in enumerate(fields):
        names = handler["ErrorEquals"]
        if error in names or "States.ALL" in names or ("States.TaskFailed" in names and error != "States.Timeout"):
            return index
    return None
