"""Defects of the keys: who may use each of them, through which service, and their protection."""

from .planting import (
    ROOT,
    Planted,
    add_actions,
    add_statement,
    drop_conditions,
    drop_statement,
    drop_value,
    edit_statement,
    make_defects,
    replace_text,
    set_value,
    swap_values,
)

_KEYS = "tests/stacks/test_access_keys.py::"
ALARMS = f"{_KEYS}test_only_alarms_of_this_account_reach_the_encrypted_topic"
SCHEDULE = f"{_KEYS}test_the_schedule_reaches_the_encrypted_queue"
NOTICES = f"{_KEYS}test_sns_puts_undelivered_notices_into_the_encrypted_queue"
LOGS = f"{_KEYS}test_cloudwatch_logs_uses_its_key_for_our_log_groups_only"


def _use_test(role: str, sid: str) -> str:
    return f"{_KEYS}test_a_role_uses_a_key_only_through_its_service_and_for_its_resource[{role}-{sid}]"


def _admin_test(key: str) -> str:
    return f"{_KEYS}test_the_account_administers_every_key_without_using_it[{key}]"


def _service_test(name: str) -> str:
    return f"{_KEYS}test_a_policy_of_the_account_allows_a_key_only_through_its_service[{name}]"


def _grant_test(key: str) -> str:
    return f"{_KEYS}test_only_a_service_creates_grants[{key}]"


_ROLES: Planted = [
    ("a role decrypts the tables by itself",
     drop_conditions("ProcessingPolicy", "UseTableKeyThroughDynamoDB", "kms:ViaService"),
     _use_test("ProcessingRole", "UseTableKeyThroughDynamoDB")),
    ("a role decrypts other tables",
     drop_conditions("ProcessingPolicy", "UseTableKeyThroughDynamoDB", "kms:EncryptionContext:aws:dynamodb:tableName"),
     _use_test("ProcessingRole", "UseTableKeyThroughDynamoDB")),
    ("a role decrypts for another account",
     drop_conditions("ValidationPolicy", "UseTableKeyThroughDynamoDB", "kms:CallerAccount"),
     _use_test("ValidationRole", "UseTableKeyThroughDynamoDB")),
    ("a role reads another function's variables",
     drop_conditions("ValidationPolicy", "UseFunctionsKeyThroughLambda",
                     "kms:EncryptionContext:aws:lambda:FunctionArn"),
     _use_test("ValidationRole", "UseFunctionsKeyThroughLambda")),
    ("a role cannot encrypt a dead letter", drop_statement("ProcessingPolicy", "UseQueueKeyThroughSQS"),
     _use_test("ProcessingRole", "UseQueueKeyThroughSQS")),
    ("a role writes where it should only read",
     add_actions("ValidationPolicy", "UseTableKeyThroughDynamoDB", "kms:Encrypt"),
     f"{_KEYS}test_every_statement_about_keys_is_in_the_table"),
    ("the gateway's secret is decrypted for others",
     drop_conditions("GatewaySecretPolicy", "UseSecretKeyThroughSecretsManager", "kms:EncryptionContext:SecretARN"),
     _use_test("ProcessingRole", "UseSecretKeyThroughSecretsManager")),
    ("the workflow reads other workflows' executions",
     drop_conditions("WorkflowKeyPolicy", "UseWorkflowKeyForOwnExecutions",
                     "kms:EncryptionContext:aws:states:stateMachineArn"),
     _use_test("WorkflowRole", "UseWorkflowKeyForOwnExecutions")),
    ("the backup decrypts by way of whomever",
     drop_conditions("BackupPolicy", "UseVaultKeyThroughAWSBackup", "kms:ViaService"),
     _use_test("BackupRole", "UseVaultKeyThroughAWSBackup")),
]  # fmt: skip

