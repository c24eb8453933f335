"""Defects of the state machine: its states, retries and properties."""

from .planting import Planted, drop_in_state, drop_value, edit_state, make_defects, set_in_state, set_value

_MACHINE, _LANGUAGE = "tests/stacks/test_state_machine.py::", "tests/stacks/test_states_language.py::"
_D = "tests/stacks/test_deployed.py::"


def _catch_test(name: str) -> str:
    return f"{_MACHINE}test_every_task_catches_all_errors_into_the_next_step[{name}]"


def _field_test(name: str) -> str:
    return f"{_LANGUAGE}test_a_state_has_known_fields_only[{name}]"


def _retry_test(name: str) -> str:
    return f"{_LANGUAGE}test_retries_are_limited[{name}]"


_STATES: Planted = [
    ("a state catches nothing", drop_in_state("ProcessPayment.Catch"), _catch_test("ProcessPayment")),
    ("a state catches one error only", set_in_state("ValidatePayment.Catch.0.ErrorEquals", ["States.Timeout"]),
     _catch_test("ValidatePayment")),
    ("a failure is caught into success", set_in_state("ProcessPayment.Catch.0.Next", "PaymentComplete"),
     _catch_test("ProcessPayment")),
    ("a failure is not told", set_in_state("RecordFailure.Catch.0.Next", "PaymentFailed"),
     _catch_test("RecordFailure")),
    ("a failed payment ends well", set_in_state("RecordNotice.Next", "PaymentComplete"),
     f"{_MACHINE}test_a_failed_payment_can_only_end_as_a_failed_execution"),
    ("a charged payment ends as a failure when an answer is lost",
     set_in_state("FailureOutcome.Choices.0.Next", "SendToDeadLetterQueue"),
     f"{_MACHINE}test_an_outcome_leads_to_the_same_end_whether_an_answer_was_lost_or_not"),
    ("a notice may be sent after its claim has run out", set_in_state("NotifyFailure.Retry.0.MaxAttempts", 40),
     f"{_MACHINE}test_a_claim_of_a_notice_outlasts_the_sending"),
    ("a Next leads nowhere", set_in_state("ValidatePayment.Next", "ProcessPayments"),
     f"{_LANGUAGE}test_a_state_has_a_next_state_or_ends[ValidatePayment]"),
    ("a choice leads nowhere", set_in_state("PaymentOutcome.Choices.0.Next", "Complete"),
     f"{_LANGUAGE}test_a_state_has_a_next_state_or_ends[PaymentOutcome]"),
    ("a choice has no default", drop_in_state("PaymentOutcome.Default"),
     f"{_LANGUAGE}test_a_state_has_a_next_state_or_ends[PaymentOutcome]"),
    ("a choice's default leads nowhere", set_in_state("PaymentOutcome.Default", "Nowhere"),
     f"{_LANGUAGE}test_a_state_has_a_next_state_or_ends[PaymentOutcome]"),
    ("a state both ends and goes on", edit_state("NotifyFailure", End=True),
     f"{_LANGUAGE}test_a_state_has_a_next_state_or_ends[NotifyFailure]"),
    ("nobody starts with validation", set_value("PaymentWorkflow.Definition.StartAt", "ProcessPayment"),
     f"{_MACHINE}test_every_state_is_reachable"),
    ("a workflow goes round in a circle", set_in_state("RecordNotice.Next", "RecordFailure"),
     f"{_MACHINE}test_every_path_ends_in_an_end_state"),
    ("a state has a field of another type", edit_state("PaymentComplete", Next="PaymentFailed"),
     _field_test("PaymentComplete")),
    ("a state has a field of JSONPath", edit_state("ValidatePayment", ResultPath="$.validated"),
     _field_test("ValidatePayment")),
    ("a state is of no type", edit_state("FailureOutcome", Type="Choose"), _field_test("FailureOutcome")),
    ("a retry has a field that nobody knows", set_in_state("ProcessPayment.Retry.0.MaxRetries", 3),
     _field_test("ProcessPayment")),
    ("a catch has a field of JSONPath", set_in_state("RecordFailure.Catch.0.ResultPath", "$.error"),
     _field_test("RecordFailure")),
    ("a retry never ends", set_in_state("ProcessPayment.Retry.2.MaxAttempts", 99999999), _retry_test("ProcessPayment")),
    ("a retry does not retry", set_in_state("NotifyFailure.Retry.0.MaxAttempts", 0), _retry_test("NotifyFailure")),
    ("a retry waits for less each time", set_in_state("RecordFailure.Retry.0.BackoffRate", 0.5),
     _retry_test("RecordFailure")),
    ("a gateway's outage is retried at once", set_in_state("ProcessPayment.Retry.2.IntervalSeconds", 1),
     f"{_MACHINE}test_the_retriers_have_these_waits_and_attempts"),
    ("a payment in progress is not waited for", set_in_state("ProcessPayment.Retry.1.MaxAttempts", 1),
     f"{_MACHINE}test_waiting_for_another_attempt_outlasts_its_lease"),
    ("a retry takes an error that there is not",
     set_in_state("ProcessPayment.Retry.1.ErrorEquals", ["PaymentInProcess"]),
     f"{_MACHINE}test_every_error_name_is_a_class_in_the_code_or_awss_own"),
    ("a retry takes all errors before the others", set_in_state("RecordFailure.Retry.0.ErrorEquals", ["States.ALL"]),
     f"{_LANGUAGE}test_a_handler_of_all_errors_is_alone_and_last[RecordFailure]"),
    ("a function that was idle for weeks is not waited for",
     set_in_state("ProcessPayment.Retry.4.ErrorEquals", ["States.Permissions"]),
     "tests/stacks/test_workflow_errors.py::"
     "test_a_task_that_calls_a_function_retries_exactly_the_listed_errors[ProcessPayment]"),
    ("a declined payment is retried",
     set_in_state("ProcessPayment.Retry.2.ErrorEquals", ["GatewayUnavailable", "NotAllowed"]),
     f"{_MACHINE}test_every_error_of_the_code_is_listed_as_retried_or_final"),
    ("a task has no timeout", drop_in_state("SendToDeadLetterQueue.TimeoutSeconds"),
     f"{_LANGUAGE}test_a_task_has_a_time_limit[SendToDeadLetterQueue]"),
    ("a task waits for three years", edit_state("SendToDeadLetterQueue", TimeoutSeconds=99999999),
     f"{_LANGUAGE}test_a_task_has_a_time_limit[SendToDeadLetterQueue]"),
    ("a task gives up before its function", edit_state("ProcessPayment", TimeoutSeconds=60),
     f"{_MACHINE}test_each_timeout_exceeds_what_it_waits_for"),
    ("the workflow gives up before its retries", set_value("PaymentWorkflow.Definition.TimeoutSeconds", 900),
     f"{_MACHINE}test_each_timeout_exceeds_what_it_waits_for"),
    ("a state does what the tests of the workflow do not run",
     set_in_state("NotifyFailure.Arguments.Subject", "Payment completed"),
     f"{_MACHINE}test_the_template_holds_this_definition"),
]  # fmt: skip

