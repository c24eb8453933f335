"""The roles that deploy: what the resource types' own schemas ask for, and no more."""

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
from cfnlint.schema.manager import PROVIDER_SCHEMA_MANAGER

from scripts.deployer.plan.evaluate import Evaluated, evaluate
from scripts.deployer.plan.templates import Tree, parse
from tests.emitted import NESTED, ROOT

ACCOUNT = "123456789012"
BOUNDARY = f"arn:aws:iam::{ACCOUNT}:policy/policy-payment-boundary"
PSEUDO = {
    "AWS::AccountId": ACCOUNT,
    "AWS::Region": "eu-west-1",
    "AWS::Partition": "aws",
    "AWS::URLSuffix": "amazonaws.com",
}
# What a schema asks for that the platform does not use.
UNUSED = {
    "imports, exports and replicas of tables": (
        "dynamodb:AssociateTableReplica dynamodb:BatchWriteItem dynamodb:CreateTableReplica "
        "dynamodb:DeleteItem dynamodb:DescribeImport dynamodb:GetItem dynamodb:ImportTable dynamodb:PutItem "
        "dynamodb:Query dynamodb:Scan dynamodb:UpdateItem logs:CreateLogStream logs:DescribeLogStreams "
        "logs:PutLogEvents s3:GetObjectMetadata s3:ListBucket"
    ),
    "streams and insights of tables, their policies": (
        "dynamodb:DeleteResourcePolicy dynamodb:DisableKinesisStreamingDestination "
        "dynamodb:EnableKinesisStreamingDestination dynamodb:PutResourcePolicy "
        "dynamodb:UpdateContributorInsights dynamodb:UpdateKinesisStreamingDestination kinesis:DescribeStream "
        "kinesis:PutRecords"
    ),
    "users, groups, inline policies, roles without a boundary": (
        "iam:AttachGroupPolicy iam:AttachUserPolicy "
        "iam:DeleteRolePermissionsBoundary iam:DeleteRolePolicy iam:DetachGroupPolicy iam:DetachUserPolicy "
        "iam:PutRolePolicy"
    ),
    "networks, file systems and gradual deployments of functions": (
        "codedeploy:CreateDeployment codedeploy:GetDeployment codedeploy:GetDeploymentConfig "
        "codedeploy:GetDeploymentGroup codedeploy:StopDeployment ec2:DescribeNetworkInterfaces "
        "ec2:DescribeSecurityGroups ec2:DescribeSubnets ec2:DescribeVpcs "
        "elasticfilesystem:DescribeMountTargets s3files:ListMountTargets"
    ),
    "signing, scaling, recursion, capacity and pinned runtimes of functions": (
        "lambda:AssociateRuntimeAlias lambda:DeleteFunctionCodeSigningConfig "
        "lambda:DeleteProvisionedConcurrencyConfig lambda:GetCodeSigningConfig "
        "lambda:GetFunctionScalingConfig lambda:PassCapacityProvider lambda:PutFunctionCodeSigningConfig "
        "lambda:PutFunctionRecursionConfig lambda:PutFunctionScalingConfig "
        "lambda:PutProvisionedConcurrencyConfig lambda:PutRuntimeManagementConfig"
    ),
    "policies, indexes and deliveries of log groups": (
        "firehose:TagDeliveryStream logs:DeleteIndexPolicy "
        "logs:DeleteResourcePolicy logs:PutBearerTokenAuthentication "
        "logs:PutIndexPolicy logs:PutLogGroupDeletionProtection s3:REST.PUT.OBJECT"
    ),
    "data protection of topics": "sns:PutDataProtectionPolicy",
    "policies, locks and notices of vaults": (
        "backup:DeleteBackupVaultAccessPolicy backup:DeleteBackupVaultLockConfiguration "
        "backup:DeleteBackupVaultNotifications backup:PutBackupVaultAccessPolicy "
        "backup:PutBackupVaultLockConfiguration backup:PutBackupVaultNotifications backup-storage:Mount"
    ),
}
# What change sets of nested stacks, and Step Functions' logging, ask for beyond the schemas.
# https://docs.aws.amazon.com/step-functions/latest/dg/cw-logs.html
BEYOND = (
    "cloudformation:CancelUpdateStack cloudformation:CreateChangeSet cloudformation:DeleteChangeSet "
    "cloudformation:DescribeChangeSet cloudformation:ExecuteChangeSet logs:DeleteLogDelivery "
    "logs:GetLogDelivery logs:ListLogDeliveries logs:UpdateLogDelivery"
)


