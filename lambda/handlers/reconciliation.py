"""The reconciliation function: settles and announces what the workflow left behind, erases, and serves the operators.

``{"action": "reconcile", "worker", "workers"}``       -> the counts ``{"overdue", "settled", "open", "errors",
    "erased"}``
``{"action": "measure", "counts": [COUNTS, ...]}``     -> their sums, after the measurement of the payments left open
``{"action": "reconcile"}``, and an event without an action: one worker for all payments, and then the measurement
``{"action": "refund", "transaction_id", "operator"}`` -> ``{"transaction_id", "status", "failure"}``
``{"action": "reopen", "transaction_id", "operator", "request"}`` -> the same, and the recorded ``request`` to send;
    without ``request``, or with null, the recorded one is not compared with another
``{"action": "resolve", "transaction_id", "operator", "status", "reference"}`` -> the same
``{"action": "erase", "transaction_id", "operator"}``  -> the same
An operator's action that is refused changes nothing -> ``{"refused", "detail"}``, the error's name and its reason
"""

import functools
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from typing import Any

from adapters import environment
from adapters.environment import read_variable
from adapters.metrics import count_payment, embed_metrics
from adapters.notices import TopicAndQueue, create_client
from payments.errors import (
    IdempotencyConflict,
    MalformedRequest,
    NotAllowed,
    PaymentChanged,
    PaymentError,
    PaymentNotRecorded,
)
from payments.operator_actions import RESOLUTIONS, erase_customer, refund_payment, reopen_payment, resolve_payment
from payments.payment import OPEN, Payment, Status
from payments.ports import Gateway, Notices
from payments.settle import erase_due_customer, needs_gateway, send_due_notice, settle_overdue_payment

from .events import read_text, read_transaction_id
from .lambda_handler import clock, log
from .lambda_handler import lambda_handler as lambda_handler

# After this time a worker takes up no further payment, and the next run begins with another shard. 1,000 payments in 8
# shards are about 125 for each of 8 workers, and 160 for an unlucky one; at a gateway of 500 ms and 200 ms for the
# table and the notice, that one needs 112 s. The last payment may take another 232 s of the function's 400 s: 50 s for
# the gateway and 7 s for its key, six table calls and one index call at 21 s, two notices at 14 s.
BUDGET_SECONDS = 150
# The part of the budget for reading, before the payments that need the gateway are taken up.
READ_SECONDS = 30
# How long a worker waits in all for a gateway that does not answer. It leaves the other payments to the next run.
UNANSWERED_SECONDS = 30
# After this time no further call is made to measure the backlog, so that the slowest one still ends in time.
MEASURE_SECONDS = 370
# What a run counts: the overdue payments that it found, those with a final status, those still open, the failures, and
# the payments whose customer it erased.
COUNTS = ("overdue", "settled", "open", "errors", "erased")
REFUSALS = (IdempotencyConflict, MalformedRequest, NotAllowed, PaymentNotRecorded)


# A test replaces it, as it replaces the clock.
pause = time.sleep

# One each (of ledgers, one for each operator) for the life of the execution environment, to keep their connections.
get_ledger = functools.cache(environment.build_ledger)
get_gateway = functools.cache(environment.build_gateway)


@functools.cache
def get_notices() -> Notices:
    return TopicAndQueue(
        read_variable("SNS_TOPIC_ARN"),
        read_variable("DLQ_URL"),
        read_variable("ENVIRONMENT"),
        create_client("sns"),
        create_client("sqs"),
    )


@lambda_handler
def handler(event: Mapping[str, Any]) -> dict[str, Any]:
    match event.get("action"):
        case "refund":
            return _answer_operator(_refund_payment, event)
        case "reopen":
            return _answer_operator(_reopen_payment, event)
        case "resolve":
            return _answer_operator(_resolve_payment, event)
        case "erase":
            return _answer_operator(_erase_customer, event)
        case None | "reconcile":
            return _run_reconciliation(event)
        case "measure":
            return _finish_run(_sum_counts(event), clock())
    return _answer_operator(_refuse_action, event)


def _run_reconciliation(event: Mapping[str, Any]) -> dict[str, Any]:
    """Settle the payments of one worker; without a number of workers, settle all, and measure what stays open.

    Raises ``MalformedRequest`` for a worker that is none of so many.
    """
    started, worker, workers = clock(), event.get("worker", 0), event.get("workers", 1)
    if type(worker) is not int or type(workers) is not int or not 0 <= worker < workers:
        raise MalformedRequest("worker must be an integer from 0 on, less than workers")
    counts = _settle_share(started, worker, workers)
    if "workers" not in event:
        return _finish_run(counts, started)
    log.info("worker finished", extra={**counts, "worker": worker, "workers": workers})
    return dict(counts)


