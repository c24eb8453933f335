"""The payments that a run sends, by the outcome that the gateway is asked for, and what has to become of each.

The simulated gateway decides by the cents of the amount (lambda/adapters/simulator.py). With Stripe only what is never
charged is sent: a payment above the limit, one by a method that Stripe does not settle at once, and one of a customer
that Stripe does not know.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from payments.money import Money, count_decimal_places

_BASE_MINOR_UNITS = 100


@dataclass(frozen=True)
class Sample:
    """A payment, the status that it has to get, and the number of attempts that the workflow makes for it."""

    name: str
    minor_units: int
    currency: str
    status: str
    # The error that its execution ends with; empty for one that succeeds.
    error: str = ""
    attempts: int = 1
    leaves_letter: bool = False
    method: str = "credit_card"

    def request(self, run_name: str) -> dict[str, Any]:
        amount = Decimal(self.minor_units).scaleb(-count_decimal_places(self.currency))
        return {
            "transaction_id": f"{run_name}-{self.name}",
            "payment_amount": int(amount) if amount == amount.to_integral_value() else float(amount),
            "payment_method": self.method,
            "customer_id": "CUST-VERIFY",
            "currency": self.currency,
        }

    @property
    def amount(self) -> str:
        return str(Money(self.minor_units, self.currency))


def samples(settings: Mapping[str, str]) -> list[Sample]:
    """Those that the settings' gateway can be asked for. The first is the one that is sent again."""
    limits = dict(limit.split("=") for limit in settings["MaximumAmounts"].split(","))
    currency = "USD" if "USD" in limits else next(iter(limits))
    above_limit = int(Decimal(limits[currency]).scaleb(count_decimal_places(currency))) + _BASE_MINOR_UNITS

    def sample(name: str, cents: int, status: str, **more: Any) -> Sample:
        return Sample(name, _BASE_MINOR_UNITS + cents, currency, status, **more)

    rejected = Sample("rejected", above_limit, currency, "REJECTED")
    failed = sample("failed", 3, "FAILED", error="GatewayUnavailable", attempts=4, leaves_letter=True)
    if settings["Gateway"] != "simulator":
        return [sample("declined", 1, "DECLINED", method="bank_transfer"), rejected, failed]
    return [
        sample("completed", 0, "COMPLETED"),
        sample("declined", 1, "DECLINED"),
        rejected,
        sample("retried", 2, "COMPLETED", attempts=3),
        sample("looked-up", 4, "COMPLETED", attempts=2),
        failed,
    ]


def open_sample(settings: Mapping[str, str]) -> Sample:
    """A payment whose outcome is unknown after its first attempt, and that a lookup then finds charged."""
    looked_up = next(sample for sample in samples(settings) if sample.name == "looked-up")
    return Sample("left-open", looked_up.minor_units, looked_up.currency, "COMPLETED")
