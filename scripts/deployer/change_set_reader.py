"""Reads a change set: the changes of all its pages and nested change sets, or why CloudFormation refused it."""

import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from scripts.common.clients import (
    ChangeTypeDef,
    CloudFormationClient,
    DescribeChangeSetOutputTypeDef,
    LiveResourceDriftTypeDef,
    ResourceChangeDetailTypeDef,
    ResourceChangeTypeDef,
)
from scripts.common.errors import UserError
from scripts.common.printable import join_lines
from scripts.common.waiting import poll_with_backoff

from .change_set_validations import read_failed_validations
from .plan.compare import as_text, find_differences
from .plan.model import Change, PropertyChange, StackChanges
from .plan.recreation import find_strongest_recreation
from .plan.whole_values import is_judged_whole

LONGEST_SECONDS = 15 * 60
REVERT_DRIFT = "REVERT_DRIFT"
CREATING = ("CREATE_PENDING", "CREATE_IN_PROGRESS")
# From the weakest to the strongest.
_REPLACEMENTS = ("False", "Conditional", "True")
_NO_CHANGES = ("The submitted information didn't contain changes", "No updates are to be performed")


def wait_until_created(cloudformation: CloudFormationClient, change_set_id: str) -> DescribeChangeSetOutputTypeDef:
    """Return the change set with the changes of all pages, once its creation has succeeded or failed.

    An answer with property values may omit resources, such as one with a property that is an attribute of a resource
    which the change set updates in place, and it does not always say so. So the answer without values is joined to it.
    """
    for _ in poll_with_backoff(LONGEST_SECONDS):
        change_set = _read_pages(cloudformation, change_set_id, with_values=True)
        if change_set["Status"] not in CREATING:
            complete = _read_pages(cloudformation, change_set_id, with_values=False)
            change_set["Changes"] = _join_changes(change_set["Changes"], complete["Changes"])
            return change_set
    raise UserError(f"change set {change_set_id} is not ready after {LONGEST_SECONDS // 60} minutes")


def _join_changes(with_values: list[ChangeTypeDef], complete: list[ChangeTypeDef]) -> list[ChangeTypeDef]:
    """Return all changes, those with values first; and whatever the answer without values says more of them.

    Where the two answers differ in what is replaced, the replacement counts.
    """
    joined = {change["ResourceChange"]["LogicalResourceId"]: change for change in with_values}
    for change in complete:
        resource = change["ResourceChange"]
        listed = joined.setdefault(resource["LogicalResourceId"], change)["ResourceChange"]
        if _REPLACEMENTS.index(_read_replacement(resource)) > _REPLACEMENTS.index(_read_replacement(listed)):
            listed["Replacement"] = resource["Replacement"]
            listed["PolicyAction"] = resource.get("PolicyAction", listed.get("PolicyAction", "Delete"))
        elif "PolicyAction" in resource:
            listed.setdefault("PolicyAction", resource["PolicyAction"])
        identities = set(map(_identify_detail, listed.get("Details", [])))
        missing = [detail for detail in resource.get("Details", []) if _identify_detail(detail) not in identities]
        if missing:
            listed["Details"] = [*listed.get("Details", []), *missing]
    return list(joined.values())


def _read_replacement(resource: ResourceChangeTypeDef) -> str:
    """Return the replacement of a change that may have one: in an answer with values, an addition has it as well.

    https://docs.aws.amazon.com/AWSCloudFormation/latest/APIReference/API_ResourceChange.html
    """
    return resource.get("Replacement", "False") if resource["Action"] in ("Modify", "Dynamic") else "False"


def _identify_detail(detail: ResourceChangeDetailTypeDef) -> tuple[str, str]:
    """Return the property or attribute that changes, at the first level, and whether that replaces the resource."""
    target = detail.get("Target", {})
    return target.get("Name") or target.get("Attribute", ""), target.get("RequiresRecreation", "Never")


def _read_pages(
    cloudformation: CloudFormationClient, change_set_id: str, *, with_values: bool
) -> DescribeChangeSetOutputTypeDef:
    paginator = cloudformation.get_paginator("describe_change_set")
    pages = list(paginator.paginate(ChangeSetName=change_set_id, IncludePropertyValues=with_values))
    return {**pages[0], "Changes": [change for page in pages for change in page.get("Changes", [])]}


