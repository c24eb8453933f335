"""What is deployed: the stacks of a tree, their templates, and whether the tree can take a change set."""

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from botocore.exceptions import ClientError

from scripts.common import templates
from scripts.common.clients import CloudFormationClient, TagTypeDef
from scripts.common.errors import AWS_ERRORS, StillRunning, UserError, describe_error, is_refusal
from scripts.common.printable import join_lines
from scripts.common.suggestion import complete_aws_commands, suggest_command
from scripts.common.templates import STACK
from scripts.common.threads import map_in_threads
from scripts.common.waiting import poll_with_backoff

from . import statuses
from .deployment_options import stack_name
from .report.reporter import Reporter
from .request_tokens import make_token

# The tag of each of our stacks, which CloudFormation copies to their resources.
OWNER_TAG: TagTypeDef = {"Key": "ManagedBy", "Value": "payment-platform"}
LONGEST_DELETION_SECONDS = 15 * 60
# Longer than a deployment with the longest monitoring time, which is three hours.
LONGEST_WAIT_SECONDS = 4 * 60 * 60
_DELETED = "DELETE_COMPLETE"
# The statuses of resources that a stack no longer holds: deleted, or retained outside it.
RELEASED = (_DELETED, "DELETE_SKIPPED")
# Those of a nested stack that an update of its parent would update.
_HELD = ("CREATE_COMPLETE", "UPDATE_COMPLETE", "UPDATE_FAILED", "IMPORT_COMPLETE")


@dataclass(frozen=True)
class Stack:
    """A described stack. Its status is empty if it does not exist."""

    name: str
    status: str = ""
    id: str = ""
    parameters: dict[str, str] = field(default_factory=dict)
    outputs: dict[str, str] = field(default_factory=dict)
    # Whether it has our tag: no other stack is ever changed or deleted.
    owned: bool = False
    # The time of the last update or of the creation, in ISO 8601, and the reason of the status.
    changed_at: str = ""
    reason: str = ""
    termination_protection: bool = False
    tags: tuple[TagTypeDef, ...] = ()
    # DRIFTED, IN_SYNC, NOT_CHECKED or UNKNOWN, and the time of the last check in ISO 8601.
    drift: str = "NOT_CHECKED"
    drift_checked_at: str = ""
    # The time of the creation, in ISO 8601.
    created_at: str = ""

    @property
    def exists(self) -> bool:
        """Whether the stack was created; a stack in review is created by its first change set."""
        return self.status not in ("", "REVIEW_IN_PROGRESS")

    @property
    def state(self) -> str:
        """The id and the time of the last change: another text after any deployment, and empty without a stack."""
        return f"{self.id} {self.changed_at}" if self.exists else ""

    @property
    def keeps_failed(self) -> bool:
        """Whether the last operation failed without a rollback, so that it can be continued, or rolled back.

        https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/stack-failure-options.html
        """
        return self.status in statuses.PRESERVING

    @property
    def is_busy(self) -> bool:
        return self.status.endswith("_IN_PROGRESS") and self.status != "REVIEW_IN_PROGRESS"


@dataclass(frozen=True)
class StackResource:
    logical_id: str
    type: str
    # Empty as long as the resource does not exist.
    physical_id: str
    status: str


@dataclass(frozen=True)
class StackTree:
    """A stack, its nested stacks by logical id, and all its resources."""

    stack: Stack
    nested: dict[str, "StackTree"] = field(default_factory=dict)
    resources: tuple[StackResource, ...] = ()
    # The nested stacks that do not exist any more, although the stack still has them as resources, by logical id.
    lost: dict[str, Stack] = field(default_factory=dict)

    def walk(self, path: str = "") -> Iterator[tuple[str, Stack]]:
        """Yield each stack with its path from the root, whose own path is empty."""
        yield path, self.stack
        for logical_id, child in self.nested.items():
            yield from child.walk(f"{path}/{logical_id}" if path else logical_id)

    def walk_lost(self, path: str = "") -> Iterator[tuple[str, Stack]]:
        """Yield each lost stack with its path from the root."""
        for logical_id, stack in self.lost.items():
            yield f"{path}{logical_id}", stack
        for logical_id, child in self.nested.items():
            yield from child.walk_lost(f"{path}{logical_id}/")

    def list_states(self) -> list[tuple[str, str, str]]:
        """Return what any deployment, rollback or deletion of a stack of the tree changes."""
        return [(stack.id, stack.status, stack.state) for _, stack in self.walk()]

    def walk_resources(self, path: str = "") -> Iterator[tuple[str, StackResource]]:
        """Yield each resource of each stack with its path from the root, such as ``Data/Transactions``."""
        for resource in self.resources:
            yield f"{path}{resource.logical_id}", resource
        for logical_id, child in self.nested.items():
            yield from child.walk_resources(f"{path}{logical_id}/")


