"""Compares every alarm with the metrics that AWS publishes: an alarm on a misspelt metric never fires.

No scanner knows the metrics of a service, or which resources its dimensions identify.
"""

import json
import os
import re
from pathlib import Path
from typing import Any

import pytest
from adapters.metrics import METRICS, NAMESPACE

from scripts.local.alarms import evaluate_alarm
from tests.emitted import how_to_update
from tests.stacks.access import FUNCTIONS, PLACE, World

STATES, LAMBDA, SQS, SNS, DYNAMODB, BACKUP, PLATFORM = (
    "AWS/States", "AWS/Lambda", "AWS/SQS", "AWS/SNS", "AWS/DynamoDB", "AWS/Backup", "PaymentWorkflow",
)  # fmt: skip
# https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-available-cloudwatch-metrics.html
# https://docs.aws.amazon.com/sns/latest/dg/sns-monitoring-using-cloudwatch.html
# https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/metrics-dimensions.html
# https://docs.aws.amazon.com/step-functions/latest/dg/procedure-cw-metrics.html
# https://docs.aws.amazon.com/lambda/latest/dg/monitoring-metrics-types.html
# https://docs.aws.amazon.com/aws-backup/latest/devguide/cloudwatch.html
PUBLISHED = {
    STATES: (
        {"ExecutionsStarted", "ExecutionsSucceeded", "ExecutionsFailed", "ExecutionsAborted", "ExecutionsTimedOut",
         "ExecutionThrottled", "ExecutionTime"},
        {"StateMachineArn"},
    ),
    LAMBDA: (
        {"Invocations", "Errors", "Throttles", "Duration", "ConcurrentExecutions", "DeadLetterErrors",
         "AsyncEventsDropped", "AsyncEventAge"},
        {"FunctionName"},
    ),
    SQS: (
        {"ApproximateNumberOfMessagesVisible", "ApproximateAgeOfOldestMessage", "NumberOfMessagesSent"}, {"QueueName"},
    ),
    SNS: ({"NumberOfNotificationsDelivered", "NumberOfNotificationsFailed"}, {"TopicName"}),
    DYNAMODB: ({"ReadThrottleEvents", "WriteThrottleEvents"}, {"TableName"}),
    BACKUP: (
        {"NumberOfBackupJobsCreated", "NumberOfBackupJobsPending", "NumberOfBackupJobsRunning",
         "NumberOfBackupJobsAborted", "NumberOfBackupJobsCompleted", "NumberOfBackupJobsFailed",
         "NumberOfBackupJobsExpired"},
        {"BackupVaultName"},
    ),
}  # fmt: skip

# An index has metrics of its own, apart from its table's.
INDEX = {DYNAMODB: {"GlobalSecondaryIndexName"}}

MACHINE = f"arn:aws:states:{PLACE}:stateMachine:sfn-payment-workflow-prod"
TOPIC = f"arn:aws:sns:{PLACE}:sns-payment-notifications-prod"
ALARM_TYPE = "AWS::CloudWatch::Alarm"
# Every alarm of prod as it was last reviewed. UPDATE_GOLDEN=1 writes the file; review it before you commit it.
GOLDEN = Path(__file__).with_name("alarms.json")
UPDATE = how_to_update(GOLDEN, "in_the_tables")
ALARMS: dict[str, dict[str, Any]] = json.loads(GOLDEN.read_text(encoding="utf-8"))
# In prod the composite alarm notifies for its parts.
PARTS_OF_COMPOSITE = {title for title, alarm in ALARMS.items() if "AlarmActions" not in alarm}
SILENT_WHEN_OVER = {title for title, alarm in ALARMS.items() if "OKActions" not in alarm} - PARTS_OF_COMPOSITE
ALARMS_ON_BACKUPS = {title for title, alarm in ALARMS.items() if alarm["Namespace"] == BACKUP}
# Filter -> its name and metric, its log group, the lines that it matches, and the value that it takes.
FILTERS = {
    "PaymentDurationFilter": (
        "metric-filter-payment-duration-prod",
        "PaymentProcessingDuration",
        "/aws/lambda/lambda-payment-processing-prod",
        '{ ($.message = "payment finished") || ($.message = "payment failed") }',
        "$.duration_seconds",
    ),
    "ReconciliationHeartbeatFilter": (
        "metric-filter-reconciliation-heartbeat-prod",
        "ReconciliationRuns",
        "/aws/lambda/lambda-payment-reconciliation-prod",
        '{ $.message = "reconciliation finished" }',
        "1",
    ),
}


def list_platform_metrics(world: World) -> list[tuple[str, str, set[str]]]:
    """Return namespace, name and dimensions of the metrics from filters and from the functions' log lines."""
    transformations = [
        transformation
        for metric_filter in world.of_type("AWS::Logs::MetricFilter").values()
        for transformation in metric_filter["MetricTransformations"]
    ]
    return [
        (metric["MetricNamespace"], metric["MetricName"], {dimension["Key"] for dimension in metric["Dimensions"]})
        for metric in transformations
    ] + [
        (NAMESPACE, name, {"Environment", *dimensions})
        for name, metric in METRICS.items()
        for dimensions in metric.dimension_sets
    ]


