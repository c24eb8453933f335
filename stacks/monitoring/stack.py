"""The monitoring stack: the alarms, the metric filters behind two of them, and the dashboard."""

from dataclasses import dataclass, fields

from troposphere import Equals, If, Not, Sub, Template, cloudwatch

from .. import names, references
from ..settings import Settings
from ..wiring import ENVIRONMENT, Value, to_pascal_case
from . import alarm_resources, dashboard, metric_filters
from .alarms import HAS_BACKUPS


@dataclass(frozen=True, kw_only=True)
class Inputs:
    environment: Value = ENVIRONMENT
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
    backup_retention_days: Value = Settings.backup_retention_days.ref
    workflow_failures_threshold: Value = Settings.workflow_failures_threshold.ref
    executions_cut_short_threshold: Value = Settings.executions_cut_short_threshold.ref
    workflow_throttles_threshold: Value = Settings.workflow_throttles_threshold.ref
    function_errors_threshold: Value = Settings.function_errors_threshold.ref
    function_throttles_threshold: Value = Settings.function_throttles_threshold.ref
    payment_duration_threshold_seconds: Value = Settings.payment_duration_threshold_seconds.ref
    unknown_outcomes_threshold: Value = Settings.unknown_outcomes_threshold.ref
    reviews_threshold: Value = Settings.reviews_threshold.ref
    dead_letters_threshold: Value = Settings.dead_letters_threshold.ref
    open_payment_age_threshold_seconds: Value = Settings.open_payment_age_threshold_seconds.ref
    table_throttles_threshold: Value = Settings.table_throttles_threshold.ref
    notification_failures_threshold: Value = Settings.notification_failures_threshold.ref
    reconciliation_errors_threshold: Value = Settings.reconciliation_errors_threshold.ref
    composite_alarm: Value = Settings.composite_alarm.ref
    # The alarm descriptions refer to it.
    runbook_url: Value = Settings.runbook_url.ref


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
    """Add alarms, metric filters and the dashboard. Returns the outputs of the reference's six alarms."""
    template.add_condition(HAS_BACKUPS, Not(Equals(inputs.backup_retention_days, 0)))
    alarms = alarm_resources.add_alarms(template, inputs.topic_arn)
    alarm_resources.add_composite(template, enabled=inputs.composite_alarm, topic_arn=inputs.topic_arn)
    metric_filters.add_metric_filters(
        template,
        processing_logs=inputs.processing_log_group_name,
        reconciliation_logs=inputs.reconciliation_log_group_name,
    )
    conditional_alarms = If(HAS_BACKUPS, Sub(dashboard.conditional_alarms()), "")
    template.add_resource(
        cloudwatch.Dashboard(
            "Dashboard",
            DashboardName=references.in_template(names.DASHBOARD),
            DashboardBody=Sub(dashboard.write_body(), {"BackupAlarms": conditional_alarms}),
        )
    )
    outputs = {}
    for field in fields(Outputs):
        alarm, attribute = field.name.rsplit("_", 1)
        resource = alarms[f"{to_pascal_case(alarm)}Alarm"]
        outputs[field.name] = resource.ref() if attribute == "name" else resource.get_att("Arn")
    return Outputs(**outputs)
