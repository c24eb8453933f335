"""Send what failed for good through the workflow again. Safe to repeat: it is charged at most once."""

import json

from payments.errors import MalformedRequest
from payments.request import read_request

from scripts.common.errors import AWS_ERRORS, UserError, describe_error

from . import dead_letter_queue, records
from .dead_letters import Letter
from .execution_names import name_redrive
from .platform import Platform
from .statuses import SETTLED


class Redrives:
    """Redrives dead letters one after the other; a request is started once, however many letters it left."""

    def __init__(self, platform: Platform) -> None:
        self._platform = platform
        # The identities of the requests that were started here.
        self.started: set[tuple[str, str]] = set()

    def redrive(self, letter: Letter) -> str:
        """Send the payment of a letter that is ``held`` again, and delete the letter; what was done, in words.

        The letter goes last: whatever happens before, it is still there, and a second redrive finds what the first did.
        Raises ``UserError`` for one that cannot be redriven, and says why.
        """
        # A long list outlasts the moment at which it was read.
        known = records.several(self._platform, filter(None, [letter.transaction_id]))
        letter = letter.of_payment(known.get(letter.transaction_id))
        dead_letter_queue.hold_on(self._platform, letter)
        if letter.now in SETTLED and not letter.is_of_another_request:
            return self._cleared(letter, "has its outcome")
        if self._was_started(letter):
            return self._cleared(letter, "started already; cleared this dead letter of the same request")
        if not letter.can_be_redriven:
            raise UserError(letter.advice)
        request = _request(self._platform, letter)
        # Refused for a request that is not the recorded one, and for a payment that cannot be charged any more.
        self._platform.ask("reopen", letter.transaction_id, request=json.loads(request))
        started = _start_again(self._platform, letter, request)
        self.started.add(_identity(letter, request))
        return self._cleared(letter, f"started {started}")

    def _was_started(self, letter: Letter) -> bool:
        if letter.transaction_id not in [one for one, _ in self.started]:
            return False
        return _identity(letter, _request(self._platform, letter)) in self.started

    def _cleared(self, letter: Letter, done: str) -> str:
        try:
            dead_letter_queue.clear(self._platform, letter)
        except (UserError, *AWS_ERRORS) as error:
            raise UserError(f"{done}, but its dead letter was not deleted: {describe_error(error)}") from error
        return done


def _request(platform: Platform, letter: Letter) -> str:
    """The request as it was sent: the execution that failed still has it."""
    stepfunctions = platform.client("stepfunctions")
    return str(stepfunctions.describe_execution(executionArn=letter.execution_arn)["input"])


def _identity(letter: Letter, request: str) -> tuple[str, str]:
    """The id, and what tells the request from another one under it."""
    try:
        return letter.transaction_id, read_request(json.loads(request)).canonical
    except (ValueError, MalformedRequest):
        return letter.transaction_id, request


def _start_again(platform: Platform, letter: Letter, request: str) -> str:
    started = platform.client("stepfunctions").start_execution(
        stateMachineArn=platform.outputs["StepFunctionsStateMachineArn"],
        name=name_redrive(letter.transaction_id),
        input=request,
    )
    return str(started["executionArn"])
