"""scripts/payments.sh refund, resolve, reconcile"""

import sys
from collections.abc import Callable
from typing import Any

import click
from payments.payment import Status

from .. import records
from ..platform import Platform
from ..reconciliation import run_reconciliation
from . import views
from .common import NAME, UsageError, as_json, ask_confirmation, echo_json, main


@main.command()
@click.argument("transaction_id")
@click.option("--yes", "-y", is_flag=True, help="Refund without asking.")
@as_json
@click.pass_obj
def refund(reach_platform: Callable[[], Platform], transaction_id: str, yes: bool, as_json: bool) -> None:
    """Refund a completed payment in full. Safe to repeat: it is refunded at most once."""
    platform = reach_platform()
    payment = records.read_payment(platform, transaction_id)
    # The platform refuses a payment in any other status, or has refunded it before: there is nothing to confirm.
    if not yes and payment.status == Status.COMPLETED:
        click.echo(views.describe_payment(payment), err=True)
        ask_confirmation(f"Refund {payment.amount or transaction_id}?")
    answer = platform.invoke_payment_action("refund", transaction_id)
    _print_answer(answer, as_json)
    if answer["status"] == Status.REFUNDING:
        click.echo(
            "the gateway has not confirmed the refund; reconciliation asks again, first in five minutes", err=True
        )
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
    reach_platform: Callable[[], Platform],
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
    payment = records.read_payment(platform, transaction_id)
    if not yes and payment.status == Status.REVIEW:
        click.echo(views.describe_payment(payment), err=True)
        ask_confirmation(f"Record it as {status}{f' under {reference}' if reference else ''}? That is final.")
    _print_answer(
        platform.invoke_payment_action("resolve", transaction_id, status=status, reference=reference), as_json
    )


@main.command()
@as_json
@click.pass_obj
def reconcile(reach_platform: Callable[[], Platform], as_json: bool) -> None:
    """Run reconciliation now instead of waiting for its five-minute schedule.

    Prints the result for each overdue payment.
    """
    changes, error = run_reconciliation(reach_platform())
    if as_json:
        echo_json({"payments": [{"transaction_id": key, "was": before, "is": after} for key, before, after in changes]})
    elif not changes:
        click.echo("nothing is overdue")
    else:
        for transaction_id, before, after in changes:
            outcome = f"{before} → {after}" if before != after else f"still {after}"
            click.echo(f"{transaction_id}: {outcome}")
    if error:
        click.echo(f"{NAME}: {error}; the log of the reconciliation function says more", err=True)
        sys.exit(1)


def _print_answer(answer: dict[str, Any], as_json: bool) -> None:
    if as_json:
        echo_json(answer)
    else:
        failure = f": {answer['failure']}" if answer["failure"] else ""
        click.echo(f"{answer['transaction_id']}: {answer['status']}{failure}")
