"""Each alarm is made to ring, is heard by a subscriber, and says when it is over."""

import contextlib
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
from botocore.config import Config
from payments.payment import Status

from scripts.local import server
from stacks.monitoring import alarm_table
from tests.e2e.conftest import Platform
from tests.e2e.situations import DAY, HOUR, call, leave, reconcile, without
from tests.ops.conftest import PERIOD_SECONDS, RUNG, Repeated, Subscriber, heart, recorded, until
from tests.ops.situations import (
    COMPOSITE,
    VAULT,
    fail,
    make_alarm_of_backups,
    make_composite_alarm,
    measured,
    request,
    stop_executions,
)

pytestmark = pytest.mark.e2e

UNDELIVERED = f"http://queue/{server.ACCOUNT}/sqs-notification-dlq-local"
MACHINE = "arn:aws:states:us-east-1:000000000000:stateMachine:sfn-payment-workflow-local"


def throttle(function: str) -> Callable[[Platform], None]:
    """Two calls while no concurrency is left. By its alias the AWS emulator does not hold a function back."""
    # The SDK would call again and again.
    once = Config(retries={"total_max_attempts": 1})

    def call_without_concurrency(platform: Platform) -> None:
        client, name = platform.target.client("lambda", once), f"lambda-payment-{function}-local"
        client.put_function_concurrency(FunctionName=name, ReservedConcurrentExecutions=0)
        try:
            for _ in range(2):
                with contextlib.suppress(client.exceptions.TooManyRequestsException):
                    client.invoke(FunctionName=name)
        finally:
            client.delete_function_concurrency(FunctionName=name)

    return call_without_concurrency


def raise_errors(function: str) -> Callable[[Platform], None]:
    """Calls that it cannot make sense of. Those of the workflow the AWS emulator does not count."""

    def call_in_vain(platform: Platform) -> None:
        for _ in range(6):
            assert "errorType" in call(platform, function, request={})

    return call_in_vain


def take_ten_minutes(platform: Platform) -> None:
    """Executions that began ten minutes ago, in two periods: the functions measure from there."""
    for wait in (PERIOD_SECONDS, 0):
        about = request(15000)
        started = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() - 600))
        execution = {"id": f"arn:of-{about['transaction_id']}", "started_at": started}
        validated = call(platform, "validation", request=about, execution=execution)
        call(
            platform, "processing", action="process", transaction_id=about["transaction_id"],
            record_id=validated["record_id"], execution=execution,
        )  # fmt: skip
        time.sleep(wait)


def forget_for_a_day(platform: Platform) -> None:
    leave(platform, Status.UNKNOWN, 6, DAY)
    reconcile(platform)


def leave_open(platform: Platform) -> None:
    leave(platform, Status.UNKNOWN, 6, 2 * HOUR)
    reconcile(platform)


def reconcile_without(action: str) -> Callable[[Platform], None]:
    def run(platform: Platform) -> None:
        leave(platform, Status.PENDING, 0, HOUR)
        with without(platform, "Reconciliation", action):
            reconcile(platform)
        reconcile(platform)

    return run


def nothing(_: Platform) -> None:
    """Silence is the cause: no run of reconciliation, where there were some."""


def lose_a_notice(platform: Platform) -> None:
    """As SNS would move it; the AWS emulator does not."""
    platform.client("sqs").send_message(QueueUrl=UNDELIVERED, MessageBody='{"Type": "Notification"}')


def spend_a_night_without_backups(platform: Platform) -> None:
    """The alarm is there from now on, and no job has completed."""
    make_alarm_of_backups(platform, "BackupHeartbeatAlarm")


def backups(platform: Platform) -> Repeated:
    """The nightly job of each table, in the alarms' time."""
    completed = measured("AWS/Backup", "NumberOfBackupJobsCompleted", 2, BackupVaultName=VAULT)
    return Repeated(lambda: completed(platform), PERIOD_SECONDS / 2)


def settle(platform: Platform) -> None:
    """What was left open comes to its end: the gateway answers again."""
    table = platform.outputs["DynamodbTableName"]
    for item in platform.client("dynamodb").scan(TableName=table)["Items"]:
        if item["status"]["S"] in ("UNKNOWN", "PENDING", "PROCESSING"):
            platform.client("dynamodb").delete_item(TableName=table, Key={"transaction_id": item["transaction_id"]})
    platform.dead_letters()
    platform.client("sqs").purge_queue(QueueUrl=UNDELIVERED)


