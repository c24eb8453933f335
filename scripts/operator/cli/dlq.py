"""scripts/payments.sh dlq"""

import dataclasses
import sys
from collections.abc import Callable
from typing import Any

import click

from scripts.common.errors import AWS_ERRORS, UserError

from .. import dead_letter_queue as queue
from ..dead_letters import Letter
from ..platform import Platform
from ..redrives import Redrives
from . import views
from .common import NAME, Usage, as_json, confirm, console, describe_error, echo_json


@click.group()
def dlq() -> None:
    """Inspect, redrive and clear dead letters."""


@dlq.command("list")
@as_json
@click.pass_obj
def list_letters(platform: Callable[[], Platform], as_json: bool) -> None:
    """List the dead letters and the current status of their payments."""
    there = platform()
    letters = queue.read(there)
    held = _held(there)  # asked after that: what was read here is there again
    if as_json:
        echo_json([_public(letter) for letter in letters])
    elif letters:
        views.letters(console(), letters)
    else:
        click.echo("no dead letters")
    if held:
        click.echo(held, err=True)


@dlq.command()
@click.argument("transaction_id")
@as_json
@click.pass_obj
def explain(platform: Callable[[], Platform], transaction_id: str, as_json: bool) -> None:
    """Explain why a payment failed and what a redrive would do."""
    there = platform()
    letters = [letter for letter in queue.read(there) if letter.transaction_id == transaction_id]
    if not letters:
        raise _none(there, f"no dead letter for transaction {transaction_id}")
    if as_json:
        echo_json([_public(letter) for letter in letters])
        return
    for letter in letters:
        click.echo(f"{letter.transaction_id}: {letter.error} in {letter.state} at {letter.timestamp}")
        click.echo(f"  id         {letter.letter_id[:8]}")
        click.echo(f"  why        {letter.explanation}")
        click.echo(f"  status     {letter.payment_status}, now {letter.now or 'not recorded'}")
        click.echo(f"  advice     {letter.advice}")
        click.echo(f"  cause      {letter.cause}")
        click.echo(f"  execution  {letter.execution_arn}")


@dlq.command()
@click.argument("transaction_id", required=False)
@click.option("--all", "everything", is_flag=True, help="Redrive all dead letters.")
@click.pass_obj
def redrive(platform: Callable[[], Platform], transaction_id: str | None, everything: bool) -> None:
    """Send a payment through the workflow again. Safe to repeat: it is charged at most once."""
    if (transaction_id is None) is not everything:
        raise Usage("give either TRANSACTION_ID or --all")
    there = platform()
    failed = False

    def wanted(letter: Letter) -> bool:
        return everything or letter.transaction_id == transaction_id

    with queue.held(there, wanted=wanted) as letters:
        if not letters and everything:
            if held := _held(there):
                raise UserError(held)
            click.echo("no dead letters")
        elif not letters:
            raise _none(there, f"no dead letter for transaction {transaction_id}")
        redrives = Redrives(there)
        for letter in queue.in_turn(there, letters):
            about = letter.transaction_id or letter.execution_arn or letter.letter_id[:8]
            try:
                click.echo(f"{about}: {redrives.redrive(letter)}")
            except (UserError, *AWS_ERRORS) as error:  # the others are none the worse for it
                failed = True
                click.echo(f"{NAME}: {about}: {describe_error(error)}", err=True)
        if redrives.started:
            click.echo("see `show` for what becomes of them; what fails again is a new dead letter", err=True)
    if failed:
        sys.exit(1)


@dlq.command()
@click.argument("letter_id", metavar="LETTER_ID")
@click.option("--yes", "-y", is_flag=True, help="Clear it without asking.")
@click.pass_obj
def clear(platform: Callable[[], Platform], letter_id: str, yes: bool) -> None:
    """Delete a dead letter that has been handled. LETTER_ID is the start of its id, as shown by `dlq list`."""
    there = platform()
    if not letter_id:
        raise Usage("LETTER_ID is empty; `dlq list` shows the ids")

    def named(letter: Letter) -> bool:
        return letter.letter_id.startswith(letter_id)

    with queue.held(there, wanted=named) as found:
        if not found:
            raise _none(there, f"no dead letter has an id that begins with {letter_id}; see `dlq list`")
        if len(found) > 1:
            raise UserError(f"{len(found)} dead letters have an id that begins with {letter_id}; see `dlq list`")
        (letter,) = found
        click.echo(f"{letter.letter_id}: {letter.transaction_id or 'no payment'}, {letter.error}")
        if not yes:
            confirm("Delete this dead letter?")
        queue.clear(there, letter)
    click.echo("cleared")


def _none(platform: Platform, what: str) -> UserError:
    held = _held(platform)
    return UserError(f"{what}; {held}" if held else what)


def _held(platform: Platform) -> str:
    """What cannot be read at this moment, in words; empty if there is nothing."""
    others = queue.held_by_others(platform)
    what = "1 dead letter is" if others == 1 else f"{others} dead letters are"
    return f"{what} being read or redriven by somebody else; try again in a few minutes" if others else ""


def _public(letter: Letter) -> dict[str, Any]:
    fields = dataclasses.asdict(letter) | {"explanation": letter.explanation, "advice": letter.advice}
    del fields["receipt"]
    return fields
