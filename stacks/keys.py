"""The customer-managed keys, and who may use them for what."""

from typing import Any

from awacs import kms
from awacs.aws import Allow, ArnEquals, Condition, PolicyDocument, Principal, Statement, StringEquals
from troposphere import If, Sub, Template
from troposphere.kms import Alias, Key

from . import names
from .policies import ACCOUNT, account_root, document, in_context, key_administration, only_services_grant, through
from .wiring import Value, tags


def dynamodb(template: Template, window_days: Value) -> Key:
    """Of the tables, and of the vault of their backups where there is one (condition ``HasBackups``)."""
    policy = If("HasBackups", _policy(*_dynamodb_use(), *_backup_use()), _policy(*_dynamodb_use()))
    return _key(
        template, "DynamodbKey", "Encrypts the tables of payments", names.DYNAMODB_KEY_ALIAS, policy, window_days
    )


def sns(template: Template, window_days: Value) -> Key:
    return _key(
        template, "SnsKey", "Encrypts the payment notices", names.SNS_KEY_ALIAS, _policy(*_sns_use()), window_days
    )


def logs(template: Template, window_days: Value) -> Key:
    return _key(template, "LogsKey", "Encrypts the log groups", names.LOGS_KEY_ALIAS, _policy(_logs_use()), window_days)


def queue(template: Template, window_days: Value) -> Key:
    return _key(
        template, "QueueKey", "Encrypts the dead letters", names.QUEUE_KEY_ALIAS, _policy(*_queue_use()), window_days
    )


def functions(template: Template, window_days: Value) -> Key:
    return _key(
        template,
        "FunctionsKey",
        "Encrypts the environment variables of the functions",
        names.FUNCTIONS_KEY_ALIAS,
        _policy(_functions_use()),
        window_days,
    )


def workflow(template: Template, window_days: Value) -> Key:
    """Where its setting asks for it (condition ``HasWorkflowKey``)."""
    return _key(
        template,
        "WorkflowKey",
        "Encrypts the executions of the workflow: their input, output and history",
        names.WORKFLOW_KEY_ALIAS,
        _policy(*_workflow_use()),
        window_days,
        Condition="HasWorkflowKey",
    )


def _policy(*uses: Statement) -> PolicyDocument:
    return document(key_administration(), only_services_grant(), *uses)


def _key(
    template: Template,
    title: str,
    description: str,
    alias: str,
    policy: PolicyDocument | If,
    window_days: Value,
    **condition: Any,
) -> Key:
    """A key that is never deleted with the stack: what it encrypted would be lost with it."""
    made: Key = template.add_resource(
        Key(
            title,
            Description=description,
            EnableKeyRotation=True,
            PendingWindowInDays=window_days,
            KeyPolicy=policy,
            Tags=tags(),
            DeletionPolicy="RetainExceptOnCreate",
            UpdateReplacePolicy="Retain",
            **condition,
        )
    )
    template.add_resource(Alias(f"{title}Alias", AliasName=names.named(alias), TargetKeyId=made.ref(), **condition))
    return made


def _dynamodb_use() -> list[Statement]:
    """What DynamoDB asks of a table's key, and only by way of DynamoDB.

    The caller's own policy must allow it too, because the principal is the account; there the table is named.
    https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/encryption.usagenotes.html
    """
    return [
        Statement(
            Sid="TableEncryptionThroughDynamoDB",
            Effect=Allow,
            Principal=account_root(),
            Action=[
                kms.CreateGrant,
                kms.Decrypt,
                kms.DescribeKey,
                kms.Encrypt,
                kms.GenerateDataKey,
                kms.ReEncryptFrom,
                kms.ReEncryptTo,
            ],
            Resource=["*"],
            Condition=Condition([through("dynamodb")]),
        )
    ]


def _backup_use() -> list[Statement]:
    """What AWS Backup asks of a vault's key, for callers of this account.

    https://docs.aws.amazon.com/aws-backup/latest/devguide/encryption.html
    """
    return [
        Statement(
            Sid="BackupVaultThroughAWSBackup",
            Effect=Allow,
            Principal=account_root(),
            Action=[kms.CreateGrant, kms.Decrypt, kms.DescribeKey, kms.GenerateDataKey],
            Resource=["*"],
            Condition=Condition([through("backup")]),
        )
    ]


