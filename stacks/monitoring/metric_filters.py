"""The metrics that are made of the functions' log lines, where no embedded metric can be."""

from troposphere import logs

from .. import names
from ..wiring import Value
from .alarms import DURATION_METRIC, HEARTBEAT_METRIC


def payment_duration_filter(processing_log_group_name: Value) -> logs.MetricFilter:
    """Matches the lines that the processing function logs when a payment has its outcome, or has failed for good.

    Step Functions' own log carries no duration.
    """
    return _metric_filter(
        "PaymentDurationFilter",
        name=names.PAYMENT_DURATION_FILTER,
        log_group=processing_log_group_name,
        pattern='{ ($.message = "payment finished") || ($.message = "payment failed") }',
        metric=DURATION_METRIC,
        value="$.duration_seconds",
        unit="Seconds",
    )


def heartbeat_filter(reconciliation_log_group_name: Value) -> logs.MetricFilter:
    """Matches the line that the reconciliation function logs at the end of a run."""
    return _metric_filter(
        "ReconciliationHeartbeatFilter",
        name=names.RECONCILIATION_HEARTBEAT_FILTER,
        log_group=reconciliation_log_group_name,
        pattern='{ $.message = "reconciliation finished" }',
        metric=HEARTBEAT_METRIC,
        value="1",
        unit="Count",
    )


def _metric_filter(
    title: str, *, name: str, log_group: Value, pattern: str, metric: str, value: str, unit: str
) -> logs.MetricFilter:
    return logs.MetricFilter(
        title,
        FilterName=names.in_template(name),
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
