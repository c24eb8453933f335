"""What watches: the alarms, the metrics behind two of them, and the dashboard."""

from dataclasses import dataclass

from troposphere import Sub, Template, cloudwatch, logs

from . import names
from .dashboard import body
from .wiring import NumberValue, Value, tags

METRIC_NAMESPACE = "PaymentWorkflow"
HEARTBEAT_METRIC = "ReconciliationRuns"
DURATION_METRIC = "PaymentProcessingDuration"
PERIOD_SECONDS = 300


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
    workflow_failures_threshold: NumberValue
    function_errors_threshold: NumberValue
    function_throttles_threshold: NumberValue
    payment_duration_threshold_seconds: NumberValue


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
    workflow_failures = _alarm(
        template,
        inputs,
        "WorkflowFailures",
        name=names.WORKFLOW_FAILURES_ALARM,
        description="Payments failed for technical reasons",
        namespace="AWS/States",
        metric="ExecutionsFailed",
        dimensions={"StateMachineArn": inputs.state_machine_arn},
        threshold=inputs.workflow_failures_threshold,
    )
    functions = (
        ("Validation", inputs.validation_name, names.VALIDATION_ERRORS_ALARM, names.VALIDATION_THROTTLES_ALARM),
        ("Processing", inputs.processing_name, names.PROCESSING_ERRORS_ALARM, names.PROCESSING_THROTTLES_ALARM),
    )
    alarms = {}
    for title, function_name, errors_alarm, throttles_alarm in functions:
        alarms[f"{title}Errors"] = _alarm(
            template,
            inputs,
            f"{title}Errors",
            name=errors_alarm,
            description=f"The {title.lower()} function raised errors",
            namespace="AWS/Lambda",
            metric="Errors",
            dimensions={"FunctionName": function_name},
            threshold=inputs.function_errors_threshold,
        )
        alarms[f"{title}Throttles"] = _alarm(
            template,
            inputs,
            f"{title}Throttles",
            name=throttles_alarm,
            description=f"Lambda refused to run the {title.lower()} function: its concurrency is used up",
            namespace="AWS/Lambda",
            metric="Throttles",
            dimensions={"FunctionName": function_name},
            threshold=inputs.function_throttles_threshold,
        )
    payment_duration = _alarm(
        template,
        inputs,
        "PaymentDuration",
        name=names.PAYMENT_DURATION_ALARM,
        description="Payments take too long from the start of the execution to their outcome",
        namespace=METRIC_NAMESPACE,
        metric=DURATION_METRIC,
        dimensions={"Environment": inputs.environment},
        threshold=inputs.payment_duration_threshold_seconds,
        statistic="Average",
        evaluation_periods=2,
    )
    _alarm(
        template,
        inputs,
        "ReconciliationErrors",
        name=names.RECONCILIATION_ERRORS_ALARM,
        description="Overdue payments could not be settled",
        namespace="AWS/Lambda",
        metric="Errors",
        dimensions={"FunctionName": inputs.reconciliation_name},
        # A run that left something open has failed, and one such run is one too many.
        threshold=0,
    )
    _alarm(
        template,
        inputs,
        "ReconciliationHeartbeat",
        name=names.RECONCILIATION_HEARTBEAT_ALARM,
        description="Reconciliation has not finished a run: overdue payments stay open",
        namespace=METRIC_NAMESPACE,
        metric=HEARTBEAT_METRIC,
        dimensions={"Environment": inputs.environment},
        threshold=1,
        comparison="LessThanThreshold",
        # It runs every 5 minutes; three misses in a row are no accident.
        evaluation_periods=3,
        # Silence is what it listens for.
        missing_data="breaching",
    )
    template.add_resource(_payment_duration_filter(inputs))
    template.add_resource(_heartbeat_filter(inputs))
    template.add_resource(
        cloudwatch.Dashboard("Dashboard", DashboardName=names.named(names.DASHBOARD), DashboardBody=Sub(body()))
    )
    return Outputs(
        workflow_failures_name=workflow_failures.ref(),
        workflow_failures_arn=workflow_failures.get_att("Arn"),
        validation_errors_name=alarms["ValidationErrors"].ref(),
        validation_errors_arn=alarms["ValidationErrors"].get_att("Arn"),
        validation_throttles_name=alarms["ValidationThrottles"].ref(),
        validation_throttles_arn=alarms["ValidationThrottles"].get_att("Arn"),
        processing_errors_name=alarms["ProcessingErrors"].ref(),
        processing_errors_arn=alarms["ProcessingErrors"].get_att("Arn"),
        processing_throttles_name=alarms["ProcessingThrottles"].ref(),
        processing_throttles_arn=alarms["ProcessingThrottles"].get_att("Arn"),
        payment_duration_name=payment_duration.ref(),
        payment_duration_arn=payment_duration.get_att("Arn"),
    )


def _alarm(
    template: Template,
    inputs: Inputs,
    title: str,
    *,
    name: str,
    description: str,
    namespace: str,
    metric: str,
    dimensions: dict[str, Value],
    threshold: Value | int,
    statistic: str = "Sum",
    evaluation_periods: int = 1,
    comparison: str = "GreaterThanThreshold",
    # No payments is no data, and no alarm.
    missing_data: str = "notBreaching",
) -> cloudwatch.Alarm:
    alarm: cloudwatch.Alarm = template.add_resource(
        cloudwatch.Alarm(
            f"{title}Alarm",
            AlarmName=names.named(name),
            AlarmDescription=description,
            Namespace=namespace,
            MetricName=metric,
            Dimensions=[cloudwatch.MetricDimension(Name=key, Value=value) for key, value in dimensions.items()],
            Statistic=statistic,
            Period=PERIOD_SECONDS,
            EvaluationPeriods=evaluation_periods,
            ComparisonOperator=comparison,
            Threshold=threshold,
            TreatMissingData=missing_data,
            AlarmActions=[inputs.topic_arn],
            Tags=tags(),
        )
    )
    return alarm


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
                MetricNamespace=METRIC_NAMESPACE,
                MetricName=metric,
                MetricValue=value,
                Unit=unit,
                # Two environments in one account would move each other's alarm.
                Dimensions=[logs.Dimension(Key="Environment", Value="$.environment")],
            )
        ],
    )
