"""A gateway whose calls are measured: each logs a line with its duration (milliseconds) as a metric."""

import logging
import time
from collections.abc import Callable
from typing import TypeVar

from payments.ports import Charge, Gateway, Outcome, RefundOutcome

from adapters.metrics import embed_metrics

log = logging.getLogger("payments")
Answer = TypeVar("Answer", Outcome, RefundOutcome)


class MeasuredGateway:
    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway
        self.request_version = gateway.request_version

    def charge(self, charge: Charge) -> Outcome:
        return _measure_call("charge", charge, lambda: self._gateway.charge(charge))

    def lookup(self, charge: Charge) -> Outcome:
        return _measure_call("lookup", charge, lambda: self._gateway.lookup(charge))

    def close(self, charge: Charge) -> Outcome:
        return _measure_call("lookup", charge, lambda: self._gateway.close(charge))

    def refund(self, charge: Charge, reference: str) -> RefundOutcome:
        return _measure_call("refund", charge, lambda: self._gateway.refund(charge, reference))


def _measure_call(operation: str, charge: Charge, call: Callable[[], Answer]) -> Answer:
    started = time.perf_counter()
    answer = call()
    milliseconds = round((time.perf_counter() - started) * 1000, 1)
    log.info(
        "gateway answered",
        extra={
            "transaction_id": charge.transaction_id,
            "attempt": charge.attempt,
            # Only the kind of outcome, because a reason may contain customer data from the gateway.
            "answer": type(answer).__name__,
            **embed_metrics({"GatewayLatency": milliseconds}, Operation=operation),
        },
    )
    return answer
