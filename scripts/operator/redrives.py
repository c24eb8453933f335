"""Send failed payments through the workflow again. Safe to repeat: each is charged at most once."""

import json

from payments.errors import MalformedRequest
from payments.request import read_request

from scripts.common.errors import AWS_ERRORS, UserError, describe_error

from . import dead_letter_queue, records
from .dead_letters import DeadLetter
from .execution_names import name_redrive
from .platform import Platform
from .statuses import SETTLED


class Redrives:
    """Redrives dead letters one by one; starts each request once, however many letters it has left."""

    def __init__(self, platform: Platform) -> None:
        self._platform = platform
        # The identities of the requests that were started here.
        self.started: set[tuple[str, str]] = set()

    def redrive_letter(self, letter: DeadLetter) -> str:
        """Send the payment of a held letter again, delete the letter, and return the outcome.

        The letter is deleted last, so that after an error, a second redrive finds both the letter and the execution.
        Raises ``UserError`` with the reason if the letter cannot be redriven.
        """
        # Its status was read with the whole list, which may be long ago.
        payments = records.read_payments(self._platform, filter(None, [letter.transaction_id]))
        letter = letter.with_status_of(payments.get(letter.transaction_id))
        dead_letter_queue.extend_hold(self._platform, letter)
        if letter.current_status in SETTLED and not letter.is_of_another_request:
            return self._delete_letter(letter, "has its outcome; cleared its dead letter")
        if self._is_started(letter):
            return self._delete_letter(letter, "started already; cleared this dead letter of the same request")
        if not letter.is_redrivable:
            raise UserError(letter.advice)
        request = self._read_request_text(letter)
        # The function refuses another request than the recorded one, and a payment that can no longer be charged.
        self._platform.invoke_payment_action("reopen", letter.transaction_id, request=json.loads(request))
        execution = self._platform.client("stepfunctions").start_execution(
            stateMachineArn=self._platform.outputs["StepFunctionsStateMachineArn"],
            name=name_redrive(letter.transaction_id),
            input=request,
        )
        self.started.add(_identify_request(letter, request))
        return self._delete_letter(letter, f"started {execution['executionArn']}")

    def _is_started(self, letter: DeadLetter) -> bool:
        if letter.transaction_id not in [transaction_id for transaction_id, _ in self.started]:
            return False
        return _identify_request(letter, self._read_request_text(letter)) in self.started

    def _read_request_text(self, letter: DeadLetter) -> str:
        """Return the request as it was sent: the input of the failed execution."""
        stepfunctions = self._platform.client("stepfunctions")
        return str(stepfunctions.describe_execution(executionArn=letter.execution_arn)["input"])

    def _delete_letter(self, letter: DeadLetter, outcome: str) -> str:
        try:
            dead_letter_queue.delete_letter(self._platform, letter)
        except (UserError, *AWS_ERRORS) as error:
            raise UserError(f"{outcome}, but its dead letter was not deleted: {describe_error(error)}") from error
        return outcome


def _identify_request(letter: DeadLetter, request: str) -> tuple[str, str]:
    """Return the id, and what distinguishes the request from others under this id."""
    try:
        return letter.transaction_id, read_request(json.loads(request)).canonical
    except (ValueError, MalformedRequest):
        return letter.transaction_id, request
