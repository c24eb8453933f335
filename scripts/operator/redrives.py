"""Send failed payments through the workflow again. Safe to repeat: each is charged at most once."""

import json

from botocore.exceptions import ClientError
from payments.errors import MalformedRequest
from payments.request import read_request

from scripts.common.errors import AWS_ERRORS, UserError, describe_error, is_refusal

from . import dead_letter_queue, records
from .dead_letters import DeadLetter
from .execution_names import is_express, name_redrive
from .executions import NOT_FOUND_CODES
from .platform import Platform
from .statuses import SETTLED


class Redrives:
    """Redrives dead letters one by one; starts each request once, however many letters it has left."""

    def __init__(self, platform: Platform) -> None:
        self._platform = platform
        # The identities of the requests that were started here.
        self.started: set[tuple[str, str]] = set()
        self._deleted_count = 0

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
        sent = self._read_sent_request(letter)
        # The function refuses another request than the recorded one, and a payment that can no longer be charged.
        reopened = self._platform.invoke_payment_action(
            "reopen", letter.transaction_id, request=json.loads(sent) if sent else None
        )
        changes, stepfunctions = self._platform.changes, self._platform.client("stepfunctions")
        changes.latest = f"{letter.transaction_id} was reopened"
        request = sent or json.dumps(reopened["request"], sort_keys=True)
        with changes.note_request(f"{letter.transaction_id} was reopened, and may have been started"):
            execution = stepfunctions.start_execution(
                stateMachineArn=self._platform.outputs["StepFunctionsStateMachineArn"],
                name=name_redrive(letter.transaction_id),
                input=request,
            )
            changes.has_started = True
        self.started.add(_identify_request(letter, request))
        self._settle_changes()
        return self._delete_letter(letter, f"started {execution['executionArn']}")

    def _is_started(self, letter: DeadLetter) -> bool:
        if letter.transaction_id not in [transaction_id for transaction_id, _ in self.started]:
            return False
        sent = self._read_sent_request(letter)
        return sent is None or _identify_request(letter, sent) in self.started

    def _read_sent_request(self, letter: DeadLetter) -> str | None:
        """Return the request as it was sent, the input of the failed execution, or None if there is no history.

        Step Functions keeps it for 90 days: https://docs.aws.amazon.com/step-functions/latest/dg/service-quotas.html
        It keeps none of an Express execution.
        """
        if is_express(letter.execution_arn):
            return None
        stepfunctions = self._platform.client("stepfunctions")
        try:
            return str(stepfunctions.describe_execution(executionArn=letter.execution_arn)["input"])
        except ClientError as error:
            if error.response["Error"]["Code"] not in NOT_FOUND_CODES:
                raise
            return None

    def _delete_letter(self, letter: DeadLetter, outcome: str) -> str:
        try:
            dead_letter_queue.delete_letter(self._platform, letter)
        except (UserError, *AWS_ERRORS) as error:
            self._platform.changes.latest = ""
            is_kept = isinstance(error, UserError) or is_refusal(error)
            fate = "was not deleted" if is_kept else "may not have been deleted"
            raise UserError(f"{outcome}, but its dead letter {fate}: {describe_error(error)}") from error
        self._deleted_count += 1
        self._settle_changes()
        return outcome

    def _settle_changes(self) -> None:
        counts = f"payments started: {len(self.started)}, dead letters deleted: {self._deleted_count}"
        self._platform.changes.settle(counts)


def _identify_request(letter: DeadLetter, request: str) -> tuple[str, str]:
    """Return the id, and what distinguishes the request from others under this id."""
    try:
        return letter.transaction_id, read_request(json.loads(request)).canonical
    except (ValueError, MalformedRequest):
        return letter.transaction_id, request
