"""A design with round numbers, so that tests can say by hand what follows of it."""

from dataclasses import replace
from typing import Any

from scripts.capacity.demands import Mix, Usage
from scripts.capacity.design import Design
from scripts.capacity.limits import STANDARD
from scripts.capacity.workload import Workload

PAYMENT = Usage(
    calls={"states:StartExecution": 1, "sns:Publish": 0.5, "sqs:SendMessage": 0.25},
    transitions=4,
    read_units={"transactions": 1, "ledger": 0},
    write_units={"transactions": 6, "ledger": 6},
    index_write_units=4,
    stored_bytes=2048,
    invocations={"validation": 1, "processing": 1},
    milliseconds={"validation": 50, "processing": 50},
    gateway_calls={"charge": 1},
    function_log_bytes=1000,
    workflow_log_bytes=2000,
    workflow_data_bytes=3000,
)
DESIGN = Design(
    name="example",
    basis="measured",
    payment=PAYMENT,
    reconciliation=None,
    workflow=STANDARD,
    resources={},
    metric_series=0,
    most_ledger_units=6,
    traces=False,
    recovers_to_point_in_time=False,
    logs_workflow=False,
    open_shards=8,
)


def make_design(**changes: Any) -> Design:
    return replace(DESIGN, **changes)


def make_workload(per_second: float = 10, **changes: Any) -> Workload:
    values: dict[str, Any] = {"peak_factor": 1, "gateway_seconds": 0.9, "mix": Mix(0, 0), "months_stored": 1}
    return Workload(per_second, **values | changes)