def _settle_share(started: float, worker: int, workers: int) -> Counter[str]:
    """Settle the overdue payments of one worker, and return its counts."""
    counts: Counter[str] = Counter(dict.fromkeys(COUNTS, 0))
    broken: set[str] = set()
    connection = _GatewayConnection(workers)
    overdue_ids = get_ledger().list_overdue_ids(started, worker, workers)
    for transaction_id, payment_read in _take_in_turn(started, overdue_ids, connection, counts):
        try:
            payment = _reconcile_payment(transaction_id, payment_read, connection, broken)
            counts["open" if payment.status in OPEN else "settled"] += 1
        except PaymentChanged:
            counts["settled"] += 1  # by somebody else
        except Exception as error:  # one payment must not block the others
            counts["errors"] += 1
            log.error("payment not reconciled", extra={"transaction_id": transaction_id, "error": type(error).__name__})
    _erase_customers(started, worker, workers, counts)
    return counts


def _erase_customers(started: float, worker: int, workers: int, counts: Counter[str]) -> None:
    """Erase who paid from the finished payments of one worker that are old enough, while there is time; count them."""
    keep_seconds = environment.read_customer_data_seconds()
    if not keep_seconds:
        return
    transaction_id = ""
    try:
        for transaction_id in get_ledger().list_erasable_ids(started - keep_seconds, worker, workers):
            if clock() - started > BUDGET_SECONDS:
                return
            with suppress(PaymentChanged):  # it has a new step, and is not due
                counts["erased"] += erase_due_customer(transaction_id, keep_seconds, ledger=get_ledger(), clock=clock)
    except PaymentError as error:  # the next run goes on, because what it does not find erased stays in the index
        counts["errors"] += 1
        log.error("customers not erased", extra={"transaction_id": transaction_id, "error": type(error).__name__})


def _sum_counts(event: Mapping[str, Any]) -> Counter[str]:
    """Return the sums of the workers' counts. What a worker did not count is 0. Raises ``MalformedRequest``."""
    answers = event.get("counts")
    if not isinstance(answers, list) or not all(isinstance(answer, Mapping) for answer in answers):
        raise MalformedRequest("counts must be a list of the workers' counts")
    return Counter({name: sum(int(answer.get(name, 0)) for answer in answers) for name in COUNTS})


def _finish_run(counts: Counter[str], started: float) -> dict[str, Any]:
    """Measure the payments that are open after a run, log the counts of the run, and return them."""
    backlog: dict[str, float] = {}
    try:
        backlog = _measure_backlog(is_time_left=lambda: clock() - started < MEASURE_SECONDS)
    except PaymentError as error:  # the payments are settled all the same
        counts["errors"] += 1
        log.error("backlog not measured", extra={"error": type(error).__name__})
    # The metric filter of the heartbeat matches this line. Errors are a metric and fail no invocation, which would be
    # tried again as a whole.
    run = {"OverduePayments": counts["overdue"], "ReconciliationErrors": counts["errors"]}
    log.info("reconciliation finished", extra={**counts, **embed_metrics({**run, **backlog})})
    return dict(counts)


def _measure_backlog(is_time_left: Callable[[], bool]) -> dict[str, float]:
    """Return the metrics of the payments that are open after a run. Raises ``LedgerUnavailable``."""
    since = get_ledger().read_open_times(is_time_left)
    age = round(max(0.0, clock() - min(since))) if since else 0
    return {"OpenPayments": len(since), "OldestOpenPaymentAge": age}


def _take_in_turn(
    started: float, overdue_ids: Iterator[str], connection: "_GatewayConnection", counts: Counter[str]
) -> Iterator[tuple[str, Payment | None]]:
    """Yield the id of each payment that a worker takes up, with the payment if it was just read; count overdue ones.

    First come those that need no gateway, as they are read; then, while there is time and the gateway answers, those
    whose outcome it knows, and then those that it has to close. These have to be read again.
    """
    waiting: list[tuple[bool, str]] = []
    for transaction_id in overdue_ids:
        counts["overdue"] += 1
        try:
            payment = get_ledger().find_payment(transaction_id)
        except Exception:  # it fails again when the payment is taken up, and is counted then
            payment = None
        if payment is not None and needs_gateway(payment, started):
            waiting.append((payment.needs_closing, transaction_id))
        else:
            yield transaction_id, payment
        if clock() - started > READ_SECONDS:
            break
    for _, transaction_id in sorted(waiting, key=lambda entry: entry[0]):
        if connection.is_lost or not connection.await_turn(started + BUDGET_SECONDS):
            return
        yield transaction_id, None


