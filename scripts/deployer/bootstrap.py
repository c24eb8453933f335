"""What an account needs before anything can be deployed to it: the stack of the artifact bucket, and of who deploys."""

from botocore.exceptions import ClientError

from .change_set import proposed
from .errors import Aborted, DeployError, explained
from .execute import execute
from .order import ARTIFACTS_STACK, Confirm, Order
from .plan import templates
from .plan.danger import dangers, names
from .planning import comparison
from .preflight.examine import Preflight
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
    wait_until_idle,
)
from .target import Target
from .validate import check_lint


def bootstrap(order: Order, target: Target, report: Reporter, confirm: Confirm, preflight: Preflight) -> dict[str, str]:
    """The outputs of the bucket's stack; it is created on first use, and changed when its template has.

    A plan needs the bucket too, because CloudFormation reads nested templates from it.
    """
    cloudformation = target.client("cloudformation")
    stack = describe(cloudformation, ARTIFACTS_STACK)
    if order.only_plan and not stack.exists:
        preflight.examine(with_bootstrap=True)
        raise DeployError(f"{ARTIFACTS_STACK} is not deployed, and a plan needs its bucket; deploy once without --plan")
    body = (order.templates / "artifacts.yaml").read_text(encoding="utf-8")
    if not order.only_plan and not is_deployed(cloudformation, stack, body, _with_defaults(order.bootstrap, body)):
        check_owned(stack)
        check_lint(order.templates)
        preflight.examine(with_bootstrap=True)
        what = "the bucket that templates and code are deployed from; once per account and Region"
        report.step("Bootstrapping", f"{ARTIFACTS_STACK}: {what}")
        try:
            stack = _change(order, target, report, confirm, stack, body)
        except ClientError as error:
            if not _may_not(error):
                raise
            told = "differs from templates/artifacts.yaml and [bootstrap], and this caller is not allowed to update it"
            raise DeployError(
                f"{ARTIFACTS_STACK} {told}; deploy once with credentials that have the permissions: {explained(error)}"
            ) from error
    if "BucketName" not in stack.outputs:
        raise DeployError(f"{ARTIFACTS_STACK} has no output BucketName; inspect the stack first")
    return stack.outputs


def _with_defaults(parameters: dict[str, str], body: str) -> dict[str, str]:
    declared = templates.parse(body).get("Parameters", {})
    return {name: parameters.get(name, str(one.get("Default", ""))) for name, one in declared.items()}


def _may_not(error: ClientError) -> bool:
    return error.response["Error"]["Code"] in ("AccessDenied", "AccessDeniedException", "UnauthorizedOperation")


def _change(order: Order, target: Target, report: Reporter, confirm: Confirm, stack: Stack, body: str) -> Stack:
    """Create or change the bucket's stack, in the same way as the platform's own."""
    cloudformation = target.client("cloudformation")
    if order.wait and stack.busy:
        stack = wait_until_idle(cloudformation, ARTIFACTS_STACK, lambda said: report.step("Waiting", said))
    if is_failed_creation(stack):
        stack = delete_failed_creation(cloudformation, stack)
    check_owned(stack)
    check_ready(stack)
    tree = describe_tree(cloudformation, stack) if stack.exists else StackTree(stack)
    before = (deployed_templates(cloudformation, tree), stack.parameters) if stack.exists else None
    after = (templates.Tree(templates.parse(body)), order.bootstrap)
    compared = comparison(ARTIFACTS_STACK, before, after, target.pseudo_parameters())
    with proposed(cloudformation, stack, order.bootstrap, TemplateBody=body) as proposal:
        if proposal is None:
            return stack
        plan = compared.plan(proposal.changes, proposal.notices)
        report.plan(plan)
        if not confirm(f"Deploy {ARTIFACTS_STACK}?", list(names(dangers(plan.stack)))):
            raise Aborted(f"{ARTIFACTS_STACK}: not deployed; the change set is deleted")
        execute(proposal, tree, plan, "", target, report)
    return describe(cloudformation, ARTIFACTS_STACK)
