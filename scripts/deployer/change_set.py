"""Step 4: what would change. A change set for the whole tree of stacks, described to the last page.

``proposed`` gives one for the length of a ``with`` block; whatever ends the block without executing it, nothing of it
is left behind.
"""

import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from botocore.exceptions import ClientError

from .errors import AWS_ERRORS, DeployError, explained
from .stack import OWNER_TAG, Stack, describe

POLL_SECONDS = 1.0
LONGEST_SECONDS = 15 * 60
CLEANUP_SECONDS = 60

_CREATING = ("CREATE_PENDING", "CREATE_IN_PROGRESS")
_NO_CHANGES = ("The submitted information didn't contain changes", "No updates are to be performed")


# What CloudFormation shows in the place of a value that another change decides.
KNOWN_AFTER_APPLY = "{{changeSet:KNOWN_AFTER_APPLY}}"
# Its reason for leaving resources out when values are asked for; they are in the answer without.
_WITHOUT_VALUES = "[WARN] --include-property-values"


@dataclass(frozen=True)
class PropertyChange:
    """One property of a resource, or an attribute such as Tags; None is a value that there is not, or is not told."""

    name: str
    before: str | None = None
    after: str | None = None
    # Never, Conditionally or Always.
    recreation: str = "Never"


@dataclass(frozen=True)
class Change:
    """One resource, in the API's words.

    ``action`` is Add, Modify, Remove, Import or Dynamic; ``replacement`` is True, False or Conditional;
    ``policy_action`` says whether a resource that goes is deleted or kept.
    """

    action: str
    logical_id: str
    resource_type: str
    replacement: str
    properties: tuple[PropertyChange, ...]
    policy_action: str = ""
    nested: "ChangeSet | None" = None


@dataclass(frozen=True)
class ChangeSet:
    """The changes of one stack, and of the nested stacks among them."""

    stack_name: str
    changes: tuple[Change, ...]


class Proposal:
    """A change set that may be executed, once."""

    def __init__(self, cloudformation: Any, stack_id: str, change_set_id: str, changes: ChangeSet) -> None:
        self._cloudformation, self._id = cloudformation, change_set_id
        self.stack_id, self.changes = stack_id, changes
        self.executed = False

    def execute(self) -> None:
        """Ask for the execution. An answer that got lost is looked for before it is taken for a no.

        After a Ctrl-C too: ``executed`` tells whether it has begun all the same.
        """
        try:
            self._cloudformation.execute_change_set(ChangeSetName=self._id)
            self.executed = True
        except (*AWS_ERRORS, KeyboardInterrupt) as error:
            status = self._cloudformation.describe_change_set(ChangeSetName=self._id)["ExecutionStatus"]
            self.executed = status in ("EXECUTE_IN_PROGRESS", "EXECUTE_COMPLETE")
            if not self.executed or isinstance(error, KeyboardInterrupt):
                raise


@contextmanager
def proposed(
    cloudformation: Any, stack: Stack, parameters: dict[str, str], **template: str
) -> Iterator[Proposal | None]:
    """Create a change set (``TemplateURL`` or ``TemplateBody``) and wait for it; None when nothing would change.

    Raises ``DeployError`` when CloudFormation refuses it.
    """
    name = f"deploy-{uuid.uuid4().hex[:12]}"
    proposal: Proposal | None = None
    try:
        created = cloudformation.create_change_set(
            StackName=stack.name,
            ChangeSetName=name,
            ChangeSetType="UPDATE" if stack.exists else "CREATE",
            # A call that is sent again makes no second one.
            ClientToken=name,
            IncludeNestedStacks=True,
            Capabilities=["CAPABILITY_NAMED_IAM"],
            Parameters=[{"ParameterKey": key, "ParameterValue": value} for key, value in parameters.items()],
            Tags=[OWNER_TAG],
            **template,
        )
        pages = _wait(cloudformation, created["Id"])
        if pages[0]["Status"] == "FAILED" and not _says_no_changes(pages[0]):
            reason = _deepest(cloudformation, pages)
            raise DeployError(f"{stack.name}: CloudFormation refuses the change set: {reason}")
        if pages[0]["Status"] != "FAILED":
            proposal = Proposal(cloudformation, created["StackId"], created["Id"], _read(cloudformation, pages))
        yield proposal
    finally:
        if proposal is None or not proposal.executed:
            _clean_up(cloudformation, stack, name)


