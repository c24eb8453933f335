"""Deletes an environment after reporting what is lost and what is retained; a purge deletes the latter too."""

from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from botocore.exceptions import ClientError

from scripts.common.clients import CloudFormationClient
from scripts.common.errors import (
    AWS_ERRORS,
    StillRunning,
    UserError,
    describe_error,
    is_denied,
    is_refusal,
    raise_both,
)
from scripts.common.evaluate import evaluate
from scripts.common.evaluated import Evaluated, Resource
from scripts.common.suggestion import complete_aws_commands, suggest_command
from scripts.common.target import Target

from . import statuses
from .abandoned import LONGEST_PLANNING, KeptPlan, group_plans, is_abandoned, list_change_sets, list_saved_plans
from .change_set import delete_change_set, suggest_deletion
from .deployment_options import ARTIFACTS_STACK
from .follow import EventReader, FollowOptions, follow_until_ended
from .last_deployment import load_deployment
from .plan.compare import compare_stacks
from .plan.model import Plan, StackChanges, count_changes
from .plan.recreation import find_fixed_name, list_identifiers
from .purge.leftover import Leftover, describe_types, format_count
from .purge.search import Leftovers, Purge
from .report.reporter import Reporter
from .request_tokens import make_token
from .stack import (
    RELEASED,
    Stack,
    StackTree,
    check_owned,
    describe_change_since,
    describe_stack,
    read_snapshot,
)
from .unneeded_artifacts import delete_artifacts, find_unneeded_artifacts

# Called before anything is deleted, with the questions by the names to be typed.
Confirm = Callable[[Mapping[str, str]], bool]


@dataclass(frozen=True)
class DeletionOptions:
    environment: str
    stack_name: str
    # Whether to switch off termination protection.
    unprotect: bool = False
    # The file that keeps the templates of the last deployment.
    record: Path | None = None
    # Set to delete what the stack retains, too.
    purge: Purge | None = None
    # The names that are confirmed in advance.
    destroys: tuple[str, ...] = ()


@dataclass(frozen=True)
class Deletion:
    """What a deletion has found, deleted and kept."""

    # Whether there was a stack, be it only one in review.
    had_stack: bool
    # The types of the resources that the stack has retained, if they are not purged.
    retained: tuple[str, ...] = ()
    # The types of those that were purged, and how many exist on, for the reasons listed with them.
    purged: tuple[str, ...] = ()
    kept_count: int = 0
    # What else of it was deleted, as phrases.
    tidied: tuple[str, ...] = ()

    @property
    def message(self) -> str:
        """What was deleted and what is left, as the end of a sentence that begins with the stack's name."""
        if self.had_stack:
            results = ["deleted"]
        elif self.purged or self.tidied:
            results = ["there was no stack", *self.tidied]
        else:
            results = ["not deployed; nothing was deleted"]
        if self.retained:
            results.append(f"{describe_types(self.retained)} retained outside the stack")
        if self.purged:
            results.append(f"{describe_types(self.purged)} purged")
        if self.kept_count:
            results.append(f"{format_count(self.kept_count, 'resource')} not deleted, as listed above")
        return "; ".join(results)


class _NotDeleted(UserError):
    """The deletion of the stack has not begun."""

    names_changes = True


class _NotPurged(UserError):
    """A purge has not deleted a resource, or not the rest."""

    names_changes = True


