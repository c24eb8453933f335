"""Who may use each customer-managed key: through which services, and in which encryption context.

The principal is the account instead of a role, because KMS rejects a role that does not exist yet and no longer
recognizes one that was deleted and created again. So the role's own policy must allow the use, too (role_policies.py).

The key policies name CloudFormation's role if the account has one. The role's own policy could identify a key only by
a tag, which may take effect five minutes after the creation of the key.
https://docs.aws.amazon.com/kms/latest/developerguide/tag-authorization.html
"""

from awacs.aws import ArnEquals, ConditionElement, Principal, Statement, StringEquals
from troposphere import If, Sub

from .. import names, references
from ..policies import ACCOUNT, ACCOUNT_ROOT, ACCOUNT_ROOT_ARN, allow, only_in_context, only_through

_PUBLISHERS = (names.WORKFLOW_ROLE, names.RECONCILIATION.role)


def allow_administration() -> Statement:
    """Allow CloudFormation's role what the handlers of AWS::KMS::Key and AWS::KMS::Alias request."""
    return _by_cloudformation(
        "CloudFormationAdministersKey",
        "kms:CreateAlias DeleteAlias DescribeKey DisableKey DisableKeyRotation EnableKey EnableKeyRotation "
        "GetKeyPolicy GetKeyRotationStatus ListResourceTags PutKeyPolicy ScheduleKeyDeletion TagResource "
        "UntagResource UpdateAlias UpdateKeyDescription",
        StringEquals({"kms:CallerAccount": ACCOUNT}),
    )


def _by_cloudformation(sid: str, actions: str, condition: StringEquals) -> Statement:
    """Allow CloudFormation's role if it exists, otherwise the account, because a policy cannot name a missing role.

    The template needs the condition ``HasServiceRole``.
    """
    role = If("HasServiceRole", references.role_arn(names.SERVICE_ROLE), ACCOUNT_ROOT_ARN)
    return _allow_use(sid, Principal("AWS", role), actions, condition)


def _allow_use(sid: str, principal: Principal, actions: str, *conditions: ConditionElement) -> Statement:
    return allow(sid, actions, ["*"], *conditions, principal=principal)


def allow_dynamodb() -> list[Statement]:
    """Allow the use of a table's key through DynamoDB and, for backups, through AWS Backup.

    The principal is the account, so the caller's own policy, which names the table, must allow the use, too.
    https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/encryption.usagenotes.html
    """
    return [
        _allow_use(
            "TableEncryptionThroughDynamoDB",
            ACCOUNT_ROOT,
            "kms:CreateGrant Decrypt DescribeKey Encrypt GenerateDataKey ReEncryptFrom ReEncryptTo",
            only_through("dynamodb"),
        ),
        # In every environment, because a vault that is retained after backups were disabled must stay readable.
        # https://docs.aws.amazon.com/aws-backup/latest/devguide/encryption.html
        _allow_use(
            "BackupVaultThroughAWSBackup",
            ACCOUNT_ROOT,
            "kms:CreateGrant Decrypt DescribeKey GenerateDataKey",
            only_through("backup"),
        ),
        _by_cloudformation(
            "CloudFormationMakesTables",
            "kms:CreateGrant Decrypt DescribeKey Encrypt GenerateDataKey RevokeGrant",
            only_through("dynamodb"),
        ),
        _by_cloudformation(
            "CloudFormationMakesVaults",
            "kms:CreateGrant Decrypt DescribeKey GenerateDataKey RetireGrant",
            only_through("backup"),
        ),
    ]


def allow_sns() -> list[Statement]:
    """Allow the publishers to use the topic's key: the workflow, reconciliation, and the alarms.

    https://docs.aws.amazon.com/sns/latest/dg/sns-key-management.html
    """
    use = "kms:Decrypt GenerateDataKey"
    return [
        _allow_use(
            "RolesPublish",
            # KMS rejects a principal that does not exist yet, so a condition names the roles.
            ACCOUNT_ROOT,
            use,
            ArnEquals({"aws:PrincipalArn": [references.role_arn(role) for role in _PUBLISHERS]}),
            only_through("sns", topicArn=references.TOPIC_ARN),
        ),
        _allow_use(
            "AlarmsPublish",
            Principal("Service", "cloudwatch.amazonaws.com"),
            use,
            StringEquals(
                {"aws:SourceAccount": ACCOUNT, "kms:EncryptionContext:aws:sns:topicArn": references.TOPIC_ARN}
            ),
        ),
    ]


