"""Safeguards of a deployment: alarms that roll it back, termination protection, stack policies."""

import json
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

from scripts.common.clients import CloudFormationClient, CloudWatchClient
from scripts.common.errors import AWS_ERRORS, describe_error

from .plan.danger import Danger, list_stateful_types
from .session import Session
from .stack import WORKERS, Stack, StackTree

# https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/using-cfn-rollback-triggers.html
MOST_TRIGGERS = 5
# Outputs of the platform that hold the ARNs of alarms; those that a bad deployment sets off come first.
TRIGGERS = (
    "CloudwatchAlarmSfnFailuresArn",
    "CloudwatchAlarmProcessingErrorsArn",
    "CloudwatchAlarmValidationErrorsArn",
    "CloudwatchAlarmPaymentDurationArn",
    "CloudwatchAlarmProcessingThrottlesArn",
)


def find_rollback_triggers(
    cloudwatch: CloudWatchClient, outputs: dict[str, str], removed_names: set[str]
) -> tuple[tuple[str, ...], list[str]]:
    """Return the ARNs of the alarms to watch, and a notice for each alarm that cannot be watched.

    An alarm that is already in ALARM would roll back whatever is deployed, a fix too. One that does not exist, or that
    the deployment itself deletes or replaces (``removed_names``), fails the whole operation.
    """
    arns = [outputs[name] for name in TRIGGERS if name in outputs][:MOST_TRIGGERS]
    names = {arn.rsplit(":alarm:", 1)[-1]: arn for arn in arns}
    if not names:
        return (), []
    alarms = cloudwatch.describe_alarms(AlarmNames=list(names))["MetricAlarms"]
    states = {alarm["AlarmName"]: alarm["StateValue"] for alarm in alarms}
    watched, notices = [], []
    for name, arn in names.items():
        problem = ""
        if name not in states:
            problem = "the alarm does not exist"
        elif states[name] == "ALARM":
            problem = "it is already in ALARM"
        elif name in removed_names:
            problem = "the deployment deletes or replaces it"
        if problem:
            notices.append(f"{name} is not a rollback trigger for this deployment: {problem}")
        else:
            watched.append(arn)
    return tuple(watched), notices


def find_without_policy(cloudformation: CloudFormationClient, tree: StackTree) -> list[Stack]:
    """Return the stacks without our stack policy; a root's policy does not apply to its nested stacks."""
    policies = _read_policies(cloudformation, [stack for _, stack in tree.walk()])
    return [stack for stack, policy in policies if policy != _render_policy(())]


def find_with_policy(cloudformation: CloudFormationClient, stacks: Sequence[Stack]) -> list[Stack]:
    """Return the stacks with any stack policy."""
    return [stack for stack, policy in _read_policies(cloudformation, stacks) if policy]


def find_protected_paths(cloudformation: CloudFormationClient, tree: StackTree) -> set[str] | None:
    """Return the paths of the stacks with any stack policy, or None if whoever plans may not read the policies."""
    stacks = {stack.id: path for path, stack in tree.walk()}
    try:
        return {stacks[stack.id] for stack in find_with_policy(cloudformation, [stack for _, stack in tree.walk()])}
    except AWS_ERRORS:
        return None


def _read_policies(cloudformation: CloudFormationClient, stacks: Sequence[Stack]) -> list[tuple[Stack, str]]:
    with ThreadPoolExecutor(WORKERS) as pool:
        return list(zip(stacks, pool.map(lambda stack: _read_policy(cloudformation, stack), stacks), strict=True))


def set_stack_policies(cloudformation: CloudFormationClient, stacks: Sequence[Stack]) -> None:
    for stack in stacks:
        cloudformation.set_stack_policy(StackName=stack.id, StackPolicyBody=_render_policy(()))


@contextmanager
def lift_stack_policies(session: Session, tree: StackTree, losses: Sequence[Danger]) -> Iterator[None]:
    """Let the stack policies allow the confirmed losses, and nothing else, until the block ends.

    A policy that cannot be restored is reported; the next deployment restores it. A change set has no policy itself:
    https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/using-cfn-updating-stacks-changesets-execute.html
    """
    cloudformation = session.cloudformation
    names: dict[str, list[str]] = {}
    for danger in losses:
        parts = danger.path.split("/")
        # A resource that is lost with its whole stack needs the policies of the stacks above it, too.
        for depth, name in enumerate(parts):
            names.setdefault("/".join(parts[:depth]), []).append(name)
    policies = {path: _read_policy(cloudformation, stack) for path, stack in tree.walk() if path in names}
    stacks = {path: stack for path, stack in tree.walk() if policies.get(path)}
    try:
        for path, stack in stacks.items():
            cloudformation.set_stack_policy(StackName=stack.id, StackPolicyBody=_render_policy(names[path]))
        yield
    finally:
        for path, stack in stacks.items():
            try:
                cloudformation.set_stack_policy(StackName=stack.id, StackPolicyBody=policies[path])
            except AWS_ERRORS as error:
                if "does not exist" not in str(error):
                    allowed = f"still allows deleting or replacing {', '.join(names[path])}"
                    restored = f"{describe_error(error)}; the next deployment sets it back"
                    session.report.announce_step(
                        "Not protected:", f"the stack policy of {stack.name} {allowed}: {restored}"
                    )


def _read_policy(cloudformation: CloudFormationClient, stack: Stack) -> str:
    return str(cloudformation.get_stack_policy(StackName=stack.id).get("StackPolicyBody", ""))


def _render_policy(lost_names: Sequence[str]) -> str:
    """https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/protect-stack-resources.html"""
    allow = {"Effect": "Allow", "Action": "Update:*", "Principal": "*", "Resource": "*"}
    deny: dict[str, Any] = {
        "Effect": "Deny",
        "Action": ["Update:Replace", "Update:Delete"],
        "Principal": "*",
        "Condition": {"StringEquals": {"ResourceType": list(list_stateful_types())}},
    }
    if lost_names:
        deny["NotResource"] = [f"LogicalResourceId/{name}" for name in dict.fromkeys(lost_names)]
    else:
        deny["Resource"] = "*"
    return json.dumps({"Statement": [allow, deny]})
