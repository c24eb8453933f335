"""Stacks that are unfinished, rolled back, or incomplete are named."""

from dataclasses import replace

import pytest

from scripts.deployer.stack import Stack, StackTree
from scripts.verify import stacks
from scripts.verify.expected import Expected
from scripts.verify.results import Status, run_check
from tests.verify.runs import ROOT, make_run

TABLE = Expected("Data/Transactions", "AWS::DynamoDB::Table", "table", {})
COMPLETE = Stack(ROOT, "UPDATE_COMPLETE", "arn:root", owned=True)


def run_completeness_check(
    root: Stack, nested: str = "UPDATE_COMPLETE", resource: Expected = TABLE
) -> tuple[Status, str]:
    tree = StackTree(root, {"Data": StackTree(Stack("data", nested, "arn:data", owned=True))})
    check = run_check("stacks", "complete", stacks.check_completeness, make_run({}, resource, tree=tree))
    return check.status, check.observation


def test_complete_stacks_are_ok() -> None:
    assert run_completeness_check(COMPLETE, "CREATE_COMPLETE") == (
        Status.OK,
        "2 stacks with the 1 resources of the templates",
    )


@pytest.mark.parametrize(
    "status",
    [
        *("ROLLBACK_COMPLETE", "UPDATE_ROLLBACK_COMPLETE", "IMPORT_ROLLBACK_COMPLETE"),
        *("UPDATE_IN_PROGRESS", "UPDATE_ROLLBACK_FAILED", "CREATE_FAILED"),
    ],
)
def test_a_stack_that_is_unfinished_or_rolled_back_is_named(status: str) -> None:
    assert run_completeness_check(replace(COMPLETE, status=status)) == (Status.FAILED, f"{ROOT} is {status}")
    assert run_completeness_check(COMPLETE, status) == (Status.FAILED, f"data is {status}")


def test_a_missing_resource_and_a_stack_of_somebody_else_are_named() -> None:
    missing = run_completeness_check(COMPLETE, resource=replace(TABLE, physical_id=""))
    assert missing == (Status.FAILED, "Data/Transactions (AWS::DynamoDB::Table) is not deployed")
    status, observation = run_completeness_check(replace(COMPLETE, owned=False))
    assert (status, "does not have the tag" in observation) == (Status.FAILED, True)
