"""Whether a deployment of the environment runs: an alarm that this command sets off would roll it back."""

from scripts.common.errors import UserError
from scripts.deployer.order import stack_name
from scripts.deployer.stack import describe, describe_tree

from .place import Place


def check_none_runs(place: Place) -> None:
    """Raises ``UserError`` while a stack of the environment is created, updated, rolled back or deleted.

    The alarms that roll a deployment back are those that this command sets off. CloudFormation watches them during the
    operation and the monitoring time after it, and the stack is IN_PROGRESS until then:
    https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/using-cfn-rollback-triggers.html
    The stacks are described again: those of ``place.tree`` are as they were when the run began.
    """
    cloudformation = place.client("cloudformation")
    tree = describe_tree(cloudformation, describe(cloudformation, stack_name(place.environment)))
    busy = [f"{stack.name} is {stack.status}" for _, stack in tree.walk() if stack.busy]
    if busy:
        raise UserError(
            f"a deployment is running, and verification sets off alarms that roll it back: {', '.join(busy)}; wait for "
            f"its end: scripts/deploy.sh {place.environment} --follow (--read-only sets off no alarm)"
        )
