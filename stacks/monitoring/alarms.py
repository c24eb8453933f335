"""The table of the alarms. A new alarm on a metric is one more row.

A row defines the alarm, its section in docs/runbook.md, its place on the dashboard, and the name that CloudFormation's
role may manage. The dashboard shows the alarms in this order, those with a condition last.
"""

from dataclasses import dataclass

from troposphere import Ref

from .. import names, references
from ..data import backups
from ..setting_kinds import Setting
from ..settings import Settings
from ..wiring import Value

DURATION_METRIC = "PaymentProcessingDuration"
HEARTBEAT_METRIC = "ReconciliationRuns"
# The section of the composite alarm, which is in ALARM while any alarm with ``payments_fail`` is.
COMPOSITE = "alarm-payments-failing"
HAS_BACKUPS = "HasBackups"


@dataclass(frozen=True)
class Source:
    """A resource that publishes metrics. Its ``Ref`` names a parameter of the monitoring stack."""

    namespace: str
    dimensions: dict[str, Value | str]

    def narrowed(self, **dimensions: str) -> "Source":
        return Source(self.namespace, {**self.dimensions, **dimensions})


# https://docs.aws.amazon.com/step-functions/latest/dg/procedure-cw-metrics.html
_WORKFLOW = Source("AWS/States", {"StateMachineArn": Ref("StateMachineArn")})
# https://docs.aws.amazon.com/lambda/latest/dg/monitoring-metrics-types.html
_VALIDATION = Source("AWS/Lambda", {"FunctionName": Ref("ValidationName")})
_PROCESSING = Source("AWS/Lambda", {"FunctionName": Ref("ProcessingName")})
_RECONCILIATION = Source("AWS/Lambda", {"FunctionName": Ref("ReconciliationName")})
# The metrics of metric_filters.py and of lambda/adapters/metrics.py.
_PAYMENTS = Source(names.METRIC_NAMESPACE, {"Environment": Ref("Environment")})
# https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-available-cloudwatch-metrics.html
_DEAD_LETTERS = Source("AWS/SQS", {"QueueName": Ref("QueueName")})
_UNDELIVERED_NOTICES = Source("AWS/SQS", {"QueueName": Ref("NotificationQueueName")})
# https://docs.aws.amazon.com/sns/latest/dg/sns-monitoring-using-cloudwatch.html
_NOTICES = Source("AWS/SNS", {"TopicName": Ref("TopicName")})
# https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/metrics-dimensions.html
_TRANSACTIONS = Source("AWS/DynamoDB", {"TableName": Ref("TableName")})
_LEDGER = Source("AWS/DynamoDB", {"TableName": Ref("LedgerTableName")})
# AWS Backup publishes a metric only if there is something to count, so a job that never starts is not reported.
# https://docs.aws.amazon.com/aws-backup/latest/devguide/cloudwatch.html
_BACKUPS = Source("AWS/Backup", {"BackupVaultName": references.in_template(names.BACKUP_VAULT)})


@dataclass(frozen=True)
class Alarm:
    """An alarm on one metric, over ``periods`` of five minutes. ``section`` is its heading in the runbook."""

    logical_id: str
    section: str
    description: str
    source: Source
    metric: str
    threshold: Setting | int
    statistic: str = "Sum"
    periods: int = 1
    comparison: str = "GreaterThanThreshold"
    # Without payments there is no data, which must not raise an alarm.
    missing_data: str = "notBreaching"
    # Whether it shows that payments are failing, and so is part of the composite alarm.
    payments_fail: bool = False
    announces_ok: bool = True
    # The condition of the monitoring stack under which the alarm exists; empty for every environment.
    condition: str = ""
    # For an alarm whose period is a day: the hour (UTC) at which the day ends.
    day_ends_at_hour: int | None = None

    @property
    def name(self) -> str:
        return in_every_environment(self.section)


