"""Start payments, each once, and wait for what becomes of them.

An execution is named after its request, so that the same request sent again, by whomever, finds the execution that it
had. What the table holds is asked before anything is sent, so most repetitions send nothing at all.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from botocore.exceptions import ClientError

from . import records
from .environment import Platform
from .executions import in_a_name
from .records import Record
from .requests import Request

LONGEST_SECONDS = 15 * 60
# Business outcomes: nothing went wrong, whatever the customer thinks of it.
SETTLED = ("COMPLETED", "DECLINED", "REJECTED", "REFUNDED", "REFUNDING")
_FINAL = (*SETTLED, "FAILED", "REVIEW")
# An execution that ended before it recorded anything is followed by one with the next number.
_TRIES = 9


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
        deadline, wait, looks = clock() + LONGEST_SECONDS, 0.3, 0
        while waiting := [one for one in self.results.values() if not one.done]:
            known = records.several(self._platform, [one.transaction_id for one in waiting])
            for result in waiting:
                record = known.get(result.transaction_id)
                # The table tells most; an execution that ends without an outcome is worth a call now and then.
                ended = looks % 4 == 3 and self._ended(result)
                changed = self._now(result, record, ended, late=clock() > deadline)
                if changed != result:
                    self.results[result.transaction_id] = changed
                if changed.done:
                    yield changed
            looks += 1
            if any(not one.done for one in self.results.values()):
                pause(wait)
            wait = min(wait * 1.2, 2.0)

    def _now(self, result: Result, record: Record | None, ended: bool, *, late: bool) -> Result:
        if record is not None:
            if record.fingerprint != self._requests[result.transaction_id].fingerprint:
                return _conflict(result, record)
            result = _of(result, record, result.said)
            if record.status in _FINAL:
                return _final(result, record)
        if ended:
            said = "its execution failed" if record is None else _LEFT
            status = "NOT RECORDED" if record is None else result.status
            return replace(result, status=status, said=said, failed=True, done=True)
        if late:
            return replace(result, said="still under way; `show` tells how it ends", failed=True, done=True)
        return result

    def _ended(self, result: Result) -> bool:
        try:
            execution = self._platform.client("stepfunctions").describe_execution(executionArn=result.execution)
        except ClientError as error:
            if error.response["Error"]["Code"] not in ("ExecutionDoesNotExist", "InvalidArn", "ValidationException"):
                raise
            return True
        return bool(execution["status"] != "RUNNING")


_MACHINE = "StepFunctionsStateMachineArn"
_LEFT = "no outcome yet; reconciliation finds out"


def _known_before(request: Request, record: Record) -> Result:
    """A payment that is recorded is not sent again: it would be answered with what is recorded."""
    result = _of(Result(request.transaction_id), record, "")
    if record.fingerprint != request.fingerprint:
        return _conflict(result, record)
    if record.status not in _FINAL:
        return replace(result, said="was sent before")
    final = _final(result, record)
    return replace(final, said=f"had its outcome before{', ' + final.said if final.said else ''}")


def _conflict(result: Result, record: Record) -> Result:
    said = f"the id was used for another request, which is {record.status}; choose another"
    return replace(result, status="CONFLICT", said=said, amount="", failed=True, done=True)


def _final(result: Result, record: Record) -> Result:
    failed = record.status not in SETTLED
    said = record.failure or ", ".join(record.reasons)
    if record.status == "FAILED":
        said += "; send a new payment" if record.closed else "; `dlq redrive` tries again"
    elif record.status == "REVIEW":
        said += "; look it up at the gateway and `resolve` it"
    return replace(result, said=said, failed=failed, done=True)


def _of(result: Result, record: Record, said: str) -> Result:
    execution = result.execution or record.execution
    return replace(result, status=record.status, amount=record.amount, said=said, execution=execution)


def name_of(request: Request, number: int = 0) -> str:
    """The execution's: the transaction's id and the request's fingerprint, at most 80 characters of those it takes."""
    name = f"{in_a_name(request.transaction_id)}-{request.fingerprint[:16]}"
    return f"{name}{chr(ord('g') + number - 1)}" if number else name


def _start(stepfunctions: Any, machine: str, request: Request) -> Result:
    """Nothing is recorded of it. An execution of its name may be on its way to that, or have ended before it."""
    for number in range(_TRIES + 1):
        name = name_of(request, number)
        arn = f"{machine.replace(':stateMachine:', ':execution:')}:{name}"
        try:
            stepfunctions.start_execution(stateMachineArn=machine, name=name, input=request.body)
        except stepfunctions.exceptions.ExecutionAlreadyExists:
            execution = stepfunctions.describe_execution(executionArn=arn)
            if execution["status"] == "RUNNING":
                return Result(request.transaction_id, "SENT", "was sent before", execution=arn)
            continue
        return Result(request.transaction_id, "SENT", execution=arn, sent=True)
    said = f"{_TRIES + 1} executions failed before they recorded it; see the last one's history"
    return Result(request.transaction_id, "NOT RECORDED", said, execution=arn, failed=True, done=True)
