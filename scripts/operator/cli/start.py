"""scripts/payments.sh start"""

import sys
from collections import Counter
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import click
from click import UsageError
from payments.money import Money

from scripts.common import command
from scripts.common.errors import raise_both
from scripts.common.terminal import create_console, echo

from ..json_output import to_json
from ..payment_files import InvalidRequest
from ..payment_requests import Request, Requests, check_file, make_single, read_arguments
from .common import NAME, ReachPlatform, as_json, echo_json, main, make_console

if TYPE_CHECKING:
    from ..batch import Batch, Result

# More results need a file, and are not printed one by one.
MOST_PRINTED = 1_000
MOST_FAILURES_PRINTED = 20


@main.command()
@click.argument("transaction_id", required=False)
@click.option("--amount", metavar="NUMBER", help="The amount in major units, such as 150.00.")
@click.option("--method", help="credit_card, debit_card, bank_transfer or digital_wallet.")
@click.option("--customer", metavar="ID", help="The customer's id.")
@click.option("--currency", help="An ISO 4217 currency code.  [default: USD]")
@click.option(
    "--file", "file", type=click.Path(path_type=Path), help="Read the payments from a JSON or CSV file instead."
)
@click.option("--results", type=click.Path(path_type=Path), help="Write the results to a CSV file.")
@click.option(
    "--per-second", type=click.IntRange(1, 1_000), help="Start at most this many payments a second.  [default: 75]"
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
    results: Path | None,
    per_second: int | None,
    dry_run: bool,
    wait: bool,
    as_json: bool,
) -> None:
    """Start one payment, or all payments in a file. Safe to repeat: each is charged at most once.

    A file is checked as a whole before anything is sent, and all mistakes are listed. JSON: an object or a list of
    them; CSV: a header with the names transaction_id, payment_amount, payment_method, customer_id and, optionally,
    currency, separated by commas, semicolons or tabs; amounts with a decimal point. More than 1,000 payments need
    --results. After an interruption, the same command sends what is left.

    A declined or rejected payment counts as a regular outcome: the exit code is 1 only if a payment failed or may have
    failed.
    """
    arguments = {"TRANSACTION_ID": transaction_id, "--amount": amount, "--method": method, "--customer": customer}
    try:
        requests = _read_requests(file, arguments, currency, reach_platform.read_accepted_currencies())
    except InvalidRequest as error:
        command.exit_with_error(NAME, f"nothing was sent: {error}", UsageError.exit_code)
    if dry_run:
        _print_sums(requests.sums, as_json)
        return
    if results is None and requests.count > MOST_PRINTED:
        raise UsageError(f"{requests.count:,} results are too many to print; add --results FILE")
    from ..batch import STARTS_PER_SECOND, Batch

    sent_ids: list[str] = []
    # The results in a file need no order, and there may be any number.
    requests_to_send = _note_ids(requests, sent_ids) if results is None else requests
    batch = Batch(
        reach_platform(),
        requests_to_send,
        starts_per_second=per_second or STARTS_PER_SECOND,
        follows=wait,
    )
    final_results = batch.wait_for_outcomes() if wait else batch.send_requests()
    try:
        shown_results = _show_progress("sending and waiting" if wait else "sending", final_results, requests.count)
        if results is None:
            has_failed = _print_results(shown_results, batch, sent_ids, as_json)
        else:
            has_failed = _write_results(shown_results, batch, results, as_json)
    except (Exception, KeyboardInterrupt) as error:
        # The operator needs to know that some may be on their way as well as what went wrong.
        _end_early(error, batch, requests.count)
    if has_failed:
        sys.exit(1)


def _note_ids(requests: Iterable[Request], ids: list[str]) -> Iterator[Request]:
    """Yield the requests, and append the id of each, because a file may have changed once they are sent."""
    for request in requests:
        ids.append(request.transaction_id)
        yield request


def _print_results(results: "Iterator[Result]", batch: "Batch", sent_ids: list[str], as_json: bool) -> bool:
    """Print all results in the order in which they were sent, and return whether a payment failed.

    If they end early, what is known by then is printed.
    """
    from . import views

    results_by_id: dict[str, Result] = {}
    try:
        results_by_id.update((result.transaction_id, result) for result in results)
    finally:
        results_by_id = batch.open_results | results_by_id
        ordered = [results_by_id[transaction_id] for transaction_id in sent_ids if transaction_id in results_by_id]
        if as_json:
            echo_json([to_json(result) for result in ordered])
        elif ordered:
            views.print_results(make_console(), ordered)
    return any(result.failed for result in ordered)


