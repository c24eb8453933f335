"""A change set for the whole tree of stacks, with the changes of all pages and nested sets.

``proposed`` gives one for the length of a ``with`` block; whatever ends the block without executing it, nothing of it
is left behind.
"""

import contextlib
import json
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

from botocore.exceptions import ClientError

from scripts.common.errors import AWS_ERRORS, UserError, describe_aws_error, raise_both
from scripts.common.waiting import poll_with_backoff

from . import checks
from .plan.compare import as_text, find_differences
from .plan.model import Change, PropertyChange, StackChanges
from .stack import OWNER_TAG, Stack, describe_stack

LONGEST_SECONDS = 15 * 60
CLEANUP_SECONDS = 60
NEW_ROLE_SECONDS = 30

_CREATING = ("CREATE_PENDING", "CREATE_IN_PROGRESS")
_NO_CHANGES = ("The submitted information didn't contain changes", "No updates are to be performed")


# The reason for omitting resources from an answer with property values; the answer without values has them.
_WITHOUT_VALUES = "[WARN] --include-property-values"


class _RoleNotReady(UserError):
    """CloudFormation cannot assume the role."""


@dataclass(frozen=True)
class ExecutionOptions:
    """How the change set is to be executed."""

    # The role that CloudFormation assumes. If empty, it uses the role of the last operation, or the caller's rights.
    role_arn: str = ""
    # ARNs of the alarms that roll the deployment back, and the minutes to monitor them after it.
    alarms: tuple[str, ...] = ()
    monitoring_minutes: int = 0

    def to_arguments(self) -> dict[str, Any]:
        arguments: dict[str, Any] = {"RoleARN": self.role_arn} if self.role_arn else {}
        # Required even if empty: by default CloudFormation monitors the alarms of the last deployment.
        # https://docs.aws.amazon.com/AWSCloudFormation/latest/APIReference/API_RollbackConfiguration.html
        arguments["RollbackConfiguration"] = {
            "RollbackTriggers": [{"Arn": arn, "Type": "AWS::CloudWatch::Alarm"} for arn in self.alarms],
            "MonitoringTimeInMinutes": self.monitoring_minutes if self.alarms else 0,
        }
        return arguments


@dataclass
class Proposal:
    """A change set that may be executed, once."""

    cloudformation: Any
    stack_id: str
    change_set_id: str
    changes: StackChanges
    # Notices of CloudFormation about a change set that it accepted.
    notices: tuple[str, ...] = ()
    is_executed: bool = False
    # Whether to keep the change set, for a later `apply`.
    is_saved: bool = False

    def execute(self) -> None:
        """Start the execution. After an error or Ctrl-C, ``is_executed`` says whether it started nevertheless.

        A rollback deletes the resources that the operation created, even those with the deletion policy ``Retain``,
        but not resources that existed before.
        https://docs.aws.amazon.com/AWSCloudFormation/latest/APIReference/API_ExecuteChangeSet.html
        """
        try:
            self.cloudformation.execute_change_set(ChangeSetName=self.change_set_id, RetainExceptOnCreate=True)
            self.is_executed = True
        except (*AWS_ERRORS, KeyboardInterrupt) as error:
            try:
                status = self.cloudformation.describe_change_set(ChangeSetName=self.change_set_id)["ExecutionStatus"]
            except AWS_ERRORS as second:
                raise_both(error, f"whether the deployment began could not be read: {describe_aws_error(second)}")
            self.is_executed = status in ("EXECUTE_IN_PROGRESS", "EXECUTE_COMPLETE")
            if not self.is_executed or isinstance(error, KeyboardInterrupt):
                raise


