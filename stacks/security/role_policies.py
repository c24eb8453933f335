"""What each role may do: the documents of its managed policies.

They name what later stacks create by its deterministic ARN (names.py).
"""

from awacs import awslambda, dynamodb, kms, logs, sns, sqs, xray
from awacs import backup as backup_
from awacs.aws import Action, PolicyDocument, Statement, StringEquals

from .. import names
from ..policies import ACCOUNT, LOG_DELIVERY, allow, document, in_context, through
from .keys import Keys


def validation(keys: Keys) -> PolicyDocument:
    return document(
        _record([dynamodb.PutItem]),
        *_what_every_function_does(names.VALIDATION_FUNCTION, names.VALIDATION_LOG_GROUP, keys),
    )


def processing(keys: Keys) -> PolicyDocument:
    return document(
        _record([dynamodb.GetItem, dynamodb.PutItem]),
        *_what_every_function_does(names.PROCESSING_FUNCTION, names.PROCESSING_LOG_GROUP, keys),
    )


def reconciliation(keys: Keys) -> PolicyDocument:
    return document(
        # In hundreds only to measure how old the open ones are.
        _record([dynamodb.BatchGetItem, dynamodb.GetItem, dynamodb.PutItem]),
        allow("FindOverduePayments", [dynamodb.Query], [names.open_index_arn()]),
        *_publish_notices(keys),
        *_what_every_function_does(names.RECONCILIATION_FUNCTION, names.RECONCILIATION_LOG_GROUP, keys),
    )


def workflow(keys: Keys) -> PolicyDocument:
    return document(
        allow(
            "InvokeLiveFunctions",
            [awslambda.InvokeFunction],
            [
                names.live_function_arn(names.VALIDATION_FUNCTION),
                names.live_function_arn(names.PROCESSING_FUNCTION),
            ],
        ),
        *_send_dead_letters("DeadLetterPayments", keys),
        *_publish_notices(keys),
        allow("LogDeliveryHasNoResource", LOG_DELIVERY, ["*"]),
        _tracing(
            [xray.GetSamplingRules, xray.GetSamplingTargets, xray.PutTelemetryRecords, xray.PutTraceSegments],
        ),
    )


def workflow_key(keys: Keys) -> PolicyDocument:
    """Where the state machine has a key of its own: the use of it for the history, and for its log's delivery.

    https://docs.aws.amazon.com/step-functions/latest/dg/encryption-at-rest.html
    """
    key = [keys.workflow.get_att("Arn")]
    return document(
        allow(
            "UseWorkflowKeyForOwnExecutions",
            [kms.Decrypt, kms.GenerateDataKey],
            key,
            in_context("states", stateMachineArn=names.workflow_arn()),
        ),
        allow(
            "UseWorkflowKeyForLogDelivery",
            [kms.GenerateDataKey],
            key,
            # The context is written like a pattern, and compared to the letter.
            StringEquals({"kms:CallerAccount": ACCOUNT, "kms:EncryptionContext:SourceArn": names.arn("logs", "*")}),
        ),
    )


def backup(keys: Keys) -> PolicyDocument:
    """What AWS Backup does to a table: the part of its own managed policy that is about DynamoDB, on our names.

    https://docs.aws.amazon.com/aws-managed-policy/latest/reference/AWSBackupServiceRolePolicyForBackup.html
    """
    key = [keys.dynamodb.get_att("Arn")]
    return document(
        allow(
            "BackUpTables",
            [dynamodb.DescribeTable, dynamodb.ListTagsOfResource, dynamodb.StartAwsBackupJob],
            [names.table_arn(), names.ledger_table_arn()],
        ),
        allow("KeepInVault", [backup_.CopyIntoBackupVault, backup_.DescribeBackupVault], [names.backup_vault_arn()]),
        allow(
            "UseTableKeyThroughDynamoDB",
            [kms.Decrypt, kms.GenerateDataKey],
            key,
            through("dynamodb", tableName=[names.named(table) for table in names.TABLES]),
        ),
        allow("UseVaultKeyThroughAWSBackup", [kms.Decrypt, kms.GenerateDataKey], key, through("backup")),
        allow("FindVaultKey", [kms.DescribeKey], key, in_context("backup")),
    )


def _what_every_function_does(name: str, log_group: str, keys: Keys) -> list[Statement]:
    return [
        allow("AppendToLedger", [dynamodb.PutItem], [names.ledger_table_arn()]),
        allow(
            "UseTableKeyThroughDynamoDB",
            [kms.Decrypt],
            [keys.dynamodb.get_att("Arn")],
            # DynamoDB names the table in the encryption context, not its ARN.
            through("dynamodb", tableName=[names.named(table) for table in names.TABLES]),
        ),
        allow(
            "UseFunctionsKeyThroughLambda",
            [kms.Decrypt],
            [keys.functions.get_att("Arn")],
            through("lambda", FunctionArn=names.function_arn(name)),
        ),
        *_send_dead_letters("DeadLetterAsyncInvocations", keys),
        # Lambda names the streams: https://docs.aws.amazon.com/lambda/latest/dg/monitoring-cloudwatchlogs.html
        allow(
            "LogStreamsAreNamedByLambda",
            [logs.CreateLogStream, logs.PutLogEvents],
            [names.log_streams_arn(log_group)],
        ),
        _tracing([xray.PutTraceSegments, xray.PutTelemetryRecords]),
    ]


def _record(actions: list[Action]) -> Statement:
    return allow("RecordPayments", actions, [names.table_arn()])


def _send_dead_letters(sid: str, keys: Keys) -> list[Statement]:
    return [
        allow(sid, [sqs.SendMessage], [names.queue_arn()]),
        # https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-key-management.html
        allow(
            "UseQueueKeyThroughSQS",
            [kms.Decrypt, kms.GenerateDataKey],
            [keys.queue.get_att("Arn")],
            through("sqs", arn=names.queue_arn()),
        ),
    ]


def _publish_notices(keys: Keys) -> list[Statement]:
    return [
        allow("PublishNotices", [sns.Publish], [names.topic_arn()]),
        allow(
            "UseTopicKeyThroughSNS",
            [kms.Decrypt, kms.GenerateDataKey],
            [keys.sns.get_att("Arn")],
            through("sns", topicArn=names.topic_arn()),
        ),
    ]


def _tracing(actions: list[Action]) -> Statement:
    # https://docs.aws.amazon.com/service-authorization/latest/reference/list_awsx-ray.html
    return allow("TracingHasNoResource", actions, ["*"])
