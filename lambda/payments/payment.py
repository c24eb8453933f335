"""The record of a payment."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from .money import Money
from .notification import Notification
from .request import PaymentRequest
from .status import TRANSITIONS as TRANSITIONS
from .status import UNSUCCESSFUL as UNSUCCESSFUL
from .status import Status as Status

# The seconds after which a payment that still has this status is overdue, and reconciliation takes it up. Longer than
# the workflow waits between two attempts, so that reconciliation takes up only what the workflow has left.
OVERDUE_SECONDS: Mapping[Status, float] = {
    Status.PENDING: 15 * 60,
    Status.PROCESSING: 5 * 60,
    Status.UNKNOWN: 5 * 60,
    Status.REFUNDING: 5 * 60,
}
OPEN = frozenset(OVERDUE_SECONDS)
# With one of these the payment has an outcome, and the execution succeeds. A refund follows a charge.
SETTLED = UNSUCCESSFUL | {Status.COMPLETED, Status.REFUNDING, Status.REFUNDED}
# A payment without an answer of the gateway waits as long again as it has waited, up to this, so that it does not
# delay the others.
LONGEST_WAIT_SECONDS = 60 * 60
# The seconds before reconciliation closes at the gateway what an attempt left open.
CLOSING_SECONDS = 15 * 60
# The fingerprint of a payment whose customer was erased. No request has it.
ERASED = "erased"


def without_run(execution: str) -> str:
    """Return the ARN of an execution: to that of Express, the id of a run is appended, which begins with a "#"."""
    return execution.partition("#")[0]


@dataclass(frozen=True, kw_only=True)
class Payment:
    """One payment as the ledger holds it. Times are seconds since 1970."""

    transaction_id: str
    status: Status
    # Counts the writes. Each write requires the number that was read, which rejects a write of outdated data.
    sequence: int
    # The hash of the request, keyed with the salt, which tells a replay from another request under the same id. Neither
    # leaves the table of payments.
    fingerprint: str
    # The run of the execution that holds the payment because it created, claimed or settled it last: the execution's
    # ARN, and for one that may run more than once, a "#" and the run.
    execution: str
    created_at: float
    updated_at: float
    # When it entered its status.
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
    # When the gateway may first have received the idempotency key, which it forgets some time later.
    first_claimed_at: float | None = None
    # Counts the idempotency keys. The next one follows only after the last was closed.
    generation: int = 0
    # The version of the gateway's requests under the current key.
    request_version: int = 1
    gateway_reference: str | None = None
    refund_reference: str | None = None
    failure: str | None = None
    # Whether the gateway certainly charges nothing under the payment's key any more.
    idempotency_key_closed: bool = False
    # The number of the write by which it entered its status.
    status_sequence: int = 1
    notification: Notification = field(default_factory=Notification)

    @property
    def record_id(self) -> str:
        """The id of this record among all that were ever created under the transaction id."""
        return repr(self.created_at)

    @property
    def execution_arn(self) -> str:
        return without_run(self.execution)

    @property
    def outcome(self) -> Status:
        """The status that a notice states, which is UNKNOWN for a payment that may still be charged."""
        return Status.UNKNOWN if self.status in (Status.PENDING, Status.PROCESSING) else self.status

    @property
    def notice_id(self) -> str:
        """The id of the notice of this status. A repetition has the same id, so that subscribers can drop it."""
        return f"{self.transaction_id}:{self.status_sequence}"

    @property
    def needs_dead_letter(self) -> bool:
        return self.notification.needs_dead_letter(self.status)

    @property
    def needs_closing(self) -> bool:
        """Whether there is no charge on record, but something may be open at the gateway that somebody could charge."""
        is_left_open = self.first_claimed_at is not None and not self.idempotency_key_closed
        return is_left_open and (self.status in UNSUCCESSFUL or self.status is Status.FAILED)

    @property
    def overdue_at(self) -> float | None:
        """The time from which reconciliation takes the payment up; None if it needs nothing more."""
        waited = self.updated_at - self.since
        if self.status in OPEN:
            return self.updated_at + min(max(OVERDUE_SECONDS[self.status], waited), LONGEST_WAIT_SECONDS)
        times = [self.notification.next_notice_at(self.updated_at), self.closing_due_at]
        return min((time for time in times if time is not None), default=None)

    @property
    def closing_due_at(self) -> float | None:
        """The time from which reconciliation closes the payment at the gateway; None if nothing is open."""
        if not self.needs_closing:
            return None
        waited = self.updated_at - self.since
        return self.updated_at + min(max(CLOSING_SECONDS, waited), LONGEST_WAIT_SECONDS)

    def is_overdue(self, current_time: float) -> bool:
        return self.overdue_at is not None and current_time >= self.overdue_at

    def is_recorded_for(self, request: PaymentRequest) -> bool:
        """Whether the payment was recorded for exactly this request."""
        return request.compute_fingerprint(self.salt) == self.fingerprint

    @property
    def is_erased(self) -> bool:
        return self.fingerprint == ERASED

    @property
    def is_erasable(self) -> bool:
        """Whether nothing and nobody needs the customer any more, and the customer is still on record."""
        return not self.is_erased and self.overdue_at is None and self.status is not Status.REVIEW

    def build_request(self) -> dict[str, Any]:
        """Return the request of a validated payment that is not erased, for the workflow. It has its fingerprint."""
        if self.amount is None or self.payment_method is None or self.customer_id is None:
            raise ValueError("the payment was not validated, or is erased")
        return {
            "transaction_id": self.transaction_id,
            "payment_amount": self.amount.to_number(),
            "payment_method": self.payment_method,
            "customer_id": self.customer_id,
            "currency": self.amount.currency,
        }

    def without_customer(self, at: float) -> "Payment":
        """Return this payment without what identifies its customer.

        That includes the fingerprint, which with its salt would confirm a guess.
        """
        return self.with_changes(at=at, customer_id=None, fingerprint=ERASED, salt=None)

    def with_status(self, status: Status, *, at: float, **changes: Any) -> "Payment":
        """Return this payment with ``status``. Raises ``ValueError`` for a step that is not in ``TRANSITIONS``."""
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
        """Return this payment with ``changes`` and the same status."""
        return replace(self, sequence=self.sequence + 1, updated_at=at, **changes)

    def with_notice_due(self, is_due: bool = True) -> "Payment":
        """Return this payment, about to be written, with its notice due as well if ``is_due``."""
        return replace(self, notification=self.notification.with_due(is_due))

    def with_claimed_notice(self, notifier: str, at: float) -> "Payment":
        """Return this payment, about to be written, with its notice claimed by ``notifier``."""
        return replace(self, notification=self.notification.with_claim(notifier, self.outcome, self.notice_id, at))