def allow_queues() -> list[Statement]:
    """Allow use through SQS, and by EventBridge and SNS for what they could not deliver.

    EventBridge passes no source to KMS, so the queue's policy names the rule. The same applies to SNS.
    https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-key-management.html
    https://docs.aws.amazon.com/sns/latest/dg/sns-dead-letter-queues.html
    """
    use = "kms:Decrypt GenerateDataKey"
    return [
        _allow_use(
            "DeadLettersThroughSQS",
            ACCOUNT_ROOT,
            use,
            only_through("sqs", arn=[references.arn("sqs", queue) for queue in names.QUEUES]),
        ),
        _allow_use(
            "ScheduleDeadLetters",
            Principal("Service", "events.amazonaws.com"),
            use,
            StringEquals({"kms:EncryptionContext:aws:sqs:arn": references.QUEUE_ARN}),
        ),
        _allow_use(
            "UndeliveredNotices",
            Principal("Service", "sns.amazonaws.com"),
            use,
            StringEquals({"kms:EncryptionContext:aws:sqs:arn": references.NOTIFICATION_QUEUE_ARN}),
        ),
    ]


def allow_functions() -> list[Statement]:
    """Allow Lambda to encrypt and decrypt environment variables for the functions' roles and for the deployer.

    https://docs.aws.amazon.com/lambda/latest/dg/configuration-envvars-encryption.html
    """
    use = "kms:CreateGrant Decrypt Encrypt GenerateDataKey"
    condition = only_through(
        "lambda", FunctionArn=[references.function_arn(function.name) for function in names.FUNCTIONS]
    )
    return [
        _allow_use("EnvironmentVariablesThroughLambda", ACCOUNT_ROOT, use, condition),
        _by_cloudformation("CloudFormationMakesFunctions", use, condition),
    ]


def allow_workflow() -> list[Statement]:
    """Allow the workflow's role, callers that start or read an execution, and the delivery of its log.

    https://docs.aws.amazon.com/step-functions/latest/dg/encryption-at-rest.html
    """
    # The value looks like a pattern; KMS compares it literally.
    delivery = {"kms:EncryptionContext:SourceArn": references.arn("logs", "*")}
    return [
        _allow_use(
            "ExecutionsOfTheWorkflow",
            ACCOUNT_ROOT,
            "kms:Decrypt GenerateDataKey",
            only_in_context("states", stateMachineArn=references.PAYMENT_WORKFLOW_ARNS),
        ),
        # The role generates the data key that the delivery service decrypts.
        _allow_use(
            "RoleEncryptsLogDelivery",
            ACCOUNT_ROOT,
            "kms:GenerateDataKey",
            ArnEquals({"aws:PrincipalArn": references.role_arn(names.WORKFLOW_ROLE)}),
            StringEquals({"kms:CallerAccount": ACCOUNT, **delivery}),
        ),
        _by_cloudformation(
            "CloudFormationMakesTheWorkflow",
            "kms:Decrypt GenerateDataKey",
            only_in_context("states", stateMachineArn=references.PAYMENT_WORKFLOW_ARNS),
        ),
        _allow_use(
            "LogDeliveryOfTheWorkflow",
            Principal("Service", "delivery.logs.amazonaws.com"),
            "kms:Decrypt",
            StringEquals(delivery),
        ),
    ]


def allow_logs() -> Statement:
    """Allow CloudWatch Logs, for the platform's log groups only.

    https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/encrypt-log-data-kms.html
    """
    return _allow_use(
        "LogGroupsOfThisPlatform",
        Principal("Service", Sub("logs.${AWS::Region}.${AWS::URLSuffix}")),
        "kms:Decrypt DescribeKey Encrypt GenerateDataKey ReEncryptFrom ReEncryptTo",
        ArnEquals(
            {"kms:EncryptionContext:aws:logs:arn": [references.log_group_arn(group) for group in names.LOG_GROUPS]}
        ),
    )