@contextmanager
def create_change_set(
    cloudformation: Any,
    stack: Stack,
    parameters: dict[str, str],
    options: ExecutionOptions = ExecutionOptions(),
    **template: str | bool,
) -> Iterator[Proposal | None]:
    """Create a change set, and yield it, or None if nothing would change; delete it unless it is executed or saved.

    ``template`` is ``TemplateURL``, ``TemplateBody``, or ``UsePreviousTemplate`` for the deployed one. Raises
    ``UserError`` if CloudFormation refuses the change set.
    """
    name = f"deploy-{uuid.uuid4().hex[:12]}"
    proposal: Proposal | None = None
    try:
        created = _request_change_set(
            cloudformation,
            StackName=stack.name,
            ChangeSetName=name,
            ChangeSetType="UPDATE" if stack.exists else "CREATE",
            # A repeated request does not create a second change set.
            ClientToken=name,
            IncludeNestedStacks=True,
            Capabilities=["CAPABILITY_NAMED_IAM"],
            Parameters=[{"ParameterKey": key, "ParameterValue": value} for key, value in parameters.items()],
            # They replace all tags of the stack.
            Tags=[*(tag for tag in stack.tags if tag["Key"] != OWNER_TAG["Key"]), OWNER_TAG],
            **options.to_arguments(),
            **template,
        )
        pages = _wait_until_created(cloudformation, created["Id"])
        if pages[0]["Status"] == "FAILED" and not _says_no_changes(pages[0]):
            refusals = "; ".join(_find_refusals(cloudformation, created["Id"], pages, stack.name))
            raise UserError(f"CloudFormation refuses the change set: {refusals}")
        if pages[0]["Status"] != "FAILED":
            proposal = _read_proposal(cloudformation, pages, created["Id"], created["StackId"])
        yield proposal
    except BaseException as error:
        if not _must_stay(proposal):
            try:
                delete_change_set(cloudformation, stack, name)
            except UserError as leftover:
                raise_both(error, str(leftover))
        raise
    if not _must_stay(proposal):
        delete_change_set(cloudformation, stack, name)


def _must_stay(proposal: Proposal | None) -> bool:
    return proposal is not None and (proposal.is_executed or proposal.is_saved)


def _request_change_set(cloudformation: Any, **arguments: Any) -> dict[str, str]:
    """Request the change set, repeatedly until CloudFormation can assume a role that has just been created.

    https://docs.aws.amazon.com/IAM/latest/UserGuide/troubleshoot.html#troubleshoot_general_eventual-consistency
    """
    for _ in poll_with_backoff(NEW_ROLE_SECONDS):
        with contextlib.suppress(_RoleNotReady):
            return _request_once(cloudformation, arguments)
    return _request_once(cloudformation, arguments)


def _request_once(cloudformation: Any, arguments: dict[str, Any]) -> dict[str, str]:
    try:
        created: dict[str, str] = cloudformation.create_change_set(**arguments)
    except ClientError as error:
        if "is invalid or cannot be assumed" in str(error):
            raise _RoleNotReady(describe_aws_error(error)) from error
        raise
    return created


def read_change_set(cloudformation: Any, change_set_id: str) -> Proposal:
    """Return an existing change set; raises ``UserError`` if it can no longer be executed."""
    try:
        pages = _wait_until_created(cloudformation, change_set_id)
    except ClientError as error:
        if _is_missing(error):
            raise UserError("its change set no longer exists; create a new plan") from None
        raise
    first = pages[0]
    if (first["Status"], first["ExecutionStatus"]) != ("CREATE_COMPLETE", "AVAILABLE"):
        raise UserError(f"its change set is {first['Status']} and {first['ExecutionStatus']}; plan again")
    return _read_proposal(cloudformation, pages, change_set_id, first["StackId"])


def _read_proposal(cloudformation: Any, pages: list[dict[str, Any]], change_set_id: str, stack_id: str) -> Proposal:
    change_set_ids = [change_set_id]
    changes = _read_changes(cloudformation, pages, change_set_ids)
    notices = checks.read_notices(cloudformation, change_set_ids)
    return Proposal(cloudformation, stack_id, change_set_id, changes, notices)


