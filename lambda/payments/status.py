"""The statuses of a payment, and where each may lead."""

from collections.abc import Mapping
from enum import StrEnum


class Status(StrEnum):
    REJECTED = "REJECTED"  # did not pass validation; never charged
    PENDING = "PENDING"  # accepted, and for certain not charged yet
    PROCESSING = "PROCESSING"  # claimed by an attempt that may be charging
    UNKNOWN = "UNKNOWN"  # the gateway may have charged
    COMPLETED = "COMPLETED"  # charged
    DECLINED = "DECLINED"  # refused by the gateway; not charged
    ACTION_REQUIRED = "ACTION_REQUIRED"  # not charged: the customer has to authenticate, and is not there
    FAILED = "FAILED"  # given up; for certain not charged
    REVIEW = "REVIEW"  # nobody but a person can find out any more
    REFUNDING = "REFUNDING"  # the gateway is asked to give the money back
    REFUNDED = "REFUNDED"  # given back


# Outcomes without a charge that are no failure of the platform: the setting notify_business_outcomes decides whether
# subscribers hear of them.
UNSUCCESSFUL = frozenset({Status.REJECTED, Status.DECLINED, Status.ACTION_REQUIRED})

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
            Status.ACTION_REQUIRED,
            Status.UNKNOWN,
            Status.FAILED,
            Status.REVIEW,
        }
    ),
    # To itself: the gateway was asked in vain, and is asked again later.
    Status.UNKNOWN: frozenset(
        {Status.UNKNOWN, Status.COMPLETED, Status.DECLINED, Status.ACTION_REQUIRED, Status.FAILED, Status.REVIEW}
    ),
    # Reopened by an operator: it was never charged, so it may be charged. COMPLETED, here and from the next two: what
    # was left open at the gateway was charged by somebody else before reconciliation could close it.
    Status.FAILED: frozenset({Status.PENDING, Status.COMPLETED}),
    Status.DECLINED: frozenset({Status.COMPLETED}),
    Status.ACTION_REQUIRED: frozenset({Status.COMPLETED}),
    Status.COMPLETED: frozenset({Status.REFUNDING}),
    # To itself as UNKNOWN; back to COMPLETED: the gateway refused the refund for certain.
    Status.REFUNDING: frozenset({Status.REFUNDING, Status.REFUNDED, Status.COMPLETED, Status.REVIEW}),
    # A person found out.
    Status.REVIEW: frozenset({Status.COMPLETED, Status.FAILED, Status.REFUNDED}),
    Status.REJECTED: frozenset(),
    Status.REFUNDED: frozenset(),
}
