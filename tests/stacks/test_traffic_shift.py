"""CodeDeploy shifts the invocations of a function to its new version, if the setting asks for it, and alarms watch it.

The rights are those that are generated for an environment whose settings name a ``traffic_shift``.
"""

import functools
import re
from pathlib import Path
from typing import Any

import botocore.session
import pytest

from scripts.audit.deployed import OPTIONAL_PARTS
from scripts.common.templates import to_plain_types
from stacks import emit, references, settings
from stacks.artifacts import stack as artifacts
from stacks.artifacts.deployers.policy_terms import Environments
from stacks.monitoring.alarms import ALARMS
from tests.emitted import load_template
from tests.stacks.access import ACCOUNT, ANOTHER_ACCOUNT, FUNCTIONS, PLACE, World, service
from tests.stacks.handler_calls import OPERATIONS, calls
from tests.stacks.test_service_role import ROLE, handler_permissions, rename_as_neighbours
from tests.stacks.test_settings import DEV, read_refusal

APPLICATION, GROUP = "AWS::CodeDeploy::Application", "AWS::CodeDeploy::DeploymentGroup"
ALL_AT_ONCE = "AllAtOnce"
# https://docs.aws.amazon.com/codedeploy/latest/userguide/deployment-configurations.html, those for Lambda
PREDEFINED = {
    "CodeDeployDefault.LambdaCanary10Percent5Minutes",
    "CodeDeployDefault.LambdaCanary10Percent10Minutes",
    "CodeDeployDefault.LambdaCanary10Percent15Minutes",
    "CodeDeployDefault.LambdaCanary10Percent30Minutes",
    "CodeDeployDefault.LambdaLinear10PercentEvery1Minute",
    "CodeDeployDefault.LambdaLinear10PercentEvery2Minutes",
    "CodeDeployDefault.LambdaLinear10PercentEvery3Minutes",
    "CodeDeployDefault.LambdaLinear10PercentEvery10Minutes",
    "CodeDeployDefault.LambdaAllAtOnce",
}
SHIFTS = tuple(value for value in settings.Settings.traffic_shift.among if value != ALL_AT_ONCE)
SHIFT_ROLE = "TrafficShiftRole"
LIVE = f"arn:aws:lambda:{PLACE}:function:lambda-payment-{{}}-prod:live"
ALARM_MINUTES = 5


def make_world(shift: str, environment: str = "prod") -> World:
    parameters = settings.load("prod") | OPTIONAL_PARTS | {"Environment": environment, "TrafficShift": shift}
    return World(environment, parameters, account=generate_account())


@functools.cache
def generate_account() -> dict[str, Any]:
    """Return the template of the artifacts stack with the rights of prod, but not of dev, to shift traffic."""
    template = artifacts.build(Environments(("dev", "prod"), shifting=("prod",)))
    return to_plain_types(emit.document(template))  # type: ignore[no-any-return]


@pytest.fixture(scope="module")
def shifting() -> World:
    return make_world("Canary10Percent10Minutes")


def of_shift(world: World) -> list[str]:
    return [path for path, resource in world.resources.items() if resource.type in (APPLICATION, GROUP)]


# The resources


def test_nothing_of_codedeploy_exists_while_all_invocations_move_at_once() -> None:
    world = make_world(ALL_AT_ONCE)
    assert of_shift(world) == []
    assert [path for path in world.resources if path.startswith("Security/TrafficShift")] == []
    for title in FUNCTIONS:
        assert not world.resources[f"Compute/{title}Live"].attributes.get("UpdatePolicy"), title
    assert settings.load("prod")["TrafficShift"] == ALL_AT_ONCE


@pytest.mark.parametrize("shift", SHIFTS)
def test_each_value_of_the_setting_is_a_predefined_configuration(shift: str) -> None:
    groups = make_world(shift).of_type(GROUP)
    assert len(groups) == len(FUNCTIONS)
    for group in groups.values():
        assert group["DeploymentConfigName"] == f"CodeDeployDefault.Lambda{shift}"
        assert group["DeploymentConfigName"] in PREDEFINED


