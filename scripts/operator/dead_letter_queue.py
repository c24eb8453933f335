"""The dead-letter queue: reading deletes nothing, and a command holds the letters that it acts on.

SQS deletes a message by the receipt of its last receiver, and accepts an older receipt without deleting anything. So
commands act on letters only inside ``hold_letters``, which hides them from others, and use only the latest receipts.
"""

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final

from botocore.exceptions import ClientError

from scripts.common.errors import AWS_ERRORS, UserError, raise_both

from . import records
from .dead_letters import DeadLetter, build_letter, read_transaction_id
from .executions import parse_object
from .platform import Platform

# How long letters stay hidden if this process is killed: long enough to read some thousands, and to act on one, which
# may take as long as the timeout of a function.
READ_SECONDS = 60
ACT_SECONDS = 600
# The limit of ReceiveMessage and of ChangeMessageVisibilityBatch.
_BATCH = 10
# The error codes for a receipt that is no longer valid.
_NOT_HELD_CODES = {
    "MessageNotInflight",
    "AWS.SimpleQueueService.MessageNotInflight",
    "ReceiptHandleIsInvalid",
    "InvalidParameterValue",
}


def read_letters(platform: Platform) -> list[DeadLetter]:
    """Return all letters, oldest first. They stay in the queue and are visible again when this returns."""
    with hold_letters(platform, READ_SECONDS) as letters:
        return letters


@contextmanager
def hold_letters(
    platform: Platform, seconds: int = ACT_SECONDS, is_selected: Callable[[DeadLetter], bool] | None = None
) -> Iterator[list[DeadLetter]]:
    """Hide the selected letters, or all, from others inside the ``with`` block, and return them, oldest first.

    If this process is killed in the block, they stay hidden for ``seconds``.
    """
    # By id, as last received; filled as they arrive, so that an interruption leaves nothing hidden.
    messages: dict[str, Any] = {}
    try:
        _receive_messages(platform, messages, seconds)
        bodies = {letter_id: parse_object(message["Body"]) for letter_id, message in messages.items()}
        payments = records.read_payments(platform, filter(None, map(read_transaction_id, bodies.values())))
        letters = [build_letter(messages[letter_id], body, payments) for letter_id, body in bodies.items()]
        selected = sorted(filter(is_selected, letters), key=lambda letter: letter.timestamp)
        unselected_ids = messages.keys() - {letter.letter_id for letter in selected}
        _show_messages(platform, [messages[letter_id] for letter_id in unselected_ids])
        for letter_id in unselected_ids:
            del messages[letter_id]
        yield selected
    except BaseException as error:
        _show_again(platform, messages, seconds, error)
        raise
    _show_again(platform, messages, seconds)


def _show_again(platform: Platform, messages: dict[str, Any], seconds: int, error: BaseException | None = None) -> None:
    """Show held messages to others again. If that fails, the ``error`` that came before it is raised, with that."""
    try:
        _show_messages(platform, messages.values())
    except (*AWS_ERRORS, KeyboardInterrupt) as second:
        raise_both(error or second, f"the dead letters may stay hidden for up to {seconds} seconds")


def keep_holding(
    platform: Platform, letters: Sequence[DeadLetter], clock: Callable[[], float] = time.monotonic
) -> Iterator[DeadLetter]:
    """Yield each held letter, and extend the hold of the rest if the caller takes long."""
    held_since = clock()
    for position, letter in enumerate(letters):
        if clock() - held_since > ACT_SECONDS / 3:
            held_since = clock()
            _set_visibility(platform, [remaining.receipt for remaining in letters[position:]], ACT_SECONDS)
        yield letter


def extend_hold(platform: Platform, letter: DeadLetter) -> None:
    """Extend the hold. Raises ``UserError`` if it has ended, because somebody else may hold the letter."""
    try:
        platform.client("sqs").change_message_visibility(
            QueueUrl=platform.dead_letter_queue_url, ReceiptHandle=letter.receipt, VisibilityTimeout=ACT_SECONDS
        )
    except ClientError as error:
        if error.response["Error"]["Code"] not in _NOT_HELD_CODES:
            raise
        message = f"dead letter {letter.letter_id[:8]} is no longer reserved by this command; run it again"
        raise UserError(message) from error


def delete_letter(platform: Platform, letter: DeadLetter) -> None:
    """Delete a held letter. Raises ``UserError`` if the hold has ended."""
    extend_hold(platform, letter)
    with platform.changes.note_request(f"dead letter {letter.letter_id[:8]} may have been deleted", goes_on=False):
        platform.client("sqs").delete_message(QueueUrl=platform.dead_letter_queue_url, ReceiptHandle=letter.receipt)


def is_counted_empty(platform: Platform) -> bool:
    """Whether SQS counts no letter, visible or held by others; False if the caller may not read it.

    A count costs a fraction of the second that looking on every server takes, but a letter of the last minute or so may
    not be part of it yet. https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_GetQueueAttributes.html
    """
    try:
        attributes = platform.client("sqs").get_queue_attributes(
            QueueUrl=platform.dead_letter_queue_url,
            AttributeNames=["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"],
        )["Attributes"]
    except ClientError:
        return False
    return all(count == "0" for count in attributes.values())


def count_held_by_others(platform: Platform) -> int:
    """Return the approximate number of letters that others hold, or 0 if the caller may not read it."""
    name: Final = "ApproximateNumberOfMessagesNotVisible"
    try:
        url = platform.dead_letter_queue_url
        return int(platform.client("sqs").get_queue_attributes(QueueUrl=url, AttributeNames=[name])["Attributes"][name])
    except ClientError:
        return 0  # only a hint


def _receive_messages(platform: Platform, messages: dict[str, Any], seconds: int) -> None:
    """Add messages until none arrives, or only known ones do: reading a long queue can outlast their hiding."""
    sqs, url, count = platform.client("sqs"), platform.dead_letter_queue_url, -1
    while count < len(messages):
        count = len(messages)
        # Without waiting, SQS asks only some of its servers and may miss messages; an emulator has one.
        wait_seconds = 0 if platform.target.is_emulator else 1
        response = sqs.receive_message(
            QueueUrl=url, MaxNumberOfMessages=_BATCH, VisibilityTimeout=seconds, WaitTimeSeconds=wait_seconds
        )
        messages |= {message["MessageId"]: message for message in response.get("Messages", [])}


def _show_messages(platform: Platform, messages: Iterable[Any]) -> None:
    _set_visibility(platform, [message["ReceiptHandle"] for message in messages], 0)


def _set_visibility(platform: Platform, receipts: Sequence[str], seconds: int) -> None:
    """Hide messages for ``seconds``, or show them with 0. Tries all of them, and then raises the first error.

    The batch tolerates receipts of letters that were deleted or are visible again.
    """
    errors: list[Exception] = []
    url = platform.dead_letter_queue_url
    for first in range(0, len(receipts), _BATCH):
        entries: Any = [
            {"Id": str(position), "ReceiptHandle": receipt, "VisibilityTimeout": seconds}
            for position, receipt in enumerate(receipts[first : first + _BATCH])
        ]
        try:
            platform.client("sqs").change_message_visibility_batch(QueueUrl=url, Entries=entries)
        except AWS_ERRORS as error:
            errors.append(error)
    if errors:
        raise errors[0]
