"""Defects of stored data and of functions: encryption, retention, protection, wiring."""

from .planting import Defect, Planted, apply_all, drop_value, replace_text, set_value, swap_values

DATA, COMPUTE, PARENT = "data", "compute", "parent"
_D = "tests/stacks/test_deployed.py::"
RETAINS, LOGS = (
    f"{_D}test_what_would_be_lost_outlives_its_stack",
    f"{_D}test_logs_are_kept_for_more_than_a_year_and_masked",
)
PROTECTED = f"{_D}test_the_tables_refuse_to_be_deleted_where_the_setting_says_so"
BACKED_UP = f"{_D}test_the_tables_are_backed_up_daily_for_35_days"
NOTICES = f"{_D}test_notices_that_no_subscriber_takes_are_kept"
SCHEDULE = f"{_D}test_reconciliation_runs_every_five_minutes_and_nothing_of_it_is_lost"
REFERENCES = f"{_D}test_every_reference_leads_somewhere"


def _encryption_test(resource: str) -> str:
    return f"{_D}test_each_store_is_encrypted_with_its_key[{resource}]"


def _wiring_test(title: str) -> str:
    return f"{_D}test_a_function_is_wired[{title}]"


_REVIEWED = "tests/stacks/test_statements.py::"
_STATEMENTS = f"{_REVIEWED}test_every_statement_is_as_it_was_read_last"
_NOWHERE_ELSE = f"{_REVIEWED}test_payment_data_flows_nowhere_else"
_OPEN_POLICY = {"Statement": [{"Effect": "Allow", "Principal": "*", "Action": ["dynamodb:GetItem"], "Resource": ["*"]}]}

_STACKS: Planted = [
    ("a table has a policy of its own for anybody", DATA,
     set_value("Transactions.Properties.ResourcePolicy", {"PolicyDocument": _OPEN_POLICY}), _STATEMENTS),
    ("the vault has a policy for anybody", DATA, set_value("BackupVault.Properties.AccessPolicy", _OPEN_POLICY),
     _STATEMENTS),
    ("the topic takes notices from another service, too", DATA,
     set_value("NotificationsPolicy.Properties.PolicyDocument.Statement.0.Principal.Service",
               ["cloudwatch.amazonaws.com", "budgets.amazonaws.com"]), _STATEMENTS),
    ("a table has a stream", DATA,
     set_value("Transactions.Properties.StreamSpecification", {"StreamViewType": "NEW_IMAGE"}), _NOWHERE_ELSE),
    ("logs show when a card expires", COMPUTE,
     replace_text("ValidationLogs.Properties.DataProtectionPolicy", "CreditCardExpiration", "CreditCardNumber"),
     LOGS),
    ("a key's alias leads to another key", "security",
     set_value("LogsKeyAlias.Properties.TargetKeyId", {"Ref": "DynamodbKey"}),
     f"{_REVIEWED}test_each_key_is_as_each_other_and_its_alias_is_its_own"),
    ("a key is replicated to other regions", "security", set_value("QueueKey.Properties.MultiRegion", True),
     f"{_REVIEWED}test_each_key_is_as_each_other_and_its_alias_is_its_own"),
]  # fmt: skip

