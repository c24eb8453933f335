"""Two deployments at once: the one that loses says so, changes nothing, and is planned again if it waits."""

from copy import copy
from datetime import timedelta

import pytest

from tests.deployer.aws.cloudformation import CloudFormation as Service
from tests.deployer.aws.holdings import Refused
from tests.deployer.aws.stacks import Stack
from tests.deployer.conftest import Command, add_platform
from tests.deployer.releases import edit_harmlessly

# Each takes several deployments.
pytestmark = pytest.mark.nightly

NAME = "payment-platform-dev"
AGAIN = "; plan again: scripts/deploy.sh dev, or scripts/deploy.sh dev --wait, which waits and plans again\n"
NOT_EXECUTED = "; nothing of this deployment was executed"


def let_another_deployment_begin(aws: Service, stack: Stack, operation: str, *, keeps_change_sets: bool = True) -> None:
    """Another deployment begins just before the next call of the operation, and ends after a few looks at the stack."""

    def begin_deployment() -> None:
        del aws.before[operation]
        stack.status = "UPDATE_IN_PROGRESS"
        for change_set in list(aws.change_sets.values()):
            change_set.execution = "OBSOLETE"
        if not keeps_change_sets:
            aws.change_sets.clear()
        aws.before["DescribeStacks"] = end_deployment

    first_looks: list[int] = []

    def end_deployment() -> None:
        first_looks.append(len(aws.calls))
        if len(first_looks) > 6:
            stack.status = "UPDATE_COMPLETE"
            del aws.before["DescribeStacks"]

    aws.before[operation] = begin_deployment


def test_a_deployment_that_begins_before_the_change_set_is_named(command: Command, aws: Service) -> None:
    let_another_deployment_begin(aws, add_platform(aws, edit_harmlessly), "CreateChangeSet")
    result = command("dev", "--yes", code=1)
    state = f"{NAME} is UPDATE_IN_PROGRESS: another deployment is running"
    assert result.stderr == f"deploy: {state}{NOT_EXECUTED}{AGAIN}"
    assert aws.find_requests("ExecuteChangeSet") == []


@pytest.mark.parametrize("arguments", [("--yes",), ("--plan",)])
@pytest.mark.parametrize("logical_id", ["", "Security"])
def test_a_deployment_that_ends_before_the_change_set_is_created_is_noticed(
    command: Command, aws: Service, logical_id: str, arguments: tuple[str, ...]
) -> None:
    """The plan would compare with what is no longer deployed. A stack refactor changes nested stacks only."""
    stack = add_platform(aws, edit_harmlessly)
    changed = stack.nested[logical_id] if logical_id else stack

    def end_another_deployment() -> None:
        del aws.before["CreateChangeSet"]
        changed.updated += timedelta(seconds=90)

    aws.before["CreateChangeSet"] = end_another_deployment
    result = command("dev", *arguments, code=1)
    assert result.stderr == f"deploy: {NAME} was changed after it was read{NOT_EXECUTED}{AGAIN}"
    assert (aws.find_requests("ExecuteChangeSet"), aws.remaining_names) == ([], [])
    assert command("dev", "--yes", "--wait", code=0)


def test_a_stack_that_is_created_again_before_the_change_set_is_another_one(command: Command, aws: Service) -> None:
    """Its change set has nothing to do with the templates of the deleted stack, which can still be read by its id."""
    deleted = add_platform(aws, edit_harmlessly)

    def create_again() -> None:
        del aws.before["CreateChangeSet"]
        deleted.status = "DELETE_COMPLETE"
        created = copy(deleted)
        created.id, created.status = f"{deleted.id}-again", "UPDATE_COMPLETE"
        aws.stacks[created.id] = created

    aws.before["CreateChangeSet"] = create_again
    result = command("dev", "--plan", code=1)
    assert result.stderr == f"deploy: {NAME} was changed after it was read{NOT_EXECUTED}{AGAIN}"
    assert aws.remaining_names == []


