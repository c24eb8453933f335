"""The status of an environment: its stacks, their drift, and its alarms."""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import chain

from botocore.exceptions import ClientError

from scripts.common.clients import (
    ChangeSetSummaryTypeDef,
    CloudFormationClient,
    CloudWatchClient,
    DescribeStackResourceDriftsInputTypeDef,
    MetricAlarmTypeDef,
)
from scripts.common.errors import UserError, is_denied
from scripts.common.printable import join_lines
from scripts.common.target import Target
from scripts.common.threads import map_in_threads
from scripts.common.waiting import poll_with_backoff

from .abandoned import KeptPlan, group_plans, list_saved_plans
from .deployment_options import ARTIFACTS_STACK
from .live_functions import find_changed_aliases
from .stack import StackTree, describe_stack, describe_tree

LONGEST_SECONDS = 10 * 60
_ALARMS = ("AWS::CloudWatch::Alarm", "AWS::CloudWatch::CompositeAlarm")
# How long after its period a heartbeat may be counted, and the alarm evaluated.
_HEARTBEAT_DELAY = timedelta(minutes=2)


class NotDeployed(UserError):
    """There is no stack whose status could be read."""


@dataclass(frozen=True)
class Drift:
    """A resource that differs from its template."""

    path: str
    resource_type: str
    # MODIFIED or DELETED.
    status: str
    properties: tuple[str, ...] = ()
    # The time of the detection, in ISO 8601.
    detected_at: str = ""


@dataclass(frozen=True)
class StackStatus:
    # The path from the root; empty for the root.
    path: str
    name: str
    status: str
    changed_at: str
    # DRIFTED, IN_SYNC, NOT_CHECKED or UNKNOWN, and the time of the check.
    drift: str
    drift_checked_at: str = ""
    # Whether its parent still has it, although it was deleted. Its status is empty if CloudFormation has forgotten it.
    is_lost: bool = False


@dataclass(frozen=True)
class Status:
    stacks: tuple[StackStatus, ...]
    drifts: tuple[Drift, ...]
    # The state by name: OK, ALARM, INSUFFICIENT_DATA or missing.
    alarms: dict[str, str]
    reason: str = ""
    # That of the artifacts stack, which all environments share; empty if this caller may not read it.
    artifacts: str = ""
    # Of the root and of the artifacts stack; none of a stack whose change sets this caller may not list.
    saved_plans: tuple[KeptPlan, ...] = ()
    # The functions that run other code than the deployed one, by code-only; none if this caller may not read it.
    changed_functions: tuple[str, ...] = ()
    # By the name of an alarm that is in ALARM because nothing has sent a heartbeat since it was created: when the first
    # one is due, in ISO 8601. Afterwards the alarm is like any other.
    first_heartbeats: dict[str, str] = field(default_factory=dict)


def read_status(
    name: str, target: Target, *, environment: str = "", detect_drift: bool = False, allows_code_only: bool = False
) -> Status:
    """Return the status, with the saved plans of the ``environment`` if one is given.

    Raises ``NotDeployed``, and ``UserError`` if drift cannot be detected.
    """
    cloudformation = target.client("cloudformation")
    root = describe_stack(cloudformation, name)
    if root.status == "":
        raise NotDeployed(f"{name} is not deployed")
    tree = describe_tree(cloudformation, root)
    if detect_drift:
        map_in_threads(lambda node: _detect_drift(cloudformation, node[1].id), tree.walk())
        tree = describe_tree(cloudformation, describe_stack(cloudformation, root.id))
    drifted = [node for node in tree.walk() if node[1].drift == "DRIFTED"]
    resources = map_in_threads(lambda node: find_drifted_resources(cloudformation, node[0], node[1].id), drifted)
    created_at = {path: stack.created_at for path, stack in tree.walk()}
    # A physical id is a name, or an ARN that ends in it.
    alarms = {
        resource.physical_id.rsplit(":alarm:", 1)[-1]: created_at[path.rpartition("/")[0]]
        for path, resource in tree.walk_resources()
        if resource.type in _ALARMS and resource.physical_id
    }
    alarm_states, first_heartbeats = _read_alarms(target.client("cloudwatch"), alarms)
    artifacts = _read_artifacts_status(cloudformation)
    stack_names = ([ARTIFACTS_STACK, name] if artifacts else [name]) if environment else []
    saved_plans = group_plans(
        (stack_name, summary)
        for stack_name in stack_names
        for summary in _list_saved_plans(cloudformation, stack_name, environment)
    )
    drifts = tuple(chain.from_iterable(resources))
    changed = _find_changed_functions(target, tree) if allows_code_only else ()
    return Status(
        _list_stacks(tree), drifts, alarm_states, root.reason, artifacts, tuple(saved_plans), changed, first_heartbeats
    )


def _list_stacks(tree: StackTree) -> tuple[StackStatus, ...]:
    stacks = (
        StackStatus(path, stack.name, stack.status, stack.changed_at, stack.drift, stack.drift_checked_at)
        for path, stack in tree.walk()
    )
    lost = (StackStatus(path, stack.name, stack.status, "", "", is_lost=True) for path, stack in tree.walk_lost())
    return (*stacks, *lost)