def destroy(options: DeletionOptions, target: Target, report: Reporter, confirm: Confirm) -> Deletion:
    """Delete the stack and, if that is asked for, what it retains, and return what existed of them.

    Raises ``UserError`` for a stack that is busy, protected, not ours, or has changed since it was shown, and
    ``DeploymentFailed`` if it is not deleted.
    """
    cloudformation = target.client("cloudformation")
    stack = describe_stack(cloudformation, options.stack_name)
    _check_ready(stack, options)
    snapshot = read_snapshot(cloudformation, stack)
    tree = snapshot.tree
    deployed = evaluate(*snapshot.source, target.pseudo_parameters()) if snapshot.source else None
    plan = _show_plan(options, target, report, tree, deployed)
    store, leftovers, undeletable = _find_leftovers(options, target, deployed, tree, report)
    if store and deployed:
        report.announce_step("In all:", _count_deletions(plan, leftovers))
    _check_names(options, stack, [leftover.name for leftover in leftovers])
    _confirm_all(stack, leftovers, confirm)
    _check_unchanged(cloudformation, tree, options)
    if stack.exists:
        _delete_and_follow(options, target, report, plan, tree)
    elif stack.status:
        _drop_review(cloudformation, stack, options.environment)
    purged: list[str] = []
    try:
        target.watch.raise_postponed_interrupt()
        # Also without a stack: an earlier deletion may have ended before this.
        tidied = _tidy_up(options, stack.id, target, report)
        if store:
            purged = _delete_leftovers(store, leftovers, options.environment, report)
    except KeyboardInterrupt as error:
        state = f"{stack.name} is deleted" if stack.status else f"{options.stack_name} was not deployed"
        rest = "its files and what it leaves" if options.purge else "its files in the artifact bucket"
        again = f"run {_suggest_repetition(options)}"
        raise UserError(f"{describe_error(error)}; {state}, but {rest} may remain; {again}") from None
    retained = _list_retained_types(deployed) if deployed and not store else ()
    return Deletion(bool(stack.status), retained, tuple(purged), len(undeletable), tidied)


def _show_plan(
    options: DeletionOptions, target: Target, report: Reporter, tree: StackTree, deployed: Evaluated | None
) -> Plan:
    """Show what is deleted with the stack and, without a purge, what is retained; nothing if there is no stack."""
    name = options.stack_name
    if deployed is None:
        return Plan(StackChanges(name))
    plan = Plan(_drop_deleted(compare_stacks(name, deployed, None), tree))
    # Each retained resource is named once: with what to do about it, or as what to purge.
    report.show_plan(plan, lists_retained=False)
    can_import = "import" not in target.gaps
    groups = {} if options.purge else group_retained(deployed, options.environment, can_import=can_import)
    for advice, lines in groups.items():
        for title, detail in [("Retained:", advice), *lines]:
            report.announce_step(title, detail)
    return plan


def _delete_and_follow(options: DeletionOptions, target: Target, report: Reporter, plan: Plan, tree: StackTree) -> None:
    """Delete the stack, and show its events until it is deleted. Raises ``DeploymentFailed`` if it is not."""
    cloudformation, stack = target.client("cloudformation"), tree.stack
    reader = EventReader(cloudformation, stack.id, tree)
    watch = target.watch
    rest = f"delete {'its files and what it leaves' if options.purge else 'its files'}: {_suggest_repetition(options)}"
    try:
        _begin_deletion(cloudformation, stack, options.environment)
        watch.begin(f"the deletion continues; watch it: {suggest_command('status', options.environment)}")
        with watch.show_progress(report.follow_events(plan, stack.name)) as receive_events:
            following = FollowOptions(
                options.environment, receive_events, target.poll_seconds, watch=watch, find_loss=target.find_loss
            )
            follow_until_ended(reader, stack.name, following, {"DELETE_COMPLETE"}, "deletion")
        target.requests.note_end(stack.id)
    except StillRunning as error:
        raise StillRunning(f"{error}; once the stack is gone, {rest}") from error


def _suggest_repetition(options: DeletionOptions) -> str:
    return suggest_command("destroy", options.environment, *(["--purge"] if options.purge else []))


def _drop_deleted(changes: StackChanges, tree: StackTree) -> StackChanges:
    """Return the changes without what an earlier deletion, which has failed, has deleted or retained already."""
    released = {resource.logical_id for resource in tree.resources if resource.status in RELEASED}
    remaining = []
    for change in changes.changes:
        child = tree.nested.get(change.logical_id)
        nested = _drop_deleted(change.nested, child) if change.nested and child else change.nested
        remaining += [] if change.logical_id in released else [replace(change, nested=nested)]
    return replace(changes, changes=tuple(remaining))


def _count_deletions(plan: Plan, leftovers: Collection[Leftover]) -> str:
    """Return how many resources are deleted with their stack and how many by the purge, of all that exist."""
    count = count_changes(plan.stack)
    purged = describe_types(leftover.resource_type for leftover in leftovers) if leftovers else "nothing"
    return f"{format_count(count.destroy, 'resource')} deleted with {plan.stack.name}; {purged} purged after it"


def _check_ready(stack: Stack, options: DeletionOptions) -> None:
    if stack.status == "":
        return
    check_owned(stack)
    if stack.is_busy and not statuses.is_accepted(stack.status, statuses.DELETE):
        raise UserError(statuses.describe_refusal(stack.name, stack.status, options.environment))
    if stack.termination_protection and not options.unprotect:
        raise UserError(f"{stack.name} has termination protection; to delete it anyway, add --unprotect")


