"""What a run leaves behind is named with the commands that remove it, and the next run removes it."""

import os
import re
import socket
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from scripts.common import waiting
from scripts.common.errors import UserError
from scripts.deployer import abandoned
from scripts.deployer.change_set import delete_change_set
from scripts.deployer.cli import deploy as cli
from scripts.deployer.stack import Stack
from tests.deployer.aws.client import make_client
from tests.deployer.aws.cloudformation import CloudFormation as Service
from tests.deployer.aws.faults import EXPIRED
from tests.deployer.aws.holdings import Refused
from tests.deployer.aws.stacks import ChangeSet
from tests.deployer.aws.stacks import Stack as SimulatedStack
from tests.deployer.conftest import OWNER_TAGS, Command, add_bootstrap_stack, add_platform
from tests.deployer.disturbed_runs import strike_from
from tests.deployer.releases import edit_harmlessly

# Each takes several deployments.
pytestmark = pytest.mark.nightly

NAME = "payment-platform-dev"


@pytest.fixture
def ended_process() -> int:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait(timeout=60)
    return process.pid


def add_change_set(aws: Service, stack: SimulatedStack, name: str, description: str) -> ChangeSet:
    change_set = ChangeSet(f"arn:{name}", name, stack, [], request={"Description": description})
    aws.change_sets[change_set.id] = change_set
    return change_set


def describe_other_run(process: int) -> str:
    return abandoned.describe_run().replace(f"process {os.getpid()} ", f"process {process} ")


def test_the_next_deployment_deletes_what_a_killed_one_has_left(
    command: Command, aws: Service, ended_process: int
) -> None:
    stack = add_platform(aws, edit_harmlessly)
    add_change_set(aws, stack, "deploy-killed", describe_other_run(ended_process))
    result = command("dev", "--yes", code=0)
    assert f"Deleted change set deploy-killed of {NAME}, which an interrupted deployment has left" in result.stdout
    assert "deploy-killed" in [request["ChangeSetName"] for request in aws.find_requests("DeleteChangeSet")]


def test_a_change_set_that_was_executed_is_no_leftover(command: Command, aws: Service, ended_process: int) -> None:
    """CloudFormation deletes it; the AWS emulator lists it on."""
    stack = add_platform(aws, edit_harmlessly)
    add_change_set(aws, stack, "deploy-done", describe_other_run(ended_process)).execution = "EXECUTE_COMPLETE"
    assert "deploy-done" not in command("dev", "--yes", code=0).stdout


def test_a_plan_deletes_nothing_that_others_have_made(command: Command, aws: Service, ended_process: int) -> None:
    stack = add_platform(aws, edit_harmlessly)
    add_change_set(aws, stack, "deploy-killed", describe_other_run(ended_process))
    command("dev", "--plan", code=2)
    assert aws.remaining_names == ["deploy-killed"]


def test_change_sets_of_running_deployments_and_saved_plans_stay(command: Command, aws: Service) -> None:
    stack = add_platform(aws)
    other_machine = "not saved; process 1 on 0123456789ab"
    add_change_set(aws, stack, "deploy-running", abandoned.describe_run())
    add_change_set(aws, stack, "deploy-elsewhere", other_machine)
    add_change_set(aws, stack, "deploy-old", other_machine).created = datetime.now(UTC) - timedelta(hours=25)
    # Another process has got the number of the one that made it.
    add_change_set(aws, stack, "deploy-older", abandoned.describe_run()).created = datetime.now(UTC) - timedelta(days=9)
    add_change_set(aws, stack, "deploy-saved", abandoned.describe_saved_plan("dev", Path("plan.json")))
    add_change_set(aws, stack, "theirs", "by hand")
    command("dev", "--yes", code=0)
    assert aws.remaining_names == ["deploy-running", "deploy-elsewhere", "deploy-saved", "theirs"]


def test_a_deployment_goes_on_if_leftovers_cannot_be_listed(command: Command, aws: Service) -> None:
    add_platform(aws, edit_harmlessly)
    aws.errors["ListChangeSets"] = [Refused("AccessDenied", "no", 403)] * 2
    result = command("dev", "--yes", code=0)
    assert "not authorized: cloudformation:ListChangeSets on payment-platform-dev" in result.stdout
    assert "not authorized: cloudformation:ListChangeSets on payment-artifacts" not in result.stdout


