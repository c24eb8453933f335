"""Deletes the empty stack that a failed creation has left, which no change set can create anew."""

from scripts.common.errors import Aborted

from .session import Session
from .stack import Stack, delete_failed_creation


def delete_remains(session: Session, stack: Stack) -> Stack:
    """Delete the stack once that is confirmed, and return the one to create.

    It is a question of its own, because the plan of what is created can be shown only afterwards. Raises ``Aborted``
    without confirmation, and ``UserError`` if the stack cannot be deleted.
    """
    question = f"Delete {stack.name} ({stack.status}), which is empty: it is left over from a failed creation?"
    if not session.confirm(question, []):
        raise Aborted(f"{stack.name}: not deployed; nothing was deleted")
    session.report.announce_step("Deleting", f"{stack.name}, left over from a failed creation")
    remains_id = stack.id
    stack = delete_failed_creation(session.cloudformation, stack)
    session.target.requests.note_end(remains_id)
    return stack
