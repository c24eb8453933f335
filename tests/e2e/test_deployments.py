"""A second deployment changes nothing, or changes settings and code behind the alias."""

import pytest
from click.testing import CliRunner

from scripts.deployer.cli.deploy import main
from scripts.deployer.stack import describe_stack
from stacks import settings
from tests.e2e.conftest import Platform
from tests.emitted import NESTED

pytestmark = pytest.mark.e2e


def test_the_second_deployment_changes_nothing_uploads_nothing_and_says_so(platform: Platform) -> None:
    cloudformation = platform.client("cloudformation")
    before = cloudformation.describe_stack_events(StackName="payment-platform-local")["StackEvents"]
    output = platform.deploy()
    assert output == "no changes"
    assert cloudformation.describe_stack_events(StackName="payment-platform-local")["StackEvents"] == before
    assert cloudformation.list_change_sets(StackName="payment-platform-local")["Summaries"][1:] == []


@pytest.mark.parametrize(("changes", "code", "text"), [({}, 0, "no changes"), ({"LogRetentionDays": "7"}, 2, "Plan:")])
def test_a_plan_reports_changes_by_its_exit_code_and_changes_nothing(
    platform: Platform, monkeypatch: pytest.MonkeyPatch, changes: dict[str, str], code: int, text: str
) -> None:
    monkeypatch.setattr(settings, "load", lambda *_: platform.parameters | changes)
    # As the tests' platform was deployed, without boundaries.
    bootstrap = {"ServiceRole": "false", "PermissionsBoundary": ""}
    monkeypatch.setattr(settings, "load_bootstrap", lambda *_: bootstrap)
    monkeypatch.setattr("scripts.local.choose_target.reach_environment", lambda *_, **__: platform.target)
    cloudformation = platform.client("cloudformation")
    before = cloudformation.describe_stack_events(StackName="payment-platform-local")["StackEvents"]
    sets = cloudformation.list_change_sets(StackName="payment-platform-local")["Summaries"]
    planned = CliRunner().invoke(main, ["local", "--plan"])
    assert (planned.exit_code, text in planned.output) == (code, True), (planned.output, planned.exception)
    assert cloudformation.describe_stack_events(StackName="payment-platform-local")["StackEvents"] == before
    assert cloudformation.list_change_sets(StackName="payment-platform-local")["Summaries"] == sets


def test_every_stack_is_deployed(platform: Platform) -> None:
    cloudformation = platform.client("cloudformation")
    resources = cloudformation.describe_stack_resources(StackName="payment-platform-local")["StackResources"]
    assert [r["LogicalResourceId"].lower() for r in resources] == list(NESTED)
    for resource in resources:
        stack = resource["PhysicalResourceId"]
        events = cloudformation.describe_stack_events(StackName=stack)["StackEvents"]
        statuses = [event["ResourceStatus"] for event in events if event["PhysicalResourceId"] == event["StackId"]]
        # Other tests may have updated it since.
        assert "CREATE_COMPLETE" in statuses
        assert describe_stack(cloudformation, stack).status in ("CREATE_COMPLETE", "UPDATE_COMPLETE")
        assert not [status for status in statuses if "FAILED" in status or "ROLLBACK" in status]


def test_a_setting_reaches_the_version_that_the_workflow_calls(platform: Platform) -> None:
    """Fails if the description of the version omits the setting: the alias keeps the old limit."""
    assert platform.pay(payment_amount=900)[1].output["status"] == "COMPLETED"
    lower = {"MaximumAmounts": "EUR=10000,JPY=1500000,USD=800"}
    output = platform.deploy(**lower)
    # MiniStack creates no nested change sets, so the plan compares the templates and contains only real changes.
    assert "ValidationVersion AWS::Lambda::Version (replaced)" in output
    assert "unchanged: Security, Data, Workflow, Monitoring" in output
    try:
        _, story = platform.pay(payment_amount=900)
        assert story.output["reasons"] == ["payment_amount exceeds the limit"]
    finally:
        platform.deploy()
    assert platform.pay(payment_amount=900)[1].output["status"] == "COMPLETED"


def test_outputs_are_the_real_resources(platform: Platform) -> None:
    outputs = platform.outputs
    assert len(outputs) == 43
    table = platform.client("dynamodb").describe_table(TableName=outputs["DynamodbTableName"])["Table"]
    assert table["TableArn"] == outputs["DynamodbTableArn"]
    alarms = platform.client("cloudwatch").describe_alarms()["MetricAlarms"]
    alarm_arns = {value for key, value in outputs.items() if key.startswith("CloudwatchAlarm") and key.endswith("Arn")}
    assert alarm_arns <= {alarm["AlarmArn"] for alarm in alarms}
    assert len(alarm_arns) == 6
