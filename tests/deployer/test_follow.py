"""Executing: every event of this deployment once and in order, and the first cause of a failure."""

import io

import pytest
from rich.console import Console

from scripts.common.errors import UserError
from scripts.deployer import follow
from scripts.deployer.change_set import Proposal
from scripts.deployer.follow import FollowOptions, execute_and_follow
from scripts.deployer.plan.model import StackChanges
from scripts.deployer.report.console_reporter import ConsoleReporter
from scripts.deployer.stack import Stack, StackTree
from tests.deployer.fake_cloudformation import ARN, NAME, STACK, FakeCloudFormation, Happening, ended, error, stack


def run_deployment(cloudformation: FakeCloudFormation) -> str:
    """What is said; the nested stacks that the fake knows are there before."""
    cloudformation._change_set = "deploy-1"
    console = Console(file=io.StringIO(), width=60)
    nested = {
        name.capitalize(): StackTree(Stack(name, "UPDATE_COMPLETE", f"arn:{name}"))
        for name in cloudformation.nested.get(NAME, [])
    }
    tree = StackTree(Stack(NAME, "UPDATE_COMPLETE", ARN), nested)
    proposal = Proposal(cloudformation, ARN, "root", StackChanges(NAME))
    with ConsoleReporter(console).follow_events(None, NAME) as watching:
        execute_and_follow(proposal, tree, FollowOptions("dev", watching, poll_seconds=0))
    return console.file.getvalue()  # type: ignore[attr-defined,no-any-return]


def make_creation(*script: Happening) -> FakeCloudFormation:
    return FakeCloudFormation(stacks={NAME: stack(NAME, "REVIEW_IN_PROGRESS")}, script=list(script))


def read_events(output: str) -> list[list[str]]:
    return [line.split()[1:3] for line in output.splitlines()]


def test_events_of_nested_stacks_in_order() -> None:
    output = run_deployment(
        make_creation(
            ended("CREATE_IN_PROGRESS"),
            (NAME, "Data", STACK, "CREATE_IN_PROGRESS", "", "arn:data"),
            ("data", "Table", "AWS::DynamoDB::Table", "CREATE_IN_PROGRESS", "", "t"),
            ("data", "Table", "AWS::DynamoDB::Table", "CREATE_COMPLETE", "", "t"),
            (NAME, "Data", STACK, "CREATE_COMPLETE", "", "arn:data"),
            ended("CREATE_COMPLETE"),
        )
    )
    assert read_events(output) == [
        ["CREATE_IN_PROGRESS", NAME],
        ["CREATE_IN_PROGRESS", "Data"],
        ["CREATE_IN_PROGRESS", "Data/Table"],
        ["CREATE_COMPLETE", "Data/Table"],
        ["CREATE_COMPLETE", "Data"],
        ["CREATE_COMPLETE", NAME],
    ]


def test_earlier_deployments_are_neither_told_nor_blamed() -> None:
    """Their events may be of the very same second."""
    cloudformation = FakeCloudFormation(
        nested={NAME: ["data"]},
        script=[
            ended("UPDATE_IN_PROGRESS"),
            (NAME, "Data", STACK, "UPDATE_IN_PROGRESS", "", "arn:data"),
            ("data", "Topic", "AWS::SNS::Topic", "UPDATE_FAILED", "the new cause", ""),
            ended("UPDATE_ROLLBACK_COMPLETE"),
        ],
    ).happened(
        ("data", "Table", "AWS::DynamoDB::Table", "CREATE_FAILED", "last week", ""),
        ended("UPDATE_ROLLBACK_COMPLETE"),
    )
    with pytest.raises(UserError, match=r"Data/Topic \(AWS::SNS::Topic\): the new cause"):
        run_deployment(cloudformation)


@pytest.mark.parametrize("before", ["UPDATE_COMPLETE", "UPDATE_ROLLBACK_COMPLETE"])
def test_how_the_last_deployment_ended_is_not_taken_for_this_one(before: str) -> None:
    """The stack still has its last status for a moment after the execution was asked for."""
    cloudformation = FakeCloudFormation(script=[ended("UPDATE_IN_PROGRESS"), ended("UPDATE_COMPLETE")])
    cloudformation.happened(ended(before))
    assert read_events(run_deployment(cloudformation))[-1] == ["UPDATE_COMPLETE", NAME]


