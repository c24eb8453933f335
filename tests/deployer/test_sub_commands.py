"""The sub-commands of deploy.sh, the options that are aliases of them, and the help of every script."""

import re
from pathlib import Path

import pytest

from tests.deployer.aws.cloudformation import CloudFormation as Service
from tests.deployer.conftest import Command, add_platform
from tests.deployer.releases import edit_harmlessly


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--code-only", "--wait"), "--wait cannot be combined with --code-only"),
        (("--plan", "--follow"), "--plan and --follow: use only one of these"),
        (("--out", "x"), "--out requires --plan"),
        (("--offline",), "--offline requires --plan"),
        (("--against", "HEAD"), "--against requires --plan"),
        (("--skip", "A/B"), "--skip requires --continue-rollback"),
        (("--move", "A=B"), "--move requires --refactor"),
        (("--plan", "--json", "--markdown"), "--json cannot be combined with --markdown"),
        (("--plan", "--offline", "--out", "x"), "--out cannot be combined with --offline"),
        (("--plan", "--import", "--offline"), "--import cannot be combined with --offline"),
        (("--import", "--follow"), "--import and --follow: use only one of these"),
    ],
)
def test_options_that_exclude_each_other_are_refused(
    command: Command, aws: Service, arguments: tuple[str, ...], message: str
) -> None:
    assert message in command("dev", *arguments, code=1).stderr
    assert aws.calls == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("import", "local"), "local cannot be used with import: the AWS emulator imports nothing into nested stacks"),
        (
            ("plan", "local", "--import"),
            "local cannot be used with import: the AWS emulator imports nothing into nested stacks",
        ),
        (("local", "--refactor"), "local cannot be used with refactor: the AWS emulator has no stack refactors"),
        (("plan", "dev", "--out", "-"), "'-' is not the name of a file"),
        (("plan", "dev", "--out", ""), "'' is not the name of a file"),
        (("apply", "local", "missing.json"), "missing.json: cannot be read: No such file or directory"),
        (("discard", "local", "missing.json"), "missing.json: cannot be read: No such file or directory"),
        (("prod", "--express"), "--express is for development only"),
    ],
)
def test_what_needs_no_access_is_checked_before_credentials_and_the_emulator(
    command: Command, aws: Service, arguments: tuple[str, ...], message: str
) -> None:
    result = command(*arguments, code=1, AWS_DEFAULT_REGION="")
    assert message in result.stderr
    assert aws.calls == []


def test_a_plan_for_another_environment_is_refused_without_a_region(
    command: Command, aws: Service, tmp_path: Path
) -> None:
    add_platform(aws, edit_harmlessly)
    path = tmp_path / "plan.json"
    command("plan", "dev", "--out", str(path), code=2)
    result = command("apply", "prod", str(path), code=1, AWS_DEFAULT_REGION="")
    assert result.stderr == f"deploy: {path}: this plan is for environment dev, not prod\n"


def test_every_script_has_a_help_text(command: Command) -> None:
    for script in ("status", "outputs", "destroy"):
        assert f"Usage: scripts/{script}.sh [OPTIONS] ENVIRONMENT" in command("--help", script=script, code=0).stdout


def test_the_help_of_deploy_shows_its_commands_in_80_columns(command: Command) -> None:
    general = command("--help", COLUMNS="80", code=0)
    assert max(map(len, general.stdout.splitlines())) <= 80
    commands = re.findall(r"^  ([a-z-]+)  +[A-Z].*[.]$", general.stdout.split("Commands:")[1], re.MULTILINE)
    assert commands == [
        "deploy", "plan", "apply", "discard", "import", "refactor", "code-only", "follow", "cancel",
        "continue-rollback", "rollback",
    ]  # fmt: skip
    assert "..." not in general.stdout
    for name in commands:
        help_text = command(name, "--help", code=0).stdout
        assert f"Usage: scripts/deploy.sh {name} [OPTIONS] ENVIRONMENT" in help_text


@pytest.mark.parametrize(
    ("alias", "arguments"),
    [
        (("dev", "--follow"), ("follow", "dev")),
        (("dev", "--yes", "--cancel"), ("cancel", "dev")),
        (("--continue-rollback", "dev", "--skip", "Data/X"), ("continue-rollback", "dev", "--skip", "Data/X")),
        (("dev", "--apply", "no-plan.json", "--yes"), ("apply", "dev", "no-plan.json", "--yes")),
        (("dev", "--discard=no-plan.json", "--json"), ("discard", "dev", "no-plan.json", "--json")),
        (("dev", "--plan", "--offline", "--json"), ("plan", "dev", "--offline", "--json")),
        (("dev", "--refactor", "--move", "X=Y"), ("refactor", "dev", "--move", "X=Y")),
        (("dev", "--code-only"), ("code-only", "dev")),
        (("dev", "code-only", "--json"), ("code-only", "dev", "--json")),
        (("dev", "--yes"), ("deploy", "dev", "--yes")),
        (("dev", "plan", "--offline", "--json"), ("plan", "dev", "--offline", "--json")),
        (("--region", "eu-west-1", "dev", "follow"), ("follow", "dev", "--region", "eu-west-1")),
        (("dev", "--yes", "apply", "plan"), ("apply", "dev", "plan", "--yes")),
        (("dev", "--apply", "plan"), ("apply", "dev", "plan")),
        (("dev", "--import", "--yes"), ("import", "dev", "--yes")),
        (("dev", "--plan", "--import"), ("plan", "dev", "--import")),
    ],
)
def test_an_option_that_is_the_alias_of_a_command_does_the_same(
    command: Command, aws: Service, alias: tuple[str, ...], arguments: tuple[str, ...]
) -> None:
    add_platform(aws)
    first, second = command(*alias), command(*arguments)
    assert (first.code, first.stderr) == (second.code, second.stderr)
    assert remove_varying_parts(first.stdout) == remove_varying_parts(second.stdout)


def remove_varying_parts(text: str) -> str:
    """Remove times, and what only the first of two equal commands does."""
    return re.sub(r'"at": "[^"]*"', "", text).replace("Recorded what is deployed, for offline plans\n", "")


def test_an_environment_cannot_be_called_like_a_command(command: Command, aws: Service) -> None:
    refused = command("plan", "cancel")
    assert refused.stderr == "deploy: an environment cannot be called cancel: that is a command of scripts/deploy.sh\n"
    assert (refused.code, aws.calls) == (1, [])
