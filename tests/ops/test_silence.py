"""A thousand payments of an ordinary day set off no alarm, and are measured."""

import json
import time
from collections import Counter, deque
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.e2e.conftest import Platform
from tests.ops import conftest
from tests.ops.conftest import PERIOD_SECONDS, Subscriber, read_rung_alarms, run_schedule, wait_until
from tests.ops.situations import put_metric

pytestmark = [pytest.mark.e2e, pytest.mark.nightly]

PAYMENTS = 1_000
AT_ONCE = 4
LOG_GROUP = "/aws/lambda/lambda-payment-processing-local"
# Of a hundred payments: outcomes of the simulator by the cents, and rejections of amounts above the limit.
DECLINED, UNAVAILABLE_TWICE, TOO_LARGE = 5, 1, 2


def choose_amount(n: int) -> float:
    match n % 100:
        case k if k < DECLINED:
            return 150.01
        case k if k < DECLINED + UNAVAILABLE_TWICE:
            return 150.02
        case k if k < DECLINED + UNAVAILABLE_TWICE + TOO_LARGE:
            return 10_000.01
    return 150.00


def run_payments(platform: Platform) -> None:
    running: deque[str] = deque()
    for n in range(PAYMENTS):
        request = {
            "transaction_id": f"T-{n}",
            "payment_amount": choose_amount(n),
            "payment_method": "credit_card",
            "customer_id": "CUST-1",
        }
        running.append(platform.start(request))
        if len(running) == AT_ONCE:
            wait_for_success(platform, running.popleft())
    for execution in running:
        wait_for_success(platform, execution)


def wait_for_success(platform: Platform, execution: str) -> None:
    stepfunctions = platform.client("stepfunctions")

    def read_status() -> str:
        return str(stepfunctions.describe_execution(executionArn=execution)["status"])

    assert wait_until(lambda: read_status() != "RUNNING", every_seconds=0.02)
    assert read_status() == "SUCCEEDED"


@dataclass(frozen=True)
class Rings:
    """The alarms that rang, by their notifications and by CloudWatch's history."""

    notified: set[str]
    recorded: list[str]


@pytest.fixture(scope="module")
def rings(platform: Platform) -> tuple[Rings, Rings]:
    """Return the alarms of the day, and those after an alarm was caused while the subscriber still listened."""
    subscriber = Subscriber(platform)
    not_delivered = put_metric("AWS/SNS", "NumberOfNotificationsFailed", 1, TopicName="sns-payment-notifications-local")
    with run_schedule(platform), subscriber.listen():
        cloudwatch = platform.client("cloudwatch")
        assert wait_until(
            lambda: {alarm["StateValue"] for alarm in cloudwatch.describe_alarms()["MetricAlarms"]} == {"OK"}
        )
        subscriber.notifications.clear()
        before = len(read_rung_alarms(platform))
        run_payments(platform)
        time.sleep(2 * PERIOD_SECONDS)
        day = Rings(subscriber.ringing_alarms(), read_rung_alarms(platform)[before:])

        not_delivered(platform)
        wait_until(lambda: subscriber.ringing_alarms() > day.notified)
        after = Rings(
            subscriber.ringing_alarms() - day.notified, read_rung_alarms(platform)[before + len(day.recorded) :]
        )
    return day, after


def test_no_alarm_rings(platform: Platform, rings: tuple[Rings, Rings], record_property: Any) -> None:
    executions = platform.client("stepfunctions").get_paginator("list_executions")
    machine = platform.outputs["StepFunctionsStateMachineArn"]
    paid = sum(len(page["executions"]) for page in executions.paginate(stateMachineArn=machine))
    day, _ = rings
    record_property(conftest.PAYMENTS, paid)
    record_property(conftest.FALSE_RINGS, len(day.notified | set(day.recorded)))
    assert day == Rings(notified=set(), recorded=[])


def test_an_alarm_would_have_been_noticed(rings: tuple[Rings, Rings]) -> None:
    """Silence proves something only if the subscriber listens."""
    _, after = rings
    alarm = "alarm-notification-failures"
    assert after == Rings(notified={alarm}, recorded=[alarm])


@pytest.mark.usefixtures("rings")
def test_every_payment_is_counted_once(platform: Platform) -> None:
    items = platform.client("dynamodb").get_paginator("scan").paginate(TableName=platform.outputs["DynamodbTableName"])
    statuses = Counter(item["status"]["S"] for page in items for item in page["Items"])
    shares = {"DECLINED": DECLINED, "REJECTED": TOO_LARGE, "COMPLETED": 100 - DECLINED - TOO_LARGE}
    assert statuses == {outcome: share * PAYMENTS // 100 for outcome, share in shares.items()}

    def read_counts() -> dict[str, float]:
        return {outcome: read_metric(platform, "Payments", "Sum", Outcome=outcome) for outcome in statuses}

    # A function's log lines arrive after its answer.
    assert wait_until(lambda: read_counts() == statuses), read_counts()


@pytest.mark.usefixtures("rings")
def test_the_duration_is_that_of_the_functions_lines(platform: Platform) -> None:
    """Both the metric of the template's filter and the metric that the lines embed."""
    paid = PAYMENTS * (100 - TOO_LARGE) // 100
    assert wait_until(lambda: len(read_durations(platform)) == paid), len(read_durations(platform))
    seconds = read_durations(platform)
    for metric in ("PaymentProcessingDuration", "PaymentDuration"):
        assert wait_until(lambda: read_metric(platform, metric, "SampleCount") == paid), metric  # noqa: B023 - called at once
        assert read_metric(platform, metric, "Sum") == pytest.approx(sum(seconds))


def read_durations(platform: Platform) -> list[float]:
    """Return the duration of each payment by the lines of the processing function."""
    pages = platform.client("logs").get_paginator("filter_log_events").paginate(logGroupName=LOG_GROUP)
    lines = [
        json.loads(event["message"]) for page in pages for event in page["events"] if event["message"].startswith("{")
    ]
    return [line["duration_seconds"] for line in lines if line.get("message") == "payment finished"]


def read_metric(platform: Platform, metric: str, statistic: str, **dimensions: str) -> float:
    """Return a statistic of the last hour."""
    now_utc = datetime.now(UTC)
    answer = platform.client("cloudwatch").get_metric_statistics(
        Namespace="PaymentWorkflow",
        MetricName=metric,
        Dimensions=[{"Name": name, "Value": value} for name, value in {"Environment": "local", **dimensions}.items()],
        StartTime=now_utc - timedelta(hours=1),
        EndTime=now_utc + timedelta(hours=1),
        Period=86_400,
        Statistics=[statistic],
    )
    return float(sum(point[statistic] for point in answer["Datapoints"]))
