"""The Express workflow on the emulator: changing to it and back under load, and the demonstration."""

import io
import os
import re
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import boto3
import pytest
from rich.console import Console

from scripts.demo.run import run_demonstration
from scripts.local import server, target
from scripts.operator.batch import Batch
from scripts.operator.execution_names import is_express
from scripts.operator.payment_requests import Request, read_arguments
from scripts.operator.platform import Platform as Operator
from scripts.page.server import serve_page
from tests.e2e.conftest import ENVIRONMENT, Platform, run_stripe_platform
from tests.payments.stripe_server import Stripe

pytestmark = [pytest.mark.e2e, pytest.mark.nightly]

# By default few enough for `make test-all`; the emulator settles about ten a second.
PAYMENTS = int(os.environ.get("EXPRESS_PAYMENTS", "40"))
DECLINED = PAYMENTS // 10
TYPES = ("express", "standard-after-express", "standard")
SHARE = PAYMENTS // (len(TYPES) + 1)
SETTLE_SECONDS = 240
FINAL = {"COMPLETED", "DECLINED", "FAILED", "REVIEW"}


@pytest.fixture(scope="module")
def stripe() -> Stripe:
    return Stripe()


@pytest.fixture(scope="module")
def platform(stripe: Stripe) -> Iterator[Platform]:
    """Yield a platform of its own, because the setting changes, with a gateway that counts its charges."""
    with run_stripe_platform(stripe, wait_scale=0.02) as platform:
        yield platform


@pytest.fixture
def sender(platform: Platform) -> Operator:
    """Return a sender with a session of its own, because the deployer uses the other at the same time."""
    session = boto3.Session(region_name=server.REGION, **server.CREDENTIALS)
    return Operator(ENVIRONMENT, replace(platform.target, session=session), "sender")


def send_twice(sender: Operator, request: Request) -> list[str]:
    """Send a payment as two callers do that know the current ARN, and return the executions that they have got."""
    sender.forget_outputs()
    return [result.execution for _ in range(2) for result in Batch(sender, [request]).send_requests()]


def wait_until_settled(platform: Platform, ids: list[str]) -> dict[str, str]:
    """Return the statuses of the payments when all are final; fail if they are not in time."""
    deadline = time.monotonic() + SETTLE_SECONDS
    while True:
        statuses = {key: platform.read_item(key).get("status", {"S": "NOT RECORDED"})["S"] for key in ids}
        if set(statuses.values()) <= FINAL:
            return statuses
        assert time.monotonic() < deadline, Counter(statuses.values())
        time.sleep(1)


def send_while_changing(platform: Platform, sender: Operator, requests: list[Request]) -> list[str]:
    """Change the setting to Express and all the way back, send payments meanwhile, and return their executions."""
    executions: list[str] = []
    waiting = iter(requests)
    with ThreadPoolExecutor(1) as deployer:
        for workflow_type in TYPES:
            deployment = deployer.submit(platform.deploy, WorkflowType=workflow_type)
            for position in range(SHARE):
                executions += send_twice(sender, next(waiting))
                # Half of the share during the deployment, and half after it.
                if position == SHARE // 2:
                    deployment.result()
    for request in waiting:
        executions += send_twice(sender, request)
    return executions


def list_charged(stripe: Stripe) -> list[str]:
    """Return the transaction id of each charge."""
    charges = [intent for intent in stripe.intents.values() if intent["status"] == "succeeded"]
    return [charge["metadata"]["transaction_id"] for charge in charges]


def test_changing_the_workflow_under_load_loses_nothing_and_charges_nothing_twice(
    platform: Platform, sender: Operator, stripe: Stripe
) -> None:
    requests = [
        read_arguments(f"T-{number}", f"{100 + number}.00", "credit_card", "CUST-1", None) for number in range(PAYMENTS)
    ]
    stripe.fail_next(confirm=["decline"] * DECLINED)
    executions = send_while_changing(platform, sender, requests)
    statuses = wait_until_settled(platform, [request.transaction_id for request in requests])
    express = {arn for arn in executions if is_express(arn)}
    assert min(len(express), len(set(executions) - express)) >= SHARE
    assert Counter(statuses.values()) == {"COMPLETED": PAYMENTS - DECLINED, "DECLINED": DECLINED}
    completed = [key for key, status in statuses.items() if status == "COMPLETED"]
    assert sorted(list_charged(stripe)) == sorted(completed), "a payment is charged once"
    notices = [notice["notice_id"] for notice in platform.receive_notices() if notice.get("kind") == "payment"]
    assert len(notices) == len(set(notices)) == DECLINED, "a payment is announced once"
    assert platform.receive_dead_letters() == []


def read_outcomes(text: str) -> list[str]:
    """Return the lines of the demonstration's table and its last line, without ids and seconds."""
    lines = text[text.index("Payment outcomes") :].splitlines()[1:]
    return [re.sub(r"\s+", " ", re.sub(r"\b\d+\.\d\b", "", line)).strip() for line in lines if line.strip()]


def test_the_demonstration_ends_with_the_same_table() -> None:
    outcomes: dict[str, list[str]] = {}
    with server.run_server(wait_scale=0.1) as running:
        operator: Any = Operator(ENVIRONMENT, target.emulator_target(running), "demo")
        for workflow_type in ("standard", "express"):
            console = Console(file=io.StringIO(), width=120)
            with serve_page(lambda: replace(operator)) as page:
                run_demonstration(replace(operator), console, page, WorkflowType=workflow_type)
            outcomes[workflow_type] = read_outcomes(console.file.getvalue())  # type: ignore[attr-defined]
    assert "5 charges, 2 dead letters, 5 notifications" in outcomes["express"][-1]
    assert outcomes["express"] == outcomes["standard"]