@pytest.mark.parametrize("title", FUNCTIONS)
def test_an_alias_is_updated_by_the_deployment_group_of_its_function(title: str, shifting: World) -> None:
    """Two aliases of one group would wait for each other, and fail."""
    update = shifting.resources[f"Compute/{title}Live"].attributes.get("UpdatePolicy")
    assert update == {
        "CodeDeployLambdaAliasUpdate": {
            "ApplicationName": "${Compute/ShiftingApplication}",
            "DeploymentGroupName": f"${{Compute/{title}Shift}}",
        }
    }
    group = shifting.properties(f"Compute/{title}Shift")
    assert (group["ApplicationName"], group["DeploymentGroupName"]) == ("codedeploy-payments-prod", title.lower())
    assert shifting.properties("Compute/ShiftingApplication")["ComputePlatform"] == "Lambda"
    assert group["ServiceRoleArn"] == f"arn:aws:iam::{ACCOUNT}:role/role-codedeploy-payments-prod"


@pytest.mark.parametrize("title", FUNCTIONS)
def test_a_shift_goes_back_by_itself_whatever_ends_it(title: str, shifting: World) -> None:
    group = shifting.properties(f"Compute/{title}Shift")
    events = botocore.session.get_session().get_service_model("codedeploy").shape_for("AutoRollbackEvent").enum
    assert group["AutoRollbackConfiguration"] == {"Enabled": True, "Events": events}
    assert group["DeploymentStyle"] == {"DeploymentType": "BLUE_GREEN", "DeploymentOption": "WITH_TRAFFIC_CONTROL"}


# The alarms


def watched_alarms(world: World, title: str) -> list[str]:
    configuration = world.properties(f"Compute/{title}Shift")["AlarmConfiguration"]
    assert (configuration["Enabled"], configuration["IgnorePollAlarmFailure"]) == (True, False)
    return [alarm["Name"] for alarm in configuration["Alarms"]]


@pytest.mark.parametrize("title", FUNCTIONS)
def test_a_shift_watches_every_alarm_by_which_payments_fail(title: str, shifting: World) -> None:
    """CodeDeploy takes ten: https://docs.aws.amazon.com/codedeploy/latest/APIReference/API_AlarmConfiguration.html"""
    expected = {f"{alarm.section}-prod" for alarm in ALARMS if alarm.payments_fail}
    if title == "Reconciliation":
        expected.add("alarm-lambda-reconciliation-errors-prod")
    watched = watched_alarms(shifting, title)
    assert (set(watched), len(watched)) == (expected, len(expected)), (
        "an alarm with payments_fail belongs into SHIFTING_ALARMS of stacks/names.py, as long as there are ten at most"
    )
    assert len(watched) <= 10


@pytest.mark.parametrize("title", FUNCTIONS)
def test_each_watched_alarm_exists_and_can_go_off_within_the_first_step(title: str, shifting: World) -> None:
    """It counts the invocations of all versions, so that it goes off by those of the new one alone."""
    alarms = {alarm["AlarmName"]: alarm for alarm in shifting.of_type("AWS::CloudWatch::Alarm").values()}
    for name in watched_alarms(shifting, title):
        alarm = alarms[name]
        assert alarm["Period"] * alarm["EvaluationPeriods"] == ALARM_MINUTES * 60, name
        dimensions = {dimension["Name"] for dimension in alarm["Dimensions"]}
        assert dimensions <= {"FunctionName", "StateMachineArn", "Environment", "Outcome"}, name


@pytest.mark.parametrize("shift", SHIFTS)
def test_a_shift_takes_longer_than_an_alarm_and_both_of_a_payment_end_within_an_hour(shift: str) -> None:
    """Validation waits for processing; an alias may take two hours by its schema, and GitHub's session as long."""
    steps = 10 if shift.startswith("Linear") else 1
    minutes = steps * int(re.findall(r"(\d+)Minute", shift)[0])
    assert ALARM_MINUTES < minutes <= 30


# The rights


