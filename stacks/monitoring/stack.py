"""What watches: the alarms, the metric filters behind two of them, and the dashboard."""

from dataclasses import dataclass

from troposphere import Equals, If, Not, Sub, Template, cloudwatch, logs

from .. import names
from ..wiring import NumberValue, Value
from . import alarms, backup_alarms, dashboard
from .alarms import Alarm

HEARTBEAT_METRIC = "ReconciliationRuns"
DURATION_METRIC = "PaymentProcessingDuration"


@dataclass(frozen=True, kw_only=True)
class Inputs:
    environment: Value
    topic_arn: Value
    state_machine_arn: Value
    validation_name: Value
    processing_name: Value
    processing_log_group_name: Value
    reconciliation_name: Value
    reconciliation_log_group_name: Value
    table_name: Value
    ledger_table_name: Value
    queue_name: Value
    topic_name: Value
    notification_queue_name: Value
    backup_retention_days: NumberValue
    workflow_failures_threshold: NumberValue
    executions_cut_short_threshold: NumberValue
    workflow_throttles_threshold: NumberValue
    function_errors_threshold: NumberValue
    function_throttles_threshold: NumberValue
    payment_duration_threshold_seconds: NumberValue
    unknown_outcomes_threshold: NumberValue
    reviews_threshold: NumberValue
    dead_letters_threshold: NumberValue
    open_payment_age_threshold_seconds: NumberValue
    table_throttles_threshold: NumberValue
    notification_failures_threshold: NumberValue
    reconciliation_errors_threshold: NumberValue
    composite_alarm: Value
    # Read by the alarms' descriptions.
    runbook_url: Value


@dataclass(frozen=True, kw_only=True)
class Outputs:
    workflow_failures_name: Value
    workflow_failures_arn: Value
    validation_errors_name: Value
    validation_errors_arn: Value
    validation_throttles_name: Value
    validation_throttles_arn: Value
    processing_errors_name: Value
    processing_errors_arn: Value
    processing_throttles_name: Value
    processing_throttles_arn: Value
    payment_duration_name: Value
    payment_duration_arn: Value


def build(template: Template, inputs: Inputs) -> Outputs:
    """Alarms, metric filters and the dashboard; the outputs are those of the reference's six alarms."""
    template.add_condition("HasBackups", Not(Equals(inputs.backup_retention_days, 0)))
    watched = _alarms(inputs)
    made = {alarm.title: alarms.add(template, alarm, topic_arn=inputs.topic_arn) for alarm in watched}
    alarms.add_composite(template, watched, wanted=inputs.composite_alarm, topic_arn=inputs.topic_arn)
    template.add_resource(_payment_duration_filter(inputs))
    template.add_resource(_heartbeat_filter(inputs))
    template.add_resource(_dashboard())
    return Outputs(
        workflow_failures_name=made["WorkflowFailures"].ref(),
        workflow_failures_arn=made["WorkflowFailures"].get_att("Arn"),
        validation_errors_name=made["ValidationErrors"].ref(),
        validation_errors_arn=made["ValidationErrors"].get_att("Arn"),
        validation_throttles_name=made["ValidationThrottles"].ref(),
        validation_throttles_arn=made["ValidationThrottles"].get_att("Arn"),
        processing_errors_name=made["ProcessingErrors"].ref(),
        processing_errors_arn=made["ProcessingErrors"].get_att("Arn"),
        processing_throttles_name=made["ProcessingThrottles"].ref(),
        processing_throttles_arn=made["ProcessingThrottles"].get_att("Arn"),
        payment_duration_name=made["PaymentDuration"].ref(),
        payment_duration_arn=made["PaymentDuration"].get_att("Arn"),
    )


def _dashboard() -> cloudwatch.Dashboard:
    of_backups = If("HasBackups", Sub(dashboard.backup_alarms()), "")
    return cloudwatch.Dashboard(
        "Dashboard",
        DashboardName=names.named(names.DASHBOARD),
        DashboardBody=Sub(dashboard.body(), {"BackupAlarms": of_backups}),
    )


