"""Defects of stored data and of functions: encryption, retention, protection, wiring."""

from .planting import Planted, apply_all, drop_value, make_defects, replace_text, set_value, swap_values

_D = "tests/stacks/test_deployed.py::"
RETAINS = f"{_D}test_resources_with_data_outlive_their_stack"
LOGS = f"{_D}test_logs_are_kept_for_more_than_a_year_and_masked"
PROTECTED = f"{_D}test_the_setting_protects_the_tables_from_deletion"
BACKED_UP = f"{_D}test_the_tables_are_backed_up_daily_for_35_days"
NOTICES = f"{_D}test_undelivered_notices_are_kept"
SCHEDULE = f"{_D}test_reconciliation_runs_every_five_minutes_and_failed_runs_are_kept"
REFERENCES = f"{_D}test_every_reference_is_to_a_resource"


def _encryption_test(resource: str) -> str:
    return f"{_D}test_each_store_is_encrypted_with_its_key[{resource}]"


def _wiring_test(title: str) -> str:
    return f"{_D}test_a_function_has_its_name_role_variables_and_alias[{title}]"


_REVIEWED, _TEMPLATES = "tests/stacks/test_statements.py::", "tests/stacks/test_templates.py::"
_STATEMENTS = f"{_REVIEWED}test_every_statement_is_as_it_was_last_reviewed"
_NOWHERE_ELSE = f"{_REVIEWED}test_payment_data_has_no_other_destination"
_OPEN_POLICY = {"Statement": [{"Effect": "Allow", "Principal": "*", "Action": ["dynamodb:GetItem"], "Resource": ["*"]}]}

_STACKS: Planted = [
    ("a table has a policy of its own for anybody",
     set_value("Transactions.ResourcePolicy", {"PolicyDocument": _OPEN_POLICY}), _STATEMENTS),
    ("the vault has a policy for anybody", set_value("BackupVault.AccessPolicy", _OPEN_POLICY), _STATEMENTS),
    ("the topic takes notices from another service, too",
     set_value("NotificationsPolicy.PolicyDocument.Statement.0.Principal.Service",
               ["cloudwatch.amazonaws.com", "budgets.amazonaws.com"]), _STATEMENTS),
    ("a table has a stream", set_value("Transactions.StreamSpecification", {"StreamViewType": "NEW_IMAGE"}),
     _NOWHERE_ELSE),
]  # fmt: skip

