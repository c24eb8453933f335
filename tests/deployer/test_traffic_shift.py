"""What the deployer says of a deployment in which CodeDeploy shifts the invocations of functions."""

import io
from pathlib import Path

import pytest
from rich.console import Console

from scripts.common.templates import Tree, parse_template
from scripts.deployer.failure import Event, describe_failure
from scripts.deployer.planning import compare_trees
from scripts.deployer.report.console_reporter import ConsoleReporter
from stacks import settings
from tests.deployer.aws.cloudformation import CloudFormation as Service
from tests.deployer.aws.settings import START
from tests.deployer.conftest import Command, add_platform

ALIAS = "AWS::Lambda::Alias"
TEMPLATE = """
Parameters: {Shift: {Type: String}, Version: {Type: String}}
Conditions: {Shifts: !Not [!Equals [!Ref Shift, AllAtOnce]]}
Resources:
  Group:
    Type: AWS::CodeDeploy::DeploymentGroup
    Condition: Shifts
    Properties:
      ApplicationName: a
      ServiceRoleArn: r
      DeploymentConfigName: !Sub CodeDeployDefault.Lambda${Shift}
      AlarmConfiguration: {Alarms: [{Name: errors}, {Name: throttles}]}
  FirstLive: &live
    Type: AWS::Lambda::Alias
    UpdatePolicy:
      CodeDeployLambdaAliasUpdate: !If
        - Shifts
        - {ApplicationName: a, DeploymentGroupName: !Ref Group}
        - !Ref AWS::NoValue
    Properties: {Name: live, FunctionName: f, FunctionVersion: !Ref Version}
  SecondLive: *live
"""


def list_notices(before: tuple[str, str], after: tuple[str, str]) -> tuple[str, ...]:
    """Return the notices of a plan from one value of the setting, and one version, to another."""
    trees = [
        (Tree(parse_template(TEMPLATE)), {"Shift": shift, "Version": version}) for shift, version in (before, after)
    ]
    return compare_trees("s", trees[0], trees[1], {}).make_offline_plan("").notices


BACK = (
    "if one of errors, throttles goes off meanwhile, all go to the old version again, and the deployment is rolled back"
)


@pytest.mark.parametrize(
    ("shift", "steps"),
    [
        ("Canary10Percent10Minutes", "10 % of the invocations to the new version for 10 minutes, and then all"),
        (
            "Linear10PercentEvery1Minute",
            "10 % more of the invocations to the new version every minute, all after 10 minutes at most",
        ),
        (
            "Linear10PercentEvery3Minutes",
            "10 % more of the invocations to the new version every 3 minutes, all after 30 minutes at most",
        ),
        ("Sometime", "the invocations to the new version as CodeDeployDefault.LambdaSometime says"),
    ],
)
def test_a_plan_says_how_a_new_version_gets_its_invocations(shift: str, steps: str) -> None:
    expected = (f"FirstLive, SecondLive: CodeDeploy sends {steps}; {BACK}",)
    assert list_notices((shift, "1"), (shift, "2")) == expected
    # The update policy of the new template holds for the update.
    assert list_notices(("AllAtOnce", "1"), (shift, "2")) == expected


def test_a_plan_says_nothing_of_a_shift_where_none_begins() -> None:
    canary = "Canary10Percent10Minutes"
    assert list_notices((canary, "1"), (canary, "1")) == ()
    assert list_notices(("AllAtOnce", "1"), (canary, "1")) == ()
    assert list_notices(("AllAtOnce", "1"), ("AllAtOnce", "2")) == ()


def test_a_plan_says_that_no_alarm_stops_a_new_version_any_more() -> None:
    ended = "FirstLive, SecondLive: new versions get all invocations at once, and no alarm stops that any more"
    for version in ("1", "2"):
        assert list_notices(("Canary10Percent10Minutes", "1"), ("AllAtOnce", version)) == (ended,)


@pytest.fixture
def shifting_settings(tmp_path: Path) -> str:
    """Return settings with which staging shifts traffic, without a boundary that would have to be generated."""
    text = settings.ENVIRONMENTS_FILE.read_text(encoding="utf-8")
    text = text.replace('permissions_boundary = "platform"', 'permissions_boundary = ""')
    path = tmp_path / "environments.toml"
    path.write_text(text.replace("[staging]", '[staging]\ntraffic_shift = "Canary10Percent10Minutes"'))
    return str(path)


