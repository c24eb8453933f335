"""What becomes of a saved plan when ``apply`` ends: its file is deleted only if its change sets are used up."""

from pathlib import Path

import pytest

from tests.deployer.aws.cloudformation import CloudFormation as Service
from tests.deployer.aws.faults import EXPIRED, RESET_AFTER, RESET_BEFORE, THROTTLED
from tests.deployer.conftest import Command, add_platform
from tests.deployer.disturbed_runs import strike_from
from tests.deployer.releases import edit_harmlessly

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


def test_a_file_that_has_taken_the_place_of_the_plan_is_not_deleted(command: Command, aws: Service, plan: Path) -> None:
    def replace_file() -> None:
        plan.rename(plan.with_name("kept.json"))
        plan.write_text("another plan, or anything else", encoding="utf-8")

    aws.before["ExecuteChangeSet"] = replace_file
    command("apply", "dev", "plan.json", "--yes", code=0)
    assert plan.read_text(encoding="utf-8") == "another plan, or anything else"
