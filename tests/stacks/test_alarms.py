"""Every alarm against what AWS publishes: a name that is wrong by a letter is an alarm that never goes off.

No scanner knows the metrics of a service, nor which of its resources a dimension means.
"""

import pytest

from tests.stacks.access import PLACE, World

STATES, LAMBDA, OURS = "AWS/States", "AWS/Lambda", "PaymentWorkflow"
# https://docs.aws.amazon.com/step-functions/latest/dg/procedure-cw-metrics.html
# https://docs.aws.amazon.com/lambda/latest/dg/monitoring-metrics-types.html
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
}  # fmt: skip

FUNCTION = "lambda-payment-{}-prod"
MACHINE = f"arn:aws:states:{PLACE}:stateMachine:sfn-payment-workflow-prod"
TOPIC = f"arn:aws:sns:{PLACE}:sns-payment-notifications-prod"
ABOVE, BELOW = "GreaterThanThreshold", "LessThanThreshold"
# Alarm -> what it watches, of which resource, and when silence is a reason for it.
ALARMS = {
    "WorkflowFailures": (STATES, "ExecutionsFailed", MACHINE, "Sum", ABOVE, "notBreaching"),
    "ValidationErrors": (LAMBDA, "Errors", FUNCTION.format("validation"), "Sum", ABOVE, "notBreaching"),
    "ValidationThrottles": (LAMBDA, "Throttles", FUNCTION.format("validation"), "Sum", ABOVE, "notBreaching"),
    "ProcessingErrors": (LAMBDA, "Errors", FUNCTION.format("processing"), "Sum", ABOVE, "notBreaching"),
    "ProcessingThrottles": (LAMBDA, "Throttles", FUNCTION.format("processing"), "Sum", ABOVE, "notBreaching"),
    "PaymentDuration": (OURS, "PaymentProcessingDuration", "prod", "Average", ABOVE, "notBreaching"),
    "ReconciliationErrors": (LAMBDA, "Errors", FUNCTION.format("reconciliation"), "Sum", ABOVE, "notBreaching"),
    "ReconciliationHeartbeat": (OURS, "ReconciliationRuns", "prod", "Sum", BELOW, "breaching"),
}
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
        assert names == dimensions
    else:
        made = [
            (one["MetricNamespace"], one["MetricName"], {dimension["Key"] for dimension in one["Dimensions"]})
            for filter_ in world.of_type("AWS::Logs::MetricFilter").values()
            for one in filter_["MetricTransformations"]
        ]
        assert (alarm["Namespace"], alarm["MetricName"], names) in made


@pytest.mark.parametrize("title", ALARMS)
def test_an_alarm_watches_what_it_is_named_for_and_tells(title: str, world: World) -> None:
    alarm = world.properties(f"Monitoring/{title}Alarm")
    (dimension,) = alarm["Dimensions"]
    assert ALARMS[title] == (
        alarm["Namespace"],
        alarm["MetricName"],
        dimension["Value"],
        alarm.get("Statistic"),
        alarm["ComparisonOperator"],
        alarm.get("TreatMissingData"),
    )
    assert alarm.get("AlarmActions") == [TOPIC]
    assert alarm.get("ActionsEnabled", True) is True
    assert 300 <= alarm["Period"] * alarm["EvaluationPeriods"] <= 900


@pytest.mark.parametrize("title", FILTERS)
def test_a_filter_makes_the_metric_that_an_alarm_watches(title: str, world: World) -> None:
    """The line is the function's own: tests/payments/test_workflow.py runs it."""
    filter_ = world.properties(f"Monitoring/{title}")
    (made,) = filter_["MetricTransformations"]
    assert FILTERS[title] == (
        made["MetricName"], filter_["LogGroupName"], filter_["FilterPattern"], made["MetricValue"],
    )  # fmt: skip
    assert made["MetricNamespace"] == OURS
    assert made["Dimensions"] == [{"Key": "Environment", "Value": "$.environment"}]
    # With dimensions there is none: https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/FilterAndPatternSyntaxForMetricFilters.html
    assert "DefaultValue" not in made


def test_what_the_dimensions_name_is_there(world: World) -> None:
    names = {p["FunctionName"] for p in world.of_type("AWS::Lambda::Function").values()}
    assert {FUNCTION.format(one) for one in ("validation", "processing", "reconciliation")} == names
    assert world.properties("Workflow/PaymentWorkflow")["StateMachineName"] == MACHINE.rsplit(":", 1)[1]
