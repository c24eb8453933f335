"""The steps in order: validate, package, compare, examine, upload, change set, plan, confirm, execute, outputs."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from scripts.common import templates
from scripts.common.errors import Aborted, UserError

from . import planning
from .abandoned import describe_full_stacks
from .bootstrap import bootstrap
from .change_set import Overtaken, Proposal, create_change_set, remove_abandoned
from .deletion_protection import LateProtection, find_late_protection
from .deployment_options import ARTIFACTS_STACK, Deployed
from .drift import describe_drift, describe_last_detection, describe_missing_drift
from .execute import confirmed_losses, execute_plan, finish_deployment, keep_protected, record_deployment
from .execution_options import (
    check_change_set,
    check_continuation,
    check_options,
    check_unfinished,
    choose_execution,
    describe_execution,
    watches_alarms,
)
from .imports import check_imported, copy_for_import, describe_imports
from .package import Package, package_templates, repackage_for_plan
from .plan.model import Plan, StackChanges
from .preflight.examine import Preflight
from .preflight.importable import ImportedResource
from .saved_plan import SavedPlan, digest_changes, save_plan
from .session import Session
from .stack import (
    Snapshot,
    Stack,
    StackTree,
    check_owned,
    check_ready,
    delete_failed_creation,
    describe_stack,
    is_failed_creation,
    read_snapshot,
    wait_until_idle,
)
from .stack_safeguards import find_rollback_triggers
from .statuses import list_commands
from .upload import upload_package
from .validate import check_fresh, check_lint

# How often a deployment that waits is planned again because another one was faster.
_MOST_REPETITIONS = 10


def deploy(session: Session) -> Deployed:
    """Deploy the platform, or only plan to: a plan changes no stack, and leaves nothing but files in the bucket.

    A deployment that waits is planned again, and asks again, if another one is faster. Raises ``Overtaken`` for one
    that does not wait, ``UserError`` for anything else that a user can correct, and ``Aborted`` without confirmation.
    """
    commands = list_commands(session.options.stack_name, session.options.environment)
    for _ in range(_MOST_REPETITIONS):
        try:
            return _deploy_once(session)
        except Overtaken as error:
            overtaken = error
            if not session.options.wait:
                break
            session.report.announce_step("Planning again:", str(error))
    raise Overtaken(
        f"{overtaken}; plan again: {commands['deploy']}, or {commands['wait']}, which waits and plans again"
    )


def _deploy_once(session: Session) -> Deployed:
    options, target, report = session.options, session.target, session.report
    check_options(options)
    check_fresh(options.templates)
    preflight = Preflight(options, target, report)
    bucket = bootstrap(session, preflight)
    if options.bootstrap.get("ServiceRole") == "true" and "ServiceRoleArn" not in bucket:
        raise UserError(
            f"{ARTIFACTS_STACK} does not have CloudFormation's role yet, though service_role is true; deploy without "
            "--plan, with credentials that may update it"
        )
    packaged = package_templates(
        options.templates / "parent.yaml", target.destination(bucket["BucketName"], options.environment), target.runtime
    )
    stack = _prepare_stack(session, preflight)
    is_same, before = _compare_deployed(session, stack, packaged)
    if is_same and not options.revert_drift:
        return _end_unchanged(session, stack, packaged)
    preflight.run_checks()
    imported = _find_imported_resources(session, preflight)
    first = copy_for_import(packaged, imported) if imported else packaged
    # A saved plan may be executed later, so it needs all files; those of a deployed tree are there already, and other
    # locations of its templates would be changes.
    needs_all = options.out or is_same or not options.only_plan
    uploaded = first if needs_all else repackage_for_plan(first)
    _upload_files(session, uploaded)
    before = before or read_snapshot(session.cloudformation, stack)
    role_arn = bucket.get("ServiceRoleArn", "")
    deployed = _deploy_changes(
        session,
        before,
        planning.parse_package(first),
        uploaded.template_url,
        role_arn,
        imported,
        packaged.template_url if imported else "",
    )
    return _end_unchanged(session, stack, packaged) if is_same and not deployed.changed else deployed


def _compare_deployed(session: Session, stack: Stack, packaged: Package) -> tuple[bool, Snapshot | None]:
    """Return whether a deployment has nothing to do, and what is deployed if that had to be read to know it.

    Other texts with equal values, such as another description, are nothing to do: CloudFormation would refuse a change
    set of them, each time, and the deployed text would stay another one. Empty change sets of nested stacks are never
    deleted, and count against a quota.
    https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/template-description-structure.html
    """
    options, cloudformation = session.options, session.cloudformation
    # An adopted stack is updated even if nothing else changes, because it gets the owner tag.
    if not stack.exists or not stack.owned or stack.keeps_failed or stack.parameters != options.parameters:
        return False, None
    before = read_snapshot(cloudformation, stack)
    after = planning.parse_package(packaged)
    # Of the whole tree: a stack refactor changes nested stacks without their parent.
    if before.template_tree == after:
        return True, before
    source, pseudo = (after, options.parameters), session.target.pseudo_parameters()
    compared = planning.compare_trees(stack.name, before.source, source, pseudo)
    # The parent of a refactored stack has to name its template again, before a rollback returns to the old one.
    return compared.is_empty and not before.refactored, before


def _end_unchanged(session: Session, stack: Stack, packaged: Package) -> Deployed:
    if not session.options.only_plan:
        _complete_last_deployment(session, stack, packaged)
    return Deployed(stack.outputs, changed=False)


def _find_imported_resources(session: Session, preflight: Preflight) -> tuple[ImportedResource, ...]:
    """Return the resources to import, in a deployment that imports. Raises ``UserError`` if there are none."""
    options = session.options
    if not options.imports_existing:
        return ()
    imported = preflight.find_imported_resources()
    if not imported:
        raise UserError(
            f"nothing to import: no resource that {options.stack_name} would create exists; deploy it with "
            f"scripts/deploy.sh {options.environment}"
        )
    return imported


def _complete_last_deployment(session: Session, stack: Stack, packaged: Package) -> None:
    """Protect and record the deployed environment if an interrupted deployment, or another machine, did not."""
    options = session.options
    is_protected = options.rollout.termination_protection or options.rollout.stack_policy
    is_recorded = options.record is None or options.record.exists()
    if is_recorded and not is_protected:
        return
    deployed = read_snapshot(session.cloudformation, stack)
    keep_protected(session, deployed.tree)
    if not is_recorded:
        record_deployment(session, deployed, packaged.destination)


def _prepare_stack(session: Session, preflight: Preflight) -> Stack:
    """Return the platform's stack, ready for a change set."""
    options, report, cloudformation = session.options, session.report, session.cloudformation
    stack = describe_stack(cloudformation, options.stack_name)
    if options.wait and stack.is_busy:
        stack = wait_until_idle(cloudformation, options.stack_name, report)
    if is_failed_creation(stack) and not options.only_plan:
        preflight.run_checks()
        report.announce_step("Deleting", f"{stack.name}, left over from a failed creation")
        stack = delete_failed_creation(cloudformation, stack)
    if not options.adopt:
        check_owned(stack)
    check_ready(stack, options.environment)
    if not options.only_plan:
        for line in remove_abandoned(cloudformation, stack):
            report.announce_step("Deleted", line)
    check_continuation(options, stack)
    return stack