def _list_saved_plans(
    cloudformation: CloudFormationClient, stack_name: str, environment: str
) -> list[ChangeSetSummaryTypeDef]:
    try:
        return list_saved_plans(cloudformation, stack_name, environment)
    except ClientError as error:
        if is_denied(error):
            return []
        raise


def _find_changed_functions(target: Target, tree: StackTree) -> tuple[str, ...]:
    try:
        return tuple(alias.function for alias in find_changed_aliases(target.client("lambda"), tree))
    except ClientError as error:
        if is_denied(error):
            return ()
        raise


def _read_artifacts_status(cloudformation: CloudFormationClient) -> str:
    try:
        return describe_stack(cloudformation, ARTIFACTS_STACK).status
    except ClientError as error:
        if is_denied(error):
            return ""
        raise


def _detect_drift(cloudformation: CloudFormationClient, stack_id: str) -> None:
    """Detect the drift of one stack; the detection of a root does not include its nested stacks.

    https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/using-cfn-stack-drift.html
    """
    detection = cloudformation.detect_stack_drift(StackName=stack_id)["StackDriftDetectionId"]
    for _ in poll_with_backoff(LONGEST_SECONDS):
        answer = cloudformation.describe_stack_drift_detection_status(StackDriftDetectionId=detection)
        if answer["DetectionStatus"] == "DETECTION_FAILED":
            reason = join_lines(answer.get("DetectionStatusReason", "no reason"))
            raise UserError(f"{stack_id}: drift cannot be detected: {reason}")
        if answer["DetectionStatus"] == "DETECTION_COMPLETE":
            return
    raise UserError(f"{stack_id}: drift detection did not finish within {LONGEST_SECONDS // 60} minutes")


def find_drifted_resources(cloudformation: CloudFormationClient, path: str, stack_id: str) -> list[Drift]:
    """Return what the last detection has found in one stack, whose path from the root is given; it detects nothing.

    https://docs.aws.amazon.com/AWSCloudFormation/latest/APIReference/API_DescribeStackResourceDrifts.html
    """
    request: DescribeStackResourceDriftsInputTypeDef = {
        "StackName": stack_id,
        "StackResourceDriftStatusFilters": ["MODIFIED", "DELETED"],
    }
    drifts = []
    while True:
        page = cloudformation.describe_stack_resource_drifts(**request)
        for drift in page["StackResourceDrifts"]:
            properties = (difference["PropertyPath"].strip("/") for difference in drift.get("PropertyDifferences", []))
            resource = f"{path}/{drift['LogicalResourceId']}" if path else drift["LogicalResourceId"]
            status, detected_at = drift["StackResourceDriftStatus"], drift["Timestamp"].isoformat()
            drifts.append(Drift(resource, drift["ResourceType"], status, tuple(properties), detected_at))
        if not page.get("NextToken"):
            return drifts
        request["NextToken"] = page["NextToken"]


def _read_alarms(cloudwatch: CloudWatchClient, alarms: dict[str, str]) -> tuple[dict[str, str], dict[str, str]]:
    """Return the state of each alarm, and when the first heartbeats are due, both by name.

    ``alarms`` has the time at which the stack of each alarm was created.
    """
    names = list(alarms)
    states, first_heartbeats = dict.fromkeys(names, "missing"), dict[str, str]()
    # A request takes up to a hundred names, and returns composite alarms only if their type is requested.
    for first in range(0, len(names), 100):
        answer = cloudwatch.describe_alarms(
            AlarmNames=names[first : first + 100], AlarmTypes=["MetricAlarm", "CompositeAlarm"]
        )
        for alarm in [*answer["MetricAlarms"], *answer.get("CompositeAlarms", [])]:
            states[alarm["AlarmName"]] = str(alarm["StateValue"])
        for alarm in answer["MetricAlarms"]:
            if alarm["StateValue"] == "ALARM" and (due_at := _find_first_heartbeat(alarm, alarms[alarm["AlarmName"]])):
                first_heartbeats[alarm["AlarmName"]] = due_at
    return states, first_heartbeats


def _find_first_heartbeat(alarm: MetricAlarmTypeDef, created_at: str) -> str:
    """Return when the first heartbeat is due, of an alarm on missing ones; empty if it is overdue, or of another alarm.

    Where missing data is breaching, a new alarm is in ALARM until the first data arrive, unless it warms up first.
    https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/alarms-and-missing-data.html
    """
    if not created_at or alarm.get("TreatMissingData") != "breaching" or "WarmUpConfiguration" in alarm:
        return ""
    window = timedelta(seconds=alarm.get("Period", 0) * alarm.get("EvaluationPeriods", 0))
    due_at = datetime.fromisoformat(created_at) + window + _HEARTBEAT_DELAY
    return due_at.astimezone(UTC).isoformat() if datetime.now(UTC) < due_at else ""