def _clean_up(cloudformation: Any, before: Stack, name: str) -> None:
    """Delete the change set, and the stack in review that it made; what cannot be deleted is said, not raised.

    CloudFormation deletes no change set that is being created, and says so only; and it deletes asynchronously.
    """
    change_set = {"StackName": before.name, "ChangeSetName": name}
    deadline = time.monotonic() + CLEANUP_SECONDS
    try:
        while (status := _status(cloudformation, change_set)) is not None:
            if status not in _CREATING and not status.startswith("DELETE_"):
                cloudformation.delete_change_set(**change_set)
            if time.monotonic() > deadline:
                raise DeployError(f"change set {name} of {before.name} could not be deleted; it is {status}")
            time.sleep(POLL_SECONDS)
        if before.status == "" and _is_empty_review(cloudformation, before.name):
            cloudformation.delete_stack(StackName=before.name)
    except AWS_ERRORS as error:
        raise DeployError(f"change set {name} of {before.name} could not be deleted: {explained(error)}") from error


def _status(cloudformation: Any, change_set: dict[str, str]) -> str | None:
    """The change set's status; None if there is none."""
    try:
        return str(cloudformation.describe_change_set(**change_set)["Status"])
    except ClientError as error:
        missing = error.response["Error"]["Code"] in ("ChangeSetNotFound", "ChangeSetNotFoundException")
        if missing or "does not exist" in str(error):
            return None
        raise


def _is_empty_review(cloudformation: Any, name: str) -> bool:
    """A stack that only waits for a first change set and has none: nobody else's plan is lost with it."""
    if describe(cloudformation, name).status != "REVIEW_IN_PROGRESS":
        return False
    return not cloudformation.list_change_sets(StackName=name)["Summaries"]


def _wait(cloudformation: Any, change_set_id: str) -> list[dict[str, Any]]:
    """All pages of the change set, once it has come to an end of its creation."""
    deadline = time.monotonic() + LONGEST_SECONDS
    while True:
        pages = list(_pages(cloudformation, change_set_id, IncludePropertyValues=True))
        if pages[0]["Status"] not in _CREATING:
            if _WITHOUT_VALUES in pages[0].get("StatusReason", ""):
                pages += _left_out(pages, list(_pages(cloudformation, change_set_id)))
            return pages
        if time.monotonic() > deadline:
            raise DeployError(f"change set {change_set_id} is not ready after {LONGEST_SECONDS // 60} minutes")
        time.sleep(POLL_SECONDS)


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


def _read(cloudformation: Any, pages: list[dict[str, Any]]) -> ChangeSet:
    changes = []
    for change in (change for page in pages for change in page.get("Changes", [])):
        resource = change["ResourceChange"]
        nested = None
        if resource.get("ChangeSetId"):
            nested = _read(cloudformation, _wait(cloudformation, resource["ChangeSetId"]))
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
    return ChangeSet(pages[0]["StackName"], tuple(changes))


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
    return tuple(found.values())


def _deepest(cloudformation: Any, pages: list[dict[str, Any]]) -> str:
    """The reason of the nested change set that failed; the root only says that one did.

    A failed root may list its changes or not; its reason names the nested set in either case.
    """
    reason = str(pages[0].get("StatusReason", "no reason given"))
    nested = {
        resource["ChangeSetId"]: resource["LogicalResourceId"]
        for page in pages
        for resource in (change["ResourceChange"] for change in page.get("Changes", []))
        if resource.get("ChangeSetId")
    }
    named = {word.strip(".,") for word in reason.split() if ":changeSet/" in word}
    for change_set_id in [*nested, *(named - set(nested))]:
        found = _wait(cloudformation, change_set_id)
        if found[0]["Status"] == "FAILED" and not _says_no_changes(found[0]):
            return f"{nested.get(change_set_id, found[0]['StackName'])}: {_deepest(cloudformation, found)}"
    return reason


def _says_no_changes(page: dict[str, Any]) -> bool:
    """Only the reason tells: a change of outputs alone has an empty list of changes, and is one."""
    return any(text in page.get("StatusReason", "") for text in _NO_CHANGES)
