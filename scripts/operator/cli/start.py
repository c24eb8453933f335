"""scripts/payments.sh start"""

import sys
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click
from click import UsageError
from payments.money import Money

from scripts.common import command
from scripts.common.terminal import create_console, echo

from ..json_output import to_json
from ..payment_files import InvalidRequest
from ..payment_requests import Request, read_arguments, read_file, sum_amounts
from .common import NAME, ReachPlatform, as_json, echo_json, main, make_console

if TYPE_CHECKING:
    from ..batch import Batch, Result


@main.command()
@click.argument("transaction_id", required=False)
@click.option("--amount", metavar="NUMBER", help="The amount in major units, such as 150.00.")
@click.option("--method", help="credit_card, debit_card, bank_transfer or digital_wallet.")
@click.option("--customer", metavar="ID", help="The customer's id.")
@click.option("--currency", help="An ISO 4217 currency code.  [default: USD]")
@click.option(
    "--file", "file", type=click.Path(path_type=Path), help="Read the payments from a JSON or CSV file instead."
)
@click.option("--dry-run", is_flag=True, help="Check the payments, print their sums, and send nothing; needs no AWS.")
@click.option("--wait/--no-wait", default=True, help="Wait for the outcomes.  [default: wait]")
@as_json
@click.pass_obj
def start(
    reach_platform: ReachPlatform,
    transaction_id: str | None,
    amount: str | None,
    method: str | None,
    customer: str | None,
    currency: str | None,
    file: Path | None,
    dry_run: bool,
    wait: bool,
    as_json: bool,
) -> None:
    """Start one payment, or all payments in a file. Safe to repeat: each is charged at most once.

    A file is checked as a whole before anything is sent, and all mistakes are listed. JSON: an object or a list of
    them; CSV: a header with the names transaction_id, payment_amount, payment_method, customer_id and, optionally,
    currency, separated by commas, semicolons or tabs; amounts with a decimal point.

    A declined or rejected payment counts as a regular outcome: the exit code is 1 only if a payment failed or may have
    failed.
    """
    arguments = {"TRANSACTION_ID": transaction_id, "--amount": amount, "--method": method, "--customer": customer}
    try:
        requests = _read_requests(file, arguments, currency, reach_platform.read_accepted_currencies())
    except InvalidRequest as error:
        command.exit_with_error(NAME, f"nothing was sent: {error}", UsageError.exit_code)
    if dry_run:
        _print_sums(sum_amounts(requests), as_json)
        return
    from ..batch import Batch
    from . import views

    batch = Batch(reach_platform(), requests)
    try:
        _show_progress("sending", batch.send_requests(), len(requests))
        if wait:
            final_results = sum(result.is_final for result in batch.results.values())
            _show_progress("waiting", batch.wait_for_outcomes(), len(requests), final_results)
    except KeyboardInterrupt:
        raise command.Interrupted(_describe_progress(batch)) from None
    except Exception:
        # The operator needs to know that some may be on their way as well as what went wrong.
        echo(_describe_progress(batch), err=True)
        raise
    results = list(batch.results.values())
    if as_json:
        echo_json([to_json(result) for result in results])
    else:
        views.print_results(make_console(), results)
    if any(result.failed for result in results):
        sys.exit(1)


def _print_sums(counts: dict[Money, int], as_json: bool) -> None:
    if as_json:
        echo_json([{"amount": str(amount), "payments": count} for amount, count in counts.items()])
        return
    for amount, count in counts.items():
        echo(f"{amount} in {count:,} payment{'s' if count > 1 else ''}")
    echo("all are valid; nothing was sent", err=True)


def _read_requests(
    file: Path | None, arguments: dict[str, str | None], currency: str | None, accepted_currencies: Collection[str]
) -> list[Request]:
    if file is not None:
        superfluous = [name for name, value in (arguments | {"--currency": currency}).items() if value is not None]
        if superfluous:
            raise UsageError(f"--file already contains everything; leave out {', '.join(superfluous)}")
        return read_file(file, accepted_currencies)
    if missing := ", ".join(name for name, value in arguments.items() if value is None):
        raise UsageError(f"{missing} missing; a payment needs TRANSACTION_ID --amount --method --customer, or --file")
    transaction_id, amount, method, customer = map(str, arguments.values())
    return [read_arguments(transaction_id, amount, method, customer, currency, accepted_currencies)]


def _describe_progress(batch: "Batch") -> str:
    sent_count = sum(result.status != "NOT SENT" for result in batch.results.values())
    repetition = "sends only the others" if sent_count < len(batch.results) else "shows how they ended"
    return f"{sent_count} of {len(batch.results)} were sent; it is safe to run the same command again: it {repetition}"


def _show_progress(description: str, results: "Iterator[Result]", total: int, completed: int = 0) -> None:
    """Draw a progress bar on standard error, if it is a terminal, until the results end."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    console = create_console(stderr=True)
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task(description, total=total, completed=completed)
        for _ in results:
            progress.advance(task)