def test_a_plan_names_the_alarms_with_which_codedeploy_would_stop(
    command: Command, aws: Service, shifting_settings: str
) -> None:
    add_platform(aws, environment="staging", code="# an earlier release")
    aws.alarms["alarm-unknown-outcomes-staging"] = "ALARM"
    del aws.alarms["alarm-lambda-reconciliation-errors-staging"]
    output = command("staging", "--plan", "--settings", shifting_settings, code=2).stdout
    text = " ".join(output.split())
    assert (
        "! Compute/ValidationLive, Compute/ProcessingLive, Compute/ReconciliationLive: CodeDeploy sends 10 % of the "
        "invocations to the new version for 10 minutes, and then all; if one of alarm-sfn-failures-staging, "
        "alarm-sfn-timeouts-staging, alarm-sfn-throttles-staging and 6 more goes off meanwhile, all go to the old "
        "version again, and the deployment is rolled back"
    ) in text
    assert (
        "! alarm-unknown-outcomes-staging is in ALARM: CodeDeploy would stop, and the deployment would be rolled back; "
        'wait until it is OK, or set traffic_shift = "AllAtOnce"'
    ) in text
    assert (
        "! alarm-lambda-reconciliation-errors-staging does not exist: AWS does not document whether CodeDeploy stops; "
        'deploy what creates it first, or set traffic_shift = "AllAtOnce"'
    ) in text
    assert text.count('set traffic_shift = "AllAtOnce"') == 2


def test_the_first_deployment_shifts_nothing(command: Command, aws: Service, shifting_settings: str) -> None:
    output = command("staging", "--yes", "--settings", shifting_settings, code=0).stdout
    assert "CodeDeploy sends" not in output
    assert "would stop" not in output


def test_a_shift_without_generated_rights_is_refused_before_anything_is_asked(
    command: Command, aws: Service, tmp_path: Path
) -> None:
    path = tmp_path / "environments.toml"
    text = settings.ENVIRONMENTS_FILE.read_text(encoding="utf-8")
    path.write_text(text.replace("[staging]", '[staging]\ntraffic_shift = "Canary10Percent10Minutes"'))
    result = command("staging", "--yes", "--settings", str(path), code=1)
    assert "[staging] traffic_shift: CodeDeploy's rights are generated for" in result.stderr
    assert aws.find_writes() == []


FAILED = Event("1", START, "arn:c", "Compute/ProcessingLive", ALIAS, "UPDATE_FAILED", "stopped by an alarm", "arn:a")
REASON = (
    "aws deploy get-deployment --query 'deploymentInfo.[errorInformation,rollbackInfo]' --deployment-id $(aws deploy "
    "list-deployments --application-name codedeploy-payments-prod --deployment-group-name processing "
    "--include-only-statuses Failed Stopped --query 'deployments[0]' --output text)"
)


def test_a_failed_shift_names_the_command_that_shows_the_reason_of_codedeploy() -> None:
    end = "UPDATE_ROLLBACK_COMPLETE"
    failure = describe_failure("payment-platform-prod", "prod", end, [FAILED], shifts_traffic=True)
    assert failure.shift_command == REASON
    stream = io.StringIO()
    ConsoleReporter(Console(file=stream, width=400)).show_failure(failure)
    assert f"CodeDeploy's reason: {REASON}\n" in stream.getvalue()
    assert "stopped by an alarm" in stream.getvalue()
    assert describe_failure("payment-platform-prod", "prod", end, [FAILED]).shift_command == ""
    other = Event("1", START, "arn:c", "Compute/ValidationFunction", "AWS::Lambda::Function", "UPDATE_FAILED", "", "f")
    assert describe_failure("payment-platform-prod", "prod", end, [other], shifts_traffic=True).shift_command == ""


def test_a_failed_deployment_names_the_reason_where_traffic_shifts(
    command: Command, aws: Service, shifting_settings: str
) -> None:
    add_platform(aws, environment="staging", code="# an earlier release")
    aws.fails = {"Compute/ProcessingLive": "Deployment stopped"}
    result = command("staging", "--yes", "--settings", shifting_settings, code=1)
    assert "✗ Compute/ProcessingLive (AWS::Lambda::Alias) UPDATE_FAILED" in result.output
    assert "--application-name codedeploy-payments-staging --deployment-group-name processing" in result.output


def test_while_an_alias_takes_minutes_the_deployer_says_what_happens() -> None:
    clock = [0.0]
    console = Console(file=io.StringIO(), width=140)
    event = Event("1", START, "arn:s", "Compute/ProcessingLive", ALIAS, "UPDATE_IN_PROGRESS", "", "t")
    with ConsoleReporter(console, clock=lambda: clock[0]).follow_events(None, "s") as listen:
        listen([event])
        clock[0] = 31
        listen([])
    assert console.file.getvalue().splitlines()[1:] == [  # type: ignore[attr-defined]
        "still in progress after 0:31: Compute/ProcessingLive (AWS::Lambda::Alias), whose invocations move to another "
        "version"
    ]
