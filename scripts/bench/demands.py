"""Measures what payments take from AWS, by the recorded calls of real payments on the emulator.

``python -m scripts.bench.demands`` writes scripts/capacity/demands.json, which the capacity model reads.
"""

import io
import json
import re
import sys
import time
import uuid
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import version
from typing import Any

from rich.console import Console

from scripts.capacity.demands import DEMANDS_FILE, write_document
from scripts.capacity.units import (
    ITEM_OVERHEAD_BYTES,
    Item,
    count_index_writes,
    count_read_units,
    count_write_units,
    size_item,
)
from scripts.common.target import Target
from scripts.deployer.deploy import deploy
from scripts.deployer.deployment_options import DeploymentOptions
from scripts.deployer.report.console_reporter import ConsoleReporter
from scripts.deployer.session import Session
from scripts.local import server, target
from scripts.local.metrics import metrics_of_line
from scripts.operator.executions import read_execution
from stacks import names, settings

from .proxy import Exchange, run_proxy

PAYMENTS = 5
# The payment of each outcome: the simulated gateway decides by the cents.
AMOUNTS = {"charged": 150.00, "declined": 150.01, "failed": 150.03}
# Scales the waits between retries, which cost nothing.
WAIT_SCALE = 0.02
LONGEST_WAIT_SECONDS = 60
# What CloudWatch Logs adds to each event: https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_PutLogEvents.html
LOG_EVENT_OVERHEAD_BYTES = 26
INDEX_KEYS = ("open_shard", "overdue_at")
# The integrations of the state machine, by the service and operation that each of them calls.
_INTEGRATIONS = {
    "lambda:invoke": "lambda:InvokeFunction",
    "sns:publish": "sns:Publish",
    "sqs:sendMessage": "sqs:SendMessage",
}
_RECONCILIATION = "reconciliation"
_FUNCTIONS = tuple(function.purpose for function in names.FUNCTIONS)
_RECORDED_SERVICES = ("DYNAMODB", "SNS", "SQS", "SECRETS_MANAGER")


@dataclass
class Usage:
    """What something has taken: counters by name, and the attributes that have other keys."""

    calls: Counter[str] = field(default_factory=Counter)
    read_units: Counter[str] = field(default_factory=Counter)
    write_units: Counter[str] = field(default_factory=Counter)
    index_write_units: int = 0
    stored: dict[str, dict[tuple[str, ...], int]] = field(default_factory=lambda: defaultdict(dict))
    invocations: Counter[str] = field(default_factory=Counter)
    milliseconds: Counter[str] = field(default_factory=Counter)
    gateway_calls: Counter[str] = field(default_factory=Counter)
    function_log_bytes: int = 0
    workflow_log_bytes: int = 0
    workflow_data_bytes: int = 0
    transitions: int = 0

    def to_json(self) -> dict[str, Any]:
        tables = sorted({*self.read_units, *self.write_units, *self.stored})
        return {
            "calls": dict(sorted(self.calls.items())),
            "transitions": self.transitions,
            "tables": {
                table: {
                    "read_units": float(self.read_units[table]),
                    "write_units": self.write_units[table],
                    "items": len(self.stored[table]),
                    "stored_bytes": sum(self.stored[table].values()),
                }
                for table in tables
            },
            "index_write_units": self.index_write_units,
            "invocations": dict(sorted(self.invocations.items())),
            "milliseconds": dict(sorted(self.milliseconds.items())),
            "gateway_calls": dict(sorted(self.gateway_calls.items())),
            "function_log_bytes": self.function_log_bytes,
            "workflow_log_bytes": self.workflow_log_bytes,
            "workflow_data_bytes": self.workflow_data_bytes,
        }


