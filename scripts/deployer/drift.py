"""What a plan has to say of drift: what the last detection has found in the resources that it changes.

A drift-aware plan compares with the actual resources, and says where drift may remain, and which rights it reverts.
"""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from itertools import chain

from scripts.common.clients import CloudFormationClient
from scripts.common.errors import AWS_ERRORS, describe_error
from scripts.common.suggestion import complete_aws_commands, suggest_command
from scripts.common.templates import STACK
from scripts.common.threads import map_in_threads

from .plan.iam import holds_rights
from .plan.model import Change, StackChanges
from .stack import Stack, StackTree
from .status import Drift, find_drifted_resources

_COMPARED_TEMPLATES = "the changes shown are those of the templates"
_COMPARE_RESOURCES = "; --revert-drift compares with the resource"
# A stack that was deployed just now has hardly been changed by hand: without a detection, nothing is said of it.
_UNCHECKED = timedelta(days=1)


def describe_drift(changes: StackChanges, tree: StackTree, environment: str) -> tuple[str, ...]:
    """Return a notice for each drift that the plan may not show, and for each reverted right; none for another plan.

    ``tree`` has the drift status of the last detection, which may be older than the change set.
    """
    if not changes.drift:
        return ()
    return (
        *_describe_uncompared_stacks(changes),
        *describe_missing_drift(changes, tree, environment),
        *_describe_reverted_rights(changes),
    )


def describe_last_detection(
    cloudformation: CloudFormationClient, changes: StackChanges, tree: StackTree, environment: str
) -> tuple[str, ...]:
    """Return a notice for each resource that the plan changes and that had drifted when drift was last detected.

    Detects nothing: that takes minutes. One more notice names the changed stacks whose drift was never detected, and
    whose last operation was more than a day ago. There is none for a drift-aware plan. ``environment`` is empty for the
    artifacts stack, which belongs to none of them.
    """
    if changes.drift:
        return ()
    touched = {path for path, change in changes.walk() if _changes_existing_resource(change)}
    holders = {path.rpartition("/")[0] for path in touched}
    stacks = [(path, stack) for path, stack in tree.walk() if path in holders]
    note = _COMPARED_TEMPLATES + (_COMPARE_RESOURCES if environment else "")
    drifts = map_in_threads(
        lambda pair: _describe_drifted_stack(cloudformation, pair[0], pair[1], touched, note), stacks
    )
    notices = list(chain.from_iterable(drifts))
    unchecked = [path or stack.name for path, stack in stacks if _is_long_unchecked(stack)]
    if unchecked:
        notices.append(_describe_unchecked_stacks(unchecked, tree.stack.name, environment))
    return tuple(notices)


def _is_long_unchecked(stack: Stack) -> bool:
    if stack.drift != "NOT_CHECKED" or not stack.changed_at:
        return False
    return datetime.now(UTC) - datetime.fromisoformat(stack.changed_at) > _UNCHECKED


def _describe_unchecked_stacks(names: Sequence[str], root_name: str, environment: str) -> str:
    command = suggest_command("status", environment, "--drift")
    if not environment:
        command = complete_aws_commands(f"aws cloudformation detect-stack-drift --stack-name {root_name}")
    return (
        f"drift was never detected in {', '.join(names)}: changes outside CloudFormation are not in this plan; to see "
        f"them, run {command}, and plan again"
    )


def _changes_existing_resource(change: Change) -> bool:
    return change.action != "Add" and change.resource_type != STACK and not change.is_spurious


def _describe_drifted_stack(
    cloudformation: CloudFormationClient, path: str, stack: Stack, touched: set[str], note: str
) -> list[str]:
    if stack.drift != "DRIFTED":
        return []
    try:
        drifts = find_drifted_resources(cloudformation, path, stack.id)
    except AWS_ERRORS as error:
        return [f"the drift of {path or stack.name} could not be read: {describe_error(error)}"]
    return [f"{_describe_drifted_resource(drift)}; {note}" for drift in drifts if drift.path in touched]


def _describe_drifted_resource(drift: Drift) -> str:
    fate = "was deleted" if drift.status == "DELETED" else f"was changed ({', '.join(drift.properties) or 'unknown'})"
    detected = drift.detected_at[:16].replace("T", " ")
    return f"{drift.path} {fate} outside CloudFormation, as detected on {detected} UTC"


def describe_missing_drift(changes: StackChanges, tree: StackTree, environment: str) -> Iterator[str]:
    """Yield the stacks that had drifted by the last detection and in which the change set reverts nothing."""
    reverted = {path.rpartition("/")[0] for path, change in changes.walk() if change.is_drifted}
    for path, stack in tree.walk():
        if stack.drift == "DRIFTED" and path not in reverted:
            detected = f" on {stack.drift_checked_at[:10]}" if stack.drift_checked_at else ""
            yield (
                f"{path or stack.name} had drifted when drift was last detected{detected}, but CloudFormation lists "
                f"nothing to revert there; detect it again: {suggest_command('status', environment, '--drift')}"
            )


def _describe_uncompared_stacks(changes: StackChanges) -> Iterator[str]:
    """AWS does not document whether the nested change sets of a drift-aware change set are drift-aware as well."""
    stacks = [(changes.name, changes)]
    stacks += [(path, change.nested) for path, change in changes.walk() if change.nested and change.action == "Modify"]
    for name, stack in stacks:
        if not stack.drift:
            yield f"{name} was not compared with its actual resources: its drift is neither shown nor reverted"
        elif stack.drift == "UNKNOWN":
            yield f"CloudFormation could not determine whether {name} has drifted"


def _describe_reverted_rights(changes: StackChanges) -> Iterator[str]:
    for path, change in changes.walk():
        names = dict.fromkeys(
            prop.name.split("/")[0] for prop in change.properties if prop.is_drifted and holds_rights(change, prop)
        )
        if names:
            yield (
                f"{path}: what it grants was changed outside CloudFormation ({', '.join(names)}); its changes show "
                "that, and the table of policy changes compares templates only"
            )
