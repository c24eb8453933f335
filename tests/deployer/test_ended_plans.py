"""What becomes of a saved plan when ``apply`` ends: its file is deleted only if its change sets are used up."""

import errno
import itertools
from pathlib import Path

import pytest

from scripts.deployer import apply, follow
from tests.deployer.aws.cloudformation import CloudFormation as Service
from tests.deployer.aws.faults import EXPIRED, RESET_AFTER, RESET_BEFORE, THROTTLED
from tests.deployer.aws.holdings import Refused
from tests.deployer.both_stacks import add_earlier_release
from tests.deployer.conftest import Command, add_bootstrap_stack, add_platform
from tests.deployer.disturbed_runs import lose_execution, strike_from
from tests.deployer.releases import edit_harmlessly
from tests.deployer.test_code_only import change_code

APPLY, DISCARD = (f"scripts/deploy.sh {verb} dev plan.json" for verb in ("apply", "discard"))
NAME = "payment-platform-dev"


@pytest.fixture
def plan(command: Command, aws: Service, tmp_path: Path) -> Path:
    """A saved plan of a changed release."""
    add_platform(aws, edit_harmlessly)
    command("plan", "dev", "--out", "plan.json", code=2)
    return tmp_path / "plan.json"


@pytest.mark.parametrize("kind", [EXPIRED, THROTTLED])
def test_a_plan_whose_execution_was_refused_stays(command: Command, aws: Service, plan: Path, kind: str) -> None:
    """Also if nothing can be read afterwards, as with credentials that end while somebody is asked."""
    strike_from(aws, "ExecuteChangeSet", kind)
    command.haste = 5000
    refused = command("apply", "dev", "plan.json", "--yes", code=1)
    assert refused.stdout.endswith(f"Not executed: the plan is still saved; run {APPLY}, or {DISCARD}\n")
    assert refused.stderr.endswith("; nothing was changed\n")
    aws.before_call = None
    command("apply", "dev", "plan.json", "--yes", code=0)
    assert not plan.exists()


@pytest.mark.nightly
def test_a_plan_whose_change_sets_are_used_up_while_it_is_read_is_not_to_be_applied_again(
    command: Command, aws: Service, plan: Path
) -> None:
    """At any call, by another deployment or an import."""
    change_sets = dict(aws.change_sets)
    for number in itertools.count(1):
        aws.change_sets = dict(change_sets)
        aws.calls.clear()
        aws.before_call = lambda _, number=number: aws.change_sets.clear() if len(aws.calls) == number else None
        refused = command("apply", "dev", "plan.json", "--yes", code=1)
        if aws.find_requests("ExecuteChangeSet"):
            break
        assert f"run {APPLY}" not in refused.output, number
        assert "no longer exists; create a new plan; the plan is still saved; delete it with " in refused.stderr
    assert number > 5
    assert plan.exists()


@pytest.mark.parametrize("is_executed", [False, True])
def test_a_plan_that_may_have_been_executed_stays(
    command: Command, aws: Service, plan: Path, *, is_executed: bool
) -> None:
    """The answer to the first try is lost, and the next one is refused, as is whatever could tell."""
    strike_from(aws, "ExecuteChangeSet", RESET_AFTER if is_executed else RESET_BEFORE, EXPIRED)
    unknown = command("apply", "dev", "plan.json", "--yes", code=3)
    assert unknown.stdout.endswith(
        "The plan: whether a change set of it was executed could not be read, so the file stays; run "
        f"{APPLY}, which refuses it then, or {DISCARD}\n"
    )
    aws.before_call = None
    command("apply", "dev", "plan.json", "--yes", code=1 if is_executed else 0)
    assert plan.exists() == is_executed


