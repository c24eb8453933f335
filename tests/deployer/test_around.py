"""Status, outputs, destroy, and plans without AWS."""

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest

from scripts.common.errors import UserError
from scripts.deployer.destroy import _delete_stack
from scripts.deployer.stack import Stack as DeployedStack
from tests.deployer.aws.cloudformation import CloudFormation as Service
from tests.deployer.aws.cloudformation import Refused
from tests.deployer.conftest import Command, add_bootstrap_stack, add_platform, assert_golden
from tests.deployer.fake_cloudformation import error
from tests.deployer.test_apply import earlier
from tests.deployer.test_plan import with_loss
from tests.emitted import ROOT

NAME = "payment-platform-dev"


def test_status_tells_stacks_drift_and_alarms(command: Command, aws: Service, tmp_path: Path) -> None:
    stack = add_platform(aws, tmp_path)
    stack.nested["Data"].drift = "DRIFTED"
    aws.alarms["alarm-sfn-failures-dev"] = "ALARM"
    result = command("dev", "--drift", script="status")
    assert (result.code, result.stderr) == (2, "")
    assert_golden("status.txt", result.stdout)
    # A root's detection does not look into its nested stacks.
    assert len(aws.asked("DetectStackDrift")) == 6
    assert aws.writes() == []


def test_a_status_that_is_well(command: Command, aws: Service, tmp_path: Path) -> None:
    add_platform(aws, tmp_path)
    result = command("dev", "--json", script="status")
    told = json.loads(result.stdout)
    assert (result.code, len(told["stacks"]), set(told["alarms"].values())) == (0, 6, {"OK"})


@pytest.mark.parametrize(
    ("script", "says"),
    [
        ("status", f"status: {NAME} is not deployed\n"),
        ("outputs", f"outputs: {NAME} is not deployed; deploy it with scripts/deploy.sh dev\n"),
    ],
)
def test_what_is_not_there_is_said(command: Command, aws: Service, script: str, says: str) -> None:
    result = command("dev", script=script)
    assert (result.code, result.stderr) == (1, says)


def test_outputs_in_every_shape(command: Command, aws: Service, tmp_path: Path) -> None:
    add_platform(aws, tmp_path)
    table = command("dev", script="outputs").stdout
    assert "SnsTopicName                            sns-payment-notifications-dev\n" in table
    assert command("dev", "SnsTopicName", script="outputs").stdout == "sns-payment-notifications-dev\n"
    assert json.loads(command("dev", "--format", "json", script="outputs").stdout)["Region"] == "eu-west-1"
    shell = command("dev", "--format", "env", script="outputs").stdout
    sourced = subprocess.run(
        ["bash", "-c", f"{shell}\necho $SNS_TOPIC_NAME"], capture_output=True, text=True, check=True
    )
    assert sourced.stdout == "sns-payment-notifications-dev\n"
    wrong = command("dev", "Nope", script="outputs")
    assert (wrong.code, wrong.stderr) == (1, f"outputs: {NAME} has no output Nope; see scripts/outputs.sh dev\n")


def test_destroy_says_what_is_lost_and_what_is_kept(command: Command, aws: Service, tmp_path: Path) -> None:
    stack = add_platform(aws, tmp_path, with_loss)
    result = command("dev", "--yes", "--destroys", NAME, script="destroy")
    assert result.code == 0, result
    assert_golden("destroy.txt", result.stdout)
    assert stack.status == "DELETE_COMPLETE"
    assert {key.split("/")[2] for key in aws.retired} == {"dev"}
    gone = command("dev", "--yes", "--destroys", NAME, script="destroy")
    assert (gone.code, gone.stdout) == (0, f"{NAME}: is not deployed\n")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ((), "destroy: cannot ask for confirmation without a terminal; run it in a terminal or add --yes\n"),
        (("--yes",), f"destroy: --yes does not cover data loss; to confirm it, add --destroys {NAME}\n"),
        (("--yes", "--destroys", "dev"), f"destroy: --destroys dev: not among what is deleted: {NAME}\n"),
    ],
)
def test_destroy_needs_the_name(
    command: Command, aws: Service, tmp_path: Path, arguments: tuple[str, ...], says: str
) -> None:
    add_platform(aws, tmp_path)
    result = command("dev", *arguments, script="destroy")
    assert (result.code, result.stderr) == (1, says)
    assert aws.writes() == []


