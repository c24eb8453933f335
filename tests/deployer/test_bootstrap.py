"""The stack of the artifact bucket, and the role that CloudFormation assumes."""

import re
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from scripts.deployer.cli import deploy as cli
from tests.deployer.aws.cloudformation import CloudFormation as Service
from tests.deployer.aws.holdings import Refused
from tests.deployer.both_stacks import EARLIER, add_earlier_release, add_earlier_release_of_two_environments
from tests.deployer.conftest import Command, add_platform
from tests.deployer.releases import CONFIRMED_LOSSES, edit_harmlessly, edit_with_loss
from tests.emitted import ROOT
from tests.stacks.test_deployers import list_actions


def test_the_service_role_acts_once_cloudformation_can_assume_it(
    command: Command, aws: Service, settings_file: Any
) -> None:
    """CloudFormation can assume a new role only some seconds after its creation."""
    add_platform(aws, edit_harmlessly)
    path = settings_file("bootstrap", service_role=True, permissions_boundary="platform")
    role = "Role arn:aws:iam::123456789012:role/role-payment-cloudformation is invalid or cannot be assumed"
    aws.errors = {"CreateChangeSet": [Refused("ValidationError", role)] * 2}
    command("dev", "--yes", "--settings", path, code=0)
    *bootstrap, platform = aws.find_requests("CreateChangeSet")
    assert (len(bootstrap), any("RoleARN" in request for request in bootstrap)) == (3, False)
    assert platform["RoleARN"] == "role-payment-cloudformation"


@pytest.mark.parametrize("operation", ["PutObject", "DescribeChangeSet", "ExecuteChangeSet"])
def test_a_first_step_takes_no_right_from_a_release_that_was_deployed_since_it_was_read(
    command: Command, aws: Service, settings_file: Any, operation: str
) -> None:
    artifacts = add_earlier_release(aws)
    path = settings_file("bootstrap", service_role=True, permissions_boundary="platform")
    third = EARLIER.replace("dynamodb-ledger-", "dynamodb-third-")

    def deploy_third_release() -> None:
        del aws.before[operation]
        artifacts.text = third
        artifacts.updated += timedelta(minutes=5)
        if operation == "ExecuteChangeSet":  # CloudFormation does this for each change set of the stack
            for change_set in aws.change_sets.values():
                change_set.execution = "OBSOLETE"

    aws.before[operation] = deploy_third_release
    refused = command("dev", "--yes", "--settings", path, code=1)
    assert "; nothing of this deployment was executed; plan again: " in refused.stderr
    assert artifacts.text == third


