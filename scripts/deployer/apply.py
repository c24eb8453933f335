"""A plan that was saved: executed exactly as it is, or dropped."""

from pathlib import Path

from scripts.common.errors import Aborted, UserError
from scripts.common.target import Target

from . import change_set, protect, saved
from .deletion_protection import LateProtection
from .execute import asked_to_go, execute, finish
from .order import Confirm, Deployed, Order
from .plan.danger import find_dangers
from .report.reporter import Reporter
from .stack import Stack, StackTree, check_owned, check_ready, deployed_templates, describe, describe_tree


def apply(order: Order, path: Path, target: Target, report: Reporter, confirm: Confirm) -> Deployed:
    """Execute exactly the change set of a saved plan. Raises ``UserError`` if anything has moved since."""
    plan = saved.load_plan(path)
    _check_place(plan, order, target, path)
    cloudformation = target.client("cloudformation")
    stack = describe(cloudformation, plan.stack_id)
    tree = describe_tree(cloudformation, stack) if stack.exists else StackTree(stack)
    try:
        if not order.adopt:
            check_owned(stack)
        check_ready(stack, order.environment)
        if {one.id: one.changed_at for _, one in tree.walk() if one.exists} != plan.changed_at:
            raise UserError("the stack or a nested stack has changed since the plan was made; create a new plan")
        proposal = change_set.existing(cloudformation, plan.change_set_id)
        shown = {danger.path for danger in find_dangers(plan.plan.stack)}
        certain = {danger.path for danger in find_dangers(proposal.changes) if not danger.effect.startswith("may")}
        if saved.digest(proposal.changes) != plan.digest or not certain <= shown:
            raise UserError("the change set no longer matches the plan; create a new plan")
    except UserError as error:
        raise UserError(f"{path}: {error}") from None
    report.show_plan(plan.plan)
    lost = asked_to_go(plan.plan, order.destroys)
    if not confirm(f"Deploy {plan.stack_name}?", list(lost)):
        raise Aborted(f"{plan.stack_name}: not deployed; the plan is still saved (delete it with --discard {path})")
    before = deployed_templates(cloudformation, tree) if stack.exists else None
    dropped = list(lost.values())
    late = LateProtection(plan.late_parameters, tuple(plan.late_paths))
    with protect.let_go(cloudformation, tree, dropped, lambda said: report.announce_step("Not protected:", said)):
        execute(proposal, tree, plan.plan, order.environment, target, report, late)
    done = finish(order, target, report, before, late)
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        report.announce_step("Deployed,", f"but {path} cannot be deleted: {error.strerror}")
    return done


def discard(order: Order, path: Path, target: Target) -> None:
    """Delete a saved plan, its change set, and the stack in review that it may have made."""
    plan = saved.load_plan(path)
    _check_place(plan, order, target, path)
    cloudformation = target.client("cloudformation")
    stack = describe(cloudformation, plan.stack_id)
    before = stack if stack.exists else Stack(plan.stack_name)
    change_set.discard(cloudformation, before, plan.change_set_id)
    path.unlink(missing_ok=True)


def _check_place(plan: saved.SavedPlan, order: Order, target: Target, path: Path) -> None:
    """The same environment, account and region."""
    here = {
        "environment": order.environment,
        "account": target.account,
        "region": target.region,
        "stack_name": order.stack_name,
    }
    for what, value in here.items():
        if getattr(plan, what) != value:
            raise UserError(f"{path}: this plan is for {what.replace('_', ' ')} {getattr(plan, what)}, not {value}")
