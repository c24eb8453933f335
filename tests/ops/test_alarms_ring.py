"""Each alarm goes into ALARM by its cause, notifies a subscriber, and returns to OK."""

import contextlib
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
from botocore.config import Config
from payments.payment import Status

from scripts.local import server
from stacks.monitoring.alarms import list_sections
from tests.e2e.conftest import Platform
from tests.e2e.situations import DAY, HOUR, call_function, put_abandoned_payment, reconcile, without_permission
from tests.ops.conftest import (
    PERIOD_SECONDS,
    RINGING_ALARMS,
    BackgroundLoop,
    Subscriber,
    read_rung_alarms,
    run_schedule,
    wait_until,
)
from tests.ops.situations import (
    COMPOSITE,
    VAULT,
    create_backup_alarm,
    create_composite_alarm,
    make_request,
    put_metric,
    run_failing_payments,
    stop_executions,
)

pytestmark = [pytest.mark.e2e, pytest.mark.nightly]

UNDELIVERED = f"http://queue/{server.ACCOUNT}/sqs-notification-dlq-local"
MACHINE = "arn:aws:states:us-east-1:000000000000:stateMachine:sfn-payment-workflow-local"


def throttle_function(function: str) -> Callable[[Platform], None]:
    """Call twice without concurrency; not by the alias, which the emulator does not throttle."""
    # Without retries of the SDK.
    single_attempt = Config(retries={"total_max_attempts": 1})

    def call_without_concurrency(platform: Platform) -> None:
        client, name = platform.target.client("lambda", single_attempt), f"lambda-payment-{function}-local"
        client.put_function_concurrency(FunctionName=name, ReservedConcurrentExecutions=0)
        try:
            for _ in range(2):
                with contextlib.suppress(client.exceptions.TooManyRequestsException):
                    client.invoke(FunctionName=name)
        finally:
            client.delete_function_concurrency(FunctionName=name)

    return call_without_concurrency


def raise_errors(function: str) -> Callable[[Platform], None]:
    """Call a function with invalid requests; the emulator does not count errors of the workflow's calls."""

    def call_with_invalid_request(platform: Platform) -> None:
        for _ in range(6):
            assert "errorType" in call_function(platform, function, request={})

    return call_with_invalid_request


def delay_executions(platform: Platform) -> None:
    """Process payments of executions that began ten minutes ago, in each of two periods."""
    for wait in (PERIOD_SECONDS, 0):
        payment = make_request(15000)
        started = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() - 600))
        execution = {"id": f"arn:of-{payment['transaction_id']}", "started_at": started}
        validated = call_function(platform, "validation", request=payment, execution=execution)
        call_function(
            platform, "processing", action="process", transaction_id=payment["transaction_id"],
            record_id=validated["record_id"], execution=execution,
        )  # fmt: skip
        time.sleep(wait)


def leave_open_for_a_day(platform: Platform) -> None:
    put_abandoned_payment(platform, Status.UNKNOWN, 6, DAY)
    reconcile(platform)


def leave_open(platform: Platform) -> None:
    put_abandoned_payment(platform, Status.UNKNOWN, 6, 2 * HOUR)
    reconcile(platform)


def reconcile_without(action: str) -> Callable[[Platform], None]:
    def fail_to_reconcile(platform: Platform) -> None:
        put_abandoned_payment(platform, Status.PENDING, 0, HOUR)
        with without_permission(platform, "Reconciliation", action):
            reconcile(platform)
        reconcile(platform)

    return fail_to_reconcile


def stop_schedule(_: Platform) -> None:
    """Do nothing: the schedule does not run, and its silence is the cause."""


def leave_undelivered_notice(platform: Platform) -> None:
    """Put a notification into the dead-letter queue, as SNS does on AWS."""
    platform.client("sqs").send_message(QueueUrl=UNDELIVERED, MessageBody='{"Type": "Notification"}')


def miss_backups(platform: Platform) -> None:
    """Create the alarm without a completed job."""
    create_backup_alarm(platform, "BackupHeartbeatAlarm")


def run_backups(platform: Platform) -> BackgroundLoop:
    """Run the nightly job of each table, in the shortened time of the alarms."""
    completed = put_metric("AWS/Backup", "NumberOfBackupJobsCompleted", 2, BackupVaultName=VAULT)
    return BackgroundLoop(lambda: completed(platform), PERIOD_SECONDS / 2)


def finish_open_payments(platform: Platform) -> None:
    """Remove open payments and dead letters."""
    table = platform.outputs["DynamodbTableName"]
    for item in platform.client("dynamodb").scan(TableName=table)["Items"]:
        if item["status"]["S"] in ("UNKNOWN", "PENDING", "PROCESSING"):
            platform.client("dynamodb").delete_item(TableName=table, Key={"transaction_id": item["transaction_id"]})
    platform.receive_dead_letters()
    platform.client("sqs").purge_queue(QueueUrl=UNDELIVERED)


