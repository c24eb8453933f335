"""A change set for the whole tree of stacks, described to the last page.

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
from .stack import OWNER_TAG, Stack, describe

LONGEST_SECONDS = 15 * 60
CLEANUP_SECONDS = 60
NEW_ROLE_SECONDS = 30

_CREATING = ("CREATE_PENDING", "CREATE_IN_PROGRESS")
_NO_CHANGES = ("The submitted information didn't contain changes", "No updates are to be performed")


# Its reason for leaving resources out when values are asked for; they are in the answer without.
_WITHOUT_VALUES = "[WARN] --include-property-values"


class _RoleNotYet(UserError):
    """CloudFormation cannot assume the role."""


@dataclass(frozen=True)
class Options:
    """How the change set shall be executed, beside what it changes."""

    # The role that CloudFormation assumes; empty for the one that it assumed last, or the caller's own rights.
    role_arn: str = ""
    # Alarms that roll the deployment back, and for how many minutes after it they are watched.
    alarms: tuple[str, ...] = ()
    monitoring_minutes: int = 0

    def arguments(self) -> dict[str, Any]:
        given: dict[str, Any] = {"RoleARN": self.role_arn} if self.role_arn else {}
        # Always: without it, CloudFormation watches those of the last deployment again.
        # https://docs.aws.amazon.com/AWSCloudFormation/latest/APIReference/API_RollbackConfiguration.html
        given["RollbackConfiguration"] = {
            "RollbackTriggers": [{"Arn": arn, "Type": "AWS::CloudWatch::Alarm"} for arn in self.alarms],
            "MonitoringTimeInMinutes": self.monitoring_minutes if self.alarms else 0,
        }
        return given


@dataclass
class Proposal:
    """A change set that may be executed, once."""

    cloudformation: Any
    stack_id: str
    change_set_id: str
    changes: StackChanges
    # What CloudFormation remarked though it made the change set.
    notices: tuple[str, ...] = ()
    executed: bool = False
    # Left in place at the end of the block, for a later --apply.
    kept: bool = False

    def execute(self) -> None:
        """Ask for the execution. An answer that got lost is looked for before it is taken for a no.

        After a Ctrl-C too: ``executed`` tells whether it has begun all the same.

        If the operation rolls back, what it has created is deleted, even where its policy is ``Retain``; what an
        update finds there already is not touched by that.
        https://docs.aws.amazon.com/AWSCloudFormation/latest/APIReference/API_ExecuteChangeSet.html
        """
        try:
            self.cloudformation.execute_change_set(ChangeSetName=self.change_set_id, RetainExceptOnCreate=True)
            self.executed = True
        except (*AWS_ERRORS, KeyboardInterrupt) as error:
            try:
                status = self.cloudformation.describe_change_set(ChangeSetName=self.change_set_id)["ExecutionStatus"]
            except AWS_ERRORS as unread:
                raise_both(error, f"whether the deployment began could not be read: {describe_aws_error(unread)}")
            self.executed = status in ("EXECUTE_IN_PROGRESS", "EXECUTE_COMPLETE")
            if not self.executed or isinstance(error, KeyboardInterrupt):
                raise


@contextmanager
def proposed(
    cloudformation: Any,
    stack: Stack,
    parameters: dict[str, str],
    options: Options = Options(),
    **template: str | bool,
) -> Iterator[Proposal | None]:
    """Create a change set and wait for it; None when nothing would change.

    ``template`` is ``TemplateURL``, ``TemplateBody``, or ``UsePreviousTemplate`` for the one that is deployed.

    Raises ``UserError`` when CloudFormation refuses it.
    """
    name = f"deploy-{uuid.uuid4().hex[:12]}"
    proposal: Proposal | None = None
    try:
        created = _create(
            cloudformation,
            StackName=stack.name,
            ChangeSetName=name,
            ChangeSetType="UPDATE" if stack.exists else "CREATE",
            # A call that is sent again makes no second one.
            ClientToken=name,
            IncludeNestedStacks=True,
            Capabilities=["CAPABILITY_NAMED_IAM"],
            Parameters=[{"ParameterKey": key, "ParameterValue": value} for key, value in parameters.items()],
            # Given, they replace all that a stack has.
            Tags=[*(tag for tag in stack.tags if tag["Key"] != OWNER_TAG["Key"]), OWNER_TAG],
            **options.arguments(),
            **template,
        )
        pages = _wait(cloudformation, created["Id"])
        if pages[0]["Status"] == "FAILED" and not _says_no_changes(pages[0]):
            refusals = "; ".join(_refusals(cloudformation, created["Id"], pages, stack.name))
            raise UserError(f"CloudFormation refuses the change set: {refusals}")
        if pages[0]["Status"] != "FAILED":
            proposal = _proposal(cloudformation, pages, created["Id"], created["StackId"])
        yield proposal
    except BaseException as error:
        if not _stays(proposal):
            try:
                discard(cloudformation, stack, name)
            except UserError as leftover:
                # The first cause comes first.
                raise_both(error, str(leftover))
        raise
    if not _stays(proposal):
        discard(cloudformation, stack, name)


def _stays(proposal: Proposal | None) -> bool:
    return proposal is not None and (proposal.executed or proposal.kept)


def _create(cloudformation: Any, **arguments: Any) -> dict[str, str]:
    """Ask for the change set; again while IAM has not told CloudFormation yet of a role that has just been created.

    https://docs.aws.amazon.com/IAM/latest/UserGuide/troubleshoot.html#troubleshoot_general_eventual-consistency
    """
    for _ in poll_with_backoff(NEW_ROLE_SECONDS):
        with contextlib.suppress(_RoleNotYet):
            return _create_once(cloudformation, arguments)
    return _create_once(cloudformation, arguments)


def _create_once(cloudformation: Any, arguments: dict[str, Any]) -> dict[str, str]:
    try:
        created: dict[str, str] = cloudformation.create_change_set(**arguments)
    except ClientError as error:
        if "is invalid or cannot be assumed" in str(error):
            raise _RoleNotYet(describe_aws_error(error)) from error
        raise
    return created


def existing(cloudformation: Any, change_set_id: str) -> Proposal:
    """A change set that was made before; raises ``UserError`` when it can no longer be executed."""
    try:
        pages = _wait(cloudformation, change_set_id)
    except ClientError as error:
        if _is_missing(error):
            raise UserError("its change set no longer exists; create a new plan") from None
        raise
    first = pages[0]
    if (first["Status"], first["ExecutionStatus"]) != ("CREATE_COMPLETE", "AVAILABLE"):
        raise UserError(f"its change set is {first['Status']} and {first['ExecutionStatus']}; plan again")
    return _proposal(cloudformation, pages, change_set_id, first["StackId"])


def _proposal(cloudformation: Any, pages: list[dict[str, Any]], change_set_id: str, stack_id: str) -> Proposal:
    sets: list[str] = [change_set_id]
    changes = _read(cloudformation, pages, sets)
    return Proposal(cloudformation, stack_id, change_set_id, changes, checks.remarks(cloudformation, sets))


def discard(cloudformation: Any, before: Stack, name: str) -> None:
    """Delete the change set, and the stack in review that it made; what cannot be deleted is said, not raised.

    CloudFormation deletes no change set that is being created, and says so only; and it deletes asynchronously.
    """
    change_set = {"StackName": before.name, "ChangeSetName": name}
    try:
        status: str | None = ""
        for _ in poll_with_backoff(CLEANUP_SECONDS):
            status = _status(cloudformation, change_set)
            if status is None:
                break
            if status not in _CREATING and not status.startswith("DELETE_"):
                _delete(cloudformation, change_set)
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
        said = describe_aws_error(error) if isinstance(error, Exception) else "another interrupt"
        command = f"aws cloudformation delete-stack --stack-name {before.name}"
        raise UserError(
            f"the empty stack {before.name} (REVIEW_IN_PROGRESS) was not deleted: {said}; delete it with: {command}"
        ) from error


def _delete(cloudformation: Any, change_set: dict[str, str]) -> None:
    """Or not yet: a root that has failed may have nested sets that are still being made."""
    try:
        cloudformation.delete_change_set(**change_set)
    except ClientError as error:
        if error.response["Error"]["Code"] not in ("InvalidChangeSetStatus", "InvalidChangeSetStatusException"):
            raise


def _status(cloudformation: Any, change_set: dict[str, str]) -> str | None:
    """The change set's status; None if there is none."""
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
    """A stack that only waits for a first change set and has none: nobody else's plan is lost with it."""
    if describe(cloudformation, name).status != "REVIEW_IN_PROGRESS":
        return False
    return not cloudformation.list_change_sets(StackName=name)["Summaries"]


