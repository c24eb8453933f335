"""A saved plan: executed exactly as it is, or discarded.

What is shown is made anew from the change sets and their templates; a file that says anything else is refused.
"""

import hashlib
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

from botocore.exceptions import ClientError

from scripts.common import templates
from scripts.common.errors import AWS_ERRORS, Aborted, OutputError, UserError, is_denied, raise_both
from scripts.common.files import is_missing
from scripts.common.suggestion import suggest_command

from . import change_set
from .abandoned import KeptPlan, group_plans, list_saved_plans, read_terms
from .bootstrap_change import Steps
from .bootstrap_proposal import BootstrapProposal
from .both_stacks import PlatformPlan, digest_platform_terms, execute_both, join_plans
from .deletion_protection import LateProtection, find_late_protection
from .deployment_options import ARTIFACTS_STACK, Deployed, DeploymentOptions
from .execute import confirm_plans
from .execution_options import check_continuation, check_options, describe_execution
from .live_functions import CHANGED_CODE, CodeOvertaken
from .plan.danger import Danger
from .plan.model import Plan
from .planning import compare_trees
from .report.reporter import show_plans
from .saved_bootstrap import check_kept_rights, check_steps, read_first, read_proposal
from .saved_plan import (
    PlannedStack,
    SavedPlan,
    check_digest,
    delete_plan_of,
    have_equal_texts,
    list_plan_commands,
    load_plan,
)
from .session import Session
from .stack import Stack, check_owned, check_ready, describe_stack, read_snapshot

_CHANGED = "the change set no longer matches the plan, and nothing was changed; create a new plan"


def apply_plan(session: Session, path: Path) -> Deployed:
    """Execute exactly the change sets of a saved plan.

    Raises ``UserError`` if a stack or a change set differs from what was planned, or the file was edited, and
    ``Aborted`` if the deployment is not confirmed.
    """
    report = session.report
    saved_plan = _load_plan(session, path)
    apply_again, discard = list_plan_commands(session.options.environment, path)
    still_saved = f"the plan is still saved; run {apply_again}, or {discard}"
    try:
        artifacts, platform = _read_parts(session, saved_plan)
    except (UserError, *AWS_ERRORS) as error:
        # While the parts are read, another deployment may use the change sets up.
        is_gone = isinstance(error, ClientError) and change_set.is_missing(error)
        if not is_gone and not isinstance(error, UserError):
            raise_both(error, still_saved)
        reason = change_set.NO_LONGER if is_gone else str(error)
        raise UserError(f"{path}: {reason}; the plan is still saved; delete it with {discard}") from None
    except KeyboardInterrupt:
        raise KeyboardInterrupt(f"{session.options.stack_name} was not changed; {still_saved}") from None
    plans = join_plans(artifacts, platform)
    losses = _confirm_plans(session, artifacts, plans, still_saved)
    try:
        if platform is not None:
            deployed = execute_both(session, artifacts, platform, list(losses[-1].values()))
            if artifacts is not None and deployed.artifacts is not None and deployed.artifacts.result == "kept":
                _delete_unused(session, artifacts)
        else:
            deployed = _deploy_artifacts(session, artifacts)
    except (UserError, KeyboardInterrupt, *AWS_ERRORS) as error:
        title, fate = _end_failed_plan(session, path, saved_plan, artifacts, platform, error)
        # What has ended the plan says more.
        with suppress(KeyboardInterrupt):
            report.announce_step(title, fate)
        raise
    try:
        delete_plan_of(path, saved_plan.change_set_ids)
    except OSError as error:
        report.announce_step("Deployed,", f"but {path} cannot be deleted: {error.strerror}")
    return deployed


def _confirm_plans(
    session: Session, artifacts: BootstrapProposal | None, plans: Sequence[Plan], still_saved: str
) -> list[dict[str, Danger]]:
    """Show the plans and ask for confirmation; return what each loses. Whatever ends it says ``still_saved``."""
    report, names = session.report, " and ".join(plan.stack.name for plan in plans)
    try:
        if artifacts is not None and artifacts.first_plan is not None:
            report.announce_step("First update:", f"{ARTIFACTS_STACK}, before {session.options.stack_name}")
            report.show_plan(artifacts.first_plan)
        show_plans(report, plans)
        losses = confirm_plans(session, plans)
    except KeyboardInterrupt:
        raise KeyboardInterrupt(f"{names}: not changed; {still_saved}") from None
    except (UserError, OutputError) as error:
        raise_both(error, f"{names}: not changed; {still_saved}")
    if losses is None:
        raise Aborted(f"{names}: not deployed; {still_saved}")
    return losses


