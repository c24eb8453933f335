"""The deletion of an environment."""

import functools
import json
import re
import signal
from datetime import UTC, datetime, timedelta

import pytest

from scripts.common.errors import StillRunning, UserError
from scripts.deployer.cli import destroy as cli
from scripts.deployer.destroy import _begin_deletion
from scripts.deployer.stack import Stack as DeployedStack
from tests.deployer.aws.client import make_client
from tests.deployer.aws.cloudformation import CloudFormation as Service
from tests.deployer.aws.faults import EXPIRED, RESET_AFTER, RESET_BEFORE, Fault
from tests.deployer.aws.holdings import Refused
from tests.deployer.aws.stacks import Stack
from tests.deployer.both_stacks import add_earlier_release
from tests.deployer.conftest import BUCKET, Command, add_bootstrap_stack, add_platform, assert_golden
from tests.deployer.disturbed_runs import end_operation, send_signal, strike_from
from tests.deployer.releases import edit_harmlessly, edit_with_loss

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
        (
            (),
            "destroy: cannot ask for confirmation without a terminal; run it in a terminal or add --yes --destroys "
            f"{NAME}\n",
        ),
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


@pytest.mark.parametrize("logical_id", ["", "Data"])
def test_a_stack_that_was_deployed_while_its_deletion_asked_is_kept(
    command: Command, aws: Service, monkeypatch: pytest.MonkeyPatch, logical_id: str
) -> None:
    """The new release may retain less than what was shown. A stack refactor changes nested stacks only."""
    stack = add_platform(aws, edit_with_loss)

    def confirm(*_: object) -> bool:
        changed = stack.nested[logical_id] if logical_id else stack
        changed.updated += timedelta(seconds=90)
        return True

    monkeypatch.setattr(cli, "confirm_deletion", confirm)
    refused = command("dev", script="destroy", code=1).stderr
    assert refused == (
        f"destroy: {NAME} was deployed meanwhile; nothing was deleted; see what is lost now: scripts/destroy.sh dev\n"
    )
    assert stack.status == "UPDATE_COMPLETE"


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
        _begin_deletion(make_client(aws), DeployedStack(NAME, id="arn:dev", termination_protection=True), "dev")
    words = str(stopped.value)
    denied = words.index("not authorized: DeleteStack")
    assert denied < words.index("termination protection may still be off") < words.index("second")
    assert words.endswith("--stack-name payment-platform-dev --enable-termination-protection")


def test_an_interrupt_while_the_protection_is_lifted_leaves_it_on(aws: Service) -> None:
    stack = aws.stacks["arn:dev"] = Stack(NAME, "arn:dev", "UPDATE_COMPLETE", protected=True)

    def lift_and_interrupt() -> None:
        del aws.before["UpdateTerminationProtection"]
        stack.protected = False
        raise KeyboardInterrupt

    aws.before["UpdateTerminationProtection"] = lift_and_interrupt
    with pytest.raises(UserError, match="was not deleted, and has termination protection again"):
        _begin_deletion(make_client(aws), DeployedStack(NAME, id="arn:dev", termination_protection=True), "dev")
    assert stack.protected


def test_an_interrupt_of_a_deletion_that_does_not_show_yet_says_that_it_may_have_begun(aws: Service) -> None:
    aws.stacks["arn:dev"] = Stack(NAME, "arn:dev", "UPDATE_COMPLETE")

    def interrupt() -> None:
        raise KeyboardInterrupt

    aws.before["DeleteStack"] = interrupt
    with pytest.raises(StillRunning, match="it is not known whether the deletion continues"):
        _begin_deletion(make_client(aws), DeployedStack(NAME, id="arn:dev"), "dev")


@pytest.mark.parametrize("kind", ["reset after", "5xx"])
def test_a_deletion_whose_answer_is_lost_is_followed_and_not_protected_again(
    command: Command, aws: Service, kind: str
) -> None:
    stack = add_platform(aws, protected=True)
    aws.faults["DeleteStack"] = Fault(kind)
    # The service deletes the stack, and answers with an error.
    aws.before["DeleteStack"] = lambda: aws.delete_stack(stack.id)
    flags = ("--yes", "--destroys", NAME, "--unprotect")
    result = command("dev", *flags, script="destroy", code=0)
    assert result.stdout.splitlines()[-1].startswith(f"{NAME}: deleted; ")
    switches = [request["EnableTerminationProtection"] for request in aws.find_requests("UpdateTerminationProtection")]
    assert (stack.status, switches) == ("DELETE_COMPLETE", [False])
    # Repeated requests are known by their token.
    (token,) = {request["ClientRequestToken"] for request in aws.find_requests("DeleteStack")}
    assert token.startswith("delete-")


