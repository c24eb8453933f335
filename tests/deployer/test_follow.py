"""Following a deployment: each of its events is reported once, and a failure names its first cause."""

import functools
import io
from collections.abc import Callable

import pytest
from rich.console import Console

from scripts.common.errors import StillRunning, UserError
from scripts.deployer import follow
from scripts.deployer.change_set import Proposal
from scripts.deployer.failure import DeploymentFailed
from scripts.deployer.follow import FollowOptions, execute_and_follow
from scripts.deployer.plan.model import StackChanges
from scripts.deployer.report.console_reporter import ConsoleReporter
from scripts.deployer.stack import Stack, StackTree
from tests.deployer.aws.client import make_client
from tests.deployer.aws.cloudformation import CloudFormation
from tests.deployer.aws.holdings import Refused
from tests.deployer.aws.stacks import STACK, ChangeSet
from tests.deployer.aws.stacks import Stack as SimulatedStack

NAME, ARN = "payment-platform-dev", "arn:root"
DATA = ("Data", STACK)
TABLE, TOPIC = ("Data/Table", "AWS::DynamoDB::Table"), ("Data/Topic", "AWS::SNS::Topic")

OTHER = "of-another-request"

# Path, type, status and reason.
ScriptedEvent = tuple[str, str, str, str]


def end_root(status: str) -> ScriptedEvent:
    """Return the root stack's own event."""
    return ("", STACK, status, "")


def make_service(*script: ScriptedEvent, status: str = "REVIEW_IN_PROGRESS") -> CloudFormation:
    """Return a service with a change set whose execution has these events, one for each poll."""
    aws = CloudFormation(events_per_page=4)
    root = SimulatedStack(NAME, ARN, status)
    root.nested["Data"] = SimulatedStack("data", "arn:data", status, "Data", root=root)
    aws.stacks[ARN] = root
    aws.change_sets["root"] = ChangeSet("root", "deploy-1", root, [])
    aws.scripted_steps = [functools.partial(add_event, aws, event) for event in script]
    return aws


def add_event(aws: CloudFormation, event: ScriptedEvent) -> None:
    path, kind, status, reason = event
    nested, _, logical_id = path.rpartition("/")
    stack = aws.stacks[ARN].nested["Data"] if nested else aws.stacks[ARN]
    aws.add_event(stack, logical_id, kind, status, reason, "arn:data" if path == "Data" else "")


def run_deployment(aws: CloudFormation, find_loss: Callable[[], str] = lambda: "") -> str:
    """Execute the change set, and return the reported events. The tree contains no stack that is being created."""
    console = Console(file=io.StringIO(), width=60)
    stacks = {stack.logical_id: Stack(stack.name, stack.status, stack.id) for _, stack in aws.stacks[ARN].walk()}
    nested = {"Data": StackTree(stacks["Data"])} if stacks["Data"].exists else {}
    proposal = Proposal(make_client(aws), ARN, "root", StackChanges(NAME))
    with ConsoleReporter(console).follow_events(None, NAME) as watching:
        options = FollowOptions("dev", watching, poll_seconds=0, find_loss=find_loss)
        execute_and_follow(proposal, StackTree(stacks[""], nested), options)
    return console.file.getvalue()  # type: ignore[attr-defined,no-any-return]


def read_events(output: str) -> list[list[str]]:
    return [line.split()[1:3] for line in output.splitlines()]


def test_events_of_earlier_deployments_are_neither_reported_nor_taken_as_the_cause() -> None:
    """Their events may have the same timestamp."""
    aws = make_service(
        end_root("UPDATE_IN_PROGRESS"),
        (*DATA, "UPDATE_IN_PROGRESS", ""),
        (*TOPIC, "UPDATE_FAILED", "the new cause"),
        end_root("UPDATE_ROLLBACK_COMPLETE"),
        status="UPDATE_COMPLETE",
    )
    add_event(aws, (*TABLE, "CREATE_FAILED", "last week"))
    add_event(aws, end_root("UPDATE_ROLLBACK_COMPLETE"))
    with pytest.raises(UserError, match=r"Data/Topic \(AWS::SNS::Topic\): the new cause"):
        run_deployment(aws)