class Meter:
    """A deployed platform whose functions' calls pass through a proxy that keeps them."""

    def __init__(self, platform: Target, outputs: dict[str, str], exchanges: list[Exchange]) -> None:
        self.target = platform
        self._outputs = outputs
        self._exchanges = exchanges
        self._lines_read: Counter[str] = Counter()
        self.metric_series: set[tuple[str, ...]] = set()

    def measure_payment(self, amount: float) -> Usage:
        """Make a payment, alone, and return what it took."""
        request = {
            # Of the length of the ids in the documents: it is part of items and log lines.
            "transaction_id": f"PAY-{uuid.uuid4().hex[:12]}",
            "payment_amount": amount,
            "payment_method": "credit_card",
            "customer_id": "CUST-12345",
        }
        return self._measure_execution(self._outputs["StepFunctionsStateMachineArn"], request)

    def measure_reconciliation(self) -> Usage:
        """Run what the schedule starts, while no payment is open, and return what the run took."""
        rule = names.in_environment(names.RECONCILIATION_RULE, settings.LOCAL)
        (started,) = self.target.client("events").list_targets_by_rule(Rule=rule)["Targets"]
        if ":states:" in started["Arn"]:
            return self._measure_execution(started["Arn"], json.loads(started.get("Input", "{}")))
        self._exchanges.clear()
        answer = self.target.client("lambda").invoke(FunctionName=started["Arn"], Payload=b"{}")
        if "FunctionError" in answer:
            raise SystemExit(f"bench: reconciliation fails: {answer['Payload'].read().decode()}")
        usage = Usage()
        usage.calls["lambda:InvokeFunction"] = 1
        self._add_function_calls(usage)
        self._add_logs(usage, 1)
        return usage

    def _measure_execution(self, machine: str, execution_input: Mapping[str, Any]) -> Usage:
        """Run an execution, alone, and return what it and its functions took."""
        self._exchanges.clear()
        stepfunctions = self.target.client("stepfunctions")
        arn = stepfunctions.start_execution(stateMachineArn=machine, input=json.dumps(execution_input))["executionArn"]
        deadline = time.monotonic() + LONGEST_WAIT_SECONDS
        while not read_execution(stepfunctions, arn).has_ended:
            if time.monotonic() > deadline:
                raise SystemExit(f"bench: {arn} does not end")
            time.sleep(0.05)
        usage = Usage()
        usage.calls["states:StartExecution"] = 1
        pages = stepfunctions.get_paginator("get_execution_history").paginate(executionArn=arn)
        _add_history(usage, arn, [event for page in pages for event in page["events"]])
        self._add_function_calls(usage)
        self._add_logs(usage, usage.calls["lambda:InvokeFunction"])
        return usage

    def _add_function_calls(self, usage: Usage) -> None:
        items: dict[tuple[str, str], Item] = {}
        for exchange in self._exchanges:
            service, operation = name_call(exchange)
            usage.calls[f"{service}:{operation}"] += 1
            if service == "dynamodb" and exchange.status == 200:
                _add_units(usage, operation, json.loads(exchange.request), json.loads(exchange.response), items)

    def _add_logs(self, usage: Usage, invocations: int) -> None:
        """Add the new log lines of the functions, once as many invocations have been logged as were made."""
        deadline = time.monotonic() + LONGEST_WAIT_SECONDS
        while usage.invocations.total() < invocations:
            if time.monotonic() > deadline:
                raise SystemExit("bench: the functions' log lines do not arrive")
            for function in _FUNCTIONS:
                self._add_lines(usage, function)

    def _add_lines(self, usage: Usage, function: str) -> None:
        group = names.in_environment(f"/aws/lambda/lambda-payment-{function}-${{Environment}}", settings.LOCAL)
        pages = self.target.client("logs").get_paginator("filter_log_events").paginate(logGroupName=group)
        lines = [event["message"] for page in pages for event in page["events"]]
        for line in lines[self._lines_read[function] :]:
            usage.function_log_bytes += len(line.encode()) + LOG_EVENT_OVERHEAD_BYTES
            if report := re.match(r"REPORT .*?Duration: ([0-9.]+) ms", line):
                usage.invocations[function] += 1
                usage.milliseconds[function] += round(float(report[1]))
            for datum in metrics_of_line(line, []):
                self.metric_series.add((datum.name, *(f"{name}={datum.dimensions[name]}" for name in datum.dimensions)))
                if datum.name == "GatewayLatency":
                    usage.gateway_calls[datum.dimensions["Operation"]] += 1
        self._lines_read[function] = len(lines)


