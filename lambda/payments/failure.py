"""An execution that failed for good: what is recorded of its payment, and who sends the notice of that.

Each failure is announced and dead-lettered by one execution, which claims the notice. Another execution that failed at
the same payment, or was sent the same request again, only fails. An execution that was sent another request than the
one on record, or none that could be recorded, has no payment: its notice is of the execution alone. An execution whose
payment has its outcome has not failed.
"""

from collections.abc import Callable
from dataclasses import dataclass

from .charge import claim_notice, write_step
from .errors import MalformedRequest
from .payment import Payment, Status
from .ports import Ledger
from .request import read_request


@dataclass(frozen=True)
class Failure:
    """``payment`` is the execution's, as the ledger holds it; None if nothing is recorded for its request.

    ``is_announced`` tells whether this execution is to send the notice: of the payment, or of itself without one.
    """

    payment: Payment | None
    is_announced: bool
    # This execution had claimed the notice before: its answer was lost.
    is_repeated: bool = False


def record_failure(
    transaction_id: str, *, request: object, error: str, ledger: Ledger, execution: str, clock: Callable[[], float]
) -> Failure:
    """Give the payment up, on behalf of an execution that failed for good, and claim the notice of that.

    Only a payment that is for certain not charged (PENDING), and that nobody else has taken up since, becomes
    FAILED. Everything else stays as it is, to be settled by whoever finds out what happened. ``request`` is what the
    execution was sent, or None where that is too large.

    May be repeated: the same execution gets the same answer. Raises ``PaymentChanged`` when somebody else wrote first.
    """
    payment, current_time = ledger.find_payment(transaction_id), clock()
    if payment is None or not (payment.execution == execution or _is_recorded_for(payment, request)):
        return Failure(None, is_announced=True)
    notification = payment.notification
    is_repeated = notification.notifier == execution
    if notification.is_claimed_by_another(execution, current_time):
        return Failure(payment, is_announced=False)
    match payment.status:
        case Status.PENDING if payment.execution == execution:
            after = payment.with_status(Status.FAILED, at=current_time, failure=error).with_claimed_notice(
                execution, current_time
            )
            return Failure(write_step(payment, after, ledger), is_announced=True)
        case Status.PENDING | Status.PROCESSING if payment.execution != execution:
            return Failure(payment, is_announced=False)  # the other execution is at it, and tells how it ends
        case Status.PROCESSING | Status.UNKNOWN:
            is_heard = notification.notified_status is Status.UNKNOWN and notification.is_dead_lettered
            if is_heard and not is_repeated:
                return Failure(payment, is_announced=False)
            after = payment.with_changes(at=current_time).with_claimed_notice(execution, current_time)
            return Failure(write_step(payment, after, ledger), is_announced=True, is_repeated=is_repeated)
        case Status.COMPLETED | Status.REFUNDING | Status.REFUNDED:
            return Failure(payment, is_announced=False)  # no failure: reconciliation announces it, if it is due
    payment = claim_notice(payment, ledger, execution, current_time)
    return Failure(payment, payment.notification.notifier == execution, is_repeated)


def confirm_notice(
    transaction_id: str,
    notifier: str,
    *,
    notice_id: str,
    is_sent: bool,
    is_dead_lettered: bool,
    ledger: Ledger,
    clock: Callable[[], float],
) -> Payment | None:
    """Record what ``notifier`` has done under its claim, and give the claim back; what was not done stays due.

    ``notice_id`` is that of the claim, or the notifier's name where it could not read the payment and claimed nothing.
    Returns the payment as it is then. May be repeated. Raises ``PaymentChanged`` when somebody else wrote first.
    """
    payment = ledger.find_payment(transaction_id)
    if payment is None:
        return None
    notification = payment.notification
    if notification.notifier != notifier:
        # An execution that could not read the ledger claimed nothing; its letter counts for the payment that it holds.
        # One that claimed has confirmed before, and its answer was lost: the payment may be at another try by now.
        is_unread = notice_id == notifier == payment.execution
        if not (is_unread and is_dead_lettered) or notification.is_dead_lettered:
            return payment
        confirmed = notification.with_dead_letter()
    else:
        confirmed = notification.with_confirmation(is_sent=is_sent, is_dead_lettered=is_dead_lettered)
    confirmed = confirmed.without_sent(payment.status, payment.notice_id)
    return write_step(payment, payment.with_changes(at=clock(), notification=confirmed), ledger)


def _is_recorded_for(payment: Payment, request: object) -> bool:
    try:
        return request is not None and payment.is_recorded_for(read_request(request))
    except MalformedRequest:
        return False
