"""The permissions boundary: what no role of the platform can do, whatever policies it is given.

The account's own stack (templates/artifacts.yaml) has one boundary for each environment, and every role of that
environment has it. A deployment with CloudFormation's role may create roles and policies under the platform's names;
the boundary limits them to what the platform does in their own environment.
https://docs.aws.amazon.com/IAM/latest/UserGuide/access_policies_boundaries.html
"""

from collections.abc import Sequence

from awacs.aws import Statement, StringEquals
from troposphere import AWSHelperFn, Equals, Sub, Template
from troposphere.iam import ManagedPolicy

from .. import names
from ..policies import ACCOUNT, LOG_DELIVERY, allow, policy_document
from ..settings import PLATFORM_BOUNDARY
from ..suppressions import suppress_wildcards
from ..wiring import RETAINED, Value, to_pascal_case


def add_boundaries(template: Template, boundary: Value, environments: Sequence[str]) -> None:
    """Add the boundary of each environment to the account's own stack."""
    template.add_condition("HasOurBoundary", Equals(boundary, PLATFORM_BOUNDARY))
    for environment in environments:
        policy = template.add_resource(
            ManagedPolicy(
                f"Boundary{to_pascal_case(environment)}",
                ManagedPolicyName=names.in_environment(names.BOUNDARY_POLICY, environment),
                Description=f"No role of the payment platform in {environment} can do more than this",
                PolicyDocument=policy_document(*_allowed_statements(environment)),
                Condition="HasOurBoundary",
                # It is in use as long as there are roles.
                **RETAINED,
            )
        )
        suppress_wildcards(
            policy,
            "A boundary grants nothing; keys, secrets and log streams have names that AWS completes",
            *_accepted_wildcards(environment),
        )


def _allowed_statements(environment: str) -> list[Statement]:
    def in_this_environment(*patterns: str) -> list[str]:
        return [names.in_environment(pattern, environment) for pattern in patterns]

    keys = [names.arn("kms", "key/*")]
    return [
        allow(
            "Tables",
            "dynamodb:BatchGetItem DescribeTable GetItem ListTagsOfResource PutItem Query StartAwsBackupJob",
            [
                names.arn("dynamodb", f"table/{table}")
                for table in in_this_environment(
                    names.TABLE, f"{names.TABLE}/index/{names.OPEN_INDEX}", names.LEDGER_TABLE
                )
            ],
        ),
        allow(
            "DeadLetters", "sqs:SendMessage", [names.arn("sqs", queue) for queue in in_this_environment(names.QUEUE)]
        ),
        allow("Notices", "sns:Publish", [names.arn("sns", topic) for topic in in_this_environment(names.TOPIC)]),
        allow(
            "Functions",
            "lambda:InvokeFunction",
            [names.live_function_arn(function) for function in in_this_environment(*names.FUNCTIONS)],
        ),
        allow(
            "Backups",
            "backup:CopyIntoBackupVault DescribeBackupVault",
            [names.arn("backup", f"backup-vault:{vault}") for vault in in_this_environment(names.BACKUP_VAULT)],
        ),
        allow("Secrets", "secretsmanager:GetSecretValue", [names.arn("secretsmanager", "secret:*")]),
        allow(
            "KeysThroughServices",
            "kms:Decrypt GenerateDataKey",
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
            "kms:Decrypt GenerateDataKey",
            keys,
            StringEquals(
                {
                    "kms:CallerAccount": ACCOUNT,
                    "kms:EncryptionContext:aws:states:stateMachineArn": [
                        names.arn("states", f"stateMachine:{workflow}")
                        for workflow in in_this_environment(names.WORKFLOW)
                    ],
                }
            ),
        ),
        allow(
            "KeysOfLogDelivery",
            "kms:GenerateDataKey",
            keys,
            StringEquals(
                {"kms:CallerAccount": ACCOUNT, "kms:EncryptionContext:SourceArn": names.arn("logs", "*")},
            ),
        ),
        allow("KeysAreFound", "kms:DescribeKey", keys, StringEquals({"kms:CallerAccount": ACCOUNT})),
        allow(
            "Logs",
            "logs:CreateLogStream PutLogEvents",
            [names.log_streams_arn(group) for group in in_this_environment(*names.FUNCTION_LOG_GROUPS)],
        ),
        allow("LogDeliveryHasNoResource", LOG_DELIVERY, ["*"]),
        allow(
            "TracingHasNoResource",
            "xray:GetSamplingRules GetSamplingTargets PutTelemetryRecords PutTraceSegments",
            ["*"],
        ),
    ]


def _accepted_wildcards(environment: str) -> list[str | AWSHelperFn]:
    """Return the resources with a wildcard that the boundary may contain."""
    groups = [names.in_environment(group, environment) for group in names.FUNCTION_LOG_GROUPS]
    streams = [names.log_streams_arn(group) for group in groups]
    return [names.arn("secretsmanager", "secret:*"), names.arn("kms", "key/*"), *streams, "*"]
