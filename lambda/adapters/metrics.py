"""Metrics in CloudWatch's Embedded Metric Format: a line of the log that says which of its fields are metrics.

https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html

The line that tells people of a payment is the line that CloudWatch counts: nothing is logged twice, and no library is
imported for it (docs/decisions.md).
"""

import os
import time
from dataclasses import dataclass
from typing import Any

NAMESPACE = "PaymentWorkflow"


@dataclass(frozen=True)
class Metric:
    """``by`` holds its sets of dimensions, to each of which the environment is added.

    Each combination of their values is a metric of its own, and is billed: dimensions are enumerations, never ids.
    """

    unit: str
    dimension_sets: tuple[tuple[str, ...], ...] = ((),)


METRICS = {
    # What executions and reconciliation brought payments to; a replay is none.
    "Payments": Metric("Count", (("Outcome",), ("Outcome", "PaymentMethod"))),
    # Claims that a payment took until it had its outcome.
    "Attempts": Metric("Count"),
    # From the start of the execution until then.
    "PaymentDuration": Metric("Seconds"),
    "GatewayLatency": Metric("Milliseconds", (("Operation",),)),
    # As a run of reconciliation finds it when it begins ...
    "OverduePayments": Metric("Count"),
    # ... and leaves it.
    "OpenPayments": Metric("Count"),
    "OldestOpenPaymentAge": Metric("Seconds"),
    "ReconciliationErrors": Metric("Count"),
}


def embed_metrics(values: dict[str, float], **dimensions: str) -> dict[str, Any]:
    """Fields for a log record's ``extra`` that make metrics of ``values``, by their names in ``METRICS``.

    Raises ``KeyError`` for a metric that is not declared, and nothing else: measuring must not fail a payment.
    """
    directives = [
        {
            "Namespace": NAMESPACE,
            "Dimensions": [["Environment", *names] for names in METRICS[name].dimension_sets],
            "Metrics": [{"Name": name, "Unit": METRICS[name].unit}],
        }
        for name in values
    ]
    fields = {"Environment": os.environ.get("ENVIRONMENT", "unknown"), **dimensions, **values}
    if not directives:
        return fields
    return fields | {"_aws": {"Timestamp": int(time.time() * 1000), "CloudWatchMetrics": directives}}


def count_payment(outcome: str, payment_method: str | None, **values: float) -> dict[str, Any]:
    """The fields that count a payment under what it came to, with other metrics of it."""
    return embed_metrics({"Payments": 1, **values}, Outcome=outcome, PaymentMethod=payment_method or "none")