@pytest.mark.parametrize(("types", "gone"), [(f"{NAME}\n", True), ("y\n", False)])
def test_destroy_asks_for_the_name(command: Command, aws: Service, tmp_path: Path, types: str, gone: bool) -> None:
    stack = add_platform(aws, tmp_path)
    terminal = command.run_on_terminal("dev", types=types, script="destroy")
    assert (terminal.code == 0, stack.status == "DELETE_COMPLETE") == (gone, gone)


def test_destroy_leaves_alone_what_is_protected_busy_or_not_ours(
    command: Command, aws: Service, tmp_path: Path
) -> None:
    stack = add_platform(aws, tmp_path, protected=True)
    flags = ("--yes", "--destroys", NAME)
    assert (
        "has termination protection; to delete it anyway, add --unprotect"
        in command("dev", *flags, script="destroy").stderr
    )
    stack.status = "UPDATE_IN_PROGRESS"
    assert "is UPDATE_IN_PROGRESS; wait until it has finished" in command("dev", *flags, script="destroy").stderr
    stack.status, stack.tags = "UPDATE_COMPLETE", []
    assert "exists but does not have the tag" in command("dev", *flags, script="destroy").stderr
    assert aws.writes() == []
    stack.tags = [{"Key": "ManagedBy", "Value": "payment-platform"}]
    assert command("dev", *flags, "--unprotect", script="destroy").code == 0


def test_protection_that_cannot_be_switched_on_again_comes_after_the_first_cause() -> None:
    class Denies:
        def __init__(self) -> None:
            self.switched: list[bool] = []

        def update_termination_protection(self, StackName: str, EnableTerminationProtection: bool) -> None:  # noqa: ARG002
            self.switched.append(EnableTerminationProtection)
            if EnableTerminationProtection:
                raise error("ExpiredToken", "second")

        def delete_stack(self, StackName: str) -> None:
            raise error("AccessDenied", f"first: {StackName}")

    with pytest.raises(UserError) as stopped:
        _delete_stack(Denies(), DeployedStack("payment-platform-dev", id="arn:dev", termination_protection=True))
    words = str(stopped.value)
    assert words.index("first") < words.index("termination protection is still off") < words.index("second")
    assert words.endswith("--stack-name payment-platform-dev --enable-termination-protection")


def test_a_destruction_that_fails_says_what_is_left(command: Command, aws: Service, tmp_path: Path) -> None:
    add_platform(aws, tmp_path)
    aws.fails = {NAME: "The following resource(s) failed to delete: [Data]."}
    result = command("dev", "--yes", "--destroys", NAME, script="destroy")
    assert (result.code, "ended DELETE_FAILED" in result.stderr) == (1, True)
    blocked = "fix what blocks the deletion of what its events report, then run scripts/destroy.sh dev again"
    assert f"next: {blocked}\n" in result.stdout


def test_offline_against_the_last_deployment_from_here(
    command: Command, aws: Service, tmp_path: Path, settings_file: Any
) -> None:
    add_platform(aws, tmp_path, earlier)
    assert command("dev", "--yes").code == 0
    aws.calls.clear()
    same = command("dev", "--plan", "--offline", AWS_ACCESS_KEY_ID="", AWS_SECRET_ACCESS_KEY="")
    assert (same.code, same.stdout) == (0, f"{NAME}: no changes\n")
    changed = command("dev", "--plan", "--offline", "--settings", settings_file("dev", log_retention_days=7))
    assert changed.code == 2, changed
    assert "Plan: 0 to add, 4 to change, 0 to destroy.\n" in changed.stdout
    assert "Based on a comparison of the local templates with what was deployed from this machine on " in changed.stdout
    assert aws.calls == []