def _find_leftovers(
    options: DeletionOptions, target: Target, deployed: Evaluated | None, tree: StackTree, report: Reporter
) -> tuple[Leftovers | None, list[Leftover], list[Leftover]]:
    """Report each resource to purge with what is lost, and each that is kept; without a purge, there are none."""
    if not options.purge:
        return None, [], []
    store = Leftovers(options.purge, target)
    leftovers, undeletable = store.find_all(deployed, tree)
    for leftover in leftovers:
        report.announce_step("To purge:", f"{leftover}, {leftover.contents}: {store.describe_loss(leftover)}")
    for leftover in undeletable:
        report.announce_step("Not deleted:", f"{leftover} {leftover.obstacle}")
    return store, leftovers, undeletable


def _check_names(options: DeletionOptions, stack: Stack, names: Collection[str]) -> None:
    """Raise ``UserError`` for a confirmed name, probably misspelt, of nothing that is deleted.

    The stack's own name is right in any case: the deletion may be a repeated one.
    """
    deleted = ", ".join([*([options.stack_name] if stack.status else []), *names]) or "nothing"
    for name in options.destroys:
        if name not in (options.stack_name, *names):
            raise UserError(f"--destroys {name}: not among what is deleted: {deleted}")


def _confirm_all(stack: Stack, leftovers: Collection[Leftover], confirm: Confirm) -> None:
    """Raise ``UserError`` unless the stack and all leftovers are confirmed by name; until then, nothing is deleted."""
    questions = {stack.name: f"Delete {stack.name}?"} if stack.exists else {}
    questions |= {leftover.name: f"Delete {leftover} for good?" for leftover in leftovers}
    if questions and not confirm(questions):
        raise UserError(f"{stack.name}: nothing was deleted")


def _check_unchanged(cloudformation: CloudFormationClient, shown: StackTree, options: DeletionOptions) -> None:
    """Raise ``UserError`` if a stack was created, changed or deleted since it was shown.

    CloudFormation deletes a stack by its template of that moment, which may retain less than the one that was shown.
    """
    if change := describe_change_since(cloudformation, shown):
        lost = f"see what is lost now: {_suggest_repetition(options)}"
        raise UserError(f"{options.stack_name} {change}; nothing was deleted; {lost}")


def _delete_leftovers(
    store: Leftovers, leftovers: Collection[Leftover], environment: str, report: Reporter
) -> list[str]:
    """Return the types of those that were deleted here, and not with their stack."""
    purged = []
    for leftover in leftovers:
        again = f"{suggest_command('destroy', environment, '--purge')} deletes the rest"
        try:
            existed = store.delete(leftover)
        except StillRunning as error:
            raise StillRunning(f"{error}; {again}") from error
        except (*AWS_ERRORS, UserError) as error:
            if state := _describe_failed_deletion(store, leftover, error):
                raise _NotPurged(f"{leftover} {state}: {describe_error(error)}; {again}") from error
            existed = True
        step, detail = store.describe_deletion(leftover)
        report.announce_step(*((step, detail) if existed else ("Purged", f"{leftover}: it was deleted with its stack")))
        purged += [leftover.resource_type] if existed else []
    return purged


def _describe_failed_deletion(store: Leftovers, leftover: Leftover, error: Exception) -> str:
    """Return what a deletion that has failed left of it; empty if it is deleted, and only the answer was lost."""
    if isinstance(error, UserError) or is_refusal(error):
        return "is not deleted"
    # SQS answers for up to a minute after the deletion of a queue.
    # https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_DeleteQueue.html
    with suppress(*AWS_ERRORS, UserError):
        if store.is_deleted(leftover):
            return ""
    return "may not be deleted"