def test_a_first_step_is_refused_if_another_environment_was_deployed_since_it_was_read(
    command: Command, aws: Service, settings_file: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its template keeps the rights of the releases that were deployed then."""
    artifacts = add_earlier_release_of_two_environments(aws)
    text = artifacts.text
    (production,) = [stack for stack in aws.stacks.values() if stack.name == "payment-platform-prod"]

    def confirm(*_: object) -> bool:
        production.updated += timedelta(minutes=5)
        return True

    monkeypatch.setattr(cli, "confirm_deployment", confirm)
    path = settings_file("bootstrap", service_role=True, permissions_boundary="platform")
    refused = command("dev", "--settings", path, code=1).stderr
    assert refused.startswith("deploy: payment-platform-prod was deployed since the plan was made; nothing of this ")
    assert artifacts.text == text


@pytest.mark.parametrize("answers", [2, 3])
def test_a_first_deployment_that_is_overtaken_names_the_steps_that_it_has_executed(
    command: Command, aws: Service, monkeypatch: pytest.MonkeyPatch, answers: int
) -> None:
    questions = []

    def confirm(_yes: bool, _destroys: object, question: str, _losses: object) -> bool:
        questions.append(question)
        if len(questions) == answers:
            for change_set in list(aws.change_sets.values()):
                change_set.stack.status = "UPDATE_IN_PROGRESS"
            aws.change_sets.clear()
        return True

    monkeypatch.setattr(cli, "confirm_deployment", confirm)
    overtaken = command("dev", code=1).stderr
    assert "another deployment was faster" in overtaken
    assert "; already requested: cloudformation:ExecuteChangeSet on payment-artifacts; plan again: " in overtaken
    assert "nothing of this deployment was executed" not in overtaken


def test_a_step_of_a_first_deployment_that_is_declined_is_named(command: Command) -> None:
    terminal = command.run_on_terminal("dev", types="y\nn\n", columns=200)
    assert "deploy: payment-artifacts: step 2 of 3 was not deployed; the change set is deleted" in terminal.text


def test_a_plan_shows_the_service_role_that_the_change_set_of_the_platform_needs_first(
    command: Command, aws: Service, settings_file: Any
) -> None:
    add_platform(aws, edit_harmlessly)
    path = settings_file("bootstrap", service_role=True, permissions_boundary="platform")
    result = command("dev", "--plan", "--settings", path, code=2)
    missing = "payment-artifacts does not have CloudFormation's role yet, though service_role is true"
    again = f"scripts/deploy.sh dev --settings {path} asks for one after the other"
    assert f"! {missing}: payment-platform-dev can be planned after it; {again}" in " ".join(result.stdout.split())
    assert "├── + CloudFormationRole AWS::IAM::Role" in result.stdout
    refused = command("dev", "--plan", "--out", "plan.json", "--settings", path, code=1)
    assert f"{missing}, so no plan can be saved; deploy once without --out" in refused.stderr
    assert aws.find_writes() == []


@pytest.mark.parametrize(
    ("status", "operation"),
    [
        ("UPDATE_IN_PROGRESS", "describe-stack-events"),
        ("UPDATE_ROLLBACK_FAILED", "continue-update-rollback"),
        ("DELETE_FAILED", "delete-stack"),
    ],
)
def test_a_bucket_stack_that_cannot_be_updated_is_named(
    command: Command, aws: Service, status: str, operation: str
) -> None:
    """The commands of this repository work on environments, so the AWS CLI's are named."""
    add_platform(aws, edit_harmlessly)
    (bucket,) = [stack for stack in aws.stacks.values() if stack.name == "payment-artifacts"]
    bucket.status, bucket.text = status, bucket.text.replace("NoncurrentDays: 30", "NoncurrentDays: 3")
    result = command("dev", "--yes", code=1)
    assert aws.find_writes() == []
    assert result.stderr.startswith(f"deploy: payment-artifacts is {status}: ")
    assert f"aws cloudformation {operation} --stack-name payment-artifacts" in result.stderr
    assert "scripts/" not in result.stderr


def test_a_deployment_updates_the_bucket_stack_if_its_template_has_changed(command: Command, aws: Service) -> None:
    add_platform(aws)
    (bucket,) = [stack for stack in aws.stacks.values() if stack.name == "payment-artifacts"]
    bucket.text = bucket.text.replace("NoncurrentDays: 30", "NoncurrentDays: 3")
    result = command("dev", "--yes", code=0)
    assert "/NoncurrentDays: 3 → 30\n" in result.stdout
    assert bucket.text == (ROOT / "templates" / "artifacts.yaml").read_text(encoding="utf-8")


def test_a_first_deployment_asks_for_confirmation_of_both_stacks(command: Command, aws: Service) -> None:
    """The conditional resources of the bucket's stack are added by a second change set."""
    terminal = command.run_on_terminal("dev", types="y\ny\nn\n", columns=200)
    assert terminal.code == 1
    # Each question has its heading before its plan, in the order of the deployment.
    order = [
        "Step 1 of 3: payment-artifacts, the bucket ",
        "Deploy payment-artifacts? [y/N]:",
        "Step 2 of 3: payment-artifacts again, the permissions boundaries ",
        "Step 3 of 3: payment-platform-dev, the platform itself",
        "Deploy payment-platform-dev? [y/N]:",
    ]
    places = [terminal.transcript.index(words) for words in order]
    assert places == sorted(places)
    assert [stack.name for stack in aws.stacks.values()] == ["payment-artifacts"]
    end = "; the change set was deleted; already requested: cloudformation:ExecuteChangeSet on payment-artifacts"
    assert f"payment-platform-dev: not deployed{end}" in " ".join(terminal.text.split())
    assert aws.remaining_names == []


@pytest.mark.parametrize(
    ("edit", "changes", "message"),
    [
        (edit_with_loss, {}, "--yes does not cover data loss; to confirm it, add --destroys"),
        (edit_harmlessly, {"tags": []}, "exists but does not have the tag"),
        (edit_harmlessly, {"status": "UPDATE_ROLLBACK_FAILED"}, "stuck between two versions"),
    ],
    ids=["loss", "foreign", "stuck"],
)
def test_a_refusal_after_a_step_that_was_executed_names_it(
    command: Command, aws: Service, settings_file: Callable[..., str], edit: Any, changes: dict[str, Any], message: str
) -> None:
    """The service role is created first, without a deployment of the platform."""
    path = settings_file("bootstrap", service_role=True, permissions_boundary="platform")
    stack = add_platform(aws, edit)
    (bucket,) = [stack for stack in aws.stacks.values() if stack.name == "payment-artifacts"]
    bucket.parameters["ServiceRole"] = "false"
    for name, value in changes.items():
        setattr(stack, name, value)
    refused = command("dev", "--yes", "--settings", path, code=1)
    assert message in refused.stderr
    assert refused.stderr.endswith("; already requested: cloudformation:ExecuteChangeSet on payment-artifacts\n")


def test_a_mistyped_name_does_not_deny_what_a_step_has_executed(
    command: Command, aws: Service, settings_file: Callable[..., str]
) -> None:
    path = settings_file("bootstrap", service_role=True, permissions_boundary="platform")
    add_platform(aws, edit_with_loss)
    (bucket,) = [stack for stack in aws.stacks.values() if stack.name == "payment-artifacts"]
    bucket.parameters["ServiceRole"] = "false"
    text = command.run_on_terminal("dev", "--settings", path, types="y\nwrong\n", columns=200).text
    assert re.search(r"The name does not match \w+\.\n", text)
    assert "already requested: cloudformation:ExecuteChangeSet on payment-artifacts" in " ".join(text.split())


def test_the_roles_of_github_have_exactly_the_permissions_that_their_commands_use(
    command: Command, aws: Service
) -> None:
    """Fails with an additional operation of the deployer, and with an additional action of a role."""

    def requested_actions() -> set[str]:
        # preflight/test_rights.py compares the operations of the preflight checks.
        operations = {name for name, _ in aws.calls if ":" not in name} - {"GetCallerIdentity"}
        return {_AS_ACTIONS.get(name, f"cloudformation:{name}") for name in operations}

    add_platform(aws, edit_with_loss, environment="prod", drift="DRIFTED").nested["Data"].drift = "DRIFTED"
    command("prod", "--plan", code=2)
    plan = requested_actions()
    assert plan | _BESIDE == list_actions("GitHubPlanPolicy")
    aws.fails, aws.stuck = {"Data/PaymentLedger": "no"}, {"Data/PaymentLedger": "no"}
    command("prod", "--yes", *CONFIRMED_LOSSES, code=1)
    aws.fails = {}
    command("prod", "--continue-rollback", "--skip", "Data/PaymentLedger")
    aws.stuck = {}
    command("prod", "--yes", *CONFIRMED_LOSSES, code=0)
    (stack,) = [stack for stack in aws.stacks.values() if stack.name == "payment-platform-prod"]
    stack.status = "UPDATE_FAILED"
    command("prod", "--rollback", "--yes")
    stack.status = "UPDATE_IN_PROGRESS"
    command("prod", "--cancel")
    # This deletes the remains of a failed creation, and a stack in review.
    stack.status, stack.protected, aws.alarms = "ROLLBACK_COMPLETE", False, {}
    aws.holdings.resources.clear()
    command("prod", "--yes", code=0)
    assert requested_actions() | _BESIDE == list_actions("GitHubPlanPolicy", "GitHubDeployPolicy")


_AS_ACTIONS = {
    "HeadObject": "s3:GetObject",
    "PutObject": "s3:PutObject",
    "DeleteObject": "s3:DeleteObject",
    "ListObjectsV2": "s3:ListBucket",
    "DescribeAlarms": "cloudwatch:DescribeAlarms",
}


# S3 says only to who may list that an object is missing; CloudFormation is handed its role; change sets are listed
# where a stack is in review.
_BESIDE = {"s3:ListBucket", "iam:PassRole", "cloudformation:ListChangeSets"}
