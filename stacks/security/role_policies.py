"""The policy document of each role. It refers to resources of later stacks by the ARNs of references.py."""

from awacs.aws import PolicyDocument, Statement, StringEquals

from .. import names, references
from ..policies import ACCOUNT, LOG_DELIVERY, allow, only_in_context, only_through, policy_document
from .keys import Keys


def validation_policy(keys: Keys) -> PolicyDocument:
    return policy_document(
        _allow_record("dynamodb:PutItem"),
        *_allow_function_basics(names.VALIDATION, keys),
    )


def processing_policy(keys: Keys) -> PolicyDocument:
    return policy_document(
        _allow_record("dynamodb:GetItem PutItem"),
        *_allow_function_basics(names.PROCESSING, keys),
    )


def reconciliation_policy(keys: Keys) -> PolicyDocument:
    return policy_document(
        # BatchGetItem serves only to measure the age of open payments.
        _allow_record("dynamodb:BatchGetItem GetItem PutItem"),
        allow("FindOverduePayments", "dynamodb:Query", [references.OPEN_INDEX_ARN]),
        *_publish_notices(keys),
        *_allow_function_basics(names.RECONCILIATION, keys),
    )


def workflow_policy(keys: Keys) -> PolicyDocument:
    return policy_document(
        allow(
            "InvokeLiveFunctions",
            "lambda:InvokeFunction",
            [
                references.live_function_arn(names.VALIDATION.name),
                references.live_function_arn(names.PROCESSING.name),
            ],
        ),
        *_send_dead_letters("DeadLetterPayments", keys),
        *_publish_notices(keys),
        allow("LogDeliveryHasNoResource", LOG_DELIVERY, ["*"]),
        _allow_tracing("xray:GetSamplingRules GetSamplingTargets PutTelemetryRecords PutTraceSegments"),
    )


def reconciliation_workflow_policy() -> PolicyDocument:
    live = [references.live_function_arn(names.RECONCILIATION.name)]
    return policy_document(
        allow("InvokeLiveFunction", "lambda:InvokeFunction", live),
        allow("LogDeliveryHasNoResource", LOG_DELIVERY, ["*"]),
        _allow_tracing("xray:GetSamplingRules GetSamplingTargets PutTelemetryRecords PutTraceSegments"),
    )


def schedule_policy() -> PolicyDocument:
    """Allow the rule to start reconciliation.

    https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-events-iam-roles.html
    """
    return policy_document(
        allow("StartReconciliation", "states:StartExecution", [references.RECONCILIATION_WORKFLOW_ARN]),
    )


def workflow_key_policy(keys: Keys) -> PolicyDocument:
    """Allow the state machine to use its own key for the execution history and the delivery of its log.

    https://docs.aws.amazon.com/step-functions/latest/dg/encryption-at-rest.html
    """
    key = [keys.workflow.get_att("Arn")]
    return policy_document(
        allow(
            "UseWorkflowKeyForOwnExecutions",
            "kms:Decrypt GenerateDataKey",
            key,
            only_in_context("states", stateMachineArn=references.PAYMENT_WORKFLOW_ARNS),
        ),
        allow(
            "UseWorkflowKeyForLogDelivery",
            "kms:GenerateDataKey",
            key,
            # The value looks like a pattern; KMS compares it literally.
            StringEquals(
                {"kms:CallerAccount": ACCOUNT, "kms:EncryptionContext:SourceArn": references.arn("logs", "*")}
            ),
        ),
    )


