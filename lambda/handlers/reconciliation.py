"""The reconciliation function: settles what the workflow left behind and tells of it, and does what an operator asks.

The schedule's event, and ``{"action": "reconcile"}``    -> ``{"overdue", "settled", "open", "errors"}``, counts
``{"action": "refund", "transaction_id", "operator"}``  -> ``{"transaction_id", "status", "failure"}``
``{"action": "reopen", "transaction_id", "operator", "request"}`` -> the same
``{"action": "resolve", "transaction_id", "operator", "status", "reference"}`` -> the same
What an operator asks for may be refused, without anything changed -> ``{"refused", "detail"}``: the error, and why
"""

import functools
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from adapters import environment
from adapters.dynamodb import DynamoDBLedger
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
from payments.operator_actions import RESOLUTIONS, refund_payment, reopen_payment, resolve_payment
from payments.payment import OPEN, Payment, Status
from payments.ports import Gateway, Notices
from payments.settle import needs_gateway, send_due_notice, settle_overdue_payment

from .events import read_text, read_transaction_id
from .lambda_handler import clock, log
from .lambda_handler import lambda_handler as lambda_handler

# The function's limit of 300 s less what the payment at hand may take, 232 s: 50 s of the gateway and 7 of its key,
# six calls of the tables and one of the index at 21 s, two of topic and queue at 14 s. The next run begins with another
# shard.
BUDGET_SECONDS = 60
# Of that, until the payments are taken up that need the gateway; what needs none does not wait for it.
READ_SECONDS = 30
# How long a run waits in all for a gateway that does not answer. The payments that it leaves are the next run's.
UNANSWERED_SECONDS = 30
# Nothing more is measured after that: a call at its slowest still ends in time.
MEASURE_SECONDS = 270
REFUSALS = (IdempotencyConflict, MalformedRequest, NotAllowed, PaymentNotRecorded)


@functools.cache
def get_ledger(operator: str | None = None) -> DynamoDBLedger:
    return environment.build_ledger(operator)


@functools.cache
def get_gateway() -> Gateway:
    return environment.build_gateway()


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
        case None | "reconcile":
            return _run_reconciliation()
    return _answer_operator(_refuse_action, event)


def _run_reconciliation() -> dict[str, Any]:
    started = clock()
    counts: Counter[str] = Counter(overdue=0, settled=0, open=0, errors=0)
    broken: set[str] = set()
    connection = _GatewayConnection()
    for transaction_id, payment_read in _take_in_turn(started, connection, counts):
        try:
            payment = _reconcile_payment(transaction_id, payment_read, connection, broken)
            counts["open" if payment.status in OPEN else "settled"] += 1
        except PaymentChanged:
            counts["settled"] += 1  # somebody else was faster
        except Exception as error:  # one payment must not keep the others waiting
            counts["errors"] += 1
            log.error("payment not reconciled", extra={"transaction_id": transaction_id, "error": type(error).__name__})
    backlog: dict[str, float] = {}
    try:
        backlog = _measure_backlog(is_time_left=lambda: clock() - started < MEASURE_SECONDS)
    except PaymentError as error:  # what was settled is settled
        counts["errors"] += 1
        log.error("backlog not measured", extra={"error": type(error).__name__})
    # The heartbeat's metric filter reads this line. Errors are told by a metric, not by failing: Lambda would run it
    # twice more, and leave the schedule's event among the dead letters.
    run = {"OverduePayments": counts["overdue"], "ReconciliationErrors": counts["errors"]}
    log.info("reconciliation finished", extra={**counts, **embed_metrics({**run, **backlog})})
    return dict(counts)


def _measure_backlog(is_time_left: Callable[[], bool]) -> dict[str, float]:
    """The metrics of what is open, after a run. Raises ``LedgerUnavailable``."""
    since = get_ledger().read_open_times(is_time_left)
    age = round(max(0.0, clock() - min(since))) if since else 0
    return {"OpenPayments": len(since), "OldestOpenPaymentAge": age}


def _take_in_turn(
    started: float, connection: "_GatewayConnection", counts: Counter[str]
) -> Iterator[tuple[str, Payment | None]]:
    """The payments that a run takes up, with what was just read of them, if anything; each overdue one is counted.

    First those that need no gateway, as they are read. Then those whose outcome it knows, and then what it is to close,
    while there is time and the gateway answers; these are to be read again.
    """
    waiting: list[tuple[bool, str]] = []
    for transaction_id in get_ledger().list_overdue_ids(started):
        counts["overdue"] += 1
        try:
            payment = get_ledger().find_payment(transaction_id)
        except Exception:  # it fails again, and is counted, when the payment is taken up
            payment = None
        if payment is not None and needs_gateway(payment, started):
            waiting.append((payment.needs_closing, transaction_id))
        else:
            yield transaction_id, payment
        if clock() - started > READ_SECONDS:
            break
    for _, transaction_id in sorted(waiting, key=lambda entry: entry[0]):
        if connection.is_lost or clock() - started > BUDGET_SECONDS:
            return
        yield transaction_id, None


class _GatewayConnection:
    """The gateway, for one run. ``is_lost`` tells that the run is to ask it no more: the next one will."""

    def __init__(self) -> None:
        self.is_lost = False
        self._unanswered_seconds = 0.0

    def connect(self) -> Gateway:
        try:
            return get_gateway()
        except PaymentError:
            self.is_lost = True
            raise

    def count_unanswered(self, seconds: float) -> None:
        """Count the time that a payment took whose outcome the gateway did not tell."""
        self._unanswered_seconds += seconds
        self.is_lost = self.is_lost or self._unanswered_seconds > UNANSWERED_SECONDS


def _reconcile_payment(
    transaction_id: str, payment: Payment | None, connection: _GatewayConnection, broken: set[str]
) -> Payment:
    # The index may lag: what the table holds is what counts.
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
    """The metric of what a payment came to. One whose refund was refused was counted when it was completed."""
    is_refused = before.status is Status.REFUNDING and after.status is Status.COMPLETED
    if after.status is before.status or is_refused:
        return {}
    return count_payment(after.status, after.payment_method)


def _answer_operator(act: Callable[[Mapping[str, Any]], Payment], event: Mapping[str, Any]) -> dict[str, Any]:
    """Return the changed payment, or the refusal: raised, it would count as an error of the function and alarm."""
    try:
        payment = act(event)
    except REFUSALS as refusal:
        error, detail = type(refusal).__name__, str(refusal)
        log.warning("payment error", extra={"error": error, "detail": detail})
        return {"refused": error, "detail": detail}
    log.info("payment changed", extra={"transaction_id": payment.transaction_id, "status": payment.status})
    return {"transaction_id": payment.transaction_id, "status": payment.status, "failure": payment.failure or ""}


def _refuse_action(_event: Mapping[str, Any]) -> Payment:
    raise MalformedRequest("action must be reconcile, refund, reopen or resolve")


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
