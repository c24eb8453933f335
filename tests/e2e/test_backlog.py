"""The payments that an outage left open, settled by one run of the deployed reconciliation, or by two at once.

The payments are made an hour ago, with the functions' own code: half of the charges take effect at the gateway, and no
answer arrives. Then the state machine of reconciliation settles them with all its workers, at the rate of the settings.
The gateway is a Stripe server of the tests, which knows what was charged. ``make backlog`` does the same with 1,000.
"""

import itertools
import json
import os
import time
import uuid
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest
from adapters.dynamodb import DynamoDBLedger
from adapters.stored_items import MAXIMUM_SHARDS
from adapters.stripe_gateway import StripeGateway
from payments.charge import charge_payment
from payments.errors import ChargeOutcomeUnknown
from payments.money import Money
from payments.receive import receive_payment
from payments.rules import Limits

from scripts.local import server
from stacks import names
from tests.e2e.conftest import ENVIRONMENT, Platform, run_stripe_platform
from tests.e2e.situations import HOUR
from tests.payments.stripe_cases import KnownKey
from tests.payments.stripe_server import Stripe

pytestmark = [pytest.mark.e2e, pytest.mark.nightly]

API_KEY = "sk_test_of_a_backlog"
# By default few enough for two cores, whose emulator settles about ten a second.
COUNT = int(os.environ.get("BACKLOG", "60"))
MACHINE = names.in_environment(names.RECONCILIATION_WORKFLOW, ENVIRONMENT)
LIMITS = Limits({"USD": Money(1_000_000, "USD")}, {"USD": Money(500_000, "USD")})


@pytest.fixture(scope="module")
def stripe() -> Stripe:
    stripe = Stripe()
    stripe.api_key = API_KEY
    return stripe


@pytest.fixture(scope="module")
def platform(stripe: Stripe) -> Iterator[Platform]:
    # Each worker is a process, which takes a second of two cores to start.
    with run_stripe_platform(stripe, wait_scale=0.02, ReconciliationWorkers="4") as platform:
        yield platform


def leave_open(platform: Platform, stripe: Stripe, count: int) -> list[str]:
    """Make payments an hour ago, in an outage, and return their ids. Of two charges one takes effect."""
    transaction_ids = list[str]()
    ledger = DynamoDBLedger(
        platform.outputs["DynamodbTableName"],
        names.in_environment(names.LEDGER_TABLE, ENVIRONMENT),
        platform.client("dynamodb"),
        "a function that died",
        MAXIMUM_SHARDS,
    )
    url = platform.target.runtime.variables["GATEWAY_URL"]
    gateway = StripeGateway(KnownKey(API_KEY), ENVIRONMENT, url)
    stripe.fail_next(confirm=list(itertools.islice(itertools.cycle(["drop_after", "drop_before"]), count)))
    for number in range(count):
        request = {
            "transaction_id": f"T-{uuid.uuid4().hex[:12]}",
            "payment_amount": 150,
            "payment_method": "credit_card",
            "customer_id": f"CUST-{number}",
        }
        execution, at = f"execution {number}", time.time() - HOUR
        payment = receive_payment(
            request, ledger=ledger, limits=LIMITS, execution=execution, current_time=at, notify_outcomes=True
        )
        with suppress(ChargeOutcomeUnknown):
            charge_payment(
                payment.transaction_id,
                payment.record_id,
                ledger=ledger,
                connect=lambda: gateway,
                execution=execution,
                clock=lambda at=at: at,
                notify_outcomes=True,
            )
        transaction_ids.append(payment.transaction_id)
    stripe.fail_next()
    return transaction_ids


def run_reconciliation(platform: Platform, runs: int) -> list[tuple[dict[str, Any], float]]:
    """Start so many runs at once, and return the counts and the duration in seconds of each."""
    stepfunctions = platform.client("stepfunctions")
    machine = f"arn:aws:states:{server.REGION}:{server.ACCOUNT}:stateMachine:{MACHINE}"
    executions = [stepfunctions.start_execution(stateMachineArn=machine)["executionArn"] for _ in range(runs)]
    return [wait_for_run(stepfunctions, execution) for execution in executions]


def wait_for_run(stepfunctions: Any, execution: str) -> tuple[dict[str, Any], float]:
    for _ in range(900):
        run = stepfunctions.describe_execution(executionArn=execution)
        if run["status"] != "RUNNING":
            assert run["status"] == "SUCCEEDED", run
            return json.loads(run["output"]), (run["stopDate"] - run["startDate"]).total_seconds()
        time.sleep(0.5)
    raise AssertionError("the run does not end")


@pytest.mark.parametrize(("runs", "count"), [(1, COUNT), (2, COUNT // 2)], ids=["one run", "two runs at once"])
def test_a_run_settles_what_an_outage_left_open(platform: Platform, stripe: Stripe, runs: int, count: int) -> None:
    transaction_ids = leave_open(platform, stripe, count)
    assert {read_status(platform, name) for name in transaction_ids} == {"UNKNOWN"}

    answers = run_reconciliation(platform, runs)
    # A payment that both runs have found is counted by each. The run itself ends taking up payments after its time.
    assert [counts["errors"] for counts, _ in answers] == [0] * runs
    assert sum(counts["settled"] for counts, _ in answers) >= count

    statuses = {name: read_status(platform, name) for name in transaction_ids}
    charges = Counter(
        intent["metadata"]["transaction_id"] for intent in stripe.intents.values() if intent["status"] == "succeeded"
    )
    assert {name: charges[name] for name in transaction_ids} == {
        name: int(status == "COMPLETED") for name, status in statuses.items()
    }
    assert Counter(statuses.values()) == {"COMPLETED": count / 2, "FAILED": count / 2}
    notices = Counter((notice["transaction_id"], notice["status"]) for notice in platform.receive_notices())
    assert notices == Counter(statuses.items())
    letters = Counter(letter["transaction_id"] for letter in platform.receive_dead_letters())
    assert letters == Counter(name for name, status in statuses.items() if status == "FAILED")
    for number, (counts, seconds) in enumerate(answers, 1):
        print(f"{count:,} open payments, run {number} of {runs}: {counts['settled']:,} settled in {seconds:.0f} s")
    # Nothing is left in the index.
    assert set(run_reconciliation(platform, 1)[0][0].values()) == {0}


def read_status(platform: Platform, transaction_id: str) -> str:
    return str(platform.read_item(transaction_id)["status"]["S"])
