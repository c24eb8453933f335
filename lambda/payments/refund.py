"""What an operator may do to a payment: give it back, or open one that failed again. Both may be repeated safely."""

from collections.abc import Callable

from .errors import NotAllowed, PaymentNotRecorded
from .payment import Payment, Status
from .ports import Gateway, Ledger, NotRefunded, Refunded, Unknown
from .process import CHARGE_WINDOW_SECONDS, charge_of, window_is_over, write


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


def reopen(transaction_id: str, *, ledger: Ledger, now: float) -> Payment:
    """Let a FAILED payment be tried again; one that is not final, or has succeeded, is returned as it is.

    Raises ``NotAllowed`` for one that ended otherwise, or whose idempotency key the gateway may have forgotten.
    """
    payment = _found(transaction_id, ledger)
    match payment.status:
        case Status.FAILED:
            if window_is_over(payment, now):
                raise NotAllowed(f"transaction {transaction_id} is too old to be charged: send a new payment")
            return write(payment, payment.to(Status.PENDING, at=now, failure=None), ledger)
        case Status.REJECTED | Status.DECLINED | Status.REVIEW:
            raise NotAllowed(f"transaction {transaction_id} is {payment.status}, which trying again does not change")
        case _:
            return payment


def ask_for_refund(payment: Payment, ledger: Ledger, gateway: Gateway, clock: Callable[[], float]) -> Payment:
    """Ask the gateway, always under the same key, and record its answer; after the key's lifetime ask a person."""
    if payment.gateway_reference is None:
        raise ValueError("only a charged payment has a reference")
    # It is REFUNDING since it was last written.
    if clock() >= payment.updated_at + CHARGE_WINDOW_SECONDS:
        return write(payment, payment.to(Status.REVIEW, at=clock(), failure="refund without an answer"), ledger)
    match gateway.refund(charge_of(payment), payment.gateway_reference):
        case Refunded(reference):
            return write(payment, payment.to(Status.REFUNDED, at=clock(), refund_reference=reference), ledger)
        case NotRefunded(reason):
            return write(payment, payment.to(Status.COMPLETED, at=clock(), failure=reason), ledger)
        case Unknown(reason):
            return payment


def _found(transaction_id: str, ledger: Ledger) -> Payment:
    payment = ledger.find(transaction_id)
    if payment is None:
        raise PaymentNotRecorded(f"transaction {transaction_id} is not recorded")
    return payment
