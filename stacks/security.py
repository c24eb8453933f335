"""Who may do what: the customer-managed keys, and the roles with their policies.

It comes first, and its policies name what later stacks create by its deterministic ARN (names.py).
"""

from dataclasses import dataclass
from typing import Any

from awacs import awslambda, backup, dynamodb, kms, logs, secretsmanager, sns, sqs, xray
from awacs.aws import Action, PolicyDocument, Statement, StringEquals
from troposphere import Equals, If, Not, Ref, Template, iam
from troposphere.kms import Key

from . import boundary, keys, names
from .policies import ACCOUNT, LOG_DELIVERY, allow, document, in_context, source_arn, through, trust
from .suppressions import suppress
from .wiring import NumberValue, Value, tags


@dataclass(frozen=True, kw_only=True)
class Inputs:
    environment: Value
    gateway_secret_arn: Value
    gateway_secret_key_arn: Value
    key_deletion_window_days: NumberValue
    workflow_customer_key: Value
    backup_retention_days: NumberValue
    permissions_boundary: Value


@dataclass(frozen=True, kw_only=True)
class Outputs:
    dynamodb_key_id: Value
    dynamodb_key_arn: Value
    sns_key_id: Value
    sns_key_arn: Value
    logs_key_id: Value
    logs_key_arn: Value
    queue_key_arn: Value
    functions_key_arn: Value
    workflow_key_arn: Value
    backup_role_arn: Value
    workflow_role_arn: Value
    validation_role_arn: Value
    processing_role_arn: Value
    reconciliation_role_arn: Value


def build(template: Template, inputs: Inputs) -> Outputs:
    template.add_condition("HasBackups", Not(Equals(inputs.backup_retention_days, 0)))
    template.add_condition("HasWorkflowKey", Equals(inputs.workflow_customer_key, "true"))
    boundary.conditions(template, inputs.permissions_boundary)
    window = inputs.key_deletion_window_days
    dynamodb_key = keys.dynamodb(template, window)
    sns_key = keys.sns(template, window)
    logs_key = keys.logs(template, window)
    queue_key = keys.queue(template, window)
    functions_key = keys.functions(template, window)
    workflow_key = keys.workflow(template, window)
    gateway = _gateway_secret(template, inputs)

    workflow = _role(
        template,
        inputs,
        "Workflow",
        names.WORKFLOW_ROLE,
        trust("states.amazonaws.com", source_arn(names.workflow_arn())),
        names.WORKFLOW_POLICY,
        _workflow_policy(sns_key, queue_key),
        _workflow_encryption(template, workflow_key),
    )

    def function_policy(name: str, log_group: str, *own: Statement) -> PolicyDocument:
        return document(*own, *_what_every_function_does(name, log_group, dynamodb_key, queue_key, functions_key))

    validation = _role(
        template,
        inputs,
        "Validation",
        names.VALIDATION_ROLE,
        trust("lambda.amazonaws.com"),
        names.VALIDATION_POLICY,
        function_policy(names.VALIDATION_FUNCTION, names.VALIDATION_LOG_GROUP, _record([dynamodb.PutItem])),
    )
    processing = _role(
        template,
        inputs,
        "Processing",
        names.PROCESSING_ROLE,
        trust("lambda.amazonaws.com"),
        names.PROCESSING_POLICY,
        function_policy(
            names.PROCESSING_FUNCTION, names.PROCESSING_LOG_GROUP, _record([dynamodb.GetItem, dynamodb.PutItem])
        ),
        gateway,
    )
    reconciliation = _role(
        template,
        inputs,
        "Reconciliation",
        names.RECONCILIATION_ROLE,
        trust("lambda.amazonaws.com"),
        names.RECONCILIATION_POLICY,
        function_policy(
            names.RECONCILIATION_FUNCTION,
            names.RECONCILIATION_LOG_GROUP,
            _record([dynamodb.GetItem, dynamodb.PutItem]),
            allow("FindOverduePayments", [dynamodb.Query], [names.open_index_arn()]),
            *_publish_notices(sns_key),
        ),
        gateway,
    )
    backups = _role(
        template,
        inputs,
        "Backup",
        names.BACKUP_ROLE,
        trust("backup.amazonaws.com"),
        names.BACKUP_POLICY,
        _backup_policy(dynamodb_key),
        wildcards=False,
        Condition="HasBackups",
    )
    return Outputs(
        dynamodb_key_id=dynamodb_key.ref(),
        dynamodb_key_arn=dynamodb_key.get_att("Arn"),
        sns_key_id=sns_key.ref(),
        sns_key_arn=sns_key.get_att("Arn"),
        logs_key_id=logs_key.ref(),
        logs_key_arn=logs_key.get_att("Arn"),
        queue_key_arn=queue_key.get_att("Arn"),
        functions_key_arn=functions_key.get_att("Arn"),
        workflow_key_arn=If("HasWorkflowKey", workflow_key.get_att("Arn"), ""),
        backup_role_arn=If("HasBackups", backups.get_att("Arn"), ""),
        workflow_role_arn=workflow.get_att("Arn"),
        validation_role_arn=validation.get_att("Arn"),
        processing_role_arn=processing.get_att("Arn"),
        reconciliation_role_arn=reconciliation.get_att("Arn"),
    )


