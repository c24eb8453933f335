"""A payment as far as it is simulated; ``lambda/payments`` has the whole. Tests compare the two."""

from payments.charge import CHARGE_WINDOW_SECONDS, LEASE_SECONDS
from payments.notification import NOTIFIER_SECONDS
from payments.payment import CLOSING_SECONDS, LONGEST_WAIT_SECONDS, OPEN, OVERDUE_SECONDS, Status

# Members of an enumeration compare slowly, and a simulation compares them millions of times.
_OPEN = frozenset(str(status) for status in OPEN)
_OVERDUE_SECONDS = {str(status): seconds for status, seconds in OVERDUE_SECONDS.items()}
PENDING, PROCESSING, UNKNOWN = (str(status) for status in (Status.PENDING, Status.PROCESSING, Status.UNKNOWN))
COMPLETED, FAILED, REVIEW = (str(status) for status in (Status.COMPLETED, Status.FAILED, Status.REVIEW))
# Before it is recorded.
NOT_RECORDED = ""


class Payment:
    """Times are seconds since the outage began."""

    __slots__ = (
        "arrived_at",
        "first_claimed_at",
        "indexed_at",
        "is_charged",
        "is_delayed",
        "is_ended",
        "key_closed",
        "lease_until",
        "notice_until",
        "number",
        "shard",
        "since",
        "status",
        "updated_at",
    )

    def __init__(self, number: int, shard: int, arrived_at: float) -> None:
        self.number, self.shard, self.arrived_at = number, shard, arrived_at
        self.status = NOT_RECORDED
        self.since = self.updated_at = arrived_at
        self.lease_until: float | None = None
        self.first_claimed_at: float | None = None
        # The claim of a notice that was perhaps not sent.
        self.notice_until: float | None = None
        # Whether the gateway has charged it, which the platform may not know.
        self.is_charged = False
        # Whether an attempt of it was repeated.
        self.is_delayed = False
        self.is_ended = False
        self.key_closed = False
        # The time under which the index has it.
        self.indexed_at: float | None = None

    def set_status(self, status: str, at: float) -> None:
        if status != self.status:
            self.status, self.since = status, at
        self.updated_at, self.lease_until = at, None

    def claim(self, at: float) -> None:
        self.set_status(PROCESSING, at)
        self.lease_until = at + LEASE_SECONDS
        if self.first_claimed_at is None:
            self.first_claimed_at = at

    def claim_notice(self, at: float) -> None:
        self.notice_until, self.updated_at = at + NOTIFIER_SECONDS, at

    def confirm_notice(self, at: float) -> None:
        self.notice_until, self.updated_at = None, at

    @property
    def is_open(self) -> bool:
        return self.status in _OPEN

    @property
    def needs_closing(self) -> bool:
        """Whether something may be open at the gateway that was certainly not charged."""
        return self.status == FAILED and self.first_claimed_at is not None and not self.key_closed

    def needs_gateway(self, at: float) -> bool:
        return self.status in (PROCESSING, UNKNOWN) or self.is_closing_due(at)

    def is_closing_due(self, at: float) -> bool:
        return (
            self.needs_closing and at >= self._closing_at() and (self.notice_until is None or at >= self.notice_until)
        )

    def is_window_over(self, at: float) -> bool:
        return self.first_claimed_at is not None and at >= self.first_claimed_at + CHARGE_WINDOW_SECONDS

    @property
    def overdue_at(self) -> float | None:
        """The time from which reconciliation takes the payment up; None if it needs nothing more."""
        if self.status in _OPEN:
            return self.updated_at + self._wait(_OVERDUE_SECONDS[self.status])
        times = [self._closing_at()] if self.needs_closing else []
        if self.status == FAILED and self.notice_until is not None:
            times.append(self.notice_until)
        return min(times, default=None)

    def _closing_at(self) -> float:
        return self.updated_at + self._wait(CLOSING_SECONDS)

    def _wait(self, shortest: float) -> float:
        """It waits as long again as it has waited."""
        return min(max(shortest, self.updated_at - self.since), LONGEST_WAIT_SECONDS)
