"""The permissions boundary: what no role of the platform can do, whatever policies it is given.

The account has one (templates/artifacts.yaml), and each role of each environment stands under it. Who deploys with
CloudFormation's role may make roles and policies of the platform's names; the boundary keeps what those can do to what
the platform does. https://docs.aws.amazon.com/IAM/latest/UserGuide/access_policies_boundaries.html
"""

from awacs import awslambda as lambda_
from awacs import backup, dynamodb, kms, logs, secretsmanager, sns, sqs, xray
from awacs.aws import Statement, StringEquals, StringLike
from troposphere import Equals, If, Not, Ref, Sub, Template
from troposphere.iam import ManagedPolicy

from . import names
from .policies import ACCOUNT, LOG_DELIVERY, allow, document
from .suppressions import suppress
from .wiring import Value

# In the settings file, for the one that is made here.
OURS = "platform"


def conditions(template: Template, boundary: Value) -> None:
    """What ``of`` needs of a template that has roles."""
    template.add_condition("HasBoundary", Not(Equals(boundary, "")))
    template.add_condition("HasOurBoundary", Equals(boundary, OURS))


def arn(boundary: Value) -> If:
    """The boundary's ARN, where there is one."""
    return If("HasOurBoundary", names.arn("iam", f"policy/{names.BOUNDARY_POLICY}", region=False), boundary)


def of(boundary: Value) -> If:
    """A role's ``PermissionsBoundary``."""
    return If("HasBoundary", arn(boundary), Ref("AWS::NoValue"))


def add(template: Template, boundary: Value) -> None:
    """The boundary itself, in the account's own stack."""
    template.add_condition("HasOurBoundary", Equals(boundary, OURS))
    policy = template.add_resource(
        ManagedPolicy(
            "Boundary",
            ManagedPolicyName=names.BOUNDARY_POLICY,
            Description="No role of the payment platform can do more than this",
            PolicyDocument=document(*_ceiling()),
            Condition="HasOurBoundary",
            # Roles stand under it for as long as there are any.
            DeletionPolicy="RetainExceptOnCreate",
            UpdateReplacePolicy="Retain",
        )
    )
    suppress(
        policy,
        "A boundary grants nothing; this one covers all environments, whose names end in the environment's",
        nag=("AwsSolutions-IAM5",),
    )


def _ceiling() -> list[Statement]:
    tables = [names.everywhere(name) for name in (names.TABLE, names.LEDGER_TABLE)]
    functions = (names.VALIDATION_FUNCTION, names.PROCESSING_FUNCTION, names.RECONCILIATION_FUNCTION)
    keys = [names.arn("kms", "key/*")]
    groups = [names.VALIDATION_LOG_GROUP, names.PROCESSING_LOG_GROUP, names.RECONCILIATION_LOG_GROUP]
    return [
        allow(
            "Tables",
            [
                dynamodb.BatchGetItem,
                dynamodb.DescribeTable,
                dynamodb.GetItem,
                dynamodb.ListTagsOfResource,
                dynamodb.PutItem,
                dynamodb.Query,
                dynamodb.StartAwsBackupJob,
            ],
            [names.arn("dynamodb", f"table/{table}") for table in tables],
        ),
        allow("DeadLetters", [sqs.SendMessage], [names.arn("sqs", names.everywhere(names.QUEUE))]),
        allow("Notices", [sns.Publish], [names.arn("sns", names.everywhere(names.TOPIC))]),
        allow(
            "Functions",
            [lambda_.InvokeFunction],
            [names.live_function_arn(names.everywhere(name)) for name in functions],
        ),
        allow(
            "Backups",
            [backup.CopyIntoBackupVault, backup.DescribeBackupVault],
            [names.arn("backup", f"backup-vault:{names.everywhere(names.BACKUP_VAULT)}")],
        ),
        allow("Secrets", [secretsmanager.GetSecretValue], [names.arn("secretsmanager", "secret:*")]),
        allow(
            "KeysThroughServices",
            [kms.Decrypt, kms.GenerateDataKey],
            keys,
            StringEquals(
                {
                    "kms:CallerAccount": ACCOUNT,
                    "kms:ViaService": [
                        Sub(f"{service}.${{AWS::Region}}.${{AWS::URLSuffix}}")
                        for service in ("backup", "dynamodb", "lambda", "secretsmanager", "sns", "sqs")
                    ],
                }
            ),
        ),
        # Step Functions calls KMS as the role itself.
        allow(
            "KeysOfExecutions",
            [kms.Decrypt, kms.GenerateDataKey],
            keys,
            StringEquals({"kms:CallerAccount": ACCOUNT}),
            StringLike(
                {
                    "kms:EncryptionContext:aws:states:stateMachineArn": names.arn(
                        "states", f"stateMachine:{names.everywhere(names.WORKFLOW)}"
                    )
                }
            ),
        ),
        allow(
            "KeysOfLogDelivery",
            [kms.GenerateDataKey],
            keys,
            StringEquals(
                {"kms:CallerAccount": ACCOUNT, "kms:EncryptionContext:SourceArn": names.arn("logs", "*")},
            ),
        ),
        allow("KeysAreFound", [kms.DescribeKey], keys, StringEquals({"kms:CallerAccount": ACCOUNT})),
        allow(
            "Logs",
            [logs.CreateLogStream, logs.PutLogEvents],
            [names.log_streams_arn(names.everywhere(group)) for group in groups],
        ),
        allow("LogDeliveryHasNoResource", LOG_DELIVERY, ["*"]),
        allow(
            "TracingHasNoResource",
            [xray.GetSamplingRules, xray.GetSamplingTargets, xray.PutTelemetryRecords, xray.PutTraceSegments],
            ["*"],
        ),
    ]
