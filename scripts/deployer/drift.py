"""What a drift-aware plan has to say beside its changes: where drift may remain, and which rights it reverts."""

from collections.abc import Iterator

from .plan.iam import holds_rights
from .plan.model import StackChanges
from .stack import StackTree


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


def describe_missing_drift(changes: StackChanges, tree: StackTree, environment: str) -> Iterator[str]:
    """Yield the stacks that had drifted by the last detection and in which the change set reverts nothing."""
    reverted = {path.rpartition("/")[0] for path, change in changes.walk() if change.is_drifted}
    for path, stack in tree.walk():
        if stack.drift == "DRIFTED" and path not in reverted:
            detected = f" on {stack.drift_checked_at[:10]}" if stack.drift_checked_at else ""
            yield (
                f"{path or stack.name} had drifted when drift was last detected{detected}, but CloudFormation lists "
                f"nothing to revert there; detect it again: scripts/status.sh {environment} --drift"
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
