"""A plan that was saved: executed exactly as it is, or dropped."""

from pathlib import Path

from . import change_set, protect, saved
from .bootstrap import ARTIFACTS_STACK
from .errors import Aborted, DeployError
from .execute import asked_to_go, execute, finish, tidy_up
from .order import Confirm, Deployed, Order
from .report.reporter import Reporter
from .stack import Stack, StackTree, check_ready, deployed_templates, describe, describe_tree
from .target import Target


def apply(order: Order, path: Path, target: Target, report: Reporter, confirm: Confirm) -> Deployed:
    """Execute exactly the change set of a saved plan. Raises ``DeployError`` if anything has moved since."""
    plan = saved.load_plan(path)
    _check_place(plan, order, target, path)
    cloudformation = target.client("cloudformation")
    stack = describe(cloudformation, plan.stack_id)
    tree = describe_tree(cloudformation, stack) if stack.exists else StackTree(stack)
    try:
        check_ready(stack, order.environment)
        if {one.id: one.changed_at for _, one in tree.walk() if one.exists} != plan.changed_at:
            raise DeployError("the stack, or one nested in it, was changed since; plan again")
        proposal = change_set.existing(cloudformation, plan.change_set_id)
        if saved.digest(proposal.changes) != plan.digest:
            raise DeployError("its change set says something else by now; plan again")
    except DeployError as error:
        raise DeployError(f"{path}: {error}") from None
    report.plan(plan.plan)
    lost = asked_to_go(plan.plan, order.destroys)
    if not confirm(f"Deploy {plan.stack_name}?", [danger.name for danger in lost]):
        raise Aborted(f"{plan.stack_name}: not deployed; the plan waits, or drop it: --discard {path}")
    before = deployed_templates(cloudformation, tree) if stack.exists else None
    with protect.let_go(cloudformation, tree, lost):
        execute(proposal, tree, plan.plan, order.environment, target, report)
    path.unlink(missing_ok=True)
    done = finish(order, target, report)
    after = deployed_templates(cloudformation, describe_tree(cloudformation, describe(cloudformation, plan.stack_id)))
    bucket = describe(cloudformation, ARTIFACTS_STACK).outputs["BucketName"]
    tidy_up(order, target, report, before, after, target.destination(bucket, order.environment))
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
    here = {"environment": order.environment, "account": target.account, "region": target.region}
    for what, value in here.items():
        if getattr(plan, what) != value:
            raise DeployError(f"{path}: a plan for {what} {getattr(plan, what)}, not for {value}")
