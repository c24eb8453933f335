"""What an execution that failed for good leaves behind: what is recorded, and who is told of it.

Each failure is announced and dead-lettered by one execution, the first that claims to (``announced_by``); another one
that failed at the same payment, or was sent the same request again, only fails. What was told is recorded afterwards
(``record_notice``); until then it is due, and reconciliation makes up for an execution that did not get that far.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from .errors import IdempotencyConflict
from .payment import Payment, Status, has_to_be_told
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
    own = payment.execution == execution
    if not own and payment.fingerprint != fingerprint:
        # Another request under the id, or one that was not even let in: the payment is not this execution's to touch.
        conflict = error == IdempotencyConflict.__name__
        return Failure(payment, Status.FAILED if conflict else payment.outcome, announce=True)
    # What another execution is at, or has brought to an end, is the other one's to tell of; a failure is anybody's.
    failed = payment.status in (Status.FAILED, Status.REVIEW, Status.UNKNOWN)
    if not (own or failed) or payment.announced_by not in (None, execution):
        return Failure(payment, payment.outcome, announce=False)
    return _claimed(payment, error, ledger, execution, clock)


def record_notice(
    transaction_id: str,
    notice_id: str,
    *,
    outcome: Status,
    told: bool,
    letter: bool,
    ledger: Ledger,
    execution: str,
    clock: Callable[[], float],
) -> Payment | None:
    """Record that subscribers were told, or a letter was left; what was not done stays due.

    ``notice_id`` is that of ``record_failure``, or the execution's where it could not be asked: then subscribers heard
    UNKNOWN, and have to hear how it ended. Raises ``PaymentChanged`` when somebody else wrote first.
    """
    if not (told or letter):
        return None
    payment = ledger.find(transaction_id)
    if payment is None or (notice_id != payment.notice_id and payment.execution != execution):
        return payment
    letter = letter or payment.letter
    heard = outcome if told else payment.told
    if notice_id == payment.notice_id:
        undone = payment.outcome is not Status.UNKNOWN and not told
        due = undone or (payment.needs_letter and not letter)
    else:
        due = payment.notice_due or has_to_be_told(payment.status, heard)
    told_id = notice_id if told else payment.told_id
    noted = {"told": heard, "told_id": told_id, "letter": letter, "notice_due": due}
    if all(getattr(payment, name) == value for name, value in noted.items()):
        return payment  # recorded before, and the answer was lost
    return write(payment, payment.noted(at=clock(), **noted), ledger)


def _claimed(payment: Payment, error: str, ledger: Ledger, execution: str, clock: Callable[[], float]) -> Failure:
    """This execution tells of it: a write, unless it has said so before."""
    by: dict[str, Any] = {"announced_by": execution}
    if payment.status is Status.PENDING:
        after = payment.to(Status.FAILED, at=clock(), failure=error, **by)
    elif payment.outcome is Status.UNKNOWN:
        # Noted before it is said: should the notice be lost, how it ended will be told in any case.
        after = payment.noted(at=clock(), told=Status.UNKNOWN, told_id=payment.notice_id, **by)
    else:
        after = payment.noted(at=clock(), notice_due=True, **by)
    claimed = payment.announced_by == execution and (payment.notice_due, payment.told) == (after.notice_due, after.told)
    return Failure(payment if claimed else write(payment, after, ledger), after.outcome, announce=True)
