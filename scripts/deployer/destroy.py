"""Take an environment down: what is lost and what is retained is said first, and purged only if that is asked for."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scripts.common.errors import AWS_ERRORS, UserError, describe_aws_error, raise_both
from scripts.common.evaluate import Evaluated, evaluate
from scripts.common.target import Target

from .follow import Follow, Watch, until_ended
from .order import ARTIFACTS_STACK
from .plan.compare import compare_stacks
from .plan.model import Plan
from .planning import named
from .purge.leftover import Leftover
from .purge.search import Leftovers, Purge
from .report.reporter import Reporter
from .retire import delete_unneeded_artifacts
from .stack import Stack, check_owned, describe, read_snapshot

# Asked before anything is deleted: a question for each name that has to be typed.
Confirm = Callable[[Mapping[str, str]], bool]


@dataclass(frozen=True)
class Destruction:
    environment: str
    stack_name: str
    # Termination protection may be taken off.
    unprotect: bool = False
    # Where the templates deployed last are kept.
    record: Path | None = None
    # Delete what the stack retains, too.
    purge: Purge | None = None
    # What was confirmed beforehand, by name.
    destroys: tuple[str, ...] = ()


def destroy(asked: Destruction, target: Target, report: Reporter, confirm: Confirm) -> bool:
    """Whether there was something to take down.

    Raises ``UserError`` for a stack that is busy, protected or not ours, ``DeploymentFailed`` if it does not go.
    """
    cloudformation = target.client("cloudformation")
    stack = describe(cloudformation, asked.stack_name)
    _check_ready(stack, asked)
    snapshot = read_snapshot(cloudformation, stack)
    tree, deployed = snapshot.tree, None
    if snapshot.source:
        deployed = evaluate(*snapshot.source, target.pseudo_parameters())
        plan = Plan(compare_stacks(stack.name, deployed, None))
        report.show_plan(plan)
        for line in [] if asked.purge else kept(deployed, asked.environment):
            report.announce_step("Retained:", line)
    store, leftovers = _find_leftovers(asked, target, deployed, {one.id for _, one in tree.walk()}, report)
    _check_names(asked, [leftover.name for leftover in leftovers])
    _confirm_all(stack, leftovers, confirm)
    if stack.exists:
        watch = Watch(cloudformation, stack.id, tree)
        _delete(cloudformation, stack)
        with report.follow_events(plan, stack.name) as watching:
            how = Follow(asked.environment, watching, target.poll_seconds)
            until_ended(watch, stack.name, how, {"DELETE_COMPLETE"}, "deletion")
    elif stack.status:
        _drop_review(cloudformation, stack, asked.environment)
    if store:
        _delete_leftovers(store, leftovers, asked.environment, report)
    if stack.exists:
        _tidy_up(asked, target, report)
    return bool(stack.status or leftovers)


def _check_ready(stack: Stack, asked: Destruction) -> None:
    if stack.status == "":
        return
    check_owned(stack)
    if stack.busy and stack.status != "CREATE_IN_PROGRESS":
        raise UserError(
            f"{stack.name} is {stack.status}; wait until it has finished: "
            f"scripts/deploy.sh {asked.environment} --follow"
        )
    if stack.termination_protection and not asked.unprotect:
        raise UserError(f"{stack.name} has termination protection; to delete it anyway, add --unprotect")


def _find_leftovers(
    asked: Destruction, target: Target, deployed: Evaluated | None, going: Collection[str], report: Reporter
) -> tuple[Leftovers | None, tuple[Leftover, ...]]:
    """Report each resource to purge, with what is lost; nothing is found unless a purge is asked for."""
    if not asked.purge:
        return None, ()
    store = Leftovers(asked.purge, target)
    search = store.find_all(deployed, going)
    for leftover in search.leftovers:
        report.announce_step("To purge:", f"{leftover}, {leftover.contents}: {store.describe_loss(leftover)}")
    for line in search.not_ours:
        report.announce_step("Not deleted:", line)
    return store, search.leftovers


def _check_names(asked: Destruction, names: Collection[str]) -> None:
    """Raises ``UserError`` for a name that is confirmed and does not go: it is misspelt."""
    for name in asked.destroys:
        if name not in (asked.stack_name, *names):
            raise UserError(f"--destroys {name}: not among what is deleted: {', '.join((asked.stack_name, *names))}")


def _confirm_all(stack: Stack, leftovers: Collection[Leftover], confirm: Confirm) -> None:
    """Raises ``UserError`` unless the stack and each leftover are confirmed by name; nothing is deleted before."""
    questions = {stack.name: f"Delete {stack.name}?"} if stack.exists else {}
    questions |= {leftover.name: f"Delete {leftover} for good?" for leftover in leftovers}
    if questions and not confirm(questions):
        raise UserError(f"{stack.name}: nothing was deleted")


def _delete_leftovers(store: Leftovers, leftovers: Collection[Leftover], environment: str, report: Reporter) -> None:
    for leftover in leftovers:
        try:
            existed = store.delete(leftover)
        except (*AWS_ERRORS, UserError) as error:
            reason = describe_aws_error(error) if isinstance(error, AWS_ERRORS) else str(error)
            again = f"scripts/destroy.sh {environment} --purge deletes the rest"
            raise UserError(f"{leftover} is not deleted: {reason}; {again}") from error
        report.announce_step("Purged", str(leftover) if existed else f"{leftover}: it went with its stack")


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
            unprotected = f"termination protection is still off: {describe_aws_error(second)}; switch it on: {command}"
            raise_both(error, f"{unprotected} --enable-termination-protection")
        raise


def _drop_review(cloudformation: Any, stack: Stack, environment: str) -> None:
    """A stack that waits for its first change set holds nothing; but the plan that it waits for may be somebody's."""
    if waiting := cloudformation.list_change_sets(StackName=stack.id)["Summaries"]:
        names = ", ".join(one["ChangeSetName"] for one in waiting)
        discard = f"scripts/deploy.sh {environment} --discard FILE"
        raise UserError(
            f"{stack.name} contains nothing but a saved plan ({names}); whoever saved it can delete it: {discard}"
        )
    cloudformation.delete_stack(StackName=stack.id)


def kept(stack: Evaluated, environment: str, path: str = "") -> list[str]:
    """What stays, outside any stack. One with a name of ours stands in the way of the next deployment."""
    lines = []
    for logical_id, resource in stack.resources.items():
        if resource.deletion_policy.startswith("Retain"):
            name = named(resource)
            purge = f"scripts/destroy.sh {environment} --purge"
            in_the_way = f" {name}; it blocks the next deployment until it is deleted: {purge}" if name else ""
            lines.append(f"{path}{logical_id} ({resource.type}){in_the_way}")
        if logical_id in stack.nested:
            lines += kept(stack.nested[logical_id], environment, f"{path}{logical_id}/")
    return lines


def _tidy_up(asked: Destruction, target: Target, report: Reporter) -> None:
    """Let the artifacts expire, and forget what was deployed. The stack has gone: failures are said, not raised."""
    try:
        bucket = describe(target.client("cloudformation"), ARTIFACTS_STACK).outputs.get("BucketName")
        if bucket:
            delete_unneeded_artifacts(
                target.client("s3"), target.destination(bucket, asked.environment), target.account, ()
            )
        if asked.record:
            asked.record.unlink(missing_ok=True)
    except (*AWS_ERRORS, OSError) as error:
        report.announce_step("Deleted,", f"but the cleanup failed: {describe_aws_error(error)}")
