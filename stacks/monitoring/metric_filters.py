"""The metrics that CloudWatch extracts from the functions' log lines."""

from troposphere import Template, logs

from .. import names, references
from ..wiring import Value
from .alarms import DURATION_METRIC, HEARTBEAT_METRIC


def add_metric_filters(template: Template, *, processing_logs: Value, reconciliation_logs: Value) -> None:
    """Add a filter for the duration of payments, and one for the runs of reconciliation.

    ``processing_logs`` and ``reconciliation_logs`` are the names of the functions' log groups.
    """

    def add_filter(title: str, name: str, log_group: Value, pattern: str, **metric: str) -> None:
        transformation = logs.MetricTransformation(
            MetricNamespace=names.METRIC_NAMESPACE,
            **metric,
            # Keeps the metrics of two environments in one account apart.
            Dimensions=[logs.Dimension(Key="Environment", Value="$.Environment")],
        )
        template.add_resource(
            logs.MetricFilter(
                title,
                FilterName=references.in_template(name),
                LogGroupName=log_group,
                FilterPattern=pattern,
                MetricTransformations=[transformation],
            )
        )

    # The processing function logs these lines when a payment has its outcome or has failed for good. The log of Step
    # Functions contains no duration.
    add_filter(
        "PaymentDurationFilter",
        names.PAYMENT_DURATION_FILTER,
        processing_logs,
        '{ ($.message = "payment finished") || ($.message = "payment failed") }',
        MetricName=DURATION_METRIC,
        MetricValue="$.duration_seconds",
        Unit="Seconds",
    )
    # The reconciliation function logs this line at the end of a run.
    add_filter(
        "ReconciliationHeartbeatFilter",
        names.RECONCILIATION_HEARTBEAT_FILTER,
        reconciliation_logs,
        '{ $.message = "reconciliation finished" }',
        MetricName=HEARTBEAT_METRIC,
        MetricValue="1",
        Unit="Count",
    )