@pytest.mark.parametrize("title", FUNCTIONS)
def test_codedeploy_may_shift_an_alias_and_read_alarms_and_nothing_without_its_rights(
    title: str, shifting: World
) -> None:
    live = LIVE.format(title.lower())
    requests = [
        ("lambda:GetAlias", live), ("lambda:UpdateAlias", live), ("lambda:UpdateAlias", live.removesuffix(":live")),
        ("lambda:GetProvisionedConcurrencyConfig", live.replace(":live", ":7")), ("cloudwatch:DescribeAlarms", "*"),
    ]  # fmt: skip
    parameters = settings.load("prod") | OPTIONAL_PARTS
    without = World("prod", parameters, account=load_template("artifacts"))
    for action, resource in requests:
        assert shifting.may(SHIFT_ROLE, action, resource), (action, resource)
        assert not without.may(SHIFT_ROLE, action, resource), "the boundary of an environment that does not shift"
        assert not shifting.may("ProcessingRole", action, resource)


def test_only_our_deployment_groups_make_codedeploy_act(shifting: World) -> None:
    """https://docs.aws.amazon.com/codedeploy/latest/userguide/security_confused_deputy.html"""
    groups = f"arn:aws:codedeploy:{PLACE}:deploymentgroup:codedeploy-payments-prod/"

    def may_assume(group: str, account: str = ACCOUNT) -> bool:
        context = {"aws:SourceArn": group, "aws:SourceAccount": account}
        return shifting.may_assume(SHIFT_ROLE, service("codedeploy"), context)

    assert all(may_assume(groups + title.lower()) for title in FUNCTIONS)
    assert not may_assume(f"{groups}images")
    assert not may_assume(groups.replace("-prod/", "-dev/") + "processing")
    assert not may_assume(f"{groups}processing", ANOTHER_ACCOUNT)


def shift_calls(world: World) -> list[tuple[str, str, Any]]:
    """Return each request of CloudFormation to CodeDeploy, and for its role, with its resource and operation."""
    paths = [*of_shift(world), *(f"Compute/{title}Live" for title in FUNCTIONS)]
    paths += ["Security/TrafficShiftRole", "Security/TrafficShiftPolicy"]
    return [
        (path, operation, call)
        for path in paths
        for operation, permissions in handler_permissions(world.resources[path].type).items()
        for permission in sorted(permissions)
        for call in calls(world, path, operation, permission)
    ]


@pytest.mark.parametrize("operation", OPERATIONS)
def test_cloudformation_may_do_every_operation_where_traffic_shifts_and_none_elsewhere(
    operation: str, shifting: World
) -> None:
    requests = [(path, call) for path, step, call in shift_calls(shifting) if step == operation]
    denied = [
        (path, call) for path, call in requests if not shifting.may(ROLE, call.action, call.resource, call.context)
    ]
    assert not denied
    # Of dev, no setting names a traffic_shift.
    dev = make_world("Canary10Percent10Minutes", "dev")
    allowed = [
        call
        for path, step, call in shift_calls(dev)
        if step == operation
        and not path.endswith("Live")
        and ("dev" in call.resource)
        and dev.may(ROLE, call.action, call.resource, call.context)
    ]
    assert not allowed
    assert len(requests) > 5


def test_cloudformation_updates_an_alias_by_codedeploy_and_can_stop_that(shifting: World) -> None:
    """These are what the schema of the alias asks for, of its group."""
    group = f"arn:aws:codedeploy:{PLACE}:deploymentgroup:codedeploy-payments-prod/processing"
    of_alias = {call.action for path, _, call in shift_calls(shifting) if path == "Compute/ProcessingLive"}
    expected = "CreateDeployment GetDeployment GetDeploymentConfig GetDeploymentGroup StopDeployment"
    assert {action for action in of_alias if action.startswith("codedeploy:")} == {
        f"codedeploy:{name}" for name in expected.split()
    }
    for action in ("codedeploy:CreateDeployment", "codedeploy:StopDeployment"):
        assert shifting.may(ROLE, action, group)


