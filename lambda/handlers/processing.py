"""The processing function: brings a recorded payment to its outcome, or records the failure of its execution.

``{"action": "process", "transaction_id", "record_id", "execution"}`` -> the outcome
``{"action": "record_failure", "transaction_id", "request", "error", "execution"}``
    -> ``{"has_payment", "announce", "status", "outcome", "notice_id"}``, and for a recorded payment all other fields
    of an outcome. ``announce`` says whether this execution has to send the notice.
``{"action": "record_notice", "transaction_id", "notice_id", "is_sent", "is_dead_lettered", "execution"}`` -> ``{}``
"""

import functools
from collections.abc import Mapping
from typing import Any

from adapters import environment
from adapters.metrics import count_payment, embed_metrics
from payments.charge import charge_payment
from payments.errors import MalformedRequest
from payments.failure import Failure, confirm_notice, record_failure
from payments.payment import SETTLED, Payment, Status
from payments.request import is_transaction_id

from .events import read_execution_id, read_text, read_transaction_id, seconds_since_start
from .lambda_handler import clock, describe_payment, log
from .lambda_handler import lambda_handler as lambda_handler

# The outcome in a notice of an execution, which states nothing about a payment.
EXECUTION_FAILED = "EXECUTION_FAILED"

# One each for the life of the execution environment, to keep their connections.
get_ledger = functools.cache(environment.build_ledger)
get_gateway = functools.cache(environment.build_gateway)


@lambda_handler
def handler(event: Mapping[str, Any]) -> dict[str, Any]:
    match event.get("action"):
        case "process":
            return _process_payment(event)
        case "record_failure":
            return _record_failure(event)
        case "record_notice":
            return _record_notice(event)
    raise MalformedRequest("action must be process, record_failure or record_notice")


def _process_payment(event: Mapping[str, Any]) -> dict[str, Any]:
    execution, started_at = read_execution_id(event), clock()
    payment = charge_payment(
        read_transaction_id(event),
        # Executions of an earlier definition send the fingerprint instead.
        read_text(event, "record_id" if "record_id" in event else "fingerprint"),
        ledger=get_ledger(),
        connect=get_gateway,
        execution=execution,
        clock=clock,
        notify_outcomes=environment.notifies_outcomes(),
    )
    fields = {"transaction_id": payment.transaction_id, "status": payment.status, "attempt": payment.attempt}
    # The metric filter of the duration alarm matches "payment finished" and "payment failed". Replays and rejections
    # are not measured.
    if payment.execution == execution and payment.status is Status.REJECTED:
        log.info("payment rejected", extra=fields | _count_outcome(payment.status, payment))
    elif payment.execution != execution or payment.since < started_at:
        # Counted before: by another execution, by reconciliation, or by an attempt whose answer was lost.
        log.info("payment replayed", extra=fields)
    else:
        log.info("payment finished", extra=fields | _count_outcome(payment.status, payment, event))
    return describe_payment(payment, execution)


def _record_failure(event: Mapping[str, Any]) -> dict[str, Any]:
    transaction_id, execution, error = event.get("transaction_id"), read_execution_id(event), read_text(event, "error")
    failure = Failure(None, is_announced=True)
    # Without a valid id there is nothing to record the failure under.
    if is_transaction_id(transaction_id):
        failure = record_failure(
            transaction_id,
            request=event.get("request"),
            error=error,
            ledger=get_ledger(),
            execution=execution,
            clock=clock,
        )
    payment = failure.payment
    if payment is None:
        fields = {"status": "NOT_RECORDED", "error": error}
        if is_transaction_id(transaction_id):
            fields["transaction_id"] = transaction_id
        log.error("payment failed", extra=fields | _count_outcome(Status.FAILED, None, event))
        return {
            "has_payment": False,
            "announce": True,
            "status": "NOT_RECORDED",
            "outcome": EXECUTION_FAILED,
            "notice_id": execution,
        }
    fields = {"transaction_id": payment.transaction_id, "status": payment.status, "error": error}
    if payment.status in SETTLED:
        # The payment has its outcome in spite of the failure, and was counted when it got it.
        log.info("payment replayed", extra=fields)
        return {"has_payment": True, **describe_payment(payment, execution)}
    # The execution that announces a failure counts it, unless an attempt whose answer was lost has.
    is_counted = failure.is_announced and not failure.is_repeated
    measured = (
        _count_outcome(payment.outcome, payment, event) if is_counted else _measure_duration(event) | embed_metrics({})
    )
    log.error("payment failed", extra=fields | measured)
    return {"has_payment": True, **describe_payment(payment, execution), "announce": failure.is_announced}


def _record_notice(event: Mapping[str, Any]) -> dict[str, Any]:
    transaction_id = event.get("transaction_id")
    if is_transaction_id(transaction_id):
        confirm_notice(
            transaction_id,
            read_execution_id(event),
            notice_id=read_text(event, "notice_id"),
            # Executions of an earlier definition use other names.
            is_sent=event.get("is_sent", event.get("told")) is True,
            is_dead_lettered=event.get("is_dead_lettered", event.get("letter")) is True,
            ledger=get_ledger(),
            clock=clock,
        )
    return {}


def _measure_duration(event: Mapping[str, Any]) -> dict[str, Any]:
    return {"duration_seconds": seconds_since_start(event, clock())}


def _count_outcome(outcome: Status, payment: Payment | None, event: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Return the metrics of an execution's outcome, and with an ``event`` also of its duration."""
    values: dict[str, float] = {"Attempts": payment.attempt} if payment is not None and payment.attempt else {}
    duration = {} if event is None else _measure_duration(event)
    if seconds := duration.get("duration_seconds"):
        values["PaymentDuration"] = seconds
    return duration | count_payment(outcome, payment.payment_method if payment is not None else None, **values)
