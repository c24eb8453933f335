"""Settles and announces the overdue payments that the workflow left behind. It looks outcomes up and never charges.

It also erases who paid from payments that have been finished for long enough.
"""

from collections.abc import Callable

from .charge import claim_notice, is_charge_window_over, look_up_outcome, record_outcome, write_step
from .errors import NoticeNotSent, PaymentGivenUp
from .failure import confirm_notice
from .operator_actions import close_payment, request_refund
from .payment import Payment, Status
from .ports import Gateway, Ledger, Notices, Unknown

# The notifier in the claims of the notices that reconciliation sends.
NOTIFIER = "reconciliation"


def settle_overdue_payment(
    payment: Payment,
    *,
    ledger: Ledger,
    connect: Callable[[], Gateway],
    clock: Callable[[], float],
    notify_outcomes: bool,
) -> Payment:
    """Settle an overdue payment that was just read, as far as its outcome can be known, and return it.

    ``connect`` returns the gateway and is called only if it is needed; its errors are raised. Raises ``PaymentChanged``
    if somebody else settles the payment at the same time.
    """
    current_time = clock()
    if not payment.is_overdue(current_time):
        return payment
    match payment.status:
        case Status.PENDING:
            # Certainly not charged, and no execution is processing it any more.
            return write_step(payment, payment.with_status(Status.FAILED, at=current_time, failure="abandoned"), ledger)
        case Status.REFUNDING:
            after = request_refund(payment, ledger, connect(), clock, notify_refusal=True)
            if after is not payment:
                return after
            # The write moves the payment behind the others, and its refund is requested again.
            return write_step(payment, payment.with_status(Status.REFUNDING, at=clock()), ledger)
        case Status.PROCESSING | Status.UNKNOWN:
            return _settle_by_lookup(payment, ledger, connect(), clock, notify_outcomes)
        case _ if _is_closing_due(payment, current_time):
            return close_payment(payment, ledger, connect(), clock)
    return payment


def needs_gateway(payment: Payment, current_time: float) -> bool:
    """Whether reconciliation needs the gateway for the payment's outcome, or to close what is open under it."""
    is_unsettled = payment.status in (Status.PROCESSING, Status.UNKNOWN, Status.REFUNDING)
    return is_unsettled or _is_closing_due(payment, current_time)


def _is_closing_due(payment: Payment, current_time: float) -> bool:
    """Whether to close the payment now; not while a notice is being sent that says that it was not charged."""
    is_due = payment.closing_due_at is not None and current_time >= payment.closing_due_at
    return is_due and not payment.notification.is_claimed(current_time)


def send_due_notice(
    payment: Payment, *, ledger: Ledger, notices: Notices, clock: Callable[[], float], broken: set[str]
) -> Payment:
    """Send the payment's due notice, and its dead letter if it lacks one, and return the payment.

    The notice is claimed first and confirmed afterwards, so a crash in between repeats it under the same id. A payment
    whose notice somebody else is sending is returned as it is. ``broken`` names the calls that failed before in this
    run; they are not tried again, and one that fails is added. Raises ``NoticeNotSent`` after recording what was sent;
    the rest stays due.
    """
    current_time = clock()
    if not payment.notification.is_due or payment.notification.is_claimed(current_time):
        return payment
    payment = claim_notice(payment, ledger, NOTIFIER, current_time)
    is_sent = payment.notification.is_confirmed or _is_accepted(notices.announce, payment, broken)
    is_dead_lettered = payment.needs_dead_letter and _is_accepted(notices.dead_letter, payment, broken)
    confirmed = confirm_notice(
        payment.transaction_id,
        NOTIFIER,
        notice_id=payment.notice_id,
        is_sent=is_sent,
        is_dead_lettered=is_dead_lettered,
        ledger=ledger,
        clock=clock,
    )
    if not is_sent or (payment.needs_dead_letter and not is_dead_lettered):
        raise NoticeNotSent(f"transaction {payment.transaction_id}: {', '.join(sorted(broken))} failed")
    return payment if confirmed is None else confirmed


def erase_due_customer(transaction_id: str, keep_seconds: float, *, ledger: Ledger, clock: Callable[[], float]) -> bool:
    """Erase the customer of a payment that has been finished for ``keep_seconds``; return whether this call did.

    A payment that is open, in REVIEW, or due for a notice or a cancellation keeps its customer. Raises
    ``PaymentChanged`` if somebody else wrote the payment at the same time.
    """
    payment, current_time = ledger.find_payment(transaction_id), clock()
    if payment is None or not payment.is_erasable or current_time < payment.updated_at + keep_seconds:
        return False
    write_step(payment, payment.without_customer(current_time), ledger)
    return True


def _is_accepted(call: Callable[[Payment], None], payment: Payment, broken: set[str]) -> bool:
    if call.__name__ in broken:
        return False
    try:
        call(payment)
    except NoticeNotSent:
        broken.add(call.__name__)
        return False
    return True


def _settle_by_lookup(
    payment: Payment, ledger: Ledger, gateway: Gateway, clock: Callable[[], float], notify_outcomes: bool
) -> Payment:
    outcome = look_up_outcome(payment, gateway, clock)
    if isinstance(outcome, Unknown):
        current_time = clock()
        if is_charge_window_over(payment, current_time):
            return write_step(
                payment, payment.with_status(Status.REVIEW, at=current_time, failure=outcome.reason), ledger
            )
        return write_step(payment, payment.with_status(Status.UNKNOWN, at=current_time), ledger)
    try:
        return record_outcome(payment, outcome, ledger, clock, notify_outcomes=notify_outcomes)
    except PaymentGivenUp:
        settled = ledger.find_payment(payment.transaction_id)
        return settled if settled is not None else payment