def _alarms(inputs: Inputs) -> list[Alarm]:
    return [
        *_of_the_workflow(inputs),
        *_of_the_functions(inputs),
        *_of_payments(inputs),
        *_of_stores(inputs),
        *backup_alarms.alarms("HasBackups"),
    ]


def _of_the_workflow(inputs: Inputs) -> list[Alarm]:
    """https://docs.aws.amazon.com/step-functions/latest/dg/procedure-cw-metrics.html"""

    def alarm(title: str, name: str, description: str, metric: str, threshold: Value, *, payments_fail: bool) -> Alarm:
        return Alarm(
            title=title,
            name=name,
            description=description,
            namespace="AWS/States",
            metric=metric,
            dimensions={"StateMachineArn": inputs.state_machine_arn},
            threshold=threshold,
            payments_fail=payments_fail,
        )

    cut_short = inputs.executions_cut_short_threshold
    return [
        alarm(
            "WorkflowFailures", names.WORKFLOW_FAILURES_ALARM,
            "Payments failed for technical reasons",
            "ExecutionsFailed", inputs.workflow_failures_threshold, payments_fail=True,
        ),
        alarm(
            "WorkflowTimeouts", names.WORKFLOW_TIMEOUTS_ALARM,
            "Executions timed out, without recording a failure or notifying anyone",
            "ExecutionsTimedOut", cut_short, payments_fail=True,
        ),
        alarm(
            "WorkflowAborts", names.WORKFLOW_ABORTS_ALARM,
            "Somebody aborted executions: reconciliation finalises their payments",
            "ExecutionsAborted", cut_short, payments_fail=False,
        ),
        alarm(
            "WorkflowThrottles", names.WORKFLOW_THROTTLES_ALARM,
            "Step Functions throttles executions: the account's state-transition quota is exhausted",
            "ExecutionThrottled", inputs.workflow_throttles_threshold, payments_fail=True,
        ),
    ]  # fmt: skip


def _of_the_functions(inputs: Inputs) -> list[Alarm]:
    """https://docs.aws.amazon.com/lambda/latest/dg/monitoring-metrics-types.html"""

    def alarm(
        title: str,
        name: str,
        description: str,
        metric: str,
        function: Value,
        threshold: Value,
        *,
        payments_fail: bool = True,
    ) -> Alarm:
        return Alarm(
            title=title,
            name=name,
            description=description,
            namespace="AWS/Lambda",
            metric=metric,
            dimensions={"FunctionName": function},
            threshold=threshold,
            payments_fail=payments_fail,
        )

    used_up = "Lambda throttled the {} function: its concurrency is exhausted"
    return [
        alarm(
            "ValidationErrors", names.VALIDATION_ERRORS_ALARM, "The validation function raised errors",
            "Errors", inputs.validation_name, inputs.function_errors_threshold,
        ),
        alarm(
            "ValidationThrottles", names.VALIDATION_THROTTLES_ALARM, used_up.format("validation"),
            "Throttles", inputs.validation_name, inputs.function_throttles_threshold,
        ),
        alarm(
            "ProcessingErrors", names.PROCESSING_ERRORS_ALARM, "The processing function raised errors",
            "Errors", inputs.processing_name, inputs.function_errors_threshold,
        ),
        alarm(
            "ProcessingThrottles", names.PROCESSING_THROTTLES_ALARM, used_up.format("processing"),
            "Throttles", inputs.processing_name, inputs.function_throttles_threshold,
        ),
        alarm(
            "ReconciliationErrors", names.RECONCILIATION_ERRORS_ALARM, "Entire reconciliation runs failed",
            "Errors", inputs.reconciliation_name, inputs.reconciliation_errors_threshold, payments_fail=False,
        ),
    ]  # fmt: skip


