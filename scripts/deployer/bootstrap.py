"""What an account needs before anything can be deployed to it: the stack of the artifact bucket, and of who deploys."""

from botocore.exceptions import ClientError

from scripts.common import templates
from scripts.common.errors import Aborted, UserError, describe_aws_error
from scripts.common.target import Target
from stacks import emit

from .change_set import Options, proposed
from .execute import execute
from .order import ARTIFACTS_STACK, Confirm, Order
from .package import Package
from .plan.danger import confirmation_names, find_dangers
from .planning import comparison
from .preflight.examine import Preflight
from .report.reporter import Reporter
from .retire import delete_unneeded_artifacts
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
from .upload import upload_package
from .validate import check_lint

# Bytes of a template in a request.
# https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/cloudformation-limits.html
LONGEST_BODY = 51_200


def bootstrap(order: Order, target: Target, report: Reporter, confirm: Confirm, preflight: Preflight) -> dict[str, str]:
    """The outputs of the bucket's stack; it is created on first use, and changed when its template has.

    A plan needs the bucket too, because CloudFormation reads nested templates from it.
    """
    cloudformation = target.client("cloudformation")
    stack = describe(cloudformation, ARTIFACTS_STACK)
    if order.only_plan and not stack.exists:
        preflight.run_checks(with_bootstrap=True)
        raise UserError(f"{ARTIFACTS_STACK} is not deployed, and a plan needs its bucket; deploy once without --plan")
    body = (order.templates / "artifacts.yaml").read_text(encoding="utf-8")
    if not order.only_plan and not is_deployed(cloudformation, stack, body, _with_defaults(order.bootstrap, body)):
        check_owned(stack)
        check_lint(order.templates)
        preflight.run_checks(with_bootstrap=True)
        what = "the bucket that templates and code are deployed from; once per account and Region"
        report.announce_step("Bootstrapping", f"{ARTIFACTS_STACK}: {what}")
        try:
            stack = _change(order, target, report, confirm, stack, body)
        except ClientError as error:
            if not _may_not(error):
                raise
            told = "differs from templates/artifacts.yaml and [bootstrap], and this caller is not allowed to update it"
            raise UserError(
                f"{ARTIFACTS_STACK} {told}; deploy once with credentials that have the permissions: "
                f"{describe_aws_error(error)}"
            ) from error
    if "BucketName" not in stack.outputs:
        raise UserError(f"{ARTIFACTS_STACK} has no output BucketName; inspect the stack first")
    return stack.outputs


def _with_defaults(parameters: dict[str, str], body: str) -> dict[str, str]:
    declared = templates.parse_template(body).get("Parameters", {})
    return {name: parameters.get(name, str(one.get("Default", ""))) for name, one in declared.items()}


def _may_not(error: ClientError) -> bool:
    return error.response["Error"]["Code"] in ("AccessDenied", "AccessDeniedException", "UnauthorizedOperation")


def _change(order: Order, target: Target, report: Reporter, confirm: Confirm, stack: Stack, body: str) -> Stack:
    """Create or change the bucket's stack, in the same way as the platform's own.

    A template that is longer than a request comes from the bucket. So the first deployment creates the bucket first,
    and then, with a second change set, what depends on a setting: the boundaries and the roles that deploy.
    """
    cloudformation = target.client("cloudformation")
    if order.wait and stack.busy:
        stack = wait_until_idle(cloudformation, ARTIFACTS_STACK, lambda said: report.announce_step("Waiting", said))
    if is_failed_creation(stack):
        stack = delete_failed_creation(cloudformation, stack)
    check_owned(stack)
    check_ready(stack)
    if not stack.exists and not fits_into_request(body):
        bucket_body = without_conditional_parts(body)
        stack = _deploy(order, target, report, confirm, stack, bucket_body, {"TemplateBody": bucket_body})
    if fits_into_request(body):
        return _deploy(order, target, report, confirm, stack, body, {"TemplateBody": body})
    destination = target.destination(stack.outputs["BucketName"], "bootstrap")
    key = destination.content_key(body.encode(), ".yaml")
    s3 = target.client("s3")
    upload_package(Package(destination, {key: body.encode()}, key, body), s3, target.account)
    changed = _deploy(order, target, report, confirm, stack, body, {"TemplateURL": destination.object_url(key)})
    delete_unneeded_artifacts(s3, destination, target.account, {key})
    return changed


def _deploy(
    order: Order, target: Target, report: Reporter, confirm: Confirm, stack: Stack, body: str, source: dict[str, str]
) -> Stack:
    """Show a change set of the template at ``source``, whose text is ``body``, and execute it once it is confirmed."""
    cloudformation = target.client("cloudformation")
    tree = describe_tree(cloudformation, stack) if stack.exists else StackTree(stack)
    before = (deployed_templates(cloudformation, tree), stack.parameters) if stack.exists else None
    after = (templates.Tree(templates.parse_template(body)), order.bootstrap)
    compared = comparison(ARTIFACTS_STACK, before, after, target.pseudo_parameters())
    with proposed(cloudformation, stack, order.bootstrap, Options(), **source) as proposal:
        if proposal is None:
            return stack
        plan = compared.plan(proposal.changes, proposal.notices)
        report.show_plan(plan)
        if not confirm(f"Deploy {ARTIFACTS_STACK}?", list(confirmation_names(find_dangers(plan.stack)))):
            raise Aborted(f"{ARTIFACTS_STACK}: not deployed; the change set is deleted")
        execute(proposal, tree, plan, "", target, report)
    return describe(cloudformation, ARTIFACTS_STACK)


def fits_into_request(body: str) -> bool:
    return len(body.encode()) <= LONGEST_BODY


def without_conditional_parts(body: str) -> str:
    """The template without the resources and outputs that have a condition."""
    template = templates.to_plain_types(templates.parse_template(body))
    for section in ("Resources", "Outputs"):
        template[section] = {name: part for name, part in template[section].items() if "Condition" not in part}
    del template["Conditions"]
    return emit.to_yaml(template)
