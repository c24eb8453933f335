"""The advice for every status of a stack: complete, with commands that exist, and never a deletion of what runs."""

import importlib
import re
import shlex
from collections.abc import Callable

import click
import pytest
from botocore import xform_name

from scripts.deployer.cli.aliases import DeployCommand
from scripts.deployer.statuses import STATUSES, UPDATE, advise_next_step
from tests.deployer.aws.cloudformation import CloudFormation as Service
from tests.deployer.aws.wire import load_model
from tests.deployer.both_stacks import ARTIFACTS, PLATFORM, add_earlier_release, find_artifacts
from tests.deployer.conftest import Command, add_platform
from tests.deployer.releases import edit_harmlessly

NAME = "payment-platform-dev"
MODEL = load_model("cloudformation")
# Where only a deletion is left, or nothing runs yet: AWS says that a stack in DELETE_FAILED cannot be worked with,
# and that one in ROLLBACK_COMPLETE can only be deleted.
# https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/view-stack-events.html
MAY_BE_DELETED = {"CREATE_IN_PROGRESS", "ROLLBACK_FAILED", "DELETE_FAILED"}
# A deployment creates a deleted stack anew, and one whose creation was rolled back.
CREATED_ANEW = {"DELETE_COMPLETE", "ROLLBACK_COMPLETE"}


def list_texts(environment: str) -> list[tuple[str, str]]:
    """Return each status with its advice, after an import as well, without remains and with them."""
    return [
        (status, advise_next_step(NAME, status, environment, has_remains=has_remains, is_import=is_import).next_step)
        for status in MODEL.shape_for("StackStatus").enum
        for has_remains in (False, True)
        for is_import in (False, True)
    ]


def test_the_table_has_a_row_for_each_status_of_the_service_model() -> None:
    assert set(STATUSES) == set(MODEL.shape_for("StackStatus").enum)


def test_each_operation_of_the_table_exists() -> None:
    operations = {operation for row in STATUSES.values() for operation in row.accepts}
    assert operations <= set(MODEL.operation_names)


def parse_command(text: str) -> None:
    """Parse the command as its script does. Raises ``click.UsageError`` for an option that does not exist."""
    script, *arguments = shlex.split(text)
    name = re.fullmatch(r"scripts/(\w+)\.sh", script)
    assert name, text
    main = importlib.import_module(f"scripts.deployer.cli.{name[1]}").main
    context = main.make_context(script, arguments)
    if isinstance(main, click.Group):
        _, command, rest = main.resolve_command(context, [*context._protected_args, *context.args])
        parsed = command.make_context("command", rest, parent=context)
        if isinstance(command, DeployCommand):
            command._check_options(parsed, command._aliases.get(command._choose_alias(parsed)))


@pytest.mark.parametrize(("status", "text"), list_texts("dev"))
def test_each_command_exists(status: str, text: str) -> None:
    commands = re.findall(r"scripts/\w+\.sh(?: [a-z-]+)? dev(?: --[a-z-]+(?: STACK/RESOURCE)?)*", text)
    for command in commands:
        parse_command(command)
    assert commands or not text or "describe-stack-events" in text, f"{status}: {text}"


def test_a_misspelt_command_is_noticed() -> None:
    with pytest.raises(click.UsageError):
        parse_command("scripts/deploy.sh continue-rolback dev")
    with pytest.raises(click.UsageError):
        parse_command("scripts/deploy.sh rollback dev --express")


@pytest.mark.parametrize(("status", "text"), list_texts(""))
def test_each_command_of_the_aws_cli_exists(status: str, text: str) -> None:
    operations = {xform_name(name, "-"): MODEL.operation_model(name) for name in MODEL.operation_names}
    for name in re.findall(r"aws cloudformation ([a-z-]+) --stack-name payment-platform-dev", text):
        assert "StackName" in operations[name].input_shape.members, f"{status}: {text}"
    assert "scripts/" not in text


@pytest.mark.parametrize("environment", ["dev", ""])
def test_a_deletion_is_advised_only_where_nothing_runs(environment: str) -> None:
    deleting = ("destroy.sh", "delete-stack")
    advised = {status for status, text in list_texts(environment) if any(word in text for word in deleting)}
    assert advised == MAY_BE_DELETED
    # What a stack has left may be the tables of an earlier one, with their data.
    assert not [status for status, text in list_texts(environment) if "--purge" in text]


