"""Starts payments, each once, and waits for their outcomes.

An execution is named after its transaction id, so a repeated request finds its execution, and another request under the
id is refused. The table is read before anything is sent, so most repetitions send nothing.
"""

import json
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, replace
from email.utils import parsedate_to_datetime
from itertools import islice
from typing import Any

from botocore.exceptions import ClientError
from payments.errors import MalformedRequest
from payments.payment import Status
from payments.request import PaymentRequest, read_request

from scripts.common.errors import is_refusal

from . import records
from .execution_names import is_express, name_execution
from .executions import NOT_FOUND_CODES
from .express_executions import LONGEST_SECONDS as LONGEST_EXPRESS_SECONDS
from .payment_requests import Request
from .platform import Platform
from .records import Record
from .statuses import FINAL, SETTLED

LONGEST_SECONDS = 15 * 60
# DescribeExecution allows ten calls in a second for the whole account.
# https://docs.aws.amazon.com/step-functions/latest/dg/service-quotas.html
EXECUTIONS_PER_LOOK = 30
# DescribeExecution is eventually consistent: it may not know an execution that was just started.
# https://docs.aws.amazon.com/step-functions/latest/apireference/API_DescribeExecution.html
CONSISTENT_SECONDS = 30
# For one payment, each after one that ended before it recorded anything.
MOST_EXECUTIONS = 10
# Half of what the smallest Regions allow an account in a second, so that customers' payments are started as well.
# https://docs.aws.amazon.com/step-functions/latest/dg/service-quotas.html
STARTS_PER_SECOND = 75
# botocore keeps ten connections to a service.
STARTS_AT_ONCE = 10
REQUESTS_PER_READ = 100
# A payment takes seconds, so this many use the starts of each second up.
MOST_PENDING = 500


@dataclass(frozen=True)
class Result:
    """What is known about a request.

    ``status`` is the payment's, or ``SENT``, ``NOT RECORDED`` or ``CONFLICT`` (the id belongs to another request);
    ``comment`` explains it. ``is_newly_sent`` is whether this run started an execution, ``failed`` whether it failed
    technically, ``is_final`` whether waiting is over.
    """

    transaction_id: str
    status: str = "SENT"
    comment: str = ""
    amount: str = ""
    execution: str = ""
    is_newly_sent: bool = False
    failed: bool = False
    is_final: bool = False


@dataclass
class _Pending:
    request: Request
    result: Result
    sent_at: float


