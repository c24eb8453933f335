"""The command scripts/payments.sh, and the one place where an expected error becomes one line."""

import dataclasses
import getpass
import json
import sys
from collections.abc import Callable
from typing import Any

import click
from rich import box
from rich.console import Console
from rich.table import Table

from scripts.deployer.errors import AWS_ERRORS, DeployError, explained
from scripts.deployer.target import on_aws

from . import dead_letters
from .environment import Platform


class OneLineErrors(click.Group):
    def invoke(self, context: click.Context) -> Any:
        try:
            return super().invoke(context)
        except (DeployError, *AWS_ERRORS) as error:
            if context.meta.get("debug"):
                raise
            click.echo(f"payments: {_said(error)}", err=True)
            sys.exit(1)


@click.group(cls=OneLineErrors, context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--env", "environment", required=True, help="The environment, such as dev; local is the embedded AWS.")
@click.option("--profile", help="A profile of the AWS configuration.")
@click.option("--region", help="The region; the profile's by default.")
@click.option("--debug", is_flag=True, help="Show a traceback when something fails.")
@click.pass_context
def main(context: click.Context, environment: str, profile: str | None, region: str | None, debug: bool) -> None:
    """Look after payments: dead letters, redrives, refunds, reviews."""
    context.meta["debug"] = debug
    context.obj = lambda: _platform(environment, profile, region)


@main.group()
def dlq() -> None:
    """What failed for good."""


@dlq.command("list")
@click.option("--json", "as_json", is_flag=True, help="For programs.")
@click.pass_obj
def list_letters(platform: Callable[[], Platform], as_json: bool) -> None:
    """The dead letters, and what their payments are now."""
    letters = dead_letters.read(platform())
    if as_json:
        click.echo(json.dumps([_public(letter) for letter in letters], indent=2))
        return
    if not letters:
        click.echo("no dead letters")
        return
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for name in ("Letter", "Payment", "Is now", "Failed with", "In", "At"):
        table.add_column(name, overflow="fold")  # an id that is cut is of no use
    for letter in letters:
        payment, now = letter.transaction_id or "-", letter.now or "not recorded"
        table.add_row(letter.letter_id[:8], payment, now, letter.error, letter.state, letter.timestamp[:19])
    Console(highlight=False, width=None if sys.stdout.isatty() else 200).print(table)


@dlq.command()
@click.argument("transaction_id")
@click.pass_obj
def explain(platform: Callable[[], Platform], transaction_id: str) -> None:
    """Why a payment failed, and what a redrive would do."""
    for letter in _letters(platform(), transaction_id):
        click.echo(f"{letter.transaction_id}: {letter.error} in {letter.state} at {letter.timestamp}")
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
        raise click.UsageError("name a TRANSACTION_ID or --all, one of them")
    there = platform()
    failed = 0
    for letter in dead_letters.read(there) if everything else _letters(there, str(transaction_id)):
        try:
            done = dead_letters.redrive(there, letter)
            click.echo(f"{letter.transaction_id}: {done}")
        except (DeployError, *AWS_ERRORS) as error:  # the others are none the worse for it
            failed += 1
            click.echo(f"payments: {_said(error)}", err=True)
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
        raise click.UsageError("LETTER is empty; `dlq list` shows them")
    found = [letter for letter in dead_letters.read(there) if letter.letter_id.startswith(letter_id)]
    if len(found) != 1:
        raise DeployError(f"{len(found) or 'no'} dead letters begin with {letter_id}; `dlq list` shows them")
    (letter,) = found
    click.echo(f"{letter.letter_id}: {letter.transaction_id or 'no payment'}, {letter.error}")
    if not yes:
        click.confirm("Clear it?", abort=True)
    dead_letters.clear(there, letter)
    click.echo("cleared")


@main.command()
@click.argument("transaction_id")
@click.option("--yes", "-y", is_flag=True, help="Refund without asking.")
@click.pass_obj
def refund(platform: Callable[[], Platform], transaction_id: str, yes: bool) -> None:
    """Give a completed payment back, whole. Safe to repeat: it is refunded at most once."""
    if not yes:
        click.confirm(f"Refund {transaction_id}?", abort=True)
    told = platform().ask("refund", transaction_id)
    click.echo(_status(told))
    if told["status"] == "REFUNDING":
        click.echo("the gateway did not say; reconciliation asks it again, at first after five minutes")
    if told["status"] == "COMPLETED":
        sys.exit(1)  # refused for certain


@main.command()
@click.argument("transaction_id")
@click.option("--charged", metavar="REFERENCE", help="It was charged, under this reference of the gateway.")
@click.option("--not-charged", is_flag=True, help="It was not charged, and cannot be any more.")
@click.option("--refunded", metavar="REFERENCE", help="Its charge was given back, under this reference.")
@click.option("--yes", "-y", is_flag=True, help="Record it without asking.")
@click.pass_obj
def resolve(
    platform: Callable[[], Platform],
    transaction_id: str,
    charged: str | None,
    not_charged: bool,
    refunded: str | None,
    yes: bool,
) -> None:
    """Record what you found at the gateway of a payment under REVIEW. It is final, and the ledger names you."""
    if [bool(charged), not_charged, bool(refunded)].count(True) != 1:
        raise click.UsageError("say one of --charged REFERENCE, --not-charged, --refunded REFERENCE")
    status = "COMPLETED" if charged else "REFUNDED" if refunded else "FAILED"
    reference = charged or refunded
    if not yes:
        click.confirm(f"Record {transaction_id} as {status}{f' under {reference}' if reference else ''}?", abort=True)
    click.echo(_status(platform().ask("resolve", transaction_id, status=status, reference=reference)))


def _status(told: dict[str, Any]) -> str:
    return f"{told['transaction_id']}: {told['status']}{': ' + told['failure'] if told['failure'] else ''}"


def _platform(environment: str, profile: str | None, region: str | None) -> Platform:
    operator = getpass.getuser()
    if environment == "local":
        from scripts.local import server, target

        server.forget_the_users_aws()
        kept = server.kept()
        if kept is None:
            raise DeployError("no embedded AWS is running; scripts/deploy.sh local starts one")
        return Platform(environment, target.of(kept), operator)
    platform = Platform(environment, on_aws(profile, region), operator)
    # Who it was is in the ledger: the caller's own ARN rather than what their machine calls them.
    arn = platform.target.client("sts").get_caller_identity()["Arn"]
    return dataclasses.replace(platform, operator=arn)


def _letters(platform: Platform, transaction_id: str) -> list[dead_letters.Letter]:
    found = [letter for letter in dead_letters.read(platform) if letter.transaction_id == transaction_id]
    if not found:
        raise DeployError(f"no dead letter of transaction {transaction_id}")
    return found


def _public(letter: dead_letters.Letter) -> dict[str, Any]:
    fields = dataclasses.asdict(letter) | {"explanation": letter.explanation, "advice": letter.advice}
    del fields["receipt"]
    return fields


def _said(error: Exception) -> str:
    return str(error) if isinstance(error, DeployError) else explained(error)