def _read_parts(session: Session, saved_plan: SavedPlan) -> tuple[BootstrapProposal | None, PlatformPlan | None]:
    """Return the parts of the plan. Raises ``UserError`` if anything has changed since, or the file was edited."""
    check_digest(saved_plan)
    artifacts = _read_artifacts(session, saved_plan, saved_plan.artifacts) if saved_plan.artifacts else None
    platform = _read_platform(session, saved_plan, saved_plan.platform) if saved_plan.platform else None
    proposals = [artifacts.final, artifacts.first] if artifacts else []
    proposals += [platform.proposal] if platform else []
    # Of several plans, each would be executed by half.
    if len({read_terms(proposal.description)[0] for proposal in proposals if proposal}) > 1:
        raise UserError("its change sets are those of several plans, and nothing was changed; create a new plan")
    return artifacts, platform


def _end_failed_plan(
    session: Session,
    path: Path,
    saved_plan: SavedPlan,
    artifacts: BootstrapProposal | None,
    platform: PlatformPlan | None,
    error: BaseException,
) -> tuple[str, str]:
    """Return a title and what can be done with the plan after a failure; delete what is left of it, if it was begun.

    CloudFormation deletes all change sets of a stack of which it executes one.
    https://docs.aws.amazon.com/AWSCloudFormation/latest/APIReference/API_ExecuteChangeSet.html
    """
    change_sets = [(platform.before.tree.stack, platform.proposal)] if platform else []
    if artifacts is not None:
        proposals = filter(None, (artifacts.first, artifacts.final))
        change_sets += [(artifacts.change.stack, proposal) for proposal in proposals]
    executed_count = sum(proposal.is_executed for _, proposal in change_sets)
    if executed_count == 0 or any(proposal.is_unknown for _, proposal in change_sets):
        return _describe_kept_plan(session, path, error, executed_count)
    _, discard = list_plan_commands(session.options.environment, path)
    try:
        for stack, proposal in change_sets:
            if not proposal.is_executed:
                change_set.delete_change_set(session.cloudformation, stack, proposal.change_set_id)
        is_deleted = delete_plan_of(path, saved_plan.change_set_ids)
    except (UserError, OSError) as second:
        if isinstance(second, OSError):
            leftover = f"{path} cannot be deleted: {second.strerror}"
        else:
            leftover = f"{second}; the file stays; then delete it with {discard}"
        return "Used up:", f"the plan in {path}, of which a change set was executed; {leftover}"
    return "Used up:", f"the plan in {path}, of which a change set was executed; {describe_file(path, is_deleted)}"


def describe_file(path: Path, is_deleted: bool) -> str:
    """Return what became of the file of a plan that is used up or discarded, given the result of ``delete_plan_of``."""
    if is_deleted:
        return "the file was deleted"
    return "the file does not exist any more" if is_missing(path) else "the file is another one by now, and stays"


def _describe_kept_plan(session: Session, path: Path, error: BaseException, executed_count: int) -> tuple[str, str]:
    """Return a title and what can be done with a plan whose file stays.

    ``executed_count`` is of its change sets that were executed, or may have been: of the last one, that may be unknown.
    """
    apply, discard = list_plan_commands(session.options.environment, path)
    if executed_count > 1:
        unknown = "whether the last one was, too, could not be read, so the file stays; later, delete it"
        return "Used up:", f"the plan in {path}, of which a change set was executed; {unknown}: {discard}"
    if executed_count == 1:
        unknown = "whether a change set of it was executed could not be read, so the file stays"
        return "The plan:", f"{unknown}; run {apply}, which refuses it then, or {discard}"
    if isinstance(error, change_set.Overtaken) and not isinstance(error, CodeOvertaken):
        again = suggest_command("deploy", "plan", session.options.environment)
        return (
            "Not executed:",
            f"the plan cannot be applied any more; plan again: {again}; later, delete this one: {discard}",
        )
    return "Not executed:", f"the plan is still saved; run {apply}, or {discard}"


def _delete_unused(session: Session, artifacts: BootstrapProposal) -> None:
    """Delete the saved change set that takes rights away, once it is decided that they stay: its plan is used up."""
    change_set_id = artifacts.require_final().change_set_id
    try:
        change_set.delete_change_set(session.cloudformation, artifacts.change.stack, change_set_id)
    except UserError as leftover:
        session.report.announce_step("Deployed,", f"but {leftover}")


