"""From a confirmed plan to an environment that is deployed, protected and recorded."""

from collections.abc import Sequence
from datetime import UTC, datetime

from scripts.common.clients import CloudFormationClient
from scripts.common.errors import AWS_ERRORS, UserError, describe_error
from scripts.common.packaging import Destination

from . import follow, stack_safeguards
from .abandoned import is_abandoned, list_change_sets
from .change_set import Incomplete, Overtaken, Proposal
from .deletion_protection import LateProtection, switch_on_protection
from .deployment_options import ARTIFACTS_STACK, Deployed
from .execution_options import announce_background_work
from .failure import DeploymentFailed
from .last_deployment import LastDeployment, save_deployment
from .plan.danger import Danger, check_confirmed_names, confirmation_names, find_dangers
from .plan.model import Plan
from .session import Session
from .stack import (
    Snapshot,
    Stack,
    StackTree,
    describe_stack,
    find_later_operation,
    read_original_template,
    read_snapshot,
)
from .unneeded_artifacts import delete_artifacts, find_artifact_keys, find_unneeded_artifacts


def confirmed_losses(plans: Sequence[Plan], destroys: Sequence[str]) -> list[dict[str, Danger]]:
    """Return what each plan loses, by the name that confirms it.

    Raises ``UserError`` if ``destroys`` has any other name.
    """
    losses = [confirmation_names(find_dangers(plan.stack)) for plan in plans]
    check_confirmed_names({name: danger for of_plan in losses for name, danger in of_plan.items()}, destroys)
    return losses


def report_unused_names(session: Session) -> None:
    """Warn of each name in ``--destroys`` where nothing changes: no error, because a deployment may be repeated."""
    for name in session.options.destroys:
        session.report.announce_step("Warning", f"--destroys {name}: nothing changes, so nothing is destroyed")


def confirm_plans(session: Session, plans: Sequence[Plan]) -> list[dict[str, Danger]] | None:
    """Ask once for all plans. Return what each of them loses, or None if the answer is no."""
    losses = confirmed_losses(plans, session.options.destroys)
    question = f"Deploy {' and '.join(plan.stack.name for plan in plans)}?"
    return losses if session.confirm(question, [name for of_plan in losses for name in of_plan]) else None


def execute_plan(
    session: Session, proposal: Proposal, tree: StackTree, plan: Plan, losses: Sequence[Danger], late: LateProtection
) -> str:
    """Execute the change set while the stack policies allow ``losses``; return the id of its last event.

    Raises ``DeploymentFailed``, and ``UserError`` if the deployment cannot be followed to its end.
    """
    try:
        with (
            stack_safeguards.lift_stack_policies(session, tree, losses),
            session.follow_stack(plan, tree.stack.name) as following,
        ):
            last_event = follow.execute_and_follow(proposal, tree, following).id
        announce_background_work(session, proposal)
        return last_event
    except DeploymentFailed:
        raise
    except UserError as error:
        if not late.purpose or isinstance(error, Overtaken):
            raise
        raise type(error)(
            f"{error}; when it has succeeded, deploy again: a second change set {late.purpose}"
        ) from error


def finish_deployment(session: Session, before: Snapshot, late: LateProtection, last_event: str) -> Deployed:
    """Protect the deployed environment, record the deployment, and delete the artifacts that nothing needs.

    ``before`` is what was deployed before, and ``last_event`` the id of the last event of the deployment. Errors are
    only reported, because the environment is deployed, except for ``NotProtected``: deletion protection comes first,
    and no other error can prevent it.
    """
    last_event = switch_on_protection(session, late) or last_event
    options, report, cloudformation = session.options, session.report, session.cloudformation
    stack = Stack(options.stack_name)
    try:
        stack = describe_stack(cloudformation, options.stack_name)
        deployed = read_snapshot(cloudformation, stack)
        keep_protected(session, deployed.tree)
        _tidy_up(session, deployed, before, last_event)
    except (*AWS_ERRORS, UserError, KeyError) as error:
        reason = describe_error(error)
        report.announce_step("Deployed,", f"but a follow-up step failed: {reason}")
    except KeyboardInterrupt:
        raise Incomplete(
            f"interrupted; {options.stack_name} is deployed, but the follow-up steps (protection, cleanup, record) are "
            "incomplete; deploy again"
        ) from None
    have_outputs_changed = stack.outputs != before.tree.stack.outputs
    return Deployed(stack.outputs, changed=True, have_outputs_changed=have_outputs_changed, last_event=last_event)


