"""What a design costs in a month at an average load, by service."""

import math
from collections.abc import Iterator
from dataclasses import dataclass

from .data_files import load_file
from .design import Design
from .limits import STANDARD
from .needs import compute_concurrency, count_key_requests
from .prices import Prices
from .workload import SECONDS_PER_MONTH, Workload

_GB = 1024**3
_DAYS_PER_MONTH = 365 / 12


@dataclass(frozen=True)
class Cost:
    service: str
    item: str
    dollars: float
    # Whether it is there without any payment.
    is_fixed: bool = False


def compute_costs(design: Design, workload: Workload, prices: Prices) -> list[Cost]:
    """Return the items in dollars a month, without those that cost nothing."""
    parts = (_charge_workflow, _charge_functions, _charge_tables, _charge_logs, _charge_monitoring, _charge_messages)
    costs = [cost for charge in parts for cost in charge(design, workload, prices)] + [*_charge_keys(design, prices)]
    return [cost for cost in costs if cost.dollars]


def sum_by_service(costs: list[Cost]) -> dict[str, float]:
    """Return the dollars a month of each service, the most expensive first."""
    totals: dict[str, float] = {}
    for cost in costs:
        totals[cost.service] = totals.get(cost.service, 0.0) + cost.dollars
    return dict(sorted(totals.items(), key=lambda item: -item[1]))


def _charge_workflow(design: Design, workload: Workload, prices: Prices) -> Iterator[Cost]:
    payments = workload.payments_per_month
    if design.reconciliation:
        # Its own state machine, if it has one, is of the type Standard in any case.
        transitions = _count_reconciliations(design) * design.reconciliation.transitions
        dollars = prices.charge("step_functions_transitions", transitions)
        yield Cost("Step Functions", "reconciliation while nothing is open", dollars, is_fixed=True)
    if design.workflow == STANDARD:
        transitions = payments * design.payment.transitions
        yield Cost("Step Functions", "transitions", prices.charge("step_functions_transitions", transitions))
        return
    express = load_file("assumptions.toml")["express"]
    step = express["duration_step_ms"] / 1000
    seconds = math.ceil(compute_concurrency(design, workload) / step) * step
    gigabyte_seconds = payments * seconds * express["memory_mb"] / 1024
    yield Cost("Step Functions", "executions", prices.charge("step_functions_express_requests", payments))
    yield Cost("Step Functions", "duration", prices.charge("step_functions_express_duration", gigabyte_seconds))


def _charge_functions(design: Design, workload: Workload, prices: Prices) -> Iterator[Cost]:
    payments = workload.payments_per_month
    price = f"lambda_duration_{design.architecture}"
    seconds = payments * compute_concurrency(design, workload)
    requests = payments * design.payment.total_invocations
    yield Cost("Lambda", "requests", prices.charge("lambda_requests", requests))
    yield Cost("Lambda", "duration", prices.charge(price, seconds * design.memory_mb / 1024))
    if design.reconciliation:
        runs = _count_reconciliations(design)
        milliseconds = sum(design.reconciliation.milliseconds.values())
        dollars = prices.charge("lambda_requests", runs)
        dollars += prices.charge(price, runs * milliseconds / 1000 * design.memory_mb / 1024)
        yield Cost("Lambda", "reconciliation while nothing is open", dollars, is_fixed=True)


