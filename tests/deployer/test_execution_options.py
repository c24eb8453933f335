"""Deployments that roll nothing back when they fail, do not wait for ready resources, or are not validated."""

import re
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest

from stacks import settings
from tests.deployer.aws.changes import describe_resource
from tests.deployer.aws.cloudformation import CloudFormation as Service
from tests.deployer.aws.faults import EXPIRED
from tests.deployer.aws.holdings import Refused
from tests.deployer.aws.stacks import Changes, Stack
from tests.deployer.conftest import Command, add_bootstrap_stack, add_platform, interrupt_when
from tests.deployer.disturbed_runs import strike_from
from tests.deployer.releases import edit_harmlessly, edit_with_loss

# Each takes several deployments.
pytestmark = pytest.mark.nightly

NAME = "payment-platform-dev"
BROKEN = {"Monitoring/Dashboard": "The dashboard is not valid"}
QUEUE_FAILS = {"Data/DeadLetters": "MessageRetentionPeriod is not yours to set"}
EXECUTE = "ExecuteChangeSet"
TABLE = ("AWS::DynamoDB::Table", "dynamodb-transactions-dev")
LEDGER = ("AWS::DynamoDB::Table", "dynamodb-payment-ledger-dev")


def join_lines(output: str) -> str:
    """Return the output without the line breaks of wrapped lines."""
    return " ".join(output.split())


def edit_without_ledger(name: str, text: str) -> str:
    """Return a template of a release that had no ledger."""
    if name == "data.yaml":
        text = re.sub(r"  PaymentLedger:\n.*?(?=  BackupVault:\n)", "", text, flags=re.DOTALL)
        text = text.replace("        - !GetAtt PaymentLedger.Arn\n", "").replace("!Ref PaymentLedger", "none")
    return edit_harmlessly(name, text) if name == "monitoring.yaml" else text


def confirm_losses(command: Command) -> list[str]:
    """Return the options that confirm each loss of a rollback, as its refusal without them names them."""
    refused = command("rollback", "dev", "--yes", code=1).stderr
    assert refused.startswith("deploy: --yes does not cover data loss; to confirm it, add --destroys ")
    return re.findall(r"--destroys \S+", refused)


def find_status(aws: Service) -> str:
    return next(stack.status for stack in aws.stacks.values() if stack.name == NAME)


def test_a_creation_that_fails_with_keep_failed_is_continued_by_the_next_deployment(
    command: Command, aws: Service
) -> None:
    add_bootstrap_stack(aws)
    aws.fails = BROKEN
    result = command("dev", "--yes", "--keep-failed", code=1)
    notice = "! --keep-failed: if the deployment fails, nothing is rolled back, and no alarms are watched"
    assert notice in join_lines(result.stdout)
    assert aws.find_requests(EXECUTE)[-1]["DisableRollback"] is True
    assert find_status(aws) == "CREATE_FAILED"
    assert f"resources; {NAME}: created in part (CREATE_FAILED)\n" in result.stdout
    assert result.stdout.rstrip().endswith(
        "next: fix the cause, then run scripts/deploy.sh dev, which goes on from here; or roll back: "
        "scripts/deploy.sh rollback dev"
    )
    aws.fails = {}
    continued = command("dev", "--yes", code=0)
    assert f"! {NAME} is CREATE_FAILED: this deployment goes on from what was kept" in join_lines(continued.stdout)
    assert aws.find_requests("CreateChangeSet")[-1]["ChangeSetType"] == "UPDATE"
    assert aws.find_requests(EXECUTE)[-1]["DisableRollback"] is True
    assert find_status(aws) == "UPDATE_COMPLETE"