def keep_protected(session: Session, tree: StackTree) -> None:
    """Enable the termination protection and set the stack policies that are required by the settings and missing."""
    rollout, report, stack = session.options.rollout, session.report, tree.stack
    if rollout.termination_protection and not stack.termination_protection:
        session.cloudformation.update_termination_protection(StackName=stack.name, EnableTerminationProtection=True)
        report.announce_step("Protected", f"{stack.name} from deletion (termination protection)")
    if rollout.stack_policy and (unprotected := stack_safeguards.find_without_policy(session.cloudformation, tree)):
        stack_safeguards.set_stack_policies(session.cloudformation, unprotected)
        report.announce_step("Protected", f"data resources, with stack policies on {len(unprotected)} stacks")


def record_deployment(session: Session, deployed: Snapshot, destination: Destination) -> None:
    """Save the deployed templates and parameters for offline plans."""
    if not session.options.record or deployed.template_tree is None:
        return
    last = LastDeployment(
        stack_name=session.options.stack_name,
        account=session.target.account,
        region=session.target.region,
        deployed_at=datetime.now(UTC).isoformat(),
        bucket=destination.bucket,
        endpoint=destination.endpoint,
        # The deployed values: a saved plan may be older than the current settings.
        parameters=deployed.tree.stack.parameters,
        tree=deployed.template_tree,
    )
    save_deployment(session.options.record, last)


def _tidy_up(session: Session, deployed: Snapshot, before: Snapshot, last_event: str) -> None:
    """Record the deployment, and delete the artifacts that neither it nor the previous one needs.

    All are kept if another deployment has begun since: it needs files that these two do not name.
    """
    cloudformation, target, options = session.cloudformation, session.target, session.options
    destination = target.destination(
        describe_stack(cloudformation, ARTIFACTS_STACK).outputs["BucketName"], options.environment
    )
    root = read_original_template(cloudformation, options.stack_name)
    needed_keys = {destination.content_key(root.encode(), ".yaml")}
    for tree in filter(None, (deployed.template_tree, before.template_tree)):
        needed_keys |= find_artifact_keys(tree, destination)
    record_deployment(session, deployed, destination)
    if not last_event:
        # Whether another deployment has begun since then cannot be told.
        return
    s3, account = target.client("s3"), target.account
    unneeded_keys = find_unneeded_artifacts(s3, destination, account, needed_keys)
    # Only now: what another deployment uploads from here on is not listed.
    if unneeded_keys and (reason := _find_other_deployment(cloudformation, options.stack_name, last_event)):
        session.report.announce_step("Deployed,", f"but what it does not need stays in the artifact bucket: {reason}")
        return
    delete_artifacts(s3, destination, account, unneeded_keys)


def _find_other_deployment(cloudformation: CloudFormationClient, name: str, last_event: str) -> str:
    """Return which other deployment began since the last event of this one, or is planned; empty if none is.

    CloudFormation has deleted all change sets that were older than the execution.
    """
    stack = describe_stack(cloudformation, name)
    if reason := find_later_operation(cloudformation, stack, last_event):
        return reason
    for summary in list_change_sets(cloudformation, stack.id):
        is_open = summary.get("ExecutionStatus") in ("AVAILABLE", "UNAVAILABLE") and summary.get("Status") != "FAILED"
        if is_open and not is_abandoned(summary):
            return f"another deployment of {name} is planned ({summary['ChangeSetName']})"
    return ""
