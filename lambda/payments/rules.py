"""Decides which payments are accepted. The rules are the reference's, and the limits are settings."""

from collections.abc import Mapping
from dataclasses import dataclass

from .money import Money
from .request import PaymentRequest

HIGH_VALUE_SCORE = 30
RISKY_METHOD_SCORE = 20
RISKY_METHODS = frozenset({"bank_transfer"})


@dataclass(frozen=True)
class Limits:
    """The limits by currency. Other currencies are not accepted."""

    maximum: Mapping[str, Money]
    high_value: Mapping[str, Money]
    # A score that reaches the limit is rejected. The highest score equals the default, so no payment can exceed it.
    fraud_score_limit: int = 50

    def __post_init__(self) -> None:
        if set(self.maximum) != set(self.high_value):
            raise ValueError("MAXIMUM_AMOUNTS and HIGH_VALUE_AMOUNTS must have the same currencies")


def compute_fraud_score(amount: Money, payment_method: str, limits: Limits) -> int:
    """Return the sum of the scores that apply."""
    score = 0
    if amount.minor_units > limits.high_value[amount.currency].minor_units:
        score += HIGH_VALUE_SCORE
    if payment_method in RISKY_METHODS:
        score += RISKY_METHOD_SCORE
    return score


def find_rejection_reasons(request: PaymentRequest, limits: Limits) -> list[str]:
    """Return all reasons, in words without payment data; an empty list for an accepted payment."""
    reasons = list(request.problems)
    amount = request.amount
    if amount is None:
        return reasons
    if amount.currency not in limits.maximum:
        return [*reasons, f"currency must be one of {', '.join(sorted(limits.maximum))}"]
    if amount.minor_units <= 0:
        reasons.append("payment_amount must be above 0")
    elif amount.minor_units > limits.maximum[amount.currency].minor_units:
        reasons.append("payment_amount exceeds the limit")
    elif request.payment_method is not None:
        score = compute_fraud_score(amount, request.payment_method, limits)
        if score >= limits.fraud_score_limit:
            reasons.append(f"fraud score {score} reaches the limit of {limits.fraud_score_limit}")
    return reasons