@contextmanager
def run_meter(*, records_calls: bool = True) -> Iterator[Meter]:
    """Deploy the platform to an emulator of its own, whose functions reach AWS through the proxy if calls are recorded.

    The proxy makes each call slower, so durations are measured without it.
    """
    exchanges: list[Exchange] = []
    with server.run_server(wait_scale=WAIT_SCALE) as emulator, run_proxy(emulator.port, exchanges.append) as url:
        services = _RECORDED_SERVICES if records_calls else ()
        platform = target.emulator_target(emulator, **{f"AWS_ENDPOINT_URL_{service}": url for service in services})
        options = DeploymentOptions(settings.LOCAL, settings.load(settings.LOCAL), settings.load_bootstrap())
        reporter = ConsoleReporter(Console(file=io.StringIO()))
        outputs = deploy(Session(options, platform, reporter, confirm=lambda *_: True)).outputs
        yield Meter(platform, outputs, exchanges)


def measure_demands(payments: int = PAYMENTS) -> dict[str, Any]:
    """Return the document of the demands, of ``payments`` payments with each outcome.

    Raises ``SystemExit`` if two payments with the same outcome make different calls.
    """
    with run_meter() as meter:
        usages = _measure_usages(meter, payments)
        metric_series = len(meter.metric_series)
    with run_meter(records_calls=False) as meter:
        for name, usage in _measure_usages(meter, payments).items():
            usages[name]["milliseconds"] = usage["milliseconds"]
    reconciliation = usages.pop(_RECONCILIATION)
    return {
        "measured_on": f"{datetime.now(UTC):%Y-%m-%d}",
        "measured_with": f"MiniStack {version('ministack')}, Python {sys.version_info[0]}.{sys.version_info[1]}",
        "metric_series": metric_series,
        "outcomes": usages,
        _RECONCILIATION: reconciliation,
    }


def _measure_usages(meter: Meter, payments: int) -> dict[str, dict[str, Any]]:
    """Return what a payment with each outcome, and a run of reconciliation, take."""
    # The first of each function opens its connections.
    meter.measure_payment(AMOUNTS["charged"])
    meter.measure_reconciliation()
    usages = {_RECONCILIATION: [meter.measure_reconciliation() for _ in range(payments)]}
    for outcome, amount in AMOUNTS.items():
        usages[outcome] = [meter.measure_payment(amount) for _ in range(payments)]
    return {name: _summarize(runs, name) for name, runs in usages.items()}


def _summarize(usages: list[Usage], name: str) -> dict[str, Any]:
    """Return what one of several equal runs took: counts of each, the mean of bytes, the least of durations."""
    documents = [usage.to_json() for usage in usages]
    summary: dict[str, Any] = {}
    for key, first in documents[0].items():
        values = [document[key] for document in documents]
        if key.endswith("_bytes"):
            summary[key] = round(sum(values) / len(values))
        elif key == "milliseconds":
            summary[key] = {function: min(value[function] for value in values) for function in first}
        elif key == "tables":
            summary[key] = {
                table: {
                    **columns,
                    "stored_bytes": round(sum(value[table]["stored_bytes"] for value in values) / len(values)),
                }
                for table, columns in first.items()
            }
        else:
            summary[key] = first
    for usage in documents:
        if select_counts(usage) != select_counts(documents[0]):
            raise SystemExit(f"bench: two runs ({name}) differ: {select_counts(usage)}, {select_counts(documents[0])}")
    return summary


def select_counts(usage: dict[str, Any]) -> dict[str, Any]:
    """Return the part of a measured usage that is the same each time."""
    counts = {key: value for key, value in usage.items() if not key.endswith("_bytes") and key != "milliseconds"}
    tables = {
        name: {key: value for key, value in table.items() if not key.endswith("_bytes")}
        for name, table in usage["tables"].items()
    }
    return counts | {"tables": tables}