@pytest.mark.parametrize("kind", ["machine", "container"])
def test_an_equal_host_name_elsewhere_is_another_machine(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The number of a process means nothing after another start of the machine, or in another container."""
    boot, container = tmp_path / "boot_id", tmp_path / "pid"
    boot.write_text("1")
    container.symlink_to("pid:[1]")
    monkeypatch.setattr(abandoned, "_PROCESS_SPACE", (boot, container))
    before = abandoned.describe_run()
    assert before == abandoned.describe_run()
    if kind == "machine":
        boot.write_text("2")
    else:
        container.unlink()
        container.symlink_to("pid:[2]")
    assert before != abandoned.describe_run()


def test_without_a_name_of_the_start_the_host_name_has_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(abandoned, "_PROCESS_SPACE", (tmp_path / "none",))
    assert abandoned.describe_run() == abandoned.describe_run()


def test_a_description_names_no_machine() -> None:
    assert socket.gethostname() not in abandoned.describe_run()


def test_the_change_set_of_a_saved_plan_is_described_as_one(command: Command, aws: Service) -> None:
    add_platform(aws, edit_harmlessly)
    command("dev", "--plan", "--out", "plan.json", code=2)
    command("dev", "--plan", code=2)
    saved, unsaved = [request["Description"] for request in aws.find_requests("CreateChangeSet")]
    plan = f"plan [0-9a-f]{{12}} on terms [0-9a-f]{{16}} in {command.folder / 'plan.json'}"
    assert re.fullmatch(rf"a saved plan of dev; {plan}", saved)
    assert unsaved == abandoned.describe_run()


def test_the_description_of_a_saved_plan_is_as_long_as_cloudformation_allows() -> None:
    description = abandoned.describe_saved_plan("dev", Path("/".join(["x" * 200] * 10)))
    assert len(description) == 1024
    (plan,) = abandoned.group_plans([(NAME, {"Description": description, "ChangeSetName": "deploy-x"})])
    assert plan.environment == "dev"


def test_an_empty_stack_in_review_of_an_earlier_run_is_deleted(command: Command, aws: Service) -> None:
    add_bootstrap_stack(aws)
    aws.stacks["arn:review"] = SimulatedStack(NAME, "arn:review", "REVIEW_IN_PROGRESS", tags=OWNER_TAGS)
    command("dev", "--plan", code=2)
    assert aws.remaining_names == []


def test_empty_nested_stacks_in_review_are_deleted_once_no_deployment_can_need_them(
    command: Command, aws: Service
) -> None:
    stack = add_platform(aws, edit_harmlessly)
    other = SimulatedStack(
        "payment-platform-dev-eu", aws.make_arn("stack", "payment-platform-dev-eu"), "UPDATE_COMPLETE"
    )
    long_ago, now = datetime.now(UTC) - timedelta(hours=2), datetime.now(UTC)
    for name, root, created in (
        ("empty", stack, long_ago),
        ("planned", stack, long_ago),
        ("new", stack, now),
        ("foreign", other, long_ago),
    ):
        review = SimulatedStack(f"{NAME}-{name}", f"arn:{name}", "REVIEW_IN_PROGRESS", root=root, created=created)
        aws.stacks[review.id] = review
    add_change_set(
        aws, aws.stacks["arn:planned"], "deploy-saved", abandoned.describe_saved_plan("dev", Path("plan.json"))
    )
    result = command("dev", "--yes", code=0)
    assert f"Deleted the empty stack {NAME}-empty (REVIEW_IN_PROGRESS), which an" in result.stdout
    assert {"arn:planned", "arn:new", "arn:foreign"} <= set(aws.stacks)
    assert "arn:empty" not in aws.stacks


def test_destroy_deletes_what_is_no_saved_plan(command: Command, aws: Service, ended_process: int) -> None:
    stack = SimulatedStack(NAME, "arn:review", "REVIEW_IN_PROGRESS", tags=OWNER_TAGS)
    aws.stacks[stack.id] = stack
    add_change_set(aws, stack, "deploy-killed", describe_other_run(ended_process))
    add_change_set(aws, stack, "failed", "").reason = "no such template"
    command("dev", "--yes", "--destroys", NAME, script="destroy", code=0)
    assert aws.remaining_names == []


@pytest.mark.parametrize(
    ("description", "words"),
    [
        (
            abandoned.describe_saved_plan("dev", Path("plan.json")),
            "plan.json; if nobody needs it, delete it: scripts/deploy.sh discard dev deploy-x;",
        ),
        (abandoned.describe_run(), "the change set deploy-x (CREATE_COMPLETE), which may be that of a deployment"),
    ],
    ids=["saved", "running"],
)
def test_destroy_says_whose_change_set_it_keeps(command: Command, aws: Service, description: str, words: str) -> None:
    stack = SimulatedStack(NAME, "arn:review", "REVIEW_IN_PROGRESS", tags=OWNER_TAGS)
    aws.stacks[stack.id] = stack
    add_change_set(aws, stack, "deploy-x", description)
    result = command("dev", "--yes", "--destroys", NAME, script="destroy", code=1)
    assert words in result.stderr
    assert aws.remaining_names == ["deploy-x", NAME]


def test_a_stack_that_is_nearly_full_of_change_sets_is_named(
    command: Command, aws: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    stack = add_platform(aws, edit_harmlessly)
    for number in range(7):
        add_change_set(aws, stack.nested["Workflow"], f"deploy-{number}", "").reason = "no changes"
    monkeypatch.setattr(abandoned, "WARNING_COUNT", 9)
    assert "of at most" not in command("dev", "--plan", code=2).stdout
    monkeypatch.setattr(abandoned, "WARNING_COUNT", 8)
    # With that of the plan itself.
    assert "! Workflow has 8 of at most 1000 change sets, and" in command("dev", "--plan", code=2).stdout


def make_review(monkeypatch: pytest.MonkeyPatch) -> Service:
    monkeypatch.setattr(waiting, "FIRST_PAUSE_SECONDS", 0)
    aws = Service()
    stack = SimulatedStack(NAME, f"arn:{NAME}", "REVIEW_IN_PROGRESS")
    aws.stacks[stack.id] = stack
    add_change_set(aws, stack, "deploy-1", "")
    return aws


def test_a_change_set_that_may_not_be_described_is_deleted(monkeypatch: pytest.MonkeyPatch) -> None:
    aws = make_review(monkeypatch)
    aws.errors["DescribeChangeSet"] = [Refused("AccessDenied", "no", 403)] * 20
    stack = next(iter(aws.stacks.values()))
    delete_change_set(make_client(aws), Stack(NAME, status="UPDATE_COMPLETE", id=stack.id), "deploy-1")
    assert [request["ChangeSetName"] for request in aws.find_requests("DeleteChangeSet")] == ["deploy-1"]


def test_a_change_set_that_was_refused_leaves_nothing(command: Command, aws: Service) -> None:
    """Also if nothing can be read afterwards, so that its deletion would fail."""
    add_platform(aws, edit_harmlessly)
    strike_from(aws, "CreateChangeSet", EXPIRED)
    refused = command("dev", "--yes", code=1).stderr
    assert refused.endswith("; sign in again; no stack was changed\n")


def test_a_second_interrupt_names_all_that_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    aws = make_review(monkeypatch)
    aws.errors["DescribeChangeSet"] = [KeyboardInterrupt()]
    with pytest.raises(UserError) as stopped:
        delete_change_set(make_client(aws), Stack(NAME), "deploy-1")
    assert str(stopped.value) == (
        f"change set deploy-1 of {NAME} could not be deleted: interrupted; delete it with: aws cloudformation "
        f"delete-change-set --stack-name {NAME} --change-set-name deploy-1; then the stack, if it is empty and still "
        f"in REVIEW_IN_PROGRESS: aws cloudformation delete-stack --stack-name {NAME}"
    )


def test_an_interrupt_after_an_empty_stack_was_tidied_away_is_an_ordinary_one(
    command: Command, aws: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing continues, and nothing that anybody needs was changed."""
    stack = add_platform(aws, edit_harmlessly)
    review = SimulatedStack(
        f"{NAME}-empty", "arn:empty", "REVIEW_IN_PROGRESS", root=stack, created=datetime.now(UTC) - timedelta(hours=2)
    )
    aws.stacks[review.id] = review

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(cli, "confirm_deployment", interrupt)
    assert command("dev", code=130).stderr == f"deploy: interrupted; {NAME} was not changed\n"
    assert "arn:empty" not in aws.stacks