@pytest.mark.parametrize("keeps_change_sets", [True, False])
def test_a_deployment_that_begins_before_the_execution_is_named(
    command: Command, aws: Service, keeps_change_sets: bool
) -> None:
    """CloudFormation deletes the other change sets of a stack when it executes one, or calls them obsolete."""
    stack = add_platform(aws, edit_harmlessly)
    let_another_deployment_begin(aws, stack, "ExecuteChangeSet", keeps_change_sets=keeps_change_sets)
    result = command("dev", "--yes", code=1)
    fate = "OBSOLETE" if keeps_change_sets else "deleted"
    state = f"its change set is {fate}, and the stack UPDATE_IN_PROGRESS"
    assert result.stderr == f"deploy: {NAME}: another deployment was faster: {state}{NOT_EXECUTED}{AGAIN}"


def test_a_change_set_that_disappears_while_it_is_read_is_explained(command: Command, aws: Service) -> None:
    let_another_deployment_begin(aws, add_platform(aws, edit_harmlessly), "DescribeChangeSet", keeps_change_sets=False)
    result = command("dev", "--yes", code=1)
    assert result.stderr == f"deploy: {NAME}: another deployment has deleted the change set{NOT_EXECUTED}{AGAIN}"


@pytest.mark.parametrize("operation", ["CreateChangeSet", "ExecuteChangeSet"])
def test_a_deployment_that_waits_is_planned_again(command: Command, aws: Service, operation: str) -> None:
    let_another_deployment_begin(aws, add_platform(aws, edit_harmlessly), operation)
    result = command("dev", "--yes", "--wait", code=0)
    assert f"Planning again: {NAME}" in result.stdout
    assert len(aws.find_requests("CreateChangeSet")) == 2
    assert aws.remaining_names == []


def test_a_deployment_that_is_planned_again_asks_again(command: Command, aws: Service) -> None:
    stack = add_platform(aws, edit_harmlessly)
    let_another_deployment_begin(aws, stack, "ExecuteChangeSet")
    terminal = command.run_on_terminal("dev", "--wait", types="y\nn\n")
    assert terminal.code == 1, terminal.text
    assert f"{NAME}: not deployed" in " ".join(terminal.text.split())
    assert len(aws.find_requests("ExecuteChangeSet")) == 1


def test_a_refusal_for_another_reason_is_not_called_another_deployment(command: Command, aws: Service) -> None:
    add_platform(aws, edit_harmlessly)
    aws.errors["ExecuteChangeSet"] = [Refused("ValidationError", "the token is too long")]
    result = command("dev", "--yes", "--wait", code=1)
    assert "another deployment" not in result.output
    assert "the token is too long" in result.stderr


def test_an_execution_that_began_is_followed_although_its_change_set_is_gone(command: Command, aws: Service) -> None:
    """The answer to the request is lost, and the executed change set can no longer be described."""
    add_platform(aws, edit_harmlessly)

    def execute_and_lose_the_answer() -> None:
        del aws.before["ExecuteChangeSet"]
        aws.execute_change_set(**aws.calls[-1][1])
        aws.errors["ExecuteChangeSet"] = [Refused("InternalFailure", "lost", 500)]

    aws.before["ExecuteChangeSet"] = execute_and_lose_the_answer
    command("dev", "--yes", code=0, AWS_MAX_ATTEMPTS="1")
    assert len(aws.find_requests("ExecuteChangeSet")) == 1


def test_a_saved_plan_that_another_deployment_has_overtaken_says_so(command: Command, aws: Service) -> None:
    add_platform(aws, edit_harmlessly)
    command("dev", "--plan", "--out", "plan.json", code=2)
    (change_set,) = [change_set for change_set in aws.change_sets.values() if change_set.stack.root is None]
    change_set.execution = "OBSOLETE"
    result = command("dev", "--apply", "plan.json", "--yes", code=1)
    assert "its change set is OBSOLETE: another deployment has run since; nothing of this" in result.stderr