def name_call(exchange: Exchange) -> tuple[str, str]:
    """Return the service and the operation of a request in AWS's JSON or query protocol."""
    if service_and_operation := exchange.headers.get("X-Amz-Target"):
        service, _, operation = service_and_operation.partition(".")
        return {"DynamoDB_20120810": "dynamodb", "AmazonSQS": "sqs"}.get(service, service), operation
    action = re.search(rb"Action=(\w+)", exchange.request)
    return "sns", action[1].decode() if action else "unknown"


def _add_units(usage: Usage, operation: str, request: Any, response: Any, items: dict[tuple[str, str], Item]) -> None:
    """Add the request units of a call, by the sizes of its items. ``items`` are those of the transactions table."""
    match operation:
        case "GetItem":
            size = size_item(response.get("Item", {}))
            is_consistent = bool(request.get("ConsistentRead"))
            usage.read_units[_name_table(request)] += count_read_units(size, is_consistent=is_consistent)  # type: ignore[assignment] # of halves
        case "Query":
            size = sum(map(size_item, response["Items"]))
            name = "index" if "IndexName" in request else _name_table(request)
            is_consistent = bool(request.get("ConsistentRead"))
            usage.read_units[name] += count_read_units(size, is_consistent=is_consistent)  # type: ignore[assignment] # of halves
        case "TransactWriteItems":
            for (write,) in (action.values() for action in request["TransactItems"]):
                _add_write(usage, write, items, in_transaction=True)
        case "PutItem":
            _add_write(usage, request, items, in_transaction=False)
        case _:
            raise SystemExit(f"bench: the units of {operation} are not counted yet")


def _add_write(usage: Usage, write: Any, items: dict[tuple[str, str], Item], *, in_transaction: bool) -> None:
    table, item = _name_table(write), write["Item"]
    key = (item["transaction_id"]["S"], item["sequence"]["N"] if table == "ledger" else "")
    size = size_item(item)
    usage.write_units[table] += count_write_units(size, in_transaction=in_transaction)
    usage.stored[table][key] = size + ITEM_OVERHEAD_BYTES
    if table == "transactions":
        usage.index_write_units += count_index_writes(items.get((table, key[0])), item, INDEX_KEYS)
        items[table, key[0]] = item


def _name_table(request: Any) -> str:
    return "ledger" if "ledger" in request["TableName"] else "transactions"


def _add_history(usage: Usage, arn: str, events: Iterable[Any]) -> None:
    """Add the transitions and calls of the state machine, and the bytes that Step Functions logs at the level ALL.

    Each entered state is a transition, and each retry of its task: https://aws.amazon.com/step-functions/pricing/

    The emulator writes no such log, so its size is that of the history in the documented form of the log:
    https://docs.aws.amazon.com/step-functions/latest/dg/cw-logs.html
    """
    for event in events:
        details = next((dict(value) for name, value in event.items() if name.endswith("EventDetails")), {})
        if event["type"] == "TaskScheduled":
            usage.calls[_INTEGRATIONS[details["resource"].partition(":::")[2]]] += 1
            usage.transitions += 1
            # AWS has this event, the emulator does not.
            _add_event(usage, arn, event, "TaskStarted", {"resource": details["resource"], "resourceType": "lambda"})
        elif event["type"].endswith("StateEntered") and event["type"] != "TaskStateEntered":
            usage.transitions += 1
        _add_event(usage, arn, event, event["type"], details)


def _add_event(usage: Usage, arn: str, event: Any, kind: str, details: dict[str, Any]) -> None:
    data = {name: details.pop(name) for name in ("input", "output", "parameters") if name in details}
    line = {
        "id": str(event["id"]),
        "type": kind,
        "details": details,
        "previous_event_id": str(event["id"] - 1),
        "event_timestamp": str(round(event["timestamp"].timestamp() * 1000)),
        "execution_arn": arn,
    }
    usage.workflow_log_bytes += len(json.dumps(line, default=str).encode()) + LOG_EVENT_OVERHEAD_BYTES
    usage.workflow_data_bytes += len(json.dumps(data, default=str).encode()) if data else 0


if __name__ == "__main__":
    server.isolate_from_user_configuration()
    write_document(DEMANDS_FILE, measure_demands())
