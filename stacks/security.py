"""Who may do what: the customer-managed keys, and the roles with their policies.

It comes first, and its policies name what later stacks create by its deterministic ARN (names.py).
"""

from dataclasses import dataclass

from awacs import awslambda, dynamodb, kms, logs, secretsmanager, sns, sqs, xray
from awacs.aws import Action, PolicyDocument, Statement
from troposphere import Equals, If, Not, Ref, Template, iam
from troposphere.kms import Key

from . import keys, names
from .policies import allow, document, source_arn, through, trust
from .wiring import NumberValue, Value, tags


@dataclass(frozen=True, kw_only=True)
class Inputs:
    environment: Value
    gateway_secret_arn: Value
    gateway_secret_key_arn: Value
    key_deletion_window_days: NumberValue


@dataclass(frozen=True, kw_only=True)
class Outputs:
    dynamodb_key_id: Value
    dynamodb_key_arn: Value
    sns_key_id: Value
    sns_key_arn: Value
    logs_key_id: Value
    logs_key_arn: Value
    workflow_role_arn: Value
    validation_role_arn: Value
    processing_role_arn: Value
    reconciliation_role_arn: Value


def build(template: Template, inputs: Inputs) -> Outputs:
    window = inputs.key_deletion_window_days
    dynamodb_key = keys.dynamodb(template, window)
    sns_key = keys.sns(template, window)
    logs_key = keys.logs(template, window)
    gateway = _gateway_secret(template, inputs)

    workflow = _role(
        template,
        "Workflow",
        names.WORKFLOW_ROLE,
        trust("states.amazonaws.com", source_arn(names.workflow_arn())),
        names.WORKFLOW_POLICY,
        _workflow_policy(sns_key),
    )
    validation = _role(
        template,
        "Validation",
        names.VALIDATION_ROLE,
        trust("lambda.amazonaws.com"),
        names.VALIDATION_POLICY,
        _function_policy(names.VALIDATION_LOG_GROUP, dynamodb_key, _record([dynamodb.PutItem])),
    )
    processing = _role(
        template,
        "Processing",
        names.PROCESSING_ROLE,
        trust("lambda.amazonaws.com"),
        names.PROCESSING_POLICY,
        _function_policy(names.PROCESSING_LOG_GROUP, dynamodb_key, _record([dynamodb.GetItem, dynamodb.PutItem])),
        gateway,
    )
    reconciliation = _role(
        template,
        "Reconciliation",
        names.RECONCILIATION_ROLE,
        trust("lambda.amazonaws.com"),
        names.RECONCILIATION_POLICY,
        _function_policy(
            names.RECONCILIATION_LOG_GROUP,
            dynamodb_key,
            _record([dynamodb.GetItem, dynamodb.PutItem]),
            allow("FindOverduePayments", [dynamodb.Query], [names.open_index_arn()]),
            *_publish_notices(sns_key),
        ),
        gateway,
    )
    return Outputs(
        dynamodb_key_id=dynamodb_key.ref(),
        dynamodb_key_arn=dynamodb_key.get_att("Arn"),
        sns_key_id=sns_key.ref(),
        sns_key_arn=sns_key.get_att("Arn"),
        logs_key_id=logs_key.ref(),
        logs_key_arn=logs_key.get_att("Arn"),
        workflow_role_arn=workflow.get_att("Arn"),
        validation_role_arn=validation.get_att("Arn"),
        processing_role_arn=processing.get_att("Arn"),
        reconciliation_role_arn=reconciliation.get_att("Arn"),
    )


def _role(
    template: Template,
    title: str,
    name: str,
    trusted: PolicyDocument,
    policy_name: str,
    policy: PolicyDocument,
    *more: If,
) -> iam.Role:
    """A role with its managed policies, attached by the role itself so that it never exists without them."""
    managed = template.add_resource(
        iam.ManagedPolicy(f"{title}Policy", ManagedPolicyName=names.named(policy_name), PolicyDocument=policy)
    )
    role: iam.Role = template.add_resource(
        iam.Role(
            f"{title}Role",
            RoleName=names.named(name),
            AssumeRolePolicyDocument=trusted,
            ManagedPolicyArns=[managed.ref(), *more],
            Tags=tags(),
        )
    )
    return role


def _function_policy(log_group: str, dynamodb_key: Key, *own: Statement) -> PolicyDocument:
    """What every function does, and what only this one does."""
    return document(
        *own,
        allow("AppendToLedger", [dynamodb.PutItem], [names.ledger_table_arn()]),
        allow(
            "UseTableKeyThroughDynamoDB",
            [kms.Decrypt],
            [dynamodb_key.get_att("Arn")],
            # DynamoDB names the table in the encryption context, not its ARN.
            through("dynamodb", tableName=[names.named(names.TABLE), names.named(names.LEDGER_TABLE)]),
        ),
        allow("DeadLetterAsyncInvocations", [sqs.SendMessage], [names.queue_arn()]),
        allow("WriteOwnLogs", [logs.CreateLogStream, logs.PutLogEvents], [names.log_streams_arn(log_group)]),
        _tracing([xray.PutTraceSegments, xray.PutTelemetryRecords]),
    )


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


def _workflow_policy(sns_key: Key) -> PolicyDocument:
    return document(
        allow(
            "InvokeLiveFunctions",
            [awslambda.InvokeFunction],
            [
                names.live_function_arn(names.VALIDATION_FUNCTION),
                names.live_function_arn(names.PROCESSING_FUNCTION),
            ],
        ),
        allow("DeadLetterPayments", [sqs.SendMessage], [names.queue_arn()]),
        *_publish_notices(sns_key),
        # Log delivery is set up for the account; its actions know no resource.
        # https://docs.aws.amazon.com/step-functions/latest/dg/cw-logs.html
        allow(
            "LogDeliveryHasNoResource",
            [
                logs.CreateLogDelivery,
                logs.DeleteLogDelivery,
                logs.DescribeLogGroups,
                logs.DescribeResourcePolicies,
                logs.GetLogDelivery,
                logs.ListLogDeliveries,
                logs.PutResourcePolicy,
                logs.UpdateLogDelivery,
            ],
            ["*"],
        ),
        _tracing(
            [xray.GetSamplingRules, xray.GetSamplingTargets, xray.PutTelemetryRecords, xray.PutTraceSegments],
        ),
    )


def _tracing(actions: list[Action]) -> Statement:
    # https://docs.aws.amazon.com/service-authorization/latest/reference/list_awsx-ray.html
    return allow("TracingHasNoResource", actions, ["*"])
