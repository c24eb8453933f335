"""Every command of docs/first-deployment.md is valid, and the checks that it names exist.

Other tests execute the commands: that of the runbook deploy.sh and status.sh, its own verify.sh.
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
from tests.ops.test_runbook import read_commands

TEXT = (ROOT / "docs" / "first-deployment.md").read_text(encoding="utf-8")
COMMANDS = [command.text for command in read_commands(TEXT)]
PROGRAMS = {"scripts/deploy.sh": deploy.deploy, "scripts/verify.sh": cli.main, "scripts/status.sh": status.main}
# Options of the AWS CLI itself.
GLOBAL_OPTIONS = {"--query", "--output", "--region", "--profile"}


@pytest.mark.parametrize("command", dict.fromkeys(COMMANDS))
def test_each_command_is_valid(command: str) -> None:
    program, *arguments = shlex.split(command)
    if program == "aws":
        check_call(*arguments)
        return
    parsed = PROGRAMS[program].make_context(program, arguments)
    settings.load(parsed.params["environment"])


def check_call(service: str, operation: str, *arguments: str) -> None:
    """Check a call of the AWS CLI against the model of the service."""
    model = botocore.session.get_session().get_service_model(service)
    names = {xform_name(name, "-"): name for name in model.operation_names}
    members = getattr(model.operation_model(names[operation]).input_shape, "members", {})
    options = {argument for argument in arguments if argument.startswith("--")} - GLOBAL_OPTIONS
    assert options <= {f"--{xform_name(name, '-')}" for name in members}


def test_an_invalid_command_is_noticed() -> None:
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
    groups_in_text = {name.split(":")[0] for row in rows for name in re.findall(r"`([a-z]+(?:: [^`]+)?)`", row)}
    groups = {group.name for group in runner.GROUPS}
    # `heartbeat` follows `schedule: rule fired`, and is in the same group.
    assert groups_in_text - groups <= {"heartbeat", "tables"}
    assert {"payments", "alarms", "schedule", "traces", "keys", "backups", "notifications", "stacks"} <= groups_in_text