def test_what_a_failed_creation_kept_is_rolled_back(command: Command, aws: Service) -> None:
    add_bootstrap_stack(aws)
    aws.fails = BROKEN
    command("dev", "--yes", "--keep-failed", code=1)
    aws.holdings.resources[TABLE].contents = ["pay-1"]
    losses = confirm_losses(command)
    assert {"--destroys Transactions", "--destroys PaymentLedger"} <= set(losses)
    assert aws.find_requests("RollbackStack") == []
    result = command("rollback", "dev", "--yes", *" ".join(losses).split(), code=0)
    assert "\nData loss Data/Transactions (AWS::DynamoDB::Table) is deleted: its items will be lost\n" in result.stdout
    assert aws.find_requests("RollbackStack")[-1]["RetainExceptOnCreate"] is True
    assert result.stdout.endswith(f"{NAME}: ended DELETE_COMPLETE\n")
    # A key can only be scheduled for deletion.
    assert {kind for kind, _ in aws.holdings.resources} == {"AWS::KMS::Key"}
    aws.fails = {}
    command("dev", "--yes", code=0)
    assert aws.find_requests("CreateChangeSet")[-1]["ChangeSetType"] == "CREATE"


def test_a_creation_that_failed_twice_is_still_deleted_by_the_rollback(command: Command, aws: Service) -> None:
    """Its status is that of a failed update, but it has no stable state to go back to."""
    add_bootstrap_stack(aws)
    aws.fails = BROKEN
    command("dev", "--yes", "--keep-failed", code=1)
    command("dev", "--yes", code=1)
    assert find_status(aws) == "UPDATE_FAILED"
    losses = " ".join(confirm_losses(command)).split()
    terminal = command.run_on_terminal("rollback", "dev", *losses, types="n\n", columns=200)
    question = f"Roll back {NAME}, to delete it with everything in it, because it has no stable state? [y/N]:"
    assert question in terminal.text
    result = command("rollback", "dev", "--yes", *losses, code=0)
    assert result.stdout.endswith(f"{NAME}: ended DELETE_COMPLETE\n")
    assert TABLE not in aws.holdings.resources


def test_the_rollback_of_an_update_names_what_the_update_created(command: Command, aws: Service) -> None:
    stack = add_platform(aws, edit_without_ledger)
    aws.add_event(stack, "", "AWS::CloudFormation::Stack", "UPDATE_COMPLETE")
    aws.fails = BROKEN
    command("dev", "--yes", "--keep-failed", code=1)
    aws.holdings.resources[LEDGER].contents = ["an entry"]
    assert confirm_losses(command) == ["--destroys PaymentLedger"]
    terminal = command.run_on_terminal("rollback", "dev", types="PaymentLedger\nn\n", columns=200)
    assert f"Roll back {NAME}, to go back to its last stable state? [y/N]:" in terminal.text
    assert command("rollback", "dev", "--yes", "--destroys", "Ledger", code=1).stderr == (
        "deploy: --destroys Ledger: no such resource among those affected: PaymentLedger\n"
    )
    assert aws.find_requests("RollbackStack") == []
    command("dev", "--rollback", "--yes", "--destroys", "PaymentLedger", code=0)
    assert LEDGER not in aws.holdings.resources
    assert TABLE in aws.holdings.resources


def test_a_deployment_that_went_on_while_a_rollback_asked_is_not_rolled_back(command: Command, aws: Service) -> None:
    """It may have created tables, which the rollback would delete, and which were not shown."""
    stack = add_platform(aws, edit_without_ledger)
    aws.add_event(stack, "", "AWS::CloudFormation::Stack", "UPDATE_COMPLETE")
    aws.fails = {"Data/PaymentLedger": "no capacity"}
    command("dev", "--yes", "--keep-failed", code=1)

    def go_on() -> None:
        del aws.before["DescribeStackEvents"]
        stack.updated += timedelta(seconds=90)

    aws.before["DescribeStackEvents"] = go_on
    refused = command("rollback", "dev", "--yes", code=1).stderr
    assert refused == (
        f"deploy: {NAME} was deployed meanwhile; nothing was rolled back; see what is lost now: "
        "scripts/deploy.sh rollback dev\n"
    )
    assert aws.find_requests("RollbackStack") == []


def test_without_an_event_of_a_stable_state_every_loss_is_named(command: Command, aws: Service) -> None:
    """CloudFormation deletes events after 90 days."""
    add_platform(aws, status="UPDATE_FAILED")
    assert "--destroys Transactions" in confirm_losses(command)


