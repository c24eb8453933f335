"""Reads and deletes the dead letters of this run's payments, and no others."""

from typing import Any

from scripts.common.errors import UserError
from scripts.common.suggestion import suggest_payments_command
from scripts.common.waiting import poll_with_backoff
from scripts.operator import dead_letter_queue
from scripts.operator.express_executions import read_payment_execution
from stacks import names

from .results import Failed
from .run import Run
from .samples import Sample, make_samples

LETTER_SECONDS = 60
# The time for executions of an interrupted run to end.
LEFT_RUNNING_SECONDS = 60


def take_letter(run: Run, sample: Sample) -> str:
    """Return the error in the dead letter of a payment. Raises ``Failed`` if there is no letter, or another error."""
    arn = run.executions[sample.name]

    def take_letters() -> list[Any]:
        with dead_letter_queue.hold_letters(
            run.platform, dead_letter_queue.READ_SECONDS, lambda letter: letter.execution_arn == arn
        ) as letters:
            for letter in letters:
                dead_letter_queue.delete_letter(run.platform, letter)
            return letters

    letters = run.wait_for(take_letters, LETTER_SECONDS)
    if not letters:
        raise Failed(
            f"none within {LETTER_SECONDS} s; see DeadLetterPayments and UseQueueKeyThroughSQS of "
            f"{run.resource_name(names.WORKFLOW_ROLE)}"
        )
    if letters[0].error != sample.error:
        raise Failed(f"its error is {letters[0].error}, must be {sample.error}")
    return f"{letters[0].error}, read and deleted"


def delete_letters(run: Run) -> None:
    """Delete the dead letters of this run. Raises ``UserError`` if an execution may still run, which may leave one."""
    running = [run.executions[sample.name] for sample in make_samples(run.settings) if sample.name in run.executions]
    for _ in poll_with_backoff(LEFT_RUNNING_SECONDS):
        running = [arn for arn in running if not read_payment_execution(run.platform, arn).has_ended]
        if not running:
            break
    with dead_letter_queue.hold_letters(
        run.platform,
        dead_letter_queue.READ_SECONDS,
        lambda letter: letter.transaction_id.startswith(f"{run.name}-"),
    ) as letters:
        for letter in letters:
            dead_letter_queue.delete_letter(run.platform, letter)
    if count := len(running) + len(run.unanswered_starts):
        clear = suggest_payments_command(run.environment, "dlq", "list")
        raise UserError(f"{count} executions may still run; see later whether they left dead letters: {clear}")
