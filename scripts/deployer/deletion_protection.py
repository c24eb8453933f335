"""Makes the second change set of a deployment: it enables deletion protection, and ends an import.

A table with deletion protection cannot be deleted, not even by the rollback of the deployment that created it: a first
deployment that fails would end in ROLLBACK_FAILED. So the change set that creates such a table disables the protection,
and a second one, which changes nothing else, enables it.
https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/WorkingWithTables.Basics.html

After an import, the second change set also replaces the copies of the templates that the import needed (imports.py).
"""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field

from scripts.common import templates
from scripts.common.errors import AWS_ERRORS, StillRunning, UserError, describe_error
from scripts.common.evaluate import evaluate
from scripts.common.evaluated import Evaluated
from scripts.common.suggestion import suggest_command
from scripts.common.templates import STACK

from .change_set import ExecutionOptions, Incomplete, UnknownExecution, create_change_set
from .failure import DeploymentFailed
from .follow import execute_and_follow
from .plan.compare import as_text, compare_stacks
from .plan.danger import find_dangers
from .plan.model import KNOWN_AFTER_APPLY, Change, PropertyChange, StackChanges
from .planning import Comparison
from .session import Session
from .stack import describe_stack, describe_tree

_PROPERTY = "DeletionProtectionEnabled"
# What the second change set may change.
_CHANGES_OF_RESOURCES = (_PROPERTY, "DeletionPolicy", "UpdateReplacePolicy")
_CHANGES_OF_STACKS = ("TemplateURL", "Parameters")


class NotProtected(Incomplete):
    """The deployment has succeeded, but the second change set has not."""


@dataclass(frozen=True)
class LateProtection:
    """What the second change set of a deployment sets; empty if none is needed."""

    # Parameters of the root stack, with their values in the second change set.
    parameters: dict[str, str] = field(default_factory=dict)
    # The paths of what they protect, such as Data/Transactions.
    paths: tuple[str, ...] = ()
    # The paths of what is created with deletion protection nevertheless.
    undeletable: tuple[str, ...] = ()
    # The location of the template that follows the one of an import; empty to keep the template.
    template_url: str = ""

    @property
    def purpose(self) -> str:
        """What the second change set does, for messages; empty if none is needed."""
        purposes = [f"protects {', '.join(self.paths)} from deletion"] if self.parameters else []
        purposes += ["replaces the import's copies of the templates"] if self.template_url else []
        return " and ".join(purposes)

    def leave_off(self, parameters: Mapping[str, str]) -> dict[str, str]:
        """Return the parameters for the first change set."""
        return {**parameters, **dict.fromkeys(self.parameters, "false")}

    @property
    def notices(self) -> tuple[str, ...]:
        """The notices for the plan."""
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


def find_late_protection(
    compared: Comparison, tree: templates.Tree, parameters: Mapping[str, str], pseudo: Mapping[str, str]
) -> LateProtection:
    """Return the parameters to set later, each of which only protects resources that the deployment creates.

    A parameter that already protects a resource is not among them, so that no deployment removes protection from data.
    ``compared.after`` is the evaluation of ``tree`` with ``parameters``.
    """
    protected_after = _find_protected(compared.after)
    created = protected_after & {path for path, change in compared.changes.walk() if change.creates_resource}
    protected_before = _find_protected(compared.before) if compared.before else set()
    late: dict[str, str] = {}
    paths: list[str] = []
    for name, value in parameters.items():
        if not created or value != "true":
            continue
        without = evaluate(tree, {**parameters, name: "false"}, pseudo)
        switched = protected_after - _find_protected(without)
        if switched & created and not switched & protected_before and _changes_only_protection(compared.after, without):
            late[name] = value
            paths += sorted(switched)
    return LateProtection(late, tuple(paths), tuple(sorted(created - set(paths))))


