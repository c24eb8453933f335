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
    # To itself: the gateway was asked in vain, and is asked again later.
    Status.UNKNOWN: frozenset({Status.UNKNOWN, Status.COMPLETED, Status.DECLINED, Status.FAILED, Status.REVIEW}),
    # Reopened by an operator: it was never charged, so it may be charged.
    Status.FAILED: frozenset({Status.PENDING}),
    Status.COMPLETED: frozenset({Status.REFUNDING}),
    # To itself as UNKNOWN; back to COMPLETED: the gateway refused the refund for certain.
    Status.REFUNDING: frozenset({Status.REFUNDING, Status.REFUNDED, Status.COMPLETED, Status.REVIEW}),
    # A person found out.
    Status.REVIEW: frozenset({Status.COMPLETED, Status.FAILED, Status.REFUNDED}),
    Status.REJECTED: frozenset(),
    Status.DECLINED: frozenset(),
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
# What is asked in vain waits as long as it has waited already, up to this: it must not keep the others waiting.
LONGEST_WAIT_SECONDS = 60 * 60
# Until reconciliation tells of a status itself: the workflow has told of its own by then.
NOTICE_SECONDS = 15 * 60


@dataclass(frozen=True, kw_only=True)
class Payment:
    """One payment as the ledger holds it. Times are seconds since 1970.

    Of some statuses subscribers have to be told, and of some a dead letter has to be left. Entering one sets
    ``notice_due``, which stays until somebody records that it was done: whoever crashes in between, nothing is lost.
    """

    transaction_id: str
    status: Status
    # Counts the writes. Each write is conditional on the number it read, which fences off everybody slower.
    sequence: int
    # Of the request, so that a replay can be told from another request under the same id.
    fingerprint: str
    # The execution that holds the payment: it created, claimed or settled it last, and tells of it.
    execution: str
    created_at: float
    updated_at: float
    # Since when it has its status.
    since: float
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
    # The gateway will charge nothing under the payment's key any more: it can only be sent anew.
    closed: bool = False
    # The write by which it entered its status.
    status_sequence: int = 1
    # Who tells of its status: an execution, or reconciliation; nobody yet, if None.
    announced_by: str | None = None
    # What subscribers were last told of the payment, and by which notice.
    told: Status | None = None
    told_id: str | None = None
    # Whether there is a dead letter of this try.
    letter: bool = False
    notice_due: bool = False

    @property
    def outcome(self) -> Status:
        """What subscribers are told that it came to: a payment that may still come to anything is UNKNOWN."""
        undecided = self.status in (Status.PENDING, Status.PROCESSING)
        return Status.UNKNOWN if undecided else self.status

    @property
    def notice_id(self) -> str:
        """Of the notice of this status, however often it has to be sent: by it a subscriber drops a repetition."""
        return f"{self.transaction_id}:{self.status_sequence}"

    @property
    def needs_letter(self) -> bool:
        return self.status in (Status.FAILED, Status.REVIEW) and not self.letter

    @property
    def overdue_at(self) -> float | None:
        """From when on reconciliation is to take it up; None for a payment that has come to an end and was told of."""
        if self.status in OPEN:
            waited = self.updated_at - self.since
            return self.updated_at + min(max(OVERDUE_SECONDS[self.status], waited), LONGEST_WAIT_SECONDS)
        return self.updated_at + NOTICE_SECONDS if self.notice_due else None

    def is_overdue(self, now: float) -> bool:
        return self.overdue_at is not None and now >= self.overdue_at

    def to(self, status: Status, *, at: float, **changes: Any) -> "Payment":
        """This payment after a step to ``status``; raises ``ValueError`` for a step that is not in TRANSITIONS."""
        if status not in TRANSITIONS[self.status]:
            raise ValueError(f"a payment cannot go from {self.status} to {status}")
        unless_said: dict[str, Any] = {"lease_until": None}
        if status is not self.status:
            unless_said |= {
                "since": at,
                "status_sequence": self.sequence + 1,
                "announced_by": None,
                "notice_due": has_to_be_told(status, self.told),
            }
        return replace(self, status=status, sequence=self.sequence + 1, updated_at=at, **unless_said | changes)

    def noted(self, *, at: float, **changes: Any) -> "Payment":
        """This payment with a note of what people were told, or have to be; its status stays."""
        return replace(self, sequence=self.sequence + 1, updated_at=at, **changes)


def has_to_be_told(status: Status, told: Status | None) -> bool:
    """Of a failure; and of how it ended, whoever was told that it failed or is not known."""
    if status in (Status.FAILED, Status.REVIEW):
        return True
    ended = status in (Status.COMPLETED, Status.DECLINED, Status.REFUNDED)
    return ended and told in (Status.UNKNOWN, Status.FAILED, Status.REVIEW)
