"""What failed for good: read without taking it away, explained, and sent again. A redrive may be repeated safely.

SQS deletes a message by the receipt of whoever received it last, and accepts an older one without deleting anything.
So whoever acts on letters does so while they are ``held``: hidden from everybody else.
https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_DeleteMessage.html
"""

import json
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

from botocore.exceptions import ClientError
from payments.payment import Status
from payments.request import is_transaction_id

from scripts.deployer.errors import DeployError

from . import records
from .environment import Platform
from .executions import cause_of, in_a_name
from .records import Record, hidden, printable
from .statuses import SETTLED, TAKEN_UP_AGAIN

# How long a letter stays hidden from everybody else if nobody says that it need not: long enough to read some thousands
# once, and to act on one.
READ_SECONDS = 60
ACT_SECONDS = 600
# As many as SQS takes at once.
_BATCH = 10

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

# What SQS answers about a receipt that is good no more.
_NOT_HELD = {
    "MessageNotInflight",
    "AWS.SimpleQueueService.MessageNotInflight",
    "ReceiptHandleIsInvalid",
    "InvalidParameterValue",
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

    def of_payment(self, payment: Record | None) -> "Letter":
        """The letter with what its payment is now; None if nothing is recorded under the id."""
        return replace(self, now=payment.status if payment else "", closed=bool(payment and payment.closed))

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
        if self.is_of_another_request or (self.now == Status.FAILED and self.closed):
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
            case Status.FAILED if self.closed:
                return "it can no longer be charged under this id: send a new payment, and `dlq clear` this one"
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


def read(platform: Platform) -> list[Letter]:
    """All letters, oldest first. They stay in the queue, where everybody may see them again at once."""
    with held(platform) as letters:
        return letters


@contextmanager
def held(
    platform: Platform, seconds: int = READ_SECONDS, wanted: Callable[[Letter], bool] = lambda _: True
) -> Iterator[list[Letter]]:
    """The wanted letters, oldest first, hidden from everybody else inside the ``with`` block.

    Should this process be killed in it, they are hidden for ``seconds``, and then there again.
    """
    receipts: list[str] = []
    try:
        messages = _receive(platform, receipts, seconds)
        bodies = [_body(message["Body"]) for message in messages]
        payments = records.several(platform, filter(None, map(_transaction_id, bodies)))
        letters = [_letter(message, body, payments) for message, body in zip(messages, bodies, strict=True)]
        found = sorted(filter(wanted, letters), key=lambda letter: letter.timestamp)
        kept = {letter.receipt for letter in found}
        _show_again(platform, [receipt for receipt in receipts if receipt not in kept])
        receipts[:] = kept
        yield found
    finally:
        _show_again(platform, receipts)


def held_by_others(platform: Platform) -> int:
    """About how many letters somebody else holds at this moment, so that they cannot be read."""
    name = "ApproximateNumberOfMessagesNotVisible"
    asked = platform.client("sqs").get_queue_attributes(QueueUrl=platform.dead_letters_url, AttributeNames=[name])
    return int(asked["Attributes"][name])


def _receive(platform: Platform, receipts: list[str], seconds: int) -> list[Any]:
    """Each message once, until there are no more or the first comes back: a long queue outlasts its hiding.

    The receipts are added as they come, so that nothing stays hidden if this is interrupted.
    """
    sqs = platform.client("sqs")
    ask = {"QueueUrl": platform.dead_letters_url, "MaxNumberOfMessages": _BATCH, "VisibilityTimeout": seconds}
    # Without waiting, SQS asks only some of its servers, and may say "nothing" when there is something.
    ask["WaitTimeSeconds"] = 1
    found: dict[str, Any] = {}
    while received := sqs.receive_message(**ask).get("Messages"):
        receipts += [message["ReceiptHandle"] for message in received]
        seen = len(found)
        # The receipt of whoever receives a message last is the one that counts.
        found |= {message["MessageId"]: message for message in received}
        if len(found) == seen:
            break
    return list(found.values())


def _show_again(platform: Platform, receipts: list[str]) -> None:
    """Those that were deleted, or have come back by themselves, are refused one by one, and need nothing."""
    for first in range(0, len(receipts), _BATCH):
        some = enumerate(receipts[first : first + _BATCH])
        platform.client("sqs").change_message_visibility_batch(
            QueueUrl=platform.dead_letters_url,
            Entries=[{"Id": str(n), "ReceiptHandle": receipt, "VisibilityTimeout": 0} for n, receipt in some],
        )


def redrive(platform: Platform, letter: Letter) -> str:
    """Send the payment through the workflow again and delete the letter, which is ``held``; what was done, in words.

    The letter goes last: whatever happens before, it is still there, and a second redrive finds what the first did.
    Raises ``DeployError`` for one that cannot be redriven, and says why.
    """
    # A long list outlasts the moment at which it was read, and another letter of the payment may have been redriven.
    known = records.several(platform, filter(None, [letter.transaction_id]))
    letter = letter.of_payment(known.get(letter.transaction_id))
    _hold_on(platform, letter)
    if not letter.can_be_redriven:
        raise DeployError(f"{letter.transaction_id or letter.execution_arn}: {letter.advice}")
    done = "has its outcome"
    if letter.now not in SETTLED:
        request = _request(platform, letter)
        # Refused for a request that is not the recorded one, and for a payment that cannot be charged any more.
        platform.ask("reopen", letter.transaction_id, request=json.loads(request))
        done = f"started {_start_again(platform, letter, request)}"
    clear(platform, letter)
    return done


def clear(platform: Platform, letter: Letter) -> None:
    """Delete the letter, which is ``held``. Raises ``DeployError`` for one that is held no more."""
    _hold_on(platform, letter)
    platform.client("sqs").delete_message(QueueUrl=platform.dead_letters_url, ReceiptHandle=letter.receipt)


def _hold_on(platform: Platform, letter: Letter) -> None:
    """Raises ``DeployError`` for a letter that was held for too long: by now it may be somebody else's."""
    try:
        platform.client("sqs").change_message_visibility(
            QueueUrl=platform.dead_letters_url, ReceiptHandle=letter.receipt, VisibilityTimeout=READ_SECONDS
        )
    except ClientError as error:
        if error.response["Error"]["Code"] not in _NOT_HELD:
            raise
        raise DeployError(
            f"{letter.transaction_id or letter.letter_id}: the letter is held no more; ask again"
        ) from error


def _request(platform: Platform, letter: Letter) -> str:
    """The request as it was sent: the execution that failed still has it."""
    stepfunctions = platform.client("stepfunctions")
    return str(stepfunctions.describe_execution(executionArn=letter.execution_arn)["input"])


def _start_again(platform: Platform, letter: Letter, request: str) -> str:
    started = platform.client("stepfunctions").start_execution(
        stateMachineArn=platform.outputs["StepFunctionsStateMachineArn"],
        name=f"redrive-{in_a_name(letter.transaction_id)}-{uuid.uuid4().hex[:8]}",
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
        now="",
        closed=False,
    ).of_payment(payment)
