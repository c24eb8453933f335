"""The history of an execution, from Step Functions alone. Of its input only the transaction id is kept.

That of an Express execution is in express_executions.py.
"""

import json
from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from scripts.common.clients import SFNClient
from scripts.common.states import BOOKKEEPING, shorten_name

from .execution_names import name_of
from .records import hide_card_numbers

_MOMENT_KINDS = {
    "ExecutionStarted": "started",
    "TaskScheduled": "run",
    "TaskSucceeded": "succeeded",
    **dict.fromkeys(("TaskFailed", "TaskTimedOut", "TaskSubmitFailed", "EvaluationFailed"), "failed"),
    **dict.fromkeys(("ExecutionSucceeded", "ExecutionFailed", "ExecutionTimedOut", "ExecutionAborted"), "ended"),
}
# The error codes for an execution that does not exist; Step Functions keeps executions for 90 days.
NOT_FOUND_CODES = ("ExecutionDoesNotExist", "InvalidArn", "ValidationException")


@dataclass(frozen=True)
class Moment:
    """An event of an execution.

    ``kind`` is ``started``, ``entered``, ``run``, ``failed``, ``succeeded`` (a task), or ``ended``. ``state`` is the
    state in which it happened, and ``runs`` how often its task was started before. ``error`` and ``cause`` say why it
    failed, ``message_id`` is the answer of SQS or SNS.
    """

    at: datetime
    kind: str
    state: str = ""
    runs: int = 0
    error: str = ""
    cause: str = ""
    message_id: str = ""


@dataclass
class Execution:
    execution_arn: str
    status: str = "RUNNING"
    states: list[str] = field(default_factory=list)
    # How often the task of each state was started. Not each of these runs is an attempt: a later one may only look up.
    runs: Counter[str] = field(default_factory=Counter)
    seconds: float = 0.0
    error: str = ""
    output: dict[str, Any] = field(default_factory=dict)
    moments: list[Moment] = field(default_factory=list)
    # Empty if its input is not a payment request.
    transaction_id: str = ""

    @property
    def name(self) -> str:
        return name_of(self.execution_arn)

    @property
    def path(self) -> str:
        steps = []
        for state in self.states:
            if state not in BOOKKEEPING:
                runs = self.runs[state]
                steps.append(shorten_name(state) + (f" ×{runs}" if runs > 1 else ""))  # noqa: RUF001
        return "→".join(steps)

    @property
    def has_ended(self) -> bool:
        return self.status != "RUNNING"

    @property
    def transition_count(self) -> int:
        """The transitions that AWS bills: each entered state and each retry."""
        return len(self.states) + sum(runs - 1 for runs in self.runs.values())


def read_execution(stepfunctions: SFNClient, execution_arn: str) -> Execution:
    """Return the execution so far. Raises the SDK's ``ExecutionDoesNotExist`` if it is unknown or expired."""
    description = stepfunctions.describe_execution(executionArn=execution_arn)
    execution = Execution(execution_arn, description["status"], error=hide_card_numbers(description.get("error", "")))
    transaction_id = parse_object(description.get("input", "")).get("transaction_id")
    execution.transaction_id = transaction_id if isinstance(transaction_id, str) else ""
    if "output" in description and execution.status == "SUCCEEDED":
        execution.output = json.loads(description["output"])
    pages = stepfunctions.get_paginator("get_execution_history").paginate(executionArn=execution_arn)
    events = [event for page in pages for event in page["events"]]
    for event in events:
        add_event(execution, event)
    execution.seconds = (events[-1]["timestamp"] - events[0]["timestamp"]).total_seconds() if events else 0.0
    return execution


def add_event(execution: Execution, event: Any) -> None:
    """Add an event of the history to the execution."""
    kind = event["type"]
    if "stateEnteredEventDetails" in event:
        execution.states.append(event["stateEnteredEventDetails"]["name"])
    elif kind == "TaskScheduled":
        execution.runs[execution.states[-1]] += 1
    state = execution.states[-1] if execution.states else ""
    details: dict[str, Any] = next((value for name, value in event.items() if name.endswith("EventDetails")), {})
    moment_kind = "entered" if kind.endswith("StateEntered") else _MOMENT_KINDS.get(kind)
    if moment_kind is not None:
        moment = Moment(
            event["timestamp"],
            moment_kind,
            state,
            execution.runs[state],
            # Whoever stops an execution chooses its error and cause.
            error=hide_card_numbers(details.get("error", "")),
            cause=hide_card_numbers(parse_cause(details.get("cause", ""))),
            # A function's answer has no MessageId.
            message_id=str(parse_object(details.get("output", "")).get("MessageId", "")),
        )
        execution.moments.append(moment)


def parse_cause(text: str) -> str:
    """Return the error message in a failure's cause, without Lambda's stack trace."""
    cause = parse_object(text)
    return str(cause.get("errorMessage", "")) if cause else text


def parse_object(text: str) -> dict[str, Any]:
    """Return the JSON object, or an empty one for any other text."""
    try:
        value = json.loads(text)
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}
