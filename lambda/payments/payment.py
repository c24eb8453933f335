"""What is recorded of a payment."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from .money import Money
from .notification import Notification
from .request import PaymentRequest
from .status import TRANSITIONS as TRANSITIONS
from .status import UNSUCCESSFUL as UNSUCCESSFUL
from .status import Status as Status

# Seconds after which a payment that still has this status is overdue, and reconciliation takes it up. Longer than the
# workflow waits between two tries, so that it only takes up what the workflow has left.
OVERDUE_SECONDS: Mapping[Status, float] = {
    Status.PENDING: 15 * 60,
    Status.PROCESSING: 5 * 60,
    Status.UNKNOWN: 5 * 60,
    Status.REFUNDING: 5 * 60,
}
OPEN = frozenset(OVERDUE_SECONDS)
# With one of these an execution succeeds: the payment has an outcome. A refund follows a charge.
SETTLED = UNSUCCESSFUL | {Status.COMPLETED, Status.REFUNDING, Status.REFUNDED}
# What is asked in vain waits as long as it has waited already, up to this: it must not keep the others waiting.
LONGEST_WAIT_SECONDS = 60 * 60
# How long reconciliation waits before it closes at the gateway what an attempt left open.
CLOSING_SECONDS = 15 * 60


@dataclass(frozen=True, kw_only=True)
class Payment:
    """One payment as the ledger holds it. Times are seconds since 1970."""

    transaction_id: str
    status: Status
    # Counts the writes. Each write is conditional on the number it read, which fences off everybody slower.
    sequence: int
    # Of the request, keyed with the salt, so that a replay can be told from another request under the same id. Neither
    # leaves the table of payments.
    fingerprint: str
    # The execution that holds the payment: it created, claimed or settled it last.
    execution: str
    created_at: float
    updated_at: float
    # Since when it has its status.
    since: float
    # None for a payment that was recorded before fingerprints were keyed.
    salt: str | None = None
    amount: Money | None = None
    payment_method: str | None = None
    customer_id: str | None = None
    reasons: tuple[str, ...] = ()
    # Counts the claims.
    attempt: int = 0
    lease_until: float | None = None
    # When the gateway may first have seen the idempotency key: it forgets keys some time after that.
    first_claimed_at: float | None = None
    # Counts the idempotency keys: another one follows only after the last was closed.
    generation: int = 0
    # The form of the gateway's requests under the present key.
    request_version: int = 1
    gateway_reference: str | None = None
    refund_reference: str | None = None
    failure: str | None = None
    # The gateway will charge nothing under the payment's key any more.
    idempotency_key_closed: bool = False
    # The write by which it entered its status.
    status_sequence: int = 1
    notification: Notification = field(default_factory=Notification)

    @property
    def record_id(self) -> str:
        """Identifies the record among all that were ever written under the transaction id."""
        return repr(self.created_at)

    @property
    def outcome(self) -> Status:
        """The status that a notice states: a payment that may still come to anything is UNKNOWN."""
        is_undecided = self.status in (Status.PENDING, Status.PROCESSING)
        return Status.UNKNOWN if is_undecided else self.status

    @property
    def notice_id(self) -> str:
        """Of the notice of this status, however often it has to be sent: by it a subscriber drops a repetition."""
        return f"{self.transaction_id}:{self.status_sequence}"

    @property
    def needs_dead_letter(self) -> bool:
        return self.notification.needs_dead_letter(self.status)

    @property
    def needs_closing(self) -> bool:
        """Whether something may be left at the gateway that somebody could still charge, without a charge on record."""
        is_left_open = self.first_claimed_at is not None and not self.idempotency_key_closed
        return is_left_open and (self.status in UNSUCCESSFUL or self.status is Status.FAILED)

    @property
    def overdue_at(self) -> float | None:
        """From when on reconciliation is to take it up; None for a payment that needs nothing more."""
        waited = self.updated_at - self.since
        if self.status in OPEN:
            return self.updated_at + min(max(OVERDUE_SECONDS[self.status], waited), LONGEST_WAIT_SECONDS)
        times = [self.notification.next_notice_at(self.updated_at), self.closing_due_at]
        return min((time for time in times if time is not None), default=None)

    @property
    def closing_due_at(self) -> float | None:
        """From when on reconciliation is to close it at the gateway; None where nothing is left open."""
        if not self.needs_closing:
            return None
        waited = self.updated_at - self.since
        return self.updated_at + min(max(CLOSING_SECONDS, waited), LONGEST_WAIT_SECONDS)

    def is_overdue(self, current_time: float) -> bool:
        return self.overdue_at is not None and current_time >= self.overdue_at

    def is_recorded_for(self, request: PaymentRequest) -> bool:
        """Whether it is recorded for this very request."""
        return request.compute_fingerprint(self.salt) == self.fingerprint

    def with_status(self, status: Status, *, at: float, **changes: Any) -> "Payment":
        """This payment after a step to ``status``; raises ``ValueError`` for a step that is not in TRANSITIONS."""
        if status not in TRANSITIONS[self.status]:
            raise ValueError(f"a payment cannot go from {self.status} to {status}")
        defaults: dict[str, Any] = {"lease_until": None}
        if status is not self.status:
            defaults |= {
                "since": at,
                "status_sequence": self.sequence + 1,
                "notification": self.notification.with_payment_status(status),
            }
        return replace(self, status=status, sequence=self.sequence + 1, updated_at=at, **defaults | changes)

    def with_changes(self, *, at: float, **changes: Any) -> "Payment":
        """This payment with something noted about it; its status stays."""
        return replace(self, sequence=self.sequence + 1, updated_at=at, **changes)

    def with_notice_due(self, is_due: bool = True) -> "Payment":
        """Return this payment, about to be written, with its notice due as well if ``is_due``."""
        return replace(self, notification=self.notification.with_due(is_due))

    def with_claimed_notice(self, notifier: str, at: float) -> "Payment":
        """Return this payment, about to be written, with its notice claimed by ``notifier``."""
        return replace(self, notification=self.notification.with_claim(notifier, self.outcome, self.notice_id, at))
