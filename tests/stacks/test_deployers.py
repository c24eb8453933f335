"""The roles that deploy: where they are, and that they fit. What they may do is asked in test_service_role.py."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from scripts.common.evaluate import Evaluated, evaluate
from scripts.common.templates import Tree, parse_template, to_plain_types
from stacks import emit, settings
from stacks.artifacts import stack as artifacts
from stacks.artifacts.deployers.policy_terms import Environments
from tests.emitted import ROOT

ACCOUNT = "123456789012"
BOUNDARY = f"arn:aws:iam::{ACCOUNT}:policy/policy-payment-boundary-prod"
PSEUDO = {
    "AWS::AccountId": ACCOUNT,
    "AWS::Region": "eu-west-1",
    "AWS::Partition": "aws",
    "AWS::URLSuffix": "amazonaws.com",
}


def roles(**parameters: str) -> Evaluated:
    text = (ROOT / "templates" / "artifacts.yaml").read_text(encoding="utf-8")
    return evaluate(Tree(parse_template(text)), parameters, PSEUDO)


EVERYTHING = roles(ServiceRole="true", PermissionsBoundary="platform", GithubRepository="us/payments")


def statements(stack: Evaluated, *names: str) -> Iterator[dict[str, Any]]:
    for name in names:
        yield from stack.resources[name].properties["PolicyDocument"]["Statement"]


SERVICE_POLICIES = [title for title in EVERYTHING.resources if re.fullmatch(r"Service\d+Policy", title)]
SERVICE = list(statements(EVERYTHING, *SERVICE_POLICIES))
LOOK_POLICIES = [title for title in EVERYTHING.resources if re.fullmatch(r"GitHubLook\d+Policy", title)]


def test_only_what_cannot_be_named_is_allowed_on_everything() -> None:
    everything = [s["Sid"] for s in SERVICE if "*" in s["Resource"]]
    assert everything == [
        "CompositeAlarmsCannotBePutByName",
        "AlarmsCannotBeDescribedByName",
        "SubscriptionsHaveNoResource",
        "NewKeysCannotBeNamed",
        "LogDeliveryHasNoResource",
        "IndexPoliciesHaveNoResource",
        "VaultStorageHasNoResource",
        "ListsHaveNoResource",
    ]
    assert not [s["Sid"] for s in SERVICE for action in s["Action"] if "*" in action]


def test_roles_are_passed_to_their_own_service_only_and_get_our_policies_only() -> None:
    by_sid = {statement["Sid"]: statement for statement in SERVICE}
    environments = "|".join(settings.deployed_environments())
    passing = {
        statement["Condition"]["StringEquals"]["iam:PassedToService"]: {
            re.sub(rf".*role/|-({environments})$", "", arn) for arn in statement["Resource"]
        }
        for sid, statement in by_sid.items()
        if sid.startswith("PassRole")
    }
    assert passing == {
        "lambda.amazonaws.com": {"role-lambda-validation", "role-lambda-processing", "role-lambda-reconciliation"},
        "states.amazonaws.com": {"role-sfn-payment-workflow"},
        "backup.amazonaws.com": {"role-backup-payments"},
    }
    ours = by_sid["Policies"]["Resource"]
    assert not [arn for arn in ours if not arn.startswith(f"arn:aws:iam::{ACCOUNT}:policy/policy-")]
    # Not the boundary itself, nor the deployers' own.
    assert not [arn for arn in ours if re.fullmatch(arn.replace("*", ".*"), BOUNDARY)]
    for environment in settings.deployed_environments():
        attached = by_sid[f"RolesOf{environment.capitalize()}GetOurPoliciesOnly"]["Condition"]["ArnLike"]
        assert attached["iam:PolicyARN"] == [arn for arn in ours if arn.endswith(f"-{environment}")]


def test_no_role_is_made_or_given_policies_without_the_boundary() -> None:
    by_sid = {statement["Sid"]: statement for statement in SERVICE}
    for environment in settings.deployed_environments():
        under = {"ArnEquals": {"iam:PermissionsBoundary": BOUNDARY.replace("-prod", f"-{environment}")}}
        roles = f"RolesOf{environment.capitalize()}"
        assert by_sid[f"{roles}StandUnderTheBoundary"]["Condition"] == under
        assert by_sid[f"{roles}GetOurPoliciesOnly"]["Condition"].items() > under.items()
        assert by_sid[f"{roles}StandUnderTheBoundary"]["Resource"] == [
            arn for arn in by_sid["Roles"]["Resource"] if arn.endswith(f"-{environment}")
        ]
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


@pytest.mark.parametrize(
    ("repository", "is_accepted"),
    [
        ("us/payments", True),
        ("us@123/payments@456", True),
        ("us@123/payments", False),
        ("us/payments@456", False),
        ("us@123/payments@", False),
        ("us@*/payments@*", False),
        ("us/*", False),
    ],
)
def test_a_repository_is_named_with_both_ids_or_none(repository: str, is_accepted: bool) -> None:
    assert settings.Bootstrap.github_repository.accepts(repository) is is_accepted


def test_a_plan_cannot_change_a_stack() -> None:
    policies = ("GitHubPlanPolicy", *LOOK_POLICIES)
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
        # One for each environment, and the emulator's.
        ({"PermissionsBoundary": "platform"}, len(settings.deployed_environments()) + 1),
        ({"PermissionsBoundary": "arn:aws:iam::123456789012:policy/theirs"}, 0),
        ({"ServiceRole": "true"}, 1 + len(SERVICE_POLICIES)),
        # Without a role of CloudFormation's, GitHub would need all its rights.
        ({"GithubRepository": "us/payments"}, 0),
        ({"ServiceRole": "true", "GithubRepository": "us/payments"}, 6 + len(SERVICE_POLICIES) + len(LOOK_POLICIES)),
        (
            {"ServiceRole": "true", "GithubRepository": "us/payments", "GithubOidcProviderArn": "arn"},
            5 + len(SERVICE_POLICIES) + len(LOOK_POLICIES),
        ),
    ],
)
def test_each_role_is_there_where_it_is_asked_for(parameters: dict[str, str], there: int) -> None:
    assert len(roles(**parameters).resources) - 4 == there


@pytest.mark.parametrize("environments", [1, 3, 5])
def test_each_policy_fits_in_the_region_with_the_longest_name(environments: int) -> None:
    """https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_iam-quotas.html: 6,144 characters; 10 policies"""
    names = ("dev", "prod", "staging", "qa1", "sandbox")[:environments]
    template = emit.document(artifacts.build(Environments(names)))
    pseudo = PSEUDO | {"AWS::Partition": "aws-us-gov", "AWS::Region": "us-gov-east-1"}
    parameters = {"ServiceRole": "true", "PermissionsBoundary": "platform", "GithubRepository": "us/payments"}
    stack = evaluate(Tree(to_plain_types(template)), parameters, pseudo)
    for name, resource in stack.resources.items():
        if resource.type == "AWS::IAM::ManagedPolicy":
            text = json.dumps(resource.properties["PolicyDocument"], separators=(",", ":"))
            bucket = f"arn:aws-us-gov:s3:::payment-artifacts-{ACCOUNT}-us-gov-east-1"
            assert len(text.replace("${Artifacts.Arn}", bucket)) <= 6144, name
    assert len(stack.resources["CloudFormationRole"].properties["ManagedPolicyArns"]) <= 10


def test_more_environments_than_a_role_can_name_are_refused_by_the_generator() -> None:
    with pytest.raises(settings.SettingsError, match=r"an account of their own|their own account"):
        artifacts.build(Environments(tuple(f"environment-{number}" for number in range(8))))


def test_an_environment_that_the_role_does_not_know_is_refused(tmp_path: Path) -> None:
    """Of another settings file than the one that the templates were generated from."""
    text = settings.ENVIRONMENTS_FILE.read_text(encoding="utf-8").replace("service_role = false", "service_role = true")
    file = tmp_path / "environments.toml"
    file.write_text(text.replace("[dev]", "[sandbox]"), encoding="utf-8")
    with pytest.raises(settings.SettingsError, match=r"\[sandbox\].*python generate.py"):
        settings.load("sandbox", file)
    assert settings.load("prod", file)["ServiceRole"] == "true"


def test_what_was_deleted_expires_and_nothing_else_does() -> None:
    rules = EVERYTHING.resources["Artifacts"].properties["LifecycleConfiguration"]["Rules"]
    assert [rule["NoncurrentVersionExpiration"] for rule in rules if "NoncurrentVersionExpiration" in rule] == [
        {"NoncurrentDays": 30}
    ]
    expiring = {rule["Id"]: rule.get("Prefix") for rule in rules if "ExpirationInDays" in rule}
    assert expiring == {"PlansExpire": "payment-plans/"}


def test_nothing_in_the_bucket_is_overwritten() -> None:
    statements = EVERYTHING.resources["ArtifactsPolicy"].properties["PolicyDocument"]["Statement"]
    (deny,) = [one for one in statements if one["Sid"] == "NobodyOverwrites"]
    assert (deny["Effect"], deny["Principal"], deny["Action"]) == ("Deny", "*", ["s3:PutObject"])
    assert deny["Resource"] == ["${Artifacts.Arn}/payment-platform/*", "${Artifacts.Arn}/payment-plans/*"]
    assert deny["Condition"] == {"Null": {"s3:if-none-match": "true"}}