def test_an_update_that_fails_with_keep_failed_is_continued_or_rolled_back(command: Command, aws: Service) -> None:
    stack = add_platform(aws, edit_harmlessly)
    aws.add_event(stack, "", "AWS::CloudFormation::Stack", "UPDATE_COMPLETE")
    before = stack.text
    aws.fails = QUEUE_FAILS
    failed = command("dev", "--yes", "--keep-failed", code=1)
    assert not aws.find_requests("CreateChangeSet")[-1]["RollbackConfiguration"].get("RollbackTriggers")
    assert "updated in part (UPDATE_FAILED)" in failed.stdout
    assert find_status(aws) == "UPDATE_FAILED"
    rolled_back = command("rollback", "dev", "--yes", code=0)
    assert rolled_back.stdout.endswith(f"{NAME}: ended UPDATE_ROLLBACK_COMPLETE\n")
    assert stack.text == before
    command("dev", "--yes", "--keep-failed", code=1)
    aws.fails = {}
    command("dev", "--yes", code=0)
    assert find_status(aws) == "UPDATE_COMPLETE"


def test_the_same_templates_are_deployed_again_after_a_failure(command: Command, aws: Service) -> None:
    """The stack may have the new template although not all of it is deployed."""
    add_platform(aws, status="UPDATE_FAILED")
    result = command("dev", "--yes", code=1)
    assert result.stderr == (
        f"deploy: {NAME} is UPDATE_FAILED, and CloudFormation finds nothing to change; change the resource that "
        "failed, or roll back: scripts/deploy.sh rollback dev\n"
    )


def test_a_rollback_needs_something_kept_and_a_confirmation(command: Command, aws: Service) -> None:
    stack = add_platform(aws)
    assert command("rollback", "dev", code=1).stderr == (
        f"deploy: {NAME} is UPDATE_COMPLETE: no failed operation has kept anything that can be rolled back; "
        "see scripts/status.sh dev\n"
    )
    aws.add_event(stack, "", "AWS::CloudFormation::Stack", "UPDATE_COMPLETE")
    stack.status = "UPDATE_FAILED"
    assert "cannot ask for confirmation" in command("dev", "--rollback", code=1).stderr
    stack.mode = "EXPRESS"
    refused = command("dev", "--rollback", "--yes", code=1)
    assert refused.stderr.startswith(f"deploy: {NAME} cannot be rolled back: RollbackStack is not supported")
    assert aws.find_writes() == ["RollbackStack"]


def fail_update(command: Command, aws: Service) -> Stack:
    """Return the stack after an update that failed and rolled nothing back."""
    stack = add_platform(aws, edit_harmlessly)
    aws.add_event(stack, "", "AWS::CloudFormation::Stack", "UPDATE_COMPLETE")
    aws.fails = QUEUE_FAILS
    command("dev", "--yes", "--keep-failed", code=1)
    return stack


def test_a_rollback_whose_answer_was_lost_is_followed(command: Command, aws: Service) -> None:
    stack = fail_update(command, aws)
    aws.errors["RollbackStack"] = [None]
    begun: list[object] = []
    aws.before["RollbackStack"] = lambda: begun or begun.append(aws.rollback_stack(stack.id))
    result = command("rollback", "dev", "--yes", code=0)
    assert result.stdout.endswith(f"{NAME}: ended UPDATE_ROLLBACK_COMPLETE\n")
    first, second = aws.find_requests("RollbackStack")
    assert first["ClientRequestToken"] == second["ClientRequestToken"]


def test_a_rollback_that_is_refused_has_not_begun_even_if_nothing_can_be_read_afterwards(
    command: Command, aws: Service
) -> None:
    fail_update(command, aws)
    strike_from(aws, "RollbackStack", EXPIRED)
    assert command("rollback", "dev", "--yes", code=1).stderr.endswith("; sign in again; nothing was changed\n")


def test_a_rollback_that_may_have_begun_is_not_called_unchanged(command: Command, aws: Service) -> None:
    stack = fail_update(command, aws)

    def lose_connection() -> None:
        aws.errors["RollbackStack"] = [Refused("InternalFailure", "try later", 500)]
        aws.errors["DescribeStacks"] = [Refused("AccessDenied", "not you", 403)]

    aws.before["RollbackStack"] = lose_connection
    result = command("rollback", "dev", "--yes", code=3)
    assert "; the rollback may have begun, which could not be read: not authorized: " in result.stderr
    assert result.stderr.endswith("; see scripts/status.sh dev\n")
    assert stack.status == "UPDATE_FAILED"