_DATA: Planted = [
    ("deletion protection is off in prod", PARENT, set_value("Data.Properties.Parameters.DeletionProtection", "false"),
     PROTECTED),
    ("deletion protection does not reach a table", DATA,
     drop_value("PaymentLedger.Properties.DeletionProtectionEnabled"), PROTECTED),
    ("deletion protection does not come from the setting", DATA,
     set_value("Transactions.Properties.DeletionProtectionEnabled", "true"), PROTECTED),
    ("a table is not encrypted with a key of ours", DATA, drop_value("Transactions.Properties.SSESpecification"),
     _encryption_test("Data/Transactions-table")),
    ("a table is encrypted with DynamoDB's own key", DATA,
     drop_value("PaymentLedger.Properties.SSESpecification.KMSMasterKeyId"),
     _encryption_test("Data/PaymentLedger-table")),
    ("a table's encryption is switched off", DATA,
     set_value("PaymentLedger.Properties.SSESpecification.SSEEnabled", False),
     f"{_D}test_an_encryption_is_of_a_customers_key"),
    ("the tables are encrypted with the queue's key", PARENT,
     swap_values("Data.Properties.Parameters.DynamodbKeyArn", "Data.Properties.Parameters.QueueKeyArn"),
     _encryption_test("Data/Transactions-table")),
    ("a table cannot be restored", DATA,
     set_value("Transactions.Properties.PointInTimeRecoverySpecification.PointInTimeRecoveryEnabled", False),
     f"{_D}test_the_tables_can_be_restored_to_any_second"),
    ("a table is deleted with its stack", DATA, set_value("Transactions.DeletionPolicy", "Delete"), RETAINS),
    ("a table is deleted when it is replaced", DATA, set_value("PaymentLedger.UpdateReplacePolicy", "Delete"), RETAINS),
    ("the backups are deleted with their stack", DATA, drop_value("BackupVault.DeletionPolicy"), RETAINS),
    ("the ledger is not backed up", DATA, drop_value("BackupSelection.Properties.BackupSelection.Resources.1"),
     BACKED_UP),
    ("backups are gone after a day", DATA,
     set_value("BackupPlan.Properties.BackupPlan.BackupPlanRule.0.Lifecycle.DeleteAfterDays", 1), BACKED_UP),
    ("backups are made once a year", DATA,
     set_value("BackupPlan.Properties.BackupPlan.BackupPlanRule.0.ScheduleExpression", "cron(0 3 1 1 ? *)"), BACKED_UP),
    ("the vault is under AWS Backup's own key", DATA, drop_value("BackupVault.Properties.EncryptionKeyArn"),
     _encryption_test("Data/BackupVault-vault")),
    ("the queue is under SQS's own key", DATA, drop_value("DeadLetters.Properties.KmsMasterKeyId"),
     _encryption_test("Data/DeadLetters-queue")),
    ("dead letters are kept as long as SQS keeps anything", DATA,
     drop_value("DeadLetters.Properties.MessageRetentionPeriod"), f"{_D}test_dead_letters_are_kept_as_long_as_sqs_can"),
    ("dead letters are kept for a minute", DATA, set_value("DeadLetters.Properties.MessageRetentionPeriod", 60),
     f"{_D}test_dead_letters_are_kept_as_long_as_sqs_can"),
    ("undelivered notices are kept for four days", DATA,
     drop_value("UndeliveredNotices.Properties.MessageRetentionPeriod"),
     f"{_D}test_dead_letters_are_kept_as_long_as_sqs_can"),
    ("undelivered notices are under SQS's own key", DATA, drop_value("UndeliveredNotices.Properties.KmsMasterKeyId"),
     _encryption_test("Data/UndeliveredNotices-queue")),
    ("undelivered notices are lost", DATA, drop_value("Subscription.Properties.RedrivePolicy"), NOTICES),
    ("undelivered notices go to the payments' dead letters", DATA,
     set_value("Subscription.Properties.RedrivePolicy.deadLetterTargetArn", {"Fn::GetAtt": ["DeadLetters", "Arn"]}),
     NOTICES),
    ("the queue is deleted with its stack", DATA, set_value("DeadLetters.DeletionPolicy", "Delete"), RETAINS),
    ("the topic is not encrypted", DATA, drop_value("Notifications.Properties.KmsMasterKeyId"),
     _encryption_test("Data/Notifications-topic")),
    ("the topic is under SNS's own key", DATA, set_value("Notifications.Properties.KmsMasterKeyId", "alias/aws/sns"),
     _encryption_test("Data/Notifications-topic")),
]  # fmt: skip

_COMPUTE: Planted = [
    ("a function's variables are under Lambda's own key", COMPUTE,
     drop_value("ProcessingFunction.Properties.KmsKeyArn"), _encryption_test("Compute/ProcessingFunction-functions")),
    ("lost invocations leave no dead letter", COMPUTE, drop_value("ProcessingFunction.Properties.DeadLetterConfig"),
     _wiring_test("Processing")),
    ("a function is not traced", COMPUTE, set_value("ValidationFunction.Properties.TracingConfig.Mode", "PassThrough"),
     f"{_D}test_everything_is_traced"),
    ("another function is not traced", COMPUTE, drop_value("ReconciliationFunction.Properties.TracingConfig"),
     f"{_D}test_everything_is_traced"),
    ("two functions have each other's role", PARENT,
     swap_values("Compute.Properties.Parameters.ValidationRoleArn", "Compute.Properties.Parameters.ProcessingRoleArn"),
     _wiring_test("Validation")),
    ("a function writes another's log", COMPUTE,
     set_value("ProcessingFunction.Properties.LoggingConfig.LogGroup", {"Ref": "ValidationLogs"}),
     _wiring_test("Processing")),
    ("a function lacks a variable", COMPUTE,
     drop_value("ReconciliationFunction.Properties.Environment.Variables.DLQ_URL"), _wiring_test("Reconciliation")),
    ("a function has the other table", COMPUTE,
     swap_values("ValidationFunction.Properties.Environment.Variables.DYNAMODB_TABLE_NAME",
                 "ValidationFunction.Properties.Environment.Variables.LEDGER_TABLE_NAME"), _wiring_test("Validation")),
    ("a function runs another's code", COMPUTE,
     set_value("ValidationFunction.Properties.Handler", "handlers.processing.handler"), _wiring_test("Validation")),
    ("a function may use all concurrency of the account", COMPUTE,
     drop_value("ProcessingFunction.Properties.ReservedConcurrentExecutions"), _wiring_test("Processing")),
    ("live is whatever was uploaded last", COMPUTE, set_value("ProcessingLive.Properties.FunctionVersion", "$LATEST"),
     _wiring_test("Processing")),
    ("live is another function's version", COMPUTE,
     set_value("ProcessingLive.Properties.FunctionVersion", {"Fn::GetAtt": ["ValidationVersion", "Version"]}),
     _wiring_test("Processing")),
    ("logs are kept for a day", PARENT, set_value("Compute.Properties.Parameters.LogRetentionDays", 1), LOGS),
    ("a log is kept for a week", COMPUTE, set_value("ValidationLogs.Properties.RetentionInDays", 7), LOGS),
    ("nothing masks a log", COMPUTE, drop_value("ValidationLogs.Properties.DataProtectionPolicy"), LOGS),
    ("a log is counted and not masked", COMPUTE,
     drop_value("ProcessingLogs.Properties.DataProtectionPolicy.Fn::If.1.Statement.1"), LOGS),
    ("a log masks no card numbers", COMPUTE,
     replace_text("ReconciliationLogs.Properties.DataProtectionPolicy", "CreditCardNumber", "Name"), LOGS),
    ("logs are not masked in prod", PARENT, set_value("Compute.Properties.Parameters.LogDataProtection", "false"),
     LOGS),
    ("a log is not encrypted", COMPUTE, drop_value("ProcessingLogs.Properties.KmsKeyId"),
     _encryption_test("Compute/ProcessingLogs-logs")),
    ("a log is deleted with its stack", COMPUTE, set_value("ValidationLogs.DeletionPolicy", "Delete"), RETAINS),
    ("what the schedule cannot deliver is lost", COMPUTE,
     drop_value("ReconciliationSchedule.Properties.Targets.0.DeadLetterConfig"), SCHEDULE),
    ("what the schedule cannot deliver goes elsewhere", COMPUTE,
     set_value("ReconciliationSchedule.Properties.Targets.0.DeadLetterConfig.Arn", {"Ref": "TopicArn"}), SCHEDULE),
    ("reconciliation runs once a day", COMPUTE,
     set_value("ReconciliationSchedule.Properties.ScheduleExpression", "rate(1 day)"), SCHEDULE),
    ("reconciliation is switched off", COMPUTE, set_value("ReconciliationSchedule.Properties.State", "DISABLED"),
     SCHEDULE),
    ("the schedule runs what is not live", COMPUTE,
     set_value("ReconciliationSchedule.Properties.Targets.0.Arn", {"Fn::GetAtt": ["ReconciliationFunction", "Arn"]}),
     SCHEDULE),
]  # fmt: skip

