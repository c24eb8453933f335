"""Every alarm against what AWS publishes: a name that is wrong by a letter is an alarm that never goes off.

No scanner knows the metrics of a service, nor which of its resources a dimension means.
"""

import pytest
from adapters.metrics import METRICS, NAMESPACE

from tests import emitted
from tests.emitted import load_template
from tests.stacks.access import PLACE, World

STATES, LAMBDA, SQS, SNS, DYNAMODB, OURS = (
    "AWS/States", "AWS/Lambda", "AWS/SQS", "AWS/SNS", "AWS/DynamoDB", "PaymentWorkflow",
)  # fmt: skip
# https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-available-cloudwatch-metrics.html
# https://docs.aws.amazon.com/sns/latest/dg/sns-monitoring-using-cloudwatch.html
# https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/metrics-dimensions.html
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
    SQS: (
        {"ApproximateNumberOfMessagesVisible", "ApproximateAgeOfOldestMessage", "NumberOfMessagesSent"}, {"QueueName"},
    ),
    SNS: ({"NumberOfNotificationsDelivered", "NumberOfNotificationsFailed"}, {"TopicName"}),
    DYNAMODB: ({"ReadThrottleEvents", "WriteThrottleEvents"}, {"TableName"}),
}  # fmt: skip

# An index of a table is measured apart from it.
INDEX = {DYNAMODB: {"GlobalSecondaryIndexName"}}

MACHINE = f"arn:aws:states:{PLACE}:stateMachine:sfn-payment-workflow-prod"
TOPIC = f"arn:aws:sns:{PLACE}:sns-payment-notifications-prod"
ABOVE, BELOW = "GreaterThanThreshold", "LessThanThreshold"
TABLE, LEDGER, HERE = "dynamodb-transactions-prod", "dynamodb-payment-ledger-prod", {"Environment": "prod"}


def of(what: str, value: str) -> dict[str, str]:
    return {what: value}


def function(name: str) -> dict[str, str]:
    return {"FunctionName": f"lambda-payment-{name}-prod"}


WORKFLOW = {"StateMachineArn": MACHINE}
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
    silent = payments_fail or title == "NotificationFailures"
    assert alarm.get("OKActions", []) == ([] if silent else [TOPIC])
    assert alarm.get("ActionsEnabled", True) is True
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
    for title in ALARMS:
        alarm = alone.properties(f"Monitoring/{title}Alarm")
        topic = [TOPIC.replace("-prod", "-local")]
        assert alarm.get("AlarmActions") == topic
        assert alarm.get("OKActions", []) == ([] if title == "NotificationFailures" else topic)


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
