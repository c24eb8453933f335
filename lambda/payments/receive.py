"""The first step: read the request, apply the rules, and record the payment once."""

import secrets
from typing import TYPE_CHECKING

from .errors import IdempotencyConflict
from .notification import Notification
from .payment import Payment, Status
from .request import read_request
from .rules import Limits, find_rejection_reasons

if TYPE_CHECKING:  # what processing needs of it, validation need not import
    from .ports import Ledger

SALT_BYTES = 16


def receive_payment(
    raw: object, *, ledger: "Ledger", limits: Limits, execution: str, current_time: float, notify_outcomes: bool
) -> Payment:
    """Record the payment as PENDING or REJECTED and return it.

    ``notify_outcomes``: whether subscribers are notified of a rejection. A repeated request returns the recorded
    payment. Raises ``MalformedRequest`` for a request without a valid id and ``IdempotencyConflict`` for an id that was
    used for another request; neither writes anything.
    """
    request = read_request(raw)
    reasons = find_rejection_reasons(request, limits)
    salt = secrets.token_hex(SALT_BYTES)
    payment = Payment(
        transaction_id=request.transaction_id,
        status=Status.REJECTED if reasons else Status.PENDING,
        sequence=1,
        fingerprint=request.compute_fingerprint(salt),
        salt=salt,
        execution=execution,
        created_at=current_time,
        updated_at=current_time,
        since=current_time,
        amount=request.amount,
        payment_method=request.payment_method,
        customer_id=request.customer_id,
        reasons=tuple(reasons),
        notification=Notification(is_due=bool(reasons) and notify_outcomes),
    )
    recorded = ledger.write_step(None, payment)
    if recorded is None:
        return payment
    if not recorded.is_recorded_for(request):
        raise IdempotencyConflict(f"transaction {payment.transaction_id} is recorded for another request")
    return recorded
