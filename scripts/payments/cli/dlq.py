"""scripts/payments.sh dlq"""

import dataclasses
import sys
from collections.abc import Callable
from typing import Any

import click

from scripts.deployer.errors import AWS_ERRORS, DeployError

from .. import dead_letters
from ..environment import Platform
from . import views
from .common import Usage, as_json, confirm, console, echo_json, said


@click.group()
def dlq() -> None:
    """What failed for good."""


@dlq.command("list")
@as_json
@click.pass_obj
def list_letters(platform: Callable[[], Platform], as_json: bool) -> None:
    """The dead letters, and what their payments are now."""
    letters = dead_letters.read(platform())
    if as_json:
        echo_json([_public(letter) for letter in letters])
        return
    if not letters:
        click.echo("no dead letters")
        return
    views.letters(console(), letters)


@dlq.command()
@click.argument("transaction_id")
@as_json
@click.pass_obj
def explain(platform: Callable[[], Platform], transaction_id: str, as_json: bool) -> None:
    """Why a payment failed, and what a redrive would do."""
    letters = _letters(platform(), transaction_id)
    if as_json:
        echo_json([_public(letter) for letter in letters])
        return
    for letter in letters:
        click.echo(f"{letter.transaction_id}: {letter.error} in {letter.state} at {letter.timestamp}")
        click.echo(f"  letter     {letter.letter_id[:8]}")
        click.echo(f"  why        {letter.explanation}")
        click.echo(f"  was, is    {letter.payment_status}, {letter.now or 'not recorded'}")
        click.echo(f"  now        {letter.advice}")
        click.echo(f"  cause      {letter.cause}")
        click.echo(f"  execution  {letter.execution_arn}")


@dlq.command()
@click.argument("transaction_id", required=False)
@click.option("--all", "everything", is_flag=True, help="All of them.")
@click.pass_obj
def redrive(platform: Callable[[], Platform], transaction_id: str | None, everything: bool) -> None:
    """Send a payment through the workflow again. Safe to repeat: it is charged at most once."""
    if (transaction_id is None) is not everything:
        raise Usage("name a TRANSACTION_ID or --all, one of them")
    there = platform()
    failed = 0
    for letter in dead_letters.read(there) if everything else _letters(there, str(transaction_id)):
        try:
            done = dead_letters.redrive(there, letter)
            click.echo(f"{letter.transaction_id}: {done}")
        except (DeployError, *AWS_ERRORS) as error:  # the others are none the worse for it
            failed += 1
            click.echo(f"payments: {said(error)}", err=True)
    if failed:
        sys.exit(1)


@dlq.command()
@click.argument("letter_id", metavar="LETTER")
@click.option("--yes", "-y", is_flag=True, help="Clear it without asking.")
@click.pass_obj
def clear(platform: Callable[[], Platform], letter_id: str, yes: bool) -> None:
    """Delete a dead letter that has been dealt with; LETTER is how its id begins, as `dlq list` shows it."""
    there = platform()
    if not letter_id:
        raise Usage("LETTER is empty; `dlq list` shows them")
    found = [letter for letter in dead_letters.read(there) if letter.letter_id.startswith(letter_id)]
    if len(found) != 1:
        raise DeployError(f"{len(found) or 'no'} dead letters begin with {letter_id}; `dlq list` shows them")
    (letter,) = found
    click.echo(f"{letter.letter_id}: {letter.transaction_id or 'no payment'}, {letter.error}")
    if not yes:
        confirm("Clear it?")
    dead_letters.clear(there, letter)
    click.echo("cleared")


def _letters(platform: Platform, transaction_id: str) -> list[dead_letters.Letter]:
    found = [letter for letter in dead_letters.read(platform) if letter.transaction_id == transaction_id]
    if not found:
        raise DeployError(f"no dead letter of transaction {transaction_id}")
    return found


def _public(letter: dead_letters.Letter) -> dict[str, Any]:
    fields = dataclasses.asdict(letter) | {"explanation": letter.explanation, "advice": letter.advice}
    del fields["receipt"]
    return fields
