"""Take an environment down: what is lost and what is kept is said first."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .errors import AWS_ERRORS, DeployError, explained, raise_both
from .follow import Follow, Watch, until_ended
from .order import ARTIFACTS_STACK
from .plan.compare import compare
from .plan.evaluate import Evaluated, evaluate
from .plan.model import Plan
from .planning import named
from .report.reporter import Reporter
from .retire import retire
from .stack import Stack, check_owned, deployed_templates, describe, describe_tree
from .target import Target


@dataclass(frozen=True)
class Destruction:
    environment: str
    stack_name: str
    # Termination protection may be taken off.
    unprotect: bool = False
    # Where the templates deployed last are kept.
    record: Path | None = None


def destroy(asked: Destruction, target: Target, report: Reporter, confirm: Callable[[str, str], bool]) -> bool:
    """Whether there was something to take down. ``confirm`` gets the question and the name to be typed.

    Raises ``DeployError`` for a stack that is busy, protected or not ours, ``DeploymentFailed`` if it does not go.
    """
    cloudformation = target.client("cloudformation")
    stack = describe(cloudformation, asked.stack_name)
    if stack.status == "":
        return False
    check_owned(stack)
    if not stack.exists:
        return _drop_review(cloudformation, stack, asked.environment)
    if stack.busy and stack.status != "CREATE_IN_PROGRESS":
        raise DeployError(
            f"{stack.name} is {stack.status}; wait until it has finished: "
            f"scripts/deploy.sh {asked.environment} --follow"
        )
    if stack.termination_protection and not asked.unprotect:
        raise DeployError(f"{stack.name} has termination protection; to delete it anyway, add --unprotect")
    tree = describe_tree(cloudformation, stack)
    evaluated = evaluate(deployed_templates(cloudformation, tree), stack.parameters, target.pseudo_parameters())
    plan = Plan(compare(stack.name, evaluated, None))
    report.plan(plan)
    for line in kept(evaluated):
        report.step("Retained:", line)
    if not confirm(f"Delete {stack.name}?", stack.name):
        raise DeployError(f"{stack.name}: nothing was deleted")
    watch = Watch(cloudformation, stack.id, tree)
    _delete(cloudformation, stack)
    with report.watching(plan, stack.name) as watching:
        how = Follow(asked.environment, watching, target.poll_seconds)
        until_ended(watch, stack.name, how, {"DELETE_COMPLETE"}, "deletion")
    _tidy_up(asked, target, report)
    return True


def _delete(cloudformation: Any, stack: Stack) -> None:
    """Termination protection comes off for it, and on again if it is refused."""
    if not stack.termination_protection:
        cloudformation.delete_stack(StackName=stack.id)
        return
    cloudformation.update_termination_protection(StackName=stack.id, EnableTerminationProtection=False)
    try:
        cloudformation.delete_stack(StackName=stack.id)
    except BaseException as error:
        try:
            cloudformation.update_termination_protection(StackName=stack.id, EnableTerminationProtection=True)
        except AWS_ERRORS as second:
            command = f"aws cloudformation update-termination-protection --stack-name {stack.name}"
            unprotected = f"termination protection is still off: {explained(second)}; switch it on: {command}"
            raise_both(error, f"{unprotected} --enable-termination-protection")
        raise


def _drop_review(cloudformation: Any, stack: Stack, environment: str) -> bool:
    """A stack that waits for its first change set holds nothing; but the plan that it waits for may be somebody's."""
    if waiting := cloudformation.list_change_sets(StackName=stack.id)["Summaries"]:
        names = ", ".join(one["ChangeSetName"] for one in waiting)
        discard = f"scripts/deploy.sh {environment} --discard FILE"
        raise DeployError(
            f"{stack.name} contains nothing but a saved plan ({names}); whoever saved it can delete it: {discard}"
        )
    cloudformation.delete_stack(StackName=stack.id)
    return True


def kept(stack: Evaluated, path: str = "") -> list[str]:
    """What stays, outside any stack. One with a name of ours stands in the way of the next deployment."""
    lines = []
    for logical_id, resource in stack.resources.items():
        if resource.deletion_policy.startswith("Retain"):
            name = named(resource)
            in_the_way = f" {name}; delete or import it before the next deployment" if name else ""
            lines.append(f"{path}{logical_id} ({resource.type}){in_the_way}")
        lines += kept(stack.nested[logical_id], f"{path}{logical_id}/") if logical_id in stack.nested else []
    return lines


def _tidy_up(asked: Destruction, target: Target, report: Reporter) -> None:
    """Let the artifacts expire, and forget what was deployed. The stack has gone: failures are said, not raised."""
    try:
        bucket = describe(target.client("cloudformation"), ARTIFACTS_STACK).outputs.get("BucketName")
        if bucket:
            retire(target.client("s3"), target.destination(bucket, asked.environment), target.account, ())
        if asked.record:
            asked.record.unlink(missing_ok=True)
    except (*AWS_ERRORS, OSError) as error:
        report.step("Deleted,", f"but the cleanup failed: {explained(error)}")
