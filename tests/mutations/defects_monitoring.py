"""Defects of the alarms and of the metric filters."""

from .planting import Planted, drop_value, make_defects, replace_text, set_value, swap_values

_ALARMS = "tests/stacks/test_alarms.py::"
_DASHBOARD = "tests/stacks/test_dashboard.py::"
COMPOSITE = f"{_ALARMS}test_the_composite_alarm_notifies_with_any_of_its_parts"
SEPARATE = f"{_ALARMS}test_without_a_composite_alarm_each_alarm_notifies"
BACKUPS = f"{_ALARMS}test_each_evaluated_day_has_the_jobs_of_one_night"
DIMENSIONS = f"{_ALARMS}test_the_resources_that_dimensions_name_exist"


def _metric_test(title: str) -> str:
    return f"{_ALARMS}test_an_alarm_watches_a_metric_that_exists[{title}]"


def _alarm_test(title: str) -> str:
    return f"{_ALARMS}test_an_alarm_is_as_it_was_last_reviewed[{title}]"


def _filter_test(title: str) -> str:
    return f"{_ALARMS}test_a_filter_makes_the_metric_that_an_alarm_watches[{title}]"


_MONITORING: Planted = [
    ("a dimension is misspelt", set_value("WorkflowFailuresAlarm.Dimensions.0.Name", "StateMachine"),
     _metric_test("WorkflowFailures")),
    ("a dimension is of another service", set_value("ValidationErrorsAlarm.Dimensions.0.Name", "Function"),
     _metric_test("ValidationErrors")),
    ("a dimension's value is a name where an ARN is due",
     set_value("WorkflowFailuresAlarm.Dimensions.0.Value", {"Fn::Sub": "sfn-payment-workflow-${Environment}"}),
     _alarm_test("WorkflowFailures")),
    ("an alarm has no dimension", set_value("PaymentDurationAlarm.Dimensions", []), _metric_test("PaymentDuration")),
    ("a metric is misspelt", set_value("ProcessingErrorsAlarm.MetricName", "Error"), _metric_test("ProcessingErrors")),
    ("a metric is of another service", set_value("ValidationThrottlesAlarm.MetricName", "ExecutionThrottled"),
     _metric_test("ValidationThrottles")),
    ("a namespace is misspelt", set_value("WorkflowFailuresAlarm.Namespace", "AWS/StepFunctions"),
     _metric_test("WorkflowFailures")),
    ("an alarm watches another function",
     set_value("ReconciliationErrorsAlarm.Dimensions.0.Value", {"Ref": "ProcessingName"}),
     _alarm_test("ReconciliationErrors")),
    ("two alarms watch each other's metric",
     swap_values("ProcessingErrorsAlarm.MetricName", "ProcessingThrottlesAlarm.MetricName"),
     _alarm_test("ProcessingErrors")),
    ("an alarm tells nobody", drop_value("DeadLettersAlarm.AlarmActions"), _alarm_test("DeadLetters")),
    ("an alarm never says that it is over", drop_value("ReviewsAlarm.OKActions"), _alarm_test("Reviews")),
    ("a part of the composite alarm pages beside it",
     set_value("WorkflowFailuresAlarm.AlarmActions", [{"Ref": "TopicArn"}]), _alarm_test("WorkflowFailures")),
    ("what is no part of the composite alarm leaves it to it",
     set_value("DeadLettersAlarm.AlarmActions",
               {"Fn::If": ["OnePagePerIncident", {"Ref": "AWS::NoValue"}, [{"Ref": "TopicArn"}]]}),
     _alarm_test("DeadLetters")),
    ("without the composite alarm its parts tell nobody", drop_value("UnknownOutcomesAlarm.AlarmActions"), SEPARATE),
    ("the composite alarm lacks a part",
     set_value("PaymentsFailingAlarm.AlarmRule", {"Fn::Sub": 'ALARM("${WorkflowFailuresAlarm}")'}), COMPOSITE),
    ("the composite alarm has a part that may never end",
     replace_text("PaymentsFailingAlarm.AlarmRule.Fn::Sub", 'ALARM("${WorkflowFailuresAlarm}")',
                  'ALARM("${WorkflowFailuresAlarm}") OR ALARM("${LedgerWriteThrottlesAlarm}")'), COMPOSITE),
    ("what tells of lost notifications sends one more when it is over",
     set_value("NotificationFailuresAlarm.OKActions", [{"Ref": "TopicArn"}]), _alarm_test("NotificationFailures")),
    ("the composite alarm tells nobody", set_value("PaymentsFailingAlarm.AlarmActions", []), COMPOSITE),
    ("the composite alarm is made in every environment", drop_value("PaymentsFailingAlarm.Condition"), SEPARATE),
    ("an alarm leads to no section of the runbook",
     set_value("ReviewsAlarm.AlarmDescription", {"Fn::Sub": "Look. What to do: ${RunbookUrl}#alarm-review"}),
     f"{_ALARMS}test_every_alarm_leads_to_its_section_of_the_runbook"),
    ("an alarm counts every outcome as unknown", set_value("UnknownOutcomesAlarm.Dimensions.1.Value", "COMPLETED"),
     _alarm_test("UnknownOutcomes")),
    ("an alarm adds ages up", set_value("OpenPaymentAgeAlarm.Statistic", "Sum"), _alarm_test("OpenPaymentAge")),
    ("an alarm watches another table", set_value("LedgerWriteThrottlesAlarm.Dimensions.0.Value", {"Ref": "TableName"}),
     _alarm_test("LedgerWriteThrottles")),
    ("undelivered notices are counted in the payments' queue",
     set_value("UndeliveredNoticesAlarm.Dimensions.0.Value", {"Ref": "QueueName"}), _alarm_test("UndeliveredNotices")),
    ("the end of undelivered notices is announced",
     set_value("UndeliveredNoticesAlarm.OKActions", [{"Ref": "TopicArn"}]), _alarm_test("UndeliveredNotices")),
    ("failed backups of another vault are counted", set_value("BackupFailuresAlarm.Dimensions.0.Value", "Default"),
     _alarm_test("BackupFailures")),
    ("a failed backup is counted by a metric that there is not",
     set_value("BackupFailuresAlarm.MetricName", "BackupJobsFailed"), _metric_test("BackupFailures")),
    ("a night without backups is no alarm", set_value("BackupHeartbeatAlarm.TreatMissingData", "notBreaching"),
     _alarm_test("BackupHeartbeat")),
    ("one table's backup is enough", set_value("BackupHeartbeatAlarm.Threshold", 1),
     f"{_ALARMS}test_a_missing_backup_of_any_table_is_an_alarm"),
    ("a day of backups ends at midnight", drop_value("BackupHeartbeatAlarm.EvaluationWindow.WallClockWindow.Timezone"),
     BACKUPS),
    ("a day of backups slides", drop_value("BackupHeartbeatAlarm.EvaluationWindow"), BACKUPS),
    ("a new environment has failed backups", drop_value("BackupHeartbeatAlarm.WarmUpConfiguration"), BACKUPS),
    ("backups are missed where there are none", drop_value("BackupHeartbeatAlarm.Condition"),
     f"{_ALARMS}test_alarms_on_backups_exist_only_with_backups"),
    ("the dashboard shows a metric that is not there",
     replace_text("Dashboard.DashboardBody", "OldestOpenPaymentAge", "OldestPaymentAge"),
     f"{_DASHBOARD}test_every_line_is_a_metric_that_exists"),
    ("the dashboard names a resource that is not there",
     replace_text("Dashboard.DashboardBody", "${LedgerTableName}", "${QueueName}"),
     f"{_DASHBOARD}test_dimensions_name_the_deployed_resources"),
    ("the dashboard lacks an alarm",
     replace_text("Dashboard.DashboardBody", "alarm:alarm-reviews-", "alarm:alarm-review-"),
     f"{_DASHBOARD}test_every_alarm_on_a_metric_is_shown"),
    ("widgets of the dashboard overlap", replace_text("Dashboard.DashboardBody", '"x": 8', '"x": 7'),
     f"{_DASHBOARD}test_every_row_is_full_and_nothing_overlaps"),
    ("a calculated line uses what is not there",
     replace_text("Dashboard.DashboardBody", "FILL(unknown, 0)", "FILL(unknowns, 0)"),
     f"{_DASHBOARD}test_an_expression_uses_the_ids_of_its_graph"),
    ("an alarm says nothing of missing data", drop_value("PaymentDurationAlarm.TreatMissingData"),
     _alarm_test("PaymentDuration")),
    ("an alarm tells the queue", set_value("DeadLettersAlarm.AlarmActions.0", {"Ref": "StateMachineArn"}),
     _alarm_test("DeadLetters")),
    ("an alarm is muted", set_value("ProcessingThrottlesAlarm.ActionsEnabled", False),
     _alarm_test("ProcessingThrottles")),
    ("silence is no reason for the heartbeat's alarm",
     set_value("ReconciliationHeartbeatAlarm.TreatMissingData", "notBreaching"),
     _alarm_test("ReconciliationHeartbeat")),
    ("no payments are an alarm", set_value("WorkflowFailuresAlarm.TreatMissingData", "breaching"),
     _alarm_test("WorkflowFailures")),
    ("an alarm goes off when all is well", set_value("PaymentDurationAlarm.ComparisonOperator", "LessThanThreshold"),
     _alarm_test("PaymentDuration")),
    ("an alarm counts an average of errors", set_value("ProcessingErrorsAlarm.Statistic", "Average"),
     _alarm_test("ProcessingErrors")),
    ("an alarm waits for a day", set_value("WorkflowFailuresAlarm.EvaluationPeriods", 288),
     _alarm_test("WorkflowFailures")),
    ("an alarm is gone", drop_value("ReconciliationHeartbeatAlarm"),
     f"{_ALARMS}test_every_alarm_and_every_filter_is_in_the_tables"),
    ("a filter looks for a line that is not written",
     set_value("ReconciliationHeartbeatFilter.FilterPattern", '{ $.message = "reconciliation done" }'),
     _filter_test("ReconciliationHeartbeatFilter")),
    ("a filter reads another function's log",
     set_value("PaymentDurationFilter.LogGroupName", {"Ref": "ReconciliationLogGroupName"}),
     _filter_test("PaymentDurationFilter")),
    ("a filter counts another field",
     set_value("PaymentDurationFilter.MetricTransformations.0.MetricValue", "$.duration"),
     _filter_test("PaymentDurationFilter")),
    ("a filter's metric is of no environment",
     set_value("PaymentDurationFilter.MetricTransformations.0.Dimensions", []), _metric_test("PaymentDuration")),
    ("a filter makes a metric that nobody watches",
     set_value("ReconciliationHeartbeatFilter.MetricTransformations.0.MetricName", "Runs"),
     _metric_test("ReconciliationHeartbeat")),
]  # fmt: skip

_COMPUTE: Planted = [
    ("a dimension's value is an ARN where a name is due",
     set_value("/Outputs.ProcessingName.Value", {"Fn::GetAtt": ["ProcessingFunction", "Arn"]}),
     _alarm_test("ProcessingErrors")),
]  # fmt: skip

_DATA: Planted = [
    ("backups run an hour before their day ends",
     set_value("BackupPlan.BackupPlan.BackupPlanRule.0.ScheduleExpression", "cron(0 7 * * ? *)"), BACKUPS),
]  # fmt: skip

_WORKFLOW: Planted = [
    ("the alarm's state machine has another name",
     set_value("PaymentWorkflow.StateMachineName", {"Fn::Sub": "sfn-payments-${Environment}"}), DIMENSIONS),
]  # fmt: skip

DEFECTS = [
    *make_defects("monitoring", _MONITORING),
    *make_defects("compute", _COMPUTE),
    *make_defects("data", _DATA),
    *make_defects("workflow", _WORKFLOW),
]