@dataclass(frozen=True)
class Snapshot:
    """What is deployed: the stacks and, if they exist, their templates."""

    tree: StackTree
    template_tree: templates.Tree | None = None
    # The paths of nested stacks that have another template than the one that their parent names: a stack refactor has
    # changed them, and not their parent.
    refactored: tuple[str, ...] = ()

    @property
    def source(self) -> tuple[templates.Tree, dict[str, str]] | None:
        """What a comparison evaluates: the templates, and the parameters of the root."""
        return (self.template_tree, self.tree.stack.parameters) if self.template_tree else None


def describe_stack(cloudformation: CloudFormationClient, name: str) -> Stack:
    """Return the stack with this name or ARN; its status is empty if it does not exist."""
    try:
        stack = cloudformation.describe_stacks(StackName=name)["Stacks"][0]
    except ClientError as error:
        if error.response["Error"]["Code"] == "ValidationError" and "does not exist" in str(error):
            return Stack(name)
        raise
    created_at = stack.get("CreationTime")
    changed_at = stack.get("LastUpdatedTime") or created_at
    drift = stack.get("DriftInformation", {})
    return Stack(
        name=stack["StackName"],
        status=stack["StackStatus"],
        id=stack["StackId"],
        parameters={p["ParameterKey"]: p["ParameterValue"] for p in stack.get("Parameters", [])},
        outputs={o["OutputKey"]: o["OutputValue"] for o in stack.get("Outputs", [])},
        owned=OWNER_TAG in stack.get("Tags", []),
        changed_at=changed_at.isoformat() if changed_at else "",
        reason=join_lines(stack.get("StackStatusReason", "")),
        termination_protection=stack.get("EnableTerminationProtection", False),
        tags=tuple(stack.get("Tags", [])),
        drift=drift.get("StackDriftStatus", "NOT_CHECKED"),
        drift_checked_at=drift["LastCheckTimestamp"].isoformat() if "LastCheckTimestamp" in drift else "",
        created_at=created_at.isoformat() if created_at else "",
    )


def describe_environment(cloudformation: CloudFormationClient, environment: str) -> Stack:
    """Return the platform's stack. Raises ``UserError`` if it is not deployed."""
    stack = describe_stack(cloudformation, stack_name(environment))
    if not stack.exists:
        raise UserError(f"{stack.name} is not deployed; deploy it with {suggest_command('deploy', environment)}")
    return stack


def describe_tree(cloudformation: CloudFormationClient, root: Stack) -> StackTree:
    """Return the stack with its resources and the nested stacks that are not deleted; empty if it does not exist."""
    if not root.exists or root.status == _DELETED:
        return StackTree(root)
    resources = tuple(
        StackResource(
            summary["LogicalResourceId"],
            summary["ResourceType"],
            summary.get("PhysicalResourceId", ""),
            summary["ResourceStatus"],
        )
        for page in cloudformation.get_paginator("list_stack_resources").paginate(StackName=root.id)
        for summary in page["StackResourceSummaries"]
    )
    nested = {
        resource.logical_id: resource.physical_id
        for resource in resources
        if resource.type == STACK and resource.physical_id.startswith("arn:")
    }

    def describe_nested(stack_id: str) -> StackTree:
        return describe_tree(cloudformation, describe_stack(cloudformation, stack_id))

    trees = dict(zip(nested, map_in_threads(describe_nested, nested.values()), strict=True))
    existing = {name: tree for name, tree in trees.items() if tree.stack.status not in ("", _DELETED)}
    lost = {
        resource.logical_id: replace(trees[resource.logical_id].stack, name=resource.physical_id.split("/")[1])
        for resource in resources
        if resource.logical_id in trees.keys() - existing and resource.status in _HELD
    }
    return StackTree(root, existing, resources, lost)


