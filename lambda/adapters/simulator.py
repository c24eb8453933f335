"""A payment gateway that decides by the amount, so that a test or a demonstration can select each outcome.

The minor units of the amount, modulo 100, select::

    .01  declined: insufficient funds
    .02  unavailable twice, then charged
    .03  unavailable always
    .04  charged, but the answer is lost; a lookup finds the charge
    .05  the answer is lost and nothing was charged; a lookup proves that
    .06  the answer is lost, and lookups do not answer either
    .07  charged after a slow second
    .08  charged, but a refund is refused
    .09  charged, but a refund gets no answer, nor does a lookup of it
    .10  not charged: the customer has to authenticate
    .11  unavailable four times, which is all that one execution tries, then charged: a redrive completes the payment
    any other: charged

It has no memory: the key and the amount determine what it did. The same key always returns the same reference, as with
a gateway that has idempotency keys. But ``NotCharged`` of a lookup is not final, so use it to try things out and not to
prove anything.
"""

import hashlib
import time
from collections.abc import Callable

from payments.ports import (
    ActionRequired,
    Charge,
    Charged,
    Declined,
    NotCharged,
    NotRefunded,
    Outcome,
    Refunded,
    RefundOutcome,
    Unknown,
)

SLOW_SECONDS = 1.0


class Simulator:
    # It sends no requests, so there is one version.
    request_version = 1

    def __init__(self, sleep: Callable[[float], None] = time.sleep) -> None:
        self._sleep = sleep

    def charge(self, charge: Charge) -> Outcome:
        match charge.amount.minor_units % 100:
            case 1:
                return Declined("insufficient_funds")
            case 2 if charge.attempt <= 2:
                return NotCharged("gateway temporarily unavailable")
            case 11 if charge.attempt <= 4:
                return NotCharged("gateway temporarily unavailable")
            case 3:
                return NotCharged("gateway temporarily unavailable")
            case 4 | 5 | 6:
                return Unknown("no answer from the gateway")
            case 10:
                return ActionRequired("authentication_required")
            case 7:
                self._sleep(SLOW_SECONDS)
        return Charged(_compute_reference(charge))

    def lookup(self, charge: Charge) -> Outcome:
        match charge.amount.minor_units % 100:
            case 4:
                return Charged(_compute_reference(charge))
            case 6:
                return Unknown("no answer from the gateway")
        return NotCharged("the gateway knows no such charge")

    def close(self, charge: Charge) -> Outcome:
        return self.lookup(charge)

    def refund(self, charge: Charge, reference: str) -> RefundOutcome:
        match charge.amount.minor_units % 100:
            case 8:
                return NotRefunded("the gateway refuses the refund")
            case 9:
                return Unknown("no answer from the gateway")
        return Refunded(reference.replace("sim_", "simre_"))


def _compute_reference(charge: Charge) -> str:
    return "sim_" + hashlib.sha256(charge.idempotency_key.encode()).hexdigest()[:16]