_POLICIES: Planted = [
    ("a key's policy lacks the account root", drop_statement("QueueKey", "AccountAdministersKey"),
     _admin_test("QueueKey")),
    ("the tables' key lacks the account root", drop_statement("DynamodbKey", "AccountAdministersKey"),
     _admin_test("DynamodbKey")),
    ("a key cannot be kept from deletion",
     edit_statement("WorkflowKey", "AccountAdministersKey", Action=["kms:ScheduleKeyDeletion"]),
     _admin_test("WorkflowKey")),
    ("who administers a key may use it", add_actions("LogsKey", "AccountAdministersKey", "kms:Decrypt"),
     _admin_test("LogsKey")),
    ("a key's policy allows all to the account",
     edit_statement("FunctionsKey", "AccountAdministersKey", Action=["kms:*"]),
     f"{_KEYS}test_nobody_else_uses_a_key[FunctionsKey]"),
    ("a key is anybody's", add_statement("SnsKey", Principal={"AWS": "*"}, Action=["kms:Decrypt"]),
     "tests/stacks/test_policies.py::test_no_resource_policy_allows_every_principal"),
    ("a key admits another account",
     add_statement("QueueKey", Principal={"AWS": "arn:aws:iam::999988887777:root"}, Action=["kms:Decrypt"]),
     f"{_KEYS}test_nobody_else_uses_a_key[QueueKey]"),
    ("the tables' key opens by itself",
     drop_conditions("DynamodbKey", "TableEncryptionThroughDynamoDB", "kms:ViaService"), _service_test("tables")),
    ("the vault's key opens by itself", drop_value("DynamodbKey.KeyPolicy.Statement.3.Condition"),
     f"{_KEYS}test_nobody_else_uses_a_key[DynamodbKey]"),
    ("the vault's key opens for calls of other accounts",
     drop_conditions("DynamodbKey", "BackupVaultThroughAWSBackup", "kms:CallerAccount"), _service_test("vault")),
    ("the functions' key opens for other functions",
     drop_conditions("FunctionsKey", "EnvironmentVariablesThroughLambda",
                     "kms:EncryptionContext:aws:lambda:FunctionArn"), _service_test("functions")),
    ("the queue's key opens for other queues",
     drop_conditions("QueueKey", "DeadLettersThroughSQS", "kms:EncryptionContext:aws:sqs:arn"), _service_test("queue")),
    ("the workflow's key opens for other workflows",
     drop_conditions("WorkflowKey", "ExecutionsOfTheWorkflow", "kms:EncryptionContext:aws:states:stateMachineArn"),
     _service_test("workflow")),
    ("anybody makes grants for a key", drop_statement("DynamodbKey", "OnlyServicesGrant"), _grant_test("DynamodbKey")),
    ("grants are refused only where KMS says who asks",
     replace_text("FunctionsKey.KeyPolicy.Statement.1", "BoolIfExists", "Bool"), _grant_test("FunctionsKey")),
    ("the topic's key does not admit CloudWatch", drop_statement("SnsKey", "AlarmsPublish"), ALARMS),
    ("the topic's key admits any account's alarms", drop_conditions("SnsKey", "AlarmsPublish", "aws:SourceAccount"),
     ALARMS),
    ("the topic's key admits alarms to other topics",
     drop_conditions("SnsKey", "AlarmsPublish", "kms:EncryptionContext:aws:sns:topicArn"), ALARMS),
    ("the topic's key is for every role", drop_conditions("SnsKey", "RolesPublish", "aws:PrincipalArn"),
     f"{_KEYS}test_only_two_named_roles_use_the_topics_key"),
    ("the queue's key does not admit EventBridge", drop_statement("QueueKey", "ScheduleDeadLetters"), SCHEDULE),
    ("the queue's key admits EventBridge to other queues", drop_conditions("QueueKey", "ScheduleDeadLetters"),
     SCHEDULE),
    ("the queue's key does not admit SNS", drop_statement("QueueKey", "UndeliveredNotices"), NOTICES),
    ("the queue's key admits SNS to other queues", drop_conditions("QueueKey", "UndeliveredNotices"), NOTICES),
    ("nobody can read undelivered notices",
     drop_value("QueueKey.KeyPolicy.Statement.2.Condition.StringEquals.kms:EncryptionContext:aws:sqs:arn.1"),
     _service_test("notices")),
    ("the logs' key is for every log group", drop_conditions("LogsKey", "LogGroupsOfThisPlatform"), LOGS),
    ("the logs' key leaves a log group out",
     drop_value("LogsKey.KeyPolicy.Statement.2.Condition.ArnEquals.kms:EncryptionContext:aws:logs:arn.3"), LOGS),
    ("the logs' key is for another region's logs",
     edit_statement("LogsKey", "LogGroupsOfThisPlatform", Principal={"Service": "logs.us-east-1.amazonaws.com"}), LOGS),
    ("the workflow's log cannot be read for delivery", drop_statement("WorkflowKey", "LogDeliveryOfTheWorkflow"),
     f"{_KEYS}test_the_delivery_of_the_workflows_log_decrypts_with_its_key"),
    ("the workflow's log cannot be encrypted for delivery", drop_statement("WorkflowKey", "RoleEncryptsLogDelivery"),
     _use_test("WorkflowRole", "UseWorkflowKeyForLogDelivery")),
    ("a key is administered from outside",
     add_statement("LogsKey", Principal={"AWS": [ROOT, "999988887777"]}, Action=["kms:PutKeyPolicy"]),
     _admin_test("LogsKey")),
]  # fmt: skip

_DEPLOYED = "tests/stacks/test_deployed.py::"
_DURABLE_KEYS: Planted = [
    ("a key is not rotated", set_value("SnsKey.EnableKeyRotation", False),
     f"{_DEPLOYED}test_the_keys_are_rotated_and_can_be_recovered_for_a_month"),
    ("a key is gone after a week", set_value("DynamodbKey.PendingWindowInDays", 7),
     f"{_DEPLOYED}test_the_keys_are_rotated_and_can_be_recovered_for_a_month"),
    ("the aliases of two keys are swapped", swap_values("SnsKeyAlias.AliasName", "QueueKeyAlias.AliasName"),
     "tests/stacks/test_values.py::test_each_key_has_its_alias"),
    ("a key is deleted with its stack", set_value("LogsKey.DeletionPolicy", "Delete"),
     f"{_DEPLOYED}test_resources_with_data_outlive_their_stack"),
    ("a key is deleted when it is replaced", drop_value("WorkflowKey.UpdateReplacePolicy"),
     f"{_DEPLOYED}test_resources_with_data_outlive_their_stack"),
]  # fmt: skip

DEFECTS = [
    *make_defects("security", _ROLES, _POLICIES, _DURABLE_KEYS),
]
