"""What the last drift detection has found is in each plan, for the resources that the plan changes."""

from datetime import UTC, datetime, timedelta

import pytest

from tests.deployer.aws.cloudformation import CloudFormation as Service
from tests.deployer.aws.holdings import Refused
from tests.deployer.aws.stacks import Stack
from tests.deployer.both_stacks import add_earlier_release
from tests.deployer.conftest import Command, add_platform
from tests.deployer.releases import edit_harmlessly

# Each takes several deployments.
pytestmark = pytest.mark.nightly

CHANGED = "! Data/DeadLetters was changed (MessageRetentionPeriod) outside CloudFormation, as detected on "
UNCHECKED = (
    ": changes outside CloudFormation are not in this plan; to see them, run scripts/status.sh dev "
    "--drift, and plan again\n"
)


def add_drifted_platform(aws: Service) -> Stack:
    """Deploy a release whose update changes Data/DeadLetters and alarms; drift is detected in every stack."""
    stack = add_platform(aws, edit_harmlessly)
    for _, nested in stack.walk():
        nested.drift = "IN_SYNC"
    stack.nested["Data"].drift = "DRIFTED"
    aws.actual.properties = {"Data/DeadLetters": {"MessageRetentionPeriod": "60"}, "Data/Transactions": {"Tags": "[]"}}
    return stack


def test_a_plan_names_the_drift_of_what_it_changes_and_detects_nothing(command: Command, aws: Service) -> None:
    add_drifted_platform(aws)
    result = command("dev", "--plan", code=2)
    assert CHANGED in result.stdout
    assert "Transactions was changed" not in result.stdout
    assert UNCHECKED not in result.stdout
    assert aws.find_requests("DetectStackDrift") == []
    # Only the stacks in which the last detection has found drift are read.
    assert len(aws.find_requests("DescribeStackResourceDrifts")) == 1


def test_a_resource_that_was_deleted_by_hand_is_named(command: Command, aws: Service) -> None:
    add_drifted_platform(aws)
    aws.actual.properties, aws.actual.deleted = {}, {"Data/DeadLetters"}
    assert "! Data/DeadLetters was deleted outside CloudFormation, as detected" in command("dev", "--plan").stdout


def test_a_stack_that_was_never_checked_takes_one_line(command: Command, aws: Service) -> None:
    stack = add_drifted_platform(aws)
    stack.nested["Monitoring"].drift = stack.nested["Data"].drift = "NOT_CHECKED"
    stack.nested["Workflow"].drift = "NOT_CHECKED"
    result = command("dev", "--plan", code=2)
    # The plan changes nothing in the workflow's stack.
    assert f"! drift was never detected in Data, Monitoring{UNCHECKED}" in result.stdout
    assert result.stdout.count("never detected") == 1
    # What was deployed just now has hardly been changed by hand.
    stack.nested["Data"].updated = datetime.now(UTC) - timedelta(hours=23)
    assert f"! drift was never detected in Monitoring{UNCHECKED}" in command("dev", "--plan", code=2).stdout
    stack.nested["Monitoring"].updated = datetime.now(UTC)
    assert "never detected" not in command("dev", "--plan", code=2).stdout


def test_drift_that_may_not_be_read_does_not_stop_a_plan(command: Command, aws: Service) -> None:
    add_drifted_platform(aws)
    aws.errors["DescribeStackResourceDrifts"] = [Refused("AccessDenied", "no", 403)]
    result = command("dev", "--plan", code=2)
    assert "! the drift of Data could not be read: not authorized: cloudformation:" in result.stdout


def test_the_drift_of_the_artifacts_stack_is_named_in_its_plan(command: Command, aws: Service) -> None:
    artifacts = add_earlier_release(aws)
    detect = "aws cloudformation detect-stack-drift --stack-name payment-artifacts"
    unchecked = UNCHECKED.replace("scripts/status.sh dev --drift", detect)
    never = f"! drift was never detected in payment-artifacts{unchecked}"
    assert never in command("dev", "--plan", code=2).stdout
    artifacts.drift = "DRIFTED"
    aws.actual.properties = {"BoundaryDev": {"Description": "mine"}, "Bucket": {"Tags": "[]"}}
    planned = command("dev", "--plan", "--out", "plan.json", code=2).stdout
    changed = "! BoundaryDev was changed (Description) outside CloudFormation, as detected on "
    (line,) = [line for line in planned.splitlines() if line.startswith(changed)]
    # Nothing compares with the resources of this stack.
    assert line.endswith(" UTC; the changes shown are those of the templates")
    assert "Bucket was changed" not in planned
    assert never not in planned
    assert line in command("apply", "dev", "plan.json", "--yes", code=0).stdout.splitlines()


def test_programs_read_the_drift_as_well(command: Command, aws: Service) -> None:
    add_drifted_platform(aws)
    result = command("dev", "--plan", "--json", code=2)
    assert any(CHANGED.removeprefix("! ") in str(record) for record in result.read_records())


def test_a_drift_aware_plan_does_not_repeat_it(command: Command, aws: Service) -> None:
    add_drifted_platform(aws)
    result = command("dev", "--plan", "--revert-drift", code=2)
    assert "as detected on" not in result.stdout
