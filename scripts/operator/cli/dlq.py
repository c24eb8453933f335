"""scripts/payments.sh dlq"""

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

import click
from click import UsageError

from scripts.common.command import end_silently_if_unread
from scripts.common.errors import StillRunning, UserError
from scripts.common.terminal import echo

from ..json_output import to_json
from .common import NAME, ReachPlatform, as_json, ask_confirmation, echo_json, main, make_console

if TYPE_CHECKING:
    from ..dead_letters import DeadLetter
    from ..platform import Platform


@main.group()
def dlq() -> None:
    """Inspect, redrive and clear dead letters."""


@dlq.command("list")
@as_json
@click.pass_obj
@end_silently_if_unread()
def list_letters(reach_platform: ReachPlatform, as_json: bool) -> None:
    """List the dead letters and the current status of their payments.

    An empty queue is known by the count of SQS, which may lack a letter of the last minute; --json asks all servers.
    """
    platform = reach_platform()
    from .. import dead_letter_queue as queue

    # An emulator has one server, and a program cannot be told of the letter that may be missing.
    if not as_json and not platform.target.is_emulator and queue.is_counted_empty(platform):
        echo("no dead letters; one of the last minute may not be counted yet")
        return
    letters = queue.read_letters(platform)
    held_letters = _describe_held_letters(platform)  # after reading, which holds letters itself
    if as_json:
        _echo_letters(letters)
    elif letters:
        from . import views

        views.print_letters(make_console(), letters)
    else:
        echo("no dead letters")
    if held_letters:
        echo(held_letters, err=True)


@dlq.command()
@click.argument("transaction_id")
@as_json
@click.pass_obj
@end_silently_if_unread()
def explain(reach_platform: ReachPlatform, transaction_id: str, as_json: bool) -> None:
    """Explain why a payment failed and what a redrive would do."""
    platform = reach_platform()
    from .. import dead_letter_queue as queue

    letters = [letter for letter in queue.read_letters(platform) if letter.transaction_id == transaction_id]
    if not letters:
        raise _no_letter_error(platform, f"no dead letter for transaction {transaction_id}")
    if as_json:
        _echo_letters(letters)
        return
    from . import views

    for letter in letters:
        views.print_letter(make_console(), letter)


@dlq.command()
@click.argument("transaction_id", required=False)
@click.option("--all", "redrive_all", is_flag=True, help="Redrive all dead letters.")
@click.pass_obj
def redrive(reach_platform: ReachPlatform, transaction_id: str | None, redrive_all: bool) -> None:
    """Send a payment through the workflow again. Safe to repeat: it is charged at most once."""
    if (transaction_id is None) is not redrive_all:
        raise UsageError("give either TRANSACTION_ID or --all")
    platform = reach_platform()
    platform.changes.advice = "run the same command again, and see `show` for the outcomes"
    from scripts.common.errors import AWS_ERRORS

    from .. import dead_letter_queue as queue
    from ..redrives import Redrives

    has_failed = False
    is_selected = None if redrive_all else lambda letter: letter.transaction_id == transaction_id
    with queue.hold_letters(platform, is_selected=is_selected) as letters:
        if not letters and not redrive_all:
            raise _no_letter_error(platform, f"no dead letter for transaction {transaction_id}")
        if not letters and (held_letters := _describe_held_letters(platform)):
            raise UserError(held_letters)
        if not letters:
            echo("no dead letters")
        redrives = Redrives(platform)
        for letter in queue.keep_holding(platform, letters):
            label = letter.transaction_id or letter.execution_arn or letter.letter_id[:8]
            try:
                echo(f"{label}: {redrives.redrive_letter(letter)}")
            except (UserError, *AWS_ERRORS) as error:  # the other letters may succeed
                has_failed = True
                echo(f"{NAME}: {label}: {platform.changes.settle_error(error)}", err=True)
        if redrives.started:
            echo("see `show` for the outcomes; a payment that fails again leaves a new dead letter", err=True)
    if has_failed:
        sys.exit((StillRunning if platform.changes.is_unanswered else UserError).exit_code)


@dlq.command()
@click.argument("letter_id", metavar="LETTER_ID")
@click.option("--yes", "-y", is_flag=True, help="Clear it without asking.")
@click.pass_obj
def clear(reach_platform: ReachPlatform, letter_id: str, yes: bool) -> None:
    """Delete a dead letter that has been handled. LETTER_ID is the start of its id, as shown by `dlq list`."""
    if not letter_id:
        raise UsageError("LETTER_ID is empty; `dlq list` shows the ids")
    platform = reach_platform()
    platform.changes.advice = "see `dlq list`"
    from .. import dead_letter_queue as queue

    with queue.hold_letters(platform, is_selected=lambda letter: letter.letter_id.startswith(letter_id)) as letters:
        if not letters:
            raise _no_letter_error(platform, f"no dead letter has an id that begins with {letter_id}; see `dlq list`")
        if len(letters) > 1:
            raise UserError(f"{len(letters)} dead letters have an id that begins with {letter_id}; see `dlq list`")
        (letter,) = letters
        echo(f"{letter.letter_id}: {letter.transaction_id or 'no payment'}, {letter.error}")
        if not yes:
            ask_confirmation(f"Delete this dead letter of {platform.environment}?")
        queue.delete_letter(platform, letter)
        platform.changes.settle("the dead letter was deleted")
    echo("cleared")


def _no_letter_error(platform: "Platform", message: str) -> UserError:
    held_letters = _describe_held_letters(platform)
    return UserError(f"{message}; {held_letters}" if held_letters else message)


def _describe_held_letters(platform: "Platform") -> str:
    """Describe the letters that others hold at the moment; empty if there are none."""
    from .. import dead_letter_queue as queue

    count = queue.count_held_by_others(platform)
    subject = "1 dead letter is" if count == 1 else f"{count} dead letters are"
    return f"{subject} being read or redriven by somebody else; try again in a few minutes" if count else ""


def _echo_letters(letters: "Sequence[DeadLetter]") -> None:
    echo_json([to_json(letter) | {"explanation": letter.explanation, "advice": letter.advice} for letter in letters])
