"""A thousand payments of an ordinary day ring nothing."""

import itertools
from collections import deque

import pytest

from tests.e2e.conftest import Platform
from tests.ops.conftest import PERIOD_SECONDS, Subscriber, heart, until

pytestmark = pytest.mark.e2e

PAYMENTS = 1_000
AT_ONCE = 4
# Of a hundred: what the simulator makes of the cents, and rejections of amounts above the limit.
DECLINED, UNAVAILABLE_TWICE, TOO_LARGE = 5, 1, 2


def amount(n: int) -> float:
    match n % 100:
        case k if k < DECLINED:
            return 150.01
        case k if k < DECLINED + UNAVAILABLE_TWICE:
            return 150.02
        case k if k < DECLINED + UNAVAILABLE_TWICE + TOO_LARGE:
            return 10_000.01
    return 150.00


def pay(platform: Platform) -> None:
    running: deque[str] = deque()
    for n in range(PAYMENTS):
        request = {
            "transaction_id": f"T-{n}",
            "payment_amount": amount(n),
            "payment_method": "credit_card",
            "customer_id": "CUST-1",
        }
        running.append(platform.start(request))
        if len(running) == AT_ONCE:
            ended(platform, running.popleft())
    for execution in running:
        ended(platform, execution)


def ended(platform: Platform, execution: str) -> None:
    stepfunctions = platform.client("stepfunctions")

    def status() -> str:
        return str(stepfunctions.describe_execution(executionArn=execution)["status"])

    assert until(lambda: status() != "RUNNING", every_seconds=0.02)
    assert status() == "SUCCEEDED"


def test_nothing_rings_while_payments_are_good(platform: Platform) -> None:
    subscriber = Subscriber(platform)
    with heart(platform), subscriber.listening():
        alarms = platform.client("cloudwatch").describe_alarms
        quiet = until(lambda: {one["StateValue"] for one in alarms()["MetricAlarms"]} == {"OK"})
        assert quiet
        subscriber.heard.clear()
        pay(platform)
        until(lambda: False, seconds=2 * PERIOD_SECONDS)
    outcomes = [item["status"]["S"] for item in _items(platform)]
    expected = {"DECLINED": DECLINED, "REJECTED": TOO_LARGE, "COMPLETED": 100 - DECLINED - TOO_LARGE}
    assert {one: outcomes.count(one) for one in set(outcomes)} == {
        one: share * PAYMENTS // 100 for one, share in expected.items()
    }
    assert subscriber.rang() == set()


def _items(platform: Platform) -> itertools.chain[dict[str, dict[str, str]]]:
    pages = platform.client("dynamodb").get_paginator("scan").paginate(TableName=platform.outputs["DynamodbTableName"])
    return itertools.chain.from_iterable(page["Items"] for page in pages)
