"""Follows, cancels or rolls back an operation, or continues a failed rollback; returns the stack's final status."""

from botocore.exceptions import ClientError

from scripts.common.errors import Aborted, UserError

from . import statuses
from .follow import EventReader, follow_running, follow_until_ended
from .session import Session
from .stack import Stack, StackTree, check_owned, describe_environment, describe_tree

_ROLLED_BACK = {"UPDATE_ROLLBACK_COMPLETE", "ROLLBACK_COMPLETE"}


def follow_operation(session: Session) -> str:
    """Follow the operation in progress from its beginning. Raises ``UserError`` if there is none."""
    stack = _describe_platform(session)
    if not stack.is_busy:
        raise _make_refusal(session, stack, "no operation is in progress")
    with session.follow_stack(None, stack.name) as options:
        return follow_running(session.cloudformation, stack, options)


def cancel_update(session: Session) -> str:
    """Cancel the update in progress, and follow its rollback. A creation has no previous state to roll back to."""
    stack = _describe_platform(session)
    if not statuses.is_accepted(stack.status, statuses.CANCEL):
        raise _make_refusal(session, stack, "only an update in progress can be cancelled")
    reader = EventReader(session.cloudformation, stack.id, describe_tree(session.cloudformation, stack))
    session.cloudformation.cancel_update_stack(StackName=stack.id)
    return _follow_rollback(session, stack, reader, _ROLLED_BACK | {"UPDATE_COMPLETE"})


def continue_rollback(session: Session, skip: tuple[str, ...]) -> str:
    """Continue a rollback that failed, leaving the resources of ``skip`` (``Data/Transactions``) as they are.

    https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/using-cfn-updating-stacks-continueupdaterollback.html
    """
    stack = _describe_platform(session)
    if not statuses.is_accepted(stack.status, statuses.CONTINUE):
        raise _make_refusal(session, stack, "there is no rollback to continue")
    tree = describe_tree(session.cloudformation, stack)
    skipped = [_name_skipped_resource(tree, path) for path in skip]
    reader = EventReader(session.cloudformation, stack.id, tree)
    try:
        session.cloudformation.continue_update_rollback(StackName=stack.id, ResourcesToSkip=skipped)
    except ClientError as error:
        if error.response["Error"]["Code"] != "ValidationError":
            raise
        raise UserError(
            f"{stack.name}: the rollback cannot be continued this way: {error.response['Error']['Message']}"
        ) from error
    return _follow_rollback(session, stack, reader, _ROLLED_BACK)


def roll_back_failure(session: Session) -> str:
    """Roll back an operation that failed and kept what succeeded, once that is confirmed.

    CloudFormation deletes a stack whose creation failed. Raises ``UserError``, and ``Aborted`` without confirmation.
    https://docs.aws.amazon.com/AWSCloudFormation/latest/APIReference/API_RollbackStack.html
    """
    stack = _describe_platform(session)
    if not statuses.is_accepted(stack.status, statuses.ROLL_BACK):
        raise _make_refusal(session, stack, "no failed operation has kept anything that can be rolled back")
    is_creation = stack.status == "CREATE_FAILED"
    effect = (
        "delete everything that its failed creation has made" if is_creation else "go back to its last stable state"
    )
    if not session.confirm(f"Roll back {stack.name}, to {effect}?", []):
        raise Aborted(f"{stack.name}: not rolled back")
    reader = EventReader(session.cloudformation, stack.id, describe_tree(session.cloudformation, stack))
    try:
        session.cloudformation.rollback_stack(StackName=stack.id, RetainExceptOnCreate=True)
    except ClientError as error:
        if error.response["Error"]["Code"] != "ValidationError":
            raise
        raise UserError(f"{stack.name} cannot be rolled back: {error.response['Error']['Message']}") from error
    return _follow_rollback(session, stack, reader, {*_ROLLED_BACK, "DELETE_COMPLETE"})


def _make_refusal(session: Session, stack: Stack, problem: str) -> UserError:
    """Return the error for a status in which a command can do nothing, with what can be done instead."""
    environment = session.options.environment
    next_step = statuses.advise_next_step(stack.name, stack.status, environment).next_step
    return UserError(
        f"{stack.name} is {stack.status}: {problem}; {next_step or f'see scripts/status.sh {environment}'}"
    )


def _follow_rollback(session: Session, stack: Stack, reader: EventReader, succeeded: set[str]) -> str:
    with session.follow_stack(None, stack.name) as options:
        return follow_until_ended(reader, stack.name, options, succeeded, "rollback")


def _name_skipped_resource(tree: StackTree, path: str) -> str:
    """Return ``Data/Transactions`` as ``payment-platform-dev-Data-1ABC.Transactions``."""
    *parents, logical_id = path.split("/")
    stacks = dict(tree.walk())
    stack = stacks.get("/".join(parents))
    if stack is None:
        nested = ", ".join(filter(None, stacks))
        raise UserError(f"--skip {path}: no such nested stack; the nested stacks are {nested or 'none'}")
    return f"{stack.name}.{logical_id}" if parents else logical_id


def _describe_platform(session: Session) -> Stack:
    """Raise ``UserError`` if the platform is not deployed, or its stack is not ours."""
    stack = describe_environment(session.cloudformation, session.options.environment)
    check_owned(stack)
    return stack