def _begin_deletion(cloudformation: CloudFormationClient, stack: Stack, environment: str) -> None:
    """Request the deletion of the stack, without termination protection, which is enabled again if none begins.

    The answer may be lost although the deletion has begun: then the stack's status tells. Raises ``StillRunning`` if
    that cannot be read, or the command ends for another reason than the lost answer.
    """
    is_requested = False
    try:
        if stack.termination_protection:
            cloudformation.update_termination_protection(StackName=stack.id, EnableTerminationProtection=False)
        is_requested = True
        cloudformation.delete_stack(StackName=stack.id, ClientRequestToken=make_token("delete"))
    except BaseException as error:
        if not is_requested or not _has_begun(cloudformation, stack, environment, error):
            # CloudFormation refuses a request that arrives after this.
            if stack.termination_protection:
                _protect_again(cloudformation, stack, error)
                if isinstance(error, KeyboardInterrupt):
                    raise _NotDeleted(
                        f"interrupted; {stack.name} was not deleted, and has termination protection again"
                    ) from None
            elif is_requested and isinstance(error, KeyboardInterrupt):
                see = f"see {suggest_command('status', environment)}"
                raise StillRunning(f"interrupted; it is not known whether the deletion continues: {see}") from None
            raise
        if isinstance(error, KeyboardInterrupt):
            watch = suggest_command("status", environment)
            raise StillRunning(f"{describe_error(error)}; the deletion continues; watch it: {watch}") from error
        if not isinstance(error, AWS_ERRORS):
            raise


def _has_begun(cloudformation: CloudFormationClient, stack: Stack, environment: str, error: BaseException) -> bool:
    """Whether the deletion has begun in spite of the error. Raises ``StillRunning`` if that cannot be read."""
    try:
        return describe_stack(cloudformation, stack.id).status in ("", "DELETE_IN_PROGRESS", "DELETE_COMPLETE")
    except (*AWS_ERRORS, KeyboardInterrupt) as second:
        if is_refusal(error):
            return False
        unread = f"whether the deletion began could not be read: {describe_error(second)}"
        see = f"see {suggest_command('status', environment)}"
        if stack.termination_protection:
            see += f"; termination protection is off: if the stack stays, switch it on: {_suggest_protection(stack)}"
        raise StillRunning(f"{describe_error(error)}; {unread}; {see}") from error


def _protect_again(cloudformation: CloudFormationClient, stack: Stack, error: BaseException) -> None:
    """Enable termination protection if it is off; if that fails, raise ``error`` with what is left to do."""
    try:
        if describe_stack(cloudformation, stack.id).termination_protection:
            return
        cloudformation.update_termination_protection(StackName=stack.id, EnableTerminationProtection=True)
    except (*AWS_ERRORS, KeyboardInterrupt) as second:
        command = _suggest_protection(stack)
        raise_both(error, f"termination protection may still be off: {describe_error(second)}; switch it on: {command}")


def _suggest_protection(stack: Stack) -> str:
    return complete_aws_commands(
        f"aws cloudformation update-termination-protection --stack-name {stack.name} --enable-termination-protection"
    )


def _drop_review(cloudformation: CloudFormationClient, stack: Stack, environment: str) -> None:
    """Delete a stack in review, and what interrupted deployments have left in it.

    Raises ``UserError`` if it has another change set: somebody's saved plan, or that of a deployment which is running.
    """
    for summary in list_change_sets(cloudformation, stack.id):
        name, status = summary["ChangeSetName"], summary.get("Status", "")
        if is_abandoned(summary) or status == "FAILED":
            delete_change_set(cloudformation, replace(stack, status="UPDATE_COMPLETE"), name)
        elif plans := group_plans([(stack.name, summary)]):
            raise UserError(
                f"{stack.name} contains nothing but {plans[0]}; if nobody needs it, delete it: "
                f"{suggest_command('deploy', 'discard', environment, name)}; the stack was not deleted"
            )
        else:
            command = suggest_deletion(stack.name, name)
            raise UserError(
                f"{stack.name} contains nothing but the change set {name} ({status or 'of unknown status'}), which may "
                f"be that of a deployment which is running; if it is not, delete it: {command}"
            )
    cloudformation.delete_stack(StackName=stack.id)


def group_retained(stack: Evaluated, environment: str, *, can_import: bool) -> dict[str, list[tuple[str, str]]]:
    """Return the retained resources by the advice about them, each as its path, and its type and name.

    One with a fixed name has to be imported or deleted before the next deployment; ``can_import`` is whether the
    target imports resources.
    """
    groups: dict[str, list[tuple[str, str]]] = {}
    for path, resource in _list_retained(stack):
        name = find_fixed_name(resource)
        fate = "renew" if not name else "import" if can_import and list_identifiers(resource.type) else "block"
        groups.setdefault(fate, []).append((f"  {path}", f"({resource.type}) {name or ''}".rstrip()))
    return {_advise_retained(fate, len(lines), environment): lines for fate, lines in groups.items()}


