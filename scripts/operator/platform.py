"""A deployed platform as an operator reaches it: clients, and names from the parent stack's outputs."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from botocore.config import Config

from scripts.common.clients import ClientFactory, LambdaClient
from scripts.common.errors import UserError
from scripts.common.target import Target
from scripts.deployer.stack import describe_environment
from stacks import names

from .changes import Changes

# A little more than the timeout of the reconciliation function.
_READ_TIMEOUT_SECONDS = 410
# What each action of an operator may have done to a payment.
_PARTICIPLES = {"refund": "refunded", "resolve": "resolved", "erase": "erased", "reopen": "reopened"}


@dataclass(frozen=True)
class Platform:
    environment: str
    target: Target
    operator: str
    # What the command has requested through this platform.
    changes: Changes = field(default_factory=Changes, init=False, repr=False, compare=False)

    def check_deployed(self) -> None:
        """Raise ``UserError`` if the platform is not deployed, before a call fails because a part is missing."""
        _ = self.outputs

    @cached_property
    def outputs(self) -> dict[str, str]:
        """The outputs of the parent stack. Raises ``UserError`` if it is not deployed."""
        return describe_environment(self.client("cloudformation"), self.environment).outputs

    def forget_outputs(self) -> None:
        """Read the outputs again when they are needed next, because a deployment has changed them."""
        self.__dict__.pop("outputs", None)

    @property
    def client(self) -> ClientFactory:
        return self.target.client

    def read_pages(self, service: Any, operation: str, key: str, **arguments: Any) -> Iterator[dict[str, Any]]:
        """Yield the items that a paginated operation returns under ``key``."""
        for page in self.client(service).get_paginator(operation).paginate(**arguments):
            yield from page[key]

    @cached_property
    def dead_letter_queue_url(self) -> str:
        self.check_deployed()
        queue = names.in_environment(names.QUEUE, self.environment)
        return self.client("sqs").get_queue_url(QueueName=queue)["QueueUrl"]

    def invoke_payment_action(self, action: str, transaction_id: str, **parameters: Any) -> dict[str, Any]:
        """Let the reconciliation function act on a payment, and return ``{"transaction_id", "status", "failure"}``.

        ``action`` is ``refund``, ``resolve``, ``erase`` or ``reopen``; parameters that are None are omitted.
        Raises ``UserError`` with the function's message if it refuses.
        """
        event = {"action": action, "transaction_id": transaction_id, "operator": self.operator}
        return self.invoke_reconciliation(
            event | {name: value for name, value in parameters.items() if value is not None},
            f"{transaction_id} may have been {_PARTICIPLES[action]}",
        )

    def invoke_reconciliation(self, event: dict[str, Any], change: str = "reconciliation may go on") -> dict[str, Any]:
        """Return the reconciliation function's answer. Raises ``UserError`` with its message if it fails or refuses.

        ``change`` is what it may have changed if there is no answer.
        """
        self.check_deployed()
        client = self._lambda_client
        with self.changes.note_request(change):
            response = client.invoke(
                FunctionName=names.in_environment(names.RECONCILIATION.name, self.environment),
                Qualifier=names.LIVE,
                Payload=json.dumps(event).encode(),
            )
            answer: dict[str, Any] = json.loads(response["Payload"].read())
        # Only this field tells a failure from an answer: https://docs.aws.amazon.com/lambda/latest/api/API_Invoke.html
        if "FunctionError" in response:
            raise UserError(f"{answer.get('errorType', 'the function failed')}: {answer.get('errorMessage', '')}")
        if "refused" in answer:
            self.changes.latest = ""
            raise UserError(answer["detail"])
        return answer

    @cached_property
    def _lambda_client(self) -> LambdaClient:
        """A client that waits for the function's timeout, because a retry before that would run the function twice."""
        return self.target.client(
            "lambda", config=Config(read_timeout=_READ_TIMEOUT_SECONDS, retries={"total_max_attempts": 1})
        )