def test_an_interrupt_of_a_requested_rollback_says_that_it_continues(command: Command, aws: Service) -> None:
    stack = fail_update(command, aws)

    def begin() -> None:
        if stack.status == "UPDATE_FAILED":
            aws.rollback_stack(stack.id)
        time.sleep(1)

    aws.before["RollbackStack"] = begin
    process = command.start("rollback", "dev", "--yes")
    interrupted = interrupt_when(process, lambda: stack.status == "UPDATE_ROLLBACK_IN_PROGRESS")
    message = "deploy: interrupted; the rollback continues; watch it: scripts/deploy.sh follow dev\n"
    assert (interrupted.stderr, interrupted.code) == (message, 3)


def test_an_addition_is_no_replacement_and_needs_no_rollback(command: Command, aws: Service) -> None:
    add_platform(aws, edit_harmlessly)

    def add_topic(changes: Changes) -> Changes:
        return [*changes, describe_resource("Add", "NewTopic", "AWS::SNS::Topic", [], Replacement="True")]

    aws.scripted_answers = {"Monitoring": add_topic}
    assert "+ NewTopic AWS::SNS::Topic\n" in command("plan", "dev", "--keep-failed", code=2).stdout


def test_nothing_is_replaced_without_rollback(command: Command, aws: Service) -> None:
    stack = add_platform(aws, edit_with_loss)
    refused = command("plan", "dev", "--keep-failed", code=1)
    assert refused.stderr == (
        "deploy: --keep-failed: without rollback CloudFormation replaces no resource, here Data/PaymentLedger; deploy "
        "without --keep-failed\n"
    )
    assert aws.remaining_names == []
    stack.status = "UPDATE_FAILED"
    assert command("plan", "dev", code=1).stderr.endswith(
        "roll back with scripts/deploy.sh rollback dev, and then deploy again\n"
    )


def test_a_saved_plan_keeps_what_succeeded_if_it_was_planned_so(command: Command, aws: Service) -> None:
    add_platform(aws, edit_harmlessly)
    command("dev", "--plan", "--keep-failed", "--out", "plan.json", code=2)
    refused = command("dev", "--apply", "plan.json", "--keep-failed", code=1)
    assert "--keep-failed cannot be combined with --apply" in refused.stderr
    aws.fails = QUEUE_FAILS
    command("apply", "dev", "plan.json", "--yes", code=1)
    assert find_status(aws) == "UPDATE_FAILED"


@pytest.mark.parametrize(
    ("flag", "change", "message"),
    [
        ("--express", ("express = true", "express = false"), "--express is not allowed in dev; "),
        (
            "--keep-failed",
            ("express = true", "express = true\ntermination_protection = true"),
            "--keep-failed is for development only: [dev.rollout] has termination_protection; ",
        ),
    ],
)
def test_a_saved_plan_is_not_executed_in_a_way_that_the_settings_no_longer_allow(
    command: Command, aws: Service, tmp_path: Path, flag: str, change: tuple[str, str], message: str
) -> None:
    add_platform(aws, edit_harmlessly)
    command("dev", "--plan", flag, "--out", "plan.json", code=2)
    path = tmp_path / "environments.toml"
    path.write_text(settings.ENVIRONMENTS_FILE.read_text(encoding="utf-8").replace(*change), encoding="utf-8")
    refused = command("apply", "dev", "plan.json", "--yes", "--settings", str(path), code=1)
    assert refused.stderr.startswith(f"deploy: plan.json: {message}")
    assert aws.find_requests(EXECUTE) == []


def test_an_express_deployment_is_rolled_back_when_it_fails(command: Command, aws: Service) -> None:
    add_platform(aws, edit_harmlessly)
    aws.fails = QUEUE_FAILS
    command("dev", "--yes", "--express", code=1)
    request = aws.find_requests("CreateChangeSet")[-1]
    assert request["DeploymentConfig"] == {"Mode": "EXPRESS", "DisableRollback": False}
    assert not request["RollbackConfiguration"].get("RollbackTriggers")
    assert find_status(aws) == "UPDATE_ROLLBACK_COMPLETE"


