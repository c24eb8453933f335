"""The keys: who may use each, by way of whom, and that nobody loses one."""

from .planting import ROOT, Defect, Planted, added, change, drop, may_also, put, statement, unconditioned, without

SECURITY = "security"
_KEYS = "tests/stacks/test_access_keys.py::"
ALARMS = f"{_KEYS}test_alarms_of_this_account_reach_the_encrypted_topic_and_nobody_elses_do"
SCHEDULE = f"{_KEYS}test_the_schedule_reaches_the_encrypted_queue"
NOTICES = f"{_KEYS}test_sns_keeps_what_it_cannot_deliver_in_the_encrypted_queue"
LOGS = f"{_KEYS}test_cloudwatch_logs_uses_its_key_for_our_log_groups_only"


def _used(role: str, sid: str) -> str:
    return f"{_KEYS}test_a_role_uses_a_key_through_its_service_and_for_what_is_named[{role}-{sid}]"


def _administered(key: str) -> str:
    return f"{_KEYS}test_the_account_always_administers_a_key_and_does_not_use_it_by_that[{key}]"


def _through(name: str) -> str:
    return f"{_KEYS}test_the_accounts_own_policies_open_a_key_through_its_service_only[{name}]"


def _granted(key: str) -> str:
    return f"{_KEYS}test_nobody_makes_a_grant_but_a_service_for_whom_it_works[{key}]"


_ROLES: Planted = [
    ("a role decrypts the tables by itself", SECURITY,
     unconditioned("ProcessingPolicy", "UseTableKeyThroughDynamoDB", "kms:ViaService"),
     _used("ProcessingRole", "UseTableKeyThroughDynamoDB")),
    ("a role decrypts other tables", SECURITY,
     unconditioned("ProcessingPolicy", "UseTableKeyThroughDynamoDB", "kms:EncryptionContext:aws:dynamodb:tableName"),
     _used("ProcessingRole", "UseTableKeyThroughDynamoDB")),
    ("a role decrypts for another account", SECURITY,
     unconditioned("ValidationPolicy", "UseTableKeyThroughDynamoDB", "kms:CallerAccount"),
     _used("ValidationRole", "UseTableKeyThroughDynamoDB")),
    ("a role reads another function's variables", SECURITY,
     unconditioned("ValidationPolicy", "UseFunctionsKeyThroughLambda",
                   "kms:EncryptionContext:aws:lambda:FunctionArn"),
     _used("ValidationRole", "UseFunctionsKeyThroughLambda")),
    ("a role cannot encrypt a dead letter", SECURITY,
     without("ProcessingPolicy", "UseQueueKeyThroughSQS"), _used("ProcessingRole", "UseQueueKeyThroughSQS")),
    ("a role writes where it should only read", SECURITY,
     may_also("ValidationPolicy", "UseTableKeyThroughDynamoDB", "kms:Encrypt"),
     f"{_KEYS}test_the_table_has_every_statement_about_keys"),
    ("the gateway's secret is decrypted for others", SECURITY,
     unconditioned("GatewaySecretPolicy", "UseSecretKeyThroughSecretsManager", "kms:EncryptionContext:SecretARN"),
     _used("ProcessingRole", "UseSecretKeyThroughSecretsManager")),
    ("the workflow reads other workflows' executions", SECURITY,
     unconditioned("WorkflowKeyPolicy", "UseWorkflowKeyForOwnExecutions",
                   "kms:EncryptionContext:aws:states:stateMachineArn"),
     _used("WorkflowRole", "UseWorkflowKeyForOwnExecutions")),
    ("the backup decrypts by way of whomever", SECURITY,
     unconditioned("BackupPolicy", "UseVaultKeyThroughAWSBackup", "kms:ViaService"),
     _used("BackupRole", "UseVaultKeyThroughAWSBackup")),
]  # fmt: skip

