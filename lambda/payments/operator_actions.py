"""The actions of an operator on a payment: refund, reopen, resolve, erase. Each is safe to repeat."""

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from .charge import (
    CHARGE_WINDOW_SECONDS,
    ask_gateway,
    build_charge,
    close_at_gateway,
    is_charge_window_over,
    proves_closed,
    write_step,
)
from .errors import IdempotencyConflict, NotAllowed, PaymentNotRecorded
from .payment import UNSUCCESSFUL, Payment, Status
from .ports import Charged, Gateway, Ledger, NotRefunded, Refunded, RefundOutcome, Unknown
from .request import read_request

# The statuses that a person may find a payment in REVIEW to have.
RESOLUTIONS = (Status.COMPLETED, Status.FAILED, Status.REFUNDED)


def refund_payment(
    transaction_id: str, *, ledger: Ledger, connect: Callable[[], Gateway], clock: Callable[[], float]
) -> Payment:
    """Refund a COMPLETED payment; return it REFUNDED, or REFUNDING while the gateway does not answer.

    A payment that is refunded already is returned as it is. Raises ``NotAllowed`` for one that was not charged.
    """
    payment = _find_recorded(transaction_id, ledger)
    match payment.status:
        case Status.REFUNDED:
            return payment
        case Status.COMPLETED:
            _refuse_while_notice_is_claimed(payment, clock())
            gateway = connect()
            payment = write_step(payment, payment.with_status(Status.REFUNDING, at=clock()), ledger)
        case Status.REFUNDING:
            gateway = connect()
        case _:
            raise NotAllowed(f"transaction {transaction_id} is {payment.status}: only a COMPLETED one can be refunded")
    return request_refund(payment, ledger, gateway, clock)


def reopen_payment(
    transaction_id: str, request: object, *, ledger: Ledger, connect: Callable[[], Gateway], clock: Callable[[], float]
) -> Payment:
    """Make a FAILED payment PENDING again and return it; a payment that is open or charged is returned as it is.

    ``request`` is the request that will be sent again, or None for the recorded one. The next outcome of a reopened or
    UNKNOWN payment is announced again. A payment that is closed at the gateway gets a new idempotency key; one whose
    key is too old is closed first.
    Raises ``IdempotencyConflict`` for another request, and ``NotAllowed`` for a payment that ended otherwise, whose
    customer was erased, or that the gateway cannot close now.
    """
    payment, current_time = _find_recorded(transaction_id, ledger), clock()
    if payment.is_erased:
        raise NotAllowed(f"the customer of transaction {transaction_id} was erased; it cannot be sent again")
    if request is not None and not payment.is_recorded_for(read_request(request)):
        raise IdempotencyConflict(f"transaction {transaction_id} is recorded for another request")
    match payment.status:
        case Status.FAILED:
            _refuse_while_notice_is_claimed(payment, current_time)
            if is_charge_window_over(payment, current_time) and not payment.idempotency_key_closed:
                payment = close_payment(payment, ledger, connect(), clock)
            if payment.status is Status.COMPLETED:
                return payment
            if is_charge_window_over(payment, current_time) and not payment.idempotency_key_closed:
                raise NotAllowed(
                    f"transaction {transaction_id} cannot be closed at the gateway now, and its key is too old to be"
                    " used: redrive it again later"
                )
            return write_step(payment, _build_reopened_payment(payment, clock()), ledger)
        case Status.UNKNOWN if payment.notification.is_dead_lettered:
            _refuse_while_notice_is_claimed(payment, current_time)
            notification = payment.notification.for_new_try(payment.notification.notified_status)
            return write_step(payment, payment.with_changes(at=current_time, notification=notification), ledger)
        case status if status in UNSUCCESSFUL or status is Status.REVIEW:
            raise NotAllowed(f"transaction {transaction_id} is {status}; a redrive cannot change that")
        case _:
            return payment


def _build_reopened_payment(payment: Payment, current_time: float) -> Payment:
    changes: dict[str, Any] = {}
    if payment.idempotency_key_closed:
        changes = {"idempotency_key_closed": False, "generation": payment.generation + 1, "first_claimed_at": None}
    reopened = payment.with_status(Status.PENDING, at=current_time, failure=None, **changes)
    # Subscribers may have been notified of the failure, so the next end has to be announced.
    return replace(reopened, notification=reopened.notification.for_new_try(Status.FAILED))


def close_payment(payment: Payment, ledger: Ledger, gateway: Gateway, clock: Callable[[], float]) -> Payment:
    """Close at the gateway what an attempt left open under a payment that was not charged; return the payment.

    If somebody charged it meanwhile, with the client secret of the intent, the payment becomes COMPLETED and
    subscribers are notified. ``idempotency_key_closed`` is set only on proof that nothing is open.
    """
    outcome, current_time = close_at_gateway(payment, gateway, clock), clock()
    if isinstance(outcome, Charged):
        charged = payment.with_status(
            Status.COMPLETED, at=current_time, gateway_reference=outcome.reference, failure=None, reasons=()
        )
        return write_step(payment, charged.with_notice_due(), ledger)
    return write_step(
        payment, payment.with_changes(at=current_time, idempotency_key_closed=proves_closed(outcome)), ledger
    )