def _sns_use() -> list[Statement]:
    """Publishers need the topic's key: the workflow, reconciliation, and the alarms.

    https://docs.aws.amazon.com/sns/latest/dg/sns-key-management.html
    """
    use = [kms.Decrypt, kms.GenerateDataKey]
    return [
        Statement(
            Sid="RolesPublish",
            Effect=Allow,
            # KMS refuses a role that does not exist yet, so the roles are named in a condition.
            Principal=account_root(),
            Action=use,
            Resource=["*"],
            Condition=Condition(
                [
                    ArnEquals(
                        {
                            "aws:PrincipalArn": [
                                names.role_arn(names.WORKFLOW_ROLE),
                                names.role_arn(names.RECONCILIATION_ROLE),
                            ]
                        }
                    ),
                    through("sns", topicArn=names.topic_arn()),
                ]
            ),
        ),
        Statement(
            Sid="AlarmsPublish",
            Effect=Allow,
            Principal=Principal("Service", "cloudwatch.amazonaws.com"),
            Action=use,
            Resource=["*"],
            Condition=Condition(
                [
                    StringEquals(
                        {
                            "aws:SourceAccount": ACCOUNT,
                            "kms:EncryptionContext:aws:sns:topicArn": names.topic_arn(),
                        }
                    )
                ]
            ),
        ),
    ]


def _queue_use() -> list[Statement]:
    """Whoever sends or receives a dead letter, by way of SQS; and EventBridge, for what it could not deliver.

    https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-key-management.html says that
    EventBridge gives no source in the key's policy; the queue's own policy names the rule.
    """
    use = [kms.Decrypt, kms.GenerateDataKey]
    return [
        Statement(
            Sid="DeadLettersThroughSQS",
            Effect=Allow,
            Principal=account_root(),
            Action=use,
            Resource=["*"],
            Condition=Condition([through("sqs", arn=names.queue_arn())]),
        ),
        Statement(
            Sid="ScheduleDeadLetters",
            Effect=Allow,
            Principal=Principal("Service", "events.amazonaws.com"),
            Action=use,
            Resource=["*"],
            Condition=Condition([StringEquals({"kms:EncryptionContext:aws:sqs:arn": names.queue_arn()})]),
        ),
    ]


def _functions_use() -> Statement:
    """What Lambda asks of the key of a function's variables: of who deploys it, and of its role.

    https://docs.aws.amazon.com/lambda/latest/dg/configuration-envvars-encryption.html
    """
    functions = (names.VALIDATION_FUNCTION, names.PROCESSING_FUNCTION, names.RECONCILIATION_FUNCTION)
    return Statement(
        Sid="EnvironmentVariablesThroughLambda",
        Effect=Allow,
        Principal=account_root(),
        Action=[kms.CreateGrant, kms.Decrypt, kms.Encrypt, kms.GenerateDataKey],
        Resource=["*"],
        Condition=Condition([through("lambda", FunctionArn=[names.function_arn(name) for name in functions])]),
    )


def _workflow_use() -> list[Statement]:
    """The workflow's role, and who starts or reads an execution; and the delivery of its log.

    https://docs.aws.amazon.com/step-functions/latest/dg/encryption-at-rest.html
    """
    # The context is written like a pattern, and compared to the letter.
    delivery = {"kms:EncryptionContext:SourceArn": names.arn("logs", "*")}
    return [
        Statement(
            Sid="ExecutionsOfTheWorkflow",
            Effect=Allow,
            Principal=account_root(),
            Action=[kms.Decrypt, kms.GenerateDataKey],
            Resource=["*"],
            Condition=Condition([in_context("states", stateMachineArn=names.workflow_arn())]),
        ),
        # The role makes the data key that the delivery service then reads with.
        Statement(
            Sid="RoleEncryptsLogDelivery",
            Effect=Allow,
            Principal=account_root(),
            Action=[kms.GenerateDataKey],
            Resource=["*"],
            Condition=Condition(
                [
                    ArnEquals({"aws:PrincipalArn": names.role_arn(names.WORKFLOW_ROLE)}),
                    StringEquals({"kms:CallerAccount": ACCOUNT, **delivery}),
                ]
            ),
        ),
        Statement(
            Sid="LogDeliveryOfTheWorkflow",
            Effect=Allow,
            Principal=Principal("Service", "delivery.logs.amazonaws.com"),
            Action=[kms.Decrypt],
            Resource=["*"],
            Condition=Condition([StringEquals(delivery)]),
        ),
    ]


def _logs_use() -> Statement:
    """CloudWatch Logs, for our log groups only.

    https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/encrypt-log-data-kms.html
    """
    groups = [
        names.VALIDATION_LOG_GROUP,
        names.PROCESSING_LOG_GROUP,
        names.RECONCILIATION_LOG_GROUP,
        names.WORKFLOW_LOG_GROUP,
    ]
    return Statement(
        Sid="LogGroupsOfThisPlatform",
        Effect=Allow,
        Principal=Principal("Service", Sub("logs.${AWS::Region}.${AWS::URLSuffix}")),
        Action=[kms.Decrypt, kms.DescribeKey, kms.Encrypt, kms.GenerateDataKey, kms.ReEncryptFrom, kms.ReEncryptTo],
        Resource=["*"],
        Condition=Condition(
            [ArnEquals({"kms:EncryptionContext:aws:logs:arn": [names.log_group_arn(group) for group in groups]})]
        ),
    )