def discard_plan(session: Session, path: Path) -> tuple[list[str], bool, bool]:
    """Delete a saved plan, its change sets, and the empty stack in review that the platform's may have created.

    Returns the names of the stacks that the plan was to change, whether any of the change sets still existed, and
    whether the file was deleted: another one may have taken its place. Raises ``UserError`` if it cannot be.
    """
    have_existed = False
    saved_plan = _load_plan(session, path)
    stacks = [describe_stack(session.cloudformation, planned.stack_name) for planned in saved_plan.stacks]
    with _explain_remains(session, list_plan_commands(session.options.environment, path)[1]):
        for planned, before in zip(saved_plan.stacks, stacks, strict=True):
            first = saved_plan.first_change_set_id if planned is saved_plan.artifacts else ""
            for change_set_id in filter(None, (planned.change_set_id, first)):
                # An ARN would reach a change set of any stack, if the file was edited; a name is one of this stack.
                name = change_set.read_name(change_set_id)
                have_existed |= change_set.delete_change_set(session.cloudformation, before, name)
    try:
        is_deleted = delete_plan_of(path, saved_plan.change_set_ids)
    except OSError as error:
        raise UserError(f"{path} cannot be deleted: {error.strerror}; its change sets are deleted") from error
    return [planned.stack_name for planned in saved_plan.stacks], have_existed, is_deleted


@contextmanager
def _explain_remains(session: Session, again: str) -> Iterator[None]:
    """Raise ``UserError`` with the command that deletes what an interrupt or an error has left of a plan.

    Before anything of it was deleted, an interrupt is an ordinary one.
    """
    try:
        yield
    except (KeyboardInterrupt, UserError, *AWS_ERRORS) as error:
        # Where a change set is deleted while a command ends, an interrupt is another one, and an error.
        is_interrupt = isinstance(error, KeyboardInterrupt) or isinstance(error.__cause__, KeyboardInterrupt)
        if not is_interrupt:
            raise_both(error, f"the rest of the plan may remain, and is deleted with {again}")
        if not session.target.requests.has_requested("cloudformation:DeleteChangeSet"):
            raise KeyboardInterrupt from None
        raise UserError(f"interrupted; the plan may be deleted in part; delete the rest: {again}") from None


def _list_kept_plans(session: Session, stack_names: Iterable[str]) -> list[KeptPlan]:
    """Return the environment's saved plans that have change sets in these stacks."""
    change_sets = []
    for stack_name in stack_names:
        try:
            summaries = list_saved_plans(session.cloudformation, stack_name, session.options.environment)
        except ClientError as error:
            # Whoever may not list those of the artifacts stack, such as GitHub's roles, has made none.
            if stack_name != ARTIFACTS_STACK or not is_denied(error):
                raise
            continue
        change_sets += [(stack_name, summary) for summary in summaries]
    return group_plans(change_sets)


def discard_change_set(session: Session, name: str) -> KeptPlan:
    """Delete a saved plan whose file is lost, given one of its change sets: that and all others of the plan.

    Returns the plan. Raises ``UserError`` if there is no such change set.
    """
    options, cloudformation = session.options, session.cloudformation
    stacks = {name: describe_stack(cloudformation, name) for name in (ARTIFACTS_STACK, options.stack_name)}
    for plan in _list_kept_plans(session, [name for name, stack in stacks.items() if stack.status]):
        if name in [change_set_name for _, change_set_name in plan.change_sets]:
            for stack_name in plan.stack_names:
                check_owned(stacks[stack_name])
            with _explain_remains(session, suggest_command("deploy", "discard", options.environment, name)):
                # The one that was named comes last: until then, the same command deletes the others, too.
                for stack_name, change_set_name in sorted(plan.change_sets, key=lambda pair: pair[1] == name):
                    change_set.delete_change_set(cloudformation, stacks[stack_name], change_set_name)
            return plan
    raise UserError(
        f"{name}: neither a file nor a change set of a saved plan in {options.stack_name} or {ARTIFACTS_STACK}; see "
        f"{suggest_command('status', options.environment)}"
    )


def check_environment(path: Path, environment: str) -> None:
    """Raise ``UserError`` if the file is not a saved plan, or is one for another environment."""
    _check_place(path, load_plan(path), {"environment": environment})


