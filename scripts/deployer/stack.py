"""What is deployed now: the stacks of a tree, their templates, and whether the tree can take a change set."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

from botocore.exceptions import ClientError

from scripts.common import templates
from scripts.common.errors import UserError
from scripts.common.templates import STACK
from scripts.common.waiting import poll_with_backoff

# On every stack of ours, and passed on to what it creates.
OWNER_TAG = {"Key": "ManagedBy", "Value": "payment-platform"}
LONGEST_DELETION_SECONDS = 15 * 60
# A deployment with a monitoring time of three hours, the longest that there is, and some.
LONGEST_WAIT_SECONDS = 4 * 60 * 60
WORKERS = 8
_DELETED = "DELETE_COMPLETE"


@dataclass(frozen=True)
class Stack:
    """A stack as it was described; one that does not exist has no status."""

    name: str
    status: str = ""
    id: str = ""
    parameters: dict[str, str] = field(default_factory=dict)
    outputs: dict[str, str] = field(default_factory=dict)
    # Whether it carries our tag: nothing else is ever changed or deleted.
    owned: bool = False
    # When it was last changed, or made, in ISO 8601; and why it is as it is.
    changed_at: str = ""
    reason: str = ""
    termination_protection: bool = False
    tags: tuple[dict[str, str], ...] = ()

    @property
    def exists(self) -> bool:
        """A stack in review has no resources yet: its first change set still creates it."""
        return self.status not in ("", "REVIEW_IN_PROGRESS")

    @property
    def busy(self) -> bool:
        return self.status.endswith("_IN_PROGRESS") and self.status != "REVIEW_IN_PROGRESS"


@dataclass(frozen=True)
class StackTree:
    """A stack and those nested in it, by logical id."""

    stack: Stack
    nested: dict[str, "StackTree"] = field(default_factory=dict)

    def walk(self, path: str = "") -> Iterator[tuple[str, Stack]]:
        """Every stack with its path from the root, which is the empty one."""
        yield path, self.stack
        for logical_id, child in self.nested.items():
            yield from child.walk(f"{path}/{logical_id}" if path else logical_id)


def describe(cloudformation: Any, name: str) -> Stack:
    """The stack of that name or ARN as it is."""
    try:
        stack = cloudformation.describe_stacks(StackName=name)["Stacks"][0]
    except ClientError as error:
        if error.response["Error"]["Code"] == "ValidationError" and "does not exist" in str(error):
            return Stack(name)
        raise
    changed_at = stack.get("LastUpdatedTime") or stack.get("CreationTime")
    return Stack(
        name=stack["StackName"],
        status=stack["StackStatus"],
        id=stack["StackId"],
        parameters={p["ParameterKey"]: p["ParameterValue"] for p in stack.get("Parameters", [])},
        outputs={o["OutputKey"]: o["OutputValue"] for o in stack.get("Outputs", [])},
        owned=OWNER_TAG in stack.get("Tags", []),
        changed_at=changed_at.isoformat() if changed_at else "",
        reason=stack.get("StackStatusReason", ""),
        termination_protection=stack.get("EnableTerminationProtection", False),
        tags=tuple(stack.get("Tags", [])),
    )


def describe_tree(cloudformation: Any, root: Stack) -> StackTree:
    """The stack and all that is nested in it. A nested stack that has been deleted is not."""
    nested = {}
    for page in cloudformation.get_paginator("list_stack_resources").paginate(StackName=root.id):
        for resource in page["StackResourceSummaries"]:
            if resource["ResourceType"] == STACK and resource.get("PhysicalResourceId", "").startswith("arn:"):
                nested[resource["LogicalResourceId"]] = resource["PhysicalResourceId"]
    with ThreadPoolExecutor(WORKERS) as pool:
        stacks = pool.map(lambda one: describe(cloudformation, one), nested.values())
    there = {name: one for name, one in zip(nested, stacks, strict=True) if one.status not in ("", _DELETED)}
    return StackTree(root, {name: describe_tree(cloudformation, one) for name, one in there.items()})


def deployed_templates(cloudformation: Any, tree: StackTree) -> templates.Tree:
    """The templates as they are deployed."""
    with ThreadPoolExecutor(WORKERS) as pool:
        texts = dict(pool.map(lambda one: (one[0], original(cloudformation, one[1].id)), tree.walk()))

    def read(path: str, one: StackTree) -> templates.Tree:
        below = {name: read(f"{path}/{name}" if path else name, child) for name, child in one.nested.items()}
        return templates.Tree(templates.parse_template(texts[path]), below)

    return read("", tree)


def original(cloudformation: Any, name: str) -> Any:
    """The template as it was given: text, or parsed where it is JSON."""
    return cloudformation.get_template(StackName=name, TemplateStage="Original")["TemplateBody"]


def is_failed_creation(stack: Stack) -> bool:
    """A stack of ours whose creation failed: it has never been anything, and only stands in the way."""
    return stack.status == "ROLLBACK_COMPLETE" and stack.owned


def delete_failed_creation(cloudformation: Any, stack: Stack) -> Stack:
    """Delete it, by its id, and wait; it can be created anew then. Raises ``UserError`` if it does not go."""
    cloudformation.delete_stack(StackName=stack.id)
    status = stack.status
    for _ in poll_with_backoff(LONGEST_DELETION_SECONDS):
        status = describe(cloudformation, stack.id).status
        if status in ("", "DELETE_COMPLETE"):
            return Stack(stack.name)
        if status == "DELETE_FAILED":
            break
    raise UserError(
        f"{stack.name}: the remains of its failed creation cannot be deleted (status {status}); see "
        f"aws cloudformation describe-stack-events --stack-name {stack.id}"
    )


def check_owned(stack: Stack) -> None:
    """Raises ``UserError`` for a stack of that name that somebody else made.

    One in review holds nothing yet, and whether it shows its tags is not documented.
    """
    if stack.exists and not stack.owned:
        raise UserError(
            f"{stack.name} exists but does not have the tag {OWNER_TAG['Key']}={OWNER_TAG['Value']}, so it is not "
            "touched; if it is this platform, deployed by another tool, add --adopt"
        )


def check_ready(stack: Stack, environment: str = "") -> None:
    """Raises ``UserError`` for a stack that cannot take a change set, with what to do about it.

    A stack that belongs to no environment is AWS's own command's to mend.
    """
    if stack.status == "ROLLBACK_COMPLETE" and stack.owned and environment:
        raise UserError(
            f"{stack.name} is ROLLBACK_COMPLETE: its creation failed; the next deployment deletes what is left of it, "
            f"and until then there is nothing to compare a plan with"
        )
    if not environment and (stack.busy or stack.status.endswith("_FAILED")):
        raise UserError(
            f"{stack.name} is {stack.status} and cannot be updated; "
            f"see aws cloudformation describe-stack-events --stack-name {stack.name}"
        )
    if stack.status == "ROLLBACK_COMPLETE":
        raise UserError(
            f"{stack.name} is ROLLBACK_COMPLETE: its creation failed; delete it and deploy again: "
            f"aws cloudformation delete-stack --stack-name {stack.name}"
        )
    if stack.status == "UPDATE_ROLLBACK_FAILED":
        raise UserError(
            f"{stack.name} is UPDATE_ROLLBACK_FAILED: it is stuck between two versions; fix what its events report, "
            f"then: scripts/deploy.sh {environment} --continue-rollback"
        )
    if stack.busy:
        raise UserError(
            f"{stack.name} is {stack.status}: another deployment is running; "
            f"wait for it with --wait, or watch it: scripts/deploy.sh {environment} --follow"
        )
    if stack.status in ("CREATE_FAILED", "ROLLBACK_FAILED"):
        raise UserError(
            f"{stack.name} is {stack.status}: its creation failed, and so did the rollback; "
            f"delete the stack and what it retains: scripts/destroy.sh {environment} --purge"
        )
    if stack.status.endswith("_FAILED"):
        raise UserError(
            f"{stack.name} is {stack.status} and takes no change; "
            f"delete what is left of it: scripts/destroy.sh {environment}"
        )


def wait_until_idle(cloudformation: Any, name: str, say: Callable[[str], None]) -> Stack:
    """The stack, once no deployment of somebody else's runs; raises ``UserError`` after four hours."""
    status = ""
    for _ in poll_with_backoff(LONGEST_WAIT_SECONDS):
        stack = describe(cloudformation, name)
        if not stack.busy:
            return stack
        if stack.status != status:
            say(f"until {stack.name} is no longer {stack.status}")
        status = stack.status
    raise UserError(f"{name} still is {status}; try again later")


def is_deployed(cloudformation: Any, stack: Stack, template: str, parameters: dict[str, str]) -> bool:
    """Whether the stack has this very template and these parameters.

    Nested templates and code are named by their content, so the parent's text stands for the whole tree. Asking
    first avoids a change set: empty ones of nested stacks stay for ever and count against a limit.
    """
    if not stack.exists or stack.parameters != parameters:
        return False
    return bool(original(cloudformation, stack.name) == template)
