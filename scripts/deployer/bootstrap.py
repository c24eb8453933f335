"""The stack that an account needs first: the artifact bucket, and the roles and boundaries of deployments."""

from collections.abc import Sequence
from dataclasses import dataclass

from botocore.exceptions import ClientError

from scripts.common import templates
from scripts.common.errors import Aborted, StillRunning, UserError, raise_both
from scripts.common.suggestion import suggest_command
from stacks import emit

from .bootstrap_change import BootstrapChange, check_not_overtaken, complete_parameters, find_change
from .bootstrap_proposal import describe_rest, explain_denial, fits_into_request
from .change_set import ExecutionOptions, check_unchanged, create_change_set, remove_abandoned
from .deployment_options import ARTIFACTS_STACK
from .follow import execute_and_follow
from .package import Package
from .plan.danger import check_confirmed_names, confirmation_names, find_dangers
from .planning import compare_trees
from .preflight.examine import Preflight
from .remains import delete_remains
from .session import Session
from .stack import (
    Stack,
    check_owned,
    check_ready,
    describe_stack,
    is_failed_creation,
    read_original_template,
    read_snapshot,
    wait_until_idle,
)
from .unneeded_artifacts import delete_artifacts, find_unneeded_artifacts
from .upload import upload_package
from .validate import check_lint


@dataclass(frozen=True)
class Bootstrapped:
    """The artifacts stack, and how it still differs from its template and settings."""

    stack: Stack
    change: BootstrapChange | None


def bootstrap(session: Session, preflight: Preflight) -> Bootstrapped | None:
    """Return the artifacts stack as the platform's change set needs it; None if that is only planned.

    The platform's change set reads nested templates from the bucket, and names CloudFormation's role if the settings
    have one. So what is missing of them is confirmed and deployed first. All else is a change to plan and to deploy
    together with the platform. Raises ``UserError`` if the stack cannot be updated.
    """
    options, cloudformation = session.options, session.cloudformation
    stack = describe_stack(cloudformation, ARTIFACTS_STACK)
    if options.wait and stack.is_busy:
        stack = wait_until_idle(cloudformation, ARTIFACTS_STACK, session.report)
    if not options.only_plan:
        # Whether or not the stack changes now: the run that left them may have had another template.
        # Whoever may not list its change sets, such as GitHub's roles, has made none.
        for line in remove_abandoned(cloudformation, stack, reports_denial=False):
            session.report.announce_step("Deleted", line)
    missing = _describe_missing(session, stack)
    if missing and options.out:
        raise UserError(f"{ARTIFACTS_STACK} {missing}, so no plan can be saved; deploy once without --out")
    if missing:
        preflight.run_checks(with_bootstrap=True)
    if missing and options.only_plan:
        _plan_first(session, stack, missing)
        return None
    if missing:
        stack = _bootstrap_first(session, stack, missing)
    if "BucketName" not in stack.outputs:
        check_ready(stack)
        raise UserError(f"{ARTIFACTS_STACK} has no output BucketName; inspect the stack first")
    return Bootstrapped(stack, find_change(session, stack))


def _describe_missing(session: Session, stack: Stack) -> str:
    """Return what the platform's change set needs and the stack does not have; empty if it has everything."""
    if not stack.exists:
        return "does not exist yet"
    if is_failed_creation(stack):
        return "could not be created"
    needs_role = session.options.bootstrap.get("ServiceRole") == "true"
    is_role_missing = needs_role and "BucketName" in stack.outputs and "ServiceRoleArn" not in stack.outputs
    return "does not have CloudFormation's role yet, though service_role is true" if is_role_missing else ""


def _plan_first(session: Session, stack: Stack, missing: str) -> None:
    """Show the plan of the artifacts stack alone, from a comparison: without the bucket there is no change set."""
    options, pseudo = session.options, session.target.pseudo_parameters()
    body = (options.templates / "artifacts.yaml").read_text(encoding="utf-8")
    before = None
    if stack.exists and not is_failed_creation(stack):
        deployed = templates.parse_template(read_original_template(session.cloudformation, stack.name))
        before = (templates.Tree(deployed), stack.parameters)
    after = (templates.Tree(templates.parse_template(body)), complete_parameters(options.bootstrap, body))
    notice = (
        f"{ARTIFACTS_STACK} {missing}: {options.stack_name} can be planned after it; "
        f"{suggest_command('deploy', options.environment)} asks for one after the other"
    )
    compared = compare_trees(ARTIFACTS_STACK, before, after, pseudo)
    source = f"From templates/artifacts.yaml: {ARTIFACTS_STACK} {missing}."
    session.report.show_plan(compared.make_offline_plan(source, (notice,)))