def roles(**parameters: str) -> Evaluated:
    text = (ROOT / "templates" / "artifacts.yaml").read_text(encoding="utf-8")
    return evaluate(Tree(parse(text)), parameters, PSEUDO)


EVERYTHING = roles(ServiceRole="true", PermissionsBoundary="platform", GithubRepository="us/payments")


def statements(stack: Evaluated, *names: str) -> Iterator[dict[str, Any]]:
    for name in names:
        yield from stack.resources[name].properties["PolicyDocument"]["Statement"]


SERVICE = list(statements(EVERYTHING, "ServiceDataPolicy", "ServiceComputePolicy", "ServiceRestPolicy"))


def asked_for() -> set[str]:
    """By the schemas of the resource types that the platform is made of."""
    kinds = {
        resource["Type"]
        for name in ("parent", *NESTED)
        for resource in parse((ROOT / "templates" / f"{name}.yaml").read_text(encoding="utf-8"))["Resources"].values()
    }
    asked = set()
    for kind in kinds:
        handlers = PROVIDER_SCHEMA_MANAGER.get_resource_schema("us-east-1", kind).schema["handlers"]
        for handler in ("create", "read", "update", "delete"):
            asked |= set(handlers.get(handler, {}).get("permissions", []))
    return asked


def test_cloudformation_may_do_what_the_resource_types_ask_for_and_no_more() -> None:
    granted = {action for statement in SERVICE for action in statement["Action"]}
    unused = {action for words in UNUSED.values() for action in words.split()}
    assert asked_for() - granted == unused
    assert granted - asked_for() == set(BEYOND.split())


def test_only_what_cannot_be_named_is_allowed_on_everything() -> None:
    everything = [s["Sid"] for s in SERVICE if "*" in s["Resource"]]
    assert everything == [
        "NewKeysCannotBeNamed",
        "AliasesCannotBeListedByName",
        "VaultStorageHasNoResource",
        "LogDeliveryHasNoResource",
        "IndexPoliciesHaveNoResource",
        "CompositeAlarmsCannotBePutByName",
        "AlarmsCannotBeDescribedByName",
    ]
    assert not [s["Sid"] for s in SERVICE for action in s["Action"] if "*" in action]


def test_roles_are_passed_to_three_services_only_and_get_our_policies_only() -> None:
    by_sid = {statement["Sid"]: statement for statement in SERVICE}
    passing = by_sid["RolesAreForThreeServices"]
    services = ["backup.amazonaws.com", "lambda.amazonaws.com", "states.amazonaws.com"]
    assert passing["Condition"] == {"StringEquals": {"iam:PassedToService": services}}
    ours = by_sid["Policies"]["Resource"]
    assert not [arn for arn in ours if not arn.startswith(f"arn:aws:iam::{ACCOUNT}:policy/policy-")]
    # Not the boundary itself, nor the deployers' own.
    assert not [arn for arn in ours if re.fullmatch(arn.replace("*", ".*"), BOUNDARY)]
    assert by_sid["RolesGetOurPoliciesOnly"]["Condition"]["ArnLike"]["iam:PolicyARN"] == ours


def test_no_role_is_made_or_given_policies_without_the_boundary() -> None:
    under = {"ArnEquals": {"iam:PermissionsBoundary": BOUNDARY}}
    by_sid = {statement["Sid"]: statement for statement in SERVICE}
    assert by_sid["RolesStandUnderTheBoundary"]["Condition"] == under
    assert by_sid["RolesGetOurPoliciesOnly"]["Condition"].items() > under.items()
    making = {"iam:CreateRole", "iam:PutRolePermissionsBoundary", "iam:AttachRolePolicy"}
    for sid, statement in by_sid.items():
        assert not making & set(statement["Action"]) or "iam:PermissionsBoundary" in json.dumps(statement), sid
        assert "iam:DeleteRolePermissionsBoundary" not in statement["Action"]


