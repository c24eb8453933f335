"""The steps in order: validate, package, compare, examine, upload, change set, plan, confirm, execute, outputs."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from scripts.common import templates
from scripts.common.errors import Aborted, UserError
from scripts.common.suggestion import suggest_command

from . import planning
from .abandoned import describe_full_stacks
from .bootstrap import bootstrap
from .bootstrap_proposal import BootstrapProposal, propose_change
from .both_stacks import PlatformPlan, digest_platform_terms, execute_both, join_plans, save_both
from .change_set import Overtaken, check_unchanged, create_change_set, describe_obstacle, remove_abandoned
from .deletion_protection import find_late_protection
from .deployment_options import ARTIFACTS_STACK, Deployed, DeploymentOptions
from .drift import describe_drift, describe_last_detection, describe_missing_drift
from .execute import confirm_plans, keep_protected, record_deployment, report_unused_names
from .execution_options import (
    check_change_set,
    check_continuation,
    check_options,
    check_unfinished,
    choose_execution,
    describe_execution,
    watches_alarms,
)
from .freshness import check_fresh_once, check_same_sources
from .imports import check_imported, copy_for_import, describe_imports
from .last_deployment import load_deployment
from .live_functions import count_functions, look_for_changed_code, take_code_back
from .package import Package, package_templates, repackage_for_plan
from .plan.model import Plan, StackChanges
from .plan.traffic import find_shifts
from .preflight.examine import Preflight
from .preflight.importable import ImportedResource
from .remains import delete_remains
from .report.reporter import show_plans
from .session import Session
from .stack import (
    Snapshot,
    Stack,
    check_not_lost,
    check_owned,
    check_ready,
    describe_stack,
    is_failed_creation,
    read_snapshot,
    wait_until_idle,
)
from .stack_safeguards import describe_shift_alarms, find_protected_paths, find_rollback_triggers
from .statuses import list_commands
from .upload import upload_missing, upload_package
from .validate import check_lint

# How often a deployment that waits is planned again because another one was faster.
_MOST_REPETITIONS = 10


@dataclass(frozen=True)
class _Packaged:
    """The uploaded templates, and how a change set is made of them."""

    tree: templates.Tree
    template_url: str
    # The files that an execution of the change set reads; None for a plan that is not to be executed.
    package: Package | None
    # The location of the template of the second change set after an import; empty without one.
    late_template_url: str
    # What it rests on: the role and the state of the artifacts stack.
    role_arn: str
    artifacts_state: str
    imported: Sequence[ImportedResource]


def deploy(session: Session) -> Deployed:
    """Deploy the platform, or only plan to: a plan changes no stack, and leaves nothing but files in the bucket.

    A deployment that waits is planned again, and asks again, if another one is faster. Raises ``Overtaken`` for one
    that does not wait, ``UserError`` for anything else that a user can correct, and ``Aborted`` without confirmation.
    """
    options, requests = session.options, session.target.requests
    check_options(options)
    digest = check_fresh_once(options.templates)
    commands = list_commands(options.stack_name, options.environment)
    for repetition in range(_MOST_REPETITIONS):
        try:
            deployed = _deploy_once(session, digest)
            if repetition and not deployed.changed and requests.has_executed:
                message = f"no changes any more; {requests.describe_changes()}"
                return replace(deployed, changed=True, message=message)
            return deployed
        except Overtaken as error:
            overtaken = error
            if not options.wait:
                break
            session.report.announce_step("Planning again:", describe_obstacle(error))
    raise Overtaken(
        f"{overtaken}; plan again: {commands['deploy']}, or {commands['wait']}, which waits and plans again"
    )


def _deploy_once(session: Session, digest: str) -> Deployed:
    """Raises ``UserError`` if what ``digest`` is that of was edited before it was packaged."""
    options, target, report = session.options, session.target, session.report
    preflight = Preflight(options, target, report)
    artifacts = bootstrap(session, preflight)
    target.watch.raise_postponed_interrupt()
    if artifacts is None:
        return Deployed({}, changed=True)
    destination = target.destination(artifacts.stack.outputs["BucketName"], options.environment)
    packaged = package_templates(options.templates / "parent.yaml", destination, target.runtime)
    # A first deployment has asked about the artifacts stack, and deployed it, since the comparison.
    check_same_sources(options.templates, digest)
    stack = _prepare_stack(session, preflight)
    is_same, before = _compare_deployed(session, stack, packaged)
    stays = is_same and not options.revert_drift
    if stays and artifacts.change is None:
        return _end_unchanged(session, stack, packaged, before)
    preflight.run_checks(with_bootstrap=artifacts.change is not None)
    change = artifacts.change and replace(artifacts.change, joins_platform=not stays)
    if change and not stack.exists:
        # The remains of a failed creation may have been deleted just now.
        change = replace(change, environments={**change.environments, options.environment: ""})
    with propose_change(session, change) as bootstrap_proposal:
        if stays:
            deployed = _deploy_bootstrap(session, stack, bootstrap_proposal)
        else:
            imported = _find_imported_resources(session, preflight)
            after = _upload_package(session, packaged, imported, artifacts.stack, is_same=is_same)
            before = before or read_snapshot(session.cloudformation, stack)
            deployed = _deploy_changes(session, before, after, bootstrap_proposal)
    if is_same and not deployed.changed:
        return _end_unchanged(session, stack, packaged, before)
    return _settle_code(session, before, deployed) if stays or not deployed.changed else deployed


def _upload_package(
    session: Session, packaged: Package, imported: Sequence[ImportedResource], artifacts: Stack, *, is_same: bool
) -> _Packaged:
    """Upload the files that a change set needs. ``is_same``: whether the tree is the deployed one."""
    first = copy_for_import(packaged, imported) if imported else packaged
    # A saved plan may be executed later, so it needs all files; those of a deployed tree are there already, and other
    # locations of its templates would be changes.
    needs_all = session.options.out or is_same or not session.options.only_plan
    uploaded = first if needs_all else repackage_for_plan(first)
    _upload_files(session, uploaded)
    executable = uploaded if session.options.out or not session.options.only_plan else None
    late_template_url = packaged.template_url if imported else ""
    role_arn = artifacts.outputs.get("ServiceRoleArn", "")
    tree = planning.parse_package(first)
    return _Packaged(tree, uploaded.template_url, executable, late_template_url, role_arn, artifacts.state, imported)


def _deploy_bootstrap(session: Session, stack: Stack, bootstrap_proposal: BootstrapProposal | None) -> Deployed:
    """Show the change of the artifacts stack, and execute it once it is confirmed; the platform does not change."""
    options = session.options
    if bootstrap_proposal is None:
        return Deployed(stack.outputs, changed=False)
    plans = join_plans(bootstrap_proposal, None)
    session.report.announce_step(options.stack_name, "does not change")
    show_plans(session.report, plans)
    if options.only_plan:
        if options.out:
            bootstrap_proposal.leave_platform()
            save_both(session, options.out, bootstrap_proposal, None)
        return Deployed(stack.outputs, changed=True)
    if confirm_plans(session, plans) is None:
        raise Aborted(f"{ARTIFACTS_STACK}: not deployed; the change set was deleted")
    result = bootstrap_proposal.execute_alone()
    message = f"no changes; {ARTIFACTS_STACK} was deployed"
    return Deployed(stack.outputs, changed=True, message=message, artifacts=result)


def _compare_deployed(session: Session, stack: Stack, packaged: Package) -> tuple[bool, Snapshot | None]:
    """Return whether a deployment has nothing to do, and what is deployed, if anything is.

    Raises ``UserError`` for a nested stack that was deleted without its parent.

    Other texts with equal values, such as another description, are nothing to do: CloudFormation would refuse a change
    set of them, each time, and the deployed text would stay another one. Empty change sets of nested stacks are never
    deleted, and count against a quota.
    https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/template-description-structure.html
    """
    options, cloudformation = session.options, session.cloudformation
    if not stack.exists:
        return False, None
    before = read_snapshot(cloudformation, stack)
    after = planning.parse_package(packaged)
    check_not_lost(before.tree, after, options.environment)
    # An adopted stack is updated even if nothing else changes, because it gets the owner tag.
    if not stack.owned or stack.keeps_failed or stack.parameters != options.parameters:
        return False, before
    # Of the whole tree: a stack refactor changes nested stacks without their parent.
    if before.template_tree == after:
        return True, before
    source, pseudo = (after, options.parameters), session.target.pseudo_parameters()
    compared = planning.compare_trees(stack.name, before.source, source, pseudo)
    # The parent of a refactored stack has to name its template again, before a rollback returns to the old one.
    return compared.is_empty and not before.refactored, before


def _end_unchanged(session: Session, stack: Stack, packaged: Package, before: Snapshot | None) -> Deployed:
    if not session.options.only_plan and before is not None:
        _complete_last_deployment(session, packaged, before)
    return _settle_code(session, before, Deployed(stack.outputs, changed=False))


def _settle_code(session: Session, before: Snapshot | None, deployed: Deployed) -> Deployed:
    """Take back what deploy.sh code-only has changed, where no change set is executed; a plan only says so.

    Returns the result of the deployment, which now may have changed something.
    """
    if not deployed.changed:
        report_unused_names(session)
    if before is None:
        return deployed
    options, message = session.options, ""
    if not options.only_plan:
        if names := take_code_back(session, before):
            message = f"no changes; {count_functions(names)} the code of the last deployment again"
    else:
        aliases, notice = look_for_changed_code(session, before.tree)
        if notice and not aliases:
            session.report.announce_step("Warning", notice)
        if aliases:
            session.report.show_plan(Plan(StackChanges(options.stack_name), notices=(notice,)))
            saved = ", and no plan was saved" if options.out else ""
            taken_back = "a deployment would only take back what deploy.sh code-only has changed"
            message = f"nothing was changed{saved}; {taken_back}"
    return replace(deployed, changed=True, message=message) if message and not deployed.changed else deployed


def _find_imported_resources(session: Session, preflight: Preflight) -> tuple[ImportedResource, ...]:
    """Return the resources to import, in a deployment that imports.

    Raises ``UserError`` if there are none, or if a service does not say whether one exists.
    """
    options = session.options
    if not options.imports_existing:
        return ()
    imported = preflight.find_imported_resources()
    if not imported:
        raise UserError(
            f"nothing to import: no resource that {options.stack_name} would create exists; deploy it with "
            f"{suggest_command('deploy', options.environment)}"
        )
    return imported


def _complete_last_deployment(session: Session, packaged: Package, deployed: Snapshot) -> None:
    """Protect and record the deployed environment if an interrupted deployment, or another machine, did not."""
    keep_protected(session, deployed.tree)
    if _is_recorded(session, deployed):
        return
    try:
        record_deployment(session, deployed, packaged.destination)
    except UserError as error:
        session.report.announce_step("Warning", f"the record of what is deployed is not complete: {error}")
    else:
        session.report.announce_step("Recorded", "what is deployed, for offline plans")


def _is_recorded(session: Session, deployed: Snapshot) -> bool:
    """Whether the record, if the command keeps any, has the deployed templates and parameters."""
    path, target = session.options.record, session.target
    if path is None or deployed.template_tree is None:
        return True
    try:
        last = load_deployment(path)
    except UserError:
        return False
    recorded = (last.account, last.region, last.parameters, last.tree)
    return recorded == (target.account, target.region, deployed.tree.stack.parameters, deployed.template_tree)


def _prepare_stack(session: Session, preflight: Preflight) -> Stack:
    """Return the platform's stack, ready for a change set."""
    options, report, cloudformation = session.options, session.report, session.cloudformation
    stack = describe_stack(cloudformation, options.stack_name)
    if options.wait and stack.is_busy:
        stack = wait_until_idle(cloudformation, options.stack_name, report)
    if is_failed_creation(stack) and not options.only_plan:
        preflight.run_checks()
        stack = delete_remains(session, stack)
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
    layers = _needs_layers(options, packaged)
    report.announce_step("Packaging", f"{len(packaged.files)} files" + (", and the layer" if layers else ""))
    uploaded = upload_package(packaged, session.target.client("s3"), session.target.account, layers=layers)
    report.announce_step("Uploaded", _describe_upload(uploaded, len(packaged.files)))