def delete_change_set(cloudformation: Any, before: Stack, name: str) -> None:
    """Delete the change set and the empty stack in review that it created; raises ``UserError`` if that fails.

    CloudFormation refuses to delete a change set while it is being created, and deletes it asynchronously.
    """
    change_set = {"StackName": before.name, "ChangeSetName": name}
    try:
        status: str | None = ""
        for _ in poll_with_backoff(CLEANUP_SECONDS):
            status = _read_status(cloudformation, change_set)
            if status is None:
                break
            if status not in _CREATING and not status.startswith("DELETE_"):
                _request_deletion(cloudformation, change_set)
        if status is not None:
            raise UserError(f"change set {name} of {before.name} could not be deleted; it is {status}")
    except AWS_ERRORS as error:
        raise UserError(
            f"change set {name} of {before.name} could not be deleted: {describe_aws_error(error)}"
        ) from error
    except KeyboardInterrupt:
        command = f"aws cloudformation delete-change-set --stack-name {before.name} --change-set-name {name}"
        raise UserError(f"the change set was not deleted, by another interrupt; delete it with: {command}") from None
    try:
        if before.status == "" and _is_empty_review(cloudformation, before.name):
            cloudformation.delete_stack(StackName=before.name)
    except (*AWS_ERRORS, KeyboardInterrupt) as error:
        reason = describe_aws_error(error) if isinstance(error, Exception) else "another interrupt"
        command = f"aws cloudformation delete-stack --stack-name {before.name}"
        raise UserError(
            f"the empty stack {before.name} (REVIEW_IN_PROGRESS) was not deleted: {reason}; delete it with: {command}"
        ) from error


def _request_deletion(cloudformation: Any, change_set: dict[str, str]) -> None:
    """Tolerate a refusal: a failed root may have nested change sets that are still being created."""
    try:
        cloudformation.delete_change_set(**change_set)
    except ClientError as error:
        if error.response["Error"]["Code"] not in ("InvalidChangeSetStatus", "InvalidChangeSetStatusException"):
            raise


def _read_status(cloudformation: Any, change_set: dict[str, str]) -> str | None:
    """Return the status of the change set, or None if it does not exist."""
    try:
        return str(cloudformation.describe_change_set(**change_set)["Status"])
    except ClientError as error:
        if _is_missing(error):
            return None
        raise


def _is_missing(error: ClientError) -> bool:
    code = error.response["Error"]["Code"]
    return code in ("ChangeSetNotFound", "ChangeSetNotFoundException") or "does not exist" in str(error)


def _is_empty_review(cloudformation: Any, name: str) -> bool:
    """Whether the stack is in review and has no change sets, so that no saved plan is lost with it."""
    if describe_stack(cloudformation, name).status != "REVIEW_IN_PROGRESS":
        return False
    return not cloudformation.list_change_sets(StackName=name)["Summaries"]


def _wait_until_created(cloudformation: Any, change_set_id: str) -> list[dict[str, Any]]:
    """Return all pages of the change set, once its creation has succeeded or failed."""
    for _ in poll_with_backoff(LONGEST_SECONDS):
        pages = _read_pages(cloudformation, change_set_id, IncludePropertyValues=True)
        if pages[0]["Status"] not in _CREATING:
            if _WITHOUT_VALUES in pages[0].get("StatusReason", ""):
                pages += _find_left_out(pages, _read_pages(cloudformation, change_set_id))
            return pages
    raise UserError(f"change set {change_set_id} is not ready after {LONGEST_SECONDS // 60} minutes")


