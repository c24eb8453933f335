"""What an execution that failed for good leaves behind: what is recorded, and who is told of it.

Each failure is announced and dead-lettered by one execution: the one that holds the payment. Another one that failed
at the same payment keeps quiet, and so does one that was sent again. The announcement is recorded once it is out;
until then it is due, and reconciliation makes up for an execution that did not get that far.
"""

from collections.abc import Callable
from dataclasses import dataclass

from .errors import IdempotencyConflict
from .payment import Payment, Status
from .ports import Ledger
from .process import write


@dataclass(frozen=True)
class Failure:
    """``payment`` is what the ledger holds, if it is recorded; ``announce`` whether this execution tells of it."""

    payment: Payment | None
    outcome: Status
    announce: bool


def record_failure(
    transaction_id: str,
    *,
    fingerprint: str,
    error: str,
    ledger: Ledger,
    execution: str,
    clock: Callable[[], float],
) -> Failure:
    """Give the payment up, on behalf of an execution that failed for good, and tell what to say of it.

    Only a payment that is for certain not charged (PENDING), and that nobody else has taken up since, becomes
    FAILED. Everything else stays as it is, to be settled by whoever finds out what happened. ``fingerprint`` is that
    of the request, or empty if the execution never got so far as to know it.

    May be repeated: the same execution gets the same answer. Raises ``PaymentChanged`` when somebody else wrote first.
    """
    payment = ledger.find(transaction_id)
    if payment is None:
        return Failure(None, Status.FAILED, announce=True)
    if payment.execution != execution:
        if payment.fingerprint == fingerprint:
            return Failure(payment, payment.outcome, announce=False)
        # Another request under the id, or one that was not even let in: the payment is not this execution's to touch.
        conflict = error == IdempotencyConflict.__name__
        return Failure(payment, Status.FAILED if conflict else payment.outcome, announce=True)
    if payment.told is payment.outcome:
        return Failure(payment, payment.outcome, announce=payment.outcome is Status.UNKNOWN)
    return _due(payment, error, ledger, clock)


def record_notice(notice_id: str, *, transaction_id: str, ledger: Ledger, clock: Callable[[], float]) -> Payment | None:
    """Subscribers were told: nothing is due any more, unless the payment has moved on since."""
    payment = ledger.find(transaction_id)
    if payment is None or not payment.notice_due or payment.notice_id != notice_id:
        return payment
    return write(payment, payment.noted(at=clock(), told=payment.outcome), ledger)


def _due(payment: Payment, error: str, ledger: Ledger, clock: Callable[[], float]) -> Failure:
    after = payment
    if payment.status is Status.PENDING:
        failed = payment.to(Status.FAILED, at=clock(), failure=error, notice_due=True)
        after = write(payment, failed, ledger)
    elif payment.outcome is Status.UNKNOWN:
        # Noted before it is said: should the notice be lost, what becomes of the payment will be told in any case.
        after = write(payment, payment.noted(at=clock(), told=Status.UNKNOWN), ledger)
    elif not payment.notice_due:
        after = write(payment, payment.noted(at=clock(), told=payment.told, notice_due=True), ledger)
    return Failure(after, after.outcome, announce=True)
