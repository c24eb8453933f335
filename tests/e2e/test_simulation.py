"""Thirty payments through an outage of the gateway on the emulator, and the simulation of the same payments.

The gateway is a Stripe server of the tests. Its outage ends as soon as each group of payments has been refused as often
as planned; the retries of the state machine wait half as long as deployed. The simulation gets the times of the first
attempts, and must give the same ends and the same number of gateway calls.
"""

import json
import time
import uuid
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from scripts.simulation.assumptions import Assumptions
from scripts.simulation.figures import End, Result
from scripts.simulation.rules import read_rules
from scripts.simulation.scenario import REFUSE, TIMEOUT, Scenario
from scripts.simulation.simulate import simulate
from stacks import settings
from stacks.workflow.state_machine import TRANSIENT
from tests.e2e.conftest import ENVIRONMENT, Platform, run_stripe_platform
from tests.e2e.situations import reconcile
from tests.payments.stripe_server import Stripe

pytestmark = [pytest.mark.e2e, pytest.mark.nightly]

API_KEY = "sk_test_of_an_outage"
WAIT_SCALE = 0.5
# Of the state machine, after an attempt that was refused or got no answer.
FIRST_WAIT_SECONDS = TRANSIENT["IntervalSeconds"]
FUNCTIONS = ("processing", "reconciliation")
# How many payments arrive before and after the outage, and how many whose first calls fail so often.
UNHARMED = 4
GROUPS = {4: 8, 3: 6, 2: 4, 1: 4}
# What fails during the outage: the request that creates a charge, or the answers to its confirmation and to lookups.
FAULTS = {
    REFUSE: {"create": "rate_limit"},
    TIMEOUT: {"confirm": "drop_after", "list_intents": "drop_before"},
}
# The end of the outage and an attempt can be so close together, in seconds of the emulator, that either may be first.
UNCERTAIN_SECONDS = 0.4


@pytest.fixture(scope="module")
def stripe() -> Stripe:
    stripe = Stripe()
    stripe.api_key = API_KEY
    return stripe


@pytest.fixture(scope="module")
def platform(stripe: Stripe) -> Iterator[Platform]:
    with run_stripe_platform(stripe, WAIT_SCALE) as platform:
        yield platform


@dataclass(frozen=True)
class Call:
    """A call of the gateway, as a function has logged it. ``at`` is in seconds since 1970."""

    at: float
    transaction_id: str
    function: str


@pytest.mark.parametrize("mode", [REFUSE, TIMEOUT])
def test_an_outage_on_the_emulator_ends_as_simulated(mode: str, platform: Platform, stripe: Stripe) -> None:
    begin_of_test, executions = time.time(), list[str]()
    before = start_payments(platform, UNHARMED, executions)
    follow_all(platform, executions)
    requests_before = len(stripe.request_names)
    stripe.fail_next(**{name: [fault] * 10_000 for name, fault in FAULTS[mode].items()})
    begin, harmed, expected = time.time(), list[str](), 0
    for failures, count in GROUPS.items():
        harmed += start_payments(platform, count, executions)
        expected += failures * count
        wait_for_requests(stripe, FAULTS[mode], requests_before, expected)
    stripe.fail_next()
    end = time.time()
    time.sleep(2 * UNCERTAIN_SECONDS)
    after = start_payments(platform, UNHARMED, executions)
    follow_all(platform, executions)
    for transaction_id in harmed:
        make_overdue(platform, transaction_id)
    reconcile(platform)

    calls = read_calls(platform, begin_of_test)
    attempts = [[call.at for call in calls if call.transaction_id == name] for name in (*before, *harmed, *after)]
    predictions = [
        simulate_again(mode, attempts, begin, end + shift) for shift in (-UNCERTAIN_SECONDS, 0, UNCERTAIN_SECONDS)
    ]
    measured = Counter(name_end(platform, name, calls) for name in (*before, *harmed, *after))
    assert measured[End.AT_ONCE] == 2 * UNHARMED
    assert measured[End.LATE] >= GROUPS[1]
    assert_predicted(measured, len(calls), predictions)