def switch_on_protection(session: Session, late: LateProtection) -> str:
    """Execute the second change set, without rollback triggers.

    Raises ``NotProtected`` if it fails, and ``StillRunning`` if it is executed, and cannot be followed to its end.
    Returns the id of the last event of the stack, or an empty text if there is nothing to execute.
    """
    if not late.purpose:
        return ""
    stack_name, environment = session.options.stack_name, session.options.environment
    try:
        session.report.announce_step("Completing", f"with a second change set, which {late.purpose}")
        return _execute_second_change_set(session, late)
    except UnknownExecution as error:
        raise UnknownExecution(
            f"{stack_name} is deployed; of its second change set, which {late.purpose}: {error}; if it is not "
            f"executed, deploy again: {suggest_command('deploy', environment)}"
        ) from error
    except StillRunning as error:
        raise StillRunning(
            f"{stack_name} is deployed, and its second change set, which {late.purpose}, is being executed: {error}; "
            f"afterwards, complete the rest: {suggest_command('deploy', environment)}"
        ) from error
    except (*AWS_ERRORS, UserError, KeyboardInterrupt) as error:
        if isinstance(error, DeploymentFailed):
            # What follows says more.
            with suppress(KeyboardInterrupt):
                session.report.show_failure(error.failure)
        reason = describe_error(error)
        fate = "has failed" if isinstance(error, DeploymentFailed) else "was not executed"
        state, task = f"its second change set {fate}", "complete it"
        if late.parameters:
            state, task = f"the deletion protection of {', '.join(late.paths)} is not switched on", "switch it on"
        raise NotProtected(
            f"{stack_name} is deployed, but {state}: {reason}; to {task}, deploy again: "
            f"{suggest_command('deploy', environment)}"
        ) from error


def _execute_second_change_set(session: Session, late: LateProtection) -> str:
    cloudformation = session.cloudformation
    stack = describe_stack(cloudformation, session.options.stack_name)
    # The deployed values: a saved plan may be older than the current settings.
    parameters = stack.parameters | late.parameters
    template: dict[str, str | bool] = (
        {"TemplateURL": late.template_url} if late.template_url else {"UsePreviousTemplate": True}
    )
    with create_change_set(cloudformation, stack, parameters, ExecutionOptions(), **template) as proposal:
        if proposal is None:
            return ""
        check_second_changes(proposal.changes)
        with session.follow_stack(None, stack.name) as following:
            return execute_and_follow(proposal, describe_tree(cloudformation, stack), following).id


def check_second_changes(changes: StackChanges) -> None:
    """Raise ``UserError`` unless the change set changes expressions, policies and deletion protection only.

    Nobody has seen its plan, so it must not create, replace or remove a resource, or change any other value. A value
    that depends on another nested stack is not known in advance, and stays as it is.
    """
    for path, change in changes.walk():
        known_changes = [prop for prop in change.properties if KNOWN_AFTER_APPLY not in (prop.after or "")]
        if change.action != "Modify" or _may_be_replaced(change, known_changes):
            raise UserError(f"CloudFormation would replace, create or remove {path}")
        allowed = _CHANGES_OF_STACKS if change.resource_type == STACK else _CHANGES_OF_RESOURCES
        for prop in known_changes:
            if prop.before != prop.after and prop.name.split("/")[0] not in allowed:
                raise UserError(f"CloudFormation would change {prop.name} of {path}")
    for danger in find_dangers(changes):
        if any(KNOWN_AFTER_APPLY not in (cause.after or "") for cause in danger.causes):
            raise UserError(f"CloudFormation would change more: {danger}")


def _may_be_replaced(change: Change, known_changes: list[PropertyChange]) -> bool:
    if change.resource_type == STACK:
        # A nested stack is updated in place, whatever a service without nested change sets lists.
        return False
    is_caused = not change.properties or any(prop.recreation != "Never" for prop in known_changes)
    return change.replacement == "True" or (change.replacement == "Conditional" and is_caused)


def _find_protected(stack: Evaluated) -> set[str]:
    return {path for path, resource in stack.walk() if as_text(resource.properties.get(_PROPERTY, False)) == "true"}


def _changes_only_protection(before: Evaluated, after: Evaluated) -> bool:
    """Whether only deletion protection differs, and the parameters that pass it to nested stacks."""
    return all(_is_protection_only(change) for change in compare_stacks("", before, after).changes)


def _is_protection_only(change: Change) -> bool:
    if change.action != "Modify":
        return False
    if change.nested:
        names = {part.name.split("/")[0] for part in change.properties}
        return names <= {"Parameters"} and all(map(_is_protection_only, change.nested.changes))
    return {part.name for part in change.properties} == {_PROPERTY}
