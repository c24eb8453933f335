"""The reconciliation function: settles what the workflow left behind and tells of it, and does what an operator asks.

The schedule's event, and ``{"action": "reconcile"}``    -> ``{"overdue", "settled", "open", "errors"}``, counts
``{"action": "refund", "transaction_id", "operator"}``  -> ``{"transaction_id", "status", "failure"}``
``{"action": "reopen", "transaction_id", "operator", "request"}`` -> the same
``{"action": "resolve", "transaction_id", "operator", "status", "reference"}`` -> the same
What an operator asks for may be refused, without anything changed -> ``{"refused", "detail"}``: the error, and why
"""

import functools
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

from adapters import environment
from adapters.dynamodb import DynamoDBLedger
from adapters.environment import variable
from adapters.metrics import counted, embedded
from adapters.notices import TopicAndQueue, client
from events import text, transaction_id_of
from handling import clock, log
from handling import handler as lambda_handler
from payments.errors import (
    IdempotencyConflict,
    MalformedRequest,
    NotAllowed,
    PaymentChanged,
    PaymentError,
    PaymentNotRecorded,
)
from payments.operate import RESOLUTIONS, refund, reopen, resolve
from payments.payment import OPEN, Payment, Status
from payments.ports import Gateway, Notices
from payments.reconcile import notify, reconcile

# The function's limit of 300 s less what the payment at hand may take, 190 s: 50 s of the gateway and 7 of its key,
# five calls of the tables at 21 s, two of topic and queue at 14 s. The next run begins with another shard.
BUDGET_SECONDS = 100
# Nothing more is measured after that: a call at its slowest still ends in time.
MEASURE_SECONDS = 270
REFUSALS = (IdempotencyConflict, MalformedRequest, NotAllowed, PaymentNotRecorded)


@functools.cache
def ledger(operator: str | None = None) -> DynamoDBLedger:
    return environment.ledger(operator)


@functools.cache
def gateway() -> Gateway:
    return environment.gateway()


@functools.cache
def notices() -> Notices:
    return TopicAndQueue(
        variable("SNS_TOPIC_ARN"), variable("DLQ_URL"), variable("ENVIRONMENT"), client("sns"), client("sqs")
    )


@lambda_handler
def handler(event: Mapping[str, Any]) -> dict[str, Any]:
    match event.get("action"):
        case "refund":
            return _answered(_refund, event)
        case "reopen":
            return _answered(_reopen, event)
        case "resolve":
            return _answered(_resolve, event)
        case None | "reconcile":
            return _reconcile_all()
    return _answered(_refuse_action, event)


def _reconcile_all() -> dict[str, Any]:
    started = clock()
    counts: Counter[str] = Counter(overdue=0, settled=0, open=0, errors=0)
    broken: set[str] = set()
    connect = _connecting_once()
    for transaction_id in ledger().overdue(started):
        if clock() - started > BUDGET_SECONDS:
            break
        counts["overdue"] += 1
        try:
            payment = _reconcile(transaction_id, connect, broken)
            counts["open" if payment.status in OPEN else "settled"] += 1
        except PaymentChanged:
            counts["settled"] += 1  # somebody else was faster
        except Exception as error:  # one payment must not keep the others waiting
            counts["errors"] += 1
            log.error("payment not reconciled", extra={"transaction_id": transaction_id, "error": type(error).__name__})
    backlog: dict[str, float] = {}
    try:
        backlog = _backlog(is_time_left=lambda: clock() - started < MEASURE_SECONDS)
    except PaymentError as error:  # what was settled is settled
        counts["errors"] += 1
        log.error("backlog not measured", extra={"error": type(error).__name__})
    # The heartbeat's metric filter reads this line. Errors are told by a metric, not by failing: Lambda would run it
    # twice more, and leave the schedule's event among the dead letters.
    run = {"OverduePayments": counts["overdue"], "ReconciliationErrors": counts["errors"]}
    log.info("reconciliation finished", extra={**counts, **embedded({**run, **backlog})})
    return dict(counts)