def _of_payments(inputs: Inputs) -> list[Alarm]:
    """On what the functions tell of payments: two metric filters, and lambda/adapters/metrics.py."""
    here: dict[str, Value | str] = {"Environment": inputs.environment}
    return [
        Alarm(
            title="PaymentDuration",
            name=names.PAYMENT_DURATION_ALARM,
            description="Payments take too long, from the start of the execution to the outcome",
            namespace=names.METRIC_NAMESPACE,
            metric=DURATION_METRIC,
            dimensions=here,
            threshold=inputs.payment_duration_threshold_seconds,
            statistic="Average",
            periods=2,
        ),
        Alarm(
            title="UnknownOutcomes",
            name=names.UNKNOWN_OUTCOMES_ALARM,
            description="Payments ended without the gateway confirming whether it charged",
            namespace=names.METRIC_NAMESPACE,
            metric="Payments",
            dimensions=here | {"Outcome": "UNKNOWN"},
            threshold=inputs.unknown_outcomes_threshold,
            payments_fail=True,
        ),
        Alarm(
            title="Reviews",
            name=names.REVIEWS_ALARM,
            description="A payment needs manual review: it is unknown whether it was charged or refunded",
            namespace=names.METRIC_NAMESPACE,
            metric="Payments",
            dimensions=here | {"Outcome": "REVIEW"},
            threshold=inputs.reviews_threshold,
        ),
        Alarm(
            title="OpenPaymentAge",
            name=names.OPEN_PAYMENT_AGE_ALARM,
            description="A payment has had no final status for too long",
            namespace=names.METRIC_NAMESPACE,
            metric="OldestOpenPaymentAge",
            dimensions=here,
            threshold=inputs.open_payment_age_threshold_seconds,
            statistic="Maximum",
        ),
        Alarm(
            title="ReconciliationIncomplete",
            name=names.RECONCILIATION_INCOMPLETE_ALARM,
            description="Reconciliation could not finalise payments or send their notifications",
            namespace=names.METRIC_NAMESPACE,
            metric="ReconciliationErrors",
            dimensions=here,
            threshold=inputs.reconciliation_errors_threshold,
        ),
        Alarm(
            title="ReconciliationHeartbeat",
            name=names.RECONCILIATION_HEARTBEAT_ALARM,
            description="Reconciliation has not finished a run recently: overdue payments stay open",
            namespace=names.METRIC_NAMESPACE,
            metric=HEARTBEAT_METRIC,
            dimensions=here,
            threshold=1,
            comparison="LessThanThreshold",
            # It runs every 5 minutes; three misses in a row are no accident. It rings later: where data is missing,
            # CloudWatch takes what it finds some periods before.
            # https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/alarms-and-missing-data.html
            periods=3,
            # Silence is what it listens for.
            missing_data="breaching",
        ),
    ]


