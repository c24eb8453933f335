"""scripts/payments.sh refund, resolve, reconcile"""

import sys
from collections.abc import Callable
from typing import Any

import click

from .. import reconciliation, records
from ..platform import Platform
from . import views
from .common import NAME, Usage, as_json, confirm, echo_json


@click.command()
@click.argument("transaction_id")
@click.option("--yes", "-y", is_flag=True, help="Refund without asking.")
@as_json
@click.pass_obj
def refund(platform: Callable[[], Platform], transaction_id: str, yes: bool, as_json: bool) -> None:
    """Refund a completed payment in full. Safe to repeat: it is refunded at most once."""
    there = platform()
    payment = records.one(there, transaction_id)
    # Any other is refused, or was refunded before: there is nothing to ask.
    if not yes and payment.status == "COMPLETED":
        click.echo(views.payment_line(payment), err=True)
        confirm(f"Refund {payment.amount or transaction_id}?")
    told = there.ask("refund", transaction_id)
    _tell(told, as_json)
    if told["status"] == "REFUNDING":
        click.echo(
            "the gateway has not confirmed the refund; reconciliation asks again, first in five minutes", err=True
        )
    if told["status"] == "COMPLETED":
        sys.exit(1)  # refused for certain


@click.command()
@click.argument("transaction_id")
@click.option("--charged", metavar="REFERENCE", help="The payment was charged; REFERENCE is the gateway's.")
@click.option("--not-charged", is_flag=True, help="The payment was not charged and can no longer be charged.")
@click.option("--refunded", metavar="REFERENCE", help="The charge was refunded; REFERENCE is the refund's.")
@click.option("--yes", "-y", is_flag=True, help="Do not ask for confirmation.")
@as_json
@click.pass_obj
def resolve(
    platform: Callable[[], Platform],
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
        raise Usage("give exactly one of --charged REFERENCE, --not-charged, --refunded REFERENCE")
    status = "COMPLETED" if charged else "REFUNDED" if refunded else "FAILED"
    reference = charged or refunded
    there = platform()
    payment = records.one(there, transaction_id)
    if not yes and payment.status == "REVIEW":
        click.echo(views.payment_line(payment), err=True)
        confirm(f"Record it as {status}{f' under {reference}' if reference else ''}? That is final.")
    _tell(there.ask("resolve", transaction_id, status=status, reference=reference), as_json)


@click.command()
@as_json
@click.pass_obj
def reconcile(platform: Callable[[], Platform], as_json: bool) -> None:
    """Run reconciliation now instead of waiting for its five-minute schedule.

    Prints the result for each overdue payment.
    """
    done = reconciliation.run(platform())
    if as_json:
        echo_json({"payments": [{"transaction_id": one, "was": was, "is": now} for one, was, now in done.changes]})
    for transaction_id, was, now in () if as_json else done.changes:
        click.echo(f"{transaction_id}: {was} → {now}" if was != now else f"{transaction_id}: still {now}")
    if not done.changes and not as_json:
        click.echo("nothing is overdue")
    if done.error:
        click.echo(f"{NAME}: {done.error}; the log of the reconciliation function says more", err=True)
        sys.exit(1)


def _tell(told: dict[str, Any], as_json: bool) -> None:
    if as_json:
        echo_json(told)
    else:
        click.echo(f"{told['transaction_id']}: {told['status']}{': ' + told['failure'] if told['failure'] else ''}")
