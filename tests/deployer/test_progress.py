"""The counts of a deployment's progress, from its plan and its events."""

import pytest

from scripts.common.templates import STACK
from scripts.deployer.failure import Event
from scripts.deployer.plan.model import Change, Plan, StackChanges
from scripts.deployer.report.progress import Progress
from tests.deployer.aws.settings import START

NESTED = StackChanges(
    "Data",
    (
        Change("Add", "Table", "T"),
        Change("Remove", "Queue", "T", policy_action="Retain"),
        Change("Modify", "Topic", "T", is_spurious=True),
        Change("SyncWithActual", "Key", "T"),
    ),
)
PLAN = Plan(StackChanges("s", (Change("Modify", "Data", STACK, nested=NESTED), Change("Modify", "Role", "T"))))


def make_event(path: str, status: str, resource_type: str = "T") -> Event:
    return Event("1", START, "arn:s", path, resource_type, status, "", "id")


def read_counts(progress: Progress) -> list[str]:
    return [stack.describe_count() for stack in progress.stacks.values()]


def test_the_total_is_that_of_the_plan_from_the_beginning_to_the_end() -> None:
    """Events of what CloudFormation lists but does not change make no total of their own."""
    progress = Progress(PLAN, "s")
    assert read_counts(progress) == ["0/1", "0/2"]
    progress.add_events([make_event("Data", "UPDATE_IN_PROGRESS", STACK), make_event("Data/Table", "CREATE_COMPLETE")])
    progress.add_events([make_event(f"Data/{name}", "UPDATE_COMPLETE") for name in ("Topic", "Key", "Other")])
    assert read_counts(progress) == ["0/1", "1/2"]
    progress.add_events([make_event("Role", "UPDATE_COMPLETE"), make_event("s", "UPDATE_COMPLETE", STACK)])
    assert read_counts(progress) == ["1/1", "1/2"]


@pytest.mark.parametrize(
    ("status", "count"),
    [("DELETE_COMPLETE", "2/2"), ("UPDATE_COMPLETE", "2/2"), ("UPDATE_FAILED", "0/2"), ("ROLLBACK_COMPLETE", "")],
)
def test_a_complete_stack_has_no_resource_left(status: str, count: str) -> None:
    """A nested stack may be deleted before any event of its resources is received."""
    progress = Progress(PLAN, "s")
    progress.add_events([make_event("Data/Table", "DELETE_IN_PROGRESS"), make_event("Data", status, STACK)])
    assert progress.stacks["Data"].describe_count() == count
    assert bool(progress.running_resources()) is (count != "2/2")


def test_without_a_plan_there_is_no_total() -> None:
    progress = Progress(None, "s")
    progress.add_events([make_event("Role", "UPDATE_IN_PROGRESS")])
    assert read_counts(progress) == [""]
    progress.add_events([make_event("Role", "UPDATE_COMPLETE"), make_event("s", "UPDATE_COMPLETE", STACK)])
    assert read_counts(progress) == ["1 complete"]
