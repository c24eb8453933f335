"""Runs the states of an execution, and returns how it ended."""

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from tests.asl.composites import Fields, run_map, run_parallel
from tests.asl.definition import check_definition, choose_language
from tests.asl.errors import ExecutionTimedOut, ResultTooLarge, StatesError, limit_size
from tests.asl.handlers import Handlers
from tests.asl.jsonata_fields import JsonataFields
from tests.asl.jsonpath_fields import JsonPathFields
from tests.asl.memory import MAXIMUM_EVENTS, Memory, Visit
from tests.asl.timestamps import parse_timestamp


@dataclass
class Execution:
    """How an execution ended.

    status:          RUNNING, SUCCEEDED, FAILED or TIMED_OUT
    error, cause:    empty where AWS returns none
    output:          of an execution that succeeded
    path:            the names of the states that were entered, including those in branches and iterations
    events:          the id of the last event of the history
    waited_seconds:  the sum of the waits before retries
    """

    status: str = "RUNNING"
    error: str = ""
    cause: str = ""
    output: Any = None
    path: list[str] = field(default_factory=list)
    events: int = 0
    waited_seconds: float = 0.0


# Recorded on 2024-03-21 for lambda:invoke: localstack/localstack, error_handling/test_states_errors.py.
_TOO_LARGE = "The state/task '{}' returned a result with a size exceeding the maximum number of bytes service limit."
_INTEGRATION = re.compile(r"arn:aws:states:::([\w-]+):")

Task = Callable[[Any], Any]
# The output of a state, and the name of the next state, or None after the last one.
Transition = tuple[Any, str | None]


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
        check_definition(definition)
        self._definition, self._tasks, self._sleep = definition, tasks, sleep
        self._catches_large_results = catches_large_results
        self._language = definition.get("QueryLanguage", "JSONPath")

    def run(self, data: Any, name: str = "test", redrive_count: int = 0) -> Execution:
        """Run an execution with this name and return how it ended."""
        self.begin_execution(data, name, redrive_count)
        execution = Execution(path=self.memory.path)
        try:
            execution.output = self._run_states(self._definition, data)
            execution.status = "SUCCEEDED"
        except StatesError as error:
            execution.status, execution.error, execution.cause = "FAILED", error.error, error.cause
        except ExecutionTimedOut:
            execution.status, execution.error = "TIMED_OUT", "States.Timeout"
        execution.waited_seconds = self.memory.waited_seconds
        execution.events = min(self.memory.events + 1, MAXIMUM_EVENTS)
        return execution

    def begin_execution(self, data: Any, name: str, redrive_count: int = 0) -> None:
        """Start with a new ``memory``, before the first state."""
        self.memory = Memory(data, name, redrive_count, self._definition.get("TimeoutSeconds"))
        self._fields = {"JSONata": JsonataFields(self.memory), "JSONPath": JsonPathFields(self.memory)}

    def run_state(self, states: dict[str, Any], state_name: str, data: Any) -> Transition:
        """Run a state and return its output and the name of the next state. Raises ``StatesError`` if it fails."""
        state = states[state_name]
        visit = self.memory.enter_state(state_name, state, data)
        transition = self._run_type(visit)
        self.memory.record_events()  # StateExited
        return transition

    def _run_states(self, machine: dict[str, Any], data: Any) -> Any:
        """Run the states from ``StartAt`` and return the output of the last one."""
        state_name: str | None = machine["StartAt"]
        while state_name is not None:
            data, state_name = self.run_state(machine["States"], state_name, limit_size(data))
        return data

    def _run_type(self, visit: Visit) -> Transition:
        fields = self._choose_fields(visit)
        match visit.state["Type"]:
            case "Task":
                return self._handle_failures(visit, lambda: self._run_task(visit, fields))
            case "Map":
                return self._handle_failures(visit, lambda: run_map(visit, fields, self.memory, self._run_states))
            case "Parallel":
                return self._handle_failures(visit, lambda: run_parallel(visit, fields, self.memory, self._run_states))
            case "Choice":
                return fields.choose_transition(visit)
            case "Pass":
                return fields.leave_pass(visit), visit.state.get("Next")
            case "Wait":
                self._run_wait(visit, fields)
                return fields.leave_state(visit), visit.state.get("Next")
            case "Succeed":
                return fields.leave_state(visit), None
            case "Fail":
                raise StatesError(fields.read_text(visit, "Error") or "", fields.read_text(visit, "Cause") or "")
        raise AssertionError(visit.state["Type"])

    def _choose_fields(self, visit: Visit) -> Fields:
        return self._fields[choose_language(visit.state, self._language)]

    def _run_wait(self, visit: Visit, fields: Fields) -> None:
        text = fields.read_text(visit, "Timestamp")
        if text is None:
            seconds = fields.read_number(visit, "Seconds")
            assert seconds is not None, f"{visit.name} has neither Seconds nor Timestamp"
            if seconds < 0 or seconds != int(seconds):
                # No recording shows AWS's wording. The rule: https://states-language.net/spec.html#wait-state
                raise fields.refuse_field(visit, f"The Seconds field must be a non-negative integer: {seconds}")
            self.memory.pass_wait(seconds)
            return
        time = parse_timestamp(text)
        if time is None:
            raise fields.refuse_field(
                visit,
                f"The Timestamp field cannot be parsed as an ISO-8601 extended offset date-time format string: {text}",
            )
        self.memory.pass_wait(max(0.0, (time - self.memory.entered_at).total_seconds()))

    def _handle_failures(self, visit: Visit, attempt: Callable[[], Any]) -> Transition:
        """Run ``attempt`` until it succeeds or no retrier applies, then apply a catcher or raise the error."""
        fields, handlers = self._choose_fields(visit), Handlers(visit, self._catches_large_results)
        while True:
            try:
                return fields.leave_state(visit, attempt()), visit.state.get("Next")
            except StatesError as error:
                if handlers.is_final(error):
                    raise
                wait = handlers.plan_retry(error)
                if wait is not None:
                    self.memory.waited_seconds += wait
                    self.memory.pass_time(wait)
                    self._sleep(wait)
                    self.memory.count_retry()
                    continue
                if visit.state["Type"] != "Task":
                    self.memory.record_events()  # MapStateFailed or ParallelStateFailed
                index = handlers.find_catcher(error)
                if index is None:
                    raise
                failure = {"Error": error.error, "Cause": error.cause}
                return fields.catch_failure(visit, index, failure), visit.state["Catch"][index]["Next"]

    def _run_task(self, visit: Visit, fields: Fields) -> Any:
        """Run a task and return its result."""
        arguments = fields.read_arguments(visit)
        for name in ("TimeoutSeconds", "HeartbeatSeconds"):
            # Tasks take no virtual time: a test raises States.Timeout for one that is too slow.
            fields.read_number(visit, name)
        self.memory.record_events(3)  # scheduled, started, and succeeded or failed
        resource = visit.state["Resource"]
        result = self._tasks[resource](arguments)
        try:
            return limit_size(result)
        except StatesError as error:
            raise ResultTooLarge(error.error, _TOO_LARGE.format(_name_service(resource))) from None


def _name_service(resource: str) -> str:
    service = _INTEGRATION.match(resource)
    return service[1] if service else resource