@pytest.mark.parametrize("protected", [False, True])
def test_a_deletion_that_is_refused_has_not_begun_even_if_nothing_can_be_read_afterwards(
    command: Command, aws: Service, *, protected: bool
) -> None:
    add_platform(aws, protected=protected)
    strike_from(aws, "DeleteStack", EXPIRED)
    refused = command("dev", "--yes", "--destroys", NAME, "--unprotect", script="destroy", code=1).stderr
    assert "whether the deletion began" not in refused
    if protected:
        assert "update-termination-protection --stack-name payment-platform-dev --enable" in refused
    else:
        assert refused.endswith("; sign in again; nothing was changed\n")


def list_confirmations(command: Command) -> list[str]:
    """Return the options that confirm a purge, which the refusal without them names."""
    refused = command("dev", "--yes", "--purge", script="destroy", code=1).stderr
    return [part for name in re.findall(r"--destroys (\S+)", refused) for part in ("--destroys", name)]


@pytest.mark.parametrize("operation", ["sqs:DeleteQueue", "logs:DeleteLogGroup", "kms:ScheduleKeyDeletion"])
def test_a_purge_goes_on_after_a_deletion_that_the_service_has_carried_out_in_spite_of_its_error(
    command: Command, aws: Service, operation: str
) -> None:
    """The SDK repeats it, and that the resource does not exist any more is no refusal of the first try."""
    add_platform(aws)
    confirmed = list_confirmations(command)

    def delete_and_fail() -> None:
        del aws.before[operation]
        aws.data_services.answer_request(operation.split(":")[1], aws.calls[-1][1])
        raise Refused("InternalFailure", "try later", 500)

    aws.before[operation] = delete_and_fail
    purged = command("dev", "--yes", "--purge", *confirmed, script="destroy", code=0)
    assert operation not in aws.before
    assert purged.stdout.splitlines()[-1].startswith(f"{NAME}: deleted")


def test_what_a_failed_deletion_retains_is_not_to_be_deleted(command: Command, aws: Service) -> None:
    add_platform(aws)
    aws.fails[NAME] = "a nested stack is stuck"
    failed = command("dev", "--yes", "--destroys", NAME, script="destroy", code=1)
    assert "retained, with what it holds: Data/Transactions (AWS::DynamoDB::Table)" in failed.stdout
    assert "left behind:" not in failed.stdout
    assert "delete-table" not in failed.stdout


def interrupt() -> None:
    raise KeyboardInterrupt


@pytest.mark.parametrize("kind", [EXPIRED, RESET_BEFORE, ""])
def test_a_table_whose_deletion_is_no_longer_watched_is_not_said_to_stay(
    command: Command, aws: Service, kind: str
) -> None:
    command.haste = 5000
    add_platform(aws)
    confirmed = list_confirmations(command)

    def stop_watching() -> None:
        if kind:
            aws.faults["dynamodb:DescribeTable"] = Fault(kind)
        else:
            aws.before_call = lambda name: interrupt() if name == "dynamodb:DescribeTable" else None

    aws.before["dynamodb:DeleteTable"] = stop_watching
    unwatched = command("dev", "--yes", "--purge", *confirmed, script="destroy", code=3).stderr
    assert " is still being deleted: " in unwatched
    assert "is not deleted" not in unwatched
    assert unwatched.endswith("; scripts/destroy.sh dev --purge deletes the rest\n")


@pytest.mark.parametrize("kind", [RESET_BEFORE, RESET_AFTER])
def test_a_deletion_whose_protection_may_be_off_was_not_requested(command: Command, aws: Service, kind: str) -> None:
    add_platform(aws, protected=True)
    strike_from(aws, "UpdateTerminationProtection", kind, EXPIRED)
    refused = command("dev", "--yes", "--destroys", NAME, "--unprotect", script="destroy", code=1).stderr
    assert "whether the deletion began" not in refused
    assert "; termination protection may still be off: " in refused
    assert aws.find_requests("DeleteStack") == []


