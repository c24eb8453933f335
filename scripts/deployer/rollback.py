"""Follows, cancels or rolls back an operation, or continues a failed rollback; returns the stack's final status."""

from collections.abc import Callable
from dataclasses import replace

from botocore.exceptions import ClientError

from scripts.common.errors import (
    AWS_ERRORS,
    Aborted,
    StillRunning,
    UserError,
    describe_error,
    is_refusal,
    raise_both,
)
from scripts.common.suggestion import suggest_command

from . import statuses
from .failure import Event, find_remaining
from .follow import EventReader, follow_running, follow_until_ended
from .plan.danger import check_confirmed_names
from .request_tokens import make_token
from .rollback_losses import find_rollback_effect
from .session import Session
from .stack import (
    Stack,
    StackTree,
    check_owned,
    describe_change_since,
    describe_environment,
    describe_stack,
    describe_tree,
)

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
    token = make_token("cancel")
    return _run_rollback(
        session,
        describe_tree(session.cloudformation, stack),
        lambda: session.cloudformation.cancel_update_stack(StackName=stack.id, ClientRequestToken=token),
        f"{stack.name} cannot be cancelled",
        _ROLLED_BACK | {"UPDATE_COMPLETE"},
    )


def continue_rollback(session: Session, skip: tuple[str, ...]) -> str:
    """Continue a rollback that failed, leaving the resources of ``skip`` (``Data/Transactions``) as they are.

    https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/using-cfn-updating-stacks-continueupdaterollback.html
    """
    stack = _describe_platform(session)
    if not statuses.is_accepted(stack.status, statuses.CONTINUE):
        raise _make_refusal(session, stack, "there is no rollback to continue")
    tree = describe_tree(session.cloudformation, stack)
    skipped = [_name_skipped_resource(tree, path) for path in skip]
    token = make_token("continue")
    return _run_rollback(
        session,
        tree,
        lambda: session.cloudformation.continue_update_rollback(
            StackName=stack.id, ResourcesToSkip=skipped, ClientRequestToken=token
        ),
        f"{stack.name}: the rollback cannot be continued this way",
        _ROLLED_BACK,
    )


def roll_back_failure(session: Session) -> str:
    """Roll back an operation that failed and kept what succeeded, once that and each loss of data is confirmed.

    CloudFormation deletes a stack that has never been stable, such as one whose creation failed, however often it was
    continued. Raises ``UserError``, and ``Aborted`` without confirmation.
    https://docs.aws.amazon.com/AWSCloudFormation/latest/APIReference/API_RollbackStack.html
    """
    stack = _describe_platform(session)
    if not statuses.is_accepted(stack.status, statuses.ROLL_BACK):
        raise _make_refusal(session, stack, "no failed operation has kept anything that can be rolled back")
    tree = describe_tree(session.cloudformation, stack)
    effect = find_rollback_effect(session.cloudformation, tree)
    check_confirmed_names(effect.losses, session.options.destroys)
    for danger in effect.losses.values():
        session.report.announce_step("Data loss", str(danger))
    outcome = (
        "delete it with everything in it, because it has no stable state"
        if effect.deletes_stack
        else "go back to its last stable state"
    )
    if not session.confirm(f"Roll back {stack.name}, to {outcome}?", list(effect.losses)):
        raise Aborted(f"{stack.name}: not rolled back")
    # It returns to a stable state from whatever was deployed last, and deletes what that has created.
    if change := describe_change_since(session.cloudformation, tree):
        again = suggest_command("deploy", "rollback", session.options.environment)
        raise UserError(f"{stack.name} {change}; nothing was rolled back; see what is lost now: {again}")
    token = make_token("rollback")
    return _run_rollback(
        session,
        tree,
        # What was created is deleted even if its policy retains it: its names would stay taken, and it was confirmed.
        lambda: session.cloudformation.rollback_stack(
            StackName=stack.id, RetainExceptOnCreate=True, ClientRequestToken=token
        ),
        f"{stack.name} cannot be rolled back",
        _ROLLED_BACK | {"DELETE_COMPLETE"},
    )


def _run_rollback(
    session: Session, tree: StackTree, send_request: Callable[[], object], refusal: str, succeeded: set[str]
) -> str:
    """Request the rollback and follow it to its end, which is one of ``succeeded``; see ``_request_rollback``."""
    stack = tree.stack
    reader = EventReader(session.cloudformation, stack.id, tree)
    _request_rollback(session, stack, send_request, refusal)
    events: list[Event] = []

    def receive_events(new: list[Event]) -> None:
        events.extend(new)
        options.receive_events(new)

    with session.follow_stack(None, stack.name) as options:
        following = replace(options, receive_events=receive_events)
        status = follow_until_ended(reader, stack.name, following, succeeded, "rollback").status
    session.target.requests.note_end(stack.id)
    remaining = [f"{event} {event.physical_id}, with what it holds" for event in find_remaining(events)]
    try:
        for description in remaining:
            session.report.announce_step("Not deleted:", description)
    except KeyboardInterrupt as error:
        raise_both(error, f"{stack.name} ended {status}; not deleted: {', '.join(remaining)}")
    return status


def _request_rollback(session: Session, stack: Stack, send_request: Callable[[], object], refusal: str) -> None:
    """Send the request; if it fails or is interrupted, read back whether the rollback began nevertheless.

    Raises ``UserError``, beginning with ``refusal``, if CloudFormation refuses it, and ``StillRunning`` if the command
    ends although the rollback has begun, or may have.
    """
    environment = session.options.environment
    try:
        send_request()
    except (*AWS_ERRORS, KeyboardInterrupt) as error:
        reason = describe_error(error)
        try:
            status = describe_stack(session.cloudformation, stack.id).status
        except (*AWS_ERRORS, KeyboardInterrupt) as second:
            if not is_refusal(error):
                raise StillRunning(
                    f"{reason}; the rollback may have begun, which could not be read: {describe_error(second)}; see "
                    f"{suggest_command('status', environment)}"
                ) from error
            status = stack.status
        has_begun = status != stack.status and ("ROLLBACK" in status or status.startswith("DELETE"))
        if has_begun and isinstance(error, KeyboardInterrupt):
            raise StillRunning(
                f"interrupted; the rollback continues; watch it: {suggest_command('deploy', 'follow', environment)}"
            ) from error
        if has_begun:
            return
        if isinstance(error, ClientError) and error.response["Error"]["Code"] == "ValidationError":
            raise UserError(f"{refusal}: {error.response['Error']['Message']}") from error
        raise


def _make_refusal(session: Session, stack: Stack, problem: str) -> UserError:
    """Return the error for a status in which a command can do nothing, with what can be done instead."""
    environment = session.options.environment
    next_step = statuses.advise_next_step(stack.name, stack.status, environment).next_step
    next_step = next_step or f"see {suggest_command('status', environment)}"
    return UserError(f"{stack.name} is {stack.status}: {problem}; {next_step}")


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
    check_owned(stack, adopting_command=suggest_command("deploy", session.options.environment, "--adopt"))
    return stack
