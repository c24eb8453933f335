"""From a plan that was agreed to, to an environment that is deployed, protected and tidied up."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from . import follow, protect, saved
from .change_set import Proposal
from .errors import AWS_ERRORS, DeployError, explained
from .order import Deployed, Order
from .package import Destination
from .plan import templates
from .plan.danger import Danger, dangers
from .plan.model import Plan
from .report.reporter import Reporter
from .retire import keys, retire
from .stack import Stack, StackTree, describe, describe_tree, original
from .target import Target


def asked_to_go(plan: Plan, destroys: Sequence[str]) -> list[Danger]:
    """What is lost with its data. Raises ``DeployError`` for a name that may go and does not: it is misspelt."""
    lost = dangers(plan.stack)
    names = {danger.name for danger in lost}
    for name in destroys:
        if name not in names:
            raise DeployError(f"--destroys {name}: the plan loses {', '.join(sorted(names)) or 'nothing'}")
    return lost


def execute(
    proposal: Proposal, tree: StackTree, plan: Plan, environment: str, target: Target, report: Reporter
) -> None:
    """Raises ``DeploymentFailed``, after the report of it."""
    with report.watching(plan, tree.stack.name) as watching:
        follow.execute(proposal, tree, follow.Follow(environment, watching, target.poll_seconds))


def finish(order: Order, target: Target, report: Reporter) -> Deployed:
    """Protect the stack, as its environment asks for, and read its outputs."""
    cloudformation = target.client("cloudformation")
    stack = describe(cloudformation, order.stack_name)
    keep_protected(order, cloudformation, stack, report)
    return Deployed(stack.outputs, changed=True)


def keep_protected(order: Order, cloudformation: Any, stack: Stack, report: Reporter) -> None:
    """As the environment asks for, where it is not so yet; failures are said, not raised: it has been deployed."""
    try:
        if order.rollout.termination_protection and not stack.termination_protection:
            protect.terminate_never(cloudformation, stack.name)
            report.step("Protected", f"{stack.name} from being deleted")
        if order.rollout.stack_policy and not protect.keeps_data(cloudformation, stack):
            protect.keep_data(cloudformation, describe_tree(cloudformation, stack))
            report.step("Protected", "what holds data, by stack policies")
    except AWS_ERRORS as error:
        report.step("Deployed,", f"but not protected: {explained(error)}")


def tidy_up(
    order: Order,
    target: Target,
    report: Reporter,
    before: templates.Tree | None,
    after: templates.Tree,
    destination: Destination,
) -> None:
    """Let artifacts expire that are needed no more, and keep the templates to compare with offline.

    It has been deployed: what goes wrong from here is said, not raised.
    """
    try:
        account = target.account
        root = original(target.client("cloudformation"), order.stack_name)
        needed = {destination.key(root.encode(), ".yaml")} | keys(after, destination)
        needed |= keys(before, destination) if before else set()
        retire(target.client("s3"), destination, account, needed)
        if order.record:
            last = saved.LastDeployment(
                stack_name=order.stack_name,
                account=account,
                region=target.region,
                deployed_at=datetime.now(UTC).isoformat(),
                bucket=destination.bucket,
                endpoint=destination.endpoint,
                parameters=order.parameters,
                tree=after,
            )
            saved.save_deployment(order.record, last)
    except (*AWS_ERRORS, DeployError) as error:
        said = str(error) if isinstance(error, DeployError) else explained(error)
        report.step("Deployed,", f"but not tidied up: {said}")
