"""What the workflow left behind: find out what happened to an overdue payment and settle it. Never charges."""

from collections.abc import Callable

from .errors import PaymentGivenUp
from .payment import Payment, Status
from .ports import Gateway, Ledger, Unknown
from .process import charge_of, settle, window_is_over, write
from .refund import ask_for_refund


def reconcile(payment: Payment, *, ledger: Ledger, gateway: Gateway, clock: Callable[[], float]) -> Payment:
    """Settle ``payment``, an overdue one as it was just read, as far as that can be known; return what it is now.

    Raises ``PaymentChanged`` when somebody else settles it at the same time.
    """
    now = clock()
    if payment.overdue_at is None or now < payment.overdue_at:
        return payment
    match payment.status:
        case Status.PENDING:
            # For certain not charged, and nobody is at it any more.
            return write(payment, payment.to(Status.FAILED, at=now, failure="abandoned"), ledger)
        case Status.REFUNDING:
            return ask_for_refund(payment, ledger, gateway, clock)
    outcome = gateway.lookup(charge_of(payment, now))
    if isinstance(outcome, Unknown):
        if window_is_over(payment, now):
            return write(payment, payment.to(Status.REVIEW, at=clock(), failure=outcome.reason), ledger)
        if payment.status is Status.PROCESSING:
            return write(payment, payment.to(Status.UNKNOWN, at=clock()), ledger)
        return payment
    try:
        return settle(payment, outcome, ledger, clock)
    except PaymentGivenUp:
        settled = ledger.find(payment.transaction_id)
        return settled if settled is not None else payment