def _upload_files(session: Session, packaged: Package) -> None:
    """Upload the package, unless cfn-lint has findings in its templates."""
    options, report = session.options, session.report
    report.announce_step("Validating", f"{len(list(options.templates.glob('*.yaml')))} templates with cfn-lint")
    for finding in check_lint(options.templates):
        report.announce_step("Warning", finding)
    layers = bool(packaged.layers) and options.parameters.get("Gateway") == "stripe"
    report.announce_step("Packaging", f"{len(packaged.files)} files" + (", and the layer" if layers else ""))
    uploaded = upload_package(packaged, session.target.client("s3"), session.target.account, layers=layers)
    report.announce_step(
        "Uploaded", "all" if uploaded == len(packaged.files) else f"{uploaded}; the others are there already"
    )


def _deploy_changes(
    session: Session,
    before: Snapshot,
    after: templates.Tree,
    template_url: str,
    role_arn: str,
    imported: Sequence[ImportedResource],
    late_template_url: str,
) -> Deployed:
    """Show a change set of the uploaded templates, and save it, or execute it once it is confirmed.

    ``late_template_url`` locates the template of the second change set after an import.
    """
    options, target, report = session.options, session.target, session.report
    stack = before.tree.stack
    pseudo = target.pseudo_parameters()
    parameters = options.parameters
    compared = planning.compare_trees(stack.name, before.source, (after, parameters), pseudo)
    late = replace(find_late_protection(compared, after, parameters, pseudo), template_url=late_template_url)
    if late.parameters:
        parameters = late.leave_off(parameters)
        compared = planning.compare_trees(stack.name, before.source, (after, parameters), pseudo)
    alarms, notices = _choose_alarms(session, stack, compared)
    execution = choose_execution(options, stack, role_arn, alarms)
    report.announce_step("Planning", f"a change set of {stack.name}")
    with create_change_set(session.cloudformation, stack, parameters, execution, TemplateURL=template_url) as proposal:
        if proposal is None:
            check_unfinished(options, stack)
            if options.revert_drift:
                for notice in describe_missing_drift(StackChanges(stack.name), before.tree, options.environment):
                    report.announce_step("Warning", notice)
            return Deployed(stack.outputs, changed=False)
        check_imported(proposal.changes, imported)
        notices += describe_imports(imported, options.environment)
        notices += compared.describe_moves(options.environment, has_stack_policies=options.rollout.stack_policy)
        plan = compared.make_plan(proposal.changes, (*proposal.notices, *notices, *late.notices))
        check_change_set(options, stack, plan.stack, late)
        ways = describe_execution(execution, stack, plan.stack)
        drift = describe_drift(proposal.changes, before.tree, options.environment)
        detected = (
            *describe_last_detection(session.cloudformation, plan.stack, before.tree, options.environment),
            *describe_full_stacks(session.cloudformation, before.tree),
        )
        plan = replace(plan, notices=(*ways, *drift, *detected, *plan.notices))
        report.show_plan(plan)
        if options.only_plan:
            if options.out:
                _save_plan(session, before.tree, proposal, plan, late, options.out)
            return Deployed(stack.outputs, changed=True)
        losses = confirmed_losses(plan, options.destroys)
        if not session.confirm(f"Deploy {stack.name}?", list(losses)):
            raise Aborted(f"{stack.name}: not deployed; the change set was deleted")
        execute_plan(session, proposal, before.tree, plan, list(losses.values()), late)
    return finish_deployment(session, before.template_tree, late)


