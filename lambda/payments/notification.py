"""What people have heard of a payment, and who tells them next.

A notice of a payment goes three steps, and each is recorded with a conditional write::

    due or unknown --claim--> claimed by one notifier, for a time --send, then confirm--> confirmed
                                        |-- the time is over --> anybody may claim it

The claim is written before the notice is sent and states what the notice will state, so a notice that was sent by a
process that died later is on record. One notifier holds the claim at a time, so two notices of a payment never overlap.
When the payment reaches its end meanwhile, that end is due, because of what subscribers may have heard.

An execution that failed without a payment of its own on record sends a notice of the execution instead, which states
nothing of any payment and is not recorded.
"""

from dataclasses import dataclass, replace

from .status import UNSUCCESSFUL, Status

# A payment whose claim is not confirmed by then may be announced by another notifier. Longer than a notifier needs
# from its claim to the last moment at which its notice may still be sent: the state machine's longest way, and
# reconciliation's function.
NOTIFIER_SECONDS = 30 * 60


@dataclass(frozen=True, kw_only=True)
class Notification:
    """What subscribers and operators heard of a payment, and what they have yet to hear. Times: seconds since 1970."""

    # The payment has a status of which subscribers have to hear, or of which a dead letter has to be left.
    is_due: bool = False
    # The status that the last claimed notice states, and its id: subscribers heard it, or may have.
    status: Status | None = None
    notice_id: str | None = None
    # Whether that notice was sent for certain.
    is_confirmed: bool = False
    # Who is sending it, an execution or reconciliation, and until when nobody else may; None if nobody is.
    notifier: str | None = None
    notifier_until: float | None = None
    # Whether an operator has a dead letter of this try.
    is_dead_lettered: bool = False

    def is_claimed(self, now: float) -> bool:
        """Whether a notice of the payment may be on its way."""
        return self.notifier_until is not None and now < self.notifier_until

    def claimed(self, notifier: str, status: Status, notice_id: str, now: float) -> "Notification":
        """This one with the claim of ``notifier``, who is going to send that ``status``."""
        return replace(
            self,
            status=status,
            notice_id=notice_id,
            is_confirmed=self.is_confirmed and notice_id == self.notice_id,
            notifier=notifier,
            notifier_until=now + NOTIFIER_SECONDS,
        )

    def confirmed(self, *, is_sent: bool, is_dead_lettered: bool) -> "Notification":
        """This one when its notifier is done: with what it sent, and without the claim."""
        return replace(
            self,
            is_confirmed=self.is_confirmed or is_sent,
            is_dead_lettered=self.is_dead_lettered or is_dead_lettered,
            notifier=None,
            notifier_until=None,
        )

    def entering(self, status: Status) -> "Notification":
        """This one when the payment enters ``status``. A claim stays: its notice may still be sent."""
        return replace(self, is_due=has_to_be_notified(status, self))


def has_to_be_notified(status: Status, notification: Notification) -> bool:
    """Subscribers hear of every failure; and of every end, if they heard anything before but that for certain."""
    if status in (Status.FAILED, Status.REVIEW):
        return True
    has_ended = status in UNSUCCESSFUL or status in (Status.COMPLETED, Status.REFUNDED)
    is_last_heard = notification.status is status and notification.is_confirmed
    return has_ended and notification.status is not None and not is_last_heard