def is_without_changes(change_set: DescribeChangeSetOutputTypeDef) -> bool:
    """Whether nothing changes, by the reason: the list of changes is also empty if only outputs change."""
    return any(text in change_set.get("StatusReason", "") for text in _NO_CHANGES)


def is_drift_aware(change_set: DescribeChangeSetOutputTypeDef) -> bool:
    """Whether the change set compares with the actual states of the resources.

    https://docs.aws.amazon.com/AWSCloudFormation/latest/APIReference/API_DescribeChangeSet.html
    """
    return change_set.get("DeploymentMode") == REVERT_DRIFT


def read_changes(
    cloudformation: CloudFormationClient,
    change_set: DescribeChangeSetOutputTypeDef,
    change_set_paths: dict[str, str],
    path: str = "",
) -> StackChanges:
    """Return the changes of the change set, whose stack has this path from the root, and of its nested ones.

    Adds the id of each nested change set to ``change_set_paths``, with the path of its stack.
    """
    changes = []
    for resource in (change["ResourceChange"] for change in change_set["Changes"]):
        nested = None
        if resource.get("ChangeSetId"):
            nested_path = f"{path}/{resource['LogicalResourceId']}".lstrip("/")
            change_set_paths[resource["ChangeSetId"]] = nested_path
            nested_set = wait_until_created(cloudformation, resource["ChangeSetId"])
            nested = read_changes(cloudformation, nested_set, change_set_paths, nested_path)
        changes.append(
            Change(
                action=resource["Action"],
                logical_id=resource["LogicalResourceId"],
                resource_type=resource["ResourceType"],
                replacement=_read_replacement(resource),
                properties=_read_properties(resource["ResourceType"], resource.get("Details", [])),
                policy_action=resource.get("PolicyAction", ""),
                nested=nested,
                physical_id=resource.get("PhysicalResourceId", "") if resource["Action"] == "Import" else "",
                drift=resource.get("ResourceDriftStatus", ""),
                ignored_drift=tuple(
                    f"{ignored.get('Path', '').removeprefix('/Properties/').strip('/')} ({ignored.get('Reason', '')})"
                    for ignored in resource.get("ResourceDriftIgnoredAttributes", [])
                ),
            )
        )
    drift = change_set.get("StackDriftStatus", "UNKNOWN") if is_drift_aware(change_set) else ""
    return StackChanges(path.rpartition("/")[2] or change_set["StackName"], tuple(changes), drift=drift)


def _read_properties(resource_type: str, details: Sequence[ResourceChangeDetailTypeDef]) -> tuple[PropertyChange, ...]:
    """Return each property once, split into its parts unless it is judged as a whole."""
    properties = _join_details(details)
    return tuple(
        part
        for prop in properties
        for part in ([prop] if is_judged_whole(resource_type, prop.name) else _split_document(prop))
    )


def _join_details(details: Sequence[ResourceChangeDetailTypeDef]) -> list[PropertyChange]:
    """Return each property once; the API lists one detail for each cause of a change.

    One of them may have no values, and another the drift. The one that compares with the actual value counts.
    """
    properties: dict[str, PropertyChange] = {}
    for target in (detail["Target"] for detail in details):
        # The path where there is one: /Properties/KeySchema/0/AttributeName.
        path = target.get("Path", "").removeprefix("/Properties/").strip("/")
        part = _compare_with_actual(
            PropertyChange(
                name=path or target.get("Name") or target["Attribute"],
                before=target.get("BeforeValue"),
                after=target.get("AfterValue"),
                recreation=target.get("RequiresRecreation") or "Never",
            ),
            target.get("Drift"),
        )
        listed = properties.setdefault(part.name, part)
        first, second = (listed, part) if _rank_detail(listed) >= _rank_detail(part) else (part, listed)
        properties[part.name] = replace(
            first,
            after=second.after if first.after is None else first.after,
            recreation=find_strongest_recreation((first.recreation, second.recreation)),
        )
    return list(properties.values())