def resolve_payment(
    transaction_id: str, status: Status, reference: str | None, *, ledger: Ledger, clock: Callable[[], float]
) -> Payment:
    """Record what a person found at the gateway about a payment in REVIEW, and return the payment.

    COMPLETED: it was charged, under ``reference``. FAILED: it was not charged and cannot be any more. REFUNDED: the
    charge was refunded, under ``reference``. Raises ``NotAllowed`` if that contradicts the record.
    """
    payment, current_time = _find_recorded(transaction_id, ledger), clock()
    references = {Status.COMPLETED: payment.gateway_reference, Status.REFUNDED: payment.refund_reference}
    if payment.status is status and reference in (None, references.get(status)):
        return payment
    if payment.status is not Status.REVIEW:
        raise NotAllowed(f"transaction {transaction_id} is {payment.status}: only a payment in REVIEW can be resolved")
    _refuse_while_notice_is_claimed(payment, current_time)
    charged = payment.gateway_reference
    changes: dict[str, Any]
    match status:
        case Status.COMPLETED if charged is None and reference:
            changes = {"gateway_reference": reference, "failure": None}
        case Status.COMPLETED if charged is not None and reference in (None, charged):
            changes = {"failure": None}
        case Status.FAILED if charged is None:
            changes = {"failure": "found not charged", "idempotency_key_closed": True}
        case Status.REFUNDED if charged is not None and reference:
            changes = {"refund_reference": reference, "failure": None}
        case _:
            record = f"was charged as {charged}" if charged else "has no charge on record"
            raise NotAllowed(f"transaction {transaction_id} {record}: not {status} with {reference or 'no reference'}")
    return write_step(payment, payment.with_status(status, at=current_time, **changes).with_notice_due(), ledger)


def erase_customer(transaction_id: str, *, ledger: Ledger, clock: Callable[[], float]) -> Payment:
    """Erase who paid from a payment that needs nothing more, and return it. Its amount, status and steps stay.

    Raises ``NotAllowed`` for a payment that is open or in REVIEW, that has a notice due, or that has to be closed at
    the gateway: each needs the customer, or may.
    """
    payment = _find_recorded(transaction_id, ledger)
    if payment.is_erased:
        return payment
    if not payment.is_erasable:
        raise NotAllowed(
            f"transaction {transaction_id} is {payment.status} and not finished: erase its customer once it is"
        )
    return write_step(payment, payment.without_customer(clock()), ledger)


def request_refund(
    payment: Payment, ledger: Ledger, gateway: Gateway, clock: Callable[[], float], *, notify_refusal: bool = False
) -> Payment:
    """Ask the gateway for the refund and return the payment; unchanged, the same object, if there is no answer yet.

    All requests carry the same key. After its lifetime the refund is only looked up, and becomes REVIEW if it is not
    found. ``notify_refusal``: whether subscribers are notified of a refusal.
    """
    if payment.gateway_reference is None:
        raise ValueError("only a charged payment has a reference")
    too_late = clock() >= payment.since + CHARGE_WINDOW_SECONDS
    charge_reference = payment.gateway_reference
    outcome: RefundOutcome = ask_gateway(lambda: gateway.refund(build_charge(payment, too_late), charge_reference))
    match outcome:
        case Refunded(reference):
            return write_step(
                payment, payment.with_status(Status.REFUNDED, at=clock(), refund_reference=reference), ledger
            )
        case NotRefunded(reason):
            refused = payment.with_status(Status.COMPLETED, at=clock(), failure=reason).with_notice_due(notify_refusal)
            return write_step(payment, refused, ledger)
        case Unknown(reason) if too_late:
            return write_step(payment, payment.with_status(Status.REVIEW, at=clock(), failure=reason), ledger)
        case Unknown():
            return payment


def _find_recorded(transaction_id: str, ledger: Ledger) -> Payment:
    payment = ledger.find_payment(transaction_id)
    if payment is None:
        raise PaymentNotRecorded(f"transaction {transaction_id} is not recorded")
    return payment


def _refuse_while_notice_is_claimed(payment: Payment, current_time: float) -> None:
    """Raise ``NotAllowed`` while a notice is being sent, because it could arrive after the operator's step."""
    if payment.notification.is_claimed(current_time):
        minutes = math.ceil(payment.notification.seconds_claimed(current_time) / 60)
        raise NotAllowed(
            f"transaction {payment.transaction_id}: a notice of its status {payment.status} is being sent; repeat this"
            f" when it is sent, or after {minutes} min"
        )
