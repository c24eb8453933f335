"""What the workflow left behind: find out what became of an overdue payment, settle it, tell of it. Never charges."""

from collections.abc import Callable
from typing import Any

from .errors import NoticeNotSent, PaymentGivenUp
from .operate import ask_for_refund
from .payment import Payment, Status
from .ports import Gateway, Ledger, Notices, Unknown
from .process import look_up, settle, window_is_over, write


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
            return write(payment, payment.to(Status.FAILED, at=now, failure="abandoned"), ledger)
        case Status.REFUNDING:
            asked = ask_for_refund(payment, ledger, gateway, clock, notice_due=True)
            # Behind the others, to be asked again.
            return write(payment, payment.to(Status.REFUNDING, at=clock()), ledger) if asked is payment else asked
        case Status.PROCESSING | Status.UNKNOWN:
            return _look_up(payment, ledger, gateway, clock)
    return payment


def tell(
    payment: Payment,
    *,
    wanted: bool,
    ledger: Ledger,
    notices: Notices,
    clock: Callable[[], float],
    broken: set[str],
) -> Payment:
    """Announce a payment whose notice is due, if it is ``wanted``; leave the letter that it lacks; record both.

    It is told first and recorded afterwards: a crash in between repeats the notice, under its id, where the other
    order would lose it. Raises ``NoticeNotSent`` for what could not be done, after recording what could; it stays due.
    ``broken`` names the calls that failed before and are not to be tried now; one that fails is added.
    """
    said = _done(notices.announce, payment, broken) if wanted and payment.told_id != payment.notice_id else True
    letter = payment.letter or (_done(notices.dead_letter, payment, broken) if payment.needs_letter else False)
    changes: dict[str, Any] = {"told": payment.outcome, "told_id": payment.notice_id} if wanted and said else {}
    due = not said or (payment.needs_letter and not letter)
    noted = payment.noted(at=clock(), announced_by="reconciliation", letter=letter, notice_due=due, **changes)
    write(payment, noted, ledger)
    if due:
        raise NoticeNotSent(f"transaction {payment.transaction_id}: {', '.join(sorted(broken))} failed")
    return noted


def _done(call: Callable[[Payment], None], payment: Payment, broken: set[str]) -> bool:
    if call.__name__ in broken:
        return False
    try:
        call(payment)
    except NoticeNotSent:
        broken.add(call.__name__)
        return False
    return True


def _look_up(payment: Payment, ledger: Ledger, gateway: Gateway, clock: Callable[[], float]) -> Payment:
    outcome = look_up(payment, gateway, clock)
    if isinstance(outcome, Unknown):
        now = clock()
        if window_is_over(payment, now):
            return write(payment, payment.to(Status.REVIEW, at=now, failure=outcome.reason), ledger)
        return write(payment, payment.to(Status.UNKNOWN, at=now), ledger)
    try:
        return settle(payment, outcome, ledger, clock)
    except PaymentGivenUp:
        settled = ledger.find(payment.transaction_id)
        return settled if settled is not None else payment