def test_a_deletion_of_which_nothing_can_be_read_any_more_says_how_to_see_it(command: Command, aws: Service) -> None:
    add_platform(aws, protected=True)
    aws.faults["DeleteStack"] = Fault("reset after")
    aws.before["DeleteStack"] = lambda: aws.faults.update(DescribeStacks=Fault("denied"))
    refused = command("dev", "--yes", "--destroys", NAME, "--unprotect", script="destroy", code=3).stderr
    assert "whether the deletion began could not be read: not authorized: cloudformation:DescribeStacks" in refused
    assert refused.endswith(
        "see scripts/status.sh dev; termination protection is off: if the stack stays, switch it on: "
        f"aws cloudformation update-termination-protection --stack-name {NAME} --enable-termination-protection; "
        "once the stack is gone, delete its files: scripts/destroy.sh dev\n"
    )


RETAINED = "14 resources (5 keys, 5 log groups, 2 queues, 2 tables)"
PURGE = "scripts/destroy.sh dev --purge"


def purge(command: Command, aws: Service) -> str:
    """Run ``destroy.sh dev --purge`` with each name confirmed, and return the last line of its output."""
    refused = command("dev", "--purge", "--yes", script="destroy")
    flags = refused.stderr.partition("; to confirm it, add ")[2].split()
    return command("dev", "--purge", "--yes", *flags, script="destroy", code=0).stdout.splitlines()[-1]


def test_a_deletion_says_what_is_left_and_the_status_what_to_do_then(command: Command, aws: Service) -> None:
    add_platform(aws)
    deleted = command("dev", "--yes", "--destroys", NAME, script="destroy", code=0).stdout
    assert deleted.endswith(
        f"{NAME}: deleted; {RETAINED} retained outside the stack; delete them for good with {PURGE}\n"
    )
    status = command("dev", script="status", code=1).stderr
    assert status == (
        f"status: {NAME} is not deployed; earlier stacks have retained {RETAINED}; scripts/deploy.sh plan dev says "
        f"what to do with each, and {PURGE} deletes them for good\n"
    )
    # A plan says so, indeed.
    assert "✗ names" in command("plan", "dev", code=1).stdout
    assert purge(command, aws) == f"{NAME}: there was no stack; {RETAINED} purged"
    assert purge(command, aws) == f"{NAME}: not deployed; nothing was deleted"
    status = command("dev", script="status", code=1).stderr
    assert status == f"status: {NAME} is not deployed; deploy it with scripts/deploy.sh dev\n"
    aws.alarms = {}
    command("dev", "--yes", code=0)


def test_a_purge_with_the_stack_counts_what_it_has_deleted_and_what_it_keeps(command: Command, aws: Service) -> None:
    add_platform(aws)
    aws.holdings.resources["AWS::SQS::Queue", "payment-dlq-dev"].tags = {}
    assert purge(command, aws) == (
        f"{NAME}: deleted; 13 resources (5 keys, 5 log groups, 2 tables, 1 queue) purged; 1 resource not deleted, as "
        "listed above"
    )
    assert command("dev", script="status", code=1).stderr == (
        f"status: {NAME} is not deployed; names that it needs are taken; scripts/deploy.sh plan dev says what to do "
        "with each\n"
    )


def test_the_status_after_a_deletion_does_not_mistake_keys_for_an_obstacle(command: Command, aws: Service) -> None:
    add_platform(aws)
    command("dev", "--yes", "--destroys", NAME, script="destroy", code=0)
    for kind, name in list(aws.holdings.resources):
        if kind != "AWS::KMS::Key":
            del aws.holdings.resources[kind, name]
    assert command("dev", script="status", code=1).stderr == (
        f"status: {NAME} is not deployed; earlier stacks have retained 5 keys, which {PURGE} deletes for "
        "good; deploy it with scripts/deploy.sh dev\n"
    )
    aws.alarms = {}
    command("dev", "--yes", code=0)


def test_the_status_says_if_what_is_retained_may_not_be_read(command: Command, aws: Service) -> None:
    aws.errors["sqs:GetQueueUrl"] = [Refused("AccessDenied", "not you", 403)]
    assert command("dev", script="status", code=1).stderr == (
        f"status: {NAME} is not deployed; what earlier stacks have retained could not be read; see what a deployment "
        "would do with scripts/deploy.sh plan dev\n"
    )


