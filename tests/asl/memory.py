"""The variables, the context object and the event count of an execution."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from tests.asl.errors import ExecutionTimedOut, StatesError

_START_TIME = "2026-01-01T00:00:00.000Z"
_FIRST_ENTERED_TIME = "2026-01-01T00:00:01.000Z"
_FIRST_ENTERED_AT = datetime.fromisoformat(_FIRST_ENTERED_TIME)
# https://docs.aws.amazon.com/step-functions/latest/dg/service-quotas.html
MAXIMUM_EVENTS = 25_000


@dataclass(slots=True)
class Visit:
    """A state that was entered, with its fields, its input and the id of its StateEntered event."""

    name: str
    state: dict[str, Any]
    data: Any
    event_id: int

    def fail_state(self, error: str, reason: str) -> StatesError:
        """Return an error whose cause names the state."""
        place = f"An error occurred while executing the state '{self.name}' (entered at the event id #{self.event_id})."
        return StatesError(error, f"{place} {reason}")


class Memory:
    """The variables, the context object and the event count of an execution.

    A branch or an iteration sees the variables of the enclosing states, and keeps those that it assigns to itself.
    https://docs.aws.amazon.com/step-functions/latest/dg/workflow-variables.html
    """

    def __init__(self, data: Any, name: str, redrive_count: int, timeout_seconds: float | None) -> None:
        self.variables: dict[str, Any] = {}
        self.context: dict[str, Any] = {
            "Execution": {"Id": f"arn:test:execution:{name}", "Input": data, "Name": name, "RoleArn": "arn:test:role",
                          "StartTime": _START_TIME, "RedriveCount": redrive_count},
            "StateMachine": {"Id": "arn:test:stateMachine", "Name": "test"},
        }  # fmt: skip
        self.path: list[str] = []
        self.waited_seconds = 0.0
        # The first state is entered a second after the start. Only Wait states advance this time: the proofs compare
        # executions by their data, which a retry must not change.
        self._entered_at, self._entered_time = _FIRST_ENTERED_AT, _FIRST_ENTERED_TIME
        self.events = 1  # ExecutionStarted
        self._timeout_seconds = timeout_seconds
        self._total_seconds = 0.0

    @property
    def entered_at(self) -> datetime:
        return self._entered_at

    def record_events(self, count: int = 1) -> int:
        """Count history events and return the id of the last one. Raises ``States.Runtime`` at the limit."""
        self.events += count
        if self.events >= MAXIMUM_EVENTS:
            # Measured on AWS on 2026-08-29: https://github.com/floci-io/floci/issues/2734
            raise StatesError(
                "States.Runtime", f"The execution reached the maximum number of history events ({MAXIMUM_EVENTS})."
            )
        return self.events

    def enter_state(self, name: str, state: dict[str, Any], data: Any) -> Visit:
        """Record that a state is entered."""
        event_id = self.record_events()
        self.path.append(name)
        self.context["State"] = {"Name": name, "EnteredTime": self._entered_time}
        # A Pass state has no count: localstack/localstack, test_context_object.py, recorded on 2024-09-11.
        if state["Type"] == "Task":
            self.context["State"]["RetryCount"] = 0
        return Visit(name, state, data, event_id)

    def count_retry(self) -> None:
        """Record another attempt in the context object of a task."""
        if "RetryCount" in self.context["State"]:
            self.context["State"]["RetryCount"] += 1

    def pass_wait(self, seconds: float) -> None:
        """Advance the time of a Wait state."""
        self.pass_time(seconds)
        self._entered_at += timedelta(seconds=seconds)
        self._entered_time = format_time(self._entered_at)

    def pass_time(self, seconds: float) -> None:
        """Advance the time. Raises ``ExecutionTimedOut`` after the state machine's ``TimeoutSeconds``."""
        self._total_seconds += seconds
        if self._timeout_seconds is not None and self._total_seconds > self._timeout_seconds:
            raise ExecutionTimedOut

    @contextmanager
    def open_scope(self, item: dict[str, Any] | None = None) -> Iterator[None]:
        """Give a branch or an iteration its own variables and context object, for the duration of the context."""
        variables, context = self.variables, self.context
        self.variables = dict(variables)
        self.context = dict(context) if item is None else context | {"Map": {"Item": item}}
        try:
            yield
        finally:
            self.variables, self.context = variables, context


def format_time(time: datetime) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S.") + f"{time.microsecond // 1000:03d}Z"
