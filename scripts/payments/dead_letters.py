"""What failed for good: read without taking it away, explained, and sent again. A redrive may be repeated safely."""

import json
import uuid
from dataclasses import dataclass
from typing import Any

from payments.request import is_transaction_id

from scripts.deployer.errors import DeployError

from . import records
from .environment import Platform
from .executions import cause_of
from .records import Record, hidden, printable

# Long enough to read some thousands once; the letters come back by themselves.
_HIDDEN_SECONDS = 60

_EXPLAINED = {
    "GatewayUnavailable": "the gateway was away for every try; nothing was charged",
    "ChargeOutcomeUnknown": "it is not known whether it was charged; reconciliation asks, at first after five minutes",
    "PaymentGivenUp": "nothing was charged: the gateway proved it, or nobody was at it any more",
    "PaymentInProgress": "another attempt held the payment for longer than its lease",
    "MalformedRequest": "the request has no usable transaction id; whoever sent it has to mend it",
    "IdempotencyConflict": "the transaction id was used before, for another request; the sender has to choose another",
    "LedgerUnavailable": "the tables could not be reached",
    "LedgerRefused": "the function may not use the tables, or they are gone",
    "ReviewNeeded": "it is too old for the gateway's key; a person has to look it up there",
    "InternalError": "a defect of ours; the cause names the place in the code",
    "States.QueryEvaluationError": "the request is larger than the workflow takes",
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
    # The gateway would not charge it any more.
    closed: bool

    @property
    def explanation(self) -> str:
        if self.error == "LedgerRefused" and "ConditionalCheckFailed" in self.cause:
            return (
                "the ledger knows more of the payment than the table, which may have been restored; see docs/runbook.md"
            )
        return _EXPLAINED.get(self.error, "see the execution's history")

    @property
    def is_of_another_request(self) -> bool:
        """The payment under the id is not the one that failed."""
        return self.error == "IdempotencyConflict"

    @property
    def advice(self) -> str:
        """What a redrive would do."""
        if self.is_of_another_request:
            return "the id belongs to another payment; a redrive is refused"
        match self.now:
            case "COMPLETED" | "DECLINED" | "REJECTED" | "REFUNDED" | "REFUNDING":
                return "it has its outcome; a redrive only clears the letter"
            case "FAILED" if self.closed:
                return "the gateway has closed it: send a new payment, and `dlq clear` the letter"
            case "FAILED" | "PENDING":
                return "a redrive tries it again"
            case "UNKNOWN":
                return "a redrive asks the gateway again"
            case "PROCESSING":
                return "somebody is at it, or reconciliation will be in five minutes; a redrive is refused"
            case "REVIEW":
                return "look it up at the gateway and `resolve` it; a redrive is refused"
        return "nothing is recorded under it; a redrive is refused, `dlq clear` deletes the letter"


def read(platform: Platform) -> list[Letter]:
    """All letters, oldest first. They stay in the queue."""
    sqs, messages = platform.client("sqs"), _messages(platform)
    bodies = [_body(message["Body"]) for message in messages]
    payments = records.several(platform, filter(None, map(_transaction_id, bodies)))
    letters = [_letter(message, body, payments) for message, body in zip(messages, bodies, strict=True)]
    for message in messages:
        # Read, not taken: everybody may see them again at once.
        sqs.change_message_visibility(
            QueueUrl=platform.dead_letters_url, ReceiptHandle=message["ReceiptHandle"], VisibilityTimeout=0
        )
    return sorted(letters, key=lambda letter: letter.timestamp)


def _messages(platform: Platform) -> list[Any]:
    """Until there are no more, or the first comes back: a long queue outlasts the time that they are hidden."""
    sqs = platform.client("sqs")
    ask = {"QueueUrl": platform.dead_letters_url, "MaxNumberOfMessages": 10, "VisibilityTimeout": _HIDDEN_SECONDS}
    # Without waiting, SQS asks only some of its servers, and may say "nothing" when there is something.
    ask["WaitTimeSeconds"] = 1
    found: dict[str, Any] = {}
    while messages := sqs.receive_message(**ask).get("Messages"):
        seen = len(found)
        found |= {message["MessageId"]: message for message in messages}
        if len(found) == seen:
            break
    return list(found.values())


def redrive(platform: Platform, letter: Letter) -> str:
    """Send the payment through the workflow again and delete the letter; what was done, in words.

    The letter goes last: whatever happens before, it is still there, and a second redrive finds what the first did.
    """
    if letter.now in ("", "PROCESSING", "REVIEW") or letter.is_of_another_request or letter.closed:
        raise DeployError(f"{letter.transaction_id or letter.execution_arn}: {letter.advice}")
    done = "has its outcome"
    if letter.now in ("FAILED", "PENDING", "UNKNOWN"):
        request = _request(platform, letter)
        # Refused for a request that is not the recorded one, and for a payment that cannot be charged any more.
        platform.ask("reopen", letter.transaction_id, request=json.loads(request))
        done = f"started {_start_again(platform, letter, request)}"
    clear(platform, letter)
    return done


def clear(platform: Platform, letter: Letter) -> None:
    """Delete the letter."""
    platform.client("sqs").delete_message(QueueUrl=platform.dead_letters_url, ReceiptHandle=letter.receipt)


def _request(platform: Platform, letter: Letter) -> str:
    """The request as it was sent: the execution that failed still has it."""
    stepfunctions = platform.client("stepfunctions")
    return str(stepfunctions.describe_execution(executionArn=letter.execution_arn)["input"])


def _start_again(platform: Platform, letter: Letter, request: str) -> str:
    started = platform.client("stepfunctions").start_execution(
        stateMachineArn=platform.outputs["StepFunctionsStateMachineArn"],
        name=f"redrive-{letter.transaction_id.replace(':', '-')[:50]}-{uuid.uuid4().hex[:8]}",
        input=request,
    )
    return str(started["executionArn"])


def _body(text: str) -> dict[str, Any]:
    """Of the workflow's own letters an object; of an invocation by somebody else whatever they sent."""
    try:
        body = json.loads(text)
    except ValueError:
        return {}
    return body if isinstance(body, dict) else {}


def _transaction_id(body: dict[str, Any]) -> str:
    """Empty where it is none: DynamoDB would refuse to look for all that are asked for with one that is too long."""
    found = str(body.get("transaction_id", ""))
    return found if is_transaction_id(found) else ""


def _letter(message: Any, body: dict[str, Any], payments: dict[str, Record]) -> Letter:
    payment = payments.get(_transaction_id(body))

    def word(name: str, otherwise: str = "") -> str:
        return hidden(str(body.get(name, otherwise)))

    return Letter(
        letter_id=message["MessageId"],
        transaction_id=_transaction_id(body),
        # Digits and all: a redrive asks for it.
        execution_arn=printable(str(body.get("execution_arn", ""))),
        state=word("state"),
        error=word("error", "not from the workflow"),
        cause=hidden(cause_of(str(body.get("cause", "")))),
        payment_status=word("payment_status"),
        timestamp=word("timestamp"),
        receipt=message["ReceiptHandle"],
        now=payment.status if payment else "",
        closed=bool(payment and payment.closed),
    )
