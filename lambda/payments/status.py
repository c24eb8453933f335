"""The statuses of a payment, and the transitions between them."""

from collections.abc import Mapping
from enum import StrEnum


class Status(StrEnum):
    REJECTED = "REJECTED"  # did not pass validation; never charged
    PENDING = "PENDING"  # accepted, and certainly not charged yet
    PROCESSING = "PROCESSING"  # claimed by an attempt that may be charging
    UNKNOWN = "UNKNOWN"  # the gateway may have charged
    COMPLETED = "COMPLETED"  # charged
    DECLINED = "DECLINED"  # refused by the gateway; not charged
    ACTION_REQUIRED = "ACTION_REQUIRED"  # not charged: the customer has to authenticate, and is not present
    FAILED = "FAILED"  # given up; certainly not charged
    REVIEW = "REVIEW"  # only a person can find out the outcome
    REFUNDING = "REFUNDING"  # a refund is requested from the gateway
    REFUNDED = "REFUNDED"


# Outcomes without a charge that are no failure of the platform. The setting notify_business_outcomes decides whether
# subscribers are notified of them.
UNSUCCESSFUL = frozenset({Status.REJECTED, Status.DECLINED, Status.ACTION_REQUIRED})

# The statuses that may follow each status; None is a payment that is not recorded yet. docs/payment-status.md has a
# diagram.
TRANSITIONS: Mapping[Status | None, frozenset[Status]] = {
    None: frozenset({Status.REJECTED, Status.PENDING}),
    Status.PENDING: frozenset({Status.PROCESSING, Status.FAILED}),
    # To itself: another attempt takes over an expired claim.
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
    # To itself: the gateway did not answer a lookup, which is repeated later.
    Status.UNKNOWN: frozenset(
        {Status.UNKNOWN, Status.COMPLETED, Status.DECLINED, Status.ACTION_REQUIRED, Status.FAILED, Status.REVIEW}
    ),
    # To PENDING: an operator reopens a payment that was never charged. To COMPLETED, also from the next two: somebody
    # else charged what was open at the gateway before reconciliation closed it.
    Status.FAILED: frozenset({Status.PENDING, Status.COMPLETED}),
    Status.DECLINED: frozenset({Status.COMPLETED}),
    Status.ACTION_REQUIRED: frozenset({Status.COMPLETED}),
    Status.COMPLETED: frozenset({Status.REFUNDING}),
    # To itself as for UNKNOWN. To COMPLETED: the gateway certainly refused the refund.
    Status.REFUNDING: frozenset({Status.REFUNDING, Status.REFUNDED, Status.COMPLETED, Status.REVIEW}),
    # A person found out the outcome.
    Status.REVIEW: frozenset({Status.COMPLETED, Status.FAILED, Status.REFUNDED}),
    Status.REJECTED: frozenset(),
    Status.REFUNDED: frozenset(),
}
