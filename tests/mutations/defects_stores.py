"""What is kept, and what runs: encryption, retention, protection, and what is wired to what."""

from .planting import Defect, Planted, both, change, drop, put, swap

DATA, COMPUTE, PARENT = "data", "compute", "parent"
_D = "tests/stacks/test_deployed.py::"
LOST, LOGS = (
    f"{_D}test_what_would_be_lost_outlives_its_stack",
    f"{_D}test_logs_are_kept_for_more_than_a_year_and_masked",
)
PROTECTED = f"{_D}test_the_tables_refuse_to_be_deleted_where_the_setting_says_so"
BACKED_UP = f"{_D}test_the_tables_are_backed_up_daily_for_35_days"
NOTICES = f"{_D}test_notices_that_no_subscriber_takes_are_kept"
SCHEDULE = f"{_D}test_reconciliation_runs_every_five_minutes_and_nothing_of_it_is_lost"
SOMEWHERE = f"{_D}test_every_reference_leads_somewhere"


def _encrypted(resource: str) -> str:
    return f"{_D}test_each_store_is_encrypted_with_its_key[{resource}]"


def _wired(title: str) -> str:
    return f"{_D}test_a_function_is_wired[{title}]"


_READ = "tests/stacks/test_statements.py::"
_STATEMENTS = f"{_READ}test_every_statement_is_as_it_was_read_last"
_NOWHERE_ELSE = f"{_READ}test_payment_data_flows_nowhere_else"
_ANYBODY = {"Statement": [{"Effect": "Allow", "Principal": "*", "Action": ["dynamodb:GetItem"], "Resource": ["*"]}]}

_BESIDE: Planted = [
    ("a table has a policy of its own for anybody", DATA,
     put("Transactions.Properties.ResourcePolicy", {"PolicyDocument": _ANYBODY}), _STATEMENTS),
    ("the vault has a policy for anybody", DATA, put("BackupVault.Properties.AccessPolicy", _ANYBODY), _STATEMENTS),
    ("the topic takes notices from another service, too", DATA,
     put("NotificationsPolicy.Properties.PolicyDocument.Statement.0.Principal.Service",
         ["cloudwatch.amazonaws.com", "budgets.amazonaws.com"]), _STATEMENTS),
    ("a table has a stream", DATA,
     put("Transactions.Properties.StreamSpecification", {"StreamViewType": "NEW_IMAGE"}), _NOWHERE_ELSE),
    ("logs show when a card expires", COMPUTE,
     change("ValidationLogs.Properties.DataProtectionPolicy", "CreditCardExpiration", "CreditCardNumber"),
     _NOWHERE_ELSE),
    ("a key's alias leads to another key", "security",
     put("LogsKeyAlias.Properties.TargetKeyId", {"Ref": "DynamodbKey"}),
     f"{_READ}test_each_key_is_as_each_other_and_its_alias_is_its_own"),
    ("a key is replicated to other regions", "security", put("QueueKey.Properties.MultiRegion", True),
     f"{_READ}test_each_key_is_as_each_other_and_its_alias_is_its_own"),
]  # fmt: skip

