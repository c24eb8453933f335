"""The schedule: its heartbeat came, its rule fired, and an undeliverable event reaches the dead-letter queue."""

import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

from stacks import names
from stacks.monitoring.alarm_table import HEARTBEAT_METRIC

from .place import Place
from .results import Check, Failed, Skipped, run

GROUP = "schedule"
# The rule fires every five minutes; three of them, as the alarm has it, and a minute until a metric can be read.
RECENT = timedelta(minutes=16)
# A schedule begins with its deployment: how long its first heartbeat may take.
FIRST_HEARTBEAT_SECONDS = 7 * 60
UNDELIVERED_SECONDS = 8 * 60
TARGET_PREFIX = "verify-"


def checks(place: Place) -> Iterator[Check]:
    yield run(GROUP, "heartbeat of reconciliation", _heartbeat, place)
    yield run(GROUP, "rule fired", _fired, place)
    yield run(GROUP, "undeliverable event", _undeliverable, place)


def _heartbeat(place: Place) -> str:
    rule = place.named(names.RECONCILIATION_RULE)
    state = place.client("events").describe_rule(Name=rule)["State"]
    if state != "ENABLED":
        raise Failed(f"{rule} is {state}: reconciliation is not run; enable it with `aws events enable-rule`")

    def probe() -> float:
        runs = _sum(place, names.METRIC_NAMESPACE, HEARTBEAT_METRIC, {"Environment": place.environment})
        return max(0.0, runs - place.reconciliations)

    changed_at = datetime.fromisoformat(place.tree.stack.changed_at)
    is_new = datetime.now(UTC) - changed_at < RECENT
    runs = place.wait(probe, FIRST_HEARTBEAT_SECONDS if is_new else 0)
    if not runs:
        raise Failed(
            f"none in {RECENT.seconds // 60} minutes; see the log of {place.named(names.RECONCILIATION_FUNCTION)} and "
            f"the metric filter {place.named(names.RECONCILIATION_HEARTBEAT_FILTER)}"
        )
    return f"{runs:.0f} in {RECENT.seconds // 60} minutes"


def _fired(place: Place) -> str:
    """https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-monitoring.html"""
    place.check_gap("rule fired")
    rule = {"RuleName": place.named(names.RECONCILIATION_RULE)}
    fired, failed = (_sum(place, "AWS/Events", metric, rule) for metric in ("Invocations", "FailedInvocations"))
    if not fired:
        raise Failed(f"no invocation by {rule['RuleName']} in {RECENT.seconds // 60} minutes")
    # One that failed may be the second target of an earlier run: see below.
    if failed >= fired:
        raise Failed(f"all {failed:.0f} invocations by {rule['RuleName']} failed; may it invoke the live alias?")
    return f"{fired - failed:.0f} invocations arrived in {RECENT.seconds // 60} minutes, {failed:.0f} failed"


def _sum(place: Place, namespace: str, metric: str, dimensions: dict[str, str]) -> float:
    now = datetime.now(UTC)
    answer = place.client("cloudwatch").get_metric_statistics(
        Namespace=namespace,
        MetricName=metric,
        Dimensions=[{"Name": name, "Value": value} for name, value in dimensions.items()],
        StartTime=now - RECENT,
        EndTime=now,
        Period=60,
        Statistics=["Sum"],
    )
    return float(sum(point["Sum"] for point in answer["Datapoints"]))


def _undeliverable(place: Place) -> str:
    """The rule gets a second target that refuses it, beside its own: the queue that receives the notifications.

    Only this rule may send to the dead-letter queue, so no other can show it. For a missing permission EventBridge
    tries nothing again: https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-rule-dlq.html
    """
    if place.read_only:
        raise Skipped(f"{place.read_only_reason}; the policies of queue and key are compared")
    place.check_gap("undeliverable event")
    events, rule = place.client("events"), place.named(names.RECONCILIATION_RULE)
    _remove_leftovers(events, rule)
    target_id = f"{TARGET_PREFIX}{place.run_id}"
    queue = place.client("sqs").get_queue_attributes(
        QueueUrl=place.platform.dead_letter_queue_url, AttributeNames=["QueueArn"]
    )["Attributes"]["QueueArn"]
    target = {
        "Id": target_id,
        "Arn": place.mailbox.arn,
        "DeadLetterConfig": {"Arn": queue},
        "RetryPolicy": {"MaximumEventAgeInSeconds": 60, "MaximumRetryAttempts": 0},
    }
    with place.cleanup.after(
        f"remove the target {target_id} of {rule}", lambda: events.remove_targets(Rule=rule, Ids=[target_id])
    ):
        answer = events.put_targets(Rule=rule, Targets=[target])
        if answer["FailedEntryCount"]:
            raise Failed(f"EventBridge refuses the target: {answer['FailedEntries'][0].get('ErrorMessage', '')}")
        letter = place.wait(lambda: _take_letter(place), UNDELIVERED_SECONDS, longest_pause=20)
    if not letter:
        raise Failed(
            f"none in the dead-letter queue within {UNDELIVERED_SECONDS // 60} minutes; see ScheduleDeadLetters in "
            f"the policy of {place.named(names.QUEUE)} and of {place.named(names.QUEUE_KEY_ALIAS)}"
        )
    return f"in the dead-letter queue with {letter}, deleted there"


def _remove_leftovers(events: Any, rule: str) -> None:
    """Of a run that was killed."""
    targets = [target["Id"] for target in events.list_targets_by_rule(Rule=rule)["Targets"]]
    if leftovers := [target_id for target_id in targets if target_id.startswith(TARGET_PREFIX)]:
        events.remove_targets(Rule=rule, Ids=leftovers)


def _take_letter(place: Place) -> str:
    """The error code of our undelivered event, which is deleted; others are shown again at once."""
    sqs, url = place.client("sqs"), place.platform.dead_letter_queue_url
    deadline, code = time.monotonic() + 20, ""
    seen: set[str] = set()
    others = []
    while time.monotonic() < deadline and not code:
        messages = sqs.receive_message(
            QueueUrl=url, MaxNumberOfMessages=10, WaitTimeSeconds=1, MessageAttributeNames=["All"], VisibilityTimeout=20
        ).get("Messages", [])
        if not messages or {message["MessageId"] for message in messages} & seen:
            break
        for message in messages:
            seen.add(message["MessageId"])
            attributes = {
                name: value.get("StringValue", "") for name, value in message.get("MessageAttributes", {}).items()
            }
            if attributes.get("TARGET_ARN") == place.mailbox.arn:
                code = attributes.get("ERROR_CODE", "no error code")
                sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
            else:
                others.append(message["ReceiptHandle"])
    for receipt in others:
        sqs.change_message_visibility(QueueUrl=url, ReceiptHandle=receipt, VisibilityTimeout=0)
    return code
