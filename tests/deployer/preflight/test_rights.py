"""Checks of the caller's permissions, and of the permissions that the checks need."""

import itertools
from pathlib import Path
from typing import Any

import pytest

from scripts.deployer.finding import Verdict
from scripts.deployer.preflight.examine import collect_findings
from tests.deployer.aws.account import Account
from tests.deployer.aws.cloudformation import CloudFormation as Service
from tests.deployer.aws.settings import ACCOUNT, REGION
from tests.deployer.preflight.conftest import (
    FOREIGN_TAGS,
    PLATFORM_TAGS,
    Reader,
    findings_of,
    not_passed,
    occupy_all_names,
)
from tests.stacks.test_deployers import LOOK_POLICIES, STACK, list_actions


def simulations(aws: Service) -> list[dict[str, Any]]:
    return [request for operation, request in aws.calls if operation == "iam:SimulatePrincipalPolicy"]


def test_the_callers_rights_are_simulated(situation_of: Reader, account: Account, aws: Service) -> None:
    """The simulation needs the ARN of the role, which differs from that of its session."""
    account.caller = f"arn:aws:sts::{ACCOUNT}:assumed-role/engineer/jane"
    account.denied_by_simulation = {"dynamodb:CreateTable", "cloudformation:ExecuteChangeSet"}
    ((verdict, text, _),) = findings_of("rights", situation_of())
    role = f"arn:aws:iam::{ACCOUNT}:role/people/engineer"
    assert (verdict, text) == (
        "warning",
        f"{role} may not cloudformation:ExecuteChangeSet, dynamodb:CreateTable, by simulation",
    )
    requests = simulations(aws)
    assert {request["PolicySourceArn"] for request in requests} == {role}
    # After all tables were denied, the simulation names the table.
    assert requests[-1]["ResourceArns"][0].endswith(":table/dynamodb-transactions-prod")


def test_five_denied_actions_are_named_and_the_others_counted(situation_of: Reader, account: Account) -> None:
    """They include every kind of creating action, and a service with another prefix in IAM."""
    account.denied_by_simulation = {
        *("cloudwatch:PutMetricAlarm", "dynamodb:CreateTable", "events:PutRule", "iam:CreateRole"),
        *("lambda:CreateFunction", "sns:CreateTopic", "sqs:CreateQueue", "states:CreateStateMachine"),
    }
    ((_, text, _),) = findings_of("rights", situation_of())
    assert f"may not {', '.join(sorted(account.denied_by_simulation)[:5])} and 3 more, by simulation" in text


def test_a_plan_and_a_service_role_need_fewer_rights(situation_of: Reader, account: Account, aws: Service) -> None:
    account.denied_by_simulation = {"dynamodb:CreateTable", "cloudformation:ExecuteChangeSet"}
    assert findings_of("rights", situation_of(only_plan=True))[0][0] == "ok"
    account.denied_by_simulation = {"dynamodb:CreateTable"}
    assert findings_of("rights", situation_of(ServiceRole="true"))[0][0] == "ok"
    (request,) = [request for request in simulations(aws) if request["ActionNames"] == ["iam:PassRole"]]
    assert request["ResourceArns"] == [f"arn:aws:iam::{ACCOUNT}:role/role-payment-cloudformation"]


_UPLOAD = {"s3:GetObject", "s3:PutObject"}


@pytest.mark.parametrize(
    ("role", "only_plan", "out", "refused"),
    [
        ("GitHubPlanRole", True, None, set()),
        ("GitHubDeployRole", True, None, set()),
        ("GitHubDeployRole", True, Path("plan.json"), set()),
        ("GitHubDeployRole", False, None, set()),
        # Any pull request can use this role, so it must not write objects that a deployment reads.
        ("GitHubPlanRole", True, Path("plan.json"), _UPLOAD),
        (
            "GitHubPlanRole",
            False,
            None,
            {*_UPLOAD, "cloudformation:DescribeStackEvents", "cloudformation:ExecuteChangeSet"},
        ),
    ],
)
def test_the_roles_of_github_have_every_simulated_permission(
    situation_of: Reader, account: Account, aws: Service, world: Any, role: str, only_plan: bool, out: Any, refused: Any
) -> None:
    """The simulation evaluates the emitted policies in eu-central-1, without the policy of the bucket.

    https://docs.aws.amazon.com/IAM/latest/APIReference/API_SimulatePrincipalPolicy.html
    """
    name = world.roles[role].arn.rpartition("/")[2]
    account.caller = f"arn:aws:sts::{ACCOUNT}:assumed-role/{name}/run"
    findings_of("rights", situation_of(ServiceRole="true", only_plan=only_plan, out=out))
    actions, denied = set(), set()
    for request in simulations(aws):
        context = {entry["ContextKeyName"]: entry["ContextKeyValues"][0] for entry in request.get("ContextEntries", [])}
        for action, arn in itertools.product(request["ActionNames"], request["ResourceArns"]):
            actions.add(action)
            if not world.policies_allow(role, action, arn.replace(REGION, "eu-central-1"), context):
                denied.add(action)
    assert {"s3:PutObject", "iam:PassRole"} <= actions
    assert denied == refused


