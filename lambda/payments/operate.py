"""What an operator may do to a payment: refund, reopen, resolve. Each may be repeated safely."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from .errors import IdempotencyConflict, NotAllowed, PaymentNotRecorded
from .payment import Payment, Status
from .ports import Gateway, Ledger, NotRefunded, Refunded, Unknown
from .process import CHARGE_WINDOW_SECONDS, charge_of, window_is_over, write

# What a person may have found out of a payment under REVIEW.
RESOLUTIONS = (Status.COMPLETED, Status.FAILED, Status.REFUNDED)


def refund(transaction_id: str, *, ledger: Ledger, gateway: Gateway, clock: Callable[[], float]) -> Payment:
    """Refund a COMPLETED payment; return it REFUNDED, or REFUNDING while the gateway does not say.

    A payment that is refunded already is returned as it is. Raises ``NotAllowed`` for one that was not charged.
    """
    payment = _found(transaction_id, ledger)
    match payment.status:
        case Status.REFUNDED:
            return payment
        case Status.COMPLETED:
            payment = write(payment, payment.to(Status.REFUNDING, at=clock()), ledger)
        case Status.REFUNDING:
            pass
        case _:
            raise NotAllowed(f"transaction {transaction_id} is {payment.status}: only a COMPLETED one can be refunded")
    return ask_for_refund(payment, ledger, gateway, clock)


def reopen(transaction_id: str, fingerprint: str, *, ledger: Ledger, clock: Callable[[], float]) -> Payment:
    """Let a FAILED payment be tried again; one that is not final, or has succeeded, is returned as it is.

    ``fingerprint`` is that of the request that is to be sent again. What becomes of the payment, and of an UNKNOWN one,
    is announced anew. Raises ``IdempotencyConflict`` for another request, ``NotAllowed`` for a payment that ended
    otherwise, or that the gateway would not charge, or not safely.
    """
    payment, now = _found(transaction_id, ledger), clock()
    if payment.fingerprint != fingerprint:
        raise IdempotencyConflict(f"transaction {transaction_id} is recorded for another request")
    match payment.status:
        case Status.FAILED if payment.closed:
            raise NotAllowed(f"transaction {transaction_id} is closed at the gateway: send a new payment")
        case Status.FAILED if window_is_over(payment, now):
            raise NotAllowed(f"transaction {transaction_id} is too old to be charged: send a new payment")
        case Status.FAILED:
            # They heard of it, or may have: how it ends will be told.
            again = payment.to(Status.PENDING, at=now, failure=None, letter=False, told=Status.FAILED)
            return write(payment, again, ledger)
        case Status.UNKNOWN if payment.announced_by or payment.letter:
            return write(payment, payment.noted(at=now, announced_by=None, letter=False), ledger)
        case Status.REJECTED | Status.DECLINED | Status.REVIEW:
            raise NotAllowed(f"transaction {transaction_id} is {payment.status}; a redrive cannot change that")
        case _:
            return payment


def resolve(
    transaction_id: str, status: Status, reference: str | None, *, ledger: Ledger, clock: Callable[[], float]
) -> Payment:
    """Record what a person found out at the gateway of a payment under REVIEW; one that says so already stays.

    COMPLETED: it was charged, under ``reference``. FAILED: it was not, and cannot be any more. REFUNDED: the charge was
    given back, under ``reference``. Raises ``NotAllowed`` for what contradicts the record.
    """
    payment = _found(transaction_id, ledger)
    known = {Status.COMPLETED: payment.gateway_reference, Status.REFUNDED: payment.refund_reference}
    if payment.status is status and reference in (None, known.get(status)):
        return payment
    if payment.status is not Status.REVIEW:
        raise NotAllowed(f"transaction {transaction_id} is {payment.status}: only a payment in REVIEW can be resolved")
    charged = payment.gateway_reference
    changes: dict[str, Any]
    match status:
        case Status.COMPLETED if charged is None and reference:
            changes = {"gateway_reference": reference, "failure": None}
        case Status.COMPLETED if charged is not None and reference in (None, charged):
            changes = {"failure": None}
        case Status.FAILED if charged is None:
            changes = {"failure": "found not charged", "closed": True}
        case Status.REFUNDED if charged is not None and reference:
            changes = {"refund_reference": reference, "failure": None}
        case _:
            record = f"was charged as {charged}" if charged else "has no charge on record"
            raise NotAllowed(f"transaction {transaction_id} {record}: not {status} with {reference or 'no reference'}")
    return write(payment, payment.to(status, at=clock(), notice_due=True, **changes), ledger)


def ask_for_refund(
    payment: Payment, ledger: Ledger, gateway: Gateway, clock: Callable[[], float], *, notice_due: bool = False
) -> Payment:
    """Ask the gateway, always under the same key, and record its answer; without one it is the same payment.

    After the key's lifetime it is only looked for, and what is not found then is left to a person. ``notice_due`` says
    whether subscribers are to hear of a refusal.
    """
    if payment.gateway_reference is None:
        raise ValueError("only a charged payment has a reference")
    too_late = clock() >= payment.since + CHARGE_WINDOW_SECONDS
    try:
        outcome = gateway.refund(charge_of(payment, too_late), payment.gateway_reference)
    except Exception as error:  # a defect of the adapter, and the money may have moved
        outcome = Unknown(f"{type(error).__name__} of the gateway's adapter")
    match outcome:
        case Refunded(reference):
            return write(payment, payment.to(Status.REFUNDED, at=clock(), refund_reference=reference), ledger)
        case NotRefunded(reason):
            refused = payment.to(Status.COMPLETED, at=clock(), failure=reason)
            return write(payment, replace(refused, notice_due=refused.notice_due or notice_due), ledger)
        case Unknown(reason) if too_late:
            return write(payment, payment.to(Status.REVIEW, at=clock(), failure=reason), ledger)
        case Unknown():
            return payment


def _found(transaction_id: str, ledger: Ledger) -> Payment:
    payment = ledger.find(transaction_id)
    if payment is None:
        raise PaymentNotRecorded(f"transaction {transaction_id} is not recorded")
    return payment