_THROTTLED = "Lambda throttled the {} function: its concurrency is exhausted"
# No alarm on throttles of DynamoDB is part of the composite alarm: DynamoDB publishes throttles only while it
# throttles, and by PutMetricAlarm's reference an alarm on AWS/DynamoDB ignores missing data whatever its configuration.
# It may stay in ALARM until an operator resets it, and would keep the composite from reporting the next incident.
# https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_PutMetricAlarm.html
ALARMS = (
    Alarm(
        "WorkflowFailuresAlarm", "alarm-sfn-failures", "Payments failed for technical reasons",
        _WORKFLOW, "ExecutionsFailed", Settings.workflow_failures_threshold, payments_fail=True,
    ),
    Alarm(
        "WorkflowTimeoutsAlarm", "alarm-sfn-timeouts",
        "Executions timed out, without recording a failure or notifying anyone",
        _WORKFLOW, "ExecutionsTimedOut", Settings.executions_cut_short_threshold, payments_fail=True,
    ),
    Alarm(
        "WorkflowAbortsAlarm", "alarm-sfn-aborts",
        "Somebody aborted executions: reconciliation finalises their payments",
        _WORKFLOW, "ExecutionsAborted", Settings.executions_cut_short_threshold,
    ),
    Alarm(
        "WorkflowThrottlesAlarm", "alarm-sfn-throttles",
        "Step Functions throttles executions: the account's state-transition quota is exhausted",
        _WORKFLOW, "ExecutionThrottled", Settings.workflow_throttles_threshold, payments_fail=True,
    ),
    Alarm(
        "ValidationErrorsAlarm", "alarm-lambda-validation-errors", "The validation function raised errors",
        _VALIDATION, "Errors", Settings.function_errors_threshold, payments_fail=True,
    ),
    Alarm(
        "ValidationThrottlesAlarm", "alarm-lambda-validation-throttles", _THROTTLED.format("validation"),
        _VALIDATION, "Throttles", Settings.function_throttles_threshold, payments_fail=True,
    ),
    Alarm(
        "ProcessingErrorsAlarm", "alarm-lambda-processing-errors", "The processing function raised errors",
        _PROCESSING, "Errors", Settings.function_errors_threshold, payments_fail=True,
    ),
    Alarm(
        "ProcessingThrottlesAlarm", "alarm-lambda-processing-throttles", _THROTTLED.format("processing"),
        _PROCESSING, "Throttles", Settings.function_throttles_threshold, payments_fail=True,
    ),
    Alarm(
        "PaymentDurationAlarm", "alarm-payment-duration",
        "Payments take too long, from the start of the execution to the outcome",
        _PAYMENTS, DURATION_METRIC, Settings.payment_duration_threshold_seconds, statistic="Average", periods=2,
    ),
    Alarm(
        "UnknownOutcomesAlarm", "alarm-unknown-outcomes",
        "Payments ended without the gateway confirming whether it charged",
        _PAYMENTS.narrowed(Outcome="UNKNOWN"), "Payments", Settings.unknown_outcomes_threshold, payments_fail=True,
    ),
    Alarm(
        "ReviewsAlarm", "alarm-reviews",
        "A payment needs manual review: it is unknown whether it was charged or refunded",
        _PAYMENTS.narrowed(Outcome="REVIEW"), "Payments", Settings.reviews_threshold,
    ),
    Alarm(
        "DeadLettersAlarm", "alarm-dead-letters",
        "The dead-letter queue holds payments that failed after all retries, or undeliverable events",
        _DEAD_LETTERS, "ApproximateNumberOfMessagesVisible", Settings.dead_letters_threshold, statistic="Maximum",
    ),
    Alarm(
        "OpenPaymentAgeAlarm", "alarm-open-payment-age", "A payment has had no final status for too long",
        _PAYMENTS, "OldestOpenPaymentAge", Settings.open_payment_age_threshold_seconds, statistic="Maximum",
    ),
    Alarm(
        "TransactionsReadThrottlesAlarm", "alarm-transactions-read-throttles", "DynamoDB throttles reads of payments",
        _TRANSACTIONS, "ReadThrottleEvents", Settings.table_throttles_threshold,
    ),
    Alarm(
        "TransactionsWriteThrottlesAlarm", "alarm-transactions-write-throttles",
        "DynamoDB throttles writes of payments",
        _TRANSACTIONS, "WriteThrottleEvents", Settings.table_throttles_threshold,
    ),
    Alarm(
        # A throttled index also throttles its table, but has its own metric.
        "IndexWriteThrottlesAlarm", "alarm-index-write-throttles",
        "DynamoDB throttles writes of the index of open payments",
        _TRANSACTIONS.narrowed(GlobalSecondaryIndexName=names.OPEN_INDEX), "WriteThrottleEvents",
        Settings.table_throttles_threshold,
    ),
    Alarm(
        "LedgerWriteThrottlesAlarm", "alarm-ledger-write-throttles", "DynamoDB throttles writes of the ledger",
        _LEDGER, "WriteThrottleEvents", Settings.table_throttles_threshold,
    ),
    Alarm(
        "NotificationFailuresAlarm", "alarm-notification-failures",
        "SNS could not deliver notifications to a subscriber",
        # It notifies the same topic: an OK notification that cannot be delivered would raise the alarm again.
        _NOTICES, "NumberOfNotificationsFailed", Settings.notification_failures_threshold, announces_ok=False,
    ),
    Alarm(
        "UndeliveredNoticesAlarm", "alarm-undelivered-notices",
        "Notices that a subscriber never received wait in their dead-letter queue",
        _UNDELIVERED_NOTICES, "ApproximateNumberOfMessagesVisible", 0, statistic="Maximum", announces_ok=False,
    ),
    Alarm(
        "BackupFailuresAlarm", "alarm-backup-failures", "A backup of a table failed",
        _BACKUPS, "NumberOfBackupJobsFailed", 0, condition=HAS_BACKUPS,
    ),
    Alarm(
        "BackupHeartbeatAlarm", "alarm-backup-heartbeat",
        "A night passed without a completed backup of each table",
        _BACKUPS, "NumberOfBackupJobsCompleted", backups.TABLES, comparison="LessThanThreshold",
        missing_data="breaching", condition=HAS_BACKUPS,
        # An hour after the end of the last job's window, so that its metric has arrived.
        day_ends_at_hour=backups.START_HOUR + backups.START_WINDOW_HOURS + backups.COMPLETION_WINDOW_HOURS + 1,
    ),
    Alarm(
        "ReconciliationErrorsAlarm", "alarm-lambda-reconciliation-errors", "Entire reconciliation runs failed",
        _RECONCILIATION, "Errors", Settings.reconciliation_errors_threshold,
    ),
    Alarm(
        "ReconciliationIncompleteAlarm", "alarm-reconciliation-incomplete",
        "Reconciliation could not finalise payments or send their notifications",
        _PAYMENTS, "ReconciliationErrors", Settings.reconciliation_errors_threshold,
    ),
    Alarm(
        "ReconciliationHeartbeatAlarm", "alarm-reconciliation-heartbeat",
        "Reconciliation has not finished a run recently: overdue payments stay open",
        _PAYMENTS, HEARTBEAT_METRIC, 1, comparison="LessThanThreshold", missing_data="breaching",
        # Reconciliation runs every 5 minutes, and three missed runs are no accident. The alarm comes later than that,
        # because CloudWatch evaluates older periods where data is missing. https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/alarms-and-missing-data.html
        periods=3,
    ),
)  # fmt: skip


def in_every_environment(section: str) -> str:
    """Return the alarm's name in the syntax of ``Fn::Sub``."""
    return f"{section}-${{Environment}}"


def list_sections() -> list[str]:
    """Return the runbook section of every alarm, the composite alarm first."""
    return [COMPOSITE, *(alarm.section for alarm in ALARMS)]


def alarm_names() -> list[str]:
    """Return the name of every alarm, the composite alarm first."""
    return [in_every_environment(section) for section in list_sections()]
