"""The dead letters of this run's payments: each is read, and deleted. No other dead letter is deleted."""

from typing import Any

from scripts.common.errors import UserError
from scripts.common.waiting import poll_with_backoff
from scripts.operator import dead_letter_queue
from scripts.operator.executions import read_execution
from stacks import names

from .place import Place
from .results import Failed
from .samples import Sample, samples

LETTER_SECONDS = 60
# For the executions of an interrupted run.
LEFT_RUNNING_SECONDS = 60


def take_letter(place: Place, sample: Sample) -> str:
    """The error that the dead letter of a payment names. Raises ``Failed`` without one, or with another error."""
    arn = place.executions[sample.name]

    def probe() -> list[Any]:
        with dead_letter_queue.hold_letters(
            place.platform, dead_letter_queue.READ_SECONDS, lambda letter: letter.execution_arn == arn
        ) as letters:
            for letter in letters:
                dead_letter_queue.delete_letter(place.platform, letter)
            return letters

    letters = place.wait(probe, LETTER_SECONDS)
    if not letters:
        raise Failed(
            f"none within {LETTER_SECONDS} s; see DeadLetterPayments and UseQueueKeyThroughSQS of "
            f"{place.named(names.WORKFLOW_ROLE)}"
        )
    if letters[0].error != sample.error:
        raise Failed(f"it says {letters[0].error}, must say {sample.error}")
    return f"{letters[0].error}, read and deleted"


def delete_letters(place: Place) -> None:
    """Whatever of this run is left: of no other payment. A failed one leaves its letter when its execution ends.

    Raises ``UserError`` where that takes too long.
    """
    running = [place.executions[sample.name] for sample in samples(place.settings) if sample.name in place.executions]
    for _ in poll_with_backoff(LEFT_RUNNING_SECONDS):
        running = [arn for arn in running if not read_execution(place.client("stepfunctions"), arn).has_ended]
        if not running:
            break
    with dead_letter_queue.hold_letters(
        place.platform,
        dead_letter_queue.READ_SECONDS,
        lambda letter: letter.transaction_id.startswith(f"{place.run_name}-"),
    ) as letters:
        for letter in letters:
            dead_letter_queue.delete_letter(place.platform, letter)
    if running:
        clear = f"scripts/payments.sh --env {place.environment} dlq list"
        raise UserError(f"{len(running)} executions still run; see later whether they left dead letters: {clear}")
