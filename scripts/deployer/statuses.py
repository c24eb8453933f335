"""Every status of a stack: what it means, what CloudFormation then accepts, and what to do next.

All advice about a status comes from this table, so that two commands never advise different things.
https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/view-stack-events.html
https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/stack-failure-options.html
https://docs.aws.amazon.com/AWSCloudFormation/latest/APIReference/API_RollbackStack.html
https://docs.aws.amazon.com/AWSCloudFormation/latest/APIReference/API_ContinueUpdateRollback.html
https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/import-resources.html
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from scripts.common.suggestion import complete_aws_commands, suggest_command

# What CloudFormation accepts, by the operations of its API.
UPDATE = "CreateChangeSet"
ROLL_BACK = "RollbackStack"
CONTINUE = "ContinueUpdateRollback"
CANCEL = "CancelUpdateStack"
DELETE = "DeleteStack"

_EVENTS = "aws cloudformation describe-stack-events --stack-name {name}"
_WAIT = "run {wait}, which deploys when it has ended, or watch it: {follow}"
_GO_ON = "fix the cause, then run {deploy}, which goes on from here; or roll back: {rollback}"
# By the commands that are printed with them. A purge would also delete what the environment has retained earlier.
_DELETE_REMAINS = "fix the cause, delete what was left behind, then run {deploy}"
_DELETE_STACK = "fix the cause; delete the stack: {delete}; then run {deploy}"
# Of a stack that is no environment's.
_ROLL_BACK = "fix the cause, roll back: {rollback}; then run {deploy}"


class Advice(NamedTuple):
    """The state of a stack, and the next step, which is empty if there is nothing to do."""

    meaning: str
    next_step: str


@dataclass(frozen=True)
class StackStatus:
    """A row of the table. The texts name commands by the keys of ``list_commands``."""

    # Completes "payment-platform-dev: ...".
    meaning: str
    next_step: str = ""
    # After an operation that has left resources outside the stack.
    meaning_with_remains: str = ""
    next_step_with_remains: str = ""
    # A deletion is advised only where it is all that remains, never for a stack that may hold a running environment.
    accepts: tuple[str, ...] = ()


_STABLE = (UPDATE, DELETE)

# By the enumeration StackStatus of CloudFormation's service model.
STATUSES: Mapping[str, StackStatus] = {
    "CREATE_IN_PROGRESS": StackStatus(
        "it is being created, so there is no previous state to roll back to",
        f"{_WAIT}, or delete it: {{destroy}}",
        accepts=(DELETE,),
    ),
    "CREATE_COMPLETE": StackStatus("created", accepts=_STABLE),
    "CREATE_FAILED": StackStatus("created in part (CREATE_FAILED)", _GO_ON, accepts=(UPDATE, ROLL_BACK, DELETE)),
    "ROLLBACK_IN_PROGRESS": StackStatus("its creation failed and is being rolled back", _WAIT),
    "ROLLBACK_COMPLETE": StackStatus(
        "empty: its creation was rolled back",
        "fix the cause, then run {deploy}, which first deletes the remains",
        "rolled back, but not everything that it created is deleted",
        _DELETE_REMAINS,
        accepts=(DELETE,),
    ),
    "ROLLBACK_FAILED": StackStatus(
        "created in part, and its rollback is not complete",
        # Not with a purge: what its deletion retains may be what an import was to take in, with its data.
        _DELETE_STACK,
        accepts=(DELETE,),
    ),
    "UPDATE_IN_PROGRESS": StackStatus("another deployment is running", _WAIT, accepts=(CANCEL,)),
    "UPDATE_COMPLETE_CLEANUP_IN_PROGRESS": StackStatus(
        "another deployment has updated it, and what that replaced is being deleted", _WAIT
    ),
    "UPDATE_COMPLETE": StackStatus("updated", accepts=_STABLE),
    "UPDATE_FAILED": StackStatus("updated in part (UPDATE_FAILED)", _GO_ON, accepts=(UPDATE, ROLL_BACK, DELETE)),
    "UPDATE_ROLLBACK_IN_PROGRESS": StackStatus("a deployment is being rolled back", _WAIT),
    "UPDATE_ROLLBACK_COMPLETE_CLEANUP_IN_PROGRESS": StackStatus(
        "a deployment was rolled back, and what it had created is being deleted", _WAIT
    ),
    "UPDATE_ROLLBACK_COMPLETE": StackStatus(
        "rolled back to its previous state",
        "fix the cause, then run {deploy}",
        "rolled back to its previous state",
        _DELETE_REMAINS,
        accepts=_STABLE,
    ),
    # https://repost.aws/knowledge-center/cloudformation-update-rollback-failed: continue, or delete.
    "UPDATE_ROLLBACK_FAILED": StackStatus(
        "stuck between two versions (UPDATE_ROLLBACK_FAILED)",
        "fix what blocks the rollback, then run {continue_rollback}; or skip the resource: {continue_rollback}{skip}",
        accepts=(CONTINUE, DELETE),
    ),
    "DELETE_IN_PROGRESS": StackStatus("it is being deleted", "wait until it is gone: {status}; then run {deploy}"),
    "DELETE_COMPLETE": StackStatus("deleted", "create it anew: {deploy}"),
    # It accepts nothing but another deletion.
    "DELETE_FAILED": StackStatus(
        "some resources could not be deleted",
        "fix what blocks the deletion of {blocking}, then run {destroy} again",
        accepts=(DELETE,),
    ),
    "REVIEW_IN_PROGRESS": StackStatus(
        "in review: nothing in it is created yet", "{deploy} creates it", accepts=_STABLE
    ),
    "IMPORT_IN_PROGRESS": StackStatus("another operation imports resources into it", _WAIT),
    "IMPORT_COMPLETE": StackStatus("resources were imported", accepts=_STABLE),
    "IMPORT_ROLLBACK_IN_PROGRESS": StackStatus("an import is being rolled back", _WAIT),
    # AWS documents no operation that leads out of it, and a deletion would take the running environment along.
    "IMPORT_ROLLBACK_FAILED": StackStatus(
        "an import failed, and so did its rollback",
        "see which resources its events report: {events}; do not delete the stack, which holds the running resources, "
        "but let AWS Support bring it back to a stable status",
    ),
    "IMPORT_ROLLBACK_COMPLETE": StackStatus(
        "an import was rolled back; it is as before", "fix the cause, then run {deploy}", accepts=_STABLE
    ),
}
# How an operation ends that was not to be rolled back.
PRESERVING = tuple(status for status, row in STATUSES.items() if ROLL_BACK in row.accepts)


def list_commands(stack_name: str, environment: str) -> dict[str, str]:
    """Return the commands that the table names; without an ``environment``, those of the AWS CLI.

    Our commands work on environments, not on other stacks, such as that of the artifact bucket.
    """
    events = complete_aws_commands(_EVENTS.format(name=stack_name))
    if environment:
        return {
            "deploy": suggest_command("deploy", environment),
            "wait": suggest_command("deploy", environment, "--wait"),
            "follow": suggest_command("deploy", "follow", environment),
            "rollback": suggest_command("deploy", "rollback", environment),
            "continue_rollback": suggest_command("deploy", "continue-rollback", environment),
            "destroy": suggest_command("destroy", environment),
            "delete": f"{suggest_command('destroy', environment)}, which retains what has the deletion policy Retain",
            "status": suggest_command("status", environment),
            "events": events,
        }

    def write_aws(operation: str) -> str:
        return complete_aws_commands(f"aws cloudformation {operation} --stack-name {stack_name}")

    return {
        "deploy": "the deployment again",
        "wait": "the deployment again with --wait",
        "follow": events,
        # What the failed operation has created is deleted even if its policy retains it: its names would stay taken.
        "rollback": f"{write_aws('rollback-stack')} --retain-except-on-create",
        "continue_rollback": write_aws("continue-update-rollback"),
        "destroy": write_aws("delete-stack"),
        "delete": f"{write_aws('delete-stack')}, which retains what has the deletion policy Retain",
        "status": write_aws("describe-stacks"),
        "events": events,
    }


def is_accepted(status: str, operation: str) -> bool:
    """Whether CloudFormation accepts the operation, which is one of those of this module, on a stack in the status."""
    return status in STATUSES and operation in STATUSES[status].accepts


def can_deploy(status: str, environment: str) -> bool:
    """Whether a deployment can update a stack in the status.

    A stack of no environment, such as that of the artifact bucket, is always updated with rollback, which
    CloudFormation refuses where an operation has failed without.
    https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/stack-failure-options.html
    """
    return is_accepted(status, UPDATE) and (bool(environment) or status not in PRESERVING)


def advise_next_step(
    stack_name: str,
    status: str,
    environment: str,
    *,
    blocking: Sequence[str] = (),
    has_remains: bool = False,
    is_import: bool = False,
    is_foreign: bool = False,
) -> Advice:
    """Return what the status means and what to do next.

    ``blocking`` are the paths of the resources that hold the operation up, such as ``Data/Transactions``,
    ``has_remains`` says whether an operation has left resources outside the stack, ``is_import`` whether it was to
    import some, which a plain deployment would collide with, and ``is_foreign`` whether the stack is none of ours, so
    that no deployment deletes it. A status that is newer than the table has no meaning but its name, and the stack's
    events as the next step.
    """
    commands = list_commands(stack_name, environment)
    if is_import and environment:
        commands["deploy"] = suggest_command("deploy", "import", environment)
    row = STATUSES.get(status)
    if row is None:
        return Advice(status, f"see {commands['events']}")
    meaning, next_step = row.meaning, row.next_step
    if not environment and status in PRESERVING:
        next_step = _ROLL_BACK
    if has_remains and row.next_step_with_remains:
        meaning, next_step = row.meaning_with_remains, row.next_step_with_remains
    if is_foreign:
        next_step = _DELETE_STACK
    option = "--skip" if environment else "--resources-to-skip"
    skip = "".join(f" {option} {path}" for path in blocking or ["STACK/RESOURCE" if environment else "NAME"])
    blocked = ", ".join(blocking) or "what its events report"
    return Advice(meaning, next_step.format(**commands, skip=skip, blocking=blocked))


def describe_refusal(stack_name: str, status: str, environment: str, *, is_foreign: bool = False) -> str:
    """Return why a stack cannot take what was asked for, with the next step, as one line."""
    meaning, next_step = advise_next_step(stack_name, status, environment, is_foreign=is_foreign)
    meaning = meaning.removesuffix(f" ({status})")
    return f"{stack_name} is {status}: {meaning}" + (f"; {next_step}" if next_step else "")