def _write_results(results: "Iterator[Result]", batch: "Batch", path: Path, as_json: bool) -> bool:
    """Write each result to the file, print their counts and the first failures, and return whether a payment failed.

    If they end early, what is known by then is written.
    """
    from ..result_files import open_results
    from . import views

    counts: Counter[str] = Counter()
    newly_sent_count = failed_count = 0
    failures: list[Result] = []
    with open_results(path) as file:
        try:
            for result in results:
                file.add_result(result)
                counts[result.status] += 1
                newly_sent_count += result.is_newly_sent
                failed_count += result.failed
                if result.failed and len(failures) < MOST_FAILURES_PRINTED:
                    failures.append(result)
        except (Exception, KeyboardInterrupt):
            for result in batch.open_results.values():
                file.add_result(result)
            raise
    if as_json:
        summary = {"payments": counts.total(), "newly_sent": newly_sent_count, "failed": failed_count}
        echo_json(summary | {"statuses": dict(counts), "results": str(path)})
        return failed_count > 0
    console = make_console()
    if failures:
        views.print_result_table(console, failures)
        if failed_count > len(failures):
            console.print(f"and {failed_count - len(failures):,} more that failed, in {path}", soft_wrap=True)
    views.print_counts(console, counts, newly_sent_count)
    return failed_count > 0


def _print_sums(counts: dict[Money, int], as_json: bool) -> None:
    if as_json:
        echo_json([{"amount": str(amount), "payments": count} for amount, count in counts.items()])
        return
    for amount, count in counts.items():
        echo(f"{amount} in {count:,} payment{'s' if count > 1 else ''}")
    echo("all are valid; nothing was sent", err=True)


def _read_requests(
    file: Path | None, arguments: dict[str, str | None], currency: str | None, accepted_currencies: Collection[str]
) -> Requests:
    if file is not None:
        superfluous = [name for name, value in (arguments | {"--currency": currency}).items() if value is not None]
        if superfluous:
            raise UsageError(f"--file already contains everything; leave out {', '.join(superfluous)}")
        return check_file(file, accepted_currencies)
    if missing := ", ".join(name for name, value in arguments.items() if value is None):
        raise UsageError(f"{missing} missing; a payment needs TRANSACTION_ID --amount --method --customer, or --file")
    transaction_id, amount, method, customer = map(str, arguments.values())
    return make_single(read_arguments(transaction_id, amount, method, customer, currency, accepted_currencies))


def _end_early(error: BaseException, batch: "Batch", count: int) -> NoReturn:
    command.ignore_interrupts()
    progress = _describe_progress(batch, count)
    if isinstance(error, KeyboardInterrupt) and not batch.has_started and not batch.is_going_on:
        raise command.Interrupted(progress) from None
    raise_both(error, progress, goes_on=batch.is_going_on)


def _describe_progress(batch: "Batch", count: int) -> str:
    """Return what was sent, and may have been. Of requests that were not looked up, nothing is known."""
    sent, unanswered, unread = batch.sent_count, batch.unanswered_count, count - batch.read_count
    is_safe = "it is safe to run the same command again"
    if not sent and not unanswered:
        return f"nothing was sent by this run; {is_safe}"
    progress = f"{sent:,} of {count:,} were sent" if sent else f"up to {unanswered:,} of {count:,} may have been sent"
    if sent and unanswered:
        progress += f", and up to {unanswered:,} more may have been"
    if unread:
        progress += f"; the last {unread:,} were not looked up"
    return f"{progress}; {is_safe}: it {'sends only the others' if sent < count else 'shows how they ended'}"


def _show_progress(description: str, results: "Iterator[Result]", total: int) -> "Iterator[Result]":
    """Yield the results, and draw a progress bar on standard error, if it is a terminal, until they end."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    console = create_console(stderr=True)
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task(description, total=total)
        for result in results:
            yield result
            progress.advance(task)