# Alarm -> how its condition comes about. Through the system, but where the AWS emulator measures nothing. In this order
# none rings by the cause of one before it: what fails leaves dead letters, what nobody knows has failed as well, and
# what is given up to a person has been open for long.
CAUSES: dict[str, Callable[[Platform], None]] = {
    "alarm-reconciliation-heartbeat": nothing,
    "alarm-dead-letters": lambda platform: fail(platform, 3, 1),
    "alarm-sfn-failures": lambda platform: fail(platform, 3, 3),
    "alarm-sfn-timeouts": measured("AWS/States", "ExecutionsTimedOut", 1, StateMachineArn=MACHINE),
    "alarm-sfn-aborts": stop_executions,
    "alarm-sfn-throttles": measured("AWS/States", "ExecutionThrottled", 11, StateMachineArn=MACHINE),
    "alarm-lambda-validation-errors": raise_errors("validation"),
    "alarm-lambda-validation-throttles": throttle("validation"),
    "alarm-lambda-processing-errors": raise_errors("processing"),
    "alarm-lambda-processing-throttles": throttle("processing"),
    "alarm-payment-duration": take_ten_minutes,
    "alarm-unknown-outcomes": lambda platform: fail(platform, 6, 6),
    "alarm-open-payment-age": leave_open,
    "alarm-reviews": forget_for_a_day,
    "alarm-transactions-read-throttles": measured(
        "AWS/DynamoDB", "ReadThrottleEvents", 6, TableName="dynamodb-transactions-local"
    ),
    "alarm-transactions-write-throttles": measured(
        "AWS/DynamoDB", "WriteThrottleEvents", 6, TableName="dynamodb-transactions-local"
    ),
    "alarm-index-write-throttles": measured(
        "AWS/DynamoDB",
        "WriteThrottleEvents",
        6,
        TableName="dynamodb-transactions-local",
        GlobalSecondaryIndexName="open-payments",
    ),
    "alarm-ledger-write-throttles": measured(
        "AWS/DynamoDB", "WriteThrottleEvents", 6, TableName="dynamodb-payment-ledger-local"
    ),
    "alarm-notification-failures": measured(
        "AWS/SNS", "NumberOfNotificationsFailed", 1, TopicName="sns-payment-notifications-local"
    ),
    "alarm-undelivered-notices": lose_a_notice,
    "alarm-backup-failures": measured("AWS/Backup", "NumberOfBackupJobsFailed", 1, BackupVaultName=VAULT),
    "alarm-backup-heartbeat": spend_a_night_without_backups,
    "alarm-lambda-reconciliation-errors": reconcile_without("dynamodb:Query"),
    "alarm-reconciliation-incomplete": reconcile_without("dynamodb:GetItem"),
}
# What tells of lost notifications would lose its OK as well, and begin again.
ENDS_IN_SILENCE = {"alarm-notification-failures", "alarm-undelivered-notices"}
# It rings with the first of those that it is made of.
CAUSE_OF_COMPOSITE = "alarm-sfn-failures"


@dataclass(frozen=True)
class Rung:
    """All alarms, one after the other and each by its cause, and back to OK."""

    subscriber: Subscriber
    # Those that CloudWatch has as OK at the end.
    over: set[str]
    # Alarm -> the one whose cause it first rang after.
    after_cause_of: dict[str, str]


@pytest.fixture(scope="module")
def rung(platform: Platform) -> Rung:
    make_composite_alarm(platform)
    make_alarm_of_backups(platform, "BackupFailuresAlarm")
    subscriber, wanted = Subscriber(platform), set(alarm_table.list_sections())
    after_cause_of: dict[str, str] = {}
    with subscriber.listening():
        with heart(platform):
            alarms = platform.client("cloudwatch").describe_alarms
            assert until(lambda: {one["StateValue"] for one in alarms()["MetricAlarms"]} == {"OK"})
        before = len(recorded(platform))
        subscriber.heard.clear()
        for alarm, cause in CAUSES.items():
            cause(platform)
            assert until(lambda: alarm in subscriber.rang()), alarm  # noqa: B023 - it is asked at once
            for one in recorded(platform)[before:]:
                after_cause_of.setdefault(one, alarm)
        settle(platform)
        with heart(platform), backups(platform):
            assert until(lambda: all(subscriber.states(one)[-1:] == ["OK"] for one in wanted - ENDS_IN_SILENCE))
            assert until(lambda: over(platform) == wanted), wanted - over(platform)
    return Rung(subscriber, over(platform), after_cause_of)


def over(platform: Platform) -> set[str]:
    kinds = {"AlarmTypes": ["MetricAlarm", "CompositeAlarm"]}
    pages = platform.client("cloudwatch").get_paginator("describe_alarms").paginate(**kinds, StateValue="OK")
    return {
        one["AlarmName"].removesuffix("-local")
        for page in pages
        for one in (*page.get("MetricAlarms", ()), *page.get("CompositeAlarms", ()))
    }


def test_every_alarm_has_a_cause() -> None:
    assert {*CAUSES, COMPOSITE} == set(alarm_table.list_sections())


@pytest.mark.parametrize("alarm", [*CAUSES, COMPOSITE])
def test_it_rings_by_its_cause_is_heard_and_goes_back_to_ok(alarm: str, rung: Rung, record_property: Any) -> None:
    assert rung.after_cause_of[alarm] == (CAUSE_OF_COMPOSITE if alarm == COMPOSITE else alarm)
    said = rung.subscriber.states(alarm)
    assert "ALARM" in said
    assert said[-1] == ("ALARM" if alarm in ENDS_IN_SILENCE else "OK")
    assert alarm in rung.over
    record_property(RUNG, 1)


def test_what_it_says_leads_to_the_runbook(rung: Rung) -> None:
    assert rung.subscriber.heard
    for message in rung.subscriber.heard:
        alarm = message["AlarmName"].removesuffix("-local")
        if alarm != COMPOSITE:
            assert message["AlarmDescription"].endswith(f"docs/runbook.md#{alarm}")
