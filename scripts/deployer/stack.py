"""What is deployed now: a stack's status, parameters and outputs, and whether it can take a change set."""

import time
from dataclasses import dataclass, field
from typing import Any

from botocore.exceptions import ClientError

from .errors import DeployError

# On every stack of ours, and passed on to what it creates.
OWNER_TAG = {"Key": "ManagedBy", "Value": "payment-platform"}
POLL_SECONDS = 2.0
LONGEST_DELETION_SECONDS = 15 * 60


@dataclass(frozen=True)
class Stack:
    """A stack as it was described; one that does not exist has no status."""

    name: str
    status: str = ""
    id: str = ""
    parameters: dict[str, str] = field(default_factory=dict)
    outputs: dict[str, str] = field(default_factory=dict)
    # Whether it carries our tag: nothing else is ever deleted.
    owned: bool = False

    @property
    def exists(self) -> bool:
        """A stack in review has no resources yet: its first change set still creates it."""
        return self.status not in ("", "REVIEW_IN_PROGRESS")


def describe(cloudformation: Any, name: str) -> Stack:
    """The stack of that name or ARN as it is."""
    try:
        stack = cloudformation.describe_stacks(StackName=name)["Stacks"][0]
    except ClientError as error:
        if error.response["Error"]["Code"] == "ValidationError" and "does not exist" in str(error):
            return Stack(name)
        raise
    return Stack(
        name=stack["StackName"],
        status=stack["StackStatus"],
        id=stack["StackId"],
        parameters={p["ParameterKey"]: p["ParameterValue"] for p in stack.get("Parameters", [])},
        outputs={o["OutputKey"]: o["OutputValue"] for o in stack.get("Outputs", [])},
        owned=OWNER_TAG in stack.get("Tags", []),
    )


def is_failed_creation(stack: Stack) -> bool:
    """A stack of ours whose creation failed: it has never been anything, and only stands in the way."""
    return stack.status == "ROLLBACK_COMPLETE" and stack.owned


def delete_failed_creation(cloudformation: Any, stack: Stack) -> Stack:
    """Delete it, by its id, and wait; it can be created anew then. Raises ``DeployError`` if it does not go."""
    cloudformation.delete_stack(StackName=stack.id)
    deadline = time.monotonic() + LONGEST_DELETION_SECONDS
    while (status := describe(cloudformation, stack.id).status) not in ("", "DELETE_COMPLETE"):
        if status == "DELETE_FAILED" or time.monotonic() > deadline:
            raise DeployError(
                f"{stack.name}: what its failed creation left cannot be deleted, it is {status}; see "
                f"aws cloudformation describe-stack-events --stack-name {stack.id}"
            )
        time.sleep(POLL_SECONDS)
    return Stack(stack.name)


def check_ready(stack: Stack) -> None:
    """Raises ``DeployError`` for a stack that cannot take a change set, with what to do about it."""
    if stack.status == "ROLLBACK_COMPLETE":
        raise DeployError(
            f"{stack.name} is ROLLBACK_COMPLETE: its creation failed; delete it and deploy again: "
            f"aws cloudformation delete-stack --stack-name {stack.name}"
        )
    if stack.status.endswith("_IN_PROGRESS") and stack.status != "REVIEW_IN_PROGRESS":
        raise DeployError(f"{stack.name} is {stack.status}: another deployment is running; wait until it has ended")
    if stack.status.endswith("_FAILED"):
        raise DeployError(
            f"{stack.name} is {stack.status}; look at its events first: "
            f"aws cloudformation describe-stack-events --stack-name {stack.name}"
        )


def is_deployed(cloudformation: Any, stack: Stack, template: str, parameters: dict[str, str]) -> bool:
    """Whether the stack has this very template and these parameters.

    Nested templates and code are named by their content, so the parent's text stands for the whole tree. Asking
    first avoids a change set: empty ones of nested stacks stay for ever and count against a limit.
    """
    if not stack.exists or stack.parameters != parameters:
        return False
    body = cloudformation.get_template(StackName=stack.name, TemplateStage="Original")["TemplateBody"]
    return bool(body == template)
