"""Records the failure of an execution, and decides who sends its notice.

One execution claims the notice of each failure, announces it and leaves its dead letter. Other executions of the same
payment or the same request only fail. An execution whose request differs from the recorded one, or could not be
recorded, has no payment; its notice is about the execution alone. An execution whose payment has its outcome has not
failed.
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
    """The execution's payment as the ledger holds it, or None if nothing is recorded for its request.

    ``is_announced``: whether this execution has to send the notice, about the payment or else about itself.
    """

    payment: Payment | None
    is_announced: bool
    # Whether this execution claimed the notice before, and the answer was lost.
    is_repeated: bool = False


def record_failure(
    transaction_id: str, *, request: object, error: str, ledger: Ledger, execution: str, clock: Callable[[], float]
) -> Failure:
    """Record that an execution failed for good, claim the notice for it, and return the ``Failure``.

    Only a PENDING payment, which is certainly not charged, becomes FAILED, and only if the execution still holds it.
    Reconciliation settles every other status. ``request`` is the input of the execution, or None if it is too large.

    The same execution gets the same answer again. Raises ``PaymentChanged`` if somebody else wrote first.
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
            return Failure(payment, is_announced=False)  # the execution that holds the payment announces its end
        case Status.PROCESSING | Status.UNKNOWN:
            is_heard = notification.notified_status is Status.UNKNOWN and notification.is_dead_lettered
            if is_heard and not is_repeated:
                return Failure(payment, is_announced=False)
            after = payment.with_changes(at=current_time).with_claimed_notice(execution, current_time)
            return Failure(write_step(payment, after, ledger), is_announced=True, is_repeated=is_repeated)
        case Status.COMPLETED | Status.REFUNDING | Status.REFUNDED:
            return Failure(payment, is_announced=False)  # not a failure; reconciliation sends its notice if one is due
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
    """Record what ``notifier`` sent under its claim, release the claim, and return the payment; the rest stays due.

    ``notice_id`` is the id in the claim, or the notifier's name if it could not read the payment and claimed nothing.
    Safe to repeat. Raises ``PaymentChanged`` if somebody else wrote first.
    """
    payment = ledger.find_payment(transaction_id)
    if payment is None:
        return None
    notification = payment.notification
    if notification.notifier != notifier:
        # An execution that could not read the ledger claimed nothing, but its dead letter counts for the payment it
        # holds. Any other notifier confirmed before and lost the answer; the payment may have been reopened since.
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