def test_offline_against_a_revision(command: Command, aws: Service, settings_file: Any) -> None:
    path = settings_file("dev", log_retention_days=7)
    changed = command("dev", "--plan", "--offline", "--against", "HEAD", "--settings", path)
    # Whatever else was edited since, this is among it.
    assert (changed.code, "RetentionInDays: 1 → 7" in changed.stdout) == (2, True), changed
    wrong = command("dev", "--plan", "--offline", "--against", "--upload-pack=x")
    assert (wrong.code, wrong.stderr.startswith("deploy: --against --upload-pack=x: ")) == (1, True)


def test_offline_with_nothing_to_compare_with(command: Command, aws: Service, tmp_path: Path) -> None:
    result = command("dev", "--plan", "--offline")
    assert result.code == 1
    assert "Until then, compare with a git revision: --offline --against REVISION" in result.stderr
    (tmp_path / "deployed").mkdir()
    (tmp_path / "deployed" / "dev.json").write_text('{"version": 1}')
    assert "not a valid deployment record; delete it" in command("dev", "--plan", "--offline").stderr


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--plan", "--follow"), "--plan and --follow: use only one of these"),
        (("--out", "x"), "--out requires --plan"),
        (("--offline",), "--offline requires --plan"),
        (("--plan", "--against", "HEAD"), "--against requires --offline"),
        (("--skip", "A/B"), "--skip requires --continue-rollback"),
        (("--plan", "--json", "--markdown"), "--json cannot be combined with --markdown"),
        (("--plan", "--offline", "--out", "x"), "--out cannot be combined with --offline"),
    ],
)
def test_options_that_do_not_go_together(command: Command, aws: Service, arguments: tuple[str, ...], says: str) -> None:
    result = command("dev", *arguments)
    assert (result.code, says in result.stderr) == (1, True), result.stderr
    assert aws.calls == []


def test_a_bucket_whose_template_has_changed_is_changed_too(command: Command, aws: Service, tmp_path: Path) -> None:
    add_platform(aws, tmp_path)
    (bucket,) = [stack for stack in aws.stacks.values() if stack.name == "payment-artifacts"]
    bucket.text = bucket.text.replace("NoncurrentDays: 30", "NoncurrentDays: 3")
    result = command("dev", "--yes")
    assert result.code == 0, result
    assert "LifecycleConfiguration/Rules/0/NoncurrentVersionExpiration/NoncurrentDays: 3 → 30" in result.stdout
    assert bucket.text == (ROOT / "templates" / "artifacts.yaml").read_text(encoding="utf-8")


def test_every_script_helps(command: Command) -> None:
    for script in ("status", "outputs", "destroy"):
        help_text = command("--help", script=script)
        assert (help_text.code, f"Usage: scripts/{script}.sh [OPTIONS] ENVIRONMENT" in help_text.stdout) == (0, True)


def test_the_help_of_deploy_shows_its_commands_in_80_columns(command: Command) -> None:
    general = command("--help", COLUMNS="80")
    assert general.code == 0
    assert max(map(len, general.stdout.splitlines())) <= 80
    commands = re.findall(r"^  ([a-z-]+)  +[A-Z].*[.]$", general.stdout.split("Commands:")[1], re.MULTILINE)
    assert commands == ["deploy", "plan", "apply", "discard", "follow", "cancel", "continue-rollback"]
    assert "..." not in general.stdout
    for name in commands:
        own = command(name, "--help")
        assert (own.code, f"Usage: scripts/deploy.sh {name} [OPTIONS] ENVIRONMENT" in own.stdout) == (0, True)


