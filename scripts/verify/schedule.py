"""The schedule: its heartbeat, the invocations of its rule, and the dead letter of an undeliverable event."""

import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

from scripts.common.clients import EventBridgeClient, TargetTypeDef
from scripts.common.errors import UserError
from scripts.common.suggestion import complete_aws_commands
from stacks import names
from stacks.monitoring.alarms import HEARTBEAT_METRIC

from .results import MISSING, Check, Failed, Skipped, run_check
from .run import Run

GROUP = "schedule"
# Three periods of five minutes, as for the alarm, and a minute until a metric can be read.
RECENT = timedelta(minutes=16)
# How long the first heartbeat after a deployment may take.
FIRST_HEARTBEAT_SECONDS = 7 * 60
UNDELIVERED_SECONDS = 8 * 60
TARGET_PREFIX = "verify-"


def checks(run: Run) -> Iterator[Check]:
    yield run_check(GROUP, "heartbeat of reconciliation", check_heartbeat, run)
    yield run_check(GROUP, "rule fired", check_rule_fired, run)
    yield run_check(GROUP, "undeliverable event", check_undeliverable_event, run)


def check_heartbeat(run: Run) -> str:
    rule = run.resource_name(names.RECONCILIATION_RULE)
    state = run.client("events").describe_rule(Name=rule)["State"]
    if state != "ENABLED":
        enable = complete_aws_commands(f"aws events enable-rule --name {rule}")
        raise Failed(f"{rule} is {state}: reconciliation does not run; enable it with {enable}")

    def count_heartbeats() -> float:
        runs = _sum_metric(run, names.METRIC_NAMESPACE, HEARTBEAT_METRIC, {"Environment": run.environment})
        return max(0.0, runs - run.reconciliations)

    changed_at = datetime.fromisoformat(run.tree.stack.changed_at)
    is_new = datetime.now(UTC) - changed_at < RECENT
    runs = run.wait_for(count_heartbeats, FIRST_HEARTBEAT_SECONDS if is_new else 0)
    if not runs:
        raise Failed(
            f"none in {RECENT.seconds // 60} minutes; see the log of "
            f"{run.resource_name(names.RECONCILIATION.name)} and the metric filter "
            f"{run.resource_name(names.RECONCILIATION_HEARTBEAT_FILTER)}"
        )
    return f"{runs:.0f} in {RECENT.seconds // 60} minutes"


def check_rule_fired(run: Run) -> str:
    """https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-monitoring.html"""
    run.check_gap("rule fired")
    rule = {"RuleName": run.resource_name(names.RECONCILIATION_RULE)}
    fired, failed = (_sum_metric(run, "AWS/Events", metric, rule) for metric in ("Invocations", "FailedInvocations"))
    if not fired:
        raise Failed(f"no invocation by {rule['RuleName']} in {RECENT.seconds // 60} minutes")
    # A failed one may be the second target of an earlier run: see check_undeliverable_event.
    if failed >= fired:
        raise Failed(
            f"all {failed:.0f} invocations by {rule['RuleName']} failed; check the role of its target, "
            f"{run.resource_name(names.SCHEDULE_ROLE)}"
        )
    return f"{fired - failed:.0f} invocations arrived in {RECENT.seconds // 60} minutes, {failed:.0f} failed"


def _sum_metric(run: Run, namespace: str, metric: str, dimensions: dict[str, str]) -> float:
    end = datetime.now(UTC)
    answer = run.client("cloudwatch").get_metric_statistics(
        Namespace=namespace,
        MetricName=metric,
        Dimensions=[{"Name": name, "Value": value} for name, value in dimensions.items()],
        StartTime=end - RECENT,
        EndTime=end,
        Period=60,
        Statistics=["Sum"],
    )
    return float(sum(point["Sum"] for point in answer["Datapoints"]))


