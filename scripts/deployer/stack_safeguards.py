"""Safeguards of a deployment: alarms that roll it back, termination protection, stack policies."""

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from scripts.common.clients import CloudFormationClient, CloudWatchClient
from scripts.common.errors import AWS_ERRORS, describe_error, raise_both
from scripts.common.threads import map_in_threads
from stacks.settings import ALL_AT_ONCE

from .change_set import NOT_EXECUTED, Overtaken
from .plan.danger import Danger, list_stateful_types
from .plan.traffic import Shift
from .session import Session
from .stack import Stack, StackTree, describe_stack

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


def describe_shift_alarms(cloudwatch: CloudWatchClient, shifts: Sequence[Shift]) -> list[str]:
    """Return a notice for each alarm with which CodeDeploy stops the shifts, or may stop them.

    https://github.com/aws/serverless-application-model/issues/716
    """
    names = list(dict.fromkeys(name for shift in shifts for name in shift.alarms))
    if not names:
        return []
    alarms = cloudwatch.describe_alarms(AlarmNames=names)["MetricAlarms"]
    states = {alarm["AlarmName"]: alarm["StateValue"] for alarm in alarms}
    waiting = "CodeDeploy would stop, and the deployment would be rolled back; wait until it is OK"
    missing = "AWS does not document whether CodeDeploy stops; deploy what creates it first"
    problems = {name: f"is in ALARM: {waiting}" for name in names if states.get(name) == "ALARM"}
    problems |= {name: f"does not exist: {missing}" for name in names if name not in states}
    return [f'{name} {problem}, or set traffic_shift = "{ALL_AT_ONCE}"' for name, problem in problems.items()]


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
    policies = map_in_threads(lambda stack: _read_policy(cloudformation, stack), stacks)
    return list(zip(stacks, policies, strict=True))


def set_stack_policies(cloudformation: CloudFormationClient, stacks: Sequence[Stack]) -> None:
    for stack in stacks:
        cloudformation.set_stack_policy(StackName=stack.id, StackPolicyBody=_render_policy(()))


@contextmanager
def lift_stack_policies(session: Session, tree: StackTree, losses: Sequence[Danger]) -> Iterator[None]:
    """Let the stack policies allow the confirmed losses, and nothing else, until the block ends.

    A change set has no policy itself:
    https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/using-cfn-updating-stacks-changesets-execute.html
    A policy that the settings do not ask for and that is not ours is not lifted: nothing would restore it if this run
    ends too early. A policy that cannot be restored is reported, with the error that ended the block if there is one.
    Raises ``Overtaken`` if another operation has begun since the plan was made, whose policies these are now.
    """
    policies = list(_find_policies(session, tree, losses))
    if policies:
        _check_idle(session, tree.stack)
    lifted: list[_Lifted] = []
    try:
        for policy in policies:
            lifted.append(policy)
            session.cloudformation.set_stack_policy(
                StackName=policy.stack.id, StackPolicyBody=_render_policy(policy.names)
            )
        yield
    except BaseException as error:
        unrestored, _ = _restore_policies(session, lifted)
        if unrestored:
            raise_both(error, "; ".join(unrestored))
        raise
    unrestored, interrupt = _restore_policies(session, lifted)
    for description in unrestored:
        session.report.announce_step("Not protected:", description)
    if interrupt:
        raise interrupt


def _find_policies(session: Session, tree: StackTree, losses: Sequence[Danger]) -> "Iterator[_Lifted]":
    """Yield the policies that have to be lifted for the losses."""
    names: dict[str, list[str]] = {}
    for danger in losses:
        parts = danger.path.split("/")
        # A resource that is lost with its whole stack needs the policies of the stacks above it, too.
        for depth, name in enumerate(parts):
            names.setdefault("/".join(parts[:depth]), []).append(name)
    for path, stack in tree.walk():
        policy = _read_policy(session.cloudformation, stack) if path in names else ""
        if policy and (session.options.rollout.stack_policy or _is_own(policy)):
            yield _Lifted(stack, _close_policy(policy) if _is_own(policy) else policy, tuple(names[path]))


def _check_idle(session: Session, before: Stack) -> None:
    """Raise ``Overtaken`` if the stack is not as it was read: CloudFormation would refuse the change set."""
    stack = describe_stack(session.cloudformation, before.id) if before.exists else before
    if stack.is_busy or stack.state != before.state:
        raise Overtaken(f"another deployment of {before.name} has begun since the plan was made; {NOT_EXECUTED}")


@dataclass(frozen=True)
class _Lifted:
    stack: Stack
    # As it is without a deployment.
    policy: str
    # The logical ids that it does not protect now.
    names: tuple[str, ...]

    @property
    def description(self) -> str:
        allowed = f"still allows deleting or replacing {', '.join(self.names)}"
        return f"the stack policy of {self.stack.name} {allowed}"


def _restore_policies(session: Session, lifted: Sequence[_Lifted]) -> tuple[list[str], KeyboardInterrupt | None]:
    """Restore every policy, whatever interrupts it. Returns a description of each that could not be, and the interrupt.

    What is interrupted is tried again, once for all policies: SetStackPolicy may be repeated.
    """
    unrestored: list[str] = []
    interrupt: KeyboardInterrupt | None = None
    is_set = session.options.rollout.stack_policy
    remedy = "the next deployment sets it back" if is_set else "a deployment with stack_policy = true sets it back"
    remaining = list(lifted)
    while remaining:
        policy = remaining[0]
        try:
            session.cloudformation.set_stack_policy(StackName=policy.stack.id, StackPolicyBody=policy.policy)
        except KeyboardInterrupt as error:
            if interrupt is None:
                interrupt = error
                continue
            unrestored.append(f"{policy.description}: interrupted; {remedy}")
        except AWS_ERRORS as error:
            if "does not exist" not in str(error):
                unrestored.append(f"{policy.description}: {describe_error(error)}; {remedy}")
        del remaining[0]
    return unrestored, interrupt


def _is_own(policy: str) -> bool:
    """Whether a policy is one that ``_render_policy`` returns, in this release or another, lifted or not."""
    try:
        allow, deny = json.loads(policy)["Statement"]
        own_allow, own_deny = json.loads(_render_policy(()))["Statement"]
        conditions = list(deny["Condition"]), list(deny["Condition"]["StringEquals"])
    except (ValueError, LookupError, TypeError, AttributeError):
        return False
    is_same_deny = all(deny.get(key) == own_deny[key] for key in ("Effect", "Action", "Principal"))
    return allow == own_allow and is_same_deny and conditions == (["StringEquals"], ["ResourceType"])


def _close_policy(policy: str) -> str:
    """Return a policy of ours as it is when nothing is lifted: an earlier run may have been killed before that."""
    document = json.loads(policy)
    deny = document["Statement"][1]
    if deny.pop("NotResource", None) is not None:
        deny["Resource"] = "*"
    return json.dumps(document)


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
