"""Out of a deployment that goes wrong: cancel one that runs, continue a rollback that got stuck."""

from typing import Any

from botocore.exceptions import ClientError

from scripts.common.errors import UserError
from scripts.common.target import Target

from .follow import Follow, Watch, join, until_ended
from .report.reporter import Reporter
from .stack import Stack, StackTree, check_owned, describe, describe_tree

_ROLLED_BACK = {"UPDATE_ROLLBACK_COMPLETE", "ROLLBACK_COMPLETE"}


def follow(environment: str, name: str, target: Target, report: Reporter) -> str:
    """Join what runs, from its beginning; how it ended. Raises ``UserError`` where nothing does."""
    cloudformation = target.client("cloudformation")
    stack = _there(cloudformation, name, environment)
    if not stack.busy:
        raise UserError(
            f"{name} is {stack.status}: no operation is in progress; for the last result, see "
            f"scripts/status.sh {environment}"
        )
    with report.follow_events(None, name) as watching:
        return join(cloudformation, stack, Follow(environment, watching, target.poll_seconds))


def cancel(environment: str, name: str, target: Target, report: Reporter) -> str:
    """Cancel the update that runs, and follow its rollback. A first deployment has nothing to go back to."""
    cloudformation = target.client("cloudformation")
    stack = _there(cloudformation, name, environment)
    if stack.status == "CREATE_IN_PROGRESS":
        raise UserError(
            f"{name} is being created, so there is no previous state to roll back to; delete it with "
            f"scripts/destroy.sh {environment}"
        )
    if stack.status != "UPDATE_IN_PROGRESS":
        raise UserError(f"{name} is {stack.status}: only an update in progress can be cancelled")
    watch = Watch(cloudformation, stack.id, describe_tree(cloudformation, stack))
    cloudformation.cancel_update_stack(StackName=stack.id)
    with report.follow_events(None, name) as watching:
        how = Follow(environment, watching, target.poll_seconds)
        return until_ended(watch, name, how, _ROLLED_BACK | {"UPDATE_COMPLETE"}, "rollback")


def go_on(environment: str, name: str, skip: tuple[str, ...], target: Target, report: Reporter) -> str:
    """Continue a rollback that failed, leaving the resources of ``skip`` (``Data/Transactions``) as they are.

    https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/using-cfn-updating-stacks-continueupdaterollback.html
    """
    cloudformation = target.client("cloudformation")
    stack = _there(cloudformation, name, environment)
    if stack.status != "UPDATE_ROLLBACK_FAILED":
        raise UserError(f"{name} is {stack.status}: there is no rollback to continue")
    tree = describe_tree(cloudformation, stack)
    skipped = [_as_the_service_names_it(tree, one) for one in skip]
    watch = Watch(cloudformation, stack.id, tree)
    try:
        cloudformation.continue_update_rollback(StackName=stack.id, ResourcesToSkip=skipped)
    except ClientError as error:
        if error.response["Error"]["Code"] != "ValidationError":
            raise
        raise UserError(
            f"{name}: the rollback cannot be continued this way: {error.response['Error']['Message']}"
        ) from error
    with report.follow_events(None, name) as watching:
        return until_ended(watch, name, Follow(environment, watching, target.poll_seconds), _ROLLED_BACK, "rollback")


def _as_the_service_names_it(tree: StackTree, path: str) -> str:
    """``Data/Transactions`` as ``payment-platform-dev-Data-1ABC.Transactions``."""
    *above, logical_id = path.split("/")
    stacks = dict(tree.walk())
    stack = stacks.get("/".join(above))
    if stack is None:
        known = ", ".join(one for one in stacks if one)
        raise UserError(f"--skip {path}: no such nested stack; the nested stacks are {known or 'none'}")
    return f"{stack.name}.{logical_id}" if above else logical_id


def _there(cloudformation: Any, name: str, environment: str) -> Stack:
    stack = describe(cloudformation, name)
    if not stack.exists:
        raise UserError(f"{name} is not deployed; deploy it with scripts/deploy.sh {environment}")
    check_owned(stack)
    return stack