def _load_plan(session: Session, path: Path) -> SavedPlan:
    """Load the plan. Raises ``UserError`` if it is for another environment, account or Region."""
    saved_plan = load_plan(path)
    expected = {
        "environment": session.options.environment,
        "account": session.target.account,
        "region": session.target.region,
        "stack_name": session.options.stack_name,
    }
    _check_place(path, saved_plan, expected)
    for planned in saved_plan.stacks:
        name = ARTIFACTS_STACK if planned is saved_plan.artifacts else session.options.stack_name
        if planned.stack_name != name:
            raise UserError(f"{path}: this plan is for the stack {planned.stack_name}, not {name}")
    return saved_plan


def _check_place(path: Path, saved_plan: SavedPlan, expected: Mapping[str, str]) -> None:
    for name, value in expected.items():
        planned = getattr(saved_plan, name)
        if planned != value:
            raise UserError(f"{path}: this plan is for {name.replace('_', ' ')} {planned}, not {value}")


def _check_stack(planned: PlannedStack, stack: Stack, proposals: Iterable[change_set.Proposal]) -> None:
    """Raise ``UserError`` if the ids of an edited file lead to another stack than its name, which is shown."""
    if stack.name != planned.stack_name or any(proposal.stack_id != planned.stack_id for proposal in proposals):
        raise UserError(f"its ids are not those of {planned.stack_name}, and nothing was changed; create a new plan")


def _deploy_artifacts(session: Session, artifacts: BootstrapProposal | None) -> Deployed:
    """Execute a plan that changes the artifacts stack only."""
    result = artifacts.execute_alone() if artifacts is not None else None
    stack = describe_stack(session.cloudformation, session.options.stack_name)
    message = f"no changes; {ARTIFACTS_STACK} was deployed"
    return Deployed(stack.outputs, changed=True, message=message, artifacts=result)


def _read_artifacts(session: Session, saved_plan: SavedPlan, planned: PlannedStack) -> BootstrapProposal:
    """Return the change sets of the artifacts stack. Raises ``UserError`` if anything has changed since the plan."""
    stack = describe_stack(session.cloudformation, planned.stack_id)
    check_owned(stack)
    check_ready(stack)
    if {stack.id: stack.changed_at} != planned.changed_at:
        raise UserError(f"{ARTIFACTS_STACK} has changed since the plan was made; create a new plan")
    proposal = change_set.read_change_set(session.cloudformation, planned.change_set_id)
    steps = Steps(saved_plan.runs_before, saved_plan.runs_after)
    _check_stack(planned, stack, [proposal])
    artifacts = read_proposal(
        session,
        stack,
        proposal,
        steps,
        saved_plan.environments,
        planned.remarks,
        joins_platform=saved_plan.platform is not None,
    )
    if reason := artifacts.find_changed_environment():
        raise UserError(f"{reason}; create a new plan")
    check_kept_rights(artifacts)
    if not have_equal_texts(artifacts.plan, planned.plan):
        raise UserError(_CHANGED)
    if saved_plan.first_change_set_id:
        first = change_set.read_change_set(session.cloudformation, saved_plan.first_change_set_id)
        _check_stack(planned, stack, [first])
        read_first(session, artifacts, first)
    if saved_plan.platform is not None:
        check_steps(artifacts)
    _check_terms(ARTIFACTS_STACK, filter(None, (proposal, artifacts.first)), artifacts.change.terms)
    if saved_plan.platform is None and artifacts.first is not None:
        # Alone, the stack is updated once.
        raise UserError(_CHANGED)
    return artifacts


