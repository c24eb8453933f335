"""A platform on the AWS emulator, which all end-to-end tests of a worker share."""

import io
import json
import os
import time
import uuid
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from scripts.audit import recorded_runs
from scripts.common.target import Target
from scripts.demo import subscriber
from scripts.demo.subscriber import receive_objects
from scripts.deployer.deploy import deploy
from scripts.deployer.deployment_options import DeploymentOptions
from scripts.deployer.report.console_reporter import ConsoleReporter
from scripts.deployer.session import Session
from scripts.local import server, target
from scripts.operator.executions import Execution, read_execution
from stacks import settings
from tests.payments.stripe_server import Stripe, serve_stripe

ENVIRONMENT = "local"
TOPIC_ARN = f"arn:aws:sns:{server.REGION}:{server.ACCOUNT}:sns-payment-notifications-{ENVIRONMENT}"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """Record the calls of end-to-end tests for the audit. Calls of other tests do not prove that a grant is used."""
    with pytest.MonkeyPatch.context() as patch:
        # The hook is called for the tests of all folders.
        is_in_folder = item.path.is_relative_to(Path(__file__).parent)
        if is_in_folder and (folder := os.environ.get("RECORDINGS")):
            patch.setenv(server.RECORDED_CALLS, str(Path(folder) / recorded_runs.CALLS))
            patch.setenv(recorded_runs.MARKERS_REPORT, str(Path(folder) / recorded_runs.MARKERS))
        return (yield)


@dataclass
class Platform:
    target: Target
    parameters: dict[str, str]
    outputs: dict[str, str]
    notices_url: str
    _clients: dict[str, Any] = field(default_factory=dict)

    def client(self, service: str) -> Any:
        """Return a client. It is created once, because that takes longer than most calls."""
        if service not in self._clients:
            self._clients[service] = self.target.client(service)
        return self._clients[service]

    def start(self, request: Any) -> str:
        started = self.client("stepfunctions").start_execution(
            stateMachineArn=self.outputs["StepFunctionsStateMachineArn"], input=json.dumps(request)
        )
        return str(started["executionArn"])

    def follow(self, execution_arn: str) -> Execution:
        for _ in range(600):
            story = read_execution(self.client("stepfunctions"), execution_arn)
            if story.has_ended:
                return story
            time.sleep(0.1)
        raise AssertionError(f"{execution_arn} does not end: {story.path}")

    def pay(self, **changes: Any) -> tuple[dict[str, Any], Execution]:
        """Make a payment with a new id, and return its request and its ended execution."""
        request = {
            "transaction_id": f"T-{uuid.uuid4().hex[:12]}",
            "payment_amount": 150.00,
            "payment_method": "credit_card",
            "customer_id": "CUST-12345",
        } | changes
        return request, self.follow(self.start(request))

    def read_item(self, transaction_id: str) -> dict[str, Any]:
        key = {"transaction_id": {"S": transaction_id}}
        return self.client("dynamodb").get_item(TableName=self.outputs["DynamodbTableName"], Key=key).get("Item", {})

    def receive_dead_letters(self) -> list[dict[str, Any]]:
        sqs = self.client("sqs")
        return receive_objects(sqs, sqs.get_queue_url(QueueName=f"payment-dlq-{ENVIRONMENT}")["QueueUrl"])

    def receive_notices(self) -> list[dict[str, Any]]:
        """Return the messages that the subscriber has received, with their attributes under ``attributes``."""
        return [
            json.loads(notice["Message"]) | {"attributes": notice["MessageAttributes"], "subject": notice["Subject"]}
            for notice in receive_objects(self.client("sqs"), self.notices_url)
            if "MessageAttributes" in notice  # the notification of an alarm has none
        ]

    def deploy(self, **parameters: str) -> str:
        """Deploy again with changed parameters, and return the output of the deployer."""
        console = Console(file=io.StringIO(), width=200)
        options = DeploymentOptions(ENVIRONMENT, self.parameters | parameters)
        deployment = deploy(Session(options, self.target, ConsoleReporter(console), confirm=lambda *_: True))
        output: str = console.file.getvalue()  # type: ignore[attr-defined]
        return output + ("changed" if deployment.changed else "no changes")


def deploy_platform(to: Target, bootstrap: dict[str, str] | None = None, **parameters: str) -> Platform:
    """Deploy the platform for the first time, with the tests' settings and these parameters."""
    notices_url, notices_arn = subscriber.create_queue(to.client("sqs"), TOPIC_ARN)
    parameters = (
        settings.load(ENVIRONMENT, Path(__file__).with_name("environments.toml"))
        | {"NotificationProtocol": "sqs", "NotificationEndpoint": notices_arn}
        | parameters
    )
    console = Console(file=io.StringIO(), width=200)
    options = DeploymentOptions(ENVIRONMENT, parameters, bootstrap or {})
    outputs = deploy(Session(options, to, ConsoleReporter(console), confirm=lambda *_: True)).outputs
    return Platform(to, parameters, outputs, notices_url)


@contextmanager
def run_stripe_platform(stripe: Stripe, wait_scale: float, **parameters: str) -> Iterator[Platform]:
    """Deploy a platform on an emulator of its own, whose functions reach this Stripe with its key in their secret."""
    with serve_stripe(stripe) as url, server.run_server(wait_scale=wait_scale) as running:
        to = target.emulator_target(running, GATEWAY_URL=url)
        key = to.client("kms").create_key()["KeyMetadata"]["Arn"]
        secret = to.client("secretsmanager").create_secret(
            Name="gateway", SecretString=json.dumps({"api_key": stripe.api_key}), KmsKeyId=key
        )
        parameters |= {"Gateway": "stripe", "GatewaySecretArn": secret["ARN"], "GatewaySecretKeyArn": key}
        yield deploy_platform(to, **parameters)


@pytest.fixture(scope="session")
def platform() -> Iterator[Platform]:
    # Waits between retries are 50 times shorter; tests of the definition check their lengths.
    with server.run_server(wait_scale=0.02) as running:
        yield deploy_platform(target.emulator_target(running))


@pytest.fixture(autouse=True)
def _clean_up_after_earlier_tests(platform: Platform) -> None:
    """Wait for the executions of earlier tests and empty the queues: a test counts its own payments and messages."""
    machine = {"stateMachineArn": platform.outputs["StepFunctionsStateMachineArn"], "statusFilter": "RUNNING"}
    for execution in platform.client("stepfunctions").list_executions(**machine)["executions"]:
        platform.follow(execution["executionArn"])
    for queue in (platform.notices_url, f"http://queue/{server.ACCOUNT}/payment-dlq-{ENVIRONMENT}"):
        platform.client("sqs").purge_queue(QueueUrl=queue)
