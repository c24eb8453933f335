"""CloudFormation's role may do every operation on every resource of the platform, and nothing on others."""

import fnmatch
import functools
import re
from collections.abc import Iterator
from typing import Any

import pytest
from cfnlint.schema.manager import PROVIDER_SCHEMA_MANAGER

from scripts.audit.deployed import OPTIONAL_PARTS
from stacks import settings
from tests.stacks.access import DEFAULT_KEY_POLICY, PLACE, World, directly, key_arn, kms_via
from tests.stacks.handler_calls import OPERATIONS, PLAN_ID, REFUSED, SERVICE_ROLE, UNUSED, WITHOUT_RESOURCE, Call, calls

ROLE = "CloudFormationRole"
ENVIRONMENTS = settings.deployed_environments()
# Granted beyond the schemas: change sets of nested stacks, and what Step Functions needs to set up logging.
# https://docs.aws.amazon.com/step-functions/latest/dg/cw-logs.html
BEYOND_SCHEMAS = {
    "cloudformation:CancelUpdateStack", "cloudformation:CreateChangeSet", "cloudformation:DeleteChangeSet",
    "cloudformation:DescribeChangeSet", "cloudformation:ExecuteChangeSet", "logs:DeleteLogDelivery",
    "logs:GetLogDelivery", "logs:ListLogDeliveries", "logs:UpdateLogDelivery",
}  # fmt: skip
# By its tag, a key of an earlier deployment gets the policy that names the role.
EARLIER_KEYS = "KeysOfEarlierDeployments"


@functools.cache
def world_of(environment: str) -> World:
    """Return an environment with all optional parts but CodeDeploy's, whose rights test_traffic_shift.py generates."""
    parameters = settings.load("prod") | OPTIONAL_PARTS | {"Environment": environment, "TrafficShift": "AllAtOnce"}
    world = World(environment, parameters)
    world.resources |= world.platform.resources
    return world


@functools.cache
def handler_permissions(kind: str) -> dict[str, set[str]]:
    """Return the permissions of each operation in the type's schema, including those for tags."""
    schema = PROVIDER_SCHEMA_MANAGER.get_resource_schema("us-east-1", kind).schema
    permissions = {
        operation: set(schema["handlers"].get(operation, {}).get("permissions", [])) for operation in OPERATIONS
    }
    tagging = set(schema.get("tagging", {}).get("permissions", []))
    permissions["read"] |= {action for action in tagging if ":List" in action}
    permissions["update"] |= tagging
    return permissions


def platform_paths(world: World) -> list[str]:
    """Return the paths of the nested stacks and their resources, which CloudFormation manages with this role."""
    return [*world.platform.resources, *(path for path in world.resources if "/" in path)]


@functools.cache
def list_calls(environment: str) -> list[tuple[str, str, Call]]:
    """Return each request with its resource and operation."""
    world = world_of(environment)
    return [
        (path, operation, call)
        for path in platform_paths(world)
        for operation, permissions in handler_permissions(world.resources[path].type).items()
        for permission in sorted(permissions)
        for call in calls(world, path, operation, permission)
    ]


def service_statements(world: World) -> Iterator[dict[str, Any]]:
    for title, statements in world.policies.items():
        if re.fullmatch(r"Service\d+Policy", title):
            yield from statements


@pytest.mark.parametrize("operation", OPERATIONS)
@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_the_role_may_do_every_operation_on_every_resource(environment: str, operation: str) -> None:
    world = world_of(environment)
    requests = [(path, call) for path, step, call in list_calls(environment) if step == operation]
    denied = [
        f"{operation} {path}: {call.action} on {call.resource} {call.context}"
        for path, call in requests
        if not world.may(ROLE, call.action, call.resource, call.context)
    ]
    assert not denied, (
        "CloudFormation's role may not do this. A resource's name belongs into stacks/names.py; its type's actions "
        "into stacks/artifacts/deployers/service_rights.py, or into tests/stacks/handler_calls.py with why not. "
        "Then run `python3 generate.py`.\n" + ("\n".join(denied))
    )
    assert len({path for path, _ in requests}) > 20