@pytest.mark.parametrize(
    ("alias", "arguments"),
    [
        (("dev", "--follow"), ("follow", "dev")),
        (("dev", "--yes", "--cancel"), ("cancel", "dev")),
        (("--continue-rollback", "dev", "--skip", "Data/X"), ("continue-rollback", "dev", "--skip", "Data/X")),
        (("dev", "--apply", "no-plan.json", "--yes"), ("apply", "dev", "no-plan.json", "--yes")),
        (("dev", "--discard=no-plan.json", "--json"), ("discard", "dev", "no-plan.json", "--json")),
        (("dev", "--plan", "--offline", "--json"), ("plan", "dev", "--offline", "--json")),
        (("dev", "--yes"), ("deploy", "dev", "--yes")),
    ],
)
def test_an_option_that_is_the_alias_of_a_command_does_the_same(
    command: Command, aws: Service, tmp_path: Path, alias: tuple[str, ...], arguments: tuple[str, ...]
) -> None:
    add_platform(aws, tmp_path)
    assert command(*alias) == command(*arguments)


def test_an_environment_cannot_be_called_like_a_command(command: Command, aws: Service) -> None:
    refused = command("plan", "cancel")
    assert refused.stderr == "deploy: an environment cannot be called cancel: that is a command of scripts/deploy.sh\n"
    assert (refused.code, aws.calls) == (1, [])


def test_a_first_deployment_asks_for_the_bucket_and_for_the_platform(command: Command, aws: Service) -> None:
    """The bucket first: what depends on a setting comes from the bucket, with a second change set."""
    terminal = command.run_on_terminal("dev", types="y\ny\nn\n")
    assert terminal.code == 1
    assert [stack.name for stack in aws.stacks.values()] == ["payment-artifacts"]
    assert "payment-platform-dev: not deployed; the change set was" in terminal.text
    assert aws.left == []


def test_a_stack_in_review_goes_unless_somebodys_plan_waits_there(command: Command, aws: Service) -> None:
    add_bootstrap_stack(aws)
    assert command("dev", "--plan", "--out", "plan.json").code == 2
    result = command("dev", "--yes", "--destroys", NAME, script="destroy")
    assert (result.code, "contains nothing but a saved plan (deploy-" in result.stderr) == (1, True)
    aws.change_sets.clear()
    assert command("dev", "--yes", "--destroys", NAME, script="destroy").code == 0
    assert aws.left == []


def test_protection_is_back_on_when_the_deletion_is_refused(command: Command, aws: Service, tmp_path: Path) -> None:
    stack = add_platform(aws, tmp_path, protected=True)
    aws.errors = {"DeleteStack": [Refused("AccessDenied", "not you", 403)]}
    result = command("dev", "--yes", "--destroys", NAME, "--unprotect", script="destroy")
    assert (result.code, stack.protected) == (1, True)


def test_what_keeps_less_loses_what_is_older(command: Command, aws: Service, tmp_path: Path) -> None:
    add_platform(
        aws,
        tmp_path,
        lambda _, text: text.replace("RetentionPeriod: 1209600", "RetentionPeriod: 1209601"),
    )
    result = command("dev", "--plan")
    assert (
        "! Data/DeadLetters (AWS::SQS::Queue) has a shorter retention period: older data will be lost\n"
        in result.stdout
    )


def test_a_fixed_name_cannot_be_replaced_and_the_plan_says_so(command: Command, aws: Service, tmp_path: Path) -> None:
    def key(name: str, text: str) -> str:
        return text.replace("sequence\n        KeyType", "step\n        KeyType") if name == "data.yaml" else text

    add_platform(aws, tmp_path, key)
    result = command("dev", "--plan")
    fixed = "Data/PaymentLedger has the fixed name dynamodb-payment-ledger-dev: CloudFormation cannot replace it"
    assert f"! {fixed} unless the name changes as well\n" in result.stdout


def test_a_terminal_that_knows_ascii_only(command: Command, aws: Service, tmp_path: Path) -> None:
    add_platform(aws, tmp_path, with_loss)
    result = command("dev", "--plan", PYTHONIOENCODING="ascii")
    assert (result.code, "~ Data AWS::CloudFormation::Stack" in result.stdout, "├" in result.stdout) == (
        2,
        True,
        False,
    ), result