@pytest.mark.parametrize("is_saved", [False, True])
def test_an_express_deployment_says_what_it_does_not_wait_for(command: Command, aws: Service, is_saved: bool) -> None:
    add_platform(aws, edit_harmlessly)
    if is_saved:
        planned = command("plan", "dev", "--express", "--out", "plan.json", code=2)
        result = command("apply", "dev", "plan.json", "--yes", code=0)
        assert "Not ready" not in planned.stdout
    else:
        result = command("dev", "--yes", "--express", code=0)
    assert (
        "! --express: CloudFormation does not wait until the resources are ready, and watches no alarms; after the "
        "deployment, for some time: a queue does not have its new attributes yet (Data/DeadLetters, "
        "Data/UndeliveredNotices)"
    ) in join_lines(result.stdout)
    assert "Not ready until scripts/verify.sh dev succeeds: resources may be initializing\n" in result.stdout


def test_a_plain_deployment_waits_watches_and_validates(command: Command, aws: Service) -> None:
    add_platform(aws, edit_harmlessly)
    result = command("dev", "--yes", code=0)
    request = aws.find_requests("CreateChangeSet")[-1]
    assert not {"DeploymentConfig", "DisableValidation"} & set(request)
    assert request["RollbackConfiguration"]["RollbackTriggers"]
    assert "Not ready" not in result.stdout


@pytest.mark.parametrize(
    ("environment", "flags", "message"),
    [
        (
            "staging",
            ("--express",),
            "--express is not allowed in staging; deploy without it, or set express = true in ",
        ),
        ("prod", ("--express",), "--express is for development only: [prod.rollout] has termination_protection and "),
        ("prod", ("--keep-failed",), "--keep-failed is for development only: [prod.rollout] has termination_"),
        ("dev", ("--express", "--keep-failed"), "--express cannot be combined with --keep-failed, because "),
        (
            "dev",
            ("--express", "--skip-validation", "--offline"),
            "--express, --skip-validation cannot be combined with",
        ),
    ],
)
def test_options_that_an_environment_does_not_allow_are_refused_before_the_first_request(
    command: Command, aws: Service, environment: str, flags: tuple[str, ...], message: str
) -> None:
    assert message in command("plan", environment, *flags, code=1).stderr
    assert aws.calls == []


def test_a_deployment_goes_on_from_a_failure_only_where_that_is_allowed(command: Command, aws: Service) -> None:
    stack = add_platform(aws, edit_harmlessly, status="UPDATE_FAILED")
    assert (
        "UPDATE_FAILED: express mode, with rollback, cannot go on from there"
        in command("plan", "dev", "--express").stderr
    )
    stack.name = "payment-platform-prod"
    assert command("plan", "prod", code=1).stderr == (
        "deploy: payment-platform-prod is UPDATE_FAILED: it would go on without rollback, which "
        "termination_protection forbids; or roll it back: scripts/deploy.sh rollback prod\n"
    )


def test_tables_with_deletion_protection_are_not_created_in_express_mode(
    command: Command, aws: Service, settings_file: Callable[..., str]
) -> None:
    add_bootstrap_stack(aws)
    path = settings_file("dev", deletion_protection=True)
    refused = command("plan", "dev", "--express", "--settings", path, code=1)
    assert "--express cannot create Data/PaymentLedger, Data/Transactions: deletion protection is" in refused.stderr


def test_without_validation_the_plan_says_what_is_not_checked(command: Command, aws: Service) -> None:
    add_platform(aws, edit_harmlessly)
    aws.validations = [{"EventType": "VALIDATION_ERROR", "ValidationFailureMode": "WARN", "ValidationStatus": "FAILED"}]
    planned = command("plan", "dev", "--skip-validation", code=2)
    assert aws.find_requests("CreateChangeSet")[-1]["DisableValidation"] is True
    assert "! --skip-validation: CloudFormation does not check property values" in join_lines(planned.stdout)
    assert "warning:" not in planned.stdout
    assert "warning: no reason given" in command("plan", "dev", code=2).stdout
