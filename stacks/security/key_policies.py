"""Who may use each customer-managed key, and for what: through which services, in which encryption context.

The principal is the account wherever a role is meant: KMS refuses a role that does not exist yet, and loses one that is
made anew. So a role's own policy has to allow the use, too (role_policies.py).

CloudFormation's role is the exception, where the account has one: it is named, so the key's policy alone allows what it
does to the key. Its own policy could only name keys by a tag, which may count as late as five minutes after the key was
made.
https://docs.aws.amazon.com/kms/latest/developerguide/tag-authorization.html
"""

from collections.abc import Sequence

from awacs import kms
from awacs.aws import Action, Allow, ArnEquals, Condition, Principal, Statement, StringEquals
from troposphere import If, Sub

from .. import names
from ..policies import ACCOUNT, account_root, account_root_arn, only_in_context, only_through


def allow_administration() -> Statement:
    """What the resource types AWS::KMS::Key and AWS::KMS::Alias ask of CloudFormation's role."""
    return _by_cloudformation(
        "CloudFormationAdministersKey",
        [
            kms.CreateAlias,
            kms.DeleteAlias,
            kms.DescribeKey,
            kms.DisableKey,
            kms.DisableKeyRotation,
            kms.EnableKey,
            kms.EnableKeyRotation,
            kms.GetKeyPolicy,
            kms.GetKeyRotationStatus,
            kms.ListResourceTags,
            kms.PutKeyPolicy,
            kms.ScheduleKeyDeletion,
            kms.TagResource,
            kms.UntagResource,
            kms.UpdateAlias,
            kms.UpdateKeyDescription,
        ],
        StringEquals({"kms:CallerAccount": ACCOUNT}),
    )


def _by_cloudformation(sid: str, actions: Sequence[Action], condition: StringEquals) -> Statement:
    """For CloudFormation's role where the account has it; else for the account, which the role's absence leaves it to.

    Only a role that exists can be named. The template has the condition ``HasServiceRole``.
    """
    role = If("HasServiceRole", names.role_arn(names.SERVICE_ROLE), account_root_arn())
    return Statement(
        Sid=sid,
        Effect=Allow,
        Principal=Principal("AWS", role),
        Action=list(actions),
        Resource=["*"],
        Condition=Condition([condition]),
    )


def allow_dynamodb() -> list[Statement]:
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
            Condition=Condition([only_through("dynamodb")]),
        ),
        # Always: a vault that is kept when backups are switched off has to be readable.
        # https://docs.aws.amazon.com/aws-backup/latest/devguide/encryption.html
        Statement(
            Sid="BackupVaultThroughAWSBackup",
            Effect=Allow,
            Principal=account_root(),
            Action=[kms.CreateGrant, kms.Decrypt, kms.DescribeKey, kms.GenerateDataKey],
            Resource=["*"],
            Condition=Condition([only_through("backup")]),
        ),
        _by_cloudformation(
            "CloudFormationMakesTables",
            [kms.CreateGrant, kms.Decrypt, kms.DescribeKey, kms.Encrypt, kms.GenerateDataKey, kms.RevokeGrant],
            only_through("dynamodb"),
        ),
        _by_cloudformation(
            "CloudFormationMakesVaults",
            [kms.CreateGrant, kms.Decrypt, kms.DescribeKey, kms.GenerateDataKey, kms.RetireGrant],
            only_through("backup"),
        ),
    ]


def allow_sns() -> list[Statement]:
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
                    only_through("sns", topicArn=names.topic_arn()),
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


def allow_queues() -> list[Statement]:
    """Whoever sends or receives a dead letter, by way of SQS; EventBridge and SNS, for what they could not deliver.

    https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-key-management.html says that
    EventBridge gives no source in the key's policy; the queue's own policy names the rule. The same for SNS, whose
    topic the other queue's policy names.
    https://docs.aws.amazon.com/sns/latest/dg/sns-dead-letter-queues.html
    """
    use = [kms.Decrypt, kms.GenerateDataKey]
    return [
        Statement(
            Sid="DeadLettersThroughSQS",
            Effect=Allow,
            Principal=account_root(),
            Action=use,
            Resource=["*"],
            Condition=Condition(
                [only_through("sqs", arn=[names.arn("sqs", allow_queues) for allow_queues in names.QUEUES])]
            ),
        ),
        Statement(
            Sid="ScheduleDeadLetters",
            Effect=Allow,
            Principal=Principal("Service", "events.amazonaws.com"),
            Action=use,
            Resource=["*"],
            Condition=Condition([StringEquals({"kms:EncryptionContext:aws:sqs:arn": names.queue_arn()})]),
        ),
        Statement(
            Sid="UndeliveredNotices",
            Effect=Allow,
            Principal=Principal("Service", "sns.amazonaws.com"),
            Action=use,
            Resource=["*"],
            Condition=Condition([StringEquals({"kms:EncryptionContext:aws:sqs:arn": names.notification_queue_arn()})]),
        ),
    ]


def allow_functions() -> list[Statement]:
    """What Lambda asks of the key of a function's variables: of who deploys it, and of its role.

    https://docs.aws.amazon.com/lambda/latest/dg/configuration-envvars-encryption.html
    """
    use = [kms.CreateGrant, kms.Decrypt, kms.Encrypt, kms.GenerateDataKey]
    condition = only_through("lambda", FunctionArn=[names.function_arn(name) for name in names.FUNCTIONS])
    return [
        Statement(
            Sid="EnvironmentVariablesThroughLambda",
            Effect=Allow,
            Principal=account_root(),
            Action=use,
            Resource=["*"],
            Condition=Condition([condition]),
        ),
        _by_cloudformation("CloudFormationMakesFunctions", use, condition),
    ]


def allow_workflow() -> list[Statement]:
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
            Condition=Condition([only_in_context("states", stateMachineArn=names.workflow_arn())]),
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
        _by_cloudformation(
            "CloudFormationMakesTheWorkflow",
            [kms.Decrypt, kms.GenerateDataKey],
            only_in_context("states", stateMachineArn=names.workflow_arn()),
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


def allow_logs() -> Statement:
    """CloudWatch Logs, for our log groups only.

    https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/encrypt-log-data-kms.html
    """
    return Statement(
        Sid="LogGroupsOfThisPlatform",
        Effect=Allow,
        Principal=Principal("Service", Sub("logs.${AWS::Region}.${AWS::URLSuffix}")),
        Action=[kms.Decrypt, kms.DescribeKey, kms.Encrypt, kms.GenerateDataKey, kms.ReEncryptFrom, kms.ReEncryptTo],
        Resource=["*"],
        Condition=Condition(
            [
                ArnEquals(
                    {"kms:EncryptionContext:aws:logs:arn": [names.log_group_arn(group) for group in names.LOG_GROUPS]}
                )
            ]
        ),
    )
