"""What keeps a deployment from doing harm: alarms that roll it back, termination protection, stack policies."""

import json
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

from scripts.common.errors import AWS_ERRORS, describe_aws_error
from scripts.common.templates import STACK

from .plan.danger import HOLDS_DATA, Danger
from .stack import WORKERS, Stack, StackTree

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


def triggers(cloudwatch: Any, outputs: dict[str, str], going: set[str]) -> tuple[tuple[str, ...], list[str]]:
    """The alarms to watch, and what to say of those that cannot be; ``going`` are names that the deployment takes away.

    One that rings already would roll back whatever is deployed, the repair too; one that is missing, or that the
    deployment itself takes away, fails the whole operation.
    """
    arns = [outputs[name] for name in TRIGGERS if name in outputs][:MOST_TRIGGERS]
    names = {arn.rsplit(":alarm:", 1)[-1]: arn for arn in arns}
    if not names:
        return (), []
    found = cloudwatch.describe_alarms(AlarmNames=list(names))["MetricAlarms"]
    states = {alarm["AlarmName"]: alarm["StateValue"] for alarm in found}
    watched, notices = [], []
    for name, arn in names.items():
        if name not in states:
            notices.append(f"{name} is not a rollback trigger for this deployment: the alarm does not exist")
        elif states[name] == "ALARM":
            notices.append(f"{name} is not a rollback trigger for this deployment: it is already in ALARM")
        elif name in going:
            notices.append(
                f"{name} is not a rollback trigger for this deployment: the deployment deletes or replaces it"
            )
        else:
            watched.append(arn)
    return tuple(watched), notices


def terminate_never(cloudformation: Any, stack_name: str) -> None:
    cloudformation.update_termination_protection(StackName=stack_name, EnableTerminationProtection=True)


def without_policy(cloudformation: Any, tree: StackTree) -> list[Stack]:
    """Those of the tree that do not have our policy: a root's does not reach into its nested stacks."""
    with ThreadPoolExecutor(WORKERS) as pool:
        found = pool.map(lambda one: (one[1], _policy_of(cloudformation, one[1])), tree.walk())
    return [stack for stack, policy in found if policy != _policy(())]


def keep_data(cloudformation: Any, stacks: Sequence[Stack]) -> None:
    for stack in stacks:
        cloudformation.set_stack_policy(StackName=stack.id, StackPolicyBody=_policy(()))


@contextmanager
def let_go(
    cloudformation: Any, tree: StackTree, dangers: Sequence[Danger], say: Callable[[str], None]
) -> Iterator[None]:
    """For the length of a deployment, let the policies pass what was asked for by name, and nothing else.

    A change set cannot carry a policy of its own:
    https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/using-cfn-updating-stacks-changesets-execute.html
    ``say`` is told what could not be set back; the next deployment does that.
    """
    names: dict[str, list[str]] = {}
    for danger in dangers:
        parts = danger.path.split("/")
        # What goes with its whole stack is that stack's parent's to let go, too.
        for depth, name in enumerate(parts):
            names.setdefault("/".join(parts[:depth]), []).append(name)
    found = {path: _policy_of(cloudformation, stack) for path, stack in tree.walk() if path in names}
    stacks = {path: stack for path, stack in tree.walk() if found.get(path)}
    try:
        for path, stack in stacks.items():
            cloudformation.set_stack_policy(StackName=stack.id, StackPolicyBody=_policy(names[path]))
        yield
    finally:
        for path, stack in stacks.items():
            try:
                cloudformation.set_stack_policy(StackName=stack.id, StackPolicyBody=found[path])
            except AWS_ERRORS as error:
                if "does not exist" not in str(error):
                    said = (
                        f"the stack policy of {stack.name} still allows deleting or replacing {', '.join(names[path])}"
                    )
                    say(f"{said}: {describe_aws_error(error)}; the next deployment sets it back")


def _policy_of(cloudformation: Any, stack: Stack) -> str:
    return str(cloudformation.get_stack_policy(StackName=stack.id).get("StackPolicyBody", ""))


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