def test_github_acts_from_one_repository_and_deploys_from_one_environment() -> None:
    def subject(name: str) -> str:
        (statement,) = EVERYTHING.resources[name].properties["AssumeRolePolicyDocument"]["Statement"]
        conditions = statement["Condition"]["StringEquals"]
        assert conditions["token.actions.githubusercontent.com:aud"] == "sts.amazonaws.com"
        return str(conditions["token.actions.githubusercontent.com:sub"])

    assert subject("GitHubPlanRole") == "repo:us/payments:pull_request"
    assert subject("GitHubDeployRole") == "repo:us/payments:environment:prod"


def test_a_plan_cannot_change_a_stack() -> None:
    policies = ("GitHubPlanPolicy", "GitHubLookPolicy")
    actions = {action for statement in statements(EVERYTHING, *policies) for action in statement["Action"]}
    changing = re.compile(r"cloudformation:(Execute|Delete(?!ChangeSet)|Update|Cancel|Continue|Set|CreateStack)")
    assert not [action for action in actions if changing.match(action)]
    resources = ("backup", "dynamodb", "events", "iam", "kms", "lambda", "logs", "sns", "sqs", "states")
    reading = re.compile(r"\w+:(Describe|Get|List|Simulate)\w+|iam:PassRole")
    assert not [one for one in actions if one.split(":")[0] in resources and not reading.fullmatch(one)]
    # Nor does it read data, code or secrets.
    assert not actions & {"dynamodb:GetItem", "lambda:GetFunction", "sqs:ReceiveMessage", "logs:GetLogEvents"}


@pytest.mark.parametrize(
    ("parameters", "there"),
    [
        ({}, 0),
        ({"PermissionsBoundary": "platform"}, 1),
        ({"PermissionsBoundary": "arn:aws:iam::123456789012:policy/theirs"}, 0),
        ({"ServiceRole": "true"}, 4),
        # Without a role of CloudFormation's, GitHub would need all its rights.
        ({"GithubRepository": "us/payments"}, 0),
        ({"ServiceRole": "true", "GithubRepository": "us/payments"}, 10),
        ({"ServiceRole": "true", "GithubRepository": "us/payments", "GithubOidcProviderArn": "arn"}, 9),
    ],
)
def test_each_role_is_there_where_it_is_asked_for(parameters: dict[str, str], there: int) -> None:
    assert len(roles(**parameters).resources) - 4 == there


def test_the_template_fits_into_a_request() -> None:
    """There is no bucket yet that it could be read from.

    https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/cloudformation-limits.html: 51,200 bytes
    """
    assert (ROOT / "templates" / "artifacts.yaml").stat().st_size <= 51_200


def test_each_policy_fits() -> None:
    """https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_iam-quotas.html: 6,144 characters without spaces"""
    for name, resource in EVERYTHING.resources.items():
        if resource.type == "AWS::IAM::ManagedPolicy":
            document = json.dumps(resource.properties["PolicyDocument"], separators=(",", ":"))
            assert len(document) < 6144, name


def test_what_was_deleted_expires_and_nothing_else_does() -> None:
    rules = EVERYTHING.resources["Artifacts"].properties["LifecycleConfiguration"]["Rules"]
    assert [rule["NoncurrentVersionExpiration"] for rule in rules if "NoncurrentVersionExpiration" in rule] == [
        {"NoncurrentDays": 30}
    ]
    assert not [rule for rule in rules if "ExpirationInDays" in rule]


def test_nothing_in_the_bucket_is_overwritten() -> None:
    statements = EVERYTHING.resources["ArtifactsPolicy"].properties["PolicyDocument"]["Statement"]
    (deny,) = [one for one in statements if one["Sid"] == "NobodyOverwrites"]
    assert (deny["Effect"], deny["Principal"], deny["Action"]) == ("Deny", "*", ["s3:PutObject"])
    assert deny["Resource"] == ["${Artifacts.Arn}/payment-platform/*"]
    assert deny["Condition"] == {"Null": {"s3:if-none-match": "true"}}