def _charge_tables(design: Design, workload: Workload, prices: Prices) -> Iterator[Cost]:
    payments, payment = workload.payments_per_month, design.payment
    writes = sum(payment.write_units.values()) + payment.index_write_units
    yield Cost("DynamoDB", "write units", prices.charge("dynamodb_write_units", payments * writes))
    reads = sum(payment.read_units.values())
    yield Cost("DynamoDB", "read units", prices.charge("dynamodb_read_units", payments * reads))
    if design.reconciliation:
        units = _count_reconciliations(design) * sum(design.reconciliation.read_units.values())
        dollars = prices.charge("dynamodb_read_units", units)
        yield Cost("DynamoDB", "reconciliation while nothing is open", dollars, is_fixed=True)
    stored = payments * workload.months_stored * payment.stored_bytes / _GB
    yield Cost("DynamoDB", "storage", prices.charge("dynamodb_storage", stored))
    if design.recovers_to_point_in_time:
        dollars = prices.charge("dynamodb_point_in_time_recovery", stored)
        yield Cost("DynamoDB", "point-in-time recovery", dollars)
    # A backup of a table is a full copy, one a day.
    copies = stored * design.backup_retention_days
    yield Cost("Backup", f"{design.backup_retention_days} daily copies", prices.charge("backup_storage", copies))


def _charge_logs(design: Design, workload: Workload, prices: Prices) -> Iterator[Cost]:
    payment = design.payment
    per_payment = payment.function_log_bytes
    if design.logs_workflow:
        per_payment += payment.workflow_log_bytes
        per_payment += payment.workflow_data_bytes if design.logs_execution_data else 0.0
    total = workload.payments_per_month * per_payment
    if design.reconciliation:
        run = design.reconciliation
        per_run = run.function_log_bytes + (run.workflow_log_bytes if design.logs_workflow else 0.0)
        total += _count_reconciliations(design) * per_run
    ingested = total / _GB
    yield Cost("CloudWatch", "logs ingested", prices.charge("logs_ingestion", ingested))
    stored = (
        ingested * design.log_retention_days / _DAYS_PER_MONTH * load_file("assumptions.toml")["logs"]["compressed_to"]
    )
    yield Cost("CloudWatch", "logs stored", prices.charge("logs_storage", stored))
    if design.masks_logs:
        yield Cost("CloudWatch", "masking of logs", prices.charge("logs_data_protection", ingested))


def _charge_monitoring(design: Design, workload: Workload, prices: Prices) -> Iterator[Cost]:
    for item, price, amount in (
        ("alarms", "alarms", design.count("CloudWatch::Alarm")),
        ("composite alarms", "composite_alarms", design.count("CloudWatch::CompositeAlarm")),
        ("dashboards", "dashboards", design.count("CloudWatch::Dashboard")),
        ("metrics of our own", "metrics", design.metric_series + design.count("Logs::MetricFilter")),
    ):
        yield Cost("CloudWatch", item, prices.charge(price, amount), is_fixed=True)
    if design.traces:
        traces = load_file("assumptions.toml")["traces"]
        reservoir = min(workload.per_second, traces["reservoir_per_second"])
        sampled = traces["rate"] * (workload.per_second - reservoir)
        yield Cost("X-Ray", "traces", prices.charge("xray_traces", (reservoir + sampled) * SECONDS_PER_MONTH))


def _charge_messages(design: Design, workload: Workload, prices: Prices) -> Iterator[Cost]:
    payments, calls = workload.payments_per_month, design.payment.calls
    published = payments * calls.get("sns:Publish", 0.0)
    yield Cost("SNS", "publications", prices.charge("sns_requests", published))
    if design.subscription_protocol:
        yield Cost("SNS", "deliveries", prices.charge(f"sns_{design.subscription_protocol}", published))
    messages = payments * calls.get("sqs:SendMessage", 0.0)
    yield Cost("SQS", "messages", prices.charge("sqs_requests", messages))
    yield Cost("Secrets Manager", "secrets", prices.charge("secrets", design.secrets), is_fixed=True)


def _charge_keys(design: Design, prices: Prices) -> Iterator[Cost]:
    yield Cost("KMS", "keys", prices.charge("kms_keys", design.count("KMS::Key")), is_fixed=True)
    requests = count_key_requests(design) * SECONDS_PER_MONTH
    yield Cost("KMS", "requests", prices.charge("kms_requests", requests), is_fixed=True)


def _count_reconciliations(design: Design) -> float:
    return design.reconciliations_per_hour * SECONDS_PER_MONTH / 3600