def test_a_misspelt_name_is_refused_where_there_is_no_stack(command: Command, aws: Service) -> None:
    result = command("dev", "--yes", "--destroys", "dev", script="destroy", code=1)
    assert result.stderr == "destroy: --destroys dev: not among what is deleted: nothing\n"


def test_a_failed_deletion_names_the_next_step(command: Command, aws: Service) -> None:
    add_platform(aws)
    aws.fails = {NAME: "The following resource(s) failed to delete: [Data]."}
    result = command("dev", "--yes", "--destroys", NAME, script="destroy", code=1)
    assert "ended DELETE_FAILED" in result.stderr
    blocked = "fix what blocks the deletion of what its events report, then run scripts/destroy.sh dev again"
    assert f"next: {blocked}\n" in result.stdout


def test_a_second_deletion_names_only_what_the_first_has_left(command: Command, aws: Service) -> None:
    """CloudFormation lists what a failed deletion has deleted or retained, with its last status."""
    add_platform(aws)
    (platform,) = [stack for stack in aws.stacks.values() if stack.name == NAME]
    platform.status, data = "DELETE_FAILED", platform.nested["Data"]
    for name, stack in platform.nested.items():
        stack.status = "DELETE_FAILED" if stack is data else "DELETE_COMPLETE"
        platform.released |= {} if stack is data else {name: "DELETE_COMPLETE"}
    data.released = {
        name: "DELETE_SKIPPED" if resource.get("DeletionPolicy") == "Retain" else "DELETE_COMPLETE"
        for name, resource in data.resources.items()
        if name != "Notifications"
    }
    shown = command("dev", script="destroy", code=1).stdout
    assert "Plan: 0 to add, 0 to change, 1 to destroy.\n" in shown
    assert "is deleted" not in shown
    assert [line for line in shown.splitlines() if "- " in line] == [
        "└── - Data AWS::CloudFormation::Stack (and everything in it)",
        "    └── - Notifications AWS::SNS::Topic",
    ]


def test_a_purge_says_in_all_what_is_deleted(command: Command, aws: Service) -> None:
    add_platform(aws)
    shown = command("dev", "--purge", script="destroy", code=1).stdout
    assert f"resources deleted with {NAME}; {RETAINED} purged after it\n" in shown


def test_a_stack_in_review_is_deleted_unless_it_contains_a_saved_plan(command: Command, aws: Service) -> None:
    add_bootstrap_stack(aws)
    command("dev", "--plan", "--out", "plan.json", code=2)
    result = command("dev", "--yes", "--destroys", NAME, script="destroy", code=1)
    words = (
        f"contains nothing but the saved plan of dev in {command.folder / 'plan.json'}; if nobody needs it, delete it: "
        "scripts/deploy.sh discard dev deploy-"
    )
    assert words in result.stderr
    aws.change_sets.clear()
    command("dev", "--yes", "--destroys", NAME, script="destroy", code=0)
    assert aws.remaining_names == []


def test_termination_protection_is_restored_if_the_deletion_is_refused(command: Command, aws: Service) -> None:
    stack = add_platform(aws, protected=True)
    aws.errors = {"DeleteStack": [Refused("AccessDenied", "not you", 403)]}
    command("dev", "--yes", "--destroys", NAME, "--unprotect", script="destroy", code=1)
    assert stack.protected


def list_files(aws: Service) -> list[str]:
    return [key for key in aws.objects if "/dev/" in key]