@pytest.mark.parametrize("before", ["UPDATE_COMPLETE", "UPDATE_ROLLBACK_COMPLETE"])
def test_the_final_status_of_the_last_deployment_does_not_end_this_one(before: str) -> None:
    """The stack keeps its previous status for a moment after the request to execute."""
    aws = make_service(end_root("UPDATE_IN_PROGRESS"), end_root("UPDATE_COMPLETE"), status=before)
    add_event(aws, end_root(before))
    aws.scripted_steps.insert(0, lambda: None)
    assert read_events(run_deployment(aws))[-1] == ["UPDATE_COMPLETE", NAME]


def test_an_update_is_followed_until_its_cleanup_has_ended() -> None:
    aws = make_service(
        end_root("UPDATE_COMPLETE_CLEANUP_IN_PROGRESS"),
        ("Old", "AWS::SQS::Queue", "DELETE_COMPLETE", ""),
        end_root("UPDATE_COMPLETE"),
    )
    assert len(read_events(run_deployment(aws))) == 3


def test_a_failure_names_the_resource_that_failed_by_itself() -> None:
    aws = make_service(
        (*DATA, "CREATE_IN_PROGRESS", ""),
        (*TOPIC, "CREATE_FAILED", "Resource creation cancelled"),
        (*TABLE, "CREATE_FAILED", "Table already exists"),
        (*DATA, "CREATE_FAILED", "Embedded stack arn:data was not created"),
        end_root("ROLLBACK_COMPLETE"),
    )
    with pytest.raises(UserError) as failed:
        run_deployment(aws)
    assert str(failed.value) == (
        "payment-platform-dev ended ROLLBACK_COMPLETE: Data/Table (AWS::DynamoDB::Table): Table already exists"
    )


def test_a_failure_that_is_listed_after_newer_events_is_the_cause() -> None:
    """AWS documents no order in which the events of a stack become visible."""
    events = [
        (*TABLE, "CREATE_FAILED", "Table already exists"),
        (*TOPIC, "CREATE_FAILED", "Resource creation cancelled"),
    ]
    aws = make_service((*DATA, "CREATE_IN_PROGRESS", ""))
    cause, consequence = (functools.partial(add_event, aws, event) for event in events)

    def add_late_event() -> None:
        newest = aws.events["arn:data"].pop()
        cause()
        aws.events["arn:data"].append(newest)

    aws.scripted_steps += [consequence, add_late_event]
    aws.scripted_steps.append(functools.partial(add_event, aws, end_root("ROLLBACK_COMPLETE")))
    with pytest.raises(UserError, match=r"Data/Table \(AWS::DynamoDB::Table\): Table already exists"):
        run_deployment(aws)


@pytest.mark.parametrize(
    ("failed", "cause"),
    [
        (
            [(*DATA, "UPDATE_FAILED", "Template format error")],
            "Data (AWS::CloudFormation::Stack): Template format error",
        ),
        ([], "payment-platform-dev (AWS::CloudFormation::Stack): The following resource(s) failed to update: [Data]."),
    ],
)
def test_a_consequence_is_not_the_cause_if_anything_else_has_a_reason(failed: list[ScriptedEvent], cause: str) -> None:
    aws = make_service(
        (*DATA, "UPDATE_IN_PROGRESS", ""),
        (*TOPIC, "UPDATE_FAILED", "Resource update cancelled"),
        *failed,
        ("", STACK, "UPDATE_ROLLBACK_IN_PROGRESS", "The following resource(s) failed to update: [Data]."),
        end_root("UPDATE_ROLLBACK_COMPLETE"),
        status="UPDATE_COMPLETE",
    )
    with pytest.raises(UserError) as error:
        run_deployment(aws)
    assert str(error.value) == f"payment-platform-dev ended UPDATE_ROLLBACK_COMPLETE: {cause}"


