"""What became of an execution, read from Step Functions, the queues and nowhere else."""

import json
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

# What a person calls the states, in the order of the table's path; book-keeping has no name there.
SHORT = {
    "ValidatePayment": "Validate",
    "ProcessPayment": "Process",
    "PaymentOutcome": "Outcome",
    "PaymentComplete": "Complete",
    "NotifyUnsuccessful": "Notify",
    "PaymentUnsuccessful": "Unsuccessful",
    "RecordFailure": "Record",
    "FailureTold": "",
    "SendToDeadLetterQueue": "DLQ",
    "NotifyFailure": "Notify",
    "RecordNotice": "",
    "PaymentFailed": "Failed",
}


@dataclass
class Story:
    """One execution as far as it has come."""

    execution_arn: str
    status: str = "RUNNING"
    states: list[str] = field(default_factory=list)
    tries: Counter[str] = field(default_factory=Counter)
    seconds: float = 0.0
    error: str = ""
    output: dict[str, Any] = field(default_factory=dict)

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


def read(stepfunctions: Any, execution_arn: str) -> Story:
    """The story of an execution so far."""
    execution = stepfunctions.describe_execution(executionArn=execution_arn)
    story = Story(execution_arn, status=execution["status"], error=execution.get("error", ""))
    if "output" in execution and execution["status"] == "SUCCEEDED":
        story.output = json.loads(execution["output"])
    events = [
        event
        for page in stepfunctions.get_paginator("get_execution_history").paginate(executionArn=execution_arn)
        for event in page["events"]
    ]
    for event in events:
        if "stateEnteredEventDetails" in event:
            story.states.append(event["stateEnteredEventDetails"]["name"])
        elif event["type"] == "TaskScheduled":
            story.tries[story.states[-1]] += 1
    story.seconds = (events[-1]["timestamp"] - events[0]["timestamp"]).total_seconds() if events else 0.0
    return story


def collect(
    sqs: Any, queue_url: str, wanted: Callable[[dict[str, Any]], bool] = lambda _: True
) -> list[dict[str, Any]]:
    """The messages of a queue that are ``wanted``, as JSON; these are deleted, others come back after a while."""
    bodies = []
    ask = {"QueueUrl": queue_url, "MaxNumberOfMessages": 10, "WaitTimeSeconds": 1}
    while messages := sqs.receive_message(**ask).get("Messages"):
        for message in messages:
            body = json.loads(message["Body"])
            if wanted(body):
                bodies.append(body)
                sqs.delete_message(QueueUrl=queue_url, ReceiptHandle=message["ReceiptHandle"])
    return bodies
