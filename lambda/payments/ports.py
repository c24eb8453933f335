"""The ports of the core: a ledger that records payments, a gateway that charges, and the notices of outcomes."""

from dataclasses import dataclass
from typing import Protocol

from .money import Money
from .payment import Payment


class Ledger(Protocol):
    """Records the current state of each payment and every step that led to it.

    Both methods raise ``LedgerUnavailable`` if a retry may help, and ``LedgerRefused`` if not.
    """

    def find_payment(self, transaction_id: str) -> Payment | None:
        """Return the payment as last written (a consistent read), or None."""

    def write_step(self, before: Payment | None, after: Payment) -> Payment | None:
        """Replace ``before`` by ``after``, and append the step in the same transaction.

        ``before`` is None for a payment that is not recorded yet. Returns None if written. If the ledger does not hold
        ``before`` any more, writes nothing and returns the payment that it holds.
        """


@dataclass(frozen=True)
class Charge:
    """A charge to request from the gateway. Every attempt at a payment uses the same key."""

    idempotency_key: str
    transaction_id: str
    amount: Money
    payment_method: str
    customer_id: str
    attempt: int
    # The ``Gateway.request_version`` that the payment was claimed with. A gateway rejects a key with other parameters
    # than it was first used with, so a release that changes the requests keeps the older forms.
    request_version: int = 1
    # Whether the gateway may have forgotten the key, which then must not be used again, not even for a lookup.
    key_expired: bool = False
    # Counts the keys of the payment. Nothing can be charged under the earlier ones any more.
    generation: int = 0


@dataclass(frozen=True)
class Charged:
    reference: str


@dataclass(frozen=True)
class Declined:
    """Refused. ``is_closed`` is False if something is open at the gateway that could still be charged."""

    code: str
    is_closed: bool = True


@dataclass(frozen=True)
class ActionRequired:
    """Not charged, because the customer has to act first, for example to authenticate. ``reason`` is a code."""

    reason: str
    is_closed: bool = True


@dataclass(frozen=True)
class NotCharged:
    """The gateway certainly did not charge this payment. After a ``lookup``, it never will."""

    reason: str


@dataclass(frozen=True)
class Unknown:
    """The gateway may have charged or refunded."""

    reason: str


@dataclass(frozen=True)
class Refunded:
    reference: str


@dataclass(frozen=True)
class NotRefunded:
    """The gateway certainly did not refund, and will not."""

    reason: str


Outcome = Charged | Declined | ActionRequired | NotCharged | Unknown
RefundOutcome = Refunded | NotRefunded | Unknown


# The longest that a call of the gateway may take with all its requests. The lease of a claim is longer.
GATEWAY_SECONDS = 50


class Gateway(Protocol):
    """Charges payments. No method raises an error of the gateway or the network.

    Each returns within ``GATEWAY_SECONDS``. ``request_version`` is the version of the current requests, and is recorded
    with a payment's first claim. ``charge`` with a key that was used before, and is not expired, returns the outcome of
    that call.
    """

    request_version: int

    def charge(self, charge: Charge) -> Outcome: ...

    def lookup(self, charge: Charge) -> Outcome:
        """Return the outcome of earlier calls with this key; never charge.

        ``NotCharged`` is final, because what an earlier call left open is canceled first.
        """

    def close(self, charge: Charge) -> Outcome:
        """Close what is open under a payment that was not charged, so that nobody can charge it; create nothing.

        ``NotCharged``, or a refusal with ``is_closed``, proves that nothing is open any more.
        """

    def refund(self, charge: Charge, reference: str) -> RefundOutcome:
        """Refund the whole charge that ``reference`` names, under a separate key that is the same for every attempt.

        Returns ``Unknown`` while the gateway has not decided; repeat the call later. With ``charge.key_expired``, only
        looks for a refund, because another attempt could refund again, and returns ``Unknown`` if there is none.
        """


class Notices(Protocol):
    """Announces outcomes. Both methods raise ``NoticeNotSent``. A repetition has the same ``notice_id``."""

    def announce(self, payment: Payment) -> None:
        """Notify subscribers of the payment's outcome."""

    def dead_letter(self, payment: Payment) -> None:
        """Send a dead letter of a payment that failed for good, for an operator."""
