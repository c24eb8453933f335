"""What a dead letter says, what its payment is now, and what a redrive would do."""

import json
from dataclasses import dataclass, replace
from typing import Any

from payments.payment import Status
from payments.request import is_transaction_id

from .executions import cause_of
from .records import Record, hidden, printable
from .statuses import SETTLED, TAKEN_UP_AGAIN

_EXPLAINED = {
    "GatewayUnavailable": "the gateway was unavailable on every attempt; nothing was charged",
    "ChargeOutcomeUnknown": "it is unknown whether it was charged; reconciliation looks it up after five minutes",
    "PaymentGivenUp": "nothing was charged: the gateway confirmed it, or the payment was abandoned",
    "PaymentInProgress": "another attempt held the payment for longer than its lease",
    "MalformedRequest": "the request has no valid transaction id; the sender must fix it",
    "IdempotencyConflict": "the transaction id was already used for another request; the sender must choose a new one",
    "LedgerUnavailable": "the tables could not be reached",
    "LedgerRefused": "the function has no access to the tables, or they do not exist",
    "ReviewNeeded": "its idempotency key has expired at the gateway; an operator must look the payment up there",
    "InternalError": "a bug in the platform; the cause names the place in the code",
    "States.QueryEvaluationError": "the request is larger than the workflow accepts",
}


@dataclass(frozen=True)
class Letter:
    """A dead letter, with what the payment is now."""

    letter_id: str
    transaction_id: str
    execution_arn: str
    state: str
    error: str
    cause: str
    payment_status: str
    timestamp: str
    receipt: str
    now: str

    def of_payment(self, payment: Record | None) -> "Letter":
        """The letter with what its payment is now; None if nothing is recorded under the id."""
        return replace(self, now=payment.status if payment else "")

    @property
    def explanation(self) -> str:
        if self.error == "LedgerRefused" and "ConditionalCheckFailed" in self.cause:
            return "the ledger is ahead of the table for this payment (was the table restored?); see docs/runbook.md"
        return _EXPLAINED.get(self.error, "see the execution's history")

    @property
    def is_of_another_request(self) -> bool:
        """The payment under the id is not the one that failed."""
        return self.error == "IdempotencyConflict"

    @property
    def can_be_redriven(self) -> bool:
        """Whether a redrive does something: send the payment again, or clear the letter of one that has its outcome."""
        if self.is_of_another_request:
            return False
        return self.now in SETTLED or self.now in TAKEN_UP_AGAIN

    @property
    def advice(self) -> str:
        """What a redrive would do."""
        if self.is_of_another_request:
            return "the id belongs to another payment; it cannot be redriven"
        if self.now in SETTLED:
            return "the payment has its outcome; a redrive only clears the dead letter"
        match self.now:
            case Status.FAILED | Status.PENDING:
                return "a redrive will try it again"
            case Status.UNKNOWN:
                return "a redrive looks it up at the gateway again; it does not charge"
            case Status.PROCESSING:
                return (
                    "it is being processed, or reconciliation will handle it within five minutes; it cannot be redriven"
                )
            case Status.REVIEW:
                return "look it up at the gateway and `resolve` it; it cannot be redriven"
        return "no payment is recorded under this id; it cannot be redriven, but `dlq clear` deletes the dead letter"


def parsed(text: str) -> dict[str, Any]:
    """Of the workflow's own letters an object; of an invocation by somebody else whatever they sent."""
    try:
        body = json.loads(text)
    except ValueError:
        return {}
    return body if isinstance(body, dict) else {}


def transaction_id_of(body: dict[str, Any]) -> str:
    """Empty where it is none: DynamoDB would refuse to look for all that are asked for with one that is too long."""
    found = str(body.get("transaction_id", ""))
    return found if is_transaction_id(found) else ""


def letter_of(message: Any, body: dict[str, Any], payments: dict[str, Record]) -> Letter:
    payment = payments.get(transaction_id_of(body))

    def word(name: str, otherwise: str = "") -> str:
        return hidden(str(body.get(name, otherwise)))

    return Letter(
        letter_id=message["MessageId"],
        transaction_id=transaction_id_of(body),
        # Digits and all: a redrive asks for it.
        execution_arn=printable(str(body.get("execution_arn", ""))),
        state=word("state"),
        error=word("error", "not from the workflow"),
        cause=hidden(cause_of(str(body.get("cause", "")))),
        payment_status=word("payment_status"),
        timestamp=word("timestamp"),
        receipt=message["ReceiptHandle"],
        now="",
    ).of_payment(payment)
