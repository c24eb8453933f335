"""What the core needs of the world: somewhere to record payments, someone who charges, and someone to tell."""

from dataclasses import dataclass
from typing import Protocol

from .money import Money
from .payment import Payment


class Ledger(Protocol):
    """The record of what is known of each payment, and of every step that led there.

    Both calls raise ``LedgerUnavailable`` when they are worth a retry, ``LedgerRefused`` when not.
    """

    def find_payment(self, transaction_id: str) -> Payment | None:
        """The payment as last written (a consistent read)."""

    def write_step(self, before: Payment | None, after: Payment) -> Payment | None:
        """Replace ``before`` by ``after`` if the ledger still holds ``before``; None is nothing at all.

        The step is appended to the ledger in the same transaction. Returns None when written, else the payment that
        the ledger holds instead, and writes nothing.
        """


@dataclass(frozen=True)
class Charge:
    """What the gateway is asked for. The key is the same for every attempt at one payment."""

    idempotency_key: str
    transaction_id: str
    amount: Money
    payment_method: str
    customer_id: str
    attempt: int
    # Which form of the gateway's requests the payment was claimed with (``Gateway.request_version``): a key is refused
    # with other parameters than it was first used with, so a release that changes them keeps the older forms.
    request_version: int = 1
    # The gateway may have forgotten the key: then it must not be used again, not even to look up.
    key_expired: bool = False
    # Counts the keys of the payment; nothing can be charged under the earlier ones any more.
    generation: int = 0


@dataclass(frozen=True)
class Charged:
    reference: str


@dataclass(frozen=True)
class Declined:
    """Refused; ``is_closed`` unless something is left at the gateway under the payment that could still be charged."""

    code: str
    is_closed: bool = True


@dataclass(frozen=True)
class ActionRequired:
    """Not charged: the customer has to act first, as by authenticating, and is not there. ``reason`` is a code."""

    reason: str
    is_closed: bool = True


@dataclass(frozen=True)
class NotCharged:
    """Proven: the gateway did nothing for this payment; after a ``lookup``, it never will either."""

    reason: str


@dataclass(frozen=True)
class Unknown:
    """The gateway may have done it."""

    reason: str


@dataclass(frozen=True)
class Refunded:
    reference: str


@dataclass(frozen=True)
class NotRefunded:
    """Proven: the gateway did not refund, and will not."""

    reason: str


Outcome = Charged | Declined | ActionRequired | NotCharged | Unknown
RefundOutcome = Refunded | NotRefunded | Unknown


# What a call of a gateway may take at the longest, all its requests together. A claim's lease is longer.
GATEWAY_SECONDS = 50


class Gateway(Protocol):
    """Charges, and tells what it did. No call raises for anything that the gateway or the network does.

    Each comes back within ``GATEWAY_SECONDS``.

    ``request_version`` numbers the present form of its requests, and is recorded with a payment's first claim.

    ``charge`` with a key that was used before, within the key's lifetime, answers with what was done then.
    """

    request_version: int

    def charge(self, charge: Charge) -> Outcome: ...

    def lookup(self, charge: Charge) -> Outcome:
        """What became of earlier calls with this key; never charges.

        ``NotCharged`` here is final: what an earlier call left half done is cancelled first.
        """

    def close(self, charge: Charge) -> Outcome:
        """End what is open under a payment that was not charged, so that nobody can charge it; creates nothing.

        ``NotCharged``, or a refusal that is closed: nothing is open any more, proven.
        """

    def refund(self, charge: Charge, reference: str) -> RefundOutcome:
        """Give back the whole of the charge that ``reference`` names; the same for every try, with a key of its own.

        ``Unknown`` while the gateway has not decided: asked again, it answers with what is true then. With
        ``charge.key_expired`` it only looks and gives nothing back, since it could not tell a second try from a
        first: ``Unknown`` where it finds nothing.
        """


class Notices(Protocol):
    """Where outcomes are told. Both calls raise ``NoticeNotSent``; a repetition has the same ``notice_id``."""

    def announce(self, payment: Payment) -> None:
        """Tell subscribers what the payment came to."""

    def dead_letter(self, payment: Payment) -> None:
        """Leave a payment that failed for good to an operator."""
