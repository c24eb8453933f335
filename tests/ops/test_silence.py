"""A thousand payments of an ordinary day ring nothing, and are measured."""

import json
import time
from collections import Counter, deque
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.e2e.conftest import Platform
from tests.ops import conftest
from tests.ops.conftest import PERIOD_SECONDS, Subscriber, heart, recorded, until
from tests.ops.situations import measured

pytestmark = pytest.mark.e2e

PAYMENTS = 1_000
AT_ONCE = 4
LOG_GROUP = "/aws/lambda/lambda-payment-processing-local"
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


@dataclass(frozen=True)
class Rang:
    """Which alarms did."""

    heard: set[str]
    recorded: list[str]


@pytest.fixture(scope="module")
def rang(platform: Platform) -> tuple[Rang, Rang]:
    """During that day, and when one alarm was made to ring after it, with the same subscriber still listening."""
    subscriber = Subscriber(platform)
    not_delivered = measured("AWS/SNS", "NumberOfNotificationsFailed", 1, TopicName="sns-payment-notifications-local")
    with heart(platform), subscriber.listening():
        cloudwatch = platform.client("cloudwatch")
        assert until(lambda: {one["StateValue"] for one in cloudwatch.describe_alarms()["MetricAlarms"]} == {"OK"})
        subscriber.heard.clear()
        before = len(recorded(platform))
        pay(platform)
        time.sleep(2 * PERIOD_SECONDS)
        day = Rang(subscriber.rang(), recorded(platform)[before:])

        not_delivered(platform)
        until(lambda: subscriber.rang() > day.heard)
        after = Rang(subscriber.rang() - day.heard, recorded(platform)[before + len(day.recorded) :])
    return day, after


def test_nothing_rings(platform: Platform, rang: tuple[Rang, Rang], record_property: Any) -> None:
    executions = platform.client("stepfunctions").get_paginator("list_executions")
    machine = platform.outputs["StepFunctionsStateMachineArn"]
    paid = sum(len(page["executions"]) for page in executions.paginate(stateMachineArn=machine))
    day, _ = rang
    record_property(conftest.PAYMENTS, paid)
    record_property(conftest.FALSE_RINGS, len(day.heard | set(day.recorded)))
    assert day == Rang(heard=set(), recorded=[])


def test_what_had_rung_would_have_been_heard(rang: tuple[Rang, Rang]) -> None:
    """Silence says something only of somebody who hears."""
    _, after = rang
    rings = "alarm-notification-failures"
    assert after == Rang(heard={rings}, recorded=[rings])


@pytest.mark.usefixtures("rang")
def test_every_payment_is_counted_once(platform: Platform) -> None:
    items = platform.client("dynamodb").get_paginator("scan").paginate(TableName=platform.outputs["DynamodbTableName"])
    recorded = Counter(item["status"]["S"] for page in items for item in page["Items"])
    shares = {"DECLINED": DECLINED, "REJECTED": TOO_LARGE, "COMPLETED": 100 - DECLINED - TOO_LARGE}
    assert recorded == {outcome: share * PAYMENTS // 100 for outcome, share in shares.items()}

    def counted() -> dict[str, float]:
        return {outcome: told(platform, "Payments", "Sum", Outcome=outcome) for outcome in recorded}

    # A line is logged a moment after the function's answer.
    assert until(lambda: counted() == recorded), counted()


@pytest.mark.usefixtures("rang")
def test_the_duration_is_that_of_the_functions_lines(platform: Platform) -> None:
    """The one that the metric filter of the template makes, as it is deployed, and the one that the lines embed."""
    paid = PAYMENTS * (100 - TOO_LARGE) // 100
    assert until(lambda: len(finished(platform)) == paid), len(finished(platform))
    seconds = finished(platform)
    for metric in ("PaymentProcessingDuration", "PaymentDuration"):
        assert until(lambda: told(platform, metric, "SampleCount") == paid), metric  # noqa: B023 - it is asked at once
        assert told(platform, metric, "Sum") == pytest.approx(sum(seconds))


def finished(platform: Platform) -> list[float]:
    """How long each payment took, as the lines of the processing function say."""
    pages = platform.client("logs").get_paginator("filter_log_events").paginate(logGroupName=LOG_GROUP)
    lines = [json.loads(one["message"]) for page in pages for one in page["events"] if one["message"].startswith("{")]
    return [one["duration_seconds"] for one in lines if one.get("message") == "payment finished"]


def told(platform: Platform, metric: str, statistic: str, **dimensions: str) -> float:
    """Of today."""
    now = datetime.now(UTC)
    found = platform.client("cloudwatch").get_metric_statistics(
        Namespace="PaymentWorkflow",
        MetricName=metric,
        Dimensions=[{"Name": name, "Value": value} for name, value in {"Environment": "local", **dimensions}.items()],
        StartTime=now - timedelta(hours=1),
        EndTime=now + timedelta(hours=1),
        Period=86_400,
        Statistics=[statistic],
    )
    return float(sum(one[statistic] for one in found["Datapoints"]))