# The cause of each alarm: the platform itself, or a metric that the emulator does not measure. In this order no alarm
# rings by an earlier cause: a failed payment leaves a dead letter, an unknown outcome is a failure too, and a payment
# for review has been open for long.
CAUSES: dict[str, Callable[[Platform], None]] = {
    "alarm-reconciliation-heartbeat": stop_schedule,
    "alarm-dead-letters": lambda platform: run_failing_payments(platform, 3, 1),
    "alarm-sfn-failures": lambda platform: run_failing_payments(platform, 3, 3),
    "alarm-sfn-timeouts": put_metric("AWS/States", "ExecutionsTimedOut", 1, StateMachineArn=MACHINE),
    "alarm-sfn-aborts": stop_executions,
    "alarm-sfn-throttles": put_metric("AWS/States", "ExecutionThrottled", 11, StateMachineArn=MACHINE),
    "alarm-lambda-validation-errors": raise_errors("validation"),
    "alarm-lambda-validation-throttles": throttle_function("validation"),
    "alarm-lambda-processing-errors": raise_errors("processing"),
    "alarm-lambda-processing-throttles": throttle_function("processing"),
    "alarm-payment-duration": delay_executions,
    "alarm-unknown-outcomes": lambda platform: run_failing_payments(platform, 6, 6),
    "alarm-open-payment-age": leave_open,
    "alarm-reviews": leave_open_for_a_day,
    "alarm-transactions-read-throttles": put_metric(
        "AWS/DynamoDB", "ReadThrottleEvents", 6, TableName="dynamodb-transactions-local"
    ),
    "alarm-transactions-write-throttles": put_metric(
        "AWS/DynamoDB", "WriteThrottleEvents", 6, TableName="dynamodb-transactions-local"
    ),
    "alarm-index-write-throttles": put_metric(
        "AWS/DynamoDB",
        "WriteThrottleEvents",
        6,
        TableName="dynamodb-transactions-local",
        GlobalSecondaryIndexName="open-payments",
    ),
    "alarm-ledger-write-throttles": put_metric(
        "AWS/DynamoDB", "WriteThrottleEvents", 6, TableName="dynamodb-payment-ledger-local"
    ),
    "alarm-notification-failures": put_metric(
        "AWS/SNS", "NumberOfNotificationsFailed", 1, TopicName="sns-payment-notifications-local"
    ),
    "alarm-undelivered-notices": leave_undelivered_notice,
    "alarm-backup-failures": put_metric("AWS/Backup", "NumberOfBackupJobsFailed", 1, BackupVaultName=VAULT),
    "alarm-backup-heartbeat": miss_backups,
    "alarm-lambda-reconciliation-errors": reconcile_without("dynamodb:Query"),
    "alarm-reconciliation-incomplete": reconcile_without("dynamodb:GetItem"),
}
# Alarms about lost notifications have no action for OK, which could be lost again.
ENDS_IN_SILENCE = {"alarm-notification-failures", "alarm-undelivered-notices"}
# The composite alarm rings with the first of its members.
CAUSE_OF_COMPOSITE = "alarm-sfn-failures"


@dataclass(frozen=True)
class RungAlarms:
    """The result of causing all alarms, one after the other."""

    subscriber: Subscriber
    # The alarms that are OK for CloudWatch at the end.
    ok_at_end: set[str]
    # By alarm, the alarm whose cause it first rang after.
    after_cause_of: dict[str, str]


@pytest.fixture(scope="module")
def result(platform: Platform) -> RungAlarms:
    create_composite_alarm(platform)
    create_backup_alarm(platform, "BackupFailuresAlarm")
    subscriber, all_alarms = Subscriber(platform), set(list_sections())
    after_cause_of: dict[str, str] = {}
    with subscriber.listen():
        with run_schedule(platform):
            alarms = platform.client("cloudwatch").describe_alarms
            assert wait_until(lambda: {alarm["StateValue"] for alarm in alarms()["MetricAlarms"]} == {"OK"})
        before = len(read_rung_alarms(platform))
        subscriber.notifications.clear()
        for alarm, cause in CAUSES.items():
            cause(platform)
            assert wait_until(lambda: alarm in subscriber.ringing_alarms()), alarm  # noqa: B023 - called at once
            for alarm_name in read_rung_alarms(platform)[before:]:
                after_cause_of.setdefault(alarm_name, alarm)
        finish_open_payments(platform)
        with run_schedule(platform), run_backups(platform):
            expected = all_alarms - ENDS_IN_SILENCE
            assert wait_until(lambda: all(subscriber.read_states(name)[-1:] == ["OK"] for name in expected))
            assert wait_until(lambda: list_ok_alarms(platform) == all_alarms), all_alarms - list_ok_alarms(platform)
    return RungAlarms(subscriber, list_ok_alarms(platform), after_cause_of)


def list_ok_alarms(platform: Platform) -> set[str]:
    kinds = {"AlarmTypes": ["MetricAlarm", "CompositeAlarm"]}
    pages = platform.client("cloudwatch").get_paginator("describe_alarms").paginate(**kinds, StateValue="OK")
    return {
        alarm["AlarmName"].removesuffix("-local")
        for page in pages
        for alarm in (*page.get("MetricAlarms", ()), *page.get("CompositeAlarms", ()))
    }


def test_every_alarm_has_a_cause() -> None:
    assert {*CAUSES, COMPOSITE} == set(list_sections()), (
        "say in CAUSES of tests/ops/test_alarms_ring.py what triggers each alarm of stacks/monitoring/alarms.py"
    )


@pytest.mark.parametrize("alarm", [*CAUSES, COMPOSITE])
def test_it_rings_by_its_cause_notifies_and_returns_to_ok(alarm: str, result: RungAlarms, record_property: Any) -> None:
    assert result.after_cause_of[alarm] == (CAUSE_OF_COMPOSITE if alarm == COMPOSITE else alarm)
    states = result.subscriber.read_states(alarm)
    assert "ALARM" in states
    assert states[-1] == ("ALARM" if alarm in ENDS_IN_SILENCE else "OK")
    assert alarm in result.ok_at_end
    record_property(RINGING_ALARMS, 1)


def test_each_notification_links_to_the_runbook(result: RungAlarms) -> None:
    assert result.subscriber.notifications
    for message in result.subscriber.notifications:
        alarm = message["AlarmName"].removesuffix("-local")
        if alarm != COMPOSITE:
            assert message["AlarmDescription"].endswith(f"docs/runbook.md#{alarm}")
