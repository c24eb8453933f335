"""Every command of docs/first-deployment.md is one that its program takes, and the checks that it names exist.

The commands themselves are executed elsewhere: deploy.sh and status.sh by the runbook's test, verify.sh by its own.
"""

import re
import shlex

import botocore.session
import click
import pytest
from botocore import xform_name

from scripts.deployer.cli import deploy, status
from scripts.verify import cli, runner
from stacks import settings
from tests.emitted import ROOT
from tests.ops.test_runbook import commands

TEXT = (ROOT / "docs" / "first-deployment.md").read_text(encoding="utf-8")
COMMANDS = [command.text for command in commands(TEXT)]
PROGRAMS = {"scripts/deploy.sh": deploy.deploy, "scripts/verify.sh": cli.main, "scripts/status.sh": status.main}
# Of the AWS CLI itself.
GLOBAL = {"--query", "--output", "--region", "--profile"}


@pytest.mark.parametrize("command", dict.fromkeys(COMMANDS))
def test_each_command_is_one_that_its_program_takes(command: str) -> None:
    program, *arguments = shlex.split(command)
    if program == "aws":
        check_call(*arguments)
        return
    parsed = PROGRAMS[program].make_context(program, arguments)
    settings.load(parsed.params["environment"])


def check_call(service: str, operation: str, *arguments: str) -> None:
    """Against the service's model, as the AWS CLI itself does."""
    model = botocore.session.get_session().get_service_model(service)
    names = {xform_name(name, "-"): name for name in model.operation_names}
    members = getattr(model.operation_model(names[operation]).input_shape, "members", {})
    options = {argument for argument in arguments if argument.startswith("--")} - GLOBAL
    assert options <= {f"--{xform_name(name, '-')}" for name in members}


def test_a_wrong_command_would_be_noticed() -> None:
    with pytest.raises(click.UsageError):
        cli.main.make_context("verify", ["dev", "--frobnicate"])
    with pytest.raises(KeyError):
        check_call("lambda", "get-account-setting")
    with pytest.raises(AssertionError):
        check_call("cloudformation", "describe-stacks", "--stack", "x")


def test_the_commands_verify_what_they_deployed() -> None:
    deployed = [command.split()[1] for command in COMMANDS if command.startswith("scripts/deploy.sh")]
    verified = [command.split()[1] for command in COMMANDS if command.startswith("scripts/verify.sh")]
    assert {"dev", "prod"} == set(deployed) == set(verified)


def test_each_check_that_is_named_is_of_a_group() -> None:
    rows = re.findall(r"^\| [^|]+ \| (`[^|]+) \|", TEXT.split("## What only AWS can tell")[1], re.MULTILINE)
    assert len(rows) >= 12
    named = {name.split(":")[0] for row in rows for name in re.findall(r"`([a-z]+(?:: [^`]+)?)`", row)}
    groups = {group.name for group in runner.GROUPS}
    # Of `schedule: rule fired`, `heartbeat` the second is in the same group.
    assert named - groups <= {"heartbeat", "tables"}
    assert {"payments", "alarms", "schedule", "traces", "keys", "backups", "notifications", "stacks"} <= named
