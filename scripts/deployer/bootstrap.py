"""What an account needs before anything can be deployed to it: the stack of the artifact bucket, and of who deploys."""

from .change_set import proposed
from .errors import Aborted, DeployError
from .execute import execute
from .order import Confirm, Order
from .plan import templates
from .plan.danger import dangers
from .planning import comparison
from .report.reporter import Reporter
from .stack import (
    Stack,
    StackTree,
    check_owned,
    check_ready,
    delete_failed_creation,
    deployed_templates,
    describe,
    describe_tree,
    is_deployed,
    is_failed_creation,
)
from .target import Target
from .validate import check_lint

ARTIFACTS_STACK = "payment-artifacts"


def bootstrap(order: Order, target: Target, report: Reporter, confirm: Confirm) -> dict[str, str]:
    """The outputs of the bucket's stack; it is created on first use, and changed when its template has.

    A plan needs the bucket too, because CloudFormation reads nested templates from it.
    """
    cloudformation = target.client("cloudformation")
    stack = describe(cloudformation, ARTIFACTS_STACK)
    if order.only_plan and not stack.exists:
        raise DeployError(f"{ARTIFACTS_STACK} is not deployed, and a plan needs its bucket; deploy once without --plan")
    body = (order.templates / "artifacts.yaml").read_text(encoding="utf-8")
    if not order.only_plan and not is_deployed(cloudformation, stack, body, _with_defaults(order.bootstrap, body)):
        check_lint(order.templates)
        stack = _change(order, target, report, confirm, stack, body)
    if "BucketName" not in stack.outputs:
        raise DeployError(f"{ARTIFACTS_STACK} has no output BucketName; look at it first")
    return stack.outputs


def _with_defaults(parameters: dict[str, str], body: str) -> dict[str, str]:
    declared = templates.parse(body).get("Parameters", {})
    return {name: parameters.get(name, str(one.get("Default", ""))) for name, one in declared.items()}


def _change(order: Order, target: Target, report: Reporter, confirm: Confirm, stack: Stack, body: str) -> Stack:
    """Create or change the bucket's stack, in the same way as the platform's own."""
    cloudformation = target.client("cloudformation")
    if is_failed_creation(stack):
        stack = delete_failed_creation(cloudformation, stack)
    check_owned(stack)
    check_ready(stack, order.environment)
    tree = describe_tree(cloudformation, stack) if stack.exists else StackTree(stack)
    before = (deployed_templates(cloudformation, tree), stack.parameters) if stack.exists else None
    after = (templates.Tree(templates.parse(body)), order.bootstrap)
    compared = comparison(ARTIFACTS_STACK, before, after, target.pseudo_parameters())
    with proposed(cloudformation, stack, order.bootstrap, TemplateBody=body) as proposal:
        if proposal is None:
            return stack
        plan = compared.plan(proposal.changes, proposal.notices)
        report.plan(plan)
        if not confirm(f"Deploy {ARTIFACTS_STACK}?", [danger.name for danger in dangers(plan.stack)]):
            raise Aborted(f"{ARTIFACTS_STACK}: not deployed; the change set is deleted")
        execute(proposal, tree, plan, order.environment, target, report)
    return describe(cloudformation, ARTIFACTS_STACK)