@pytest.mark.parametrize("ends", ["UPDATE_ROLLBACK_COMPLETE", "UPDATE_FAILED", "ROLLBACK_FAILED", "DELETE_COMPLETE"])
def test_every_final_status_but_success_is_a_failure(ends: str) -> None:
    with pytest.raises(UserError, match=f"ended {ends}"):
        run_deployment(make_service(end_root(ends)))


def test_throttled_requests_are_retried_until_they_succeed() -> None:
    aws = make_service(end_root("CREATE_IN_PROGRESS"), end_root("CREATE_COMPLETE"))
    aws.before["ExecuteChangeSet"] = lambda: aws.errors.update(DescribeStackEvents=[Refused("Throttling", "")] * 5)
    assert read_events(run_deployment(aws))[-1] == ["CREATE_COMPLETE", NAME]


@pytest.mark.parametrize("has_begun", [True, False])
def test_ctrl_c_during_the_start_says_whether_the_deployment_has_begun(has_begun: bool) -> None:
    aws = make_service(end_root("CREATE_COMPLETE"))
    aws.errors = {"ExecuteChangeSet": [KeyboardInterrupt()]}
    aws.change_sets["root"].execution = "EXECUTE_IN_PROGRESS" if has_begun else "AVAILABLE"
    with pytest.raises(
        UserError if has_begun else KeyboardInterrupt, match="the deployment continues" if has_begun else None
    ):
        run_deployment(aws)


@pytest.mark.parametrize("failure", [KeyboardInterrupt(), Refused("Throttling", "Rate exceeded")])
def test_an_error_while_following_says_that_the_deployment_goes_on(failure: BaseException) -> None:
    aws = make_service(end_root("CREATE_COMPLETE"))
    aws.before["ExecuteChangeSet"] = lambda: aws.errors.update(DescribeStackEvents=[failure] * 100)
    with pytest.raises(UserError, match=r"the deployment continues; watch it: scripts/deploy\.sh follow dev"):
        run_deployment(aws)


def test_an_endpoint_that_is_gone_for_long_is_not_tried_to_the_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(follow, "LONGEST_OUTAGE_SECONDS", -1)
    aws = make_service(end_root("CREATE_COMPLETE"))
    failures = [Refused("Throttling", "Rate exceeded") for _ in range(5)]
    aws.before["ExecuteChangeSet"] = lambda: aws.errors.update(DescribeStackEvents=[*failures])
    with pytest.raises(StillRunning, match="the deployment continues; watch it"):
        run_deployment(aws)
    assert len(aws.errors["DescribeStackEvents"]) == 4


def test_an_operation_whose_place_is_gone_is_not_said_to_continue() -> None:
    """As after the end of the emulator."""
    aws = make_service(end_root("CREATE_COMPLETE"))
    aws.before["ExecuteChangeSet"] = lambda: aws.errors.update(DescribeStackEvents=[Refused("Throttling", "")] * 5)
    with pytest.raises(UserError) as ended:
        run_deployment(aws, find_loss=lambda: "the emulator has ended")
    assert (str(ended.value), ended.value.exit_code) == ("the emulator has ended", 1)
    assert len(aws.errors["DescribeStackEvents"]) == 4