def test_cleaning_up_is_part_of_an_update() -> None:
    cloudformation = make_creation(
        ended("UPDATE_COMPLETE_CLEANUP_IN_PROGRESS"),
        (NAME, "Old", "AWS::SQS::Queue", "DELETE_COMPLETE", "", "q"),
        ended("UPDATE_COMPLETE"),
    )
    assert len(read_events(run_deployment(cloudformation))) == 3


def test_a_failure_names_the_resource_that_failed_by_itself() -> None:
    cloudformation = make_creation(
        (NAME, "Data", STACK, "CREATE_IN_PROGRESS", "", "arn:data"),
        ("data", "Topic", "AWS::SNS::Topic", "CREATE_FAILED", "Resource creation cancelled", ""),
        ("data", "Table", "AWS::DynamoDB::Table", "CREATE_FAILED", "Table already exists", ""),
        (NAME, "Data", STACK, "CREATE_FAILED", "Embedded stack arn:data was not created", "arn:data"),
        ended("ROLLBACK_COMPLETE"),
    )
    with pytest.raises(UserError) as failed:
        run_deployment(cloudformation)
    assert str(failed.value) == (
        "payment-platform-dev ended ROLLBACK_COMPLETE: Data/Table (AWS::DynamoDB::Table): Table already exists"
    )


@pytest.mark.parametrize("ends", ["UPDATE_ROLLBACK_COMPLETE", "UPDATE_FAILED", "ROLLBACK_FAILED", "DELETE_COMPLETE"])
def test_whatever_is_not_a_success_is_a_failure(ends: str) -> None:
    with pytest.raises(UserError, match=f"ended {ends}"):
        run_deployment(make_creation(ended(ends)))


def test_throttling_is_waited_out() -> None:
    cloudformation = make_creation(ended("CREATE_IN_PROGRESS"), ended("CREATE_COMPLETE"))
    first = cloudformation.execute_change_set

    def then_throttled(**arguments: str) -> None:
        first(**arguments)
        cloudformation.errors = {"describe_stack_events": [error("Throttling")] * 5}

    cloudformation.execute_change_set = then_throttled  # type: ignore[method-assign,assignment]
    assert read_events(run_deployment(cloudformation))[-1] == ["CREATE_COMPLETE", NAME]


@pytest.mark.parametrize("has_begun", [True, False])
def test_ctrl_c_while_the_deployment_is_being_started_says_what_is_known(has_begun: bool) -> None:
    cloudformation = make_creation(ended("CREATE_COMPLETE"))
    cloudformation.errors = {"execute_change_set": [KeyboardInterrupt()]}  # type: ignore[list-item]
    cloudformation._execution = "EXECUTE_IN_PROGRESS" if has_begun else "AVAILABLE"
    with pytest.raises(
        UserError if has_begun else KeyboardInterrupt, match="the deployment goes on" if has_begun else None
    ):
        run_deployment(cloudformation)


@pytest.mark.parametrize("failure", [KeyboardInterrupt(), *[error("Throttling", "Rate exceeded")]])
def test_whatever_ends_the_following_says_that_the_deployment_goes_on(failure: BaseException) -> None:
    cloudformation = make_creation(ended("CREATE_COMPLETE"))
    first = cloudformation.execute_change_set

    def then_fails(**arguments: str) -> None:
        first(**arguments)
        cloudformation.errors = {"describe_stack_events": [failure] * 100}  # type: ignore[list-item]

    cloudformation.execute_change_set = then_fails  # type: ignore[method-assign,assignment]
    with pytest.raises(UserError, match=r"the deployment goes on; watch it: scripts/deploy\.sh dev --follow"):
        run_deployment(cloudformation)


def test_a_deployment_that_does_not_end_is_left_alone_after_some_hours(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(follow, "LONGEST_SECONDS", 0)
    with pytest.raises(UserError, match="has not ended after 0 hours; the deployment goes on"):
        run_deployment(make_creation(*[ended("CREATE_IN_PROGRESS")] * 5))