def _choose_alarms(session: Session, stack: Stack, compared: planning.Comparison) -> tuple[tuple[str, ...], list[str]]:
    """Return the ARNs of the rollback triggers, and a notice for each alarm that cannot be one."""
    rollout = session.options.rollout
    if not stack.exists or not rollout.rollback_on_alarms or not watches_alarms(session.options, stack):
        return (), []
    cloudwatch = session.target.client("cloudwatch")
    return find_rollback_triggers(cloudwatch, stack.outputs, compared.find_removed_values("AlarmName"))


def _save_plan(
    session: Session, tree: StackTree, proposal: Proposal, plan: Plan, late: LateProtection, path: Path
) -> None:
    save_plan(
        path,
        SavedPlan(
            environment=session.options.environment,
            account=session.target.account,
            region=session.target.region,
            stack_name=tree.stack.name,
            stack_id=proposal.stack_id,
            change_set_id=proposal.change_set_id,
            changed_at={stack.id: stack.changed_at for _, stack in tree.walk() if stack.exists},
            digest=digest_changes(proposal.changes),
            plan=plan,
            late_parameters=late.parameters,
            late_paths=list(late.paths),
            keeps_failed=proposal.keeps_failed,
            late_template_url=late.template_url,
        ),
    )
    proposal.is_saved = True
