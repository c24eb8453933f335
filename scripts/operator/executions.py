"""What became of an execution, read from Step Functions and nowhere else. Of its input only the id is kept."""

import json
from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from .records import hidden

# What a person calls the states, in the order of the table's path; book-keeping has no name there.
SHORT = {
    "ValidatePayment": "Validate",
    "ProcessPayment": "Process",
    "PaymentOutcome": "Outcome",
    "PaymentComplete": "Complete",
    "NotifyUnsuccessful": "Notify",
    "RecordUnsuccessful": "",
    "PaymentUnsuccessful": "Unsuccessful",
    "RecordFailure": "Record",
    "FailureOutcome": "",
    "SendToDeadLetterQueue": "DLQ",
    "NotifyFailure": "Notify",
    "RecordNotice": "",
    "PaymentFailed": "Failed",
}

# What Step Functions says of an execution that is not there: it keeps them for 90 days.
GONE = ("ExecutionDoesNotExist", "InvalidArn", "ValidationException")


@dataclass(frozen=True)
class Moment:
    """Something that happened in an execution.

    ``kind`` is ``started``, ``entered``, ``tried``, ``failed``, ``succeeded`` (a task), or ``ended``. ``state`` is the
    state that it happened in, ``error`` and ``cause`` why it failed, ``message_id`` what queue or topic answered.
    """

    at: datetime
    kind: str
    state: str = ""
    tries: int = 0
    error: str = ""
    cause: str = ""
    message_id: str = ""


@dataclass
class Execution:
    """One execution as far as it has come."""

    execution_arn: str
    status: str = "RUNNING"
    states: list[str] = field(default_factory=list)
    tries: Counter[str] = field(default_factory=Counter)
    seconds: float = 0.0
    error: str = ""
    output: dict[str, Any] = field(default_factory=dict)
    moments: list[Moment] = field(default_factory=list)
    # Of the payment that it was started with, if that was one.
    transaction_id: str = ""

    @property
    def name(self) -> str:
        return self.execution_arn.rsplit(":", 1)[-1]

    @property
    def path(self) -> str:
        steps = []
        for state in self.states:
            name, tries = SHORT.get(state, state), self.tries[state]
            if name:
                steps.append(name + (f" ×{tries}" if tries > 1 else ""))  # noqa: RUF001
        return "→".join(steps)

    @property
    def ended(self) -> bool:
        return self.status != "RUNNING"

    @property
    def transitions(self) -> int:
        """Billed: each state that is entered, and each retry."""
        return len(self.states) + sum(tries - 1 for tries in self.tries.values())


def read(stepfunctions: Any, execution_arn: str) -> Execution:
    """An execution so far. Raises the SDK's ``ExecutionDoesNotExist`` for one that is not there, or not any more."""
    described = stepfunctions.describe_execution(executionArn=execution_arn)
    execution = Execution(execution_arn, status=described["status"], error=hidden(described.get("error", "")))
    execution.transaction_id = _transaction_id(described.get("input", ""))
    if "output" in described and execution.status == "SUCCEEDED":
        execution.output = json.loads(described["output"])
    events = [
        event
        for page in stepfunctions.get_paginator("get_execution_history").paginate(executionArn=execution_arn)
        for event in page["events"]
    ]
    for event in events:
        _add(execution, event)
    execution.seconds = (events[-1]["timestamp"] - events[0]["timestamp"]).total_seconds() if events else 0.0
    return execution


def _add(execution: Execution, event: dict[str, Any]) -> None:
    kind = event["type"]
    if "stateEnteredEventDetails" in event:
        execution.states.append(event["stateEnteredEventDetails"]["name"])
    elif kind == "TaskScheduled":
        execution.tries[execution.states[-1]] += 1
    state = execution.states[-1] if execution.states else ""
    details: dict[str, Any] = next((value for name, value in event.items() if name.endswith("EventDetails")), {})
    # Whoever stops an execution chooses these words.
    said: dict[str, Any] = {
        "error": hidden(details.get("error", "")),
        "cause": hidden(cause_of(details.get("cause", ""))),
    }
    at = event["timestamp"]
    match kind:
        case "ExecutionStarted":
            moment = Moment(at, "started")
        case "TaskScheduled":
            moment = Moment(at, "tried", state, execution.tries[state])
        case "TaskFailed" | "TaskTimedOut" | "TaskSubmitFailed" | "EvaluationFailed":
            moment = Moment(at, "failed", state, execution.tries[state], **said)
        case "TaskSucceeded":
            moment = Moment(at, "succeeded", state, message_id=_message_id(details.get("output", "")))
        case "ExecutionSucceeded" | "ExecutionFailed" | "ExecutionTimedOut" | "ExecutionAborted":
            moment = Moment(at, "ended", state, **said)
        case _ if kind.endswith("StateEntered"):
            moment = Moment(at, "entered", state)
        case _:
            return
    execution.moments.append(moment)


def cause_of(text: str) -> str:
    """A failure's words without the place in the code that Lambda adds to them."""
    try:
        cause = json.loads(text)
    except ValueError:
        return text
    return str(cause.get("errorMessage", "")) if isinstance(cause, dict) else text


def _transaction_id(text: str) -> str:
    try:
        request = json.loads(text)
    except ValueError:
        return ""
    found = request.get("transaction_id") if isinstance(request, dict) else None
    return found if isinstance(found, str) else ""


def _message_id(output: str) -> str:
    """What SQS or SNS called the message; a function's answer has none."""
    try:
        answer = json.loads(output)
    except ValueError:
        return ""
    return str(answer.get("MessageId", "")) if isinstance(answer, dict) else ""
