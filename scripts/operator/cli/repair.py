"""scripts/payments.sh refund, resolve, erase, reconcile"""

import sys
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click
from click import UsageError
from payments.payment import Status

from scripts.common.errors import UserError
from scripts.common.suggestion import suggest_command, suggest_payments_command
from scripts.common.terminal import echo

from .common import NAME, ReachPlatform, as_json, ask_confirmation, echo_json, main, parse_since

if TYPE_CHECKING:
    from ..platform import Platform


@main.command()
@click.argument("transaction_id")
@click.option("--yes", "-y", is_flag=True, help="Refund without asking.")
@as_json
@click.pass_obj
def refund(reach_platform: ReachPlatform, transaction_id: str, yes: bool, as_json: bool) -> None:
    """Refund a completed payment in full. Safe to repeat: it is refunded at most once."""
    platform = reach_platform()
    show = suggest_payments_command(platform.environment, "show", transaction_id)
    platform.changes.advice = f"run the same command again, or see {show}"
    from .. import records
    from . import views

    payment = records.read_payment(platform, transaction_id)
    # The platform refuses a payment in any other status, or has refunded it before: there is nothing to confirm.
    if not yes and payment.status == Status.COMPLETED:
        echo(views.describe_payment(payment), err=True)
        ask_confirmation(f"Refund {payment.amount or transaction_id} in {platform.environment}?")
    answer = platform.invoke_payment_action("refund", transaction_id)
    _print_answer(platform, answer, as_json)
    if answer["status"] == Status.REFUNDING:
        message = "the gateway has not confirmed the refund; reconciliation asks again, first in five minutes"
        echo(message, err=True)
    if answer["status"] == Status.COMPLETED:
        sys.exit(1)  # the gateway refused the refund


@main.command()
@click.argument("transaction_id")
@click.option("--charged", metavar="REFERENCE", help="The payment was charged; REFERENCE is the gateway's.")
@click.option("--not-charged", is_flag=True, help="The payment was not charged and can no longer be charged.")
@click.option("--refunded", metavar="REFERENCE", help="The charge was refunded; REFERENCE is the refund's.")
@click.option("--yes", "-y", is_flag=True, help="Do not ask for confirmation.")
@as_json
@click.pass_obj
def resolve(
    reach_platform: ReachPlatform,
    transaction_id: str,
    charged: str | None,
    not_charged: bool,
    refunded: str | None,
    yes: bool,
    as_json: bool,
) -> None:
    """Record what you found at the gateway about a payment in REVIEW.

    This cannot be undone, and the ledger records who you are.
    """
    if [bool(charged), not_charged, bool(refunded)].count(True) != 1:
        raise UsageError("give exactly one of --charged REFERENCE, --not-charged, --refunded REFERENCE")
    status = Status.COMPLETED if charged else Status.REFUNDED if refunded else Status.FAILED
    reference = charged or refunded
    platform = reach_platform()
    platform.changes.advice = f"see {suggest_payments_command(platform.environment, 'show', transaction_id)}"
    from .. import records
    from . import views

    payment = records.read_payment(platform, transaction_id)
    if not yes and payment.status == Status.REVIEW:
        echo(views.describe_payment(payment), err=True)
        under = f" under {reference}" if reference else ""
        ask_confirmation(f"Record it as {status}{under} in {platform.environment}? That is final.")
    answer = platform.invoke_payment_action("resolve", transaction_id, status=status, reference=reference)
    _print_answer(platform, answer, as_json)


