"""What an operator may do to a payment: refund, reopen, resolve. Each may be repeated safely."""

from collections.abc import Callable

from .errors import NotAllowed, PaymentNotRecorded
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


def reopen(transaction_id: str, *, ledger: Ledger, clock: Callable[[], float]) -> Payment:
    """Let a FAILED payment be tried again; one that is not final, or has succeeded, is returned as it is.

    What becomes of it, and of an UNKNOWN one, is announced anew. Raises ``NotAllowed`` for one that ended otherwise, or
    whose idempotency key the gateway may have forgotten.
    """
    payment, now = _found(transaction_id, ledger), clock()
    match payment.status:
        case Status.FAILED:
            if window_is_over(payment, now):
                raise NotAllowed(f"transaction {transaction_id} is too old to be charged: send a new payment")
            return write(payment, payment.to(Status.PENDING, at=now, failure=None, told=None), ledger)
        case Status.UNKNOWN if payment.told is not None:
            return write(payment, payment.to(Status.UNKNOWN, at=now, told=None), ledger)
        case Status.REJECTED | Status.DECLINED | Status.REVIEW:
            raise NotAllowed(f"transaction {transaction_id} is {payment.status}, which trying again does not change")
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
    if payment.status is status:
        return payment
    if payment.status is not Status.REVIEW:
        raise NotAllowed(f"transaction {transaction_id} is {payment.status}: only one under REVIEW can be resolved")
    charged = payment.gateway_reference
    match status:
        case Status.COMPLETED if charged is None and reference:
            changes = {"gateway_reference": reference, "failure": None}
        case Status.COMPLETED if charged is not None and reference in (None, charged):
            changes = {"failure": None}
        case Status.FAILED if charged is None:
            changes = {"failure": "found not charged"}
        case Status.REFUNDED if charged is not None and reference:
            changes = {"refund_reference": reference, "failure": None}
        case _:
            known = f"charged as {charged}" if charged else "not known to be charged"
            raise NotAllowed(
                f"transaction {transaction_id} is {known}: it cannot be {status} as {reference or 'nothing'}"
            )
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
    match gateway.refund(charge_of(payment, too_late), payment.gateway_reference):
        case Refunded(reference):
            return write(payment, payment.to(Status.REFUNDED, at=clock(), refund_reference=reference), ledger)
        case NotRefunded(reason):
            refused = payment.to(Status.COMPLETED, at=clock(), failure=reason, notice_due=notice_due)
            return write(payment, refused, ledger)
        case Unknown(reason) if too_late:
            return write(payment, payment.to(Status.REVIEW, at=clock(), failure=reason, notice_due=True), ledger)
        case Unknown():
            return payment


def _found(transaction_id: str, ledger: Ledger) -> Payment:
    payment = ledger.find(transaction_id)
    if payment is None:
        raise PaymentNotRecorded(f"transaction {transaction_id} is not recorded")
    return payment