_TEMPLATES = "tests/stacks/test_templates.py::"
_WIRING: Planted = [
    ("the parent reads an output that its child lacks", PARENT,
     set_value("Data.Properties.Parameters.QueueKeyArn", {"Fn::GetAtt": ["Security", "Outputs.QueueKeysArn"]}),
     REFERENCES),
    ("a child lacks an output that the parent reads", "security", drop_value("/Outputs.WorkflowRoleArn"), REFERENCES),
    ("a child has an output that nobody reads", COMPUTE,
     set_value("/Outputs.Unread", {"Value": {"Ref": "ValidationLive"}}),
     f"{_TEMPLATES}test_every_output_of_a_nested_stack_is_read_and_exists"),
    ("a value arrives under another's name", PARENT,
     swap_values("Workflow.Properties.Parameters.QueueUrl", "Workflow.Properties.Parameters.TopicArn"),
     f"{_TEMPLATES}test_every_value_arrives_under_its_own_name"),
    ("an output of the reference is gone", PARENT, drop_value("/Outputs.SnsTopicArn"),
     f"{_TEMPLATES}test_every_output_of_the_reference_and_no_other"),
    ("an output names another resource", DATA, set_value("/Outputs.QueueArn.Value", {"Fn::GetAtt": ["Queue", "Arn"]}),
     REFERENCES),
    ("a reference leads nowhere", COMPUTE,
     set_value("ValidationVersion.Properties.FunctionName", {"Ref": "ValidateFunction"}), "cfn-lint E1020"),
    ("an attribute is none of its resource", DATA,
     set_value("BackupSelection.Properties.BackupSelection.Resources.0", {"Fn::GetAtt": ["Transactions", "Arns"]}),
     "cfn-lint E1010"),
    ("two resources wait for each other", DATA,
     apply_all(set_value("Transactions.DependsOn", "PaymentLedger"),
               set_value("PaymentLedger.DependsOn", "Transactions")), "cfn-lint E3004"),
    ("two stacks wait for each other", PARENT, set_value("Security.DependsOn", "Monitoring"),
     f"{_D}test_no_stack_waits_for_itself"),
    ("a property is misspelt", DATA, set_value("Notifications.Properties.KmsKeyId", {"Ref": "SnsKeyId"}),
     "cfn-lint E3002"),
    ("a parameter is passed that the child lacks", PARENT,
     set_value("Monitoring.Properties.Parameters.Unknown", {"Ref": "Environment"}),
     f"{_TEMPLATES}test_every_input_of_a_nested_stack_is_given_and_used"),
    ("an ARN has its account written down", DATA,
     set_value("BackupVault.Properties.EncryptionKeyArn", "arn:aws:kms:eu-west-1:111122223333:key/x"),
     f"{_TEMPLATES}test_partition_region_and_account_are_nowhere_written_down[data]"),
]  # fmt: skip

DEFECTS = [Defect(*row) for row in (*_STACKS, *_DATA, *_COMPUTE, *_WIRING)]
