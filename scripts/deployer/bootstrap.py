"""The stack that an account needs first: the artifact bucket, and the roles and boundaries of deployments."""

from botocore.exceptions import ClientError

from scripts.common import templates
from scripts.common.errors import Aborted, UserError, describe_error
from stacks import emit

from .change_set import ExecutionOptions, create_change_set, remove_abandoned
from .deployment_options import ARTIFACTS_STACK
from .follow import execute_and_follow
from .package import Package
from .plan.danger import confirmation_names, find_dangers
from .planning import compare_trees
from .preflight.examine import Preflight
from .session import Session
from .stack import (
    Stack,
    check_owned,
    check_ready,
    delete_failed_creation,
    describe_stack,
    is_deployed,
    is_failed_creation,
    read_snapshot,
    wait_until_idle,
)
from .unneeded_artifacts import delete_unneeded_artifacts
from .upload import upload_package
from .validate import check_lint

# Bytes of a template in a request.
# https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/cloudformation-limits.html
LONGEST_BODY = 51_200

_DENIED = ("AccessDenied", "AccessDeniedException", "UnauthorizedOperation")


def bootstrap(session: Session, preflight: Preflight) -> dict[str, str]:
    """Create or update the bucket's stack if it differs from its template, and return its outputs.

    Raises ``UserError`` if a plan finds no bucket, from which CloudFormation reads nested templates, and if the caller
    is not allowed to change the stack.
    """
    options, cloudformation = session.options, session.cloudformation
    stack = describe_stack(cloudformation, ARTIFACTS_STACK)
    if options.only_plan and not stack.exists:
        preflight.run_checks(with_bootstrap=True)
        raise UserError(f"{ARTIFACTS_STACK} is not deployed, and a plan needs its bucket; deploy once without --plan")
    body = (options.templates / "artifacts.yaml").read_text(encoding="utf-8")
    if not options.only_plan and not is_deployed(cloudformation, stack, body, _with_defaults(options.bootstrap, body)):
        check_owned(stack)
        for finding in check_lint(options.templates):
            session.report.announce_step("Warning", finding)
        preflight.run_checks(with_bootstrap=True)
        purpose = "the bucket that templates and code are deployed from; once per account and Region"
        session.report.announce_step("Bootstrapping", f"{ARTIFACTS_STACK}: {purpose}")
        try:
            stack = _change_bootstrap(session, stack, body)
        except ClientError as error:
            if error.response["Error"]["Code"] not in _DENIED:
                raise
            raise UserError(
                f"{ARTIFACTS_STACK} differs from templates/artifacts.yaml and [bootstrap], and this caller is not "
                "allowed to update it; deploy once with credentials that have the permissions: "
                f"{describe_error(error)}"
            ) from error
    if "BucketName" not in stack.outputs:
        raise UserError(f"{ARTIFACTS_STACK} has no output BucketName; inspect the stack first")
    return stack.outputs


def _with_defaults(parameters: dict[str, str], body: str) -> dict[str, str]:
    declared = templates.parse_template(body).get("Parameters", {})
    return {name: parameters.get(name, str(parameter.get("Default", ""))) for name, parameter in declared.items()}


def _change_bootstrap(session: Session, stack: Stack, body: str) -> Stack:
    """Create or change the bucket's stack like the platform's own.

    A template that is too long for a request is read from the bucket. So the first deployment creates the bucket, and
    then, by a second change set, the boundaries and the roles that deploy.
    """
    cloudformation = session.cloudformation
    if session.options.wait and stack.is_busy:
        stack = wait_until_idle(cloudformation, ARTIFACTS_STACK, session.report)
    if is_failed_creation(stack):
        stack = delete_failed_creation(cloudformation, stack)
    check_owned(stack)
    check_ready(stack)
    for line in remove_abandoned(cloudformation, stack):
        session.report.announce_step("Deleted", line)
    if not stack.exists and not fits_into_request(body):
        bucket_body = without_conditional_parts(body)
        stack = _deploy_template(session, stack, bucket_body, TemplateBody=bucket_body)
    if fits_into_request(body):
        return _deploy_template(session, stack, body, TemplateBody=body)
    target = session.target
    destination = target.destination(stack.outputs["BucketName"], "bootstrap")
    key = destination.content_key(body.encode(), ".yaml")
    s3 = target.client("s3")
    upload_package(Package(destination, {key: body.encode()}, key, body), s3, target.account)
    changed = _deploy_template(session, stack, body, TemplateURL=destination.object_url(key))
    delete_unneeded_artifacts(s3, destination, target.account, {key})
    return changed


def _deploy_template(session: Session, stack: Stack, body: str, **source: str) -> Stack:
    """Show a change set of the template ``body``, located at ``source``, and execute it once it is confirmed."""
    cloudformation, options = session.cloudformation, session.options
    before = read_snapshot(cloudformation, stack)
    after = (templates.Tree(templates.parse_template(body)), options.bootstrap)
    compared = compare_trees(ARTIFACTS_STACK, before.source, after, session.target.pseudo_parameters())
    with create_change_set(cloudformation, stack, options.bootstrap, ExecutionOptions(), **source) as proposal:
        if proposal is None:
            return stack
        plan = compared.make_plan(proposal.changes, proposal.notices)
        session.report.show_plan(plan)
        if not session.confirm(f"Deploy {ARTIFACTS_STACK}?", list(confirmation_names(find_dangers(plan.stack)))):
            raise Aborted(f"{ARTIFACTS_STACK}: not deployed; the change set is deleted")
        with session.follow_stack(plan, ARTIFACTS_STACK) as following:
            execute_and_follow(proposal, before.tree, following)
    return describe_stack(cloudformation, ARTIFACTS_STACK)


def fits_into_request(body: str) -> bool:
    return len(body.encode()) <= LONGEST_BODY


def without_conditional_parts(body: str) -> str:
    """Return the template without the resources and outputs that have a condition."""
    template = templates.to_plain_types(templates.parse_template(body))
    for section in ("Resources", "Outputs"):
        template[section] = {name: part for name, part in template[section].items() if "Condition" not in part}
    del template["Conditions"]
    return emit.to_yaml(template)