class _GatewayConnection:
    """The gateway of one of several workers. Once ``is_lost`` is set, the worker leaves it to the next run."""

    def __init__(self, workers: int) -> None:
        self.is_lost = False
        self._unanswered_seconds = 0.0
        per_second = int(read_variable("GATEWAY_REQUESTS_PER_SECOND"))
        self._seconds_between = workers / per_second if per_second else 0.0
        self._next_at = 0.0

    def await_turn(self, deadline: float) -> bool:
        """Wait until the worker may take up a payment: all together, no more a second than the setting allows.

        Returns whether it may, which it may not after the ``deadline`` (seconds since 1970).
        """
        current_time = clock()
        turn_at = max(current_time, self._next_at)
        if turn_at > deadline:
            return False
        if turn_at > current_time:
            pause(turn_at - current_time)
        self._next_at = turn_at + self._seconds_between
        return True

    def connect(self) -> Gateway:
        try:
            return get_gateway()
        except PaymentError:
            self.is_lost = True
            raise

    def count_unanswered(self, seconds: float) -> None:
        """Add the seconds spent on a payment for which the gateway did not return the outcome."""
        self._unanswered_seconds += seconds
        self.is_lost = self.is_lost or self._unanswered_seconds > UNANSWERED_SECONDS


def _reconcile_payment(
    transaction_id: str, payment: Payment | None, connection: _GatewayConnection, broken: set[str]
) -> Payment:
    # The index may lag behind the table.
    before, started_at = payment or get_ledger().find_payment(transaction_id), clock()
    if before is None:
        raise PaymentChanged(f"transaction {transaction_id} is not there")
    after = settle_overdue_payment(
        before,
        ledger=get_ledger(),
        connect=connection.connect,
        clock=clock,
        notify_outcomes=environment.notifies_outcomes(),
    )
    if needs_gateway(before, started_at) and (after.status in OPEN or after.needs_closing):
        connection.count_unanswered(clock() - started_at)
    if after.sequence != before.sequence:
        fields = {"transaction_id": transaction_id, "from_status": before.status, "status": after.status}
        log.info("payment reconciled", extra=fields | _count_outcome(before, after))
    if after is not before or after.is_overdue(clock()):
        return send_due_notice(after, ledger=get_ledger(), notices=get_notices(), clock=clock, broken=broken)
    return after


def _count_outcome(before: Payment, after: Payment) -> dict[str, Any]:
    """Return the metric of a payment's outcome. After a refused refund there is none: the completion was counted."""
    is_refused = before.status is Status.REFUNDING and after.status is Status.COMPLETED
    if after.status is before.status or is_refused:
        return {}
    return count_payment(after.status, after.payment_method)


def _answer_operator(act: Callable[[Mapping[str, Any]], Payment], event: Mapping[str, Any]) -> dict[str, Any]:
    """Return the changed payment, or the refusal, which would raise the alarm on the function's errors if raised."""
    try:
        payment = act(event)
    except REFUSALS as refusal:
        error, detail = type(refusal).__name__, str(refusal)
        log.warning("payment error", extra={"error": error, "detail": detail})
        return {"refused": error, "detail": detail}
    log.info("payment changed", extra={"transaction_id": payment.transaction_id, "status": payment.status})
    answer = {"transaction_id": payment.transaction_id, "status": payment.status, "failure": payment.failure or ""}
    if event["action"] == "reopen":
        return answer | {"request": payment.build_request()}
    return answer


def _refuse_action(_event: Mapping[str, Any]) -> Payment:
    raise MalformedRequest("action must be reconcile, measure, refund, reopen, resolve or erase")


def _refund_payment(event: Mapping[str, Any]) -> Payment:
    ledger = get_ledger(read_text(event, "operator"))
    return refund_payment(read_transaction_id(event), ledger=ledger, connect=get_gateway, clock=clock)


def _reopen_payment(event: Mapping[str, Any]) -> Payment:
    ledger = get_ledger(read_text(event, "operator"))
    transaction_id, request = read_transaction_id(event), event.get("request")
    return reopen_payment(transaction_id, request, ledger=ledger, connect=get_gateway, clock=clock)


def _resolve_payment(event: Mapping[str, Any]) -> Payment:
    ledger, status = get_ledger(read_text(event, "operator")), read_text(event, "status")
    if status not in RESOLUTIONS:
        raise MalformedRequest(f"status must be one of {', '.join(RESOLUTIONS)}")
    reference = None if event.get("reference") is None else read_text(event, "reference")
    return resolve_payment(read_transaction_id(event), Status(status), reference, ledger=ledger, clock=clock)


def _erase_customer(event: Mapping[str, Any]) -> Payment:
    return erase_customer(read_transaction_id(event), ledger=get_ledger(read_text(event, "operator")), clock=clock)