class Batch:
    """Sends requests, and follows them until they have their outcome.

    ``requests`` may be any number: they are read as they are sent, and only those that wait for an outcome are kept.
    ``starts_per_second`` limits the calls of StartExecution, and ``follows`` is whether anybody waits for outcomes.

    Of the ``read_count`` requests that were looked up so far, ``sent_count`` are sent, or were before. ``has_started``
    is whether an execution was started here.
    """

    def __init__(
        self,
        platform: Platform,
        requests: Iterable[Request],
        *,
        starts_per_second: float = STARTS_PER_SECOND,
        follows: bool = True,
        pause: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.read_count = self.sent_count = 0
        self.has_started = False
        self._platform = platform
        self._requests = iter(requests)
        self._seconds_per_start = 1 / starts_per_second
        self._pause = pause
        self._clock = clock
        self._pending: dict[str, _Pending] = {}
        self._follows, self._leaves_payments = follows, False
        # The starts that are on their way, or whose answer is lost.
        self._unanswered_ids: set[str] = set()
        # Of the requests that are being sent.
        self._answered: dict[str, Result] = {}
        self._lock = threading.Lock()
        self._next_start_at = self._next_look_at = 0.0
        self._look_interval = 0.3
        self._looks = 0

    @property
    def unanswered_count(self) -> int:
        """How many requests may have been sent besides: nobody knows whether their start was carried out."""
        return len(self._unanswered_ids)

    @property
    def open_results(self) -> dict[str, Result]:
        """What is known of the requests whose result was not yielded, by their ids."""
        return {**self._answered, **{key: pending.result for key, pending in self._pending.items()}}

    @property
    def is_going_on(self) -> bool:
        """Whether payments go on without this batch, as far as is known."""
        return bool(self._pending or self._unanswered_ids or self._leaves_payments)

    def send_requests(self) -> Iterator[Result]:
        """Start what was not started before, and yield each result, final or not."""
        while requests := list(islice(self._requests, REQUESTS_PER_READ)):
            yield from self._send(requests)

    def wait_for_outcomes(self) -> Iterator[Result]:
        """Send what is left, and yield each result when it is final, or as failed after a quarter of an hour.

        While requests are left, at most ``MOST_PENDING`` wait for their outcome. The pending payments are read about
        every two seconds.
        """
        while True:
            room = MOST_PENDING - len(self._pending)
            requests = list(islice(self._requests, min(room, REQUESTS_PER_READ)))
            if requests:
                yield from (result for result in self._send(requests) if result.is_final)
            elif not self._pending:
                return
            seconds = self._next_look_at - self._clock()
            if seconds > 0 and not requests:
                self._pause(seconds)
            if seconds <= 0 or not requests:
                yield from self._look()

    def _send(self, requests: Sequence[Request]) -> list[Result]:
        """Send requests whose payment is not recorded, several at a time, and return the results of all in their order.

        If one cannot be sent, its error is raised after the others were sent. An interrupt ends that: what has begun is
        waited for, and nothing else begins.
        """
        payments = records.read_payments(self._platform, [request.transaction_id for request in requests])
        recorded = [request for request in requests if request.transaction_id in payments]
        results = {
            request.transaction_id: _describe_recorded(request, payments[request.transaction_id])
            for request in recorded
        }
        for request in recorded:
            self._note_pending(request, results[request.transaction_id])
        self._answered = dict(results)
        self.read_count += len(requests)
        self.sent_count += sum(map(_is_sent, results.values()))
        starts: dict[str, Future[Result]] = {}
        executor = ThreadPoolExecutor(STARTS_AT_ONCE)
        try:
            for request in requests:
                if request.transaction_id not in payments:
                    self._pace_start()
                    starts[request.transaction_id] = executor.submit(self._start, request)
            wait(starts.values())
        finally:
            executor.shutdown(cancel_futures=True)
        results |= {key: start.result() for key, start in starts.items()}
        self._answered = {}
        return [results[request.transaction_id] for request in requests]

    def _start(self, request: Request) -> Result:
        """Start an execution and return its result, as soon as it is counted. Several threads do so."""
        self._unanswered_ids.add(request.transaction_id)
        try:
            result = _start_execution(self._platform, request)
        except Exception as error:
            if is_refusal(error):
                self._unanswered_ids.remove(request.transaction_id)
            raise
        with self._lock:
            self.sent_count += _is_sent(result)
        self._answered[request.transaction_id] = result
        if result.is_newly_sent:
            self.has_started = True
        self._note_pending(request, result)
        self._unanswered_ids.remove(request.transaction_id)
        return result

    def _note_pending(self, request: Request, result: Result) -> None:
        if result.is_final:
            return
        if self._follows:
            self._pending[result.transaction_id] = _Pending(request, result, self._clock())
        else:
            self._leaves_payments = True

    def _pace_start(self) -> None:
        seconds = self._next_start_at - self._clock()
        if seconds > 0:
            self._pause(seconds)
        self._next_start_at = self._clock() + self._seconds_per_start

    def _look(self) -> Iterator[Result]:
        """Read the pending payments, and yield the results that became final."""
        results = [pending.result for pending in self._pending.values()]
        # The table has most outcomes; executions are described now and then, to find those that ended without one.
        is_describing = self._looks % 4 == 3
        described = _select_in_turn(results, self._looks // 4, EXECUTIONS_PER_LOOK) if is_describing else []
        ended_ids = {result.transaction_id for result in described if self._has_execution_ended(result)}
        # Read after the executions, so it has all that an execution wrote before it ended.
        payments = records.read_payments(self._platform, list(self._pending))
        for key, pending in list(self._pending.items()):
            is_late = self._clock() - pending.sent_at > LONGEST_SECONDS
            pending.result = _update_result(pending, payments.get(key), key in ended_ids, is_late)
            if pending.result.is_final:
                del self._pending[key]
                yield pending.result
        self._looks += 1
        self._next_look_at = self._clock() + self._look_interval
        self._look_interval = min(self._look_interval * 1.2, 2.0)

    def _has_execution_ended(self, result: Result) -> bool:
        if is_express(result.execution):  # no API describes it, and it takes no longer
            return self._clock() - self._pending[result.transaction_id].sent_at > LONGEST_EXPRESS_SECONDS
        try:
            execution = self._platform.client("stepfunctions").describe_execution(executionArn=result.execution)
        except ClientError as error:
            if error.response["Error"]["Code"] not in NOT_FOUND_CODES:
                raise
            return self._clock() - self._pending[result.transaction_id].sent_at > CONSISTENT_SECONDS
        return execution["status"] != "RUNNING"


def _is_sent(result: Result) -> bool:
    return result.status != "CONFLICT"


def _update_result(pending: _Pending, record: Record | None, has_ended: bool, is_late: bool) -> Result:
    result = pending.result
    if record is not None:
        if not record.matches(pending.request.content):
            return _refuse_id(result, f"is {record.status}")
        result = _apply_record(result, record)
        if record.status in FINAL:
            return _finish(result, record)
    if has_ended and record is None:
        return _fail(
            result,
            "its execution failed before it recorded the payment; run the same command again",
            status="NOT RECORDED",
        )
    if has_ended:
        return _fail(result, "no outcome yet; reconciliation looks it up, first after five minutes; see `show`")
    if is_late and record is None:
        return _fail(result, "not recorded yet; run the same command again later")
    return _fail(result, "still in progress; see `show` for the outcome") if is_late else result


def _select_in_turn(results: Sequence[Result], turn: int, limit: int) -> list[Result]:
    """Return at most ``limit`` results, beginning where the previous turn ended."""
    first = turn * limit % len(results)
    return [*results[first:], *results[:first]][:limit]


def _describe_recorded(request: Request, record: Record) -> Result:
    """Return the result of a recorded payment. It is not sent, because the workflow would answer with the record."""
    result = _apply_record(Result(request.transaction_id), record)
    if not record.matches(request.content):
        return _refuse_id(result, f"is {record.status}")
    if record.status not in FINAL:
        return replace(result, comment="already sent")
    final = _finish(result, record)
    return replace(final, comment=f"had its outcome before{', ' + final.comment if final.comment else ''}")


def _refuse_id(result: Result, state: str) -> Result:
    comment = f"the id is already used by another request, which {state}; choose a new id"
    return _fail(replace(result, amount=""), comment, status="CONFLICT")


def _fail(result: Result, comment: str, status: str = "") -> Result:
    return replace(result, status=status or result.status, comment=comment, failed=True, is_final=True)


def _finish(result: Result, record: Record) -> Result:
    comment = record.failure or ", ".join(record.reasons)
    if record.status == Status.FAILED:
        comment += "; `dlq redrive` tries again"
    elif record.status == Status.REVIEW:
        comment += "; look it up at the gateway and `resolve` it"
    return replace(result, comment=comment, failed=record.status not in SETTLED, is_final=True)


def _apply_record(result: Result, record: Record) -> Result:
    execution = result.execution or record.execution
    return replace(result, status=record.status, amount=record.amount, execution=execution)


def _start_execution(platform: Platform, request: Request) -> Result:
    """Start an execution of the workflow that receives payments, and return it as the result."""
    if not is_express(platform.outputs["StepFunctionsStateMachineArn"]):
        return _start_standard_execution(platform, request)
    stepfunctions = platform.client("stepfunctions")
    try:
        response = stepfunctions.start_execution(
            stateMachineArn=platform.outputs["StepFunctionsStateMachineArn"],
            name=name_execution(request.transaction_id),
            input=request.body,
        )
    except (stepfunctions.exceptions.StateMachineDoesNotExist, stepfunctions.exceptions.StateMachineDeleting):
        # Payments go to the Standard workflow again, and this one was deleted.
        platform.forget_outputs()
        if is_express(platform.outputs["StepFunctionsStateMachineArn"]):
            raise
        return _start_standard_execution(platform, request)
    # Each start of a name is another execution. What was recorded before was not sent.
    return Result(request.transaction_id, execution=response["executionArn"], is_newly_sent=True)


def _start_standard_execution(platform: Platform, request: Request) -> Result:
    """Start the first execution of an unrecorded payment, or the next after those that recorded nothing.

    The name may belong to an execution that is about to record the payment, that ended before it did, or that is
    unrelated. Its parsed input decides, because others may spell an amount differently.
    """
    stepfunctions, state_machine = platform.client("stepfunctions"), platform.outputs["StepFunctionsStateMachineArn"]
    for number in range(1, MOST_EXECUTIONS + 1):
        name = name_execution(request.transaction_id, number)
        arn = f"{state_machine.replace(':stateMachine:', ':execution:')}:{name}"
        result = Result(request.transaction_id, execution=arn)
        try:
            response = stepfunctions.start_execution(stateMachineArn=state_machine, name=name, input=request.body)
        except stepfunctions.exceptions.ExecutionAlreadyExists:
            execution = stepfunctions.describe_execution(executionArn=arn)
            is_running = execution["status"] == "RUNNING"
            sent_before = _parse_request(execution["input"])
            if sent_before is None or sent_before.transaction_id != request.transaction_id:
                continue
            if sent_before.canonical != request.content.canonical:
                state = "is being processed" if is_running else "was sent before, and is not recorded"
                return _refuse_id(result, state)
            if not is_running:
                continue
            is_new = False
        else:
            is_new = not _has_run_before(response)
        return replace(result, status="SENT", comment="" if is_new else "already sent", is_newly_sent=is_new)
    comment = f"{MOST_EXECUTIONS} executions ended before they recorded it; see the last one's history"
    return _fail(result, comment, status="NOT RECORDED")


def _parse_request(text: str) -> PaymentRequest | None:
    try:
        return read_request(json.loads(text))
    except (ValueError, RecursionError, MalformedRequest):
        return None


def _has_run_before(response: Any) -> bool:
    """Return whether StartExecution answered with an execution that was already running.

    It does so for the same name and input. AWS's own clock tells, in seconds: an execution that began in the same
    moment passes for ours. https://docs.aws.amazon.com/step-functions/latest/apireference/API_StartExecution.html
    """
    date = response["ResponseMetadata"]["HTTPHeaders"].get("date")
    return date is not None and (parsedate_to_datetime(date) - response["startDate"]).total_seconds() > 2
