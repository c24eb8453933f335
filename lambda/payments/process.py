"""The second step: claim the payment, charge it once, record the outcome.

However often this runs for a payment, and from wherever it is taken up, the customer is charged at most once:
nothing is charged unclaimed; a claim is a conditional write; every attempt charges under the same idempotency key, and
none after the gateway may have forgotten it; and an outcome that is not known is looked up, never charged again.
"""

from collections.abc import Callable
from typing import Any

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
from .payment import Payment, Status
from .ports import Charge, Charged, Declined, Gateway, Ledger, NotCharged, Outcome, Unknown

# Longer than a gateway call may take (ports.GATEWAY_SECONDS), shorter than the state machine waits in all for
# PaymentInProgress.
LEASE_SECONDS = 60
# Stripe forgets a key after 24 hours (https://docs.stripe.com/api/idempotent_requests); an hour is the margin between
# the check and the charge, and between two clocks.
CHARGE_WINDOW_SECONDS = 23 * 60 * 60


def process(
    transaction_id: str,
    fingerprint: str,
    *,
    ledger: Ledger,
    gateway: Gateway,
    execution: str,
    clock: Callable[[], float],
) -> Payment:
    """Bring the payment to its outcome and return it: COMPLETED, DECLINED or (as validated) REJECTED.

    A payment that has its outcome already is returned as it is. Raises the errors of ``errors.py``.
    """
    payment = ledger.find(transaction_id)
    if payment is None:
        raise PaymentNotRecorded(f"transaction {transaction_id} was never validated")
    if payment.fingerprint != fingerprint:
        raise IdempotencyConflict(f"transaction {transaction_id} is recorded for another request")
    match payment.status:
        case Status.FAILED:
            raise PaymentGivenUp(f"transaction {transaction_id} was given up and not charged: {payment.failure}")
        case Status.REVIEW:
            raise ReviewNeeded(f"transaction {transaction_id} waits for a person: {payment.failure}")
        case Status.UNKNOWN:
            return settle(payment, look_up(payment, gateway, clock), ledger, clock, execution)
        case Status.PENDING | Status.PROCESSING:
            claimed = _claim(payment, ledger, execution, clock())
            return _charge(claimed, ledger, gateway, clock, taken_over=payment.status is Status.PROCESSING)
        case _:  # it has its outcome
            return payment


def window_is_over(payment: Payment, now: float) -> bool:
    """Whether the gateway may have forgotten the payment's idempotency key, so that charging would not be safe."""
    return payment.first_claimed_at is not None and now >= payment.first_claimed_at + CHARGE_WINDOW_SECONDS


def charge_of(payment: Payment, key_expired: bool = False) -> Charge:
    """What the gateway is asked for; the same for every attempt but for its number."""
    if payment.amount is None or payment.payment_method is None or payment.customer_id is None:
        raise ValueError("only a validated payment has a charge")
    return Charge(
        # Of the transaction alone: whatever happens, a second charge of it carries the same key.
        idempotency_key=f"payment-{payment.transaction_id}",
        transaction_id=payment.transaction_id,
        amount=payment.amount,
        payment_method=payment.payment_method,
        customer_id=payment.customer_id,
        attempt=payment.attempt,
        key_expired=key_expired,
    )


def write(before: Payment, after: Payment, ledger: Ledger) -> Payment:
    """Take the step and return ``after``; raises ``PaymentChanged`` when somebody else wrote first."""
    found = ledger.write(before, after)
    if found is not None:
        lost = f"; not recorded: {after.gateway_reference}" if after.gateway_reference else ""
        raise PaymentChanged(
            f"transaction {before.transaction_id} went from {before.status} (write {before.sequence})"
            f" to {found.status} (write {found.sequence}) meanwhile{lost}"
        )
    return after


def settle(
    payment: Payment, outcome: Outcome, ledger: Ledger, clock: Callable[[], float], execution: str | None = None
) -> Payment:
    """Record what a payment came to, if that is known. An unknown outcome is never answered with another charge.

    An ``execution`` tells of a decline by itself, unless subscribers heard otherwise before: that, and whatever is
    settled without an execution, is reconciliation's to tell.
    """
    by: dict[str, Any] = {"notice_due": True} if execution is None else {"execution": execution}
    match outcome:
        case Charged(reference):
            return write(payment, payment.to(Status.COMPLETED, at=clock(), gateway_reference=reference, **by), ledger)
        case Declined(code):
            if payment.told is None:
                by["announced_by"] = execution
            return write(payment, payment.to(Status.DECLINED, at=clock(), reasons=(code,), **by), ledger)
        case NotCharged(reason):
            write(payment, payment.to(Status.FAILED, at=clock(), failure=reason, closed=True, **by), ledger)
            raise PaymentGivenUp(f"transaction {payment.transaction_id} was not charged: {reason}")
        case Unknown(reason):
            raise ChargeOutcomeUnknown(f"transaction {payment.transaction_id}: {reason}")


def look_up(payment: Payment, gateway: Gateway, clock: Callable[[], float]) -> Outcome:
    """What became of a payment that may have been charged."""
    try:
        return gateway.lookup(charge_of(payment, window_is_over(payment, clock())))
    except Exception as error:  # a defect of the adapter, and nothing is known
        return Unknown(f"{type(error).__name__} of the gateway's adapter")


def _claim(payment: Payment, ledger: Ledger, execution: str, now: float) -> Payment:
    """Claim the payment, or take over a claim whose lease has run out."""
    if payment.lease_until is not None and now < payment.lease_until:
        raise PaymentInProgress(f"transaction {payment.transaction_id} is held by attempt {payment.attempt}")
    if window_is_over(payment, now):
        # What it is now is for reconciliation to find out, or for a person; charging would not be safe.
        raise ReviewNeeded(f"transaction {payment.transaction_id} is too old to be charged")
    claimed = payment.to(
        Status.PROCESSING,
        at=now,
        execution=execution,
        attempt=payment.attempt + 1,
        lease_until=now + LEASE_SECONDS,
        first_claimed_at=payment.first_claimed_at or now,
    )
    return write(payment, claimed, ledger)


def _charge(
    claimed: Payment, ledger: Ledger, gateway: Gateway, clock: Callable[[], float], *, taken_over: bool
) -> Payment:
    """Charge, and record what came of it.

    The holder of a claim that ran out may have charged before it died; under the same key the gateway answers with
    what it did then. But that this attempt did nothing proves nothing about that one.
    """
    try:
        outcome = gateway.charge(charge_of(claimed))
    except Exception as error:  # a defect of the adapter, and the money may have moved
        outcome = Unknown(f"{type(error).__name__} of the gateway's adapter")
    if taken_over and isinstance(outcome, NotCharged):
        outcome = Unknown(f"{outcome.reason}, and an earlier attempt was lost")
    match outcome:
        case NotCharged(reason):
            write(claimed, claimed.to(Status.PENDING, at=clock()), ledger)
            raise GatewayUnavailable(f"transaction {claimed.transaction_id}: not charged: {reason}")
        case Unknown(reason):
            write(claimed, claimed.to(Status.UNKNOWN, at=clock()), ledger)
            raise ChargeOutcomeUnknown(f"transaction {claimed.transaction_id}: {reason}")
        case _:
            return settle(claimed, outcome, ledger, clock, claimed.execution)
