"""What a dead letter says, what its payment is now, and what a redrive would do."""

from dataclasses import dataclass, replace
from typing import Any

from payments.payment import Status
from payments.request import is_transaction_id

from .executions import parse_cause
from .records import Record, hide_card_numbers, replace_control_characters
from .statuses import RESUMABLE, SETTLED

_EXPLANATIONS = {
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
# What a redrive would do, by the current status.
_ADVICE: dict[str, str] = {
    **dict.fromkeys(SETTLED, "the payment has its outcome; a redrive only clears the dead letter"),
    Status.FAILED: "a redrive will try it again",
    Status.PENDING: "a redrive will try it again",
    Status.UNKNOWN: "a redrive looks it up at the gateway again; it does not charge",
    Status.PROCESSING: "it is being processed, or reconciliation will handle it within five minutes; "
    "it cannot be redriven",
    Status.REVIEW: "look it up at the gateway and `resolve` it; it cannot be redriven",
}


@dataclass(frozen=True)
class DeadLetter:
    """A dead letter. ``current_status`` is the payment's status now, empty if no payment is recorded under the id."""

    letter_id: str
    transaction_id: str
    execution_arn: str
    state: str
    error: str
    cause: str
    payment_status: str
    timestamp: str
    receipt: str
    current_status: str

    def with_status_of(self, payment: Record | None) -> "DeadLetter":
        return replace(self, current_status=payment.status if payment else "")

    @property
    def explanation(self) -> str:
        if self.error == "LedgerRefused" and "ConditionalCheckFailed" in self.cause:
            section = "docs/runbook.md#restore-the-table-to-a-point-in-time"
            return f"the ledger is ahead of the table for this payment (was the table restored?); see {section}"
        return _EXPLANATIONS.get(self.error, "see the execution's history")

    @property
    def is_of_another_request(self) -> bool:
        """Whether another request than the recorded one failed."""
        return self.error == "IdempotencyConflict"

    @property
    def is_redrivable(self) -> bool:
        """Whether a redrive sends the payment again, or clears the letter of a payment that has its outcome."""
        return not self.is_of_another_request and self.current_status in SETTLED | RESUMABLE

    @property
    def advice(self) -> str:
        if self.is_of_another_request:
            return "the id belongs to another payment; it cannot be redriven"
        missing = "no payment is recorded under this id; it cannot be redriven, but `dlq clear` deletes the dead letter"
        return _ADVICE.get(self.current_status, missing)


def read_transaction_id(body: dict[str, Any]) -> str:
    """Return the transaction id; empty if it is invalid, because DynamoDB would refuse a whole batch for it."""
    transaction_id = str(body.get("transaction_id", ""))
    return transaction_id if is_transaction_id(transaction_id) else ""


def build_letter(message: Any, body: dict[str, Any], payments: dict[str, Record]) -> DeadLetter:
    """Return the dead letter of an SQS message, whose parsed ``body`` anybody may have written."""

    def read_word(name: str, default: str = "") -> str:
        return hide_card_numbers(str(body.get(name, default)))

    transaction_id = read_transaction_id(body)
    return DeadLetter(
        letter_id=message["MessageId"],
        transaction_id=transaction_id,
        # With all of its digits, because a redrive needs it.
        execution_arn=replace_control_characters(str(body.get("execution_arn", ""))),
        state=read_word("state"),
        error=read_word("error", "not from the workflow"),
        cause=hide_card_numbers(parse_cause(str(body.get("cause", "")))),
        payment_status=read_word("payment_status"),
        timestamp=read_word("timestamp"),
        receipt=message["ReceiptHandle"],
        current_status="",
    ).with_status_of(payments.get(transaction_id))