def _backlog(is_time_left: Callable[[], bool]) -> dict[str, float]:
    """The metrics of what is open, after a run. Raises ``LedgerUnavailable``."""
    since = ledger().open_since(is_time_left)
    age = round(max(0.0, clock() - min(since))) if since else 0
    return {"OpenPayments": len(since), "OldestOpenPaymentAge": age}


def _connecting_once() -> Callable[[], Gateway]:
    """Gives the gateway, or fails as it failed before in this run.

    Without the gateway's key, payments that need no gateway are still settled and announced; and a run does not wait
    for the key once for each payment that does need it.
    """
    failures: list[PaymentError] = []

    def connect() -> Gateway:
        if failures:
            raise failures[0]
        try:
            return gateway()
        except PaymentError as error:
            failures.append(error)
            raise

    return connect


def _reconcile(transaction_id: str, connect: Callable[[], Gateway], broken: set[str]) -> Payment:
    # The index may lag: what the table holds is what counts.
    before = ledger().find(transaction_id)
    if before is None:
        raise PaymentChanged(f"transaction {transaction_id} is not there")
    notify_outcomes = environment.notifies_outcomes()
    after = reconcile(before, ledger=ledger(), connect=connect, clock=clock, notify_outcomes=notify_outcomes)
    if after.sequence != before.sequence:
        fields = {"transaction_id": transaction_id, "from_status": before.status, "status": after.status}
        log.info("payment reconciled", extra=fields | _came_to(before, after))
    if after is not before or after.is_overdue(clock()):
        return notify(after, ledger=ledger(), notices=notices(), clock=clock, broken=broken)
    return after


def _came_to(before: Payment, after: Payment) -> dict[str, Any]:
    """The metric of what a payment came to. One whose refund was refused was counted when it was completed."""
    is_refused = before.status is Status.REFUNDING and after.status is Status.COMPLETED
    if after.status is before.status or is_refused:
        return {}
    return counted(after.status, after.payment_method)


def _answered(act: Callable[[Mapping[str, Any]], dict[str, Any]], event: Mapping[str, Any]) -> dict[str, Any]:
    """What an operator may not do is an answer: as an error of the function it would ring an alarm."""
    try:
        return act(event)
    except REFUSALS as refusal:
        error, detail = type(refusal).__name__, str(refusal)
        log.warning("payment error", extra={"error": error, "detail": detail})
        return {"refused": error, "detail": detail}


def _refuse_action(_event: Mapping[str, Any]) -> dict[str, Any]:
    raise MalformedRequest("action must be reconcile, refund, reopen or resolve")


def _refund(event: Mapping[str, Any]) -> dict[str, Any]:
    signed_ledger = ledger(text(event, "operator"))
    return _changed(refund(transaction_id_of(event), ledger=signed_ledger, connect=gateway, clock=clock))


def _reopen(event: Mapping[str, Any]) -> dict[str, Any]:
    signed_ledger = ledger(text(event, "operator"))
    return _changed(reopen(transaction_id_of(event), event.get("request"), ledger=signed_ledger, clock=clock))


def _resolve(event: Mapping[str, Any]) -> dict[str, Any]:
    signed_ledger, status = ledger(text(event, "operator")), text(event, "status")
    if status not in RESOLUTIONS:
        raise MalformedRequest(f"status must be one of {', '.join(RESOLUTIONS)}")
    reference = event.get("reference")
    reference = None if reference is None else text(event, "reference")
    payment = resolve(transaction_id_of(event), Status(status), reference, ledger=signed_ledger, clock=clock)
    return _changed(payment)


def _changed(payment: Payment) -> dict[str, Any]:
    log.info("payment changed", extra={"transaction_id": payment.transaction_id, "status": payment.status})
    return {"transaction_id": payment.transaction_id, "status": payment.status, "failure": payment.failure or ""}
