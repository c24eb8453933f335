"""A deployed platform as an operator reaches it: clients, and names from the parent stack's outputs."""

import json
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from scripts.deployer.errors import DeployError
from scripts.deployer.order import stack_name
from scripts.deployer.stack import describe
from scripts.deployer.target import Target
from stacks import names


@dataclass(frozen=True)
class Platform:
    environment: str
    target: Target
    operator: str

    def check_deployed(self) -> None:
        """Raises ``DeployError``, rather than that one of its parts is not there."""
        _ = self.outputs

    @cached_property
    def outputs(self) -> dict[str, str]:
        """The parent stack's outputs. Raises ``DeployError`` where nothing is deployed."""
        stack = describe(self.client("cloudformation"), stack_name(self.environment))
        if not stack.exists:
            raise DeployError(f"{stack.name} is not deployed; scripts/deploy.sh {self.environment} does that")
        return stack.outputs

    @cached_property
    def _clients(self) -> dict[str, Any]:
        return {}

    def client(self, service: str) -> Any:
        """One for each service: making one takes longer than most calls."""
        if service not in self._clients:
            self._clients[service] = self.target.client(service)
        return self._clients[service]

    @cached_property
    def dead_letters_url(self) -> str:
        self.check_deployed()
        sqs = self.client("sqs")
        queue = names.in_environment(names.QUEUE, self.environment)
        return str(sqs.get_queue_url(QueueName=queue)["QueueUrl"])

    def ask(self, action: str, transaction_id: str, **more: Any) -> dict[str, Any]:
        """Let the reconciliation function do something to a payment: ``{"transaction_id", "status", "failure"}``.

        Raises ``DeployError`` with the function's own words when it refuses.
        """
        self.check_deployed()
        event = {"action": action, "transaction_id": transaction_id, "operator": self.operator}
        event |= {name: value for name, value in more.items() if value is not None}
        answer = self.client("lambda").invoke(
            FunctionName=names.in_environment(names.RECONCILIATION_FUNCTION, self.environment),
            Qualifier=names.LIVE,
            Payload=json.dumps(event).encode(),
        )
        told: dict[str, Any] = json.loads(answer["Payload"].read())
        if "errorType" in told:
            raise DeployError(f"{told['errorType']}: {told['errorMessage']}")
        return told

    def payment(self, transaction_id: str) -> dict[str, Any] | None:
        """What the table holds of a payment, ids and codes only."""
        item = (
            self.client("dynamodb")
            .get_item(
                TableName=self.outputs["DynamodbTableName"],
                Key={"transaction_id": {"S": transaction_id}},
                ProjectionExpression="#status, attempt, failure, gateway_reference, closed",
                ExpressionAttributeNames={"#status": "status"},
                ConsistentRead=True,
            )
            .get("Item")
        )
        return {name: next(iter(value.values())) for name, value in item.items()} if item else None
