"""Every alarm against what AWS publishes: a name that is wrong by a letter is an alarm that never goes off.

No scanner knows the metrics of a service, nor which of its resources a dimension means.
"""

import re
from typing import Any

import pytest
from adapters.metrics import METRICS, NAMESPACE

from scripts.local.alarms import evaluate_alarm
from tests import emitted
from tests.emitted import load_template
from tests.stacks.access import PLACE, World

STATES, LAMBDA, SQS, SNS, DYNAMODB, BACKUP, OURS = (
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

# An index of a table is measured apart from it.
INDEX = {DYNAMODB: {"GlobalSecondaryIndexName"}}

MACHINE = f"arn:aws:states:{PLACE}:stateMachine:sfn-payment-workflow-prod"
TOPIC = f"arn:aws:sns:{PLACE}:sns-payment-notifications-prod"
ALARM_TYPE = "AWS::CloudWatch::Alarm"
ABOVE, BELOW = "GreaterThanThreshold", "LessThanThreshold"
TABLE, LEDGER, HERE = "dynamodb-transactions-prod", "dynamodb-payment-ledger-prod", {"Environment": "prod"}


def of(what: str, value: str) -> dict[str, str]:
    return {what: value}


def function(name: str) -> dict[str, str]:
    return {"FunctionName": f"lambda-payment-{name}-prod"}


WORKFLOW = {"StateMachineArn": MACHINE}
VAULT = {"BackupVaultName": "backup-vault-payments-prod"}
# Alarms that are only where backups are on, those that do not announce their end, and those whose period is a day.
OF_BACKUPS = {"BackupFailures", "BackupHeartbeat"}
SILENT_WHEN_OVER = {"NotificationFailures", "UndeliveredNotices"}
DAILY = {"BackupHeartbeat"}
# Alarm -> what it watches, of which resource, whether silence breaches, and whether it says that payments fail.
ALARMS = {
    "WorkflowFailures": (STATES, "ExecutionsFailed", WORKFLOW, "Sum", ABOVE, "notBreaching", True),
    "WorkflowTimeouts": (STATES, "ExecutionsTimedOut", WORKFLOW, "Sum", ABOVE, "notBreaching", True),
    "WorkflowAborts": (STATES, "ExecutionsAborted", WORKFLOW, "Sum", ABOVE, "notBreaching", False),
    "WorkflowThrottles": (STATES, "ExecutionThrottled", WORKFLOW, "Sum", ABOVE, "notBreaching", True),
    "ValidationErrors": (LAMBDA, "Errors", function("validation"), "Sum", ABOVE, "notBreaching", True),
    "ValidationThrottles": (LAMBDA, "Throttles", function("validation"), "Sum", ABOVE, "notBreaching", True),
    "ProcessingErrors": (LAMBDA, "Errors", function("processing"), "Sum", ABOVE, "notBreaching", True),
    "ProcessingThrottles": (LAMBDA, "Throttles", function("processing"), "Sum", ABOVE, "notBreaching", True),
    "PaymentDuration": (OURS, "PaymentProcessingDuration", HERE, "Average", ABOVE, "notBreaching", False),
    "UnknownOutcomes": (OURS, "Payments", HERE | {"Outcome": "UNKNOWN"}, "Sum", ABOVE, "notBreaching", True),
    "Reviews": (OURS, "Payments", HERE | {"Outcome": "REVIEW"}, "Sum", ABOVE, "notBreaching", False),
    "OpenPaymentAge": (OURS, "OldestOpenPaymentAge", HERE, "Maximum", ABOVE, "notBreaching", False),
    "DeadLetters": (
        SQS, "ApproximateNumberOfMessagesVisible", of("QueueName", "payment-dlq-prod"), "Maximum", ABOVE,
        "notBreaching", False,
    ),
    "NotificationFailures": (
        SNS, "NumberOfNotificationsFailed", of("TopicName", TOPIC.rsplit(":", 1)[1]), "Sum", ABOVE,
        "notBreaching", False,
    ),
    "UndeliveredNotices": (
        SQS, "ApproximateNumberOfMessagesVisible", of("QueueName", "sqs-notification-dlq-prod"), "Maximum", ABOVE,
        "notBreaching", False,
    ),
    "BackupFailures": (BACKUP, "NumberOfBackupJobsFailed", VAULT, "Sum", ABOVE, "notBreaching", False),
    "BackupHeartbeat": (BACKUP, "NumberOfBackupJobsCompleted", VAULT, "Sum", BELOW, "breaching", False),
    "TransactionsReadThrottles": (
        DYNAMODB, "ReadThrottleEvents", of("TableName", TABLE), "Sum", ABOVE, "notBreaching", False,
    ),
    "TransactionsWriteThrottles": (
        DYNAMODB, "WriteThrottleEvents", of("TableName", TABLE), "Sum", ABOVE, "notBreaching", False,
    ),
    "IndexWriteThrottles": (
        DYNAMODB, "WriteThrottleEvents", of("TableName", TABLE) | of("GlobalSecondaryIndexName", "open-payments"),
        "Sum", ABOVE, "notBreaching", False,
    ),
    "LedgerWriteThrottles": (
        DYNAMODB, "WriteThrottleEvents", of("TableName", LEDGER), "Sum", ABOVE, "notBreaching", False,
    ),
    "ReconciliationErrors": (LAMBDA, "Errors", function("reconciliation"), "Sum", ABOVE, "notBreaching", False),
    "ReconciliationIncomplete": (OURS, "ReconciliationErrors", HERE, "Sum", ABOVE, "notBreaching", False),
    "ReconciliationHeartbeat": (OURS, "ReconciliationRuns", HERE, "Sum", BELOW, "breaching", False),
}  # fmt: skip
# Metric of ours -> the filter that makes it: of whose log, from which line, and what it counts.
FILTERS = {
    "PaymentDurationFilter": (
        "PaymentProcessingDuration",
        "/aws/lambda/lambda-payment-processing-prod",
        '{ ($.message = "payment finished") || ($.message = "payment failed") }',
        "$.duration_seconds",
    ),
    "ReconciliationHeartbeatFilter": (
        "ReconciliationRuns",
        "/aws/lambda/lambda-payment-reconciliation-prod",
        '{ $.message = "reconciliation finished" }',
        "1",
    ),
}


def test_the_tables_have_every_alarm_and_every_filter(world: World) -> None:
    assert set(world.of_type("AWS::CloudWatch::Alarm")) == {f"Monitoring/{title}Alarm" for title in ALARMS}
    assert set(world.of_type("AWS::Logs::MetricFilter")) == {f"Monitoring/{title}" for title in FILTERS}


@pytest.mark.parametrize("title", ALARMS)
def test_an_alarm_watches_a_metric_that_there_is(title: str, world: World) -> None:
    alarm = world.properties(f"Monitoring/{title}Alarm")
    names = {dimension["Name"] for dimension in alarm["Dimensions"]}
    if alarm["Namespace"] in PUBLISHED:
        metrics, dimensions = PUBLISHED[alarm["Namespace"]]
        assert alarm["MetricName"] in metrics
        assert names in (dimensions, dimensions | INDEX.get(alarm["Namespace"], set()))
    else:
        made = [
            (one["MetricNamespace"], one["MetricName"], {dimension["Key"] for dimension in one["Dimensions"]})
            for filter_ in world.of_type("AWS::Logs::MetricFilter").values()
            for one in filter_["MetricTransformations"]
        ]
        told = [
            (NAMESPACE, name, {"Environment", *dimensions})
            for name, metric in METRICS.items()
            for dimensions in metric.by
        ]
        assert (alarm["Namespace"], alarm["MetricName"], names) in made + told


@pytest.mark.parametrize("title", ALARMS)
def test_an_alarm_watches_what_it_is_named_for_and_tells(title: str, world: World) -> None:
    alarm = world.properties(f"Monitoring/{title}Alarm")
    *watched, payments_fail = ALARMS[title]
    assert watched == [
        alarm["Namespace"],
        alarm["MetricName"],
        {dimension["Name"]: dimension["Value"] for dimension in alarm["Dimensions"]},
        alarm.get("Statistic"),
        alarm["ComparisonOperator"],
        alarm.get("TreatMissingData"),
    ]
    # In prod the composite alarm tells for its parts: one incident is one page.
    assert alarm.get("AlarmActions", []) == ([] if payments_fail else [TOPIC])
    # What tells of lost notifications would lose another one, and begin again.
    silent = payments_fail or title in SILENT_WHEN_OVER
    assert alarm.get("OKActions", []) == ([] if silent else [TOPIC])
    assert alarm.get("ActionsEnabled", True) is True
    if title not in DAILY:
        assert 300 <= alarm["Period"] * alarm["EvaluationPeriods"] <= 900


def test_the_composite_alarm_rings_with_each_of_its_parts_and_tells(world: World) -> None:
    composite = world.properties("Monitoring/PaymentsFailingAlarm")
    parts = {title for title, (*_, payments_fail) in ALARMS.items() if payments_fail}
    names = {world.properties(f"Monitoring/{title}Alarm")["AlarmName"] for title in parts}
    assert set(composite["AlarmRule"].split(" OR ")) == {f'ALARM("{name}")' for name in names}
    assert composite.get("AlarmActions") == composite.get("OKActions") == [TOPIC]


def test_without_a_composite_alarm_each_tells_for_itself() -> None:
    alone = World({name: load_template(name) for name in emitted.ALL}, "local")
    assert alone.of_type("AWS::CloudWatch::CompositeAlarm") == {}
    assert len(alone.of_type("AWS::CloudWatch::Alarm")) == len(ALARMS) - len(OF_BACKUPS)
    for title in set(ALARMS) - OF_BACKUPS:
        alarm = alone.properties(f"Monitoring/{title}Alarm")
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
    """The line is the function's own: tests/payments/test_workflow.py runs it."""
    filter_ = world.properties(f"Monitoring/{title}")
    (made,) = filter_["MetricTransformations"]
    assert FILTERS[title] == (
        made["MetricName"], filter_["LogGroupName"], filter_["FilterPattern"], made["MetricValue"],
    )  # fmt: skip
    assert made["MetricNamespace"] == OURS
    assert made["Dimensions"] == [{"Key": "Environment", "Value": "$.Environment"}]
    # With dimensions there is none: https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/FilterAndPatternSyntaxForMetricFilters.html
    assert "DefaultValue" not in made


def test_what_the_dimensions_name_is_there(world: World) -> None:
    names = {p["FunctionName"] for p in world.of_type("AWS::Lambda::Function").values()}
    assert {function(one)["FunctionName"] for one in ("validation", "processing", "reconciliation")} == names
    assert world.properties("Workflow/PaymentWorkflow")["StateMachineName"] == MACHINE.rsplit(":", 1)[1]


# A night's backups


@pytest.fixture
def heartbeat(world: World) -> dict[str, Any]:
    return world.properties("Monitoring/BackupHeartbeatAlarm")


def test_alarms_on_backups_are_where_backups_are(worlds: list[World]) -> None:
    for world in worlds:
        titles = {path.removeprefix("Monitoring/").removesuffix("Alarm") for path in world.of_type(ALARM_TYPE)}
        has_backups = bool(world.of_type("AWS::Backup::BackupVault"))
        assert OF_BACKUPS & titles == (OF_BACKUPS if has_backups else set())
    vault = worlds[0].properties("Data/BackupVault")
    assert vault["BackupVaultName"] == VAULT["BackupVaultName"]


def test_a_day_of_backups_ends_after_the_last_job_of_a_night(heartbeat: dict[str, Any], world: World) -> None:
    """So each evaluated day has exactly one night's jobs, whenever they start and however long they may take.

    https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_WallClockWindow.html
    """
    (rule,) = world.properties("Data/BackupPlan")["BackupPlan"]["BackupPlanRule"]
    minute, hour, *every_day = re.findall(r"[^ ()]+", rule["ScheduleExpression"].removeprefix("cron"))
    assert every_day == ["*", "*", "?", "*"]
    first_start = int(hour) * 60 + int(minute)
    last_end = first_start + rule["StartWindowMinutes"] + rule["CompletionWindowMinutes"]
    # A time zone that is behind UTC by so much has its midnight then.
    window = heartbeat.get("EvaluationWindow", {}).get("WallClockWindow", {})
    behind = re.fullmatch(r"-(\d\d):(\d\d)", window.get("Timezone", ""))
    assert behind
    day_ends = int(behind[1]) * 60 + int(behind[2])
    assert last_end < day_ends < first_start + 24 * 60
    assert (heartbeat["Period"], heartbeat["EvaluationPeriods"]) == (24 * 60 * 60, 1)
    # Whenever the alarm is created: what it evaluates first is a day that began after that.
    warm_up = heartbeat.get("WarmUpConfiguration", {})
    assert warm_up.get("OnlyStartEvaluatingAfterWarmUpPeriodEnds") is True
    assert 24 * 60 + day_ends - first_start <= warm_up.get("WarmUpPeriodDurationInMinutes", 0) <= 2880


def test_every_table_has_to_have_its_backup(heartbeat: dict[str, Any], world: World) -> None:
    selected = world.properties("Data/BackupSelection")["BackupSelection"]["Resources"]
    assert heartbeat["Threshold"] == len(selected) == len(world.of_type("AWS::DynamoDB::Table"))
    for completed, expected in ((0, "ALARM"), (1, "ALARM"), (2, "OK"), (3, "OK")):
        points = [{"Timestamp": 50_000.0 + n} for n in range(completed)]
        assert evaluate_alarm(heartbeat | {"StateValue": "OK"}, points, len, 86_400)[0] == expected, completed
