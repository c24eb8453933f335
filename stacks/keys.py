"""The customer-managed keys, and who may use them for what."""

from awacs import kms
from awacs.aws import Allow, ArnEquals, Condition, Principal, Statement, StringEquals
from troposphere import Sub, Template
from troposphere.kms import Alias, Key

from . import names
from .policies import ACCOUNT, account_root, document, key_administration, through
from .wiring import Value, tags


def dynamodb(template: Template, window_days: Value) -> Key:
    return _key(
        template,
        "DynamodbKey",
        "Encrypts the tables of payments",
        names.DYNAMODB_KEY_ALIAS,
        _dynamodb_use(),
        window_days,
    )


def sns(template: Template, window_days: Value) -> Key:
    return _key(template, "SnsKey", "Encrypts the payment notices", names.SNS_KEY_ALIAS, _sns_use(), window_days)


def logs(template: Template, window_days: Value) -> Key:
    return _key(template, "LogsKey", "Encrypts the log groups", names.LOGS_KEY_ALIAS, _logs_use(), window_days)


def _key(
    template: Template, title: str, description: str, alias: str, uses: list[Statement], window_days: Value
) -> Key:
    """A key that is never deleted with the stack: what it encrypted would be lost with it."""
    made: Key = template.add_resource(
        Key(
            title,
            Description=description,
            EnableKeyRotation=True,
            PendingWindowInDays=window_days,
            KeyPolicy=document(key_administration(), *uses),
            Tags=tags(),
            DeletionPolicy="RetainExceptOnCreate",
            UpdateReplacePolicy="Retain",
        )
    )
    template.add_resource(Alias(f"{title}Alias", AliasName=names.named(alias), TargetKeyId=made.ref()))
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


def _logs_use() -> list[Statement]:
    """CloudWatch Logs, for our log groups only.

    https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/encrypt-log-data-kms.html
    """
    groups = [
        names.VALIDATION_LOG_GROUP,
        names.PROCESSING_LOG_GROUP,
        names.RECONCILIATION_LOG_GROUP,
        names.WORKFLOW_LOG_GROUP,
    ]
    return [
        Statement(
            Sid="LogGroupsOfThisPlatform",
            Effect=Allow,
            Principal=Principal("Service", Sub("logs.${AWS::Region}.${AWS::URLSuffix}")),
            Action=[kms.Decrypt, kms.DescribeKey, kms.Encrypt, kms.GenerateDataKey, kms.ReEncryptFrom, kms.ReEncryptTo],
            Resource=["*"],
            Condition=Condition(
                [ArnEquals({"kms:EncryptionContext:aws:logs:arn": [names.log_group_arn(group) for group in groups]})]
            ),
        )
    ]
