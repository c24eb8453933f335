"""Deletion protection, switched on once what it protects has been created.

A table with deletion protection cannot be deleted, not even by the rollback of the deployment that created it: a first
deployment that fails would end in ROLLBACK_FAILED. So the change set that creates such a table leaves the protection
off, and a second one, in which nothing else changes, switches it on.
https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/WorkingWithTables.Basics.html
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from scripts.common import templates
from scripts.common.errors import AWS_ERRORS, UserError, describe_aws_error
from scripts.common.evaluate import Evaluated, evaluate
from scripts.common.target import Target

from .change_set import Options, proposed
from .failure import DeploymentFailed
from .follow import Follow, execute
from .plan.compare import as_text, compare_stacks
from .plan.model import Change, StackChanges
from .planning import Comparison
from .report.reporter import Reporter
from .stack import describe, describe_tree

_PROPERTY = "DeletionProtectionEnabled"


class NotProtected(UserError):
    """The deployment has succeeded, but its deletion protection is not switched on."""


@dataclass(frozen=True)
class LateProtection:
    """What the second change set of a deployment sets; empty where there is no second one."""

    # Parameters of the root stack, with their values in the second change set.
    parameters: dict[str, str] = field(default_factory=dict)
    # What they protect: Data/Transactions.
    paths: tuple[str, ...] = ()
    # What is created with deletion protection all the same.
    undeletable: tuple[str, ...] = ()

    def leave_off(self, parameters: Mapping[str, str]) -> dict[str, str]:
        """The parameters of the first change set."""
        return {**parameters, **dict.fromkeys(self.parameters, "false")}

    @property
    def notices(self) -> tuple[str, ...]:
        """Lines for the plan."""
        lines = []
        if self.paths:
            lines.append(
                f"{', '.join(self.paths)}: a second change set switches on deletion protection after the creation, "
                "because a failed creation of a protected table cannot be rolled back"
            )
        if self.undeletable:
            lines.append(
                f"{', '.join(self.undeletable)}: created with deletion protection, so that a rollback of this "
                "deployment cannot delete it; the protection of existing tables stays on"
            )
        return tuple(lines)


NOT_LATE = LateProtection()


def find_late_protection(
    compared: Comparison, tree: templates.Tree, parameters: Mapping[str, str], pseudo: Mapping[str, str]
) -> LateProtection:
    """The parameters to set later: each protects something that the deployment creates, and changes nothing else.

    One that already protects a resource stays as it is: protection is not taken off data for a deployment's sake.
    ``tree`` and ``parameters`` are what ``compared.after`` was evaluated from.
    """
    created = set(_protected(compared.after)) & set(_created(compared.changes))
    protected_before = set(_protected(compared.before)) if compared.before else set()
    late: dict[str, str] = {}
    paths: list[str] = []
    for name, value in parameters.items():
        if not created or value != "true":
            continue
        without = evaluate(tree, {**parameters, name: "false"}, pseudo)
        switched = set(_protected(compared.after)) - set(_protected(without))
        if switched & created and not switched & protected_before and _changes_only_protection(compared.after, without):
            late[name] = value
            paths += sorted(switched)
    return LateProtection(late, tuple(paths), tuple(sorted(created - set(paths))))


def switch_on(late: LateProtection, stack_name: str, environment: str, target: Target, report: Reporter) -> None:
    """Execute the second change set, without rollback triggers: those have watched the first.

    Raises ``NotProtected`` if it fails or is interrupted; the next deployment plans what is missing.
    """
    if not late.parameters:
        return
    report.announce_step("Protecting", f"{', '.join(late.paths)} from deletion, with a second change set")
    try:
        _execute_second(late, stack_name, environment, target, report)
    except (*AWS_ERRORS, UserError, KeyboardInterrupt) as error:
        if isinstance(error, DeploymentFailed):
            report.show_failure(error.failure)
        reason = describe_aws_error(error) if isinstance(error, AWS_ERRORS) else str(error) or "interrupted"
        raise NotProtected(
            f"{stack_name} is deployed, but the deletion protection of {', '.join(late.paths)} is not switched on: "
            f"{reason}; to switch it on, deploy again: scripts/deploy.sh {environment}"
        ) from error


def _execute_second(late: LateProtection, stack_name: str, environment: str, target: Target, report: Reporter) -> None:
    cloudformation = target.client("cloudformation")
    stack = describe(cloudformation, stack_name)
    # As deployed: a plan that was saved may be older than the settings of today.
    parameters = stack.parameters | late.parameters
    with proposed(cloudformation, stack, parameters, Options(), UsePreviousTemplate=True) as proposal:
        if proposal is None:
            return
        with report.follow_events(None, stack_name) as watching:
            how = Follow(environment, watching, target.poll_seconds)
            execute(proposal, describe_tree(cloudformation, stack), how)


def _protected(stack: Evaluated, path: str = "") -> Iterator[str]:
    """The paths of all resources with deletion protection."""
    for logical_id, resource in stack.resources.items():
        if as_text(resource.properties.get(_PROPERTY, False)) == "true":
            yield f"{path}{logical_id}"
        if logical_id in stack.nested:
            yield from _protected(stack.nested[logical_id], f"{path}{logical_id}/")


def _created(stack: StackChanges, path: str = "") -> Iterator[str]:
    """The paths of what is created, or replaced by what is."""
    for change in stack.changes:
        if change.action == "Add" or change.replacement != "False":
            yield f"{path}{change.logical_id}"
        if change.nested:
            yield from _created(change.nested, f"{path}{change.logical_id}/")


def _changes_only_protection(one: Evaluated, other: Evaluated) -> bool:
    """Whether nothing differs but deletion protection, and the parameters that carry it to nested stacks."""
    return all(_is_protection_only(change) for change in compare_stacks("", one, other).changes)


def _is_protection_only(change: Change) -> bool:
    if change.action != "Modify":
        return False
    if change.nested:
        names = {each.name.split("/")[0] for each in change.properties}
        return names <= {"Parameters"} and all(map(_is_protection_only, change.nested.changes))
    return {each.name for each in change.properties} == {_PROPERTY}
