"""Commands wait for, follow, interrupt and cancel a running deployment, and continue its rollback."""

import signal
import time
from collections.abc import Callable

import pytest

from scripts.deployer.report.console_reporter import ConsoleReporter
from tests.deployer.aws.cloudformation import CloudFormation as Service
from tests.deployer.aws.holdings import Refused
from tests.deployer.conftest import Command, add_bootstrap_stack, add_platform, assert_golden, interrupt_when
from tests.deployer.disturbed_runs import send_signal
from tests.deployer.releases import edit_harmlessly

# Each takes several deployments.
pytestmark = pytest.mark.nightly


def test_a_busy_stack_is_refused_or_waited_for(command: Command, aws: Service) -> None:
    stack = add_platform(aws, edit_harmlessly, status="UPDATE_IN_PROGRESS")
    result = command("dev", "--yes", code=1)
    assert aws.find_writes() == []
    assert result.stderr == (
        "deploy: payment-platform-dev is UPDATE_IN_PROGRESS: another deployment is running; run scripts/deploy.sh "
        "dev --wait, which deploys when it has ended, or watch it: scripts/deploy.sh follow dev\n"
    )

    def ends_some_time() -> None:
        if len(aws.find_requests("DescribeStacks")) > 8:
            stack.status = "UPDATE_COMPLETE"
            del aws.before["DescribeStacks"]

    aws.before = {"DescribeStacks": ends_some_time}
    result = command("dev", "--yes", "--wait", code=0)
    assert "Waiting until payment-platform-dev is no longer UPDATE_IN_PROGRESS\n" in result.stdout


def test_a_rollback_that_failed_is_continued_without_the_skipped_resource(command: Command, aws: Service) -> None:
    add_platform(aws, edit_harmlessly)
    aws.fails = {"Monitoring/ProcessingErrorsAlarm": "no such metric"}
    aws.stuck = {"Data/DeadLetters": "The specified queue does not exist"}
    result = command("dev", "--yes", code=1)
    assert "ended UPDATE_ROLLBACK_FAILED" in result.stderr
    assert "scripts/deploy.sh continue-rollback dev --skip Data/DeadLetters\n" in result.stdout
    aws.fails = {}
    refused = command("dev", "--yes")
    assert refused.stderr.endswith(
        "fix what blocks the rollback, then run scripts/deploy.sh continue-rollback dev; or skip the resource: "
        "scripts/deploy.sh continue-rollback dev --skip STACK/RESOURCE\n"
    )
    assert "ended UPDATE_ROLLBACK_FAILED" in command("dev", "--continue-rollback", code=1).stderr
    wrong = command("dev", "--continue-rollback", "--skip", "Nowhere/Table")
    assert "--skip Nowhere/Table: no such nested stack; the nested stacks are Security, Data, Compute" in wrong.stderr
    skipped = command("dev", "--continue-rollback", "--skip", "Data/DeadLetters", code=0)
    assert aws.find_requests("ContinueUpdateRollback")[-1]["ResourcesToSkip"] == [
        "payment-platform-dev-Data-1A2B.DeadLetters"
    ]
    assert skipped.stdout.endswith("payment-platform-dev: ended UPDATE_ROLLBACK_COMPLETE\n")


def test_ctrl_c_leaves_the_deployment_alone_and_it_can_be_followed_and_cancelled(
    command: Command, aws: Service
) -> None:
    add_platform(aws, edit_harmlessly)
    aws.silent = 1000
    process = command.start("dev", "--yes")
    result = interrupt_when(process, lambda: len(aws.find_requests("DescribeStackEvents")) > 20)
    assert result.code == 3
    assert result.stderr == (
        "deploy: interrupted; the deployment continues; watch it: scripts/deploy.sh follow dev, "
        "or cancel it: scripts/deploy.sh cancel dev\n"
    )
    assert aws.find_requests("CancelUpdateStack") == []
    aws.silent = 0
    followed = command("dev", "--follow", code=0)
    # The events before the command are shown as well.
    assert "UPDATE_IN_PROGRESS           payment-platform-dev" in followed.stdout
    assert followed.stdout.endswith("payment-platform-dev: ended UPDATE_COMPLETE\n")
    idle = command("dev", "--follow")
    assert idle.stderr.startswith("deploy: payment-platform-dev is UPDATE_COMPLETE: no operation is in progress")


def test_an_update_is_cancelled(command: Command, aws: Service) -> None:
    add_platform(aws, status="UPDATE_IN_PROGRESS")
    result = command("dev", "--cancel", code=0)
    assert result.stdout.endswith("payment-platform-dev: ended UPDATE_ROLLBACK_COMPLETE\n")


def test_a_creation_cannot_be_cancelled(command: Command, aws: Service) -> None:
    add_platform(aws, status="CREATE_IN_PROGRESS")
    result = command("dev", "--cancel")
    assert result.stderr.startswith("deploy: payment-platform-dev is CREATE_IN_PROGRESS: only an update in progress")
    assert result.stderr.endswith("scripts/deploy.sh follow dev, or delete it: scripts/destroy.sh dev\n")


def test_credentials_that_expire_during_a_deployment_are_reported_in_one_line(command: Command, aws: Service) -> None:
    add_platform(aws, edit_harmlessly)
    aws.silent = 1000

    def expire_credentials() -> None:
        if len(aws.find_requests("DescribeStackEvents")) > 20:
            aws.errors["DescribeStackEvents"] = [Refused("ExpiredToken", "The security token is expired", 403)]

    aws.before = {"DescribeStackEvents": expire_credentials}
    result = command("dev", "--yes", code=3)
    assert "The security token is expired; sign in again; the deployment continues; watch it" in result.stderr
    assert len(result.stderr.splitlines()) == 1