def _read_platform(session: Session, saved_plan: SavedPlan, planned: PlannedStack) -> PlatformPlan:
    """Return the change set of the platform. Raises ``UserError`` if anything has changed since the plan was made."""
    options, cloudformation = session.options, session.cloudformation
    stack = describe_stack(cloudformation, planned.stack_id)
    if not stack.status:
        raise UserError(f"neither {planned.stack_name} nor its change set exists any more; create a new plan")
    if not options.adopt:
        check_owned(stack)
    check_ready(stack, options.environment)
    before = read_snapshot(cloudformation, stack)
    if {stack.id: stack.changed_at for _, stack in before.tree.walk() if stack.exists} != planned.changed_at:
        raise UserError("the stack or a nested stack has changed since the plan was made; create a new plan")
    proposal = change_set.read_change_set(cloudformation, planned.change_set_id)
    _check_stack(planned, stack, [proposal])
    proposal.keeps_failed, proposal.is_creation = saved_plan.keeps_failed, not stack.exists
    _check_settings(options, stack, proposal, planned.remarks)
    artifacts = describe_stack(cloudformation, ARTIFACTS_STACK)
    if artifacts.state != saved_plan.artifacts_state:
        raise UserError(f"{ARTIFACTS_STACK} has changed since the plan was made; create a new plan")
    read_nested = _make_reader(session, artifacts)
    tree = templates.read_tree(change_set.read_proposed_template(proposal), read_nested)
    pseudo = session.target.pseudo_parameters()
    compared = compare_trees(stack.name, before.source, (tree, proposal.parameters), pseudo)
    plan = compared.make_plan(proposal.changes, proposal.notices)
    if not have_equal_texts(plan, planned.plan) or not _states_execution(proposal, stack, plan, planned.remarks):
        raise UserError(_CHANGED)
    late = LateProtection(
        saved_plan.late_parameters, tuple(saved_plan.late_paths), template_url=saved_plan.late_template_url
    )
    if late.template_url:
        # Raises an error for a template of another place. What it changes is checked before it is executed.
        templates.read_tree(read_nested(late.template_url), read_nested)
    if late.parameters or late.paths:
        parameters = proposal.parameters | late.parameters
        complete = compare_trees(stack.name, before.source, (tree, parameters), pseudo)
        expected = find_late_protection(complete, tree, parameters, pseudo)
        if (expected.parameters, expected.paths) != (late.parameters, late.paths):
            raise UserError(_CHANGED)
    joins_artifacts = saved_plan.artifacts is not None
    terms = digest_platform_terms(
        before.tree,
        saved_plan.artifacts_state,
        late,
        keeps_failed=saved_plan.keeps_failed,
        joins_artifacts=joins_artifacts,
    )
    _check_terms(stack.name, [proposal], terms)
    return PlatformPlan(proposal, before, plan, planned.remarks, late, saved_plan.artifacts_state)


def _check_terms(stack_name: str, proposals: Iterable[change_set.Proposal], terms: str) -> None:
    """Raise ``UserError`` unless the file says of the change sets what their descriptions say that they were made for.

    An edited file may have lost a part of the plan, without which the rest takes rights from what runs, or lacks them.
    """
    if any(read_terms(proposal.description)[1] != terms for proposal in proposals):
        raise UserError(
            f"the change set of {stack_name} was made for another plan than the file has, and nothing was changed; "
            "create a new plan"
        )


def _check_settings(
    options: DeploymentOptions, stack: Stack, proposal: change_set.Proposal, remarks: Collection[str]
) -> None:
    """Raise ``UserError`` if the settings do not allow the plan any more: they may have changed since it was made."""
    # Of a stack with failed resources, the flag is implied.
    ways = replace(options, express=proposal.is_express, keep_failed=proposal.keeps_failed and not stack.keeps_failed)
    check_options(ways)
    check_continuation(ways, stack)
    # A deployment without the setting looks at no alias, and would publish that code.
    if not options.rollout.code_only and any(remark.startswith(CHANGED_CODE) for remark in remarks):
        raise UserError(
            "it takes back what deploy.sh code-only has changed, and the settings have code_only = false since; set it "
            "to true, deploy, and then set it to false"
        )


def _states_execution(proposal: change_set.Proposal, stack: Stack, plan: Plan, remarks: Collection[str]) -> bool:
    """Whether the remarks of the file have what makes this execution another one, such as that nothing is rolled back.

    Whether early validation was left out cannot be read from a change set.
    """
    execution = change_set.ExecutionOptions(is_express=proposal.is_express, keeps_failed=proposal.keeps_failed)
    return {*describe_execution(execution, stack, plan.stack)} <= {*remarks}


def _make_reader(session: Session, artifacts: Stack) -> Callable[[str], str]:
    """Return what reads a nested template by its location: in the bucket, where a key names its content."""
    target, s3 = session.target, session.target.client("s3")
    bucket = artifacts.outputs.get("BucketName", "")
    prefix = target.destination(bucket, session.options.environment).object_url("")

    def read_nested(url: str) -> str:
        key = url.removeprefix(prefix)
        if not url.startswith(prefix) or not key:
            raise UserError(f"its template {url} is not in s3://{bucket}, and nothing was changed; create a new plan")
        try:
            content = s3.get_object(Bucket=bucket, ExpectedBucketOwner=target.account, Key=key)["Body"].read()
        except ClientError as error:
            if error.response["Error"]["Code"] != "NoSuchKey":
                raise
            raise UserError(
                f"its template s3://{bucket}/{key} does not exist, and nothing was changed; create a new plan"
            ) from error
        if hashlib.sha256(content).hexdigest() not in key:
            raise UserError(f"s3://{bucket}/{key} does not match the checksum in its name; find out who uploaded it")
        return content.decode()

    return read_nested