def _wait(cloudformation: Any, change_set_id: str) -> list[dict[str, Any]]:
    """All pages of the change set, once it has come to an end of its creation."""
    for _ in poll_with_backoff(LONGEST_SECONDS):
        pages = list(_pages(cloudformation, change_set_id, IncludePropertyValues=True))
        if pages[0]["Status"] not in _CREATING:
            if _WITHOUT_VALUES in pages[0].get("StatusReason", ""):
                pages += _left_out(pages, list(_pages(cloudformation, change_set_id)))
            return pages
    raise UserError(f"change set {change_set_id} is not ready after {LONGEST_SECONDS // 60} minutes")


def _left_out(pages: list[dict[str, Any]], without_values: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """What only the answer without values has."""
    there = {change["ResourceChange"]["LogicalResourceId"] for page in pages for change in page.get("Changes", [])}
    changes = [change for page in without_values for change in page.get("Changes", [])]
    return [{"Changes": [one for one in changes if one["ResourceChange"]["LogicalResourceId"] not in there]}]


def _pages(cloudformation: Any, change_set_id: str, **values: bool) -> Iterator[dict[str, Any]]:
    token: dict[str, str] = {}
    while True:
        page = cloudformation.describe_change_set(ChangeSetName=change_set_id, **values, **token)
        yield page
        if not page.get("NextToken"):
            return
        token = {"NextToken": page["NextToken"]}


def _read(cloudformation: Any, pages: list[dict[str, Any]], sets: list[str], name: str = "") -> StackChanges:
    """The changes of all pages and of all sets below; ``sets`` gets the ids of these."""
    changes = []
    for change in (change for page in pages for change in page.get("Changes", [])):
        resource = change["ResourceChange"]
        nested = None
        if resource.get("ChangeSetId"):
            sets.append(resource["ChangeSetId"])
            below = _wait(cloudformation, resource["ChangeSetId"])
            nested = _read(cloudformation, below, sets, resource["LogicalResourceId"])
        changes.append(
            Change(
                action=resource["Action"],
                logical_id=resource["LogicalResourceId"],
                resource_type=resource["ResourceType"],
                replacement=resource.get("Replacement", "False"),
                properties=_properties(resource.get("Details", [])),
                policy_action=resource.get("PolicyAction", ""),
                nested=nested,
            )
        )
    return StackChanges(name or pages[0]["StackName"], tuple(changes))


def _properties(details: list[dict[str, Any]]) -> tuple[PropertyChange, ...]:
    """Each property once: the API has a detail for each cause of its change, of which some carry no values."""
    found: dict[str, PropertyChange] = {}
    for target in (detail["Target"] for detail in details):
        # The path where there is one: /Properties/KeySchema/0/AttributeName.
        path = target.get("Path", "").removeprefix("/Properties/").strip("/")
        one = PropertyChange(
            name=path or target.get("Name") or target["Attribute"],
            before=target.get("BeforeValue"),
            after=target.get("AfterValue"),
            recreation=target.get("RequiresRecreation") or "Never",
        )
        known = found.get(one.name)
        if known is None or (known.before, known.after) == (None, None):
            found[one.name] = one
    return tuple(part for one in found.values() for part in _parts(one))


def _parts(one: PropertyChange) -> list[PropertyChange]:
    """A property that is a whole document as those of its parts that differ."""
    try:
        before, after = json.loads(one.before or ""), json.loads(one.after or "")
    except ValueError:
        return [one]
    if type(before) is not type(after) or not isinstance(before, dict | list):
        return [one]
    return [
        replace(
            one,
            name="/".join((one.name, *part.path)),
            before=None if part.before is None else as_text(part.before),
            after=None if part.after is None else as_text(part.after),
        )
        for part in find_differences(before, after)
    ] or [one]


def _refusals(cloudformation: Any, change_set_id: str, pages: list[dict[str, Any]], name: str) -> list[str]:
    """The reasons of the sets that failed by themselves, each with its validations; a root only says that one below
    it did.

    A failed root may list its changes or not; its reason names a nested set in either case. Each is waited for: the
    root fails as soon as one of them does, and none can be deleted while another is being made.
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
    found: list[str] = []
    for below, logical_id in nested.items():
        answer = _wait(cloudformation, below)
        if answer[0]["Status"] == "FAILED" and not _says_no_changes(answer[0]):
            name_below = logical_id or _logical_id(answer[0]["StackName"], pages[0]["StackName"])
            found += _refusals(cloudformation, below, answer, name_below)
    if found:
        return found
    # CloudFormation's own reason comes first: what was validated, or could not be read, only adds to it.
    return [f"{name}: {'; '.join([reason.rstrip('.'), *checks.failures(cloudformation, change_set_id)])}"]


def _logical_id(nested_name: str, name: str) -> str:
    """Of ``payment-platform-dev-Data-1ABC`` in ``payment-platform-dev``, as CloudFormation makes such names."""
    return nested_name.removeprefix(f"{name}-").rsplit("-", 1)[0] if nested_name.startswith(f"{name}-") else nested_name


def _says_no_changes(page: dict[str, Any]) -> bool:
    """Only the reason tells: a change of outputs alone has an empty list of changes, and is one."""
    return any(text in page.get("StatusReason", "") for text in _NO_CHANGES)
