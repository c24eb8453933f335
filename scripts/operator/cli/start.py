"""scripts/payments.sh start"""

import dataclasses
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from ..batch import Batch, Result
from ..payment_requests import BadRequest, from_arguments, from_file
from ..platform import Platform
from . import views
from .common import Interrupted, Usage, as_json, console, echo_json, fail


@click.command()
@click.argument("transaction_id", required=False)
@click.option("--amount", metavar="NUMBER", help="The amount in major units, such as 150.00.")
@click.option("--method", help="credit_card, debit_card, bank_transfer or digital_wallet.")
@click.option("--customer", metavar="ID", help="The customer's id.")
@click.option("--currency", help="An ISO 4217 currency code.  [default: USD]")
@click.option(
    "--file", "file", type=click.Path(path_type=Path), help="Read the payments from a JSON or CSV file instead."
)
@click.option("--wait/--no-wait", default=True, help="Wait for the outcomes.  [default: wait]")
@as_json
@click.pass_obj
def start(
    platform: Callable[[], Platform],
    transaction_id: str | None,
    amount: str | None,
    method: str | None,
    customer: str | None,
    currency: str | None,
    file: Path | None,
    wait: bool,
    as_json: bool,
) -> None:
    """Start one payment, or all payments in a file. Safe to repeat: each is charged at most once.

    A file is checked as a whole before anything is sent. JSON: an object or a list of them; CSV: a header with the
    names transaction_id, payment_amount, payment_method, customer_id and, optionally, currency.

    A declined or rejected payment counts as a regular outcome: the exit code is 1 only if a payment failed or may have
    failed.
    """
    single = {"TRANSACTION_ID": transaction_id, "--amount": amount, "--method": method, "--customer": customer}
    if file is not None:
        given = [name for name, value in (single | {"--currency": currency}).items() if value is not None]
        if given:
            raise Usage(f"--file already contains everything; leave out {', '.join(given)}")
    elif missing := [name for name, value in single.items() if value is None]:
        raise Usage(
            f"{', '.join(missing)} missing; a payment needs TRANSACTION_ID --amount --method --customer, or --file"
        )
    try:
        asked = (
            from_file(file)
            if file is not None
            else [from_arguments(str(transaction_id), str(amount), str(method), str(customer), currency)]
        )
    except BadRequest as error:
        fail(f"{error}; nothing was sent", Usage.exit_code)

    batch = Batch(platform(), asked)
    try:
        with _progress() as progress:
            _advance(progress, "sending", batch.send(), len(asked))
            if wait:
                done = sum(result.done for result in batch.results.values())
                _advance(progress, "waiting", batch.wait(), len(asked), done)
    except KeyboardInterrupt:
        raise Interrupted(_how_far(batch)) from None
    except Exception as error:
        # Some may be on their way: that is as much to be known as what went wrong.
        click.echo(_how_far(batch), err=True)
        raise error
    _tell(list(batch.results.values()), as_json)
    if any(result.failed for result in batch.results.values()):
        sys.exit(1)


def _how_far(batch: Batch) -> str:
    sent = sum(result.status != "NOT SENT" for result in batch.results.values())
    then = "sends only the others" if sent < len(batch.results) else "shows how they ended"
    return f"{sent} of {len(batch.results)} were sent; it is safe to run the same command again: it {then}"


def _tell(results: list[Result], as_json: bool) -> None:
    if as_json:
        echo_json([dataclasses.asdict(result) for result in results])
        return
    views.results(console(), results)


def _progress() -> Progress:
    """On a terminal only, on stderr; it leaves nothing behind."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    there = Console(stderr=True)
    return Progress(*columns, console=there, transient=True, disable=not there.is_terminal)


def _advance(progress: Progress, what: str, results: Iterator[Result], total: int, done: int = 0) -> None:
    task = progress.add_task(what, total=total, completed=done)
    for _ in results:
        progress.advance(task)
    progress.remove_task(task)