_POLICIES: Planted = [
    ("a key's policy lacks the account root", SECURITY, without("QueueKey", "AccountAdministersKey"),
     _administered("QueueKey")),
    ("the tables' key lacks the account root", SECURITY,
     without("DynamodbKey", "AccountAdministersKey"), _administered("DynamodbKey")),
    ("a key cannot be kept from deletion", SECURITY,
     statement("WorkflowKey", "AccountAdministersKey", Action=["kms:ScheduleKeyDeletion"]),
     _administered("WorkflowKey")),
    ("who administers a key may use it", SECURITY, may_also("LogsKey", "AccountAdministersKey", "kms:Decrypt"),
     _administered("LogsKey")),
    ("a key's policy allows all to the account", SECURITY,
     statement("FunctionsKey", "AccountAdministersKey", Action=["kms:*"]),
     f"{_KEYS}test_nobody_else_uses_a_key[FunctionsKey]"),
    ("a key is anybody's", SECURITY,
     added("SnsKey", Principal={"AWS": "*"}, Action=["kms:Decrypt"]),
     "tests/stacks/test_policies.py::test_nobody_is_allowed_by_being_anybody"),
    ("a key admits another account", SECURITY,
     added("QueueKey", Principal={"AWS": "arn:aws:iam::999988887777:root"}, Action=["kms:Decrypt"]),
     f"{_KEYS}test_nobody_else_uses_a_key[QueueKey]"),
    ("the tables' key opens by itself", SECURITY,
     unconditioned("DynamodbKey", "TableEncryptionThroughDynamoDB", "kms:ViaService"), _through("tables")),
    ("the vault's key opens by itself", SECURITY,
     drop("DynamodbKey.Properties.KeyPolicy.Statement.3.Condition"),
     f"{_KEYS}test_nobody_else_uses_a_key[DynamodbKey]"),
    ("the vault's key opens for calls of other accounts", SECURITY,
     unconditioned("DynamodbKey", "BackupVaultThroughAWSBackup", "kms:CallerAccount"), _through("vault")),
    ("the functions' key opens for other functions", SECURITY,
     unconditioned("FunctionsKey", "EnvironmentVariablesThroughLambda",
                   "kms:EncryptionContext:aws:lambda:FunctionArn"), _through("functions")),
    ("the queue's key opens for other queues", SECURITY,
     unconditioned("QueueKey", "DeadLettersThroughSQS", "kms:EncryptionContext:aws:sqs:arn"), _through("queue")),
    ("the workflow's key opens for other workflows", SECURITY,
     unconditioned("WorkflowKey", "ExecutionsOfTheWorkflow", "kms:EncryptionContext:aws:states:stateMachineArn"),
     _through("workflow")),
    ("anybody makes grants for a key", SECURITY, without("DynamodbKey", "OnlyServicesGrant"),
     _granted("DynamodbKey")),
    ("grants are refused only where KMS says who asks", SECURITY,
     change("FunctionsKey.Properties.KeyPolicy.Statement.1", "BoolIfExists", "Bool"), _granted("FunctionsKey")),
    ("the topic's key does not admit CloudWatch", SECURITY, without("SnsKey", "AlarmsPublish"), ALARMS),
    ("the topic's key admits any account's alarms", SECURITY,
     unconditioned("SnsKey", "AlarmsPublish", "aws:SourceAccount"), ALARMS),
    ("the topic's key admits alarms to other topics", SECURITY,
     unconditioned("SnsKey", "AlarmsPublish", "kms:EncryptionContext:aws:sns:topicArn"), ALARMS),
    ("the topic's key is for every role", SECURITY, unconditioned("SnsKey", "RolesPublish", "aws:PrincipalArn"),
     f"{_KEYS}test_the_topics_key_is_for_two_roles_by_name"),
    ("the queue's key does not admit EventBridge", SECURITY, without("QueueKey", "ScheduleDeadLetters"), SCHEDULE),
    ("the queue's key admits EventBridge to other queues", SECURITY,
     unconditioned("QueueKey", "ScheduleDeadLetters"), SCHEDULE),
    ("the queue's key does not admit SNS", SECURITY, without("QueueKey", "UndeliveredNotices"), NOTICES),
    ("the queue's key admits SNS to other queues", SECURITY, unconditioned("QueueKey", "UndeliveredNotices"), NOTICES),
    ("nobody can read undelivered notices", SECURITY,
     drop("QueueKey.Properties.KeyPolicy.Statement.2.Condition.StringEquals.kms:EncryptionContext:aws:sqs:arn.1"),
     _through("notices")),
    ("the logs' key is for every log group", SECURITY, unconditioned("LogsKey", "LogGroupsOfThisPlatform"), LOGS),
    ("the logs' key leaves a log group out", SECURITY,
     drop("LogsKey.Properties.KeyPolicy.Statement.2.Condition.ArnEquals.kms:EncryptionContext:aws:logs:arn.3"), LOGS),
    ("the logs' key is for another region's logs", SECURITY,
     statement("LogsKey", "LogGroupsOfThisPlatform", Principal={"Service": "logs.us-east-1.amazonaws.com"}), LOGS),
    ("the workflow's log cannot be read for delivery", SECURITY,
     without("WorkflowKey", "LogDeliveryOfTheWorkflow"),
     f"{_KEYS}test_the_log_of_the_workflow_is_delivered_under_its_key"),
    ("the workflow's log cannot be encrypted for delivery", SECURITY,
     without("WorkflowKey", "RoleEncryptsLogDelivery"), _used("WorkflowRole", "UseWorkflowKeyForLogDelivery")),
    ("a key is administered from outside", SECURITY,
     added("LogsKey", Principal={"AWS": [ROOT, "999988887777"]}, Action=["kms:PutKeyPolicy"]),
     _administered("LogsKey")),
]  # fmt: skip

_DEPLOYED = "tests/stacks/test_deployed.py::"
_KEPT: Planted = [
    ("a key is not rotated", SECURITY, put("SnsKey.Properties.EnableKeyRotation", False),
     f"{_DEPLOYED}test_the_keys_are_rotated_and_regretted_for_a_month"),
    ("a key is gone after a week", SECURITY, put("DynamodbKey.Properties.PendingWindowInDays", 7),
     f"{_DEPLOYED}test_the_keys_are_rotated_and_regretted_for_a_month"),
    ("a key is deleted with its stack", SECURITY, put("LogsKey.DeletionPolicy", "Delete"),
     f"{_DEPLOYED}test_what_would_be_lost_outlives_its_stack"),
    ("a key is deleted when it is replaced", SECURITY, drop("WorkflowKey.UpdateReplacePolicy"),
     f"{_DEPLOYED}test_what_would_be_lost_outlives_its_stack"),
]  # fmt: skip

DEFECTS = [Defect(*one) for one in (*_ROLES, *_POLICIES, *_KEPT)]
