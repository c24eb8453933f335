"""A deployed platform as an operator reaches it: clients, and names from the parent stack's outputs."""

import json
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from botocore.config import Config

from scripts.common.errors import UserError
from scripts.common.target import Target
from scripts.deployer.order import stack_name
from scripts.deployer.stack import describe
from stacks import names

# The function's own limit, and some.
_LONGEST_SECONDS = 310


@dataclass(frozen=True)
class Platform:
    environment: str
    target: Target
    operator: str

    def check_deployed(self) -> None:
        """Raises ``UserError``, rather than that one of its parts is not there."""
        _ = self.outputs

    @cached_property
    def outputs(self) -> dict[str, str]:
        """The parent stack's outputs. Raises ``UserError`` where nothing is deployed."""
        stack = describe(self.client("cloudformation"), stack_name(self.environment))
        if not stack.exists:
            raise UserError(f"{stack.name} is not deployed; deploy it with scripts/deploy.sh {self.environment}")
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

        Raises ``UserError`` with the function's own words when it refuses.
        """
        event = {"action": action, "transaction_id": transaction_id, "operator": self.operator}
        return self.invoke(event | {name: value for name, value in more.items() if value is not None})

    def invoke(self, event: dict[str, Any]) -> dict[str, Any]:
        """What the reconciliation function answers. Raises ``UserError`` with its own words when it fails."""
        self.check_deployed()
        answer = self._patient.invoke(
            FunctionName=names.in_environment(names.RECONCILIATION_FUNCTION, self.environment),
            Qualifier=names.LIVE,
            Payload=json.dumps(event).encode(),
        )
        told: dict[str, Any] = json.loads(answer["Payload"].read())
        # Lambda's word, and not what the answer looks like: https://docs.aws.amazon.com/lambda/latest/api/API_Invoke.html
        if "FunctionError" in answer:
            raise UserError(f"{told.get('errorType', 'the function failed')}: {told.get('errorMessage', '')}")
        if "refused" in told:
            raise UserError(told["detail"])
        return told

    @cached_property
    def _patient(self) -> Any:
        """Lambda, waited for as long as the function may take: asking again in between would run it twice at once."""
        return self.target.client("lambda", Config(read_timeout=_LONGEST_SECONDS, retries={"total_max_attempts": 1}))
