"""What is recorded of a payment, and the statuses it may go through."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

from .money import Money


class Status(StrEnum):
    REJECTED = "REJECTED"  # did not pass validation; never charged
    PENDING = "PENDING"  # accepted, and for certain not charged yet
    PROCESSING = "PROCESSING"  # claimed by an attempt that may be charging
    UNKNOWN = "UNKNOWN"  # the gateway may have charged
    COMPLETED = "COMPLETED"  # charged
    DECLINED = "DECLINED"  # refused by the gateway; not charged
    FAILED = "FAILED"  # given up; for certain not charged
    REVIEW = "REVIEW"  # nobody but a person can find out any more
    REFUNDING = "REFUNDING"  # the gateway is asked to give the money back
    REFUNDED = "REFUNDED"  # given back


# Where each status may lead; None is a payment that is not recorded yet. The ledger writes by it, the tests walk it,
# and docs/payment-status.md draws it.
TRANSITIONS: Mapping[Status | None, frozenset[Status]] = {
    None: frozenset({Status.REJECTED, Status.PENDING}),
    Status.PENDING: frozenset({Status.PROCESSING, Status.FAILED}),
    # To itself: another attempt takes over a claim whose lease has run out.
    Status.PROCESSING: frozenset(
        {
            Status.PROCESSING,
            Status.PENDING,
            Status.COMPLETED,
            Status.DECLINED,
            Status.UNKNOWN,
            Status.FAILED,
            Status.REVIEW,
        }
    ),
    Status.UNKNOWN: frozenset({Status.COMPLETED, Status.DECLINED, Status.FAILED, Status.REVIEW}),
    # Reopened by an operator: it was never charged, so it may be charged.
    Status.FAILED: frozenset({Status.PENDING}),
    Status.COMPLETED: frozenset({Status.REFUNDING}),
    # Back: the gateway refused the refund for certain.
    Status.REFUNDING: frozenset({Status.REFUNDED, Status.COMPLETED, Status.REVIEW}),
    Status.REJECTED: frozenset(),
    Status.DECLINED: frozenset(),
    Status.REVIEW: frozenset(),
    Status.REFUNDED: frozenset(),
}

# Seconds after which a payment that still has this status is overdue, and reconciliation takes it up. Longer than the
# workflow waits between two tries, so that it only takes up what the workflow has left.
OVERDUE_SECONDS: Mapping[Status, float] = {
    Status.PENDING: 15 * 60,
    Status.PROCESSING: 5 * 60,
    Status.UNKNOWN: 5 * 60,
    Status.REFUNDING: 5 * 60,
}
OPEN = frozenset(OVERDUE_SECONDS)


@dataclass(frozen=True, kw_only=True)
class Payment:
    """One payment as the ledger holds it. Times are seconds since 1970."""

    transaction_id: str
    status: Status
    # Counts the writes. Each write is conditional on the number it read, which fences off everybody slower.
    sequence: int
    # Of the request, so that a replay can be told from another request under the same id.
    fingerprint: str
    # The execution that created or last claimed the payment.
    execution: str
    created_at: float
    updated_at: float
    amount: Money | None = None
    payment_method: str | None = None
    customer_id: str | None = None
    reasons: tuple[str, ...] = ()
    # Counts the claims.
    attempt: int = 0
    lease_until: float | None = None
    # When the gateway may first have seen the idempotency key: it forgets keys some time after that.
    first_claimed_at: float | None = None
    gateway_reference: str | None = None
    refund_reference: str | None = None
    failure: str | None = None

    @property
    def overdue_at(self) -> float | None:
        """From when on reconciliation is to take it up; None for a payment that has come to an end."""
        wait = OVERDUE_SECONDS.get(self.status)
        return None if wait is None else self.updated_at + wait

    def to(self, status: Status, *, at: float, **changes: Any) -> "Payment":
        """This payment after a step to ``status``; raises ``ValueError`` for a step that is not in TRANSITIONS."""
        if status not in TRANSITIONS[self.status]:
            raise ValueError(f"a payment cannot go from {self.status} to {status}")
        lease_until = changes.pop("lease_until", None)
        return replace(
            self, status=status, sequence=self.sequence + 1, updated_at=at, lease_until=lease_until, **changes
        )