def _role(
    template: Template,
    inputs: Inputs,
    title: str,
    name: str,
    trusted: PolicyDocument,
    policy_name: str,
    policy: PolicyDocument,
    *more: If,
    wildcards: bool = True,
    **condition: Any,
) -> iam.Role:
    """A role with its managed policies, attached by the role itself so that it never exists without them."""
    managed = template.add_resource(
        iam.ManagedPolicy(
            f"{title}Policy", ManagedPolicyName=names.named(policy_name), PolicyDocument=policy, **condition
        )
    )
    if wildcards:
        suppress(
            managed,
            "Only what knows no resource (tracing, log delivery), and the streams of the role's own log group",
            nag=("AwsSolutions-IAM5",),
        )
    role: iam.Role = template.add_resource(
        iam.Role(
            f"{title}Role",
            RoleName=names.named(name),
            AssumeRolePolicyDocument=trusted,
            ManagedPolicyArns=[managed.ref(), *more],
            PermissionsBoundary=boundary.of(inputs.permissions_boundary),
            Tags=tags(),
            **condition,
        )
    )
    return role


def _what_every_function_does(
    name: str, log_group: str, dynamodb_key: Key, queue_key: Key, functions_key: Key
) -> list[Statement]:
    return [
        allow("AppendToLedger", [dynamodb.PutItem], [names.ledger_table_arn()]),
        allow(
            "UseTableKeyThroughDynamoDB",
            [kms.Decrypt],
            [dynamodb_key.get_att("Arn")],
            # DynamoDB names the table in the encryption context, not its ARN.
            through("dynamodb", tableName=[names.named(names.TABLE), names.named(names.LEDGER_TABLE)]),
        ),
        allow(
            "UseFunctionsKeyThroughLambda",
            [kms.Decrypt],
            [functions_key.get_att("Arn")],
            through("lambda", FunctionArn=names.function_arn(name)),
        ),
        *_send_dead_letters("DeadLetterAsyncInvocations", queue_key),
        # Lambda names the streams: https://docs.aws.amazon.com/lambda/latest/dg/monitoring-cloudwatchlogs.html
        allow(
            "LogStreamsAreNamedByLambda",
            [logs.CreateLogStream, logs.PutLogEvents],
            [names.log_streams_arn(log_group)],
        ),
        _tracing([xray.PutTraceSegments, xray.PutTelemetryRecords]),
    ]


def _send_dead_letters(sid: str, queue_key: Key) -> list[Statement]:
    return [
        allow(sid, [sqs.SendMessage], [names.queue_arn()]),
        # https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-key-management.html
        allow(
            "UseQueueKeyThroughSQS",
            [kms.Decrypt, kms.GenerateDataKey],
            [queue_key.get_att("Arn")],
            through("sqs", arn=names.queue_arn()),
        ),
    ]


def _record(actions: list[Action]) -> Statement:
    return allow("RecordPayments", actions, [names.table_arn()])


