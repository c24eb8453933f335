"""The processing function: brings a recorded payment to its outcome, or gives it up when the workflow asks that.

``{"action": "process", "transaction_id", "fingerprint", "execution"}`` -> the outcome
``{"action": "record_failure", "transaction_id", "fingerprint", "error", "execution"}``
    -> ``{"status", "outcome", "announce", "notice_id"}``: what is recorded then, and whether to tell of it
``{"action": "record_notice", "transaction_id", "notice_id", "outcome", "told", "letter", "execution"}`` -> ``{}``
"""

import functools
from collections.abc import Mapping
from typing import Any

from adapters import environment
from adapters.dynamodb import DynamoDBLedger
from adapters.metrics import counted, embedded
from events import execution_id, seconds_since_start, text, transaction_id_of
from handling import answer, clock, log
from handling import handler as lambda_handler
from payments.errors import MalformedRequest
from payments.failure import record_failure, record_notice
from payments.payment import Payment, Status
from payments.ports import Gateway
from payments.process import process
from payments.request import is_transaction_id


@functools.cache
def ledger() -> DynamoDBLedger:
    """One for the life of the execution environment: its connection is kept."""
    return environment.ledger()


@functools.cache
def gateway() -> Gateway:
    return environment.gateway()


@lambda_handler
def handler(event: Mapping[str, Any]) -> dict[str, Any]:
    match event.get("action"):
        case "process":
            return _process(event)
        case "record_failure":
            return _record_failure(event)
        case "record_notice":
            return _record_notice(event)
    raise MalformedRequest("action must be process, record_failure or record_notice")


def _process(event: Mapping[str, Any]) -> dict[str, Any]:
    execution, began = execution_id(event), clock()
    payment = process(
        transaction_id_of(event),
        text(event, "fingerprint"),
        ledger=ledger(),
        gateway=gateway(),
        execution=execution,
        clock=clock,
    )
    about = {"transaction_id": payment.transaction_id, "status": payment.status, "attempt": payment.attempt}
    # The metric filter of the duration alarm reads "payment finished" and "payment failed": a replay and a rejection
    # take no time worth measuring.
    if payment.execution == execution and payment.status is Status.REJECTED:
        log.info("payment rejected", extra=about | _counted(payment.status, payment))
    elif payment.execution != execution or payment.updated_at < began:
        # Who brought it there has counted it: another execution, reconciliation, or a try whose answer was lost.
        log.info("payment replayed", extra=about)
    else:
        log.info("payment finished", extra=about | _counted(payment.status, payment, event))
    return answer(payment, execution)


def _record_failure(event: Mapping[str, Any]) -> dict[str, Any]:
    began = clock()
    transaction_id, execution, error = event.get("transaction_id"), execution_id(event), text(event, "error")
    if not isinstance(transaction_id, str) or not is_transaction_id(transaction_id):
        # A request without a usable id failed: there is nothing to record it under.
        about = {"status": "NOT_RECORDED", "error": error}
        log.error("payment failed", extra=about | _counted(Status.FAILED, None, event))
        return {"status": "NOT_RECORDED", "outcome": Status.FAILED, "announce": True, "notice_id": execution}
    failure = record_failure(
        transaction_id,
        fingerprint=str(event.get("fingerprint", "")),
        error=error,
        ledger=ledger(),
        execution=execution,
        clock=clock,
    )
    status = failure.payment.status if failure.payment else "NOT_RECORDED"
    held = failure.payment is not None and failure.payment.announced_by == execution
    about = {"transaction_id": transaction_id, "status": status, "error": error}
    # Who tells of a failure counts it. What failed over another request's payment has nothing of that payment.
    own = failure.payment if held else None
    # Unless a try did whose answer was lost.
    counts = failure.announce and (own is None or own.updated_at >= began)
    measured = _counted(failure.outcome, own, event) if counts else _duration(event) | embedded({})
    log.error("payment failed", extra=about | measured)
    return {
        "status": str(status),
        "outcome": str(failure.outcome),
        "announce": failure.announce,
        "notice_id": failure.payment.notice_id if failure.payment and held else execution,
    }


def _record_notice(event: Mapping[str, Any]) -> dict[str, Any]:
    transaction_id = event.get("transaction_id")
    if isinstance(transaction_id, str) and is_transaction_id(transaction_id):
        record_notice(
            transaction_id,
            text(event, "notice_id"),
            outcome=Status(text(event, "outcome")),
            told=event.get("told") is True,
            letter=event.get("letter") is True,
            ledger=ledger(),
            execution=execution_id(event),
            clock=clock,
        )
    return {}


def _duration(event: Mapping[str, Any]) -> dict[str, Any]:
    return {"duration_seconds": seconds_since_start(event, clock())}


def _counted(outcome: Status, payment: Payment | None, event: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """The metrics of what an execution brought its payment to; with an ``event`` also of how long it took."""
    values: dict[str, float] = {"Attempts": payment.attempt} if payment is not None and payment.attempt else {}
    duration = {} if event is None else _duration(event)
    if seconds := duration.get("duration_seconds"):
        values["PaymentDuration"] = seconds
    return duration | counted(outcome, payment.payment_method if payment is not None else None, **values)
