"""Example payments for the simulated gateway, one for each outcome."""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Example:
    """A request, and a description of it. The simulated gateway decides by the cents of the amount."""

    name: str
    description: str
    amount: int | float
    currency: str = "USD"
    method: str = "credit_card"

    def request(self, run: str) -> dict[str, Any]:
        return {
            "transaction_id": f"{run}-{self.name}",
            "payment_amount": self.amount,
            "payment_method": self.method,
            "customer_id": "CUST-12345",
            "currency": self.currency,
        }


EXAMPLES = (
    Example("plain", "an ordinary payment", 150.00),
    Example("yen", "a currency without minor units", 12000, currency="JPY"),
    Example("slow", "a slow gateway", 80.07),
    Example("no-funds", "declined by the gateway", 150.01),
    Example("too-much", "above the amount limit", 25000.00),
    Example("suspicious", "high-value bank transfer", 7500.00, method="bank_transfer"),
    Example("hiccup", "gateway unavailable twice, then back", 150.02),
    Example("lost-answer", "charged, but the response was lost", 150.04),
    Example("gateway-down", "gateway down, back for a redrive", 150.11),
    Example("never-charged", "response lost, never charged, even redriven", 150.05),
)
# The same request, sent again after the first has ended.
REPLAYED = EXAMPLES[0]