def _gateway_secret(template: Template, inputs: Inputs) -> If:
    """The policy that lets a role read the gateway's API key, where the gateway has one."""
    template.add_condition("HasGatewaySecret", Not(Equals(inputs.gateway_secret_arn, "")))
    template.add_condition("HasGatewaySecretKey", Not(Equals(inputs.gateway_secret_key_arn, "")))
    read = allow("ReadGatewaySecret", [secretsmanager.GetSecretValue], [inputs.gateway_secret_arn])
    # A secret under Secrets Manager's own key needs none of it.
    # https://docs.aws.amazon.com/secretsmanager/latest/userguide/security-encryption.html#security-encryption-authz
    decrypt = allow(
        "UseSecretKeyThroughSecretsManager",
        [kms.Decrypt],
        [inputs.gateway_secret_key_arn],
        through("secretsmanager", SecretARN=inputs.gateway_secret_arn),
    )
    policy = template.add_resource(
        iam.ManagedPolicy(
            "GatewaySecretPolicy",
            Condition="HasGatewaySecret",
            ManagedPolicyName=names.named(names.GATEWAY_POLICY),
            # awacs takes no condition among the statements.
            PolicyDocument=If("HasGatewaySecretKey", document(read, decrypt), document(read)),
        )
    )
    return If("HasGatewaySecret", policy.ref(), Ref("AWS::NoValue"))


def _publish_notices(sns_key: Key) -> list[Statement]:
    return [
        allow("PublishNotices", [sns.Publish], [names.topic_arn()]),
        allow(
            "UseTopicKeyThroughSNS",
            [kms.Decrypt, kms.GenerateDataKey],
            [sns_key.get_att("Arn")],
            through("sns", topicArn=names.topic_arn()),
        ),
    ]


def _workflow_policy(sns_key: Key, queue_key: Key) -> PolicyDocument:
    return document(
        allow(
            "InvokeLiveFunctions",
            [awslambda.InvokeFunction],
            [
                names.live_function_arn(names.VALIDATION_FUNCTION),
                names.live_function_arn(names.PROCESSING_FUNCTION),
            ],
        ),
        *_send_dead_letters("DeadLetterPayments", queue_key),
        *_publish_notices(sns_key),
        allow("LogDeliveryHasNoResource", LOG_DELIVERY, ["*"]),
        _tracing(
            [xray.GetSamplingRules, xray.GetSamplingTargets, xray.PutTelemetryRecords, xray.PutTraceSegments],
        ),
    )


def _workflow_encryption(template: Template, workflow_key: Key) -> If:
    """What the role needs where the state machine has a key of its own: of the history, and of its log's delivery.

    https://docs.aws.amazon.com/step-functions/latest/dg/encryption-at-rest.html
    """
    key = [workflow_key.get_att("Arn")]
    policy = template.add_resource(
        iam.ManagedPolicy(
            "WorkflowKeyPolicy",
            Condition="HasWorkflowKey",
            ManagedPolicyName=names.named(names.WORKFLOW_KEY_POLICY),
            PolicyDocument=document(
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
                    StringEquals(
                        {"kms:CallerAccount": ACCOUNT, "kms:EncryptionContext:SourceArn": names.arn("logs", "*")}
                    ),
                ),
            ),
        )
    )
    return If("HasWorkflowKey", policy.ref(), Ref("AWS::NoValue"))


def _backup_policy(dynamodb_key: Key) -> PolicyDocument:
    """What AWS Backup does to a table: the part of its own managed policy that is about DynamoDB, on our names.

    https://docs.aws.amazon.com/aws-managed-policy/latest/reference/AWSBackupServiceRolePolicyForBackup.html
    """
    key = [dynamodb_key.get_att("Arn")]
    return document(
        allow(
            "BackUpTables",
            [dynamodb.DescribeTable, dynamodb.ListTagsOfResource, dynamodb.StartAwsBackupJob],
            [names.table_arn(), names.ledger_table_arn()],
        ),
        allow("KeepInVault", [backup.CopyIntoBackupVault, backup.DescribeBackupVault], [names.backup_vault_arn()]),
        allow(
            "UseTableKeyThroughDynamoDB",
            [kms.Decrypt, kms.GenerateDataKey],
            key,
            through("dynamodb", tableName=[names.named(names.TABLE), names.named(names.LEDGER_TABLE)]),
        ),
        allow("UseVaultKeyThroughAWSBackup", [kms.Decrypt, kms.GenerateDataKey], key, through("backup")),
        allow("FindVaultKey", [kms.DescribeKey], key, in_context("backup")),
    )


def _tracing(actions: list[Action]) -> Statement:
    # https://docs.aws.amazon.com/service-authorization/latest/reference/list_awsx-ray.html
    return allow("TracingHasNoResource", actions, ["*"])