def assert_predicted(measured: Counter[End], call_count: int, predictions: list[Result]) -> None:
    for outcome in {*measured, *(name for prediction in predictions for name in prediction.ends)}:
        counts = [prediction.ends.get(outcome, 0) for prediction in predictions]
        assert min(counts) <= measured[outcome] <= max(counts), (outcome, measured, predictions)
    call_counts = [sum(prediction.gateway_calls.values()) for prediction in predictions]
    assert min(call_counts) <= call_count <= max(call_counts)


def start_payments(platform: Platform, count: int, executions: list[str]) -> list[str]:
    """Start payments, add their executions, and return their ids."""
    ids = [f"T-{uuid.uuid4().hex[:12]}" for _ in range(count)]
    fields = {"payment_amount": 150, "payment_method": "credit_card", "customer_id": "CUST-1"}
    executions += [platform.start({"transaction_id": transaction_id, **fields}) for transaction_id in ids]
    return ids


def follow_all(platform: Platform, executions: list[str]) -> None:
    for execution in executions:
        platform.follow(execution)


def wait_for_requests(stripe: Stripe, faults: dict[str, str], first: int, count: int) -> None:
    """Wait until so many requests have failed since the outage began."""
    for _ in range(600):
        if sum(name in faults for name in stripe.request_names[first:]) >= count:
            return
        time.sleep(0.05)
    raise AssertionError(f"fewer than {count} requests: {stripe.request_names[first:]}")


def make_overdue(platform: Platform, transaction_id: str) -> None:
    """Let the next run of reconciliation take the payment up, if it is in the index."""
    if "overdue_at" in platform.read_item(transaction_id):
        platform.client("dynamodb").update_item(
            TableName=platform.outputs["DynamodbTableName"],
            Key={"transaction_id": {"S": transaction_id}},
            UpdateExpression="SET overdue_at = :past, updated_at = :past",
            ExpressionAttributeValues={":past": {"N": "1000"}},
        )


def read_calls(platform: Platform, since: float) -> list[Call]:
    """Return the calls of the gateway that the functions have logged, in their order."""
    calls = []
    for function in FUNCTIONS:
        pages = (
            platform.client("logs")
            .get_paginator("filter_log_events")
            .paginate(logGroupName=f"/aws/lambda/lambda-payment-{function}-local", startTime=int(since * 1000))
        )
        for event in (event for page in pages for event in page["events"]):
            line = json.loads(event["message"]) if event["message"].startswith("{") else {}
            if line.get("message") == "gateway answered":
                calls.append(Call(event["timestamp"] / 1000, line["transaction_id"], function))
    return sorted(calls, key=lambda call: call.at)


def name_end(platform: Platform, transaction_id: str, calls: list[Call]) -> End:
    status = platform.read_item(transaction_id)["status"]["S"]
    if status == "FAILED":
        return End.FAILED
    assert status == "COMPLETED"
    functions = [call.function for call in calls if call.transaction_id == transaction_id]
    if functions == ["processing"]:
        return End.AT_ONCE
    return End.RECONCILED if functions[-1] == "reconciliation" else End.LATE


def simulate_again(mode: str, attempts: list[list[float]], begin: float, end: float) -> Result:
    """Simulate payments with these first attempts, in the time of the platform: waits are not scaled.

    An attempt lasts as long as on average between the first two, beside the wait between them.
    """
    retried = [times for times in attempts if len(times) > 1]
    wait = WAIT_SCALE * FIRST_WAIT_SECONDS
    attempt_seconds = sum(times[1] - times[0] - wait for times in retried) / len(retried)
    assert attempt_seconds > 0
    assumptions = Assumptions(
        validation_seconds=0,
        processing_seconds=attempt_seconds / WAIT_SCALE,
        refusal_seconds=0,
        timeout_seconds=0,
        gateway_seconds=0,
        charged_share=1,
    )
    scenario = Scenario(
        per_second=1,
        arrivals=tuple((times[0] - begin) / WAIT_SCALE for times in attempts),
        outage_seconds=(end - begin) / WAIT_SCALE,
        mode=mode,
        assumptions=assumptions,
    )
    return simulate(scenario, read_rules(settings.load(ENVIRONMENT)))
