"""An execution: its states one after another, and how it ends."""

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
    """How an execution ended; ``error`` and ``cause`` are empty where AWS gives none.

    ``path`` are the names of the states entered, those of branches and iterations among them. ``events`` is the id of
    the last event of the history, and ``waited_seconds`` the sum of the waits before retries.
    """

    status: str = "RUNNING"
    error: str = ""
    cause: str = ""
    output: Any = None
    path: list[str] = field(default_factory=list)
    events: int = 0
    waited_seconds: float = 0.0


# Recorded for an invocation of a function on 2024-03-21: LocalStack's test_states_errors.py.
_TOO_LARGE = "The state/task '{}' returned a result with a size exceeding the maximum number of bytes service limit."
_INTEGRATION = re.compile(r"arn:aws:states:::([\w-]+):")

Task = Callable[[Any], Any]
# What a state leaves, and the name of the next one; None where the states end.
Transition = tuple[Any, str | None]


class Interpreter:
    """Runs a definition. ``tasks`` gives, by resource, what a task does: arguments -> result, or ``StatesError``.

    ``sleep`` is told how long to wait before a retry, in seconds. With ``catches_large_results``, retriers and catchers
    apply to a task's result of more than LIMIT_BYTES; without, it ends the execution, as the documentation has it.
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
        """Run an execution of this name to its end."""
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
        """Forget the last execution; ``memory`` is that of the new one."""
        self.memory = Memory(data, name, redrive_count, self._definition.get("TimeoutSeconds"))
        self._fields = {"JSONata": JsonataFields(self.memory), "JSONPath": JsonPathFields(self.memory)}

    def run_state(self, states: dict[str, Any], state_name: str, data: Any) -> Transition:
        """Enter a state and leave it. Raises ``StatesError`` where it fails."""
        state = states[state_name]
        visit = self.memory.enter_state(state_name, state, data)
        transition = self._run_type(visit)
        self.memory.record_events()  # StateExited
        return transition

    def _run_states(self, machine: dict[str, Any], data: Any) -> Any:
        """The output of the last state."""
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
            assert seconds is not None, f"{visit.name} waits for nothing"
            if seconds < 0 or seconds != int(seconds):
                # How AWS words this is not recorded: https://states-language.net/spec.html#wait-state
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
        """Attempt a state's work until it is done, or no retrier is for its failure; then a catcher may be."""
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
        """The result of a task."""
        arguments = fields.read_arguments(visit)
        for name in ("TimeoutSeconds", "HeartbeatSeconds"):
            # How long a task takes is a test's to say: it raises States.Timeout.
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
