"""The payment workflow in memory: the real definition and handlers, with fake services."""

import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
from handlers import processing, validation
from payments.ports import Gateway

from stacks.workflow.state_machine import define_states
from tests.asl import Execution, Interpreter, StatesError
from tests.fakes import MemoryLedger, ScriptedGateway

ENVIRONMENT = {
    "DYNAMODB_TABLE_NAME": "transactions",
    "LEDGER_TABLE_NAME": "ledger",
    "OPEN_SHARDS": "8",
    "CUSTOMER_DATA_DAYS": "0",
    "NOTIFY_BUSINESS_OUTCOMES": "true",
    "ENVIRONMENT": "test",
    "GATEWAY": "simulator",
    "GATEWAY_REQUESTS_PER_SECOND": "0",
    "MAXIMUM_AMOUNTS": "USD=10000,JPY=1500000",
    "HIGH_VALUE_AMOUNTS": "USD=5000,JPY=750000",
    "FRAUD_SCORE_LIMIT": "50",
}
# What SQS refuses: https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_SendMessage.html
NOT_IN_A_MESSAGE = re.compile("[^\\t\\n\\r\\x20-\\ud7ff\\ue000-\\ufffd\\U00010000-\\U0010ffff]")
END_STATES = {"PaymentComplete", "PaymentUnsuccessful", "PaymentFailed"}


@dataclass
class Workflow:
    ledger: MemoryLedger = field(default_factory=MemoryLedger)
    gateway: Gateway = field(default_factory=ScriptedGateway)
    dead_letters: list[dict[str, Any]] = field(default_factory=list)
    notices: list[dict[str, Any]] = field(default_factory=list)
    # The setting notify_business_outcomes.
    notify: str = "true"
    # How often the execution was redriven.
    redrive_count: int = 0
    # The error of each resource that fails.
    broken: dict[str, str] = field(default_factory=dict)

    _monkeypatch: pytest.MonkeyPatch | None = None

    def install(self, monkeypatch: pytest.MonkeyPatch) -> "Workflow":
        self._monkeypatch = monkeypatch
        for name, value in ENVIRONMENT.items():
            monkeypatch.setenv(name, value)
        monkeypatch.setattr(validation, "get_ledger", lambda: self.ledger)
        monkeypatch.setattr(processing, "get_ledger", lambda: self.ledger)
        monkeypatch.setattr(processing, "get_gateway", lambda: self.gateway)
        return self

    def pay(self, request: Any, name: str = "test", sleep: Callable[[float], None] = lambda _: None) -> Execution:
        """Run an execution to its end; ``sleep`` is called before each retry with the wait in seconds."""
        tasks = {"${InvokeFunction}": self._invoke, "${SendMessage}": self._send, "${Publish}": self._publish}
        assert self._monkeypatch, "not installed"
        self._monkeypatch.setenv("NOTIFY_BUSINESS_OUTCOMES", self.notify)
        return Interpreter(define_states(), tasks, sleep).run(request, name, self.redrive_count)

    def _invoke(self, arguments: dict[str, Any]) -> dict[str, Any]:
        self._break(arguments["FunctionName"])
        handler = {"${ValidationFunctionArn}": validation.handler, "${ProcessingFunctionArn}": processing.handler}[
            arguments["FunctionName"]
        ]
        try:
            # Lambda carries JSON in both directions.
            event = json.loads(json.dumps(arguments["Payload"]))
        except RecursionError:
            raise StatesError("Runtime.UnmarshalError") from None
        try:
            return {"StatusCode": 200, "Payload": json.loads(json.dumps(handler(event, None)))}
        except Exception as error:
            report = {"errorMessage": str(error), "errorType": type(error).__name__}
            raise StatesError(type(error).__name__, json.dumps(report)) from error

    def _send(self, arguments: dict[str, Any]) -> dict[str, Any]:
        self._break("sqs")
        assert not NOT_IN_A_MESSAGE.search(arguments["MessageBody"])
        self.dead_letters.append(json.loads(arguments["MessageBody"]))
        return {"MessageId": "1"}

    def _publish(self, arguments: dict[str, Any]) -> dict[str, Any]:
        self._break("sns")
        assert len(arguments["Subject"]) <= 100
        self.notices.append(json.loads(arguments["Message"]) | {"attributes": arguments["MessageAttributes"]})
        return {"MessageId": "1"}

    def _break(self, resource: str) -> None:
        if resource in self.broken:
            raise StatesError(self.broken[resource], "as the test wants it")


def request(**changes: Any) -> dict[str, Any]:
    """Return the reference's example with changes; None leaves a field out."""
    fields = {
        "transaction_id": "TXN-TEST-001",
        "payment_amount": 150.00,
        "payment_method": "credit_card",
        "customer_id": "CUST-12345",
    } | changes
    return {key: value for key, value in fields.items() if value is not None}