def test_a_plan_of_both_stacks_is_used_up_once_the_first_one_is_executed(
    command: Command, aws: Service, tmp_path: Path
) -> None:
    add_earlier_release(aws)
    command("plan", "dev", "--out", "plan.json", code=2)
    lose_execution(aws, 2, RESET_AFTER)
    unknown = command("apply", "dev", "plan.json", "--yes", code=3)
    assert unknown.stdout.endswith(
        "Used up: the plan in plan.json, of which a change set was executed; whether the last one was, too, could not "
        f"be read, so the file stays; later, delete it: {DISCARD}\n"
    )
    assert (tmp_path / "plan.json").exists()


@pytest.mark.parametrize("status", ["UPDATE_COMPLETE", "UPDATE_IN_PROGRESS"])
def test_a_plan_that_is_overtaken_is_not_to_be_applied_again(
    command: Command, aws: Service, plan: Path, status: str
) -> None:
    """Another run has executed it, or deleted it; what is left of it may be what that run still needs."""
    stack = next(stack for stack in aws.stacks.values() if stack.name == NAME)

    def overtake() -> None:
        aws.change_sets.clear()
        stack.status = status

    aws.before["ExecuteChangeSet"] = overtake
    overtaken = command("apply", "dev", "plan.json", "--yes", code=1)
    assert overtaken.stdout.endswith(
        "Not executed: the plan cannot be applied any more; plan again: scripts/deploy.sh plan dev; later, delete "
        f"this one: {DISCARD}\n"
    )
    assert plan.exists()


@pytest.mark.parametrize("is_lost", [False, True])
def test_a_plan_that_is_deleted_in_part_names_the_command_that_deletes_the_rest(
    command: Command, aws: Service, tmp_path: Path, *, is_lost: bool
) -> None:
    """It has three change sets and a file; the error is of one of them."""
    add_earlier_release(aws)
    command("plan", "dev", "--out", "plan.json", code=2)
    name = aws.remaining_names[-1] if is_lost else "plan.json"
    strike_from(aws, "DeleteChangeSet", EXPIRED)
    failed = command("discard", "dev", name, code=1)
    assert (
        f"; the rest of the plan may remain, and is deleted with scripts/deploy.sh discard dev {name}" in failed.stderr
    )
    aws.before_call = None
    command("discard", "dev", name, code=0)
    assert (aws.remaining_names, (tmp_path / "plan.json").exists()) == ([], is_lost)


def test_a_file_that_has_taken_the_place_of_the_plan_is_not_deleted(command: Command, aws: Service, plan: Path) -> None:
    def replace_file() -> None:
        plan.rename(plan.with_name("kept.json"))
        plan.write_text("another plan, or anything else", encoding="utf-8")

    aws.before["ExecuteChangeSet"] = replace_file
    command("apply", "dev", "plan.json", "--yes", code=0)
    assert plan.read_text(encoding="utf-8") == "another plan, or anything else"


def test_a_replaced_file_is_not_called_deleted(command: Command, aws: Service, plan: Path) -> None:
    aws.before["ExecuteChangeSet"] = lambda: plan.write_text("another plan, or anything else", encoding="utf-8")
    aws.fails["Data/DeadLetters"] = "The queue is not valid"
    failed = command("apply", "dev", "plan.json", "--yes", code=1)
    assert "of which a change set was executed; the file is another one by now, and stays\n" in failed.stdout
    assert plan.exists()