def _of_stores(inputs: Inputs) -> list[Alarm]:
    """https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/metrics-dimensions.html
    https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-available-cloudwatch-metrics.html
    https://docs.aws.amazon.com/sns/latest/dg/sns-monitoring-using-cloudwatch.html
    """

    def throttles(title: str, name: str, what: str, metric: str, table: Value, **more: str) -> Alarm:
        return Alarm(
            title=title,
            name=name,
            description=f"DynamoDB throttles {what}",
            namespace="AWS/DynamoDB",
            metric=metric,
            dimensions={"TableName": table, **more},
            threshold=inputs.table_throttles_threshold,
            # Not part of the composite alarm: DynamoDB publishes throttles only while it throttles, and by
            # PutMetricAlarm's reference an alarm on AWS/DynamoDB ignores missing data whatever it is told. It may stay
            # in ALARM until an operator resets it, and would keep the composite from reporting the next incident.
            # https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_PutMetricAlarm.html
        )

    return [
        Alarm(
            title="DeadLetters",
            name=names.DEAD_LETTERS_ALARM,
            description="The dead-letter queue holds payments that failed after all retries, or undeliverable events",
            namespace="AWS/SQS",
            metric="ApproximateNumberOfMessagesVisible",
            dimensions={"QueueName": inputs.queue_name},
            threshold=inputs.dead_letters_threshold,
            statistic="Maximum",
        ),
        Alarm(
            title="NotificationFailures",
            name=names.NOTIFICATION_FAILURES_ALARM,
            description="SNS could not deliver notifications to a subscriber",
            namespace="AWS/SNS",
            metric="NumberOfNotificationsFailed",
            dimensions={"TopicName": inputs.topic_name},
            threshold=inputs.notification_failures_threshold,
            # Its own words go to the same topic: an OK that cannot be delivered would set it off again.
            tells_when_over=False,
        ),
        Alarm(
            title="UndeliveredNotices",
            name=names.UNDELIVERED_NOTICES_ALARM,
            description="Notices that a subscriber never received wait in their dead-letter queue",
            namespace="AWS/SQS",
            metric="ApproximateNumberOfMessagesVisible",
            dimensions={"QueueName": inputs.notification_queue_name},
            threshold=0,
            statistic="Maximum",
            tells_when_over=False,
        ),
        throttles(
            "TransactionsReadThrottles", names.TRANSACTIONS_READ_THROTTLES_ALARM,
            "reads of payments", "ReadThrottleEvents", inputs.table_name,
        ),
        throttles(
            "TransactionsWriteThrottles", names.TRANSACTIONS_WRITE_THROTTLES_ALARM,
            "writes of payments", "WriteThrottleEvents", inputs.table_name,
        ),
        # An index that is throttled holds its table back, and is measured apart from it.
        throttles(
            "IndexWriteThrottles", names.INDEX_WRITE_THROTTLES_ALARM,
            "writes of the index of open payments", "WriteThrottleEvents", inputs.table_name,
            GlobalSecondaryIndexName=names.OPEN_INDEX,
        ),
        throttles(
            "LedgerWriteThrottles", names.LEDGER_WRITE_THROTTLES_ALARM,
            "writes of the ledger", "WriteThrottleEvents", inputs.ledger_table_name,
        ),
    ]  # fmt: skip


def _payment_duration_filter(inputs: Inputs) -> logs.MetricFilter:
    """On the lines that the processing function logs when a payment has its outcome, or has failed for good.

    Step Functions' own log carries no duration.
    """
    return _filter(
        "PaymentDurationFilter",
        name=names.PAYMENT_DURATION_FILTER,
        log_group=inputs.processing_log_group_name,
        pattern='{ ($.message = "payment finished") || ($.message = "payment failed") }',
        metric=DURATION_METRIC,
        value="$.duration_seconds",
        unit="Seconds",
    )


def _heartbeat_filter(inputs: Inputs) -> logs.MetricFilter:
    """On the line that the reconciliation function logs when a run is over."""
    return _filter(
        "ReconciliationHeartbeatFilter",
        name=names.RECONCILIATION_HEARTBEAT_FILTER,
        log_group=inputs.reconciliation_log_group_name,
        pattern='{ $.message = "reconciliation finished" }',
        metric=HEARTBEAT_METRIC,
        value="1",
        unit="Count",
    )


def _filter(
    title: str, *, name: str, log_group: Value, pattern: str, metric: str, value: str, unit: str
) -> logs.MetricFilter:
    return logs.MetricFilter(
        title,
        FilterName=names.named(name),
        LogGroupName=log_group,
        FilterPattern=pattern,
        MetricTransformations=[
            logs.MetricTransformation(
                MetricNamespace=names.METRIC_NAMESPACE,
                MetricName=metric,
                MetricValue=value,
                Unit=unit,
                # Two environments in one account would move each other's alarm.
                Dimensions=[logs.Dimension(Key="Environment", Value="$.Environment")],
            )
        ],
    )