@pytest.mark.parametrize(
    "status",
    [status for status in STATUSES if status not in MAY_BE_DELETED | CREATED_ANEW | {"DELETE_IN_PROGRESS"}],
)
def test_no_command_advises_to_delete_a_running_environment(command: Command, aws: Service, status: str) -> None:
    """Whatever a deployment, a plan, or a control of a deployment does with the stack."""
    add_platform(aws, status=status)
    arguments = (["--plan"], ["--follow"], ["--cancel"], ["--continue-rollback"], ["--rollback"])
    if status.endswith("_IN_PROGRESS"):
        arguments = arguments[:1]
    for option in arguments:
        assert "destroy.sh" not in command("dev", *option).stderr
    assert "destroy.sh" not in command("dev", script="status").output


@pytest.mark.parametrize(
    "status",
    [status for status in STATUSES if UPDATE not in STATUSES[status].accepts and status not in CREATED_ANEW],
)
def test_a_stack_that_takes_no_change_set_is_refused_by_its_row(command: Command, aws: Service, status: str) -> None:
    add_platform(aws, status=status)
    refused = command("dev", "--yes", code=1)
    assert refused.stderr.startswith(f"deploy: {NAME} is {status}: ")
    assert refused.stderr.endswith(f"; {advise_next_step(NAME, status, 'dev').next_step}\n")
    assert aws.find_writes() == []


def test_the_status_command_prints_the_next_step(command: Command, aws: Service) -> None:
    add_platform(aws, status="IMPORT_ROLLBACK_FAILED")
    text = command("dev", script="status", code=2).stdout
    assert "an import failed, and so did its rollback; see which resources its events report: aws" in text


@pytest.mark.parametrize("status", ["UPDATE_FAILED", "CREATE_FAILED"])
@pytest.mark.parametrize("add_release", [add_platform, add_earlier_release], ids=["platform changes", "both change"])
def test_an_artifacts_stack_that_kept_a_failure_is_rolled_back_first(
    command: Command, aws: Service, add_release: Callable[[Service], object], status: str
) -> None:
    """It is updated with rollback, which CloudFormation refuses then."""
    add_release(aws)
    find_artifacts(aws).status = status
    advice = (
        f"payment-artifacts is {status}: {STATUSES[status].meaning.partition(' (')[0]}; fix the cause, roll back: aws "
        "cloudformation rollback-stack --stack-name payment-artifacts --retain-except-on-create; then run the "
        "deployment again\n"
    )
    for arguments in (("plan", "dev"), ("dev", "--yes")):
        assert command(*arguments, code=1).stderr == f"deploy: {advice}"
    assert aws.find_writes() == []
    shown = command("dev", script="status", code=2).stdout
    assert advice.replace("\n", "") in " ".join(shown.split())


@pytest.mark.parametrize("name", [ARTIFACTS, PLATFORM])
def test_what_a_failed_creation_has_left_is_deleted_only_after_a_yes(command: Command, aws: Service, name: str) -> None:
    add_platform(aws, edit_harmlessly)
    (stack,) = [stack for stack in aws.stacks.values() if stack.name == name]
    stack.status, aws.alarms = "ROLLBACK_COMPLETE", {}
    aws.holdings.resources.clear()
    question = f"Delete {name} (ROLLBACK_COMPLETE), which is empty: it is left over from a failed creation? [y/N]"
    refused = command.run_on_terminal("dev", types="n\n", columns=200)
    assert question in refused.text
    assert refused.text.endswith(f"deploy: {name}: not deployed; nothing was deleted\n")
    assert command("dev").stderr.startswith("deploy: cannot ask for confirmation without a terminal")
    interrupted = command.run_on_terminal("dev", columns=200, interrupts_at=question)
    assert (refused.code, interrupted.code, aws.find_writes()) == (1, 130, [])


def test_an_interrupt_after_the_remains_are_deleted_says_so(command: Command, aws: Service) -> None:
    add_platform(aws, edit_harmlessly)
    stack = find_artifacts(aws)
    stack.status = "ROLLBACK_COMPLETE"
    interrupted = command.run_on_terminal("dev", types="y\n", columns=250, interrupts_at="Deploy payment-artifacts?")
    last_line = interrupted.text.splitlines()[-1]
    assert last_line.startswith("deploy: interrupted; already requested: cloudformation:DeleteStack on ")
    assert stack.id in last_line
    # Nothing goes on.
    assert interrupted.code == 1
    assert not stack.is_there


def test_a_status_that_is_newer_than_the_table_names_the_events() -> None:
    assert advise_next_step(NAME, "FROZEN", "dev") == (
        "FROZEN",
        f"see aws cloudformation describe-stack-events --stack-name {NAME}",
    )