_DATA: Planted = [
    ("deletion protection does not reach a table", drop_value("PaymentLedger.DeletionProtectionEnabled"), PROTECTED),
    ("deletion protection does not come from the setting", set_value("Transactions.DeletionProtectionEnabled", "true"),
     PROTECTED),
    ("a table is not encrypted with a key of ours", drop_value("Transactions.SSESpecification"),
     _encryption_test("Data/Transactions-table")),
    ("a table is encrypted with DynamoDB's own key", drop_value("PaymentLedger.SSESpecification.KMSMasterKeyId"),
     _encryption_test("Data/PaymentLedger-table")),
    ("a table's encryption is switched off", set_value("PaymentLedger.SSESpecification.SSEEnabled", False),
     f"{_D}test_tables_and_executions_are_encrypted_with_a_customer_managed_key"),
    ("a table cannot be restored",
     set_value("Transactions.PointInTimeRecoverySpecification.PointInTimeRecoveryEnabled", False),
     f"{_D}test_the_tables_can_be_restored_to_any_second"),
    ("a table is deleted with its stack", set_value("Transactions.DeletionPolicy", "Delete"), RETAINS),
    ("a table is deleted when it is replaced", set_value("PaymentLedger.UpdateReplacePolicy", "Delete"), RETAINS),
    ("the backups are deleted with their stack", drop_value("BackupVault.DeletionPolicy"), RETAINS),
    ("the ledger is not backed up", drop_value("BackupSelection.BackupSelection.Resources.1"), BACKED_UP),
    ("backups are gone after a day", set_value("BackupPlan.BackupPlan.BackupPlanRule.0.Lifecycle.DeleteAfterDays", 1),
     BACKED_UP),
    ("backups are made once a year",
     set_value("BackupPlan.BackupPlan.BackupPlanRule.0.ScheduleExpression", "cron(0 3 1 1 ? *)"), BACKED_UP),
    ("the vault is under AWS Backup's own key", drop_value("BackupVault.EncryptionKeyArn"),
     _encryption_test("Data/BackupVault-vault")),
    ("the queue is under SQS's own key", drop_value("DeadLetters.KmsMasterKeyId"),
     _encryption_test("Data/DeadLetters-queue")),
    ("dead letters are kept as long as SQS keeps anything", drop_value("DeadLetters.MessageRetentionPeriod"),
     f"{_D}test_dead_letters_are_kept_as_long_as_sqs_can"),
    ("dead letters are kept for a minute", set_value("DeadLetters.MessageRetentionPeriod", 60),
     f"{_D}test_dead_letters_are_kept_as_long_as_sqs_can"),
    ("undelivered notices are kept for four days", drop_value("UndeliveredNotices.MessageRetentionPeriod"),
     f"{_D}test_dead_letters_are_kept_as_long_as_sqs_can"),
    ("undelivered notices are under SQS's own key", drop_value("UndeliveredNotices.KmsMasterKeyId"),
     _encryption_test("Data/UndeliveredNotices-queue")),
    ("undelivered notices are lost", drop_value("Subscription.RedrivePolicy"), NOTICES),
    ("undelivered notices go to the payments' dead letters",
     set_value("Subscription.RedrivePolicy.deadLetterTargetArn", {"Fn::GetAtt": ["DeadLetters", "Arn"]}), NOTICES),
    ("the queue is deleted with its stack", set_value("DeadLetters.DeletionPolicy", "Delete"), RETAINS),
    ("the topic is not encrypted", drop_value("Notifications.KmsMasterKeyId"),
     _encryption_test("Data/Notifications-topic")),
    ("the topic is under SNS's own key", set_value("Notifications.KmsMasterKeyId", "alias/aws/sns"),
     _encryption_test("Data/Notifications-topic")),
    ("an output names another resource", set_value("/Outputs.QueueArn.Value", {"Fn::GetAtt": ["Queue", "Arn"]}),
     REFERENCES),
    ("an attribute is none of its resource",
     set_value("BackupSelection.BackupSelection.Resources.0", {"Fn::GetAtt": ["Transactions", "Arns"]}),
     "cfn-lint E1010"),
    ("two resources wait for each other",
     apply_all(set_value("Transactions.DependsOn", "PaymentLedger"),
               set_value("PaymentLedger.DependsOn", "Transactions")), "cfn-lint E3004"),
    ("a property is misspelt", set_value("Notifications.KmsKeyId", {"Ref": "SnsKeyId"}), "cfn-lint E3002"),
    ("an ARN has its account written down",
     set_value("BackupVault.EncryptionKeyArn", "arn:aws:kms:eu-west-1:111122223333:key/x"),
     f"{_TEMPLATES}test_no_template_names_a_partition_region_or_account[data]"),
]  # fmt: skip

_COMPUTE: Planted = [
    ("a function's variables are under Lambda's own key", drop_value("ProcessingFunction.KmsKeyArn"),
     _encryption_test("Compute/ProcessingFunction-functions")),
    ("lost invocations leave no dead letter", drop_value("ProcessingFunction.DeadLetterConfig"),
     _wiring_test("Processing")),
    ("a function is not traced", set_value("ValidationFunction.TracingConfig.Mode", "PassThrough"),
     f"{_D}test_everything_is_traced"),
    ("another function is not traced", drop_value("ReconciliationFunction.TracingConfig"),
     f"{_D}test_everything_is_traced"),
    ("a function writes another's log",
     set_value("ProcessingFunction.LoggingConfig.LogGroup", {"Ref": "ValidationLogs"}), _wiring_test("Processing")),
    ("a function lacks a variable", drop_value("ReconciliationFunction.Environment.Variables.DLQ_URL"),
     _wiring_test("Reconciliation")),
    ("a function has the other table",
     swap_values("ValidationFunction.Environment.Variables.DYNAMODB_TABLE_NAME",
                 "ValidationFunction.Environment.Variables.LEDGER_TABLE_NAME"), _wiring_test("Validation")),
    ("a function runs another's code", set_value("ValidationFunction.Handler", "handlers.processing.handler"),
     _wiring_test("Validation")),
    ("a function may use all concurrency of the account", drop_value("ProcessingFunction.ReservedConcurrentExecutions"),
     _wiring_test("Processing")),
    ("live is whatever was uploaded last", set_value("ProcessingLive.FunctionVersion", "$LATEST"),
     _wiring_test("Processing")),
    ("live is another function's version",
     set_value("ProcessingLive.FunctionVersion", {"Fn::GetAtt": ["ValidationVersion", "Version"]}),
     _wiring_test("Processing")),
    ("a log is kept for a week", set_value("ValidationLogs.RetentionInDays", 7), LOGS),
    ("nothing masks a log", drop_value("ValidationLogs.DataProtectionPolicy"), LOGS),
    ("a log is counted and not masked", drop_value("ProcessingLogs.DataProtectionPolicy.Fn::If.1.Statement.1"), LOGS),
    ("a log masks no card numbers", replace_text("ReconciliationLogs.DataProtectionPolicy", "CreditCardNumber", "Name"),
     LOGS),
    ("a log is not encrypted", drop_value("ProcessingLogs.KmsKeyId"), _encryption_test("Compute/ProcessingLogs-logs")),
    ("a log is deleted with its stack", set_value("ValidationLogs.DeletionPolicy", "Delete"), RETAINS),
    ("what the schedule cannot deliver is lost", drop_value("ReconciliationSchedule.Targets.0.DeadLetterConfig"),
     SCHEDULE),
    ("what the schedule cannot deliver goes elsewhere",
     set_value("ReconciliationSchedule.Targets.0.DeadLetterConfig.Arn", {"Ref": "TopicArn"}), SCHEDULE),
    ("reconciliation runs once a day", set_value("ReconciliationSchedule.ScheduleExpression", "rate(1 day)"), SCHEDULE),
    ("reconciliation is switched off", set_value("ReconciliationSchedule.State", "DISABLED"), SCHEDULE),
    ("the schedule runs what is not live",
     set_value("ReconciliationSchedule.Targets.0.Arn", {"Fn::GetAtt": ["ReconciliationFunction", "Arn"]}), SCHEDULE),
    ("logs show when a card expires",
     replace_text("ValidationLogs.DataProtectionPolicy", "CreditCardExpiration", "CreditCardNumber"), LOGS),
    ("a child has an output that nobody reads", set_value("/Outputs.Unread", {"Value": {"Ref": "ValidationLive"}}),
     f"{_TEMPLATES}test_every_output_of_a_nested_stack_is_read_and_exists"),
    ("a reference leads nowhere", set_value("ValidationVersion.FunctionName", {"Ref": "ValidateFunction"}),
     "cfn-lint E1020"),
]  # fmt: skip

