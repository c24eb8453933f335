"""The second step: claims the payment, charges it once, and records the outcome.

However often this step runs for a payment, the customer is charged at most once. A charge needs a claim, which is a
conditional write. Every attempt charges under the same idempotency key, and no attempt charges after the gateway may
have forgotten that key. An unknown outcome is looked up, never charged again.
"""

from collections.abc import Callable
from typing import Any, TypeVar

from .errors import (
    ChargeOutcomeUnknown,
    GatewayUnavailable,
    IdempotencyConflict,
    PaymentChanged,
    PaymentGivenUp,
    PaymentInProgress,
    PaymentNotRecorded,
    ReviewNeeded,
)
from .payment import UNSUCCESSFUL, Payment, Status
from .ports import ActionRequired, Charge, Charged, Declined, Gateway, Ledger, NotCharged, Outcome, Unknown

# Longer than a gateway call may take (ports.GATEWAY_SECONDS), and shorter than the state machine's retries of
# PaymentInProgress take in all.
LEASE_SECONDS = 60
# Stripe forgets a key after 24 hours (https://docs.stripe.com/api/idempotent_requests); an hour is the margin between
# the check and the charge, and between two clocks.
CHARGE_WINDOW_SECONDS = 23 * 60 * 60

Answer = TypeVar("Answer")


def charge_payment(
    transaction_id: str,
    record_id: str,
    *,
    ledger: Ledger,
    connect: Callable[[], Gateway],
    execution: str,
    clock: Callable[[], float],
    notify_outcomes: bool,
) -> Payment:
    """Bring the payment to its outcome and return it: COMPLETED, DECLINED, ACTION_REQUIRED or (as validated) REJECTED.

    A payment that already has its outcome is not charged again. If a notice of an outcome without a charge is due and
    unclaimed, ``execution`` claims it. ``connect`` returns the gateway; it is called only if the gateway is needed, and
    before the payment is claimed. Raises the errors of ``errors.py``.
    """
    payment = ledger.find_payment(transaction_id)
    if payment is None:
        raise PaymentNotRecorded(f"transaction {transaction_id} was never validated")
    # Executions of an earlier release carry the fingerprint of the request instead of the record's id.
    if record_id not in (payment.record_id, payment.fingerprint):
        raise IdempotencyConflict(f"transaction {transaction_id} is recorded for another request")
    match payment.status:
        case Status.FAILED:
            raise PaymentGivenUp(f"transaction {transaction_id} was given up and not charged: {payment.failure}")
        case Status.REVIEW:
            raise ReviewNeeded(f"transaction {transaction_id} waits for a person: {payment.failure}")
        case Status.UNKNOWN:
            outcome = look_up_outcome(payment, connect(), clock)
            return record_outcome(payment, outcome, ledger, clock, notify_outcomes=notify_outcomes, execution=execution)
        case Status.PENDING | Status.PROCESSING:
            gateway = connect()
            claimed = _claim_payment(payment, gateway, ledger, execution, clock())
            is_taken_over = payment.status is Status.PROCESSING
            outcome = _charge_claimed(claimed, gateway, ledger, clock, is_taken_over=is_taken_over)
            return record_outcome(claimed, outcome, ledger, clock, notify_outcomes=notify_outcomes, execution=execution)
        case status if status in UNSUCCESSFUL:
            return claim_notice(payment, ledger, execution, clock())
        case _:  # charged; executions send no notice of a charge
            return payment


def claim_notice(payment: Payment, ledger: Ledger, notifier: str, at: float) -> Payment:
    """Claim the payment's due notice for ``notifier``, and return the payment; unchanged if there is nothing to claim.

    The holder of a claim may claim again, because its answer may have been lost. Raises ``PaymentChanged``.
    """
    notification = payment.notification
    if not notification.is_due or notification.is_claimed_by_another(notifier, at):
        return payment
    return write_step(payment, payment.with_changes(at=at).with_claimed_notice(notifier, at), ledger)


def is_charge_window_over(payment: Payment, current_time: float) -> bool:
    """Whether the gateway may have forgotten the payment's idempotency key, so that charging would not be safe."""
    return payment.first_claimed_at is not None and current_time >= payment.first_claimed_at + CHARGE_WINDOW_SECONDS


def build_charge(payment: Payment, key_expired: bool = False) -> Charge:
    """Return the charge to request from the gateway. Only the attempt number differs between attempts."""
    if payment.amount is None or payment.payment_method is None:
        raise ValueError("only a validated payment has a charge")
    if payment.customer_id is None and not payment.is_erased:
        raise ValueError("only a validated payment has a customer")
    generation = f"-{payment.generation}" if payment.generation else ""
    return Charge(
        # The same key for every attempt. The next generation starts only when nothing can be charged under this key any
        # more (operator_actions.reopen_payment).
        idempotency_key=f"payment-{payment.transaction_id}{generation}",
        transaction_id=payment.transaction_id,
        amount=payment.amount,
        payment_method=payment.payment_method,
        # A refund, which is all that an erased payment can still get, does not name the customer.
        customer_id=payment.customer_id or "",
        attempt=payment.attempt,
        generation=payment.generation,
        request_version=payment.request_version,
        key_expired=key_expired,
    )


def write_step(before: Payment, after: Payment, ledger: Ledger) -> Payment:
    """Write the step and return ``after``; raises ``PaymentChanged`` if somebody else wrote the payment first."""
    stored = ledger.write_step(before, after)
    if stored is not None:
        unrecorded = f"; not recorded: {after.gateway_reference}" if after.gateway_reference else ""
        raise PaymentChanged(
            f"transaction {before.transaction_id} went from {before.status} (write {before.sequence})"
            f" to {stored.status} (write {stored.sequence}) meanwhile{unrecorded}"
        )
    return after


