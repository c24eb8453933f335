"""A saved plan: executed exactly as it is, or discarded."""

from pathlib import Path

from scripts.common.errors import Aborted, UserError

from . import change_set
from .deletion_protection import LateProtection
from .deployment_options import Deployed
from .execute import confirmed_losses, execute_plan, finish_deployment
from .plan.danger import find_dangers
from .saved_plan import SavedPlan, digest_changes, load_plan
from .session import Session
from .stack import Stack, StackTree, check_owned, check_ready, describe_stack, read_snapshot


def apply_plan(session: Session, path: Path) -> Deployed:
    """Execute exactly the change set of a saved plan.

    Raises ``UserError`` if the stack or the change set differs from what was planned, and ``Aborted`` if the deployment
    is not confirmed.
    """
    options, report, cloudformation = session.options, session.report, session.cloudformation
    saved_plan = _load_plan(session, path)
    try:
        stack = describe_stack(cloudformation, saved_plan.stack_id)
        if not options.adopt:
            check_owned(stack)
        check_ready(stack, options.environment)
        before = read_snapshot(cloudformation, stack)
        proposal = _read_proposal(session, saved_plan, before.tree)
        proposal.keeps_failed = saved_plan.keeps_failed
    except UserError as error:
        raise UserError(f"{path}: {error}") from None
    report.show_plan(saved_plan.plan)
    losses = confirmed_losses(saved_plan.plan, options.destroys)
    if not session.confirm(f"Deploy {saved_plan.stack_name}?", list(losses)):
        raise Aborted(
            f"{saved_plan.stack_name}: not deployed; the plan is still saved (delete it with --discard {path})"
        )
    late = LateProtection(
        saved_plan.late_parameters, tuple(saved_plan.late_paths), template_url=saved_plan.late_template_url
    )
    execute_plan(session, proposal, before.tree, saved_plan.plan, list(losses.values()), late)
    deployed = finish_deployment(session, before.template_tree, late)
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        report.announce_step("Deployed,", f"but {path} cannot be deleted: {error.strerror}")
    return deployed


def discard_plan(session: Session, path: Path) -> None:
    """Delete a saved plan, its change set, and the empty stack in review that the change set may have created."""
    saved_plan = _load_plan(session, path)
    stack = describe_stack(session.cloudformation, saved_plan.stack_id)
    before = stack if stack.exists else Stack(saved_plan.stack_name)
    change_set.delete_change_set(session.cloudformation, before, saved_plan.change_set_id)
    path.unlink(missing_ok=True)


def _load_plan(session: Session, path: Path) -> SavedPlan:
    """Load the plan. Raises ``UserError`` if it is for another environment, account or Region."""
    saved_plan = load_plan(path)
    expected = {
        "environment": session.options.environment,
        "account": session.target.account,
        "region": session.target.region,
        "stack_name": session.options.stack_name,
    }
    for name, value in expected.items():
        planned = getattr(saved_plan, name)
        if planned != value:
            raise UserError(f"{path}: this plan is for {name.replace('_', ' ')} {planned}, not {value}")
    return saved_plan


def _read_proposal(session: Session, saved_plan: SavedPlan, tree: StackTree) -> change_set.Proposal:
    """Return the plan's change set. Raises ``UserError`` if it or a stack has changed since the plan was made."""
    if {stack.id: stack.changed_at for _, stack in tree.walk() if stack.exists} != saved_plan.changed_at:
        raise UserError("the stack or a nested stack has changed since the plan was made; create a new plan")
    proposal = change_set.read_change_set(session.cloudformation, saved_plan.change_set_id)
    shown_paths = {danger.path for danger in find_dangers(saved_plan.plan.stack)}
    certain_paths = {danger.path for danger in find_dangers(proposal.changes) if not danger.effect.startswith("may")}
    if digest_changes(proposal.changes) != saved_plan.digest or not certain_paths <= shown_paths:
        raise UserError("the change set no longer matches the plan; create a new plan")
    return proposal