def _list_retained(stack: Evaluated) -> list[tuple[str, Resource]]:
    return [(path, resource) for path, resource in stack.walk() if resource.deletion_policy.startswith("Retain")]


def _list_retained_types(stack: Evaluated) -> tuple[str, ...]:
    return tuple(resource.type for _, resource in _list_retained(stack))


def _advise_retained(fate: str, count: int, environment: str) -> str:
    purge = suggest_command("destroy", environment, "--purge")
    resources, them, they_are = (
        ("1 resource", "it", "it is") if count == 1 else (f"{count} resources", "them", "they are")
    )
    if fate == "import":
        take_in = suggest_command("deploy", "import", environment)
        return (
            f"{resources}; to deploy again, take {them} in with the data: {take_in}, or delete {them} for good: {purge}"
        )
    if fate == "block":
        return f"{resources}; no deployment is possible until {they_are} deleted for good: {purge}"
    return f"{resources}; the next deployment creates new ones; to delete {them} for good: {purge}"


def _tidy_up(options: DeletionOptions, stack_id: str, target: Target, report: Reporter) -> tuple[str, ...]:
    """Delete the artifacts, the change sets of saved plans, and the record, and return what was deleted, as phrases.

    An error is only reported, because the stack is deleted already, or there was none. Then only what is old is
    deleted: somebody may be planning the first deployment. All stays if there is a stack again, or its first plan.
    """
    cloudformation, s3, account = target.client("cloudformation"), target.client("s3"), target.account
    title, least_age = ("Deleted,", timedelta()) if stack_id else ("No stack,", LONGEST_PLANNING)
    deleted: list[str] = []
    try:
        artifacts = describe_stack(cloudformation, ARTIFACTS_STACK)
        bucket = artifacts.outputs.get("BucketName", "")
        destination = target.destination(bucket, options.environment)
        keys = find_unneeded_artifacts(s3, destination, account, (), least_age=least_age) if bucket else frozenset()
        plans = _list_plans(cloudformation, artifacts, options.environment, least_age)
        # Only now: what another deployment has made since is not listed.
        again = describe_stack(cloudformation, options.stack_name)
        # The status of the deleted stack may lag behind its last event.
        if again.status and again.id != stack_id:
            exists = f"{options.stack_name} was created again ({again.status})"
            report.announce_step(title, f"but its files stay in the artifact bucket: {exists}")
            return ()
        delete_artifacts(s3, destination, account, keys)
        if keys:
            deleted.append(f"{format_count(len(keys), 'file')} deleted from the artifact bucket")
        for plan in plans:
            for _, name in plan.change_sets:
                delete_change_set(cloudformation, artifacts, name)
            report.announce_step("Deleted", f"the change sets of {plan}, which can no longer be applied")
            deleted.append("a saved plan deleted")
        if options.record and options.record.exists() and _is_recorded_here(options.record, target):
            options.record.unlink(missing_ok=True)
            deleted.append("the record of its last deployment deleted")
    except (*AWS_ERRORS, UserError, OSError) as error:
        # Where a change set is deleted, an interrupt is an error.
        if isinstance(error.__cause__, KeyboardInterrupt):
            raise KeyboardInterrupt from None
        report.announce_step(title, f"but the cleanup failed: {describe_error(error)}")
    return tuple(deleted)


def _list_plans(
    cloudformation: CloudFormationClient, artifacts: Stack, environment: str, least_age: timedelta
) -> list[KeptPlan]:
    """Return the saved plans of the environment that keep change sets in the artifacts stack.

    None of them can be applied any more: the environment is gone, and with it their other change sets.
    """
    try:
        summaries = list_saved_plans(cloudformation, artifacts.name, environment) if artifacts.exists else []
    except ClientError as error:
        # Whoever may not list them has saved none, and deletes none of others.
        if not is_denied(error):
            raise
        return []
    latest = datetime.now(UTC) - least_age
    old = [summary for summary in summaries if not least_age or summary["CreationTime"] <= latest]
    return group_plans((artifacts.name, summary) for summary in old)


def _is_recorded_here(record: Path, target: Target) -> bool:
    """Whether the record, if it can be read, is of a deployment to this account and Region."""
    try:
        last = load_deployment(record)
    except UserError:
        return True
    return (last.account, last.region) == (target.account, target.region)