@pytest.mark.parametrize("has_ended", [False, True])
def test_who_applies_a_plan_that_another_run_is_executing_is_overtaken(
    command: Command, aws: Service, plan: Path, monkeypatch: pytest.MonkeyPatch, *, has_ended: bool
) -> None:
    """CloudFormation refuses the execution, and may go on describing the change set that the other run executes.

    https://docs.aws.amazon.com/AWSCloudFormation/latest/APIReference/API_DescribeChangeSet.html (ExecutionStatus)
    """

    # Who takes the other execution for the own one waits for events that never come.
    monkeypatch.setattr(follow, "LONGEST_SECONDS", 5)

    def execute_elsewhere() -> None:
        del aws.before["ExecuteChangeSet"]
        change_sets = dict(aws.change_sets)
        request = aws.find_requests("ExecuteChangeSet")[-1]
        aws.execute_change_set(**{**request, "ClientRequestToken": "execute-elsewhere"})
        aws.change_sets.update(change_sets)
        while has_ended and aws.waiting:
            aws.waiting.pop(0)()
        for change_set in change_sets.values():
            change_set.execution = "EXECUTE_COMPLETE" if has_ended else "EXECUTE_IN_PROGRESS"

    aws.before["ExecuteChangeSet"] = execute_elsewhere
    overtaken = command("apply", "dev", "plan.json", "--yes", code=1)
    assert "another deployment was faster: its change set is EXECUTE_" in overtaken.stderr
    assert "Not executed: the plan cannot be applied any more" in overtaken.stdout
    assert plan.exists()


def test_a_plan_whose_code_somebody_changes_meanwhile_can_be_applied_again(
    command: Command, aws: Service, tmp_path: Path
) -> None:
    """Its change set is as it was."""
    add_platform(aws, edit_harmlessly, code="RELEASE = 1")
    change_code(aws)
    command("plan", "dev", "--out", "plan.json", code=2)

    def put_other_code() -> None:
        del aws.before["lambda:UpdateFunctionCode"]
        for function in aws.functions.functions.values():
            function.code = "RELEASE = 3"

    aws.before["lambda:UpdateFunctionCode"] = put_other_code
    overtaken = command("apply", "dev", "plan.json", "--yes", code=1)
    assert overtaken.stdout.endswith(f"Not executed: the plan is still saved; run {APPLY}, or {DISCARD}\n")
    command("apply", "dev", "plan.json", "--yes", code=0)
    assert not (tmp_path / "plan.json").exists()


@pytest.mark.parametrize("is_creation", [False, True])
def test_a_change_set_that_may_not_have_been_executed_is_named(
    command: Command, aws: Service, *, is_creation: bool
) -> None:
    """The network goes at the execution, and stays away, so nothing else can be said of it."""
    command.haste = 5000
    if is_creation:
        add_bootstrap_stack(aws)
    else:
        add_platform(aws, edit_harmlessly)
    lose_execution(aws, 1, RESET_BEFORE, RESET_BEFORE)
    unknown = command("dev", "--yes", code=3).stderr
    (name, *review) = aws.remaining_names
    command_line = f"aws cloudformation delete-change-set --stack-name {NAME} --change-set-name {name}"
    assert f"; if it has not, change set {name} of {NAME} stays; delete it with: {command_line}" in unknown
    assert (
        f"still in REVIEW_IN_PROGRESS: aws cloudformation delete-stack --stack-name {NAME}" in unknown
    ) == is_creation
    assert bool(review) == is_creation


@pytest.mark.parametrize("kind", [RESET_BEFORE, RESET_AFTER])
def test_a_plan_is_used_up_whatever_becomes_of_the_second_change_set(
    command: Command, aws: Service, tmp_path: Path, kind: str
) -> None:
    """Its change set is executed; the one that protects the tables is made afterwards, and is none of the plan's."""
    add_bootstrap_stack(aws)
    command("plan", "prod", "--out", "plan.json", code=2)
    lose_execution(aws, 2, kind)
    unknown = command("apply", "prod", "plan.json", "--yes", code=3)
    assert "is deployed; of its second change set" in unknown.stderr
    assert unknown.stdout.endswith("of which a change set was executed; the file was deleted\n")
    assert not (tmp_path / "plan.json").exists()


@pytest.mark.parametrize("command_line", [("apply", "dev", "plan.json", "--yes"), ("discard", "dev", "plan.json")])
def test_a_file_that_cannot_be_deleted_is_named(
    command: Command, aws: Service, plan: Path, monkeypatch: pytest.MonkeyPatch, command_line: tuple[str, ...]
) -> None:
    def refuse(_: Path, **_options: bool) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(Path, "unlink", refuse)
    ended = command(*command_line, code=0 if command_line[0] == "apply" else 1)
    assert "plan.json cannot be deleted: Permission denied" in ended.output
    assert "may remain" not in ended.output
    assert (plan.exists(), aws.remaining_names) == (True, [])


