"""The plans of the artifacts stack and of the platform, which are shown, saved and executed together."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NoReturn

from scripts.common.errors import AWS_ERRORS, UserError, raise_both
from scripts.common.requests import CODE_CHANGES
from scripts.common.suggestion import suggest_command

from .bootstrap_proposal import KEEPS_RIGHTS, BootstrapProposal
from .change_set import NOT_EXECUTED, Overtaken, Proposal, describe_obstacle
from .deletion_protection import LateProtection
from .deployment_options import ARTIFACTS_STACK, Deployed
from .execute import execute_plan, finish_deployment
from .live_functions import count_functions, take_code_back
from .plan.danger import Danger
from .plan.model import Plan
from .saved_plan import PlannedStack, SavedPlan, delete_plan_of, digest_terms, save_plan
from .session import Session
from .stack import Snapshot, StackTree, describe_stack

_FAILURES = (UserError, KeyboardInterrupt, *AWS_ERRORS)


@dataclass(frozen=True)
class PlatformPlan:
    """The change set of the platform, and what is shown of it."""

    proposal: Proposal
    before: Snapshot
    # What follows from the change set and the templates, and the notices that do not.
    plan: Plan
    remarks: list[str]
    late: LateProtection
    # The artifacts stack when it was found to allow what this change set needs (``Stack.state``).
    artifacts_state: str

    @property
    def complete_plan(self) -> Plan:
        return add_remarks(self.plan, self.remarks)


def add_remarks(plan: Plan, remarks: Sequence[str]) -> Plan:
    """Return the plan with more notices, before its own."""
    return replace(plan, notices=(*remarks, *plan.notices))


def join_plans(artifacts: BootstrapProposal | None, platform: PlatformPlan | None) -> list[Plan]:
    """Return the plans to show, in the order of the deployment. The artifacts stack's says when it is carried out."""
    plans = []
    if artifacts is not None:
        remarks = artifacts.describe_steps(is_express=platform.proposal.is_express) if platform else ()
        plans.append(add_remarks(artifacts.plan, (*remarks, *artifacts.remarks)))
    return [*plans, platform.complete_plan] if platform else plans


def save_both(session: Session, path: Path, artifacts: BootstrapProposal | None, platform: PlatformPlan | None) -> None:
    """Save the plans, and keep their change sets."""
    late = platform.late if platform else LateProtection()
    proposals = [artifacts.final, artifacts.first] if artifacts else []
    with _keep_change_sets(path, [*filter(None, [*proposals, platform.proposal if platform else None])]):
        save_plan(
            path,
            SavedPlan(
                environment=session.options.environment,
                account=session.target.account,
                region=session.target.region,
                stack_name=session.options.stack_name,
                platform=_plan_platform(platform) if platform else None,
                artifacts=_plan_artifacts(artifacts) if artifacts else None,
                environments=artifacts.change.environments if artifacts else {},
                artifacts_state=platform.artifacts_state if platform else "",
                runs_before=artifacts.change.steps.before if artifacts else False,
                runs_after=artifacts.change.steps.after if artifacts else False,
                first_change_set_id=artifacts.first.change_set_id if artifacts and artifacts.first else "",
                late_parameters=late.parameters,
                late_paths=list(late.paths),
                keeps_failed=platform.proposal.keeps_failed if platform else False,
                late_template_url=late.template_url,
            ),
        )


def list_changes_of(tree: StackTree) -> dict[str, str]:
    """Return the time of the last change of each stack that exists, by its id."""
    return {stack.id: stack.changed_at for _, stack in tree.walk() if stack.exists}


def digest_platform_terms(
    tree: StackTree, artifacts_state: str, late: LateProtection, *, keeps_failed: bool, joins_artifacts: bool
) -> str:
    """Return what a saved change set of the platform rests on, and what is executed with it."""
    return digest_terms(
        changed_at=list_changes_of(tree),
        artifacts_state=artifacts_state,
        late=[late.parameters, list(late.paths), late.template_url],
        keeps_failed=keeps_failed,
        joins_artifacts=joins_artifacts,
    )


@contextmanager
def _keep_change_sets(path: Path, proposals: Sequence[Proposal]) -> Iterator[None]:
    """Keep the change sets, unless their plan is not saved: an interrupt leaves both, or neither."""
    for proposal in proposals:
        proposal.is_saved = True
    try:
        yield
    except BaseException:
        for proposal in proposals:
            proposal.is_saved = False
        # The file may be in place already.
        delete_plan_of(path, {proposal.change_set_id for proposal in proposals})
        raise


