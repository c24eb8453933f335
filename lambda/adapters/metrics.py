"""Metrics in CloudWatch's Embedded Metric Format: a log line that declares which of its fields are metrics.

https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html

The line about a payment is also the line that CloudWatch counts, so nothing is logged twice. docs/decisions.md explains
why no library is used.
"""

import os
import time
from dataclasses import dataclass
from typing import Any

NAMESPACE = "PaymentWorkflow"


@dataclass(frozen=True)
class Metric:
    """A metric with its sets of dimensions, to each of which the environment is added.

    Each combination of dimension values is billed as a separate metric, so a dimension is an enumeration, never an id.
    """

    unit: str
    dimension_sets: tuple[tuple[str, ...], ...] = ((),)


METRICS = {
    # Outcomes reached by executions and reconciliation, without replays.
    "Payments": Metric("Count", (("Outcome",), ("Outcome", "PaymentMethod"))),
    # Claims of a payment until its outcome.
    "Attempts": Metric("Count"),
    # From the start of the execution to the outcome.
    "PaymentDuration": Metric("Seconds"),
    "GatewayLatency": Metric("Milliseconds", (("Operation",),)),
    # At the start of a run of reconciliation.
    "OverduePayments": Metric("Count"),
    # At the end of the run.
    "OpenPayments": Metric("Count"),
    "OldestOpenPaymentAge": Metric("Seconds"),
    "ReconciliationErrors": Metric("Count"),
}


def embed_metrics(values: dict[str, float], **dimensions: str) -> dict[str, Any]:
    """Return the fields of a log record's ``extra`` that publish ``values``, by their names in ``METRICS``.

    Raises only ``KeyError``, for a metric that is not declared, because a measurement must not fail a payment.
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
    """Return the fields that count a payment by its outcome, with other metrics of the payment."""
    return embed_metrics({"Payments": 1, **values}, Outcome=outcome, PaymentMethod=payment_method or "none")
