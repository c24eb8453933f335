"""Start payments, each once, and wait for what becomes of them.

An execution is named after its transaction id, so that a request sent again, by whomever, finds the execution that it
had, and another request under the id is refused. What the table holds is asked before anything is sent, so most
repetitions send nothing at all.
"""

import json
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from email.utils import parsedate_to_datetime
from typing import Any

from botocore.exceptions import ClientError
from payments.errors import MalformedRequest
from payments.request import PaymentRequest
from payments.request import read_request as read_request

from . import records
from .execution_names import name_execution
from .executions import GONE
from .payment_requests import Request
from .platform import Platform
from .records import Record
from .statuses import FINAL, SETTLED

LONGEST_SECONDS = 15 * 60
# Executions that are asked after at a time: Step Functions answers ten in a second, for the whole account.
# https://docs.aws.amazon.com/step-functions/latest/dg/service-quotas.html
ASKED_AT_ONCE = 30
# Until what it says of an execution holds: it may not know yet of one that it has just started.
# https://docs.aws.amazon.com/step-functions/latest/apireference/API_DescribeExecution.html
CONSISTENT_SECONDS = 30
# Of one payment, each after one that ended before it recorded anything.
MOST_EXECUTIONS = 10


@dataclass(frozen=True)
class Result:
    """What is known of a request.

    ``status`` is the payment's, or ``NOT SENT``, ``SENT``, ``NOT RECORDED``, ``CONFLICT`` (the id is another's).
    ``said`` is what there is to say beside that. ``failed`` is a technical failure, ``done`` that nothing more is to
    be waited for; ``sent`` that this run started an execution.
    """

    transaction_id: str
    status: str = "NOT SENT"
    said: str = ""
    amount: str = ""
    execution: str = ""
    sent: bool = False
    failed: bool = False
    done: bool = False


