"""From a plan that was agreed to, to an environment that is deployed, protected and tidied up."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from scripts.common import templates
from scripts.common.errors import AWS_ERRORS, UserError, describe_aws_error
from scripts.common.packaging import Destination
from scripts.common.target import Target

from . import follow, protect, saved
from .change_set import Proposal
from .deletion_protection import NOT_LATE, LateProtection, switch_on
from .failure import DeploymentFailed
from .order import ARTIFACTS_STACK, Deployed, Order
from .plan.danger import Danger, confirmation_names, find_dangers
from .plan.model import Plan
from .report.reporter import Reporter
from .retire import delete_unneeded_artifacts, find_artifact_keys
from .stack import Stack, StackTree, deployed_templates, describe, describe_tree, original


def asked_to_go(plan: Plan, destroys: Sequence[str]) -> dict[str, Danger]:
    """What is lost with its data, by the name to ask for it.

    Raises ``UserError`` for a name that may go and does not: it is misspelt.
    """
    lost = confirmation_names(find_dangers(plan.stack))
    for name in destroys:
        if name not in lost and name not in [danger.path for danger in lost.values()]:
            raise UserError(
                f"--destroys {name}: no such resource among those affected: {', '.join(sorted(lost)) or 'none'}"
            )
    return lost


def execute(
    proposal: Proposal,
    tree: StackTree,
    plan: Plan,
    environment: str,
    target: Target,
    report: Reporter,
    late: LateProtection = NOT_LATE,
) -> None:
    """Raises ``DeploymentFailed``, and ``UserError`` if the deployment cannot be followed to its end."""
    try:
        with report.follow_events(plan, tree.stack.name) as watching:
            follow.execute(proposal, tree, follow.Follow(environment, watching, target.poll_seconds))
    except DeploymentFailed:
        raise
    except UserError as error:
        if not late.paths:
            raise
        raise UserError(
            f"{error}; when it has succeeded, deploy again to switch on the deletion protection of "
            f"{', '.join(late.paths)}"
        ) from error


def finish(
    order: Order,
    target: Target,
    report: Reporter,
    before: templates.Tree | None,
    late: LateProtection,
) -> Deployed:
    """What follows a deployment that went well: protection, the outputs, what is needed no more, the record.

    It has been deployed: what goes wrong from here is said, not raised, but for ``NotProtected``: without its deletion
    protection the environment is not what its settings ask for. So that comes first, and nothing can keep it from being
    tried. ``before`` is what was deployed before it.
    """
    switch_on(late, order.stack_name, order.environment, target, report)
    cloudformation = target.client("cloudformation")
    stack = Stack(order.stack_name)
    try:
        stack = describe(cloudformation, order.stack_name)
        tree = describe_tree(cloudformation, stack)
        keep_protected(order, cloudformation, tree, report)
        _tidy_up(order, target, stack, deployed_templates(cloudformation, tree), before)
    except (*AWS_ERRORS, UserError, KeyError) as error:
        said = describe_aws_error(error) if isinstance(error, AWS_ERRORS) else str(error)
        report.announce_step("Deployed,", f"but a follow-up step failed: {said}")
    except KeyboardInterrupt:
        raise UserError(
            f"interrupted; {order.stack_name} is deployed, but the follow-up steps (protection, cleanup, record) are "
            "incomplete; deploy again"
        ) from None
    return Deployed(stack.outputs, changed=True)


def keep_protected(order: Order, cloudformation: Any, tree: StackTree, report: Reporter) -> None:
    """As the environment asks for, where it is not so yet."""
    stack = tree.stack
    if order.rollout.termination_protection and not stack.termination_protection:
        protect.terminate_never(cloudformation, stack.name)
        report.announce_step("Protected", f"{stack.name} from deletion (termination protection)")
    if order.rollout.stack_policy and (bare := protect.without_policy(cloudformation, tree)):
        protect.keep_data(cloudformation, bare)
        report.announce_step("Protected", f"data resources, with stack policies on {len(bare)} stacks")


def record_deployment(
    order: Order, target: Target, stack: Stack, tree: templates.Tree, destination: Destination
) -> None:
    """Keep what is deployed now, to compare with it offline."""
    if not order.record:
        return
    last = saved.LastDeployment(
        stack_name=order.stack_name,
        account=target.account,
        region=target.region,
        deployed_at=datetime.now(UTC).isoformat(),
        bucket=destination.bucket,
        endpoint=destination.endpoint,
        # As deployed: a plan that was saved may be older than the settings of today.
        parameters=stack.parameters,
        tree=tree,
    )
    saved.save_deployment(order.record, last)


def _tidy_up(order: Order, target: Target, stack: Stack, after: templates.Tree, before: templates.Tree | None) -> None:
    """Delete artifacts that are needed no more, and keep the templates to compare with offline."""
    cloudformation = target.client("cloudformation")
    destination = target.destination(describe(cloudformation, ARTIFACTS_STACK).outputs["BucketName"], order.environment)
    root = original(cloudformation, order.stack_name)
    needed = {destination.content_key(root.encode(), ".yaml")} | find_artifact_keys(after, destination)
    needed |= find_artifact_keys(before, destination) if before else set()
    record_deployment(order, target, stack, after, destination)
    delete_unneeded_artifacts(target.client("s3"), destination, target.account, needed)