@pytest.mark.parametrize("is_replaced", [False, True])
def test_the_fate_of_a_discarded_file_is_true(command: Command, aws: Service, plan: Path, *, is_replaced: bool) -> None:
    def take_away() -> None:
        plan.rename(plan.with_name("kept.json"))
        if is_replaced:
            plan.write_text("another plan, or anything else", encoding="utf-8")

    aws.before["DeleteChangeSet"] = take_away
    discarded = command("discard", "dev", "plan.json", code=0).stdout
    fate = "is another one by now, and stays" if is_replaced else "does not exist any more"
    assert discarded.endswith(f"; the file {fate}\n")


@pytest.mark.parametrize("operation", ["DescribeStacks", "DescribeChangeSet", "GetTemplate"])
def test_a_plan_that_cannot_be_read_is_still_saved(command: Command, aws: Service, plan: Path, operation: str) -> None:
    aws.errors[operation] = [Refused("ExpiredToken", "The token has expired", 403)] * 20
    failed = command("apply", "dev", "plan.json", "--yes", code=1).stderr
    assert failed.endswith(f"; the plan is still saved; run {APPLY}, or {DISCARD}; nothing was changed\n")
    assert plan.exists()


def test_a_plan_whose_reading_is_interrupted_is_still_saved(
    command: Command, aws: Service, plan: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(apply, "_read_parts", interrupt)
    interrupted = command("apply", "dev", "plan.json", "--yes", code=130).stderr
    assert interrupted == (
        f"deploy: interrupted; {NAME} was not changed; the plan is still saved; run {APPLY}, or {DISCARD}\n"
    )
    assert (plan.exists(), aws.find_requests("ExecuteChangeSet")) == (True, [])


def test_a_refused_creation_leaves_no_empty_stack(command: Command, aws: Service, tmp_path: Path) -> None:
    """The stack in review is of a plan whose change set somebody has deleted."""
    add_bootstrap_stack(aws)
    command("plan", "dev", "--out", "plan.json", code=2)
    aws.change_sets.clear()
    assert aws.remaining_names == [NAME]
    aws.errors["CreateChangeSet"] = [Refused("AccessDenied", "not you", 403)] * 20
    assert "DeleteStack" not in command("dev", "--yes", code=1).stderr
    assert aws.remaining_names == []


@pytest.mark.parametrize("is_refused", [True, False])
def test_a_stack_that_another_run_creates_meanwhile_is_not_deleted(
    command: Command, aws: Service, *, is_refused: bool
) -> None:
    """It executes its change set, which is then gone, while this run looks whether the stack in review is empty."""
    add_bootstrap_stack(aws)
    command("plan", "dev", "--out", "plan.json", code=2)
    (stack,) = [stack for stack in aws.stacks.values() if stack.name == NAME]
    (change_set,) = [change_set for change_set in aws.change_sets.values() if change_set.stack.id == stack.id]
    aws.calls.clear()

    def execute_elsewhere() -> None:
        # Once this run cleans up.
        if aws.find_requests("CreateChangeSet") and (is_refused or aws.find_requests("DeleteChangeSet")):
            del aws.before["ListChangeSets"]
            aws.execute_change_set(
                ChangeSetName=change_set.id, ClientRequestToken="execute-elsewhere", RetainExceptOnCreate=True
            )

    aws.before["ListChangeSets"] = execute_elsewhere
    if is_refused:
        aws.errors["CreateChangeSet"] = [Refused("AccessDenied", "not you", 403)] * 20
    command("dev", *(["--yes"] if is_refused else ["--plan"]))
    assert (stack.status, "ListChangeSets" in aws.before) == ("CREATE_IN_PROGRESS", False)