@pytest.mark.parametrize("is_purged", [False, True])
def test_the_files_and_the_record_are_deleted_whatever_comes_after_the_stack(
    command: Command, aws: Service, is_purged: bool
) -> None:
    """A purge that fails, or an interrupt, ended a deletion before them, and the next one found no stack."""
    add_platform(aws, edit_harmlessly)
    command("dev", "--yes", code=0)
    assert list_files(aws)
    assert list((command.folder / "deployed").iterdir())
    if is_purged:
        aws.faults["dynamodb:DeleteTable"] = Fault("denied")
        names = re.findall(r"--destroys (\S+)", command("dev", "--purge", "--yes", script="destroy", code=1).stderr)
        confirmed = [word for name in names for word in ("--destroys", name)]
        failed = command("dev", "--purge", "--yes", *confirmed, script="destroy", code=1)
        assert "is not deleted: not authorized" in failed.stderr
    else:
        aws.before["DescribeStackEvents"] = functools.partial(interrupt_deletion, aws)
        interrupted = command("dev", "--yes", "--destroys", NAME, script="destroy", code=3)
        assert interrupted.stderr.endswith("; once the stack is gone, delete its files: scripts/destroy.sh dev\n")
        assert list_files(aws)
        aws.before.clear()
        end_operation(aws)
        again = command("dev", "--yes", script="destroy", code=0).stdout
        assert re.match(
            rf"{NAME}: there was no stack; \d+ files deleted from the artifact bucket", again.splitlines()[-1]
        )
    assert list_files(aws) == []
    assert list((command.folder / "deployed").iterdir()) == []


def interrupt_deletion(aws: Service) -> None:
    if aws.find_requests("DeleteStack"):
        send_signal(signal.SIGINT)


@pytest.mark.parametrize("recorded_account", ["210987654321", ""])
def test_without_a_stack_the_record_of_another_account_stays(
    command: Command, aws: Service, recorded_account: str
) -> None:
    """Who destroys in the wrong account, where there is no such environment, keeps the record of the right one."""
    stack = add_platform(aws, edit_harmlessly)
    command("dev", "--yes", code=0)
    aws.delete_stack(StackName=stack.id)
    end_operation(aws)
    (record,) = (command.folder / "deployed").iterdir()
    if recorded_account:
        record.write_text(json.dumps(json.loads(record.read_text()) | {"account": recorded_account}))
    deleted = command("dev", "--yes", script="destroy", code=0).stdout
    assert record.exists() == bool(recorded_account)
    assert ("; the record of its last deployment deleted" in deleted) == (not recorded_account)


def test_without_a_stack_the_files_of_a_deployment_that_may_be_running_stay(command: Command, aws: Service) -> None:
    add_bootstrap_stack(aws)
    keys = [f"{BUCKET}/payment-platform/dev/{digit * 64}.yaml" for digit in "01"]
    aws.objects = dict.fromkeys(keys, "template")
    aws.written_at[keys[0]] = datetime.now(UTC) - timedelta(minutes=50)
    deleted = command("dev", "--yes", script="destroy", code=0).stdout
    assert list_files(aws) == keys[:1]
    assert deleted.startswith(f"{NAME}: there was no stack; 1 file deleted from the artifact bucket")


def test_an_interrupt_while_a_saved_plan_is_deleted_ends_a_purge(command: Command, aws: Service) -> None:
    add_earlier_release(aws)
    command("plan", "dev", "--out", "plan.json", code=2)
    names = re.findall(r"--destroys (\S+)", command("dev", "--purge", "--yes", script="destroy", code=1).stderr)

    def interrupt() -> None:
        aws.before.clear()
        send_signal(signal.SIGINT)

    aws.before["DeleteChangeSet"] = interrupt
    confirmed = [word for name in names for word in ("--destroys", name)]
    interrupted = command("dev", "--purge", "--yes", *confirmed, script="destroy", code=1).stderr
    rest = f"its files and what it leaves may remain; run {PURGE}"
    assert interrupted.splitlines()[-1] == f"destroy: interrupted; {NAME} is deleted, but {rest}"
    assert aws.find_requests("dynamodb:DeleteTable") == []


@pytest.mark.parametrize("operation", ["UpdateTerminationProtection", "DeleteStack"])
def test_an_interrupt_before_the_deletion_begins_says_that_the_stack_stays(
    command: Command, aws: Service, operation: str
) -> None:
    stack = add_platform(aws, protected=True)

    def interrupt() -> None:
        if len(aws.find_requests(operation)) == 1:
            aws.faults[operation] = Fault(RESET_BEFORE)
            send_signal(signal.SIGINT)
        else:
            aws.faults.clear()

    aws.before[operation] = interrupt
    confirmed = ("--destroys", NAME)
    interrupted = command("dev", "--yes", "--unprotect", *confirmed, script="destroy", code=1).stderr
    assert interrupted == f"destroy: interrupted; {NAME} was not deleted, and has termination protection again\n"
    assert (stack.protected, stack.is_there) == (True, True)
