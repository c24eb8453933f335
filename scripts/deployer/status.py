"""How an environment is: its stacks, their drift, its alarms, and how its last deployment went."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from scripts.common.errors import UserError
from scripts.common.target import Target
from scripts.common.waiting import poll_with_backoff

from .stack import WORKERS, StackTree, describe, describe_tree

LONGEST_SECONDS = 10 * 60
_ALARMS = ("AWS::CloudWatch::Alarm", "AWS::CloudWatch::CompositeAlarm")


@dataclass(frozen=True)
class Drift:
    """One resource that is not as its template says."""

    path: str
    resource_type: str
    # MODIFIED or DELETED.
    status: str
    properties: tuple[str, ...] = ()


@dataclass(frozen=True)
class StackStatus:
    # From the root; the root's is empty.
    path: str
    name: str
    status: str
    changed_at: str
    # DRIFTED, IN_SYNC, NOT_CHECKED or UNKNOWN, and when that was found.
    drift: str
    drift_checked_at: str = ""


@dataclass(frozen=True)
class Status:
    stacks: tuple[StackStatus, ...]
    drifts: tuple[Drift, ...]
    # State by name: OK, ALARM or INSUFFICIENT_DATA.
    alarms: dict[str, str]
    reason: str = ""


def read_status(name: str, target: Target, *, detect_drift: bool = False) -> Status:
    """Raises ``UserError`` where nothing is deployed, and when drift cannot be detected."""
    cloudformation = target.client("cloudformation")
    root = describe(cloudformation, name)
    if root.status == "":
        raise UserError(f"{name} is not deployed")
    tree = describe_tree(cloudformation, root) if root.exists else StackTree(root)
    with ThreadPoolExecutor(WORKERS) as pool:
        walked = list(tree.walk())
        if detect_drift:
            list(pool.map(lambda one: _detect(cloudformation, one[1].id), walked))
        drift = list(pool.map(lambda one: _drift(cloudformation, one[1].id), walked))
        drifted = [path for (path, _), (state, _) in zip(walked, drift, strict=True) if state == "DRIFTED"]
        found = pool.map(lambda path: _drifts(cloudformation, path, dict(walked)[path].id), drifted)
        alarms = [
            alarm for names in pool.map(lambda one: _alarms(cloudformation, one[1].id), walked) for alarm in names
        ]
    stacks = tuple(
        StackStatus(path, stack.name, stack.status, stack.changed_at, state, checked)
        for (path, stack), (state, checked) in zip(walked, drift, strict=True)
    )
    drifts = tuple(one for several in found for one in several)
    return Status(stacks, drifts, _states(target.client("cloudwatch"), alarms), root.reason)


def _detect(cloudformation: Any, stack_id: str) -> None:
    """Of one stack: a root's detection does not look into its nested stacks.

    https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/using-cfn-stack-drift.html
    """
    detection = cloudformation.detect_stack_drift(StackName=stack_id)["StackDriftDetectionId"]
    for _ in poll_with_backoff(LONGEST_SECONDS):
        answer = cloudformation.describe_stack_drift_detection_status(StackDriftDetectionId=detection)
        if answer["DetectionStatus"] == "DETECTION_FAILED":
            raise UserError(f"{stack_id}: drift cannot be detected: {answer.get('DetectionStatusReason', 'no reason')}")
        if answer["DetectionStatus"] == "DETECTION_COMPLETE":
            return
    raise UserError(f"{stack_id}: drift detection did not finish within {LONGEST_SECONDS // 60} minutes")


def _drift(cloudformation: Any, stack_id: str) -> tuple[str, str]:
    information = cloudformation.describe_stacks(StackName=stack_id)["Stacks"][0].get("DriftInformation", {})
    checked = information.get("LastCheckTimestamp")
    return information.get("StackDriftStatus", "NOT_CHECKED"), checked.isoformat() if checked else ""


def _drifts(cloudformation: Any, path: str, stack_id: str) -> list[Drift]:
    found = []
    token: dict[str, str] = {}
    while True:
        page = cloudformation.describe_stack_resource_drifts(
            StackName=stack_id, StackResourceDriftStatusFilters=["MODIFIED", "DELETED"], **token
        )
        for one in page["StackResourceDrifts"]:
            properties = tuple(each["PropertyPath"].strip("/") for each in one.get("PropertyDifferences", []))
            where = f"{path}/{one['LogicalResourceId']}" if path else one["LogicalResourceId"]
            found.append(Drift(where, one["ResourceType"], one["StackResourceDriftStatus"], properties))
        if not page.get("NextToken"):
            return found
        token = {"NextToken": page["NextToken"]}


def _alarms(cloudformation: Any, stack_id: str) -> list[str]:
    pages = cloudformation.get_paginator("list_stack_resources").paginate(StackName=stack_id)
    return [
        # A name, or an ARN that ends in it.
        one["PhysicalResourceId"].rsplit(":alarm:", 1)[-1]
        for page in pages
        for one in page["StackResourceSummaries"]
        if one["ResourceType"] in _ALARMS and one.get("PhysicalResourceId")
    ]


def _states(cloudwatch: Any, names: list[str]) -> dict[str, str]:
    if not names:
        return {}
    found: list[Any] = []
    # One call takes a hundred names, and answers with composite alarms only if they are asked for.
    for first in range(0, len(names), 100):
        answer = cloudwatch.describe_alarms(
            AlarmNames=names[first : first + 100], AlarmTypes=["MetricAlarm", "CompositeAlarm"]
        )
        found += [*answer["MetricAlarms"], *answer.get("CompositeAlarms", [])]
    states = {alarm["AlarmName"]: str(alarm["StateValue"]) for alarm in found}
    return {name: states.get(name, "missing") for name in names}