def _bootstrap_first(session: Session, stack: Stack, missing: str) -> Stack:
    """Deploy the artifacts stack before anything else, but take no rights away yet.

    Each step has a heading, and a question of its own; the last heading is that of the platform.
    """
    options, report = session.options, session.report
    body = (options.templates / "artifacts.yaml").read_text(encoding="utf-8")
    change = find_change(session, stack) if stack.exists and not is_failed_creation(stack) else None
    if change and change.problem:
        raise UserError(f"{change.problem}; nothing was changed")
    check_owned(stack)
    if not describe_stack(session.cloudformation, options.stack_name).status:
        # Before the first step: the platform, which is planned only in the last one, has nothing to lose yet.
        check_confirmed_names({}, options.destroys)
    for finding in check_lint(options.templates):
        report.announce_step("Warning", finding)
    body = change.text_during if change else body
    steps = _list_steps(is_new=not stack.exists or is_failed_creation(stack), body=body, missing=missing)
    try:
        stack = _change_bootstrap(session, stack, body, steps, change)
    except ClientError as error:
        raise explain_denial(error) from error
    except StillRunning as error:
        raise_both(error, f"{options.stack_name} {describe_rest(options.environment)}")
    report.announce_step(f"Step {len(steps) + 1} of {len(steps) + 1}:", f"{options.stack_name}, the platform itself")
    return stack


def _list_steps(*, is_new: bool, body: str, missing: str) -> list[str]:
    """Return what each change set of the artifacts stack deploys: two if its template is read from its own bucket."""
    if not is_new:
        return [f"{ARTIFACTS_STACK}, which {missing}"]
    bucket = f"{ARTIFACTS_STACK}, the bucket that templates and code are deployed from; once per account and Region"
    if fits_into_request(body):
        return [bucket]
    return [bucket, f"{ARTIFACTS_STACK} again, the permissions boundaries and the roles that deploy"]


def _change_bootstrap(
    session: Session, stack: Stack, body: str, steps: Sequence[str], change: BootstrapChange | None
) -> Stack:
    """Create or change the bucket's stack like the platform's own.

    A template that is too long for a request is read from the bucket. So the first deployment creates the bucket, and
    then, by a second change set, the boundaries and the roles that deploy. ``change`` is what the body of an existing
    stack rests on.
    """
    if is_failed_creation(stack):
        stack = delete_remains(session, stack)
    check_owned(stack)
    check_ready(stack)
    headings = [(f"Step {number} of {len(steps) + 1}:", step) for number, step in enumerate(steps, start=1)]
    if not stack.exists and not fits_into_request(body):
        bucket_body = without_conditional_parts(body)
        stack = _deploy_template(session, stack, bucket_body, headings[0], None, TemplateBody=bucket_body)
    if fits_into_request(body):
        return _deploy_template(session, stack, body, headings[-1], change, TemplateBody=body)
    target = session.target
    destination = target.destination(stack.outputs["BucketName"], "bootstrap")
    key = destination.content_key(body.encode(), ".yaml")
    s3 = target.client("s3")
    upload_package(Package(destination, {key: body.encode()}, key, body), s3, target.account)
    changed = _deploy_template(session, stack, body, headings[-1], change, TemplateURL=destination.object_url(key))
    unneeded = find_unneeded_artifacts(s3, destination, target.account, {key})
    delete_artifacts(s3, destination, target.account, unneeded)
    return changed


def _deploy_template(
    session: Session,
    stack: Stack,
    body: str,
    heading: tuple[str, str],
    change: BootstrapChange | None,
    **source: str,
) -> Stack:
    """Show a change set of the template ``body``, located at ``source``, and execute it once it is confirmed.

    The ``heading``, a title and what the step deploys, comes first. Raises ``Overtaken`` if what the ``change`` of an
    existing stack rests on has changed since it was read: the body keeps the rights of the releases of then.
    """
    cloudformation, options = session.cloudformation, session.options
    before = read_snapshot(cloudformation, stack)
    after = (templates.Tree(templates.parse_template(body)), options.bootstrap)
    compared = compare_trees(ARTIFACTS_STACK, before.source, after, session.target.pseudo_parameters())
    with create_change_set(cloudformation, stack, options.bootstrap, ExecutionOptions(), **source) as proposal:
        if proposal is None:
            return stack
        check_unchanged(cloudformation, before.tree)
        if change is not None:
            check_not_overtaken(session, change)
        plan = compared.make_plan(proposal.changes, proposal.notices)
        session.report.announce_step(*heading)
        session.report.show_plan(plan)
        losses = list(confirmation_names(find_dangers(plan.stack)))
        try:
            is_confirmed = session.confirm(f"Deploy {ARTIFACTS_STACK}?", losses)
        except KeyboardInterrupt:
            raise KeyboardInterrupt(f"{ARTIFACTS_STACK} and {options.stack_name} were not changed") from None
        if not is_confirmed:
            step = heading[0].rstrip(":").lower()
            again = suggest_command("deploy", options.environment)
            raise Aborted(
                f"{ARTIFACTS_STACK}: {step} was not deployed; the change set is deleted; continue with {again}"
            )
        if change is not None:
            check_not_overtaken(session, change)
        with session.follow_stack(plan, ARTIFACTS_STACK) as following:
            execute_and_follow(proposal, before.tree, following)
    return describe_stack(cloudformation, ARTIFACTS_STACK)


def without_conditional_parts(body: str) -> str:
    """Return the template without the resources and outputs that have a condition."""
    template = templates.to_plain_types(templates.parse_template(body))
    for section in ("Resources", "Outputs"):
        template[section] = {name: part for name, part in template[section].items() if "Condition" not in part}
    del template["Conditions"]
    return emit.to_yaml(template)
