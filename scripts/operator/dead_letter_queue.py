"""The queue of dead letters: reading takes nothing away, and whoever acts on a letter holds it meanwhile.

SQS deletes a message by the receipt of whoever received it last, and accepts an older one without deleting anything.
So letters are acted on only while they are ``held``: hidden from everybody else. That an older receipt cannot hide or
show a message either is not documented; nothing here relies on it, because only the latest receipts are used.
https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_DeleteMessage.html
"""

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

from botocore.exceptions import ClientError

from scripts.common.errors import AWS_ERRORS, UserError

from . import records
from .dead_letters import Letter, letter_of, parsed, transaction_id_of
from .platform import Platform

# Until a letter is there again by itself: long enough to read some thousands once, and to act on one, which may take as
# long as a function may run, and some.
READ_SECONDS = 60
ACT_SECONDS = 600
# As many as SQS takes at once.
_BATCH = 10
# What SQS answers about a receipt that is no longer valid.
_NOT_HELD = {
    "MessageNotInflight",
    "AWS.SimpleQueueService.MessageNotInflight",
    "ReceiptHandleIsInvalid",
    "InvalidParameterValue",
}


def read(platform: Platform) -> list[Letter]:
    """All letters, oldest first. They stay in the queue, where everybody may see them again at once."""
    with held(platform, READ_SECONDS) as letters:
        return letters


@contextmanager
def held(
    platform: Platform, seconds: int = ACT_SECONDS, wanted: Callable[[Letter], bool] = lambda _: True
) -> Iterator[list[Letter]]:
    """The wanted letters, oldest first, hidden from everybody else inside the ``with`` block.

    Should this process be killed in it, they are hidden for ``seconds``, and then there again.
    """
    # By id, as last received; filled as they come, so that nothing stays hidden if this is interrupted.
    messages: dict[str, Any] = {}
    try:
        _receive(platform, messages, seconds)
        bodies = {one: parsed(message["Body"]) for one, message in messages.items()}
        payments = records.several(platform, filter(None, map(transaction_id_of, bodies.values())))
        letters = [letter_of(messages[one], body, payments) for one, body in bodies.items()]
        found = sorted(filter(wanted, letters), key=lambda letter: letter.timestamp)
        others = messages.keys() - {letter.letter_id for letter in found}
        _hide(platform, _receipts(messages[one] for one in others), 0)
        for one in others:
            del messages[one]
        yield found
    except BaseException:
        with suppress(*AWS_ERRORS):  # what went wrong first is what is to be known
            _hide(platform, _receipts(messages.values()), 0)
        raise
    _hide(platform, _receipts(messages.values()), 0)


def in_turn(
    platform: Platform, letters: Sequence[Letter], clock: Callable[[], float] = time.monotonic
) -> Iterator[Letter]:
    """Each of the letters that are held; those still to come are held for longer where the others take their time."""
    since = clock()
    for n, letter in enumerate(letters):
        if clock() - since > ACT_SECONDS / 3:
            since = clock()
            _hide(platform, [one.receipt for one in letters[n:]], ACT_SECONDS)
        yield letter


def hold_on(platform: Platform, letter: Letter) -> None:
    """Hold the letter for longer. Raises ``UserError`` for one that is held no more: it may be somebody else's."""
    try:
        platform.client("sqs").change_message_visibility(
            QueueUrl=platform.dead_letters_url, ReceiptHandle=letter.receipt, VisibilityTimeout=ACT_SECONDS
        )
    except ClientError as error:
        if error.response["Error"]["Code"] not in _NOT_HELD:
            raise
        what = f"dead letter {letter.letter_id[:8]}"
        raise UserError(f"{what} is no longer reserved by this command; run it again") from error


def clear(platform: Platform, letter: Letter) -> None:
    """Delete the letter, which is ``held``. Raises ``UserError`` for one that is held no more."""
    hold_on(platform, letter)
    platform.client("sqs").delete_message(QueueUrl=platform.dead_letters_url, ReceiptHandle=letter.receipt)


def held_by_others(platform: Platform) -> int:
    """About how many letters somebody else holds, so that they cannot be read; 0 where that may not be asked."""
    name = "ApproximateNumberOfMessagesNotVisible"
    try:
        asked = platform.client("sqs").get_queue_attributes(QueueUrl=platform.dead_letters_url, AttributeNames=[name])
    except ClientError:
        return 0  # it is a hint
    return int(asked["Attributes"][name])


def _receive(platform: Platform, messages: dict[str, Any], seconds: int) -> None:
    """Add all messages, until there are no more or the first comes back: a long queue outlasts its hiding."""
    sqs = platform.client("sqs")
    ask = {"QueueUrl": platform.dead_letters_url, "MaxNumberOfMessages": _BATCH, "VisibilityTimeout": seconds}
    # Without waiting, SQS asks only some of its servers, and may say "nothing" when there is something.
    ask["WaitTimeSeconds"] = 1
    while received := sqs.receive_message(**ask).get("Messages"):
        seen = len(messages)
        messages |= {message["MessageId"]: message for message in received}
        if len(messages) == seen:
            break


def _receipts(messages: Iterable[Any]) -> list[str]:
    return [message["ReceiptHandle"] for message in messages]


def _hide(platform: Platform, receipts: Sequence[str], seconds: int) -> None:
    """For so long; 0 shows them to everybody at once. All are tried, and the first error is raised then.

    Letters that were deleted, or have come back by themselves, are refused one by one, and need nothing.
    """
    errors: list[Exception] = []
    for first in range(0, len(receipts), _BATCH):
        some = enumerate(receipts[first : first + _BATCH])
        entries = [{"Id": str(n), "ReceiptHandle": one, "VisibilityTimeout": seconds} for n, one in some]
        try:
            platform.client("sqs").change_message_visibility_batch(QueueUrl=platform.dead_letters_url, Entries=entries)
        except AWS_ERRORS as error:
            errors.append(error)
    if errors:
        raise errors[0]