_SETTINGS: Planted = [
    ("a function is called without its alias",
     set_value("PaymentWorkflow.DefinitionSubstitutions.ProcessingFunctionArn", {"Ref": "ProcessingArn"}),
     f"{_D}test_the_workflow_calls_the_live_functions_the_queue_and_the_topic"),
    ("two functions are called for each other",
     set_value("PaymentWorkflow.DefinitionSubstitutions.ValidationFunctionArn", {"Ref": "ProcessingLiveArn"}),
     f"{_D}test_the_workflow_calls_the_live_functions_the_queue_and_the_topic"),
    ("a function is called by its name",
     set_in_state("ProcessPayment.Arguments.FunctionName", "lambda-payment-processing-prod"),
     f"{_LANGUAGE}test_a_function_is_called_by_its_live_alias"),
    ("a substitution is not given", drop_value("PaymentWorkflow.DefinitionSubstitutions.QueueUrl"),
     f"{_MACHINE}test_every_substitution_is_given_and_used"),
    ("dead letters go nowhere", set_value("PaymentWorkflow.DefinitionSubstitutions.QueueUrl", {"Ref": "TopicArn"}),
     f"{_D}test_the_workflow_calls_the_live_functions_the_queue_and_the_topic"),
    ("an integration starts and does not wait",
     set_value("PaymentWorkflow.DefinitionSubstitutions.InvokeFunction",
               {"Fn::Sub": "arn:${AWS::Partition}:states:::lambda:run"}),
     f"{_D}test_the_workflow_calls_the_live_functions_the_queue_and_the_topic"),
    ("payment data is logged", set_value("PaymentWorkflow.LoggingConfiguration.IncludeExecutionData", True),
     f"{_D}test_the_workflow_logs_everything_but_payment_data"),
    ("the workflow logs nothing", set_value("PaymentWorkflow.LoggingConfiguration.Level", "OFF"),
     f"{_D}test_the_workflow_logs_everything_but_payment_data"),
    ("the workflow is not traced", drop_value("PaymentWorkflow.TracingConfiguration"),
     f"{_D}test_everything_is_traced"),
    ("executions are under the service's own key", drop_value("PaymentWorkflow.EncryptionConfiguration"),
     f"{_D}test_each_store_is_encrypted_with_its_key[Workflow/PaymentWorkflow-executions]"),
    ("the workflow's log is not encrypted", drop_value("WorkflowLogs.KmsKeyId"),
     f"{_D}test_each_store_is_encrypted_with_its_key[Workflow/WorkflowLogs-logs]"),
]  # fmt: skip

_COMPUTE: Planted = [
    ("an output says live and is not",
     set_value("/Outputs.ProcessingLiveArn.Value", {"Fn::GetAtt": ["ProcessingFunction", "Arn"]}),
     f"{_D}test_the_workflow_calls_the_live_functions_the_queue_and_the_topic"),
]  # fmt: skip

_PARENT: Planted = [
    ("payment data is logged in prod", set_value("Workflow.Parameters.WorkflowLogExecutionData", "true"),
     f"{_D}test_the_workflow_logs_everything_but_payment_data"),
    ("executions are not encrypted in prod", set_value("Security.Parameters.WorkflowCustomerKey", "false"),
     f"{_D}test_each_store_is_encrypted_with_its_key[Workflow/PaymentWorkflow-executions]"),
    ("the workflow runs as reconciliation",
     set_value("Workflow.Parameters.WorkflowRoleArn", {"Fn::GetAtt": ["Security", "Outputs.ReconciliationRoleArn"]}),
     f"{_D}test_the_workflow_calls_the_live_functions_the_queue_and_the_topic"),
]  # fmt: skip

DEFECTS = [
    *make_defects("workflow", _STATES, _SETTINGS),
    *make_defects("compute", _COMPUTE),
    *make_defects("parent", _PARENT),
]