def check_undeliverable_event(run: Run) -> str:
    """Give the rule a second target that refuses its event: the queue that receives the notifications.

    Only this rule may send to the dead-letter queue. EventBridge does not retry when the permission is missing:
    https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-rule-dlq.html
    """
    if run.read_only:
        raise Skipped(f"{run.read_only_reason}; the policies of queue and key are compared")
    run.check_gap("undeliverable event")
    events, rule = run.client("events"), run.resource_name(names.RECONCILIATION_RULE)
    _remove_leftovers(events, rule)
    target_id = f"{TARGET_PREFIX}{run.id}"
    url = run.platform.dead_letter_queue_url
    attributes = run.client("sqs").get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]
    target: TargetTypeDef = {
        "Id": target_id,
        "Arn": run.mailbox.arn,
        "DeadLetterConfig": {"Arn": attributes["QueueArn"]},
        "RetryPolicy": {"MaximumEventAgeInSeconds": 60, "MaximumRetryAttempts": 0},
    }
    with run.cleanup.undo_after(
        f"remove the target {target_id} of {rule}",
        lambda: events.put_targets(Rule=rule, Targets=[target]),
        lambda: _remove_targets(events, rule, [target_id]),
    ) as answer:
        if answer["FailedEntryCount"]:
            raise Failed(f"EventBridge refuses the target: {answer['FailedEntries'][0].get('ErrorMessage', '')}")
        letter = run.wait_for(lambda: _take_letter(run), UNDELIVERED_SECONDS, longest_pause=20)
    if not letter:
        raise Failed(
            f"none in the dead-letter queue within {UNDELIVERED_SECONDS // 60} minutes; see ScheduleDeadLetters in "
            f"the policy of {run.resource_name(names.QUEUE)} and of {run.resource_name(names.QUEUE_KEY_ALIAS)}"
        )
    return f"in the dead-letter queue with {letter}, deleted there"


def _remove_leftovers(events: EventBridgeClient, rule: str) -> None:
    """Remove the targets of runs that were killed."""
    targets = [target["Id"] for target in events.list_targets_by_rule(Rule=rule)["Targets"]]
    if leftovers := [target_id for target_id in targets if target_id.startswith(TARGET_PREFIX)]:
        _remove_targets(events, rule, leftovers)


def _remove_targets(events: EventBridgeClient, rule: str, ids: list[str]) -> None:
    """Raise ``UserError`` if EventBridge refuses to remove a target that exists."""
    answer = events.remove_targets(Rule=rule, Ids=ids)
    reasons = [entry["ErrorMessage"] for entry in answer["FailedEntries"] if entry["ErrorCode"] not in MISSING]
    if reasons:
        raise UserError(f"EventBridge refuses: {'; '.join(reasons)}")


def _take_letter(run: Run) -> str:
    """Delete the dead letter of this run's event and return its error code; show other letters again."""
    sqs, url = run.client("sqs"), run.platform.dead_letter_queue_url
    deadline, code = time.monotonic() + 20, ""
    received: set[str] = set()
    other_receipts = []
    while time.monotonic() < deadline and not code:
        messages = sqs.receive_message(
            QueueUrl=url, MaxNumberOfMessages=10, WaitTimeSeconds=1, MessageAttributeNames=["All"], VisibilityTimeout=20
        ).get("Messages", [])
        if not messages or {message["MessageId"] for message in messages} & received:
            break
        for message in messages:
            received.add(message["MessageId"])
            attributes = {
                name: value.get("StringValue", "") for name, value in message.get("MessageAttributes", {}).items()
            }
            if attributes.get("TARGET_ARN") == run.mailbox.arn:
                code = attributes.get("ERROR_CODE", "no error code")
                sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
            else:
                other_receipts.append(message["ReceiptHandle"])
    for receipt in other_receipts:
        sqs.change_message_visibility(QueueUrl=url, ReceiptHandle=receipt, VisibilityTimeout=0)
    return code