def test_cloudformation_touches_no_application_of_another_team(shifting: World) -> None:
    neighbours = [
        (call, neighbour)
        for _, _, call in shift_calls(shifting)
        if ":deploymentconfig:" not in call.resource
        for neighbour in rename_as_neighbours(call.resource.split("/")[0], "prod")
    ]
    assert len(neighbours) > 50
    for call, neighbour in neighbours:
        assert not shifting.may(ROLE, call.action, neighbour, call.context), (call.action, neighbour)


def test_a_role_is_passed_to_codedeploy_alone(shifting: World) -> None:
    role = f"arn:aws:iam::{ACCOUNT}:role/role-codedeploy-payments-prod"
    assert shifting.may(ROLE, "iam:PassRole", role, {"iam:PassedToService": "codedeploy.amazonaws.com"})
    for other in ("lambda", "states", "ec2"):
        assert not shifting.may(ROLE, "iam:PassRole", role, {"iam:PassedToService": f"{other}.amazonaws.com"})


# The settings


_FALSE = 'must be false with traffic_shift = "Canary10Percent10Minutes", because it'
REFUSALS = [
    ("dev", "code_only", f"code_only: it {_FALSE} points the alias to $LATEST, for which Lambda splits no traffic"),
    ("dev", "express", f"express: it {_FALSE} would not wait for the end of the shift"),
    ("local", "stack_policy", 'traffic_shift: it must be "AllAtOnce", because the AWS emulator has no CodeDeploy'),
]


@pytest.mark.parametrize(("name", "rollout", "message"), REFUSALS)
def test_what_cannot_go_with_a_shift_is_refused_in_one_line(
    name: str, rollout: str, message: str, tmp_path: Path
) -> None:
    text = DEV.replace("[dev]", f'[{name}]\ntraffic_shift = "Canary10Percent10Minutes"')
    refusal = read_refusal(
        f"{text}[{name}.rollout]\n{rollout} = true\n", tmp_path, functools.partial(settings.load, name)
    )
    assert refusal.endswith(message)
    assert refusal.startswith(f"{tmp_path}/environments.toml: [{name}")
    path = tmp_path / "environments.toml"
    path.write_text(path.read_text().replace("Canary10Percent10Minutes", ALL_AT_ONCE))
    assert settings.load(name, path)["TrafficShift"] == ALL_AT_ONCE


def test_another_configuration_is_refused() -> None:
    for value in ("LambdaCanary10Percent10Minutes", "Canary10Percent5Minutes", "OneAtATime", ""):
        assert not settings.Settings.traffic_shift.accepts(value)


@pytest.mark.parametrize(("line", "has_rights"), [("", False), ('traffic_shift = "AllAtOnce"', True)])
def test_an_environment_that_names_the_setting_keeps_the_rights_while_all_moves_at_once(
    line: str, has_rights: bool, tmp_path: Path
) -> None:
    """So that one parameter is all that changes before and after an incident."""
    path = tmp_path / "environments.toml"
    path.write_text(DEV.replace("[dev]", f"[dev]\n{line}"))
    assert settings.shifting_environments(path) == (("dev",) if has_rights else ())


def test_a_shift_without_generated_rights_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "environments.toml"
    bootstrap = '[bootstrap]\npermissions_boundary = "platform"\n'
    path.write_text(bootstrap + DEV.replace("[dev]", '[dev]\ntraffic_shift = "Canary10Percent10Minutes"'))
    refusal = settings.describe_missing_generation("dev", path)
    assert re.search(
        r"\[dev\] traffic_shift: CodeDeploy's rights are generated for .*run `python3 generate.py`", refusal
    )
    path.write_text(bootstrap + DEV)
    assert settings.describe_missing_generation("dev", path) == ""


def test_the_names_of_the_groups_are_those_of_the_functions() -> None:
    groups = {arn.data["Fn::Sub"].rsplit("/", 1)[1] for arn in references.SHIFTING_GROUP_ARNS}
    assert groups == {title.lower() for title in FUNCTIONS}