def _upload_missing_files(session: Session, packaged: Package) -> None:
    """Upload again what another deployment has deleted before there was a change set that needs it."""
    layers = _needs_layers(session.options, packaged)
    s3, account = session.target.client("s3"), session.target.account
    if uploaded := upload_missing(packaged, s3, account, layers=layers):
        files = f"{uploaded} {'file' if uploaded == 1 else 'files'}"
        session.report.announce_step("Uploaded", f"{files} again, which were deleted meanwhile")


def _needs_layers(options: DeploymentOptions, packaged: Package) -> bool:
    return bool(packaged.layers) and options.parameters.get("Gateway") == "stripe"


def _describe_upload(uploaded: int, total: int) -> str:
    if uploaded == total:
        return "all"
    return f"{uploaded}: the bucket has the others already" if uploaded else "nothing: the bucket has all files already"


def _describe_moves(session: Session, before: Snapshot, compared: planning.Comparison) -> tuple[str, ...]:
    """Return the notices of possible moves, by the stack policies that exist, or by the settings if unreadable."""
    options = session.options
    if not compared.find_moves():
        return ()
    protected = find_protected_paths(session.cloudformation, before.tree)
    if protected is None:
        protected = compared.list_stack_paths() if options.rollout.stack_policy else set()
    return tuple(compared.describe_moves(options.environment, protected))