def record_outcome(
    payment: Payment,
    outcome: Outcome,
    ledger: Ledger,
    clock: Callable[[], float],
    *,
    notify_outcomes: bool,
    execution: str | None = None,
) -> Payment:
    """Record a known outcome and return the payment. ``notify_outcomes``: also notify of outcomes without a charge.

    An ``execution`` claims the notice of an outcome without a charge, unless another notice is being sent.
    Reconciliation sends all other notices. Raises ``PaymentGivenUp`` for a payment that was not charged, and
    ``ChargeOutcomeUnknown`` for an unknown outcome.
    """
    current_time = clock()
    holder: dict[str, Any] = {} if execution is None else {"execution": execution}
    match outcome:
        case Charged(reference):
            after = payment.with_status(Status.COMPLETED, at=current_time, gateway_reference=reference, **holder)
            return write_step(payment, after.with_notice_due(execution is None), ledger)
        case Declined(reason, is_closed) | ActionRequired(reason, is_closed):
            status = Status.DECLINED if isinstance(outcome, Declined) else Status.ACTION_REQUIRED
            after = payment.with_status(
                status, at=current_time, reasons=(reason,), idempotency_key_closed=is_closed, **holder
            )
            after = after.with_notice_due(notify_outcomes)
            if execution is not None and after.notification.is_due and not after.notification.is_claimed(current_time):
                after = after.with_claimed_notice(execution, current_time)
            return write_step(payment, after, ledger)
        case NotCharged(reason):
            changes = {"failure": reason, "idempotency_key_closed": True} | holder
            write_step(payment, payment.with_status(Status.FAILED, at=current_time, **changes), ledger)
            raise PaymentGivenUp(f"transaction {payment.transaction_id} was not charged: {reason}")
        case Unknown(reason):
            raise ChargeOutcomeUnknown(f"transaction {payment.transaction_id}: {reason}")


def look_up_outcome(payment: Payment, gateway: Gateway, clock: Callable[[], float]) -> Outcome:
    """Return the outcome of a payment that may have been charged."""
    return ask_gateway(lambda: gateway.lookup(build_charge(payment, is_charge_window_over(payment, clock()))))


def close_at_gateway(payment: Payment, gateway: Gateway, clock: Callable[[], float]) -> Outcome:
    """Let the gateway close what is open under a payment that was not charged, and return the outcome."""
    return ask_gateway(lambda: gateway.close(build_charge(payment, is_charge_window_over(payment, clock()))))


def ask_gateway(call: Callable[[], Answer]) -> Answer | Unknown:
    """Return the answer to a gateway call; ``Unknown`` if the adapter raises, because money may have moved."""
    try:
        return call()
    except Exception as error:
        return Unknown(f"{type(error).__name__} of the gateway's adapter")


def proves_closed(outcome: Outcome) -> bool:
    """Whether the outcome proves that nothing can be charged under the payment's key any more."""
    if isinstance(outcome, Declined | ActionRequired):
        return outcome.is_closed
    return isinstance(outcome, NotCharged)


def _claim_payment(payment: Payment, gateway: Gateway, ledger: Ledger, execution: str, current_time: float) -> Payment:
    """Claim the payment, or take over a claim whose lease has run out."""
    if payment.lease_until is not None and current_time < payment.lease_until:
        raise PaymentInProgress(f"transaction {payment.transaction_id} is held by attempt {payment.attempt}")
    if is_charge_window_over(payment, current_time):
        # Charging is not safe any more. Reconciliation or a person finds out the outcome.
        raise ReviewNeeded(f"transaction {payment.transaction_id} is too old to be charged")
    is_first = payment.first_claimed_at is None
    claimed = payment.with_status(
        Status.PROCESSING,
        at=current_time,
        execution=execution,
        attempt=payment.attempt + 1,
        lease_until=current_time + LEASE_SECONDS,
        first_claimed_at=current_time if is_first else payment.first_claimed_at,
        request_version=gateway.request_version if is_first else payment.request_version,
    )
    return write_step(payment, claimed, ledger)


def _charge_claimed(
    claimed: Payment, gateway: Gateway, ledger: Ledger, clock: Callable[[], float], *, is_taken_over: bool
) -> Outcome:
    """Charge the claimed payment, and return whether it was charged or refused.

    If the claim was taken over, its former holder may have charged before it died. Under the same key the gateway
    answers with that charge; but ``NotCharged`` for this attempt does not prove anything about that one. Raises
    ``GatewayUnavailable`` or ``ChargeOutcomeUnknown`` after recording it.
    """
    outcome: Outcome = ask_gateway(lambda: gateway.charge(build_charge(claimed)))
    if is_taken_over and isinstance(outcome, NotCharged):
        outcome = Unknown(f"{outcome.reason}, and an earlier attempt was lost")
    match outcome:
        case NotCharged(reason):
            write_step(claimed, claimed.with_status(Status.PENDING, at=clock()), ledger)
            raise GatewayUnavailable(f"transaction {claimed.transaction_id}: not charged: {reason}")
        case Unknown(reason):
            write_step(claimed, claimed.with_status(Status.UNKNOWN, at=clock()), ledger)
            raise ChargeOutcomeUnknown(f"transaction {claimed.transaction_id}: {reason}")
    return outcome