@pytest.mark.parametrize("operation", ["ExecuteChangeSet", "DescribeStackEvents", "SetStackPolicy"])
def test_a_request_whose_connection_breaks_is_repeated(command: Command, aws: Service, operation: str) -> None:
    add_platform(aws, edit_harmlessly, environment="prod")
    aws.errors = {operation: [None, Refused("Throttling", "Rate exceeded")]}
    command("prod", "--yes", code=0)


def test_ctrl_c_after_the_deployment_does_not_say_that_nothing_was_changed(command: Command, aws: Service) -> None:
    add_platform(aws, edit_harmlessly)
    process = command.start("dev", "--yes")

    def slow_down() -> None:
        time.sleep(0.2)  # eight at a time are slower than what the command says something about

    def has_ended() -> bool:
        if aws.find_requests("ExecuteChangeSet") and not aws.waiting:
            aws.before = {"GetTemplate": slow_down}
            return len(aws.find_requests("GetTemplate")) > 8
        return False

    result = interrupt_when(process, has_ended)
    assert (result.code, result.stderr) == (
        1,
        "deploy: interrupted; payment-platform-dev is deployed, but the follow-up steps (protection, cleanup, record) "
        "are incomplete; deploy again\n",
    )


def test_a_terminal_shows_the_live_state_of_every_stack(command: Command, aws: Service) -> None:
    add_platform(aws, edit_harmlessly)
    terminal = command.run_on_terminal("dev", "--yes")
    assert terminal.code == 0, terminal.text
    assert_golden("terminal.txt", terminal.text.partition("AccountId")[0])
    busy_frames = [frame for frame in terminal.frames if "UPDATE_IN_PROGRESS" in frame and "waiting" in frame]
    assert busy_frames, "no frame shows a stack at work while another waits"


def test_an_interrupt_after_a_deletion_was_requested_does_not_say_that_nothing_was_changed(
    command: Command, aws: Service
) -> None:
    """A deployment first deletes the remains of a failed creation."""
    add_bootstrap_stack(aws)
    aws.fails = {"Monitoring/Dashboard": "The dashboard is not valid"}
    command("dev", "--yes", code=1)
    stack = next(stack for stack in aws.stacks.values() if stack.status == "ROLLBACK_COMPLETE")
    aws.before["DescribeStacks"] = lambda: time.sleep(1) if aws.find_requests("DeleteStack") else None
    process = command.start("dev", "--yes")
    interrupted = interrupt_when(process, lambda: bool(aws.find_requests("DeleteStack")))
    requested = f"already requested: cloudformation:DeleteStack on {stack.id}"
    message = f"deploy: interrupted; {requested}; see scripts/status.sh dev\n"
    assert (interrupted.stderr, interrupted.code) == (message, 3)


def prepare_rollback(aws: Service, verb: str, end: str) -> None:
    """Prepare an operation whose rollback retains a table, once the command requests it."""
    stack = add_platform(aws)
    data = stack.nested["Data"]
    is_cancelled = verb == "cancel"
    stack.status = "UPDATE_IN_PROGRESS" if is_cancelled else "UPDATE_ROLLBACK_FAILED"
    parent, table = "AWS::CloudFormation::Stack", "AWS::DynamoDB::Table"
    aws.add_event(stack, "", parent, stack.status, "User Initiated")
    steps: list[Callable[[], object]] = [
        lambda: aws.add_event(stack, "Data", parent, "UPDATE_IN_PROGRESS", physical=data.id),
        lambda: aws.add_event(data, "Transactions", table, "DELETE_SKIPPED", physical="dynamodb-transactions-dev"),
        lambda: aws.add_event(stack, "", parent, end),
    ]

    def play() -> None:
        if aws.find_requests("CancelUpdateStack" if is_cancelled else "ContinueUpdateRollback"):
            del aws.before["DescribeStackEvents"]
            aws.waiting = list(steps)

    aws.before["DescribeStackEvents"] = play


@pytest.mark.parametrize("verb", ["cancel", "continue-rollback"])
@pytest.mark.parametrize("end", ["UPDATE_ROLLBACK_COMPLETE", "UPDATE_ROLLBACK_FAILED"])
def test_what_a_rollback_has_not_deleted_is_named_and_not_to_be_deleted(
    command: Command, aws: Service, verb: str, end: str
) -> None:
    """Its events do not say whether the operation has created the table, or was to import it."""
    prepare_rollback(aws, verb, end)
    has_failed = end == "UPDATE_ROLLBACK_FAILED"
    output = command(verb, "dev", code=int(has_failed)).stdout
    label = "retained, with what it holds:" if has_failed else "Not deleted:"
    assert f"{label} Data/Transactions (AWS::DynamoDB::Table) dynamodb-transactions-dev" in output
    assert "delete-table" not in output


@pytest.mark.parametrize("verb", ["cancel", "continue-rollback"])
def test_an_interrupt_does_not_hide_what_a_rollback_has_not_deleted(
    command: Command, aws: Service, monkeypatch: pytest.MonkeyPatch, verb: str
) -> None:
    def interrupt(_self: ConsoleReporter, _title: str, _detail: str = "") -> None:
        send_signal(signal.SIGINT)

    prepare_rollback(aws, verb, "UPDATE_ROLLBACK_COMPLETE")
    monkeypatch.setattr(ConsoleReporter, "announce_step", interrupt)
    interrupted = command(verb, "dev", code=1).stderr
    ended = (
        "payment-platform-dev ended UPDATE_ROLLBACK_COMPLETE; not deleted: Data/Transactions (AWS::DynamoDB::Table) "
    )
    assert interrupted.startswith(f"deploy: interrupted; {ended}dynamodb-transactions-dev, with what it holds")