def describe_alarm(alarm: dict[str, Any]) -> dict[str, Any]:
    """Return the properties of an alarm without tags and empty lists."""
    return {name: value for name, value in alarm.items() if name != "Tags" and value != []}


def test_every_alarm_and_every_filter_is_in_the_tables(world: World) -> None:
    alarms = {path: describe_alarm(alarm) for path, alarm in world.of_type(ALARM_TYPE).items()}
    if os.environ.get("UPDATE_GOLDEN"):
        rows = [
            f'"{path.split("/")[1].removesuffix("Alarm")}": {json.dumps(described)}'
            for path, described in alarms.items()
        ]
        GOLDEN.write_text("{\n" + ",\n".join(rows) + "\n}\n", encoding="utf-8")
    golden = json.loads(GOLDEN.read_text(encoding="utf-8"))
    assert set(alarms) == {f"Monitoring/{title}Alarm" for title in golden}, UPDATE
    assert set(world.of_type("AWS::Logs::MetricFilter")) == {f"Monitoring/{title}" for title in FILTERS}, (
        "describe each metric filter in FILTERS of tests/stacks/test_alarms.py"
    )


@pytest.mark.parametrize("title", ALARMS)
def test_an_alarm_watches_a_metric_that_exists(title: str, world: World) -> None:
    alarm = world.properties(f"Monitoring/{title}Alarm")
    names = {dimension["Name"] for dimension in alarm["Dimensions"]}
    if alarm["Namespace"] in PUBLISHED:
        metrics, dimensions = PUBLISHED[alarm["Namespace"]]
        assert alarm["MetricName"] in metrics
        assert names in (dimensions, dimensions | INDEX.get(alarm["Namespace"], set()))
    else:
        assert (alarm["Namespace"], alarm["MetricName"], names) in list_platform_metrics(world)


@pytest.mark.parametrize("title", ALARMS)
def test_an_alarm_is_as_it_was_last_reviewed(title: str, world: World) -> None:
    alarm = describe_alarm(world.properties(f"Monitoring/{title}Alarm"))
    assert alarm == ALARMS[title], UPDATE
    if alarm["Period"] == 300:
        assert 300 <= alarm["Period"] * alarm["EvaluationPeriods"] <= 900


# The alarms of the reference with their thresholds, as in dev, which has the default of each setting.
REFERENCE = {
    "alarm-sfn-failures": (STATES, "ExecutionsFailed", "Sum", 300, 1, "2"),
    "alarm-lambda-validation-errors": (LAMBDA, "Errors", "Sum", 300, 1, "5"),
    "alarm-lambda-validation-throttles": (LAMBDA, "Throttles", "Sum", 300, 1, "1"),
    "alarm-lambda-processing-errors": (LAMBDA, "Errors", "Sum", 300, 1, "5"),
    "alarm-lambda-processing-throttles": (LAMBDA, "Throttles", "Sum", 300, 1, "1"),
    "alarm-payment-duration": ("PaymentWorkflow", "PaymentProcessingDuration", "Average", 300, 2, "120"),
}


def test_the_alarms_of_the_reference_have_its_thresholds(worlds: list[World]) -> None:
    names = ("Namespace", "MetricName", "Statistic", "Period", "EvaluationPeriods", "Threshold")
    alarms = {
        alarm["AlarmName"].removesuffix("-dev"): tuple(alarm[name] for name in names)
        for alarm in worlds[1].of_type(ALARM_TYPE).values()
    }
    assert alarms.items() >= REFERENCE.items()


def test_the_composite_alarm_notifies_with_any_of_its_parts(world: World) -> None:
    composite = world.properties("Monitoring/PaymentsFailingAlarm")
    names = {world.properties(f"Monitoring/{title}Alarm")["AlarmName"] for title in PARTS_OF_COMPOSITE}
    assert set(composite["AlarmRule"].split(" OR ")) == {f'ALARM("{name}")' for name in names}
    assert composite.get("AlarmActions") == composite.get("OKActions") == [TOPIC]


def test_without_a_composite_alarm_each_alarm_notifies() -> None:
    local = World("local")
    assert local.of_type("AWS::CloudWatch::CompositeAlarm") == {}
    paths = {f"Monitoring/{title}Alarm" for title in set(ALARMS) - ALARMS_ON_BACKUPS}
    differing = paths ^ set(local.of_type("AWS::CloudWatch::Alarm"))
    assert not differing, f"ALARMS of {__file__} or stacks/monitoring/alarms.py lack {', '.join(sorted(differing))}"
    for title in set(ALARMS) - ALARMS_ON_BACKUPS:
        alarm = local.properties(f"Monitoring/{title}Alarm")
        topic = [TOPIC.replace("-prod", "-local")]
        assert alarm.get("AlarmActions") == topic
        assert alarm.get("OKActions", []) == ([] if title in SILENT_WHEN_OVER else topic)