_WIRING: Planted = [
    ("the parent reads an output that its child lacks",
     set_value("Data.Parameters.QueueKeyArn", {"Fn::GetAtt": ["Security", "Outputs.QueueKeysArn"]}), REFERENCES),
    ("a value arrives under another's name",
     swap_values("Workflow.Parameters.QueueUrl", "Workflow.Parameters.TopicArn"),
     f"{_TEMPLATES}test_every_value_is_passed_under_its_own_name"),
    ("an output of the reference is gone", drop_value("/Outputs.SnsTopicArn"),
     f"{_TEMPLATES}test_the_outputs_are_those_of_the_reference"),
    ("two stacks wait for each other", set_value("Security.DependsOn", "Monitoring"),
     f"{_D}test_no_stack_depends_on_a_later_one"),
    ("a parameter is passed that the child lacks", set_value("Monitoring.Parameters.Unknown", {"Ref": "Environment"}),
     f"{_TEMPLATES}test_every_input_of_a_nested_stack_is_given_and_used"),
    ("deletion protection is off in prod", set_value("Data.Parameters.DeletionProtection", "false"), PROTECTED),
    ("the tables are encrypted with the queue's key",
     swap_values("Data.Parameters.DynamodbKeyArn", "Data.Parameters.QueueKeyArn"),
     _encryption_test("Data/Transactions-table")),
    ("two functions have each other's role",
     swap_values("Compute.Parameters.ValidationRoleArn", "Compute.Parameters.ProcessingRoleArn"),
     _wiring_test("Validation")),
    ("logs are kept for a day", set_value("Compute.Parameters.LogRetentionDays", 1), LOGS),
    ("logs are not masked in prod", set_value("Compute.Parameters.LogDataProtection", "false"), LOGS),
]  # fmt: skip

_SECURITY: Planted = [
    ("a key's alias leads to another key", set_value("LogsKeyAlias.TargetKeyId", {"Ref": "DynamodbKey"}),
     f"{_REVIEWED}test_all_keys_have_the_same_properties_and_an_alias_each"),
    ("a key is replicated to other regions", set_value("QueueKey.MultiRegion", True),
     f"{_REVIEWED}test_all_keys_have_the_same_properties_and_an_alias_each"),
    ("a child lacks an output that the parent reads", drop_value("/Outputs.WorkflowRoleArn"), REFERENCES),
]  # fmt: skip

DEFECTS = [
    *make_defects("data", _STACKS, _DATA),
    *make_defects("compute", _COMPUTE),
    *make_defects("parent", _WIRING),
    *make_defects("security", _SECURITY),
]