def _rank_detail(prop: PropertyChange) -> tuple[bool, bool]:
    """Return how much the detail tells: the actual value first, then any value."""
    return prop.is_drifted, (prop.before, prop.after) != (None, None)


def _compare_with_actual(property_change: PropertyChange, drift: LiveResourceDriftTypeDef | None) -> PropertyChange:
    """Return the change from the actual value, whatever value the service calls the one before.

    https://docs.aws.amazon.com/AWSCloudFormation/latest/APIReference/API_LiveResourceDrift.html
    """
    if drift is None:
        return property_change
    deployed, actual = drift.get("PreviousValue"), drift.get("ActualValue")
    return replace(property_change, before=actual, deployed=deployed, is_drifted=deployed != actual)


def _split_document(property_change: PropertyChange) -> list[PropertyChange]:
    """Split the change of a JSON document into the changes of its parts."""
    before, after, deployed = (
        _parse_json(text) for text in (property_change.before, property_change.after, property_change.deployed)
    )
    kind = type(before)
    if (
        kind not in (dict, list)
        or type(after) is not kind
        or (property_change.is_drifted and type(deployed) is not kind)
    ):
        return [property_change]
    parts = []
    for part in find_differences(before, after):
        deployed_part = _find_part(deployed, part.path) if property_change.is_drifted else part.before
        is_drifted = any(find_differences(deployed_part, part.before))
        parts.append(
            replace(
                property_change,
                name="/".join((property_change.name, *part.path)),
                before=None if part.before is None else as_text(part.before),
                after=None if part.after is None else as_text(part.after),
                is_drifted=is_drifted,
                deployed=as_text(deployed_part) if is_drifted and deployed_part is not None else None,
            )
        )
    return parts or [property_change]


def _parse_json(text: str | None) -> Any:
    """Return the value, or None if the text is not JSON."""
    try:
        return json.loads(text or "")
    except ValueError:
        return None


def _find_part(document: Any, path: Sequence[str]) -> Any:
    """Return the part of a JSON document, or None if it has none there."""
    for key in path:
        if isinstance(document, list) and key.isdigit() and int(key) < len(document):
            document = document[int(key)]
        else:
            document = document.get(key) if isinstance(document, dict) else None
    return document


def find_refusals(
    cloudformation: CloudFormationClient, change_set: DescribeChangeSetOutputTypeDef, change_set_id: str, path: str = ""
) -> list[str]:
    """Return the reasons of the change sets that failed by themselves, each with its failed validations.

    The reason of a root only names the nested change set that failed, which the root may not list. All nested ones are
    waited for, because the root fails as soon as one does, and none can be deleted before all exist.
    """
    reason = join_lines(change_set.get("StatusReason", "no reason given"))
    listed = (change["ResourceChange"] for change in change_set["Changes"])
    nested = {change["ChangeSetId"]: change["LogicalResourceId"] for change in listed if change.get("ChangeSetId")}
    for nested_id in (word.strip(".,") for word in reason.split() if ":changeSet/" in word):
        nested.setdefault(nested_id, "")
    refusals: list[str] = []
    for nested_id, logical_id in nested.items():
        nested_set = wait_until_created(cloudformation, nested_id)
        if nested_set["Status"] == "FAILED" and not is_without_changes(nested_set):
            nested_name = logical_id or _find_logical_id(nested_set["StackName"], change_set["StackName"])
            refusals += find_refusals(cloudformation, nested_set, nested_id, f"{path}/{nested_name}".lstrip("/"))
    if refusals:
        return refusals
    # CloudFormation's own reason comes first; the validations, or why they could not be read, are added.
    failures = read_failed_validations(cloudformation, change_set_id, path)
    return [f"{path or change_set['StackName']}: {'; '.join([reason.rstrip('.'), *failures])}"]


def _find_logical_id(nested_name: str, name: str) -> str:
    """Return ``Data`` for ``payment-platform-dev-Data-1ABC``, a name that CloudFormation has generated."""
    return nested_name.removeprefix(f"{name}-").rsplit("-", 1)[0] if nested_name.startswith(f"{name}-") else nested_name