@main.command()
@click.argument("transaction_ids", metavar="[TRANSACTION_ID]...", nargs=-1)
@click.option("--customer", metavar="ID", help="Erase this customer from all payments; reads the whole table.")
@click.option(
    "--older-than",
    metavar="TIME",
    help="Erase the customers of finished payments older than 365d; reads the whole table.",
)
@click.option("--yes", "-y", is_flag=True, help="Do not ask for confirmation.")
@as_json
@click.pass_obj
def erase(
    reach_platform: ReachPlatform,
    transaction_ids: tuple[str, ...],
    customer: str | None,
    older_than: str | None,
    yes: bool,
    as_json: bool,
) -> None:
    """Erase who paid from finished payments. Their amounts, statuses and steps stay.

    This cannot be undone. An erased payment can be refunded, but not sent again. docs/payments.md names the other
    places that hold personal data.
    """
    if [bool(transaction_ids), customer is not None, older_than is not None].count(True) != 1:
        raise UsageError("give transaction ids, or --customer ID, or --older-than 365d")
    until = parse_since(older_than, "--older-than")
    platform = reach_platform()
    platform.changes.advice = "run the same command again"
    ids = list(transaction_ids) or _find_ids_to_erase(platform, customer, until)
    if ids and not yes:
        payments = f"{len(ids):,} payments" if len(ids) > 1 else f"the payment {ids[0]}"
        ask_confirmation(f"Erase the customer from {payments} in {platform.environment}? That is final.")
    has_failed = _erase_payments(platform, ids, as_json)
    if not ids and not as_json:
        echo("no such payment names its customer")
    if has_failed:
        sys.exit(1)


def _erase_payments(platform: "Platform", ids: Sequence[str], as_json: bool) -> bool:
    """Erase the customer from payments, print which, and return whether one was refused.

    Those that were erased before an error or an interrupt are printed, too.
    """
    answers: list[dict[str, Any]] = []
    has_failed = False
    try:
        for transaction_id in ids:
            try:
                answers.append(platform.invoke_payment_action("erase", transaction_id))
            except UserError as refusal:
                has_failed = True
                echo(f"{NAME}: {platform.changes.settle_error(refusal)}", err=True)
                continue
            platform.changes.settle(f"{len(answers):,} of {len(ids):,} were erased")
            if not as_json:
                echo(f"{transaction_id}: erased")
    finally:
        if as_json:
            echo_json([{name: answer[name] for name in ("transaction_id", "status")} for answer in answers])
    return has_failed


def _find_ids_to_erase(platform: "Platform", customer: str | None, until: float) -> list[str]:
    """Return the ids of the payments of a customer; without one, of the finished payments without a step since."""
    from .. import payment_lists

    if customer is not None:
        return payment_lists.list_ids_of_customer(platform, customer)
    return payment_lists.list_erasable_ids(platform, until)


@main.command()
@as_json
@click.pass_obj
def reconcile(reach_platform: ReachPlatform, as_json: bool) -> None:
    """Run reconciliation now, ahead of its schedule.

    Prints the result for each overdue payment.
    """
    platform = reach_platform()
    logs = suggest_command("logs", platform.environment, "reconciliation")
    platform.changes.advice = f"see {logs}"
    from .. import records

    overdue_ids = list(records.read_open_ids(platform, time.time()))
    before = records.read_payments(platform, overdue_ids)
    error = ""
    try:
        errors = platform.invoke_reconciliation({"action": "reconcile"}).get("errors", 0)
        error = f"{errors} error{'s' if errors > 1 else ''}" if errors else ""
    except UserError as failure:
        error = str(failure)
    platform.changes.settle("reconciliation has run")
    after = records.read_payments(platform, overdue_ids)
    # The index is eventually consistent and may list settled payments; the table decides. Payments that the schedule
    # settles at the same time are among them.
    changes = [(key, before[key].status, after[key].status) for key in overdue_ids if key in before and key in after]
    if as_json:
        echo_json(
            {"payments": [{"transaction_id": key, "from_status": old, "status": new} for key, old, new in changes]}
        )
    elif not changes:
        echo("nothing is overdue")
    else:
        for transaction_id, old, new in changes:
            echo(f"{transaction_id}: {f'{old} → {new}' if old != new else f'still {new}'}")
    if error:
        echo(f"{NAME}: {error}; see {logs}", err=True)
        sys.exit(1)


def _print_answer(platform: "Platform", answer: dict[str, Any], as_json: bool) -> None:
    platform.changes.settle(f"{answer['transaction_id']} is {answer['status']}")
    if as_json:
        echo_json(answer)
    else:
        failure = f": {answer['failure']}" if answer["failure"] else ""
        echo(f"{answer['transaction_id']}: {answer['status']}{failure}")