def _find_left_out(pages: list[dict[str, Any]], without_values: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return a page with the changes that only the answer without property values has."""
    listed = {change["ResourceChange"]["LogicalResourceId"] for change in _list_changes(pages)}
    changes = _list_changes(without_values)
    return [{"Changes": [change for change in changes if change["ResourceChange"]["LogicalResourceId"] not in listed]}]


def _list_changes(pages: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [change for page in pages for change in page.get("Changes", [])]


def _read_pages(cloudformation: Any, change_set_id: str, **values: bool) -> list[dict[str, Any]]:
    return list(cloudformation.get_paginator("describe_change_set").paginate(ChangeSetName=change_set_id, **values))


def _read_changes(
    cloudformation: Any, pages: list[dict[str, Any]], change_set_ids: list[str], name: str = ""
) -> StackChanges:
    """Return the changes of all pages and nested change sets, whose ids are appended to ``change_set_ids``."""
    changes = []
    for change in _list_changes(pages):
        resource = change["ResourceChange"]
        nested = None
        if resource.get("ChangeSetId"):
            change_set_ids.append(resource["ChangeSetId"])
            nested_pages = _wait_until_created(cloudformation, resource["ChangeSetId"])
            nested = _read_changes(cloudformation, nested_pages, change_set_ids, resource["LogicalResourceId"])
        changes.append(
            Change(
                action=resource["Action"],
                logical_id=resource["LogicalResourceId"],
                resource_type=resource["ResourceType"],
                replacement=resource.get("Replacement", "False"),
                properties=_read_properties(resource.get("Details", [])),
                policy_action=resource.get("PolicyAction", ""),
                nested=nested,
            )
        )
    return StackChanges(name or pages[0]["StackName"], tuple(changes))


def _read_properties(details: list[dict[str, Any]]) -> tuple[PropertyChange, ...]:
    """Return each property once: the API lists a detail for each cause of its change, some without values."""
    properties: dict[str, PropertyChange] = {}
    for target in (detail["Target"] for detail in details):
        # The path where there is one: /Properties/KeySchema/0/AttributeName.
        path = target.get("Path", "").removeprefix("/Properties/").strip("/")
        part = PropertyChange(
            name=path or target.get("Name") or target["Attribute"],
            before=target.get("BeforeValue"),
            after=target.get("AfterValue"),
            recreation=target.get("RequiresRecreation") or "Never",
        )
        listed = properties.get(part.name)
        if listed is None or (listed.before, listed.after) == (None, None):
            properties[part.name] = part
    return tuple(part for property_change in properties.values() for part in _split_document(property_change))


def _split_document(property_change: PropertyChange) -> list[PropertyChange]:
    """Return a property that is a whole JSON document as those of its parts that differ."""
    try:
        before, after = json.loads(property_change.before or ""), json.loads(property_change.after or "")
    except ValueError:
        return [property_change]
    if type(before) is not type(after) or not isinstance(before, dict | list):
        return [property_change]
    return [
        replace(
            property_change,
            name="/".join((property_change.name, *part.path)),
            before=None if part.before is None else as_text(part.before),
            after=None if part.after is None else as_text(part.after),
        )
        for part in find_differences(before, after)
    ] or [property_change]


def _find_refusals(cloudformation: Any, change_set_id: str, pages: list[dict[str, Any]], name: str) -> list[str]:
    """Return the reasons of the change sets that failed by themselves, each with its failed validations.

    The reason of a root says only that a nested set failed, and names it, whether the root lists its changes or not.
    All nested sets are waited for: the root fails as soon as one does, and none can be deleted before all exist.
    """
    reason = str(pages[0].get("StatusReason", "no reason given"))
    nested = {
        resource["ChangeSetId"]: resource["LogicalResourceId"]
        for page in pages
        for resource in (change["ResourceChange"] for change in page.get("Changes", []))
        if resource.get("ChangeSetId")
    }
    nested |= {
        word.strip(".,"): "" for word in reason.split() if ":changeSet/" in word and word.strip(".,") not in nested
    }
    refusals: list[str] = []
    for nested_id, logical_id in nested.items():
        answer = _wait_until_created(cloudformation, nested_id)
        if answer[0]["Status"] == "FAILED" and not _says_no_changes(answer[0]):
            name_below = logical_id or _logical_id(answer[0]["StackName"], pages[0]["StackName"])
            refusals += _find_refusals(cloudformation, nested_id, answer, name_below)
    if refusals:
        return refusals
    # CloudFormation's own reason comes first; the validations, or why they could not be read, are added.
    return [
        f"{name}: {'; '.join([reason.rstrip('.'), *checks.read_failed_validations(cloudformation, change_set_id)])}"
    ]


def _logical_id(nested_name: str, name: str) -> str:
    """Return ``Data`` for ``payment-platform-dev-Data-1ABC``, the name that CloudFormation generates."""
    return nested_name.removeprefix(f"{name}-").rsplit("-", 1)[0] if nested_name.startswith(f"{name}-") else nested_name


def _says_no_changes(page: dict[str, Any]) -> bool:
    """Whether the reason says so; the list of changes does not, because it is empty if only outputs change."""
    return any(text in page.get("StatusReason", "") for text in _NO_CHANGES)
