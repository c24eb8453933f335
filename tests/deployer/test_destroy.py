"""The deletion of an environment."""

import pytest

from scripts.common.errors import UserError
from scripts.deployer.destroy import _delete_stack
from scripts.deployer.stack import Stack as DeployedStack
from tests.deployer.aws.client import make_client
from tests.deployer.aws.cloudformation import CloudFormation as Service
from tests.deployer.aws.holdings import Refused
from tests.deployer.aws.stacks import Stack
from tests.deployer.conftest import Command, add_bootstrap_stack, add_platform, assert_golden
from tests.deployer.releases import edit_with_loss

NAME = "payment-platform-dev"


def test_destroy_lists_the_data_that_is_lost_and_the_resources_that_are_retained(
    command: Command, aws: Service
) -> None:
    stack = add_platform(aws, edit_with_loss)
    assert_golden("destroy.txt", command("dev", "--yes", "--destroys", NAME, script="destroy", code=0).stdout)
    assert stack.status == "DELETE_COMPLETE"
    assert {key.split("/")[2] for key in aws.retired} == {"dev"}
    deleted = command("dev", "--yes", "--destroys", NAME, script="destroy", code=0)
    purge = "scripts/destroy.sh dev --purge"
    retained = f"if an earlier stack has retained resources, {purge} lists and deletes them"
    assert deleted.stdout == f"{NAME}: not deployed; nothing was deleted; {retained}\n"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "destroy: cannot ask for confirmation without a terminal; run it in a terminal or add --yes\n"),
        (("--yes",), f"destroy: --yes does not cover data loss; to confirm it, add --destroys {NAME}\n"),
        (("--yes", "--destroys", "dev"), f"destroy: --destroys dev: not among what is deleted: {NAME}\n"),
    ],
)
def test_destroy_requires_the_name_of_the_stack(
    command: Command, aws: Service, arguments: tuple[str, ...], message: str
) -> None:
    add_platform(aws)
    assert command("dev", *arguments, script="destroy", code=1).stderr == message
    assert aws.find_writes() == []


@pytest.mark.parametrize(("types", "deleted"), [(f"{NAME}\n", True), ("y\n", False)])
def test_destroy_asks_for_the_name(command: Command, aws: Service, types: str, deleted: bool) -> None:
    stack = add_platform(aws)
    terminal = command.run_on_terminal("dev", types=types, script="destroy")
    assert (terminal.code == 0, stack.status == "DELETE_COMPLETE") == (deleted, deleted)


def test_destroy_refuses_a_stack_that_is_protected_busy_or_foreign(command: Command, aws: Service) -> None:
    stack = add_platform(aws, protected=True)
    flags = ("--yes", "--destroys", NAME)
    assert (
        "has termination protection; to delete it anyway, add --unprotect"
        in command("dev", *flags, script="destroy").stderr
    )
    stack.status = "UPDATE_IN_PROGRESS"
    assert "is UPDATE_IN_PROGRESS: another deployment is running" in command("dev", *flags, script="destroy").stderr
    stack.status, stack.tags = "UPDATE_COMPLETE", []
    assert "exists but does not have the tag" in command("dev", *flags, script="destroy").stderr
    assert aws.find_writes() == []
    stack.tags = [{"Key": "ManagedBy", "Value": "payment-platform"}]
    command("dev", *flags, "--unprotect", script="destroy", code=0)


def test_the_refusal_of_a_deletion_comes_before_the_failure_to_restore_the_protection(aws: Service) -> None:
    aws.stacks["arn:dev"] = Stack(NAME, "arn:dev", "UPDATE_COMPLETE", protected=True)
    aws.errors["DeleteStack"] = [Refused("AccessDenied", "first")]
    expire = lambda: aws.errors.update(UpdateTerminationProtection=[Refused("ExpiredToken", "second")])  # noqa: E731
    aws.before["DeleteStack"] = expire
    with pytest.raises(UserError) as stopped:
        _delete_stack(make_client(aws), DeployedStack(NAME, id="arn:dev", termination_protection=True))
    words = str(stopped.value)
    denied = words.index("not authorized: DeleteStack")
    assert denied < words.index("termination protection is still off") < words.index("second")
    assert words.endswith("--stack-name payment-platform-dev --enable-termination-protection")


def test_a_failed_deletion_names_the_next_step(command: Command, aws: Service) -> None:
    add_platform(aws)
    aws.fails = {NAME: "The following resource(s) failed to delete: [Data]."}
    result = command("dev", "--yes", "--destroys", NAME, script="destroy", code=1)
    assert "ended DELETE_FAILED" in result.stderr
    blocked = "fix what blocks the deletion of what its events report, then run scripts/destroy.sh dev again"
    assert f"next: {blocked}\n" in result.stdout


def test_a_stack_in_review_is_deleted_unless_it_contains_a_saved_plan(command: Command, aws: Service) -> None:
    add_bootstrap_stack(aws)
    command("dev", "--plan", "--out", "plan.json", code=2)
    result = command("dev", "--yes", "--destroys", NAME, script="destroy", code=1)
    words = "contains nothing but a saved plan; if nobody needs it, delete it: scripts/deploy.sh discard dev deploy-"
    assert words in result.stderr
    aws.change_sets.clear()
    command("dev", "--yes", "--destroys", NAME, script="destroy", code=0)
    assert aws.remaining_names == []


def test_termination_protection_is_restored_if_the_deletion_is_refused(command: Command, aws: Service) -> None:
    stack = add_platform(aws, protected=True)
    aws.errors = {"DeleteStack": [Refused("AccessDenied", "not you", 403)]}
    command("dev", "--yes", "--destroys", NAME, "--unprotect", script="destroy", code=1)
    assert stack.protected