def _plan_platform(platform: PlatformPlan) -> PlannedStack:
    tree = platform.before.tree
    return PlannedStack(
        tree.stack.name,
        platform.proposal.stack_id,
        platform.proposal.change_set_id,
        list_changes_of(tree),
        platform.plan,
        platform.remarks,
    )


def _plan_artifacts(artifacts: BootstrapProposal) -> PlannedStack:
    change, final = artifacts.change, artifacts.require_final()
    return PlannedStack(
        ARTIFACTS_STACK, change.stack.id, final.change_set_id, change.changed_at, artifacts.plan, artifacts.remarks
    )


def execute_both(
    session: Session, artifacts: BootstrapProposal | None, platform: PlatformPlan, losses: Sequence[Danger]
) -> Deployed:
    """Execute the confirmed change sets: what adds rights, then the platform, then what takes rights away.

    Raises ``DeploymentFailed`` and ``UserError`` as ``execute_plan`` does; the rights of both releases then stay. Once
    the platform is deployed and complete, the result is so, whatever becomes of the artifacts stack.
    """
    if artifacts is not None and artifacts.change.steps.before:
        # CloudFormation refuses the change set if the stack has changed since.
        try:
            artifacts.execute_before()
        except _FAILURES as error:
            if artifacts.is_widened:
                _raise_unfinished(session, artifacts, platform, error, [])
            raise
    else:
        _check_artifacts(session, platform)
    restored: list[str] = []
    try:
        restored = take_code_back(session, platform.before)
        with session.target.watch.report_continuation():
            last_event = execute_plan(
                session, platform.proposal, platform.before.tree, platform.complete_plan, losses, platform.late
            )
    except _FAILURES as error:
        _raise_unfinished(session, artifacts, platform, error, restored)
    try:
        deployed = finish_deployment(session, platform.before, platform.late, last_event)
    except _FAILURES as error:
        if artifacts is not None and artifacts.change.steps.after:
            raise_both(error, f"{KEEPS_RIGHTS} until then")
        raise
    if artifacts is None:
        return deployed
    narrowed = artifacts.narrow(deployed.last_event, is_ready=not platform.proposal.is_express)
    return replace(deployed, artifacts=narrowed)


def _check_artifacts(session: Session, platform: PlatformPlan) -> None:
    """Raise ``Overtaken`` if the artifacts stack has changed since the plan: it may allow less than the plan needs."""
    if describe_stack(session.cloudformation, ARTIFACTS_STACK).state != platform.artifacts_state:
        raise Overtaken(f"{ARTIFACTS_STACK} was deployed since the plan was made; {NOT_EXECUTED}")


def _raise_unfinished(
    session: Session,
    artifacts: BootstrapProposal | None,
    platform: PlatformPlan,
    error: BaseException,
    restored: Sequence[str],
) -> NoReturn:
    """Raise the error that has ended the platform's step, with what it does not say of both stacks.

    ``restored`` are the functions whose code was taken back before it.
    """
    options = session.options
    is_widened = artifacts is not None and artifacts.change.steps.before
    notes = []
    if platform.proposal.is_executed and isinstance(error, KeyboardInterrupt):
        # While it runs, ``Watch`` makes it ``StillRunning``.
        notes.append(
            f"the deployment of {options.stack_name} has ended; see {suggest_command('status', options.environment)}"
        )
    elif is_widened and not platform.proposal.is_executed:
        command = suggest_command("deploy", options.environment)
        notes.append(f"{options.stack_name} was not deployed; continue with {command}")
    if not platform.proposal.is_executed:
        notes += _describe_code(session, restored)
    if artifacts is not None and (is_widened or platform.proposal.is_executed):
        notes.append(_describe_rights(artifacts))
    if isinstance(error, Overtaken) and notes:
        raise type(error)("; ".join([describe_obstacle(error), *notes])) from error
    if not notes:
        raise error
    try:
        raise_both(error, "; ".join(notes))
    except UserError as unfinished:
        unfinished.names_changes = True
        raise


def _describe_code(session: Session, restored: Sequence[str]) -> Iterator[str]:
    """Yield what was done to the code of functions before a change set was to be executed."""
    requests = session.target.requests
    if restored:
        yield f"{count_functions(restored)} the code of the last deployment again"
    elif any(map(requests.has_requested, CODE_CHANGES)):
        # It ended while code was taken back.
        yield requests.describe_changes()


def _describe_rights(artifacts: BootstrapProposal) -> str:
    """Return what the artifacts stack allows after a deployment of the platform that has not succeeded."""
    if not artifacts.change.steps.after:
        return f"{ARTIFACTS_STACK} is updated already, and stays as it is"
    command = suggest_command("deploy", artifacts.session.options.environment)
    return f"{KEEPS_RIGHTS}; the next {command} that succeeds removes those no longer needed"
