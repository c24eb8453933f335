"""An account in which payments are started, acted on and redriven, for commands that reach it over HTTP."""

import json
from dataclasses import dataclass, field
from typing import Any

from botocore import xform_name

from tests.deployer.aws.account import Account
from tests.deployer.aws.holdings import Refused
from tests.deployer.aws.settings import ACCOUNT, REGION, START
from tests.operator.fake_queue import FakeQueue

STATES = f"arn:aws:states:{REGION}:{ACCOUNT}"
# What the functions make of a payment; an erasure or reconciliation leaves its status.
_STATUSES = {"refund": "REFUNDED", "resolve": "FAILED", "reopen": "PENDING"}


def write_request(transaction_id: str) -> dict[str, Any]:
    fields = {"payment_amount": 150, "payment_method": "credit_card", "customer_id": "C-1", "currency": "USD"}
    return {"transaction_id": transaction_id} | fields


def write_letter(transaction_id: str) -> str:
    """Write the dead letter of an execution that Step Functions no longer knows."""
    arn = f"{STATES}:execution:m:forgotten"
    return json.dumps({"transaction_id": transaction_id, "execution_arn": arn, "error": "GatewayUnavailable"})


@dataclass
class PaymentAccount(Account):
    # The status of each recorded payment.
    payments: dict[str, str] = field(default_factory=dict)
    queue: FakeQueue = field(default_factory=FakeQueue)
    # The names of the executions, and the events of the reconciliation function.
    executions: list[str] = field(default_factory=list)
    events: list[dict[str, Any]] = field(default_factory=list)

    def _answer_dynamodb(self, operation: str, request: dict[str, Any]) -> dict[str, Any]:
        if operation == "Query":
            return {"Items": [], "Count": 0, "ScannedCount": 0}
        if operation != "BatchGetItem":
            return super()._answer_dynamodb(operation, request)
        ((table, keys),) = request["RequestItems"].items()
        ids = [key["transaction_id"]["S"] for key in keys["Keys"]]
        items = [
            {"transaction_id": {"S": key}, "status": {"S": self.payments[key]}} for key in ids if key in self.payments
        ]
        return {"Responses": {table: items}, "UnprocessedKeys": {}}

    def _answer_states(self, operation: str, request: dict[str, Any]) -> dict[str, Any]:
        if operation == "StartExecution":
            self.executions.append(request["name"])
            return {"executionArn": f"{STATES}:execution:m:{request['name']}", "startDate": START.timestamp()}
        if operation != "DescribeExecution":
            return super()._answer_states(operation, request)
        raise Refused("ExecutionDoesNotExist", "Execution Does Not Exist")

    def _answer_lambda(self, operation: str, request: dict[str, Any]) -> dict[str, Any]:
        if operation != "Invoke":
            return super()._answer_lambda(operation, request)
        self.events.append(request)
        if request["action"] == "reconcile":
            return {"errors": 0}
        key = request["transaction_id"]
        self.payments[key] = _STATUSES.get(request["action"], self.payments[key])
        return {"transaction_id": key, "status": self.payments[key], "failure": "", "request": write_request(key)}

    def _answer_sqs(self, operation: str, request: dict[str, Any]) -> dict[str, Any]:
        answer = getattr(self.queue, xform_name(operation))(**request)
        return answer or {}
