"""Stacks that are unfinished, rolled back, or incomplete are named."""

from dataclasses import replace

import pytest

from scripts.deployer.deployment_options import Rollout
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


def test_each_parameter_that_differs_from_its_source_is_named() -> None:
    lines = stacks.find_parameter_differences({"A": "1", "B": "2"}, {"A": "1", "B": "3", "C": "4"}, "[bootstrap] says")
    assert lines == {"B": "B is '2', [bootstrap] says '3'", "C": "C is 'not set', [bootstrap] says '4'"}


def test_a_parameter_that_the_emulator_lacks_is_not_reported() -> None:
    tree = StackTree(replace(COMPLETE, parameters={"Gateway": "other"}))
    run = make_run({}, TABLE, tree=tree)
    run.settings = {"Gateway": "simulator"}
    assert run_check("stacks", "parameters", stacks._check_parameters, run, []).status is Status.FAILED
    assert run_check("stacks", "parameters", stacks._check_parameters, run, ["Gateway"]).status is Status.OK


@pytest.mark.parametrize(
    ("rollout", "status"), [(Rollout(termination_protection=True), Status.FAILED), (Rollout(), Status.OK)]
)
def test_a_stack_without_the_protection_of_the_settings_is_named(rollout: Rollout, status: Status) -> None:
    run = make_run({}, TABLE, tree=StackTree(COMPLETE))
    run.rollout = rollout
    check = run_check("stacks", "protection", stacks._check_protection, run)
    assert (check.status, "termination protection" in check.observation) == (status, True)