def test_unused_actions_belong_to_unused_features() -> None:
    for environment in ENVIRONMENTS:
        world = world_of(environment)
        for path in platform_paths(world):
            kind, properties = world.resources[path].type, world.resources[path].properties
            names = {name for entry in UNUSED if kind in entry.types for name in entry.properties} & set(properties)
            assert not names, f"{path} has {names}: its actions are used, take them out of UNUSED"


def test_no_read_of_a_resource_counts_as_unused() -> None:
    """A handler reads the resource after each create, whichever features it uses."""
    for kind in {resource.type for resource in world_of("prod").resources.values()}:
        unused = {action for entry in UNUSED if kind in entry.types for action in entry.actions.split()}
        assert not unused & (handler_permissions(kind)["read"] | handler_permissions(kind)["list"]), kind


def test_every_granted_action_is_needed_by_an_operation() -> None:
    requests = [call for environment in ENVIRONMENTS for _, _, call in list_calls(environment)]
    granted = {action for statement in service_statements(world_of("prod")) for action in statement["Action"]}
    assert granted - {call.action for call in requests} == BEYOND_SCHEMAS
    assert not granted & set(REFUSED)
    by_action: dict[str, set[str]] = {}
    for call in requests:
        by_action.setdefault(call.action, set()).add(call.resource)
    for statement in service_statements(world_of("prod")):
        for resource in statement["Resource"]:
            asked_for = {
                arn
                for action in statement["Action"]
                for arn in by_action.get(action, ())
                if fnmatch.fnmatch(arn, resource)
            }
            # The deployer describes root stacks; CloudFormation itself describes the nested ones.
            assert asked_for or re.search(r":stack/payment-platform-\w+/\*$", resource), (statement["Sid"], resource)


def test_statements_on_all_resources_have_only_actions_without_resources() -> None:
    for statement in service_statements(world_of("prod")):
        if statement["Resource"] == ["*"]:
            assert set(statement["Action"]) <= WITHOUT_RESOURCE | BEYOND_SCHEMAS, statement["Sid"]


def rename_as_neighbours(resource: str, environment: str) -> set[str]:
    """Return the ARN with names that another team of the account may use."""
    if stack := re.search(rf"payment-platform-{environment}(?=-)", resource):
        names = {"payment-platform-images", f"payment-platform-{environment}2", f"images-{stack[0]}"}
        return {resource.replace(stack[0], name) for name in names}
    name = re.search(rf"[\w/-]+-{environment}(?=$|:)", resource)
    if name is None:
        return set()
    stem = name[0].removesuffix(f"-{environment}")
    names = {f"{stem}-images", f"{stem}-images-{environment}", f"{name[0]}-images", f"{stem}-{environment}2"}
    return {resource.replace(name[0], neighbour) for neighbour in names}


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_the_role_cannot_touch_resources_of_other_teams(environment: str) -> None:
    world = world_of(environment)
    requests = {repr(call): call for _, _, call in list_calls(environment)}
    checked = 0
    for call in requests.values():
        for neighbour in sorted(rename_as_neighbours(call.resource, environment)):
            assert not world.may(ROLE, call.action, neighbour, call.context), (call.action, neighbour)
            checked += 1
    assert checked > 1000


