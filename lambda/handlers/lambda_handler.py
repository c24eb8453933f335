"""What all handlers share: logging, answers, and errors without payment data."""

import functools
import logging
import os
import time
from collections.abc import Callable, Mapping
from typing import Any

from payments.errors import InternalError, PaymentError
from payments.payment import Payment

# Lambda's runtime writes each record, with the fields of `extra`, as one JSON object.
log = logging.getLogger("payments")

Handler = Callable[[Any, Any], dict[str, Any]]


def lambda_handler(function: Callable[[Mapping[str, Any]], dict[str, Any]]) -> Handler:
    """Make a Lambda handler of ``function``. It raises ``PaymentError`` unchanged, and ``InternalError`` for any other.

    The message and the traceback of an unexpected error may contain payment data, so only its type and place are
    reported.
    """

    @functools.wraps(function)
    def handle(event: Any, _context: Any) -> dict[str, Any]:
        try:
            return function(event if isinstance(event, Mapping) else {})
        except PaymentError as error:
            log.warning("payment error", extra={"error": type(error).__name__, "detail": str(error)})
            # The state machine keeps the start of Lambda's report, which should be the message and not the traceback.
            raise error.with_traceback(None) from None
        except Exception as error:
            place = _locate_raise(error)
            log.error("internal error", extra={"error": type(error).__name__, "place": place})
            raise InternalError(f"{type(error).__name__} at {place}") from None

    return handle


def describe_payment(payment: Payment, execution: str) -> dict[str, Any]:
    """Return the answer to the state machine: the payment's ids and codes, and nothing of the request.

    ``announce`` says whether this execution holds the claim of a notice, and so has to send it.
    """
    return {
        "announce": payment.notification.notifier == execution,
        "notice_id": payment.notice_id,
        "transaction_id": payment.transaction_id,
        "record_id": payment.record_id,
        # Running executions of an earlier definition read the record's id by this name.
        "fingerprint": payment.record_id,
        "status": str(payment.status),
        "outcome": str(payment.outcome),
        "attempt": payment.attempt,
        "reasons": list(payment.reasons),
        "gateway_reference": payment.gateway_reference or "",
    }


def clock() -> float:
    """Return the seconds since 1970. All decisions about payments use this clock, so that a test can replace it."""
    return time.time()


def _locate_raise(error: Exception) -> str:
    traceback = error.__traceback__
    while traceback is not None and traceback.tb_next is not None:
        traceback = traceback.tb_next
    if traceback is None:
        return "unknown"
    return f"{os.path.basename(traceback.tb_frame.f_code.co_filename)}:{traceback.tb_lineno}"
