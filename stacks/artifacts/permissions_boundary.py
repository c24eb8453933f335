"""The permissions boundary: the most that a role of the platform may do, whatever policies are attached to it.

The artifacts stack has one boundary for each environment, and every role of that environment has it. A deployment with
CloudFormation's role may create roles and policies under the platform's names; the boundary limits them to what the
platform does in their own environment.
https://docs.aws.amazon.com/IAM/latest/UserGuide/access_policies_boundaries.html
"""

from collections.abc import Sequence

from awacs.aws import Statement, StringEquals
from troposphere import AWSHelperFn, Equals, Sub, Template
from troposphere.iam import ManagedPolicy

from .. import names, references
from ..policies import ACCOUNT, LOG_DELIVERY, allow, only_in_context, policy_document
from ..settings import PLATFORM_BOUNDARY
from ..suppressions import suppress_wildcards
from ..wiring import RETAINED, Value, to_pascal_case

# The services that use keys on behalf of the platform's roles.
_KEY_USERS = ("backup", "dynamodb", "lambda", "secretsmanager", "sns", "sqs")


def add_boundaries(
    template: Template, boundary: Value, environments: Sequence[str], shifting: Sequence[str] = ()
) -> None:
    """Add the boundary of each environment to the artifacts stack; ``shifting`` are those that CodeDeploy acts in."""
    template.add_condition("HasOurBoundary", Equals(boundary, PLATFORM_BOUNDARY))
    for environment in environments:
        policy = template.add_resource(
            ManagedPolicy(
                f"Boundary{to_pascal_case(environment)}",
                ManagedPolicyName=names.in_environment(names.BOUNDARY_POLICY, environment),
                Description=f"No role of the payment platform in {environment} can do more than this",
                PolicyDocument=policy_document(
                    *_allowed_statements(environment),
                    *(_allow_traffic_shift(environment) if environment in shifting else ()),
                ),
                Condition="HasOurBoundary",
                # The environment's roles use it for as long as they exist.
                **RETAINED,
            )
        )
        suppress_wildcards(
            policy,
            "A boundary grants nothing; keys, secrets and log streams have names that AWS completes",
            *_accepted_wildcards(environment),
            *(_live_versions(environment) if environment in shifting else ()),
        )


def _allowed_statements(environment: str) -> list[Statement]:
    def arns(service: str, *resources: str) -> list[AWSHelperFn]:
        return [references.arn(service, names.in_environment(resource, environment)) for resource in resources]

    keys = [references.arn("kms", "key/*")]
    of_this_account: dict[str, object] = {"kms:CallerAccount": ACCOUNT}
    tables = (names.TABLE, f"{names.TABLE}/index/{names.OPEN_INDEX}", names.LEDGER_TABLE)
    return [
        allow(
            "Tables",
            "dynamodb:BatchGetItem DescribeTable GetItem ListTagsOfResource PutItem Query StartAwsBackupJob",
            arns("dynamodb", *(f"table/{table}" for table in tables)),
        ),
        allow("DeadLetters", "sqs:SendMessage", arns("sqs", names.QUEUE)),
        allow("Notices", "sns:Publish", arns("sns", names.TOPIC)),
        allow(
            "Functions",
            "lambda:InvokeFunction",
            arns("lambda", *(f"function:{function.name}:{names.LIVE}" for function in names.FUNCTIONS)),
        ),
        allow(
            "Reconciliation", "states:StartExecution", arns("states", f"stateMachine:{names.RECONCILIATION_WORKFLOW}")
        ),
        allow(
            "Backups",
            "backup:CopyIntoBackupVault DescribeBackupVault",
            arns("backup", f"backup-vault:{names.BACKUP_VAULT}"),
        ),
        allow("Secrets", "secretsmanager:GetSecretValue", [references.arn("secretsmanager", "secret:*")]),
        allow(
            "KeysThroughServices",
            "kms:Decrypt GenerateDataKey",
            keys,
            StringEquals(
                of_this_account
                | {"kms:ViaService": [Sub(f"{name}.${{AWS::Region}}.${{AWS::URLSuffix}}") for name in _KEY_USERS]}
            ),
        ),
        # Step Functions calls KMS as the role itself, not through another service.
        allow(
            "KeysOfExecutions",
            "kms:Decrypt GenerateDataKey",
            keys,
            only_in_context(
                "states",
                stateMachineArn=arns("states", *(f"stateMachine:{name}" for name in names.PAYMENT_WORKFLOWS)),
            ),
        ),
        allow(
            "KeysOfLogDelivery",
            "kms:GenerateDataKey",
            keys,
            StringEquals(of_this_account | {"kms:EncryptionContext:SourceArn": references.arn("logs", "*")}),
        ),
        allow("KeysAreFound", "kms:DescribeKey", keys, StringEquals(of_this_account)),
        allow(
            "Logs",
            "logs:CreateLogStream PutLogEvents",
            arns("logs", *(f"log-group:{group}:*" for group in names.FUNCTION_LOG_GROUPS)),
        ),
        allow("LogDeliveryHasNoResource", LOG_DELIVERY, ["*"]),
        allow(
            "TracingHasNoResource",
            "xray:GetSamplingRules GetSamplingTargets PutTelemetryRecords PutTraceSegments",
            ["*"],
        ),
    ]


def _allow_traffic_shift(environment: str) -> list[Statement]:
    """Allow what CodeDeploy does while it shifts traffic (security/role_policies.py)."""
    functions = [
        references.function_arn(names.in_environment(function.name, environment)) for function in names.FUNCTIONS
    ]
    return [
        allow(
            "TrafficShift",
            "lambda:GetAlias GetProvisionedConcurrencyConfig UpdateAlias",
            [*functions, *_live_versions(environment)],
        ),
        allow("AlarmsCannotBeDescribedByName", "cloudwatch:DescribeAlarms", ["*"]),
    ]


def _live_versions(environment: str) -> list[AWSHelperFn]:
    """Return the versions of the functions, which Lambda numbers, and their aliases."""
    return [
        references.function_arn(names.in_environment(f"{function.name}:*", environment)) for function in names.FUNCTIONS
    ]


def _accepted_wildcards(environment: str) -> list[str | AWSHelperFn]:
    """Return the resources with a wildcard that the boundary may contain."""
    groups = [names.in_environment(group, environment) for group in names.FUNCTION_LOG_GROUPS]
    streams = [references.log_streams_arn(group) for group in groups]
    return [references.arn("secretsmanager", "secret:*"), references.arn("kms", "key/*"), *streams, "*"]