@pytest.mark.parametrize(
    ("only_plan", "out", "prefix"),
    [(True, None, "payment-plans"), (True, Path("plan.json"), "payment-platform"), (False, None, "payment-platform")],
)
def test_uploads_are_simulated_under_the_keys_that_they_use(
    situation_of: Reader, aws: Service, only_plan: bool, out: Path | None, prefix: str
) -> None:
    findings_of("rights", situation_of(only_plan=only_plan, out=out))
    (request,) = [request for request in simulations(aws) if "s3:PutObject" in request["ActionNames"]]
    (arn,) = request["ResourceArns"]
    assert arn == f"arn:aws:s3:::payment-artifacts-{ACCOUNT}-{REGION}/{prefix}/prod/{'0' * 64}.yaml"


@pytest.mark.parametrize(
    ("caller", "verdict"),
    [(f"arn:aws:iam::{ACCOUNT}:root", "ok"), (f"arn:aws:sts::{ACCOUNT}:federated-user/x", "unknown")],
)
def test_a_root_or_federated_user_is_not_simulated(
    situation_of: Reader, account: Account, aws: Service, caller: str, verdict: str
) -> None:
    account.caller = caller
    ((actual, *_),) = findings_of("rights", situation_of())
    assert (actual, simulations(aws)) == (verdict, [])


def test_a_check_whose_request_is_denied_is_unknown_and_names_the_permission(
    situation_of: Reader, account: Account
) -> None:
    account.denied = {
        "lambda:GetAccountSettings",
        "logs:DescribeResourcePolicies",
        "iam:SimulatePrincipalPolicy",
        "dynamodb:DescribeTable",
        "kms:ListAliases",
        "backup:ListBackupVaults",
    }
    findings = not_passed(collect_findings(situation_of()))
    assert {finding.verdict for finding in findings} == {Verdict.UNKNOWN}
    assert {finding.next_step for finding in findings} == {f"grant {action}" for action in account.denied}
    # One line for the two tables.
    assert len(findings) == len(account.denied)


def test_githubs_roles_may_read_exactly_what_the_checks_read(
    situation_of: Reader, aws: Service, account: Account
) -> None:
    """Compares with the requests to the simulated services. Fails with one more request, and with one more action."""
    account.caller = f"arn:aws:sts::{ACCOUNT}:assumed-role/role-payment-github-plan/run"
    for tags in (PLATFORM_TAGS, FOREIGN_TAGS):
        occupy_all_names(aws, account, tags)
        collect_findings(situation_of(ServiceRole="true", ReservedConcurrency="50", only_plan=True))
    account.existing, account.functions = {}, {}
    collect_findings(situation_of(ServiceRole="true", only_plan=True))
    actions = {name.replace("monitoring:", "cloudwatch:") for name, _ in aws.calls if ":" in name}
    if "s3:HeadBucket" in actions:
        # The simulated account has no buckets: of each that exists, the tags are read as well.
        # https://docs.aws.amazon.com/AmazonS3/latest/API/API_HeadBucket.html
        actions = (actions - {"s3:HeadBucket"}) | {"s3:ListBucket", "s3:GetBucketTagging"}
    # test_code_only.py compares what a plan reads of aliases.
    assert list_actions(*LOOK_POLICIES) == actions | {"lambda:GetAlias"}
    for role in ("GitHubPlanRole", "GitHubDeployRole"):
        attached = STACK.resources[role].properties["ManagedPolicyArns"]
        assert {f"${{{title}}}" for title in LOOK_POLICIES} <= set(attached)