def describe_change_since(cloudformation: CloudFormationClient, shown: StackTree) -> str:
    """Return what became of the stacks since they were shown, as the rest of a sentence; empty if nothing did.

    A question takes a person's time. A stack refactor changes nested stacks, and leaves their parent as it is.
    """
    current = describe_tree(cloudformation, describe_stack(cloudformation, shown.stack.name))
    if current.list_states() == shown.list_states():
        return ""
    before, after = (tree.stack.status or "not deployed" for tree in (shown, current))
    return f"is {after}, and was {before} when it was shown" if after != before else "was deployed meanwhile"


def describe_lost(path: str, name: str, environment: str) -> str:
    """Return that a nested stack was deleted without its parent, and the next step.

    An update of the parent would update it, which ends with "is in DELETE_COMPLETE state and can not be updated", as
    others report. An update to a template without its logical id takes a deleted resource out of a stack.
    https://blog.kinto-technologies.com/posts/2026-02-12-ResolvingAnIssueWhereACloudFormationNestedStackBecameUnupdatableInDeleteCompleteState
    https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/using-cfn-nested-stacks.html
    https://repost.aws/knowledge-center/cfn-recreate-resource-deleted-outside
    """
    destroy, take_in = suggest_command("destroy", environment), suggest_command("deploy", "import", environment)
    return (
        f"{path}: its stack {name} was deleted without its parent, so that CloudFormation cannot update it; take "
        f"{path} and what uses its outputs out of the templates, deploy, and deploy again with them; or, with an "
        f"outage, run {destroy}, which retains the data, then {take_in}, which takes it in"
    )


def check_not_lost(tree: StackTree, after: templates.Tree, environment: str) -> None:
    """Raise ``UserError``, with the next step, for a lost nested stack that the templates still have."""
    for path, stack in tree.walk_lost():
        *parents, logical_id = path.split("/")
        parent: templates.Tree | None = after
        for name in parents:
            parent = parent.nested.get(name) if parent else None
        if parent is not None and logical_id in parent.resources():
            raise UserError(f"{describe_lost(path, stack.name, environment)}; nothing was changed")


def read_snapshot(cloudformation: CloudFormationClient, stack: Stack) -> Snapshot:
    """Return the tree of the stack with its templates, as they were submitted."""
    tree = describe_tree(cloudformation, stack)
    if not stack.exists:
        return Snapshot(tree)
    texts = dict(
        map_in_threads(lambda item: (item[0], read_original_template(cloudformation, item[1].id)), tree.walk())
    )
    template_tree = _parse_templates(tree, texts)
    return Snapshot(tree, template_tree, tuple(_find_refactored(template_tree, texts)))


def _parse_templates(tree: StackTree, texts: Mapping[str, Any]) -> templates.Tree:
    def parse_tree(path: str, subtree: StackTree) -> templates.Tree:
        nested = {name: parse_tree(f"{path}/{name}" if path else name, child) for name, child in subtree.nested.items()}
        return templates.Tree(templates.parse_template(texts[path]), nested)

    return parse_tree("", tree)


def _find_refactored(tree: templates.Tree, texts: Mapping[str, Any], path: str = "") -> Iterator[str]:
    """Yield the paths of the nested stacks whose template is not the one at the location in their parent.

    The location contains the digest of the content (package.py). A template in JSON is none of ours, but a refactor's.
    """
    for logical_id, nested in tree.nested.items():
        below = f"{path}{logical_id}"
        location = str(tree.resources()[logical_id].get("Properties", {}).get("TemplateURL", ""))
        text = texts[below]
        if not isinstance(text, str) or hashlib.sha256(text.encode()).hexdigest() not in location:
            yield below
        yield from _find_refactored(nested, texts, f"{below}/")


def read_original_template(cloudformation: CloudFormationClient, name: str) -> Any:
    """Return the template as it was submitted: a string, or a dictionary if it is JSON."""
    return cloudformation.get_template(StackName=name, TemplateStage="Original")["TemplateBody"]


def is_failed_creation(stack: Stack) -> bool:
    """Whether the creation of a stack of ours was rolled back, so that it is empty and cannot be updated."""
    return stack.status == "ROLLBACK_COMPLETE" and stack.owned