_DATA: Planted = [
    ("deletion protection is off in prod", PARENT,
     put("Data.Properties.Parameters.DeletionProtection", "false"), PROTECTED),
    ("deletion protection does not reach a table", DATA, drop("PaymentLedger.Properties.DeletionProtectionEnabled"),
     PROTECTED),
    ("deletion protection does not come from the setting", DATA,
     put("Transactions.Properties.DeletionProtectionEnabled", "true"), PROTECTED),
    ("a table is not encrypted with a key of ours", DATA, drop("Transactions.Properties.SSESpecification"),
     _encrypted("Data/Transactions-table")),
    ("a table is encrypted with DynamoDB's own key", DATA,
     drop("PaymentLedger.Properties.SSESpecification.KMSMasterKeyId"), _encrypted("Data/PaymentLedger-table")),
    ("a table's encryption is switched off", DATA, put("PaymentLedger.Properties.SSESpecification.SSEEnabled", False),
     f"{_D}test_an_encryption_is_of_a_customers_key"),
    ("the tables are encrypted with the queue's key", PARENT,
     swap("Data.Properties.Parameters.DynamodbKeyArn", "Data.Properties.Parameters.QueueKeyArn"),
     _encrypted("Data/Transactions-table")),
    ("a table cannot be restored", DATA,
     put("Transactions.Properties.PointInTimeRecoverySpecification.PointInTimeRecoveryEnabled", False),
     f"{_D}test_the_tables_can_be_restored_to_any_second"),
    ("a table is deleted with its stack", DATA, put("Transactions.DeletionPolicy", "Delete"), LOST),
    ("a table is deleted when it is replaced", DATA, put("PaymentLedger.UpdateReplacePolicy", "Delete"), LOST),
    ("the backups are deleted with their stack", DATA, drop("BackupVault.DeletionPolicy"), LOST),
    ("the ledger is not backed up", DATA, drop("BackupSelection.Properties.BackupSelection.Resources.1"), BACKED_UP),
    ("backups are gone after a day", DATA,
     put("BackupPlan.Properties.BackupPlan.BackupPlanRule.0.Lifecycle.DeleteAfterDays", 1), BACKED_UP),
    ("backups are made once a year", DATA,
     put("BackupPlan.Properties.BackupPlan.BackupPlanRule.0.ScheduleExpression", "cron(0 3 1 1 ? *)"), BACKED_UP),
    ("the vault is under AWS Backup's own key", DATA, drop("BackupVault.Properties.EncryptionKeyArn"),
     _encrypted("Data/BackupVault-vault")),
    ("the queue is under SQS's own key", DATA, drop("DeadLetters.Properties.KmsMasterKeyId"),
     _encrypted("Data/DeadLetters-queue")),
    ("dead letters are kept as long as SQS keeps anything", DATA,
     drop("DeadLetters.Properties.MessageRetentionPeriod"), f"{_D}test_dead_letters_are_kept_as_long_as_sqs_can"),
    ("dead letters are kept for a minute", DATA, put("DeadLetters.Properties.MessageRetentionPeriod", 60),
     f"{_D}test_dead_letters_are_kept_as_long_as_sqs_can"),
    ("undelivered notices are kept for four days", DATA,
     drop("UndeliveredNotices.Properties.MessageRetentionPeriod"),
     f"{_D}test_dead_letters_are_kept_as_long_as_sqs_can"),
    ("undelivered notices are under SQS's own key", DATA, drop("UndeliveredNotices.Properties.KmsMasterKeyId"),
     _encrypted("Data/UndeliveredNotices-queue")),
    ("undelivered notices are lost", DATA, drop("Subscription.Properties.RedrivePolicy"), NOTICES),
    ("undelivered notices go to the payments' dead letters", DATA,
     put("Subscription.Properties.RedrivePolicy.deadLetterTargetArn", {"Fn::GetAtt": ["DeadLetters", "Arn"]}), NOTICES),
    ("the queue is deleted with its stack", DATA, put("DeadLetters.DeletionPolicy", "Delete"), LOST),
    ("the topic is not encrypted", DATA, drop("Notifications.Properties.KmsMasterKeyId"),
     _encrypted("Data/Notifications-topic")),
    ("the topic is under SNS's own key", DATA, put("Notifications.Properties.KmsMasterKeyId", "alias/aws/sns"),
     _encrypted("Data/Notifications-topic")),
]  # fmt: skip

_COMPUTE: Planted = [
    ("a function's variables are under Lambda's own key", COMPUTE, drop("ProcessingFunction.Properties.KmsKeyArn"),
     _encrypted("Compute/ProcessingFunction-functions")),
    ("lost invocations leave no dead letter", COMPUTE, drop("ProcessingFunction.Properties.DeadLetterConfig"),
     _wired("Processing")),
    ("a function is not traced", COMPUTE, put("ValidationFunction.Properties.TracingConfig.Mode", "PassThrough"),
     f"{_D}test_everything_is_traced"),
    ("another function is not traced", COMPUTE, drop("ReconciliationFunction.Properties.TracingConfig"),
     f"{_D}test_everything_is_traced"),
    ("two functions have each other's role", PARENT,
     swap("Compute.Properties.Parameters.ValidationRoleArn", "Compute.Properties.Parameters.ProcessingRoleArn"),
     _wired("Validation")),
    ("a function writes another's log", COMPUTE,
     put("ProcessingFunction.Properties.LoggingConfig.LogGroup", {"Ref": "ValidationLogs"}), _wired("Processing")),
    ("a function lacks a variable", COMPUTE,
     drop("ReconciliationFunction.Properties.Environment.Variables.DLQ_URL"), _wired("Reconciliation")),
    ("a function has the other table", COMPUTE,
     swap("ValidationFunction.Properties.Environment.Variables.DYNAMODB_TABLE_NAME",
          "ValidationFunction.Properties.Environment.Variables.LEDGER_TABLE_NAME"), _wired("Validation")),
    ("a function runs another's code", COMPUTE,
     put("ValidationFunction.Properties.Handler", "handlers.processing.handler"), _wired("Validation")),
    ("a function may use all concurrency of the account", COMPUTE,
     drop("ProcessingFunction.Properties.ReservedConcurrentExecutions"), _wired("Processing")),
    ("live is whatever was uploaded last", COMPUTE, put("ProcessingLive.Properties.FunctionVersion", "$LATEST"),
     _wired("Processing")),
    ("live is another function's version", COMPUTE,
     put("ProcessingLive.Properties.FunctionVersion", {"Fn::GetAtt": ["ValidationVersion", "Version"]}),
     _wired("Processing")),
    ("logs are kept for a day", PARENT, put("Compute.Properties.Parameters.LogRetentionDays", 1), LOGS),
    ("a log is kept for a week", COMPUTE, put("ValidationLogs.Properties.RetentionInDays", 7), LOGS),
    ("nothing masks a log", COMPUTE, drop("ValidationLogs.Properties.DataProtectionPolicy"), LOGS),
    ("a log is counted and not masked", COMPUTE,
     drop("ProcessingLogs.Properties.DataProtectionPolicy.Fn::If.1.Statement.1"), LOGS),
    ("a log masks no card numbers", COMPUTE,
     change("ReconciliationLogs.Properties.DataProtectionPolicy", "CreditCardNumber", "Name"), LOGS),
    ("logs are not masked in prod", PARENT, put("Compute.Properties.Parameters.LogDataProtection", "false"), LOGS),
    ("a log is not encrypted", COMPUTE, drop("ProcessingLogs.Properties.KmsKeyId"),
     _encrypted("Compute/ProcessingLogs-logs")),
    ("a log is deleted with its stack", COMPUTE, put("ValidationLogs.DeletionPolicy", "Delete"), LOST),
    ("what the schedule cannot deliver is lost", COMPUTE,
     drop("ReconciliationSchedule.Properties.Targets.0.DeadLetterConfig"), SCHEDULE),
    ("what the schedule cannot deliver goes elsewhere", COMPUTE,
     put("ReconciliationSchedule.Properties.Targets.0.DeadLetterConfig.Arn", {"Ref": "TopicArn"}), SCHEDULE),
    ("reconciliation runs once a day", COMPUTE,
     put("ReconciliationSchedule.Properties.ScheduleExpression", "rate(1 day)"), SCHEDULE),
    ("reconciliation is switched off", COMPUTE, put("ReconciliationSchedule.Properties.State", "DISABLED"), SCHEDULE),
    ("the schedule runs what is not live", COMPUTE,
     put("ReconciliationSchedule.Properties.Targets.0.Arn", {"Fn::GetAtt": ["ReconciliationFunction", "Arn"]}),
     SCHEDULE),
]  # fmt: skip

