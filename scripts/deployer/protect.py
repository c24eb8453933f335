"""What keeps a deployment from doing harm: alarms that roll it back, termination protection, stack policies."""

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from botocore.exceptions import ClientError

from .plan.danger import HOLDS_DATA, Danger
from .plan.model import STACK, StackChanges
from .stack import Stack, StackTree

# https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/using-cfn-rollback-triggers.html
MOST_TRIGGERS = 5
# Outputs of the platform that hold the ARNs of alarms, those that a bad deployment sets off first.
TRIGGERS = (
    "CloudwatchAlarmSfnFailuresArn",
    "CloudwatchAlarmProcessingErrorsArn",
    "CloudwatchAlarmValidationErrorsArn",
    "CloudwatchAlarmPaymentDurationArn",
    "CloudwatchAlarmProcessingThrottlesArn",
)


def triggers(cloudwatch: Any, outputs: dict[str, str], compared: StackChanges) -> tuple[tuple[str, ...], list[str]]:
    """The alarms to watch, and what to say of those that cannot be.

    One that rings already would roll back whatever is deployed, the repair too; one that is missing, or that the
    deployment itself takes away, fails the whole operation.
    """
    arns = [outputs[name] for name in TRIGGERS if name in outputs][:MOST_TRIGGERS]
    names = {arn.rsplit(":alarm:", 1)[-1]: arn for arn in arns}
    if not names:
        return (), []
    found = cloudwatch.describe_alarms(AlarmNames=list(names))["MetricAlarms"]
    states = {alarm["AlarmName"]: alarm["StateValue"] for alarm in found}
    changing = set(_made_anew(compared))
    watched, notices = [], []
    for name, arn in names.items():
        if name not in states:
            notices.append(f"{name} does not roll this deployment back: there is no such alarm")
        elif states[name] == "ALARM":
            notices.append(f"{name} does not roll this deployment back: it rings already")
        elif name not in changing:
            watched.append(arn)
    return tuple(watched), notices


def _made_anew(stack: StackChanges) -> Iterator[str]:
    """The names of alarms that go, or are replaced."""
    for change in stack.changes:
        if change.nested:
            yield from _made_anew(change.nested)
        elif change.action == "Remove" or change.replacement != "False":
            yield from (one.before for one in change.properties if one.name == "AlarmName" and one.before)


def terminate_never(cloudformation: Any, stack_name: str) -> None:
    cloudformation.update_termination_protection(StackName=stack_name, EnableTerminationProtection=True)


def keeps_data(cloudformation: Any, root: Stack) -> bool:
    """Whether the root has our policy; its nested stacks got theirs with it."""
    policy: str = cloudformation.get_stack_policy(StackName=root.id).get("StackPolicyBody", "")
    return policy == _policy(())


def keep_data(cloudformation: Any, tree: StackTree) -> None:
    """A policy on every stack of the tree: a root's does not reach into its nested stacks."""
    # The root last: its policy says that all have theirs.
    for _, stack in reversed(list(tree.walk())):
        cloudformation.set_stack_policy(StackName=stack.id, StackPolicyBody=_policy(()))


@contextmanager
def let_go(cloudformation: Any, tree: StackTree, dangers: Sequence[Danger]) -> Iterator[None]:
    """For the length of a deployment, let the policies pass what was asked for by name, and nothing else.

    A change set cannot carry a policy of its own:
    https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/using-cfn-updating-stacks-changesets-execute.html
    """
    names: dict[str, list[str]] = {}
    for danger in dangers:
        parts = danger.path.split("/")
        # What goes with its whole stack is that stack's parent's to let go, too.
        for depth, name in enumerate(parts):
            names.setdefault("/".join(parts[:depth]), []).append(name)
    touched = [(path, stack) for path, stack in tree.walk() if path in names and _has_policy(cloudformation, stack.id)]
    try:
        for path, stack in touched:
            cloudformation.set_stack_policy(StackName=stack.id, StackPolicyBody=_policy(names[path]))
        yield
    finally:
        for _, stack in touched:
            _restore(cloudformation, stack.id)


def _has_policy(cloudformation: Any, stack_id: str) -> bool:
    return bool(cloudformation.get_stack_policy(StackName=stack_id).get("StackPolicyBody"))


def _restore(cloudformation: Any, stack_id: str) -> None:
    try:
        cloudformation.set_stack_policy(StackName=stack_id, StackPolicyBody=_policy(()))
    except ClientError as error:
        if "does not exist" not in str(error) and "DELETE" not in str(error):
            raise


def _policy(let_go: Sequence[str]) -> str:
    """https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/protect-stack-resources.html"""
    everything = {"Effect": "Allow", "Action": "Update:*", "Principal": "*", "Resource": "*"}
    data: dict[str, Any] = {
        "Effect": "Deny",
        "Action": ["Update:Replace", "Update:Delete"],
        "Principal": "*",
        "Condition": {"StringEquals": {"ResourceType": [*HOLDS_DATA, STACK]}},
    }
    if let_go:
        data["NotResource"] = [f"LogicalResourceId/{name}" for name in dict.fromkeys(let_go)]
    else:
        data["Resource"] = "*"
    return json.dumps({"Statement": [everything, data]})
