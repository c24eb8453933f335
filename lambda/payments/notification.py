"""Who was notified of a payment, who sends the next notice, and whether one is due.

A notice goes through three steps, and each is recorded with a conditional write::

    due or unknown --claim--> claimed by one notifier, for a time --send, then confirm--> confirmed
                                        |-- the claim expires --> anybody may claim it

The claim is written before the notice is sent, and records what the notice states. So the notice of a process that died
after sending it is on record. One notifier holds the claim at a time, so two notices of a payment never overlap. If the
payment reaches its end meanwhile, the notice of that end becomes due, because subscribers may have received the other.

An execution that failed without a recorded payment of its own sends a notice of the execution instead. That notice
states nothing about any payment and is not recorded.
"""

from dataclasses import dataclass, replace

from .status import UNSUCCESSFUL, Status

# How long a claim lasts. Longer than a notifier needs from its claim until the last moment at which it may still send
# the notice: the longest path of the state machine, and the timeout of the reconciliation function.
NOTIFIER_SECONDS = 30 * 60
# How long reconciliation waits before it sends a due notice that nobody has claimed.
NOTICE_SECONDS = 15 * 60


@dataclass(frozen=True, kw_only=True)
class Notification:
    """The notices that subscribers and operators received, and those that are due. Times are seconds since 1970."""

    # Subscribers have to be notified of the payment's status, or a dead letter of it has to be left.
    is_due: bool = False
    # The status that the last claimed notice states, and the id of that notice: it was sent, or may have been.
    notified_status: Status | None = None
    notice_id: str | None = None
    # Whether that notice was certainly sent.
    is_confirmed: bool = False
    # The execution, or reconciliation, that holds the claim, and when the claim expires; None without a claim.
    notifier: str | None = None
    notifier_until: float | None = None
    # Whether a dead letter was left for the payment since it was last opened.
    is_dead_lettered: bool = False

    def seconds_claimed(self, at: float) -> float:
        """Return for how long the claim still lasts; 0 without one."""
        return max(0.0, self.notifier_until - at) if self.notifier_until is not None else 0.0

    def is_claimed(self, at: float) -> bool:
        """Whether a notice of the payment may be on its way."""
        return self.seconds_claimed(at) > 0

    def is_claimed_by_another(self, notifier: str, at: float) -> bool:
        return self.is_claimed(at) and self.notifier != notifier

    def next_notice_at(self, updated_at: float) -> float | None:
        """Return when reconciliation has to send the notice of a payment last written at ``updated_at``, if any."""
        return (self.notifier_until or updated_at + NOTICE_SECONDS) if self.is_due else None

    def needs_dead_letter(self, status: Status) -> bool:
        return status in (Status.FAILED, Status.REVIEW) and not self.is_dead_lettered

    def must_announce(self, status: Status) -> bool:
        """Whether a payment that enters ``status`` has to be announced.

        A failure always has. Any other end has if subscribers may have received a notice, unless the last one
        certainly stated that end.
        """
        if status in (Status.FAILED, Status.REVIEW):
            return True
        has_ended = status in UNSUCCESSFUL or status in (Status.COMPLETED, Status.REFUNDED)
        was_last = self.notified_status is status and self.is_confirmed
        return has_ended and self.notified_status is not None and not was_last

    def with_payment_status(self, status: Status) -> "Notification":
        """Return this when the payment enters ``status``. A claim stays: its notice may still be sent."""
        return replace(self, is_due=self.must_announce(status))

    def with_claim(self, notifier: str, status: Status, notice_id: str, at: float) -> "Notification":
        """Return this with the claim of ``notifier``, which is about to send the notice of ``status``."""
        return replace(
            self,
            notified_status=status,
            notice_id=notice_id,
            is_confirmed=self.is_confirmed and notice_id == self.notice_id,
            notifier=notifier,
            notifier_until=at + NOTIFIER_SECONDS,
        )

    def with_confirmation(self, *, is_sent: bool, is_dead_lettered: bool) -> "Notification":
        """Return this with what the notifier sent, and without its claim."""
        return replace(
            self,
            is_confirmed=self.is_confirmed or is_sent,
            is_dead_lettered=self.is_dead_lettered or is_dead_lettered,
            notifier=None,
            notifier_until=None,
        )

    def with_dead_letter(self) -> "Notification":
        return replace(self, is_dead_lettered=True)

    def with_due(self, is_due: bool) -> "Notification":
        """Return this with a notice due if ``is_due``; a notice that is due already stays so."""
        return replace(self, is_due=self.is_due or is_due)

    def without_sent(self, status: Status, notice_id: str) -> "Notification":
        """Return this with nothing due, if notice ``notice_id`` was sent and ``status`` needs no dead letter."""
        is_complete = self.is_confirmed and self.notice_id == notice_id and not self.needs_dead_letter(status)
        return replace(self, is_due=self.is_due and not is_complete)

    def for_new_try(self, notified_status: Status | None) -> "Notification":
        """Return this for a payment that is reopened. ``notified_status`` is the last that subscribers received."""
        return replace(self, notified_status=notified_status, is_dead_lettered=False)