def test_every_alarm_leads_to_its_section_of_the_runbook(world: World) -> None:
    alarms = world.of_type("AWS::CloudWatch::Alarm") | world.of_type("AWS::CloudWatch::CompositeAlarm")
    for alarm in alarms.values():
        section = alarm["AlarmName"].removesuffix("-prod")
        assert alarm["AlarmDescription"].endswith(f" What to do: docs/runbook.md#{section}")


@pytest.mark.parametrize("title", FILTERS)
def test_a_filter_makes_the_metric_that_an_alarm_watches(title: str, world: World) -> None:
    """tests/payments/test_workflow.py matches the lines that the function logs."""
    metric_filter = world.properties(f"Monitoring/{title}")
    (metric,) = metric_filter["MetricTransformations"]
    assert FILTERS[title] == (
        metric_filter["FilterName"], metric["MetricName"], metric_filter["LogGroupName"],
        metric_filter["FilterPattern"], metric["MetricValue"],
    )  # fmt: skip
    assert metric["MetricNamespace"] == PLATFORM
    assert metric["Dimensions"] == [{"Key": "Environment", "Value": "$.Environment"}]
    # A metric with dimensions has no default value: https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/FilterAndPatternSyntaxForMetricFilters.html
    assert "DefaultValue" not in metric


def test_the_resources_that_dimensions_name_exist(world: World) -> None:
    names = {p["FunctionName"] for p in world.of_type("AWS::Lambda::Function").values()}
    assert {f"lambda-payment-{title.lower()}-prod" for title in FUNCTIONS} == names, (
        "list the functions in FUNCTIONS of tests/stacks/access.py"
    )
    assert world.properties("Workflow/PaymentWorkflow")["StateMachineName"] == MACHINE.rsplit(":", 1)[1]


# A night's backups


@pytest.fixture
def heartbeat(world: World) -> dict[str, Any]:
    return world.properties("Monitoring/BackupHeartbeatAlarm")


def test_alarms_on_backups_exist_only_with_backups(worlds: list[World]) -> None:
    for world in worlds:
        titles = {path.removeprefix("Monitoring/").removesuffix("Alarm") for path in world.of_type(ALARM_TYPE)}
        has_backups = bool(world.of_type("AWS::Backup::BackupVault"))
        assert ALARMS_ON_BACKUPS & titles == (ALARMS_ON_BACKUPS if has_backups else set())
    vault = worlds[0].properties("Data/BackupVault")
    assert vault["BackupVaultName"] == "backup-vault-payments-prod"


def test_each_evaluated_day_has_the_jobs_of_one_night(heartbeat: dict[str, Any], world: World) -> None:
    """A day ends after the last job of a night, whenever the jobs start and however long they take.

    https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_WallClockWindow.html
    """
    (rule,) = world.properties("Data/BackupPlan")["BackupPlan"]["BackupPlanRule"]
    minute, hour, *every_day = re.findall(r"[^ ()]+", rule["ScheduleExpression"].removeprefix("cron"))
    assert every_day == ["*", "*", "?", "*"]
    first_start = int(hour) * 60 + int(minute)
    last_end = first_start + rule["StartWindowMinutes"] + rule["CompletionWindowMinutes"]
    # The time zone is behind UTC, so its midnight comes later.
    window = heartbeat.get("EvaluationWindow", {}).get("WallClockWindow", {})
    behind = re.fullmatch(r"-(\d\d):(\d\d)", window.get("Timezone", ""))
    assert behind
    day_ends = int(behind[1]) * 60 + int(behind[2])
    assert last_end < day_ends < first_start + 24 * 60
    assert (heartbeat["Period"], heartbeat["EvaluationPeriods"]) == (24 * 60 * 60, 1)
    # Whenever the alarm is created, the first day that it evaluates began after that.
    warm_up = heartbeat.get("WarmUpConfiguration", {})
    assert warm_up.get("OnlyStartEvaluatingAfterWarmUpPeriodEnds") is True
    assert 24 * 60 + day_ends - first_start <= warm_up.get("WarmUpPeriodDurationInMinutes", 0) <= 2880


def test_a_missing_backup_of_any_table_is_an_alarm(heartbeat: dict[str, Any], world: World) -> None:
    selected = world.properties("Data/BackupSelection")["BackupSelection"]["Resources"]
    assert heartbeat["Threshold"] == len(selected) == len(world.of_type("AWS::DynamoDB::Table"))
    for completed, expected in ((0, "ALARM"), (1, "ALARM"), (2, "OK"), (3, "OK")):
        points = [{"Timestamp": 50_000.0 + n} for n in range(completed)]
        assert evaluate_alarm(heartbeat | {"StateValue": "OK"}, points, len, 86_400)[0] == expected, completed
