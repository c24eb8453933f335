"""Drift-aware change sets: what somebody changed or deleted by hand is compared with the templates, and reverted.

https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/drift-aware-change-sets.html
The fields are those of
https://docs.aws.amazon.com/AWSCloudFormation/latest/APIReference/API_ResourceTargetDefinition.html
A deleted resource is listed as one to add, as AWS's article of 2025-11-19 shows it ("Recreate Deleted Resources"):
https://aws.amazon.com/blogs/devops/safely-handle-configuration-drift-with-cloudformation-drift-aware-change-sets/
AWS does not document how nested stacks are compared: here each gets a change set, which is drift-aware unless
``compares_nested`` is False.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from tests.deployer.aws.changes import Comparison, describe_property, describe_resource, show_value
from tests.deployer.aws.holdings import NAMES, Holdings, Refused
from tests.deployer.aws.settings import START
from tests.deployer.aws.stacks import STACK, Changes, ChangeSet, Stack, make_page

REVERT_DRIFT = "REVERT_DRIFT"


@dataclass
class ActualState:
    """What differs from the last deployment, by the path of the resource, such as Data/DeadLetters. A test sets it."""

    # Values of properties as the services show them: texts, or JSON for lists and objects. None: the property is gone.
    properties: dict[str, dict[str, str | None]] = field(default_factory=dict)
    deleted: set[str] = field(default_factory=set)
    # Attributes whose drift CloudFormation ignores, each with its reason.
    ignored: dict[str, dict[str, str]] = field(default_factory=dict)
    # The types that cannot be read.
    unsupported_types: set[str] = field(default_factory=set)
    compares_nested: bool = True
    # False for a service that ignores the deployment mode, such as an emulator.
    knows_deployment_mode: bool = True


@dataclass
class DriftComparison(Comparison):
    """Compares the resources of a stack with the new template and with their actual states."""

    actual: ActualState = field(default_factory=ActualState)

    @property
    def is_drift_aware(self) -> bool:
        return not self.path or self.actual.compares_nested

    def enter_stack(self, logical_id: str, unknown: set[str]) -> Comparison:
        before = self.before.nested.get(logical_id) if self.before else None
        path = f"{self.path}{logical_id}/"
        return DriftComparison(before, self.after.nested[logical_id], unknown, path, actual=self.actual)

    def describe_change(self, logical_id: str) -> dict[str, Any] | None:
        change = super().describe_change(logical_id)
        if not self.is_drift_aware or logical_id not in self.old:
            return change
        path, kind = f"{self.path}{logical_id}", self.old[logical_id]["Type"]
        if path in self.actual.deleted:
            action = "Add" if logical_id in self.new else "Remove"
            return describe_resource(action, logical_id, kind, [], ResourceDriftStatus="DELETED")
        details = self._compare_actual(path, logical_id) if logical_id in self.new else []
        if change is None and not details:
            return None
        change = change or describe_resource("Modify", logical_id, kind, [], Replacement="False")
        self._add_details(change["ResourceChange"], details)
        status = "UNSUPPORTED" if kind in self.actual.unsupported_types else "MODIFIED" if details else "IN_SYNC"
        change["ResourceChange"]["ResourceDriftStatus"] = status
        if ignored := self.actual.ignored.get(path):
            change["ResourceChange"]["ResourceDriftIgnoredAttributes"] = [
                {"Path": f"/Properties/{name}", "Reason": reason} for name, reason in ignored.items()
            ]
        return change

    def _compare_actual(self, path: str, logical_id: str) -> Changes:
        """Return a detail for each property that was changed by hand and that a template sets."""
        old, new = (resources[logical_id].get("Properties", {}) for resources in (self.old, self.new))
        assert self.before is not None
        details = []
        for name, actual in self.actual.properties.get(path, {}).items():
            previous = show_value(old[name], self.before) if name in old else None
            template = show_value(new[name], self.after) if name in new else None
            if actual != previous and (name in old or name in new):
                details.append(_describe_drift(name, previous, actual, template))
        return details

    def _add_details(self, resource: dict[str, Any], details: Changes) -> None:
        """Replace the details of drifted properties, and mark the others as compared with the last deployment."""
        names = {detail["Target"]["Name"] for detail in details}
        ordinary = [detail for detail in resource["Details"] if detail["Target"]["Name"] not in names]
        for detail in ordinary:
            detail["Target"] |= {"BeforeValueFrom": "PREVIOUS_DEPLOYMENT_STATE", "AfterValueFrom": "TEMPLATE"}
        resource["Details"] = [*ordinary, *details]
        if details and all(
            detail["Target"].get("AttributeChangeType") == "SyncWithActual" for detail in resource["Details"]
        ):
            resource["Action"] = "SyncWithActual"


def _describe_drift(name: str, previous: str | None, actual: str | None, template: str | None) -> dict[str, Any]:
    detail = describe_property(name, actual or "", template or "", "Never", "Static")
    target = detail["Target"]
    if actual is None:
        del target["BeforeValue"]
    if template is None:
        del target["AfterValue"]
    change_type = "Remove" if template is None else "Add" if actual is None else "Modify"
    values = {"PreviousValue": previous, "ActualValue": actual, "DriftDetectionTimestamp": START}
    detail["Target"] = target | {
        "BeforeValueFrom": "ACTUAL_STATE",
        "AfterValueFrom": "TEMPLATE",
        "AttributeChangeType": "SyncWithActual" if actual == template else change_type,
        "Drift": {key: value for key, value in values.items() if value is not None},
    }
    return detail


class Drifts:
    """The part of the service that knows the actual states. ``CloudFormation`` contains the state that tests set."""

    actual: ActualState
    holdings: Holdings
    name_resource: Callable[[Stack, str], str]
    find_stack: Callable[[str], Stack]

    def detect_stack_drift(self, StackName: str) -> dict[str, Any]:
        stack = self.find_stack(StackName)
        if stack.drift == "NOT_CHECKED":
            stack.drift = "IN_SYNC"
        return {"StackDriftDetectionId": stack.id}

    def describe_stack_drift_detection_status(self, StackDriftDetectionId: str) -> dict[str, Any]:
        return {
            "StackId": StackDriftDetectionId,
            "StackDriftDetectionId": "d",
            "DetectionStatus": "DETECTION_COMPLETE",
            "Timestamp": START,
        }

    def describe_stack_resource_drifts(
        self, StackName: str, StackResourceDriftStatusFilters: list[str], NextToken: str = "0"
    ) -> dict[str, Any]:
        assert "MODIFIED" in StackResourceDriftStatusFilters
        stack = self.find_stack(StackName)
        above = f"{stack.logical_id}/" if stack.logical_id else ""
        listed = [path.removeprefix(above) for path in [*self.actual.properties, *self.actual.deleted]]
        # Without anything that a test has changed by hand, the first resource of each stack has another tag.
        names = [name for name in listed if name in stack.resources] or list(stack.resources)[:1]
        drifts = [self._describe_drift(stack, name, f"{above}{name}") for name in names]
        return make_page("StackResourceDrifts", drifts, NextToken)

    def _describe_drift(self, stack: Stack, logical_id: str, path: str) -> dict[str, Any]:
        values = {"ExpectedValue": "a", "ActualValue": "b", "DifferenceType": "NOT_EQUAL"}
        names = [*self.actual.properties.get(path, ["Tags/0/Value"])]
        return {
            "StackId": stack.id,
            "LogicalResourceId": logical_id,
            "ResourceType": stack.resources[logical_id]["Type"],
            "StackResourceDriftStatus": "DELETED" if path in self.actual.deleted else "MODIFIED",
            "Timestamp": START,
            "PropertyDifferences": [{"PropertyPath": f"/{name}", **values} for name in names],
        }

    def compare(self, request: dict[str, Any], before: Stack | None, after: Stack) -> Comparison:
        """Return the comparison for a request's deployment mode. Raises ``Refused`` for an unknown one."""
        mode = request.get("DeploymentMode")
        if mode is None or not self.actual.knows_deployment_mode:
            return Comparison(before, after)
        if mode != REVERT_DRIFT:
            raise Refused(
                "ValidationError",
                f"1 validation error detected: Value '{mode}' at 'deploymentMode' failed to satisfy constraint: Member "
                f"must satisfy enum value set: [{REVERT_DRIFT}]",
            )
        return DriftComparison(before, after, actual=self.actual)

    def delete_by_hand(self, root: Stack, path: str) -> None:
        """Delete a resource outside CloudFormation, with its data."""
        above, _, logical_id = path.rpartition("/")
        stack = dict(root.walk())[above]
        kind = stack.resources[logical_id]["Type"]
        if kind in NAMES:
            del self.holdings.resources[kind, self.name_resource(stack, logical_id)]
        self.actual.deleted.add(path)

    def revert_drift(self, change_set: ChangeSet) -> None:
        """End the drift of the resources that an executed change set lists. A rollback does not: it restores it."""
        for member in [change_set, *change_set.nested]:
            if not member.drift:
                continue
            above = f"{member.path}/" if member.path else ""
            for change in member.changes:
                path = f"{above}{change['ResourceChange']['LogicalResourceId']}"
                if change["ResourceChange"]["ResourceType"] != STACK:
                    self.actual.properties.pop(path, None)
                    self.actual.deleted.discard(path)


def summarize_drift(comparison: Comparison, changes: Changes) -> str:
    """Return the drift status of a stack, or an empty one if the comparison is not drift-aware."""
    if not comparison.is_drift_aware:
        return ""
    statuses = {change["ResourceChange"].get("ResourceDriftStatus") for change in changes}
    return "DRIFTED" if statuses & {"MODIFIED", "DELETED"} else "IN_SYNC"
