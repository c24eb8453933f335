"""What payments need of each limit: a constant, and a part for each payment a second."""

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from .data_files import load_file
from .design import Design
from .limits import STANDARD
from .workload import Workload

# In which Lambda may start as many environments as the scaling rate says.
_SCALING_SECONDS = 10


class Need(NamedTuple):
    """``constant + rate * payments a second``, of the row ``key`` of limits.toml."""

    key: str
    rate: float
    constant: float = 0.0

    def at(self, per_second: float) -> float:
        return self.constant + self.rate * per_second


def compute_needs(design: Design, workload: Workload) -> list[Need]:
    """Return the needs of the design, without those of limits that do not apply to it."""
    return [
        *_need_step_functions(design, workload),
        *_need_lambda(design, workload),
        *_need_dynamodb(design),
        *_need_messages(design),
        *_need_observability(design),
        *_need_gateway(design),
        _need_keys(design, workload),
    ]


def _need_step_functions(design: Design, workload: Workload) -> Iterator[Need]:
    if design.workflow == STANDARD:
        yield Need("step_functions_starts", 1)
        yield Need("step_functions_transitions", design.payment.transitions)
        yield Need("step_functions_open", compute_concurrency(design, workload))
    else:
        yield Need("step_functions_express_starts", 1)


def compute_concurrency(design: Design, workload: Workload) -> float:
    """Return how many functions run at once for one payment a second: the seconds that they run for it."""
    return sum(design.payment.busy_seconds(name, workload.gateway_seconds) for name in design.functions)


def _compute_busiest(design: Design, workload: Workload) -> float:
    return max(design.payment.busy_seconds(name, workload.gateway_seconds) for name in design.functions)


def _need_lambda(design: Design, workload: Workload) -> Iterator[Need]:
    yield Need("lambda_concurrency", compute_concurrency(design, workload), 1.0 if design.reconciliation else 0.0)
    yield Need("lambda_requests", design.payment.total_invocations)
    if design.reserved_concurrency:
        yield Need("lambda_reserved", _compute_busiest(design, workload))
    yield Need("lambda_scaling", _compute_busiest(design, workload))


def _need_dynamodb(design: Design) -> Iterator[Need]:
    payment = design.payment
    yield Need("dynamodb_table_writes", payment.write_units["transactions"])
    yield Need("dynamodb_table_reads", payment.read_units["transactions"])
    yield Need("dynamodb_warm_writes", payment.write_units["transactions"])
    yield Need("dynamodb_warm_reads", payment.read_units["transactions"])
    if "ledger" in payment.write_units:
        yield Need("dynamodb_ledger_writes", payment.write_units["ledger"])
        yield Need("dynamodb_ledger_partition", 0.0, design.most_ledger_units)
    if design.open_shards:
        # Transaction ids are spread evenly over the shards.
        yield Need("dynamodb_index_partition", payment.index_write_units / design.open_shards)
        yield Need("dynamodb_warm_index", payment.index_write_units)


def _need_messages(design: Design) -> Iterator[Need]:
    yield Need("sns_messages", design.payment.calls.get("sns:Publish", 0.0))
    yield Need("sqs_messages", design.payment.calls.get("sqs:SendMessage", 0.0))
    if design.reconciliation:
        yield Need("eventbridge_invocations", 0.0, design.reconciliations_per_hour / 3600)


def _need_observability(design: Design) -> Iterator[Need]:
    yield Need("logs_requests", design.payment.total_invocations)
    yield Need("metric_filters", 0.0, design.filters_of_a_log_group)
    if design.traces:
        traces = load_file("assumptions.toml")["traces"]
        invocations = design.payment.total_invocations
        segments = traces["segments_of_workflow"] + traces["segments_of_invocation"] * invocations
        yield Need("xray_segments", traces["rate"] * segments, traces["reservoir_per_second"] * segments)


def _need_gateway(design: Design) -> Iterator[Need]:
    calls = design.payment.gateway_calls
    if calls:
        yield Need("gateway_requests", max(calls.values()))
        # Reconciliation looks payments up beside them while it works off a backlog.
        yield Need("gateway_account", sum(calls.values()), design.reconciled_per_second)


def _need_keys(design: Design, workload: Workload) -> Need:
    """Services keep data keys, so that they call KMS by time, and Lambda for the variables of a new environment."""
    started = compute_concurrency(design, workload) / _SCALING_SECONDS
    return Need("kms_requests", started, count_key_requests(design))


def count_key_requests(design: Design) -> float:
    """Return the requests a second of the services that keep data keys."""
    services: Mapping[str, Any] = load_file("assumptions.toml")["data_keys"]
    return sum(row["users"] / row["seconds"] for row in services.values()) if design.count("KMS::Key") else 0.0