def test_a_deployment_that_does_not_end_is_left_alone_after_some_hours(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(follow, "LONGEST_SECONDS", 0)
    with pytest.raises(UserError, match="has not ended after 0 hours; the deployment continues"):
        run_deployment(make_service(*[end_root("CREATE_IN_PROGRESS")] * 5))


def begin_update(aws: CloudFormation, token: str) -> None:
    """Begin an update of the root stack that another command has requested."""
    aws.operations.token = token
    root = aws.stacks[ARN]
    root.status = "UPDATE_COMPLETE"
    aws.add_event(root, "", STACK, "UPDATE_IN_PROGRESS", "User Initiated")


@pytest.mark.parametrize("reports_operations", [True, False])
def test_events_of_the_next_operation_are_not_mixed_in(reports_operations: bool) -> None:
    """It may begin, and fail, before the end of this one is read."""
    aws = make_service(end_root("UPDATE_IN_PROGRESS"), (*DATA, "UPDATE_IN_PROGRESS", ""), status="UPDATE_COMPLETE")
    aws.operations.are_reported = reports_operations

    def end_and_begin_the_next() -> None:
        add_event(aws, (*TOPIC, "UPDATE_COMPLETE", ""))
        add_event(aws, end_root("UPDATE_COMPLETE"))
        if reports_operations:
            aws.let_a_minute_pass()
            begin_update(aws, OTHER)
            add_event(aws, (*DATA, "UPDATE_IN_PROGRESS", ""))
            add_event(aws, (*TABLE, "UPDATE_FAILED", "not ours"))
            add_event(aws, end_root("UPDATE_ROLLBACK_IN_PROGRESS"))
            add_event(aws, end_root("UPDATE_ROLLBACK_COMPLETE"))

    aws.scripted_steps.append(end_and_begin_the_next)
    assert read_events(run_deployment(aws)) == [
        ["UPDATE_IN_PROGRESS", NAME],
        ["UPDATE_IN_PROGRESS", "Data"],
        ["UPDATE_COMPLETE", "Data/Topic"],
        ["UPDATE_COMPLETE", NAME],
    ]


def test_late_events_of_an_earlier_operation_are_not_mixed_in() -> None:
    aws = make_service(status="UPDATE_COMPLETE")

    def list_late_events() -> None:
        token = aws.operations.token
        begin_update(aws, OTHER)
        add_event(aws, (*TABLE, "UPDATE_FAILED", "last week"))
        add_event(aws, end_root("UPDATE_ROLLBACK_COMPLETE"))
        aws.let_a_minute_pass()
        aws.operations.token = token

    aws.scripted_steps = [
        list_late_events,
        *(
            functools.partial(add_event, aws, event)
            for event in (
                end_root("UPDATE_IN_PROGRESS"),
                (*DATA, "UPDATE_IN_PROGRESS", ""),
                (*TOPIC, "UPDATE_FAILED", "the cause"),
                end_root("UPDATE_ROLLBACK_IN_PROGRESS"),
                end_root("UPDATE_ROLLBACK_COMPLETE"),
            )
        ),
    ]
    with pytest.raises(DeploymentFailed, match=r"Data/Topic \(AWS::SNS::Topic\): the cause") as failed:
        run_deployment(aws)
    failure = failed.value.failure
    (failed_id,) = [event["OperationId"] for event in aws.events["arn:data"] if event["LogicalResourceId"] == "Topic"]
    assert failure.operation_id == failed_id
    assert failure.events_command == f"aws cloudformation describe-events --operation-id {failed_id}"
    assert failure.later_causes == ()


def test_an_update_that_somebody_else_cancels_is_followed_to_the_end_of_its_rollback() -> None:
    """The rollback is an operation of its own, with a token of its own."""
    aws = make_service(end_root("UPDATE_IN_PROGRESS"), status="UPDATE_COMPLETE")

    def cancel_update() -> None:
        aws.operations.token = OTHER
        aws.add_event(aws.stacks[ARN], "", STACK, "UPDATE_ROLLBACK_IN_PROGRESS", "User Initiated")

    aws.scripted_steps += [cancel_update, functools.partial(add_event, aws, end_root("UPDATE_ROLLBACK_COMPLETE"))]
    with pytest.raises(DeploymentFailed, match="ended UPDATE_ROLLBACK_COMPLETE"):
        run_deployment(aws)


def test_a_rollback_that_is_requested_after_the_end_is_another_operation() -> None:
    aws = make_service(end_root("UPDATE_IN_PROGRESS"), status="UPDATE_COMPLETE")

    def fail_and_roll_back() -> None:
        add_event(aws, end_root("UPDATE_FAILED"))
        aws.operations.token = OTHER
        aws.add_event(aws.stacks[ARN], "", STACK, "UPDATE_ROLLBACK_IN_PROGRESS", "User Initiated")
        add_event(aws, end_root("UPDATE_ROLLBACK_COMPLETE"))

    aws.scripted_steps.append(fail_and_roll_back)
    with pytest.raises(DeploymentFailed, match="ended UPDATE_FAILED"):
        run_deployment(aws)
