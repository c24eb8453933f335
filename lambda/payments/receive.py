"""The first step: read the request, apply the rules, and record the payment once."""

import secrets

from .errors import IdempotencyConflict
from .notification import Notification
from .payment import Payment, Status
from .ports import Ledger
from .request import read
from .rules import Limits, reasons_to_reject

SALT_BYTES = 16


def validate(
    raw: object, *, ledger: Ledger, limits: Limits, execution: str, now: float, notify_outcomes: bool
) -> Payment:
    """Record the payment as PENDING or REJECTED and return it.

    ``notify_outcomes``: whether subscribers want to hear of a rejection. The same request again returns what is
    recorded. Raises ``MalformedRequest`` for a request without a usable id and ``IdempotencyConflict`` for an id that
    was used for another request; neither writes anything.
    """
    request = read(raw)
    reasons = reasons_to_reject(request, limits)
    salt = secrets.token_hex(SALT_BYTES)
    payment = Payment(
        transaction_id=request.transaction_id,
        status=Status.REJECTED if reasons else Status.PENDING,
        sequence=1,
        fingerprint=request.fingerprint(salt),
        salt=salt,
        execution=execution,
        created_at=now,
        updated_at=now,
        since=now,
        amount=request.amount,
        payment_method=request.payment_method,
        customer_id=request.customer_id,
        reasons=tuple(reasons),
        notification=Notification(is_due=bool(reasons) and notify_outcomes),
    )
    recorded = ledger.write(None, payment)
    if recorded is None:
        return payment
    if not recorded.is_of(request):
        raise IdempotencyConflict(f"transaction {payment.transaction_id} is recorded for another request")
    return recorded