class Batch:
    """Requests on their way. ``results`` is what is known; one whose start was interrupted counts as not sent."""

    def __init__(self, platform: Platform, requests: Sequence[Request]) -> None:
        self._platform = platform
        self._requests = {request.transaction_id: request for request in requests}
        self.results = {one: Result(one) for one in self._requests}

    def send(self) -> Iterator[Result]:
        """Start what has not been started before; each result as it is known."""
        stepfunctions, machine = self._platform.client("stepfunctions"), self._platform.outputs[_MACHINE]
        known = records.several(self._platform, self._requests)
        for transaction_id, request in self._requests.items():
            record = known.get(transaction_id)
            result = _known_before(request, record) if record else _start(stepfunctions, machine, request)
            self.results[transaction_id] = result
            yield result

    def wait(
        self, pause: Callable[[float], None] = time.sleep, clock: Callable[[], float] = time.monotonic
    ) -> Iterator[Result]:
        """Each result as it is done. Reads each payment that is not, a hundred at a time, every second or so.

        What is not done after a quarter of an hour is yielded as it is, failed.
        """
        began, wait, looks = clock(), 0.3, 0
        while waiting := [one for one in self.results.values() if not one.done]:
            waited = clock() - began
            # The table tells most; an execution that ends without an outcome is worth a call now and then.
            asked = _in_turn(waiting, looks // 4, ASKED_AT_ONCE) if looks % 4 == 3 else []
            ended = {one.transaction_id for one in asked if self._ended(one, waited > CONSISTENT_SECONDS)}
            # Read after that: it has all that an execution wrote before it ended.
            known = records.several(self._platform, [one.transaction_id for one in waiting])
            for result in waiting:
                one = result.transaction_id
                changed = self._now(result, known.get(one), one in ended, late=waited > LONGEST_SECONDS)
                self.results[one] = changed
                if changed.done:
                    yield changed
            looks += 1
            if any(not one.done for one in self.results.values()):
                pause(wait)
            wait = min(wait * 1.2, 2.0)

    def _now(self, result: Result, record: Record | None, ended: bool, *, late: bool) -> Result:
        if record is not None:
            if not record.is_of(self._requests[result.transaction_id].content):
                return _conflict(result, record)
            result = _of(result, record, result.said)
            if record.status in FINAL:
                return _final(result, record)
        if ended:
            said = "its execution failed" if record is None else _LEFT
            status = "NOT RECORDED" if record is None else result.status
            return replace(result, status=status, said=said, failed=True, done=True)
        if late:
            unknown = "not recorded yet; run the same command again later"
            said = "still in progress; see `show` for the outcome" if record is not None else unknown
            return replace(result, said=said, failed=True, done=True)
        return result

    def _ended(self, result: Result, consistent: bool) -> bool:
        try:
            execution = self._platform.client("stepfunctions").describe_execution(executionArn=result.execution)
        except ClientError as error:
            if error.response["Error"]["Code"] not in GONE:
                raise
            return consistent
        return bool(execution["status"] != "RUNNING")


_MACHINE = "StepFunctionsStateMachineArn"
_LEFT = "no outcome yet; reconciliation will determine it"


def _in_turn(results: Sequence[Result], turn: int, most: int) -> list[Result]:
    """At most so many of them, other ones at each turn."""
    first = turn * most % len(results)
    return [*results[first:], *results[:first]][:most]


def _known_before(request: Request, record: Record) -> Result:
    """A payment that is recorded is not sent again: it would be answered with what is recorded."""
    result = _of(Result(request.transaction_id), record, "")
    if not record.is_of(request.content):
        return _conflict(result, record)
    if record.status not in FINAL:
        return replace(result, said="already sent")
    final = _final(result, record)
    return replace(final, said=f"had its outcome before{', ' + final.said if final.said else ''}")


def _conflict(result: Result, record: Record) -> Result:
    return _refused(result, f"is {record.status}")


def _refused(result: Result, other_request: str) -> Result:
    said = f"the id is already used by another request, which {other_request}; choose a new id"
    return replace(result, status="CONFLICT", said=said, amount="", failed=True, done=True)


def _final(result: Result, record: Record) -> Result:
    failed = record.status not in SETTLED
    said = record.failure or ", ".join(record.reasons)
    if record.status == "FAILED":
        said += "; `dlq redrive` tries again"
    elif record.status == "REVIEW":
        said += "; look it up at the gateway and `resolve` it"
    return replace(result, said=said, failed=failed, done=True)


def _of(result: Result, record: Record, said: str) -> Result:
    execution = result.execution or record.execution
    return replace(result, status=record.status, amount=record.amount, said=said, execution=execution)


def _start(stepfunctions: Any, machine: str, request: Request) -> Result:
    """Start the first execution of a payment that is not recorded, or the next after those that recorded nothing.

    A name can be taken by an execution that is on its way to recording the payment, that ended before it did, or that
    has nothing to do with it. What it was started with decides; not byte by byte, for others may spell an amount
    differently.
    """
    result = Result(request.transaction_id)
    for number in range(1, MOST_EXECUTIONS + 1):
        name = name_execution(request.transaction_id, number)
        arn = f"{machine.replace(':stateMachine:', ':execution:')}:{name}"
        try:
            started = stepfunctions.start_execution(stateMachineArn=machine, name=name, input=request.body)
        except stepfunctions.exceptions.ExecutionAlreadyExists:
            execution = stepfunctions.describe_execution(executionArn=arn)
            is_running = execution["status"] == "RUNNING"
            sent_before = _read_input(execution)
            if sent_before is None or sent_before.transaction_id != request.transaction_id:
                continue
            if sent_before.canonical != request.content.canonical:
                other_request = "is being processed" if is_running else "was sent before, and is not recorded"
                return _refused(replace(result, execution=arn), other_request)
            if is_running:
                return replace(result, status="SENT", said="already sent", execution=arn)
            continue
        if _ran_before(started):
            return replace(result, status="SENT", said="already sent", execution=arn)
        return replace(result, status="SENT", execution=arn, sent=True)
    said = f"{MOST_EXECUTIONS} executions ended before they recorded it; see the last one's history"
    return replace(result, status="NOT RECORDED", said=said, execution=arn, failed=True, done=True)


def _read_input(execution: dict[str, Any]) -> PaymentRequest | None:
    """Return the request that an execution was started with, or None for what is not one."""
    try:
        return read_request(json.loads(execution["input"]))
    except (ValueError, RecursionError, MalformedRequest):
        return None


def _ran_before(started: dict[str, Any]) -> bool:
    """Whether the execution ran already: asked to start one that runs, with the same input, AWS answers as it did then.

    Compared with AWS's own clock, which comes to the second; one that began in the same moment passes for ours.
    https://docs.aws.amazon.com/step-functions/latest/apireference/API_StartExecution.html
    """
    answered = started["ResponseMetadata"]["HTTPHeaders"].get("date")
    return answered is not None and (parsedate_to_datetime(answered) - started["startDate"]).total_seconds() > 2
