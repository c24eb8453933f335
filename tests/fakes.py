"""The ports of the payment core in memory, as strict as the real ones."""

from collections.abc import Callable
from dataclasses import dataclass, field

from adapters.stored_items import MAXIMUM_SHARDS, from_item, to_item
from payments.payment import TRANSITIONS, Payment
from payments.ports import Charge, Charged, NotCharged, NotRefunded, Outcome, Refunded, RefundOutcome


class MemoryLedger:
    """A ledger with DynamoDB's conditional writes: on the status and sequence that the caller read."""

    def __init__(self) -> None:
        self.payments: dict[str, Payment] = {}
        self.history: list[Payment] = []

    def find_payment(self, transaction_id: str) -> Payment | None:
        return self.payments.get(transaction_id)

    def write_step(self, before: Payment | None, after: Payment) -> Payment | None:
        stored_payment = self.payments.get(after.transaction_id)
        unchanged = before and before.with_changes(
            at=after.updated_at, notification=after.notification, idempotency_key_closed=after.idempotency_key_closed
        )
        if before is None or after not in (unchanged, before.without_customer(after.updated_at)):
            assert after.status in TRANSITIONS[before.status if before else None]
        is_unchanged = (
            stored_payment is None
            if before is None
            else stored_payment and (stored_payment.status, stored_payment.sequence) == (before.status, before.sequence)
        )
        if not is_unchanged:
            return stored_payment
        assert from_item(to_item(after, MAXIMUM_SHARDS)) == after
        self.payments[after.transaction_id] = after
        self.history.append(after)
        return None


@dataclass
class ScriptedGateway:
    """A gateway with idempotency keys that answers each charge, lookup and closing with the next step of ``script``.

    A step is an outcome or a function of the charge. Without a step, a charge succeeds and a lookup finds it.
    """

    script: list[Outcome | Callable[[Charge], Outcome]] = field(default_factory=list)
    charges: dict[str, Charged] = field(default_factory=dict)
    request_version: int = 1
    calls: list[tuple[str, Charge]] = field(default_factory=list)

    def charge(self, charge: Charge) -> Outcome:
        self.calls.append(("charge", charge))
        return self._answer(charge) or self.really_charge(charge)

    def lookup(self, charge: Charge) -> Outcome:
        self.calls.append(("lookup", charge))
        return self._answer(charge) or self.charges.get(charge.idempotency_key) or NotCharged("no such charge")

    def close(self, charge: Charge) -> Outcome:
        self.calls.append(("close", charge))
        return self._answer(charge) or self.charges.get(charge.idempotency_key) or NotCharged("nothing is open")

    def refund(self, charge: Charge, reference: str) -> RefundOutcome:
        self.calls.append(("refund", charge))
        if self.charges.get(charge.idempotency_key) != Charged(reference):
            return NotRefunded("no such charge")
        return Refunded(f"refund-{reference}")

    def really_charge(self, charge: Charge) -> Charged:
        return self.charges.setdefault(charge.idempotency_key, Charged(f"ref-{len(self.charges) + 1}"))

    def _answer(self, charge: Charge) -> Outcome | None:
        if not self.script:
            return None
        step = self.script.pop(0)
        return step(charge) if callable(step) else step
