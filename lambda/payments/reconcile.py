"""What the workflow left behind: find out what became of an overdue payment, settle it, tell of it. Never charges."""

from collections.abc import Callable

from .errors import PaymentGivenUp
from .operate import ask_for_refund
from .payment import Payment, Status
from .ports import Gateway, Ledger, Notices, Unknown
from .process import charge_of, settle, window_is_over, write


def reconcile(payment: Payment, *, ledger: Ledger, gateway: Gateway, clock: Callable[[], float]) -> Payment:
    """Settle ``payment``, an overdue one as it was just read, as far as that can be known; return what it is now.

    Raises ``PaymentChanged`` when somebody else settles it at the same time.
    """
    now = clock()
    if not payment.is_overdue(now):
        return payment
    match payment.status:
        case Status.PENDING:
            # For certain not charged, and nobody is at it any more.
            return write(payment, payment.to(Status.FAILED, at=now, failure="abandoned", notice_due=True), ledger)
        case Status.REFUNDING:
            asked = ask_for_refund(payment, ledger, gateway, clock, notice_due=True)
            # Behind the others, to be asked again.
            return write(payment, payment.to(Status.REFUNDING, at=clock()), ledger) if asked is payment else asked
        case Status.PROCESSING | Status.UNKNOWN:
            return _look_up(payment, ledger, gateway, clock)
    return payment


def tell(payment: Payment, *, wanted: bool, ledger: Ledger, notices: Notices, clock: Callable[[], float]) -> Payment:
    """Tell of an outcome whose notice is due, if it is ``wanted``, and record that.

    It is told first and recorded afterwards: a crash in between repeats the notice, under its id, where the other
    order would lose it. Raises ``NoticeNotSent``; the notice stays due.
    """
    if wanted:
        if payment.told is None and payment.status in (Status.FAILED, Status.REVIEW):
            notices.dead_letter(payment)  # no execution has left one
        notices.announce(payment)
    return write(payment, payment.noted(at=clock(), told=payment.outcome), ledger)


def _look_up(payment: Payment, ledger: Ledger, gateway: Gateway, clock: Callable[[], float]) -> Payment:
    now = clock()
    outcome = gateway.lookup(charge_of(payment, window_is_over(payment, now)))
    if isinstance(outcome, Unknown):
        if window_is_over(payment, now):
            review = payment.to(Status.REVIEW, at=clock(), failure=outcome.reason, notice_due=True)
            return write(payment, review, ledger)
        return write(payment, payment.to(Status.UNKNOWN, at=clock()), ledger)
    try:
        return settle(payment, outcome, ledger, clock)
    except PaymentGivenUp:
        settled = ledger.find(payment.transaction_id)
        return settled if settled is not None else payment