@pytest.mark.parametrize("tags", [{}, {"aws:ResourceTag/ManagedBy": "payment-platform"}], ids=["foreign", "tagged"])
def test_a_key_is_used_and_administered_only_where_its_policy_names_the_role(tags: dict[str, str]) -> None:
    """This key has the default policy, which leaves everything to IAM."""
    stranger = f"arn:aws:kms:{PLACE}:key/5d2e9c1a-0000-4000-8000-000000000000"
    world = world_of("prod").with_policy(stranger, DEFAULT_KEY_POLICY)
    granted = {statement["Sid"]: set(statement["Action"]) for statement in service_statements(world)}
    for action in {call.action for _, _, call in list_calls("prod") if call.action.startswith("kms:")}:
        if action in WITHOUT_RESOURCE or action == "kms:TagResource":
            continue
        allowed = bool(tags) and action in granted[EARLIER_KEYS]
        for context in (directly(), kms_via("dynamodb"), kms_via("backup"), kms_via("lambda")):
            assert world.may(ROLE, action, stranger, context | tags) == allowed, action


def test_the_role_passes_itself_only_to_nested_stacks() -> None:
    """CloudFormation passes its role on: aws-samples/sample-autonomous-cloud-coding-agents#865."""
    world = world_of("prod")
    assert world.may(ROLE, "iam:PassRole", SERVICE_ROLE, {"iam:PassedToService": "cloudformation.amazonaws.com"})
    for service in ("lambda", "states", "backup", "ec2"):
        context = {"iam:PassedToService": f"{service}.amazonaws.com"}
        assert not world.may(ROLE, "iam:PassRole", SERVICE_ROLE, context)


RECONCILIATION = f"arn:aws:states:{PLACE}:stateMachine:sfn-payment-reconciliation-prod"


@pytest.mark.parametrize(
    "targets",
    [
        [],
        [f"arn:aws:lambda:{PLACE}:function:images"],
        [f"arn:aws:states:{PLACE}:stateMachine:sfn-payment-workflow-prod"],
        [RECONCILIATION, f"arn:aws:sqs:{PLACE}:queue-of-another-team"],
    ],
    ids=["none", "images", "workflow", "two"],
)
def test_the_schedule_starts_reconciliation_and_nothing_else(targets: list[str]) -> None:
    world, rule = world_of("prod"), f"arn:aws:events:{PLACE}:rule/rule-sfn-payment-reconciliation-prod"
    assert world.may(ROLE, "events:PutTargets", rule, {"events:TargetArn": [RECONCILIATION]})
    assert not world.may(ROLE, "events:PutTargets", rule, {"events:TargetArn": targets} if targets else {})


# The context in which the role uses each key through a service; None where it only administers the key.
USED_THROUGH = {
    "DynamodbKey": kms_via("dynamodb"),
    "FunctionsKey": kms_via(
        "lambda", {"aws:lambda:FunctionArn": f"arn:aws:lambda:{PLACE}:function:lambda-payment-processing-prod"}
    ),
    "WorkflowKey": directly(
        {"aws:states:stateMachineArn": f"arn:aws:states:{PLACE}:stateMachine:sfn-payment-workflow-prod"}
    ),
    "QueueKey": None,
    "SnsKey": None,
    "LogsKey": None,
}


@pytest.mark.parametrize("key", USED_THROUGH)
def test_the_role_uses_a_key_only_through_its_service(key: str) -> None:
    world, context = world_of("prod"), USED_THROUGH[key]
    for action in ("kms:Decrypt", "kms:GenerateDataKey"):
        assert world.may(ROLE, action, key_arn(key), context) == (context is not None)
        for value in (directly(), kms_via("s3"), kms_via("lambda"), kms_via("dynamodb", account="999988887777")):
            assert not world.may(ROLE, action, key_arn(key), value), (action, value)


def test_a_backup_plan_of_another_team_is_not_changed() -> None:
    """It lacks the platform's tag, and no request can both tag and change it."""
    plan = f"arn:aws:backup:{PLACE}:backup-plan:{PLAN_ID}"
    for action in ("backup:UpdateBackupPlan", "backup:DeleteBackupPlan", "backup:DeleteBackupSelection"):
        assert not world_of("prod").may(ROLE, action, plan, {"aws:ResourceTag/ManagedBy": "another-team"}), action