_TEMPLATES = "tests/stacks/test_templates.py::"
_WIRING: Planted = [
    ("the parent reads an output that its child lacks", PARENT,
     put("Data.Properties.Parameters.QueueKeyArn", {"Fn::GetAtt": ["Security", "Outputs.QueueKeysArn"]}), SOMEWHERE),
    ("a child lacks an output that the parent reads", "security", drop("/Outputs.WorkflowRoleArn"), SOMEWHERE),
    ("a child has an output that nobody reads", COMPUTE, put("/Outputs.Unread", {"Value": {"Ref": "ValidationLive"}}),
     f"{_TEMPLATES}test_every_output_of_a_nested_stack_is_read_and_exists"),
    ("a value arrives under another's name", PARENT,
     swap("Workflow.Properties.Parameters.QueueUrl", "Workflow.Properties.Parameters.TopicArn"),
     f"{_TEMPLATES}test_every_value_arrives_under_its_own_name"),
    ("an output of the reference is gone", PARENT, drop("/Outputs.SnsTopicArn"),
     f"{_TEMPLATES}test_every_output_of_the_reference_and_no_other"),
    ("an output names another resource", DATA, put("/Outputs.QueueArn.Value", {"Fn::GetAtt": ["Queue", "Arn"]}),
     SOMEWHERE),
    ("a reference leads nowhere", COMPUTE,
     put("ValidationVersion.Properties.FunctionName", {"Ref": "ValidateFunction"}), "cfn-lint E1020"),
    ("an attribute is none of its resource", DATA,
     put("BackupSelection.Properties.BackupSelection.Resources.0", {"Fn::GetAtt": ["Transactions", "Arns"]}),
     "cfn-lint E1010"),
    ("two resources wait for each other", DATA,
     both(put("Transactions.DependsOn", "PaymentLedger"), put("PaymentLedger.DependsOn", "Transactions")),
     "cfn-lint E3004"),
    ("two stacks wait for each other", PARENT, put("Security.DependsOn", "Monitoring"),
     f"{_D}test_no_stack_waits_for_itself"),
    ("a property is misspelt", DATA, put("Notifications.Properties.KmsKeyId", {"Ref": "SnsKeyId"}), "cfn-lint E3002"),
    ("a parameter is passed that the child lacks", PARENT,
     put("Monitoring.Properties.Parameters.Unknown", {"Ref": "Environment"}),
     f"{_TEMPLATES}test_every_input_of_a_nested_stack_is_given_and_used"),
    ("an ARN has its account written down", DATA,
     put("BackupVault.Properties.EncryptionKeyArn", "arn:aws:kms:eu-west-1:111122223333:key/x"),
     f"{_TEMPLATES}test_partition_region_and_account_are_nowhere_written_down[data]"),
]  # fmt: skip

DEFECTS = [Defect(*one) for one in (*_BESIDE, *_DATA, *_COMPUTE, *_WIRING)]