def delete_failed_creation(cloudformation: CloudFormationClient, stack: Stack) -> Stack:
    """Delete the stack, and return the one to create.

    Raises ``UserError`` if it cannot be deleted, and ``StillRunning`` if its deletion cannot be watched.
    """
    status, is_requested = stack.status, False
    try:
        cloudformation.delete_stack(StackName=stack.id, ClientRequestToken=make_token("delete"))
        is_requested = True
        for _ in poll_with_backoff(LONGEST_DELETION_SECONDS):
            status = describe_stack(cloudformation, stack.id).status
            if status in ("", "DELETE_COMPLETE"):
                return Stack(stack.name)
            if status == "DELETE_FAILED":
                break
    except AWS_ERRORS as error:
        if not is_requested and is_refusal(error):
            raise
        fate = "continues" if is_requested else "may have begun"
        raise StillRunning(
            f"{describe_error(error)}; the deletion of {stack.name}, left over from a failed creation, {fate}; deploy "
            "again afterwards"
        ) from error
    events = complete_aws_commands(f"aws cloudformation describe-stack-events --stack-name {stack.id}")
    if status != "DELETE_FAILED":
        minutes = LONGEST_DELETION_SECONDS // 60
        raise StillRunning(
            f"{stack.name}: the remains of its failed creation are {status} after {minutes} minutes; watch it: "
            f"{events}; deploy again afterwards"
        )
    raise UserError(
        f"{stack.name}: the remains of its failed creation cannot be deleted (status {status}); see {events}"
    )


def check_owned(stack: Stack, *, adopting_command: str = "") -> None:
    """Raise ``UserError`` for a stack without our tag, except one in review, which may not show its tags.

    ``adopting_command`` takes the stack over, for commands that do not have the option ``--adopt``.
    """
    if stack.exists and not stack.owned:
        advice = f"take it over first: {adopting_command}" if adopting_command else "add --adopt"
        raise UserError(
            f"{stack.name} exists but does not have the tag {OWNER_TAG['Key']}={OWNER_TAG['Value']}, so it is not "
            f"touched; if it is this platform, deployed by another tool, {advice}"
        )


def check_ready(stack: Stack, environment: str = "") -> None:
    """Raise ``UserError``, with the next step, for a stack that cannot take a change set.

    Without an ``environment``, the next step names the AWS CLI, because our commands work on environments.
    """
    if stack.status and not statuses.can_deploy(stack.status, environment):
        # The next deployment deletes the remains of a creation only if the stack is ours.
        is_foreign = stack.status == "ROLLBACK_COMPLETE" and not stack.owned
        environment = "" if is_foreign else environment
        raise UserError(statuses.describe_refusal(stack.name, stack.status, environment, is_foreign=is_foreign))


def find_later_operation(cloudformation: CloudFormationClient, stack: Stack, last_event: str) -> str:
    """Return what became of the stack since the operation with this last event, as a sentence; empty if nothing did.

    Events come newest first, and none of the stack itself follows the last one of an operation.
    https://docs.aws.amazon.com/AWSCloudFormation/latest/APIReference/API_DescribeStackEvents.html
    """
    if not stack.exists:
        return f"{stack.name} was deleted"
    if stack.is_busy:
        return f"another deployment of {stack.name} has begun ({stack.status})"
    events = cloudformation.describe_stack_events(StackName=stack.id)["StackEvents"]
    newest = next((event for event in events if event.get("PhysicalResourceId") == event["StackId"]), None)
    is_last = newest is not None and newest["EventId"] == last_event
    return "" if is_last else f"{stack.name} was deployed again"


def wait_until_idle(cloudformation: CloudFormationClient, name: str, report: Reporter) -> Stack:
    """Wait until no operation is in progress, and return the stack. Raises ``UserError`` after four hours."""
    status = ""
    for _ in poll_with_backoff(LONGEST_WAIT_SECONDS):
        stack = describe_stack(cloudformation, name)
        if not stack.is_busy:
            return stack
        if stack.status != status:
            report.announce_step("Waiting", f"until {stack.name} is no longer {stack.status}")
        status = stack.status
    raise UserError(f"{name} still is {status}; try again later")


def is_deployed(cloudformation: CloudFormationClient, stack: Stack, template: str, parameters: dict[str, str]) -> bool:
    """Whether the stack has this template and these parameters, which avoids an empty change set.

    That says nothing of nested stacks, which a stack refactor changes without their parent.
    """
    if not stack.exists or stack.parameters != parameters:
        return False
    return bool(read_original_template(cloudformation, stack.name) == template)