def _deploy_changes(
    session: Session, before: Snapshot, packaged: _Packaged, bootstrap_proposal: BootstrapProposal | None
) -> Deployed:
    """Show a change set of the uploaded templates, and save it, or execute it once it is confirmed.

    The change of the artifacts stack, if there is one, is shown, saved, confirmed and executed with it.
    """
    options, target, report = session.options, session.target, session.report
    stack, after = before.tree.stack, packaged.tree
    pseudo = target.pseudo_parameters()
    parameters = options.parameters
    compared = planning.compare_trees(stack.name, before.source, (after, parameters), pseudo)
    late = find_late_protection(compared, after, parameters, pseudo)
    late = replace(late, template_url=packaged.late_template_url)
    if late.parameters:
        parameters = late.leave_off(parameters)
        compared = planning.compare_trees(stack.name, before.source, (after, parameters), pseudo)
    alarms, notices = _choose_alarms(session, stack, compared)
    execution = choose_execution(options, stack, packaged.role_arn, alarms)
    terms = digest_platform_terms(
        before.tree,
        packaged.artifacts_state,
        late,
        keeps_failed=execution.keeps_failed,
        joins_artifacts=bootstrap_proposal is not None,
    )
    execution = replace(execution, saved_plan=session.describe_change_set(terms))
    report.announce_step("Planning", f"a change set of {stack.name}")
    source = {"TemplateURL": packaged.template_url}
    with create_change_set(session.cloudformation, stack, parameters, execution, **source) as proposal:
        if proposal is None:
            check_unfinished(options, stack)
            if options.revert_drift:
                for notice in describe_missing_drift(StackChanges(stack.name), before.tree, options.environment):
                    report.announce_step("Warning", notice)
            return _deploy_bootstrap(session, stack, bootstrap_proposal)
        # What CloudFormation does not list, such as the statements of a policy, the plan has from a comparison.
        check_unchanged(session.cloudformation, before.tree)
        if packaged.package is not None:
            _upload_missing_files(session, packaged.package)
        check_imported(proposal.changes, packaged.imported)
        notices += describe_imports(packaged.imported, options.environment)
        notices += _describe_moves(session, before, compared)
        plan = compared.make_plan(proposal.changes, proposal.notices)
        check_change_set(options, stack, plan.stack, late)
        if stack.exists and (shifts := find_shifts(plan.stack, compared.after)):
            notices += describe_shift_alarms(session.target.client("cloudwatch"), shifts)
        ways = describe_execution(execution, stack, plan.stack)
        drift = describe_drift(proposal.changes, before.tree, options.environment)
        detected = (
            *describe_last_detection(session.cloudformation, plan.stack, before.tree, options.environment),
            *describe_full_stacks(session.cloudformation, before.tree),
            *filter(None, [look_for_changed_code(session, before.tree)[1]]),
        )
        remarks = [*ways, *drift, *detected, *notices, *late.notices]
        platform = PlatformPlan(proposal, before, plan, remarks, late, packaged.artifacts_state)
        plans = join_plans(bootstrap_proposal, platform)
        show_plans(report, plans)
        if bootstrap_proposal is not None:
            bootstrap_proposal.join_platform()
        if options.only_plan:
            if options.out:
                save_both(session, options.out, bootstrap_proposal, platform)
            return Deployed(stack.outputs, changed=True)
        losses = confirm_plans(session, plans)
        if losses is None:
            names = " and ".join(plan.stack.name for plan in plans)
            fate = f"{names}: not deployed; the change {'sets were' if len(plans) > 1 else 'set was'} deleted"
            # By an earlier step of a first deployment, or before another deployment was faster.
            earlier = [target.requests.describe_changes()] if target.requests.has_executed else []
            raise Aborted("; ".join([fate, *earlier]))
        return execute_both(session, bootstrap_proposal, platform, list(losses[-1].values()))


def _choose_alarms(session: Session, stack: Stack, compared: planning.Comparison) -> tuple[tuple[str, ...], list[str]]:
    """Return the ARNs of the rollback triggers, and a notice for each alarm that cannot be one."""
    rollout = session.options.rollout
    if not stack.exists or not rollout.rollback_on_alarms or not watches_alarms(session.options, stack):
        return (), []
    cloudwatch = session.target.client("cloudwatch")
    return find_rollback_triggers(cloudwatch, stack.outputs, compared.find_removed_values("AlarmName"))