def backup_policy(keys: Keys) -> PolicyDocument:
    """Allow AWS Backup what the DynamoDB part of its managed policy allows, on our tables only.

    https://docs.aws.amazon.com/aws-managed-policy/latest/reference/AWSBackupServiceRolePolicyForBackup.html
    """
    key = [keys.dynamodb.get_att("Arn")]
    return policy_document(
        allow(
            "BackUpTables",
            "dynamodb:DescribeTable ListTagsOfResource StartAwsBackupJob",
            [references.TABLE_ARN, references.LEDGER_TABLE_ARN],
        ),
        allow("KeepInVault", "backup:CopyIntoBackupVault DescribeBackupVault", [references.BACKUP_VAULT_ARN]),
        allow(
            "UseTableKeyThroughDynamoDB",
            "kms:Decrypt GenerateDataKey",
            key,
            only_through("dynamodb", tableName=[references.in_template(table) for table in names.TABLES]),
        ),
        allow("UseVaultKeyThroughAWSBackup", "kms:Decrypt GenerateDataKey", key, only_through("backup")),
        allow("FindVaultKey", "kms:DescribeKey", key, only_in_context("backup")),
    )


def traffic_shift_policy() -> PolicyDocument:
    """Allow CodeDeploy what its managed policy allows without hooks and files in S3, on our functions only.

    https://docs.aws.amazon.com/aws-managed-policy/latest/reference/AWSCodeDeployRoleForLambdaLimited.html
    """
    functions = [function.name for function in names.FUNCTIONS]
    return policy_document(
        allow(
            "ShiftLiveTraffic",
            "lambda:GetAlias UpdateAlias",
            [*map(references.function_arn, functions), *map(references.live_function_arn, functions)],
        ),
        # The versions between which it shifts. Lambda numbers them.
        allow(
            "VersionsAreNumberedByLambda",
            "lambda:GetProvisionedConcurrencyConfig",
            [references.function_arn(f"{function}:*") for function in functions],
        ),
        # https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_DescribeAlarms.html
        allow("AlarmsCannotBeDescribedByName", "cloudwatch:DescribeAlarms", ["*"]),
    )


def _allow_function_basics(function: names.Function, keys: Keys) -> list[Statement]:
    return [
        allow("AppendToLedger", "dynamodb:PutItem", [references.LEDGER_TABLE_ARN]),
        allow(
            "UseTableKeyThroughDynamoDB",
            "kms:Decrypt",
            [keys.dynamodb.get_att("Arn")],
            # DynamoDB names the table in the encryption context, not its ARN.
            only_through("dynamodb", tableName=[references.in_template(table) for table in names.TABLES]),
        ),
        allow(
            "UseFunctionsKeyThroughLambda",
            "kms:Decrypt",
            [keys.functions.get_att("Arn")],
            only_through("lambda", FunctionArn=references.function_arn(function.name)),
        ),
        *_send_dead_letters("DeadLetterAsyncInvocations", keys),
        # Lambda chooses the names of the streams. https://docs.aws.amazon.com/lambda/latest/dg/monitoring-cloudwatchlogs.html
        allow(
            "LogStreamsAreNamedByLambda",
            "logs:CreateLogStream PutLogEvents",
            [references.log_streams_arn(function.log_group)],
        ),
        _allow_tracing("xray:PutTraceSegments PutTelemetryRecords"),
    ]


def _allow_record(actions: str) -> Statement:
    return allow("RecordPayments", actions, [references.TABLE_ARN])


def _send_dead_letters(sid: str, keys: Keys) -> list[Statement]:
    return [
        allow(sid, "sqs:SendMessage", [references.QUEUE_ARN]),
        # https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-key-management.html
        allow(
            "UseQueueKeyThroughSQS",
            "kms:Decrypt GenerateDataKey",
            [keys.queue.get_att("Arn")],
            only_through("sqs", arn=references.QUEUE_ARN),
        ),
    ]


def _publish_notices(keys: Keys) -> list[Statement]:
    return [
        allow("PublishNotices", "sns:Publish", [references.TOPIC_ARN]),
        allow(
            "UseTopicKeyThroughSNS",
            "kms:Decrypt GenerateDataKey",
            [keys.sns.get_att("Arn")],
            only_through("sns", topicArn=references.TOPIC_ARN),
        ),
    ]


def _allow_tracing(actions: str) -> Statement:
    # https://docs.aws.amazon.com/service-authorization/latest/reference/list_awsx-ray.html
    return allow("TracingHasNoResource", actions, ["*"])
