"""The payments that a run sends, and their expected outcomes.

The simulated gateway decides by the cents of the amount (lambda/adapters/simulator.py). With Stripe, a run sends only
payments that are never charged: above the limit, by a method that is not settled at once, or of an unknown customer.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from payments.money import Money, count_decimal_places

_BASE_MINOR_UNITS = 100


@dataclass(frozen=True)
class Sample:
    """A payment, its expected status, and the number of times that the workflow runs the task that processes it."""

    name: str
    minor_units: int
    currency: str
    status: str
    # The error of its execution; empty if it succeeds.
    error: str = ""
    process_runs: int = 1
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


def make_samples(settings: Mapping[str, str]) -> list[Sample]:
    """Return the payments for the configured gateway. The first one is sent twice."""
    limits = dict(limit.split("=") for limit in settings["MaximumAmounts"].split(","))
    currency = "USD" if "USD" in limits else next(iter(limits))
    above_limit = int(Decimal(limits[currency]).scaleb(count_decimal_places(currency))) + _BASE_MINOR_UNITS

    def make_sample(name: str, cents: int, status: str, **options: Any) -> Sample:
        return Sample(name, _BASE_MINOR_UNITS + cents, currency, status, **options)

    rejected = Sample("rejected", above_limit, currency, "REJECTED")
    failed = make_sample("failed", 3, "FAILED", error="GatewayUnavailable", process_runs=4, leaves_letter=True)
    if settings["Gateway"] != "simulator":
        return [make_sample("declined", 1, "DECLINED", method="bank_transfer"), rejected, failed]
    return [
        make_sample("completed", 0, "COMPLETED"),
        make_sample("declined", 1, "DECLINED"),
        rejected,
        make_sample("retried", 2, "COMPLETED", process_runs=3),
        make_sample("looked-up", 4, "COMPLETED", process_runs=2),
        failed,
    ]


def make_open_sample(settings: Mapping[str, str]) -> Sample:
    """Return a payment whose outcome is unknown after the first attempt, and which a lookup finds charged."""
    looked_up = next(sample for sample in make_samples(settings) if sample.name == "looked-up")
    return Sample("left-open", looked_up.minor_units, looked_up.currency, "COMPLETED")
