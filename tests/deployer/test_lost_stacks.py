"""A nested stack that was deleted without its parent, which still has it as a complete resource."""

import json

import pytest

from scripts.common.errors import UserError
from scripts.common.templates import Tree
from scripts.deployer.stack import Stack as DeployedStack
from scripts.deployer.stack import StackTree, check_not_lost
from tests.deployer.aws.cloudformation import CloudFormation as Service
from tests.deployer.aws.holdings import Refused
from tests.deployer.aws.stacks import Stack
from tests.deployer.conftest import Command, Edit, add_platform
from tests.deployer.releases import edit_harmlessly

NAME = "payment-platform-dev"


def delete_nested_stack(aws: Service, root: Stack, name: str) -> Stack:
    """Delete a nested stack with its resources, by hand: its parent still lists it as complete."""
    nested = root.nested[name]
    nested.status = "DELETE_COMPLETE"
    for logical_id in list(nested.resources):
        aws.remove_resource(nested, logical_id, ())
    return nested


def forget_stack(aws: Service, stack: Stack, patch: pytest.MonkeyPatch) -> None:
    find_stack = aws.find_stack

    def find_remembered(name: str) -> Stack:
        if name == stack.id:
            raise Refused("ValidationError", f"Stack with id {name} does not exist")
        return find_stack(name)

    patch.setattr(aws, "find_stack", find_remembered)


def describe_loss(name: str, stack: Stack) -> str:
    return (
        f"{name}: its stack {stack.name} was deleted without its parent, so that CloudFormation cannot update it; take "
        f"{name} and what uses its outputs out of the templates, deploy, and deploy again with them; or, with an "
        "outage, run scripts/destroy.sh dev, which retains the data, then scripts/deploy.sh import dev, which takes it "
        "in"
    )


@pytest.mark.parametrize("is_forgotten", [False, True])
def test_the_status_names_a_lost_stack(
    command: Command, aws: Service, monkeypatch: pytest.MonkeyPatch, is_forgotten: bool
) -> None:
    lost = delete_nested_stack(aws, add_platform(aws), "Monitoring")
    if is_forgotten:
        forget_stack(aws, lost, monkeypatch)
    text = " ".join(command("dev", script="status", code=2).stdout.split())
    assert f"! {describe_loss('Monitoring', lost)}" in text
    status = json.loads(command("dev", "--json", script="status", code=2).stdout)
    shown = status["stacks"][-1]
    state = "" if is_forgotten else "DELETE_COMPLETE"
    assert (shown["path"], shown["name"], shown["status"], shown["is_lost"]) == ("Monitoring", lost.name, state, True)
    assert status["next_step"] == describe_loss("Monitoring", lost)


@pytest.mark.parametrize("name", ["Monitoring", "Security"])
@pytest.mark.parametrize("edit", [None, edit_harmlessly])
@pytest.mark.parametrize("arguments", [("plan", "dev"), ("dev", "--yes")])
def test_a_deployment_refuses_a_lost_stack(
    command: Command, aws: Service, name: str, edit: Edit | None, arguments: tuple[str, ...]
) -> None:
    lost = delete_nested_stack(aws, add_platform(aws, edit), name)
    result = command(*arguments, code=1)
    assert result.stderr == f"deploy: {describe_loss(name, lost)}; nothing was changed\n"
    assert aws.find_writes() == []


def test_a_deployment_takes_a_lost_stack_out_of_its_parent() -> None:
    lost = DeployedStack("payment-platform-dev-Monitoring-1", "DELETE_COMPLETE")
    tree = StackTree(DeployedStack(NAME, "UPDATE_COMPLETE"), lost={"Monitoring": lost})
    check_not_lost(tree, Tree({"Resources": {"Data": {}}}), "dev")
    with pytest.raises(UserError, match="Monitoring: its stack payment-platform-dev-Monitoring-1 was deleted"):
        check_not_lost(tree, Tree({"Resources": {"Monitoring": {}}}), "dev")


def test_a_stack_with_a_lost_one_can_be_deleted(command: Command, aws: Service) -> None:
    stack = add_platform(aws)
    delete_nested_stack(aws, stack, "Monitoring")
    command("dev", "--yes", "--destroys", NAME, script="destroy", code=0)
    assert stack.status == "DELETE_COMPLETE"
