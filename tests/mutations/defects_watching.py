"""The alarms, and the metrics that are made for two of them."""

from .planting import Defect, Planted, change, drop, put, swap

MONITORING = "monitoring"
_ALARMS = "tests/stacks/test_alarms.py::"
_DASHBOARD = "tests/stacks/test_dashboard.py::"
COMPOSITE = f"{_ALARMS}test_the_composite_alarm_rings_with_each_of_its_parts_and_tells"
ALONE = f"{_ALARMS}test_without_a_composite_alarm_each_tells_for_itself"
THERE = f"{_ALARMS}test_what_the_dimensions_name_is_there"


def _published(title: str) -> str:
    return f"{_ALARMS}test_an_alarm_watches_a_metric_that_there_is[{title}]"


def _named(title: str) -> str:
    return f"{_ALARMS}test_an_alarm_watches_what_it_is_named_for_and_tells[{title}]"


def _made(title: str) -> str:
    return f"{_ALARMS}test_a_filter_makes_the_metric_that_an_alarm_watches[{title}]"


_FOUND: Planted = [
    ("a dimension is misspelt", MONITORING,
     put("WorkflowFailuresAlarm.Properties.Dimensions.0.Name", "StateMachine"), _published("WorkflowFailures")),
    ("a dimension is of another service", MONITORING,
     put("ValidationErrorsAlarm.Properties.Dimensions.0.Name", "Function"), _published("ValidationErrors")),
    ("a dimension's value is an ARN where a name is due", "compute",
     put("/Outputs.ProcessingName.Value", {"Fn::GetAtt": ["ProcessingFunction", "Arn"]}), _named("ProcessingErrors")),
    ("a dimension's value is a name where an ARN is due", MONITORING,
     put("WorkflowFailuresAlarm.Properties.Dimensions.0.Value", {"Fn::Sub": "sfn-payment-workflow-${Environment}"}),
     _named("WorkflowFailures")),
    ("an alarm has no dimension", MONITORING, put("PaymentDurationAlarm.Properties.Dimensions", []),
     _published("PaymentDuration")),
    ("a metric is misspelt", MONITORING, put("ProcessingErrorsAlarm.Properties.MetricName", "Error"),
     _published("ProcessingErrors")),
    ("a metric is of another service", MONITORING,
     put("ValidationThrottlesAlarm.Properties.MetricName", "ExecutionThrottled"), _published("ValidationThrottles")),
    ("a namespace is misspelt", MONITORING, put("WorkflowFailuresAlarm.Properties.Namespace", "AWS/StepFunctions"),
     _published("WorkflowFailures")),
    ("an alarm watches another function", MONITORING,
     put("ReconciliationErrorsAlarm.Properties.Dimensions.0.Value", {"Ref": "ProcessingName"}),
     _named("ReconciliationErrors")),
    ("two alarms watch each other's metric", MONITORING,
     swap("ProcessingErrorsAlarm.Properties.MetricName", "ProcessingThrottlesAlarm.Properties.MetricName"),
     _named("ProcessingErrors")),
    ("an alarm tells nobody", MONITORING, drop("DeadLettersAlarm.Properties.AlarmActions"), _named("DeadLetters")),
    ("an alarm never says that it is over", MONITORING, drop("ReviewsAlarm.Properties.OKActions"), _named("Reviews")),
    ("a part of the composite alarm pages beside it", MONITORING,
     put("WorkflowFailuresAlarm.Properties.AlarmActions", [{"Ref": "TopicArn"}]), _named("WorkflowFailures")),
    ("what is no part of the composite alarm leaves it to it", MONITORING,
     put("DeadLettersAlarm.Properties.AlarmActions",
         {"Fn::If": ["OnePagePerIncident", {"Ref": "AWS::NoValue"}, [{"Ref": "TopicArn"}]]}), _named("DeadLetters")),
    ("without the composite alarm its parts tell nobody", MONITORING,
     drop("UnknownOutcomesAlarm.Properties.AlarmActions"), ALONE),
    ("the composite alarm lacks a part", MONITORING,
     put("PaymentsFailingAlarm.Properties.AlarmRule", {"Fn::Sub": 'ALARM("${WorkflowFailuresAlarm}")'}), COMPOSITE),
    ("the composite alarm has a part that may never end", MONITORING,
     change("PaymentsFailingAlarm.Properties.AlarmRule.Fn::Sub", 'ALARM("${WorkflowFailuresAlarm}")',
            'ALARM("${WorkflowFailuresAlarm}") OR ALARM("${LedgerWriteThrottlesAlarm}")'), COMPOSITE),
    ("what tells of lost notifications sends one more when it is over", MONITORING,
     put("NotificationFailuresAlarm.Properties.OKActions", [{"Ref": "TopicArn"}]), _named("NotificationFailures")),
    ("the composite alarm tells nobody", MONITORING, put("PaymentsFailingAlarm.Properties.AlarmActions", []),
     COMPOSITE),
    ("the composite alarm is made in every environment", MONITORING, drop("PaymentsFailingAlarm.Condition"),
     ALONE),
    ("an alarm leads to no section of the runbook", MONITORING,
     put("ReviewsAlarm.Properties.AlarmDescription", {"Fn::Sub": "Look. What to do: ${RunbookUrl}#alarm-review"}),
     f"{_ALARMS}test_every_alarm_leads_to_its_section_of_the_runbook"),
    ("an alarm counts every outcome as unknown", MONITORING,
     put("UnknownOutcomesAlarm.Properties.Dimensions.1.Value", "COMPLETED"), _named("UnknownOutcomes")),
    ("an alarm adds ages up", MONITORING, put("OpenPaymentAgeAlarm.Properties.Statistic", "Sum"),
     _named("OpenPaymentAge")),
    ("an alarm watches another table", MONITORING,
     put("LedgerWriteThrottlesAlarm.Properties.Dimensions.0.Value", {"Ref": "TableName"}),
     _named("LedgerWriteThrottles")),
    ("the dashboard shows a metric that is not there", MONITORING,
     change("Dashboard.Properties.DashboardBody", "OldestOpenPaymentAge", "OldestPaymentAge"),
     f"{_DASHBOARD}test_every_line_is_a_metric_that_there_is"),
    ("the dashboard names a resource that is not there", MONITORING,
     change("Dashboard.Properties.DashboardBody", "${LedgerTableName}", "${QueueName}"),
     f"{_DASHBOARD}test_its_dimensions_name_the_real_resources"),
    ("the dashboard lacks an alarm", MONITORING,
     change("Dashboard.Properties.DashboardBody", "alarm:alarm-reviews-", "alarm:alarm-review-"),
     f"{_DASHBOARD}test_it_shows_every_alarm_on_a_metric"),
    ("widgets of the dashboard overlap", MONITORING,
     change("Dashboard.Properties.DashboardBody", '"x": 8', '"x": 7'),
     f"{_DASHBOARD}test_every_row_is_full_and_nothing_overlaps"),
    ("a calculated line uses what is not there", MONITORING,
     change("Dashboard.Properties.DashboardBody", "FILL(unknown, 0)", "FILL(unknowns, 0)"),
     f"{_DASHBOARD}test_an_expression_uses_the_ids_of_its_graph"),
    ("an alarm says nothing of missing data", MONITORING, drop("PaymentDurationAlarm.Properties.TreatMissingData"),
     _named("PaymentDuration")),
    ("an alarm tells the queue", MONITORING,
     put("DeadLettersAlarm.Properties.AlarmActions.0", {"Ref": "StateMachineArn"}), _named("DeadLetters")),
    ("an alarm is muted", MONITORING, put("ProcessingThrottlesAlarm.Properties.ActionsEnabled", False),
     _named("ProcessingThrottles")),
    ("silence is no reason for the heartbeat's alarm", MONITORING,
     put("ReconciliationHeartbeatAlarm.Properties.TreatMissingData", "notBreaching"),
     _named("ReconciliationHeartbeat")),
    ("no payments are an alarm", MONITORING,
     put("WorkflowFailuresAlarm.Properties.TreatMissingData", "breaching"), _named("WorkflowFailures")),
    ("an alarm goes off when all is well", MONITORING,
     put("PaymentDurationAlarm.Properties.ComparisonOperator", "LessThanThreshold"), _named("PaymentDuration")),
    ("an alarm counts an average of errors", MONITORING,
     put("ProcessingErrorsAlarm.Properties.Statistic", "Average"), _named("ProcessingErrors")),
    ("an alarm waits for a day", MONITORING, put("WorkflowFailuresAlarm.Properties.EvaluationPeriods", 288),
     _named("WorkflowFailures")),
    ("an alarm is gone", MONITORING, drop("ReconciliationHeartbeatAlarm"),
     f"{_ALARMS}test_the_tables_have_every_alarm_and_every_filter"),
    ("a filter looks for a line that is not written", MONITORING,
     put("ReconciliationHeartbeatFilter.Properties.FilterPattern", '{ $.message = "reconciliation done" }'),
     _made("ReconciliationHeartbeatFilter")),
    ("a filter reads another function's log", MONITORING,
     put("PaymentDurationFilter.Properties.LogGroupName", {"Ref": "ReconciliationLogGroupName"}),
     _made("PaymentDurationFilter")),
    ("a filter counts another field", MONITORING,
     put("PaymentDurationFilter.Properties.MetricTransformations.0.MetricValue", "$.duration"),
     _made("PaymentDurationFilter")),
    ("a filter's metric is of no environment", MONITORING,
     put("PaymentDurationFilter.Properties.MetricTransformations.0.Dimensions", []), _published("PaymentDuration")),
    ("a filter makes a metric that nobody watches", MONITORING,
     put("ReconciliationHeartbeatFilter.Properties.MetricTransformations.0.MetricName", "Runs"),
     _published("ReconciliationHeartbeat")),
    ("the alarm's state machine has another name", "workflow",
     put("PaymentWorkflow.Properties.StateMachineName", {"Fn::Sub": "sfn-payments-${Environment}"}), THERE),
]  # fmt: skip

DEFECTS = [Defect(*one) for one in _FOUND]
