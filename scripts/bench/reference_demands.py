"""Measures what the reference's two functions take from AWS, and calculates the rest from its state machine.

``python -m scripts.bench.reference_demands FILE.md`` writes scripts/capacity/reference.json. The state machine of the
reference cannot run: its second state reads what the first one's answer does not contain. So its transitions and its
log are calculated, as if it could.
"""

import subprocess
import sys
import tempfile
from collections import Counter
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from scripts.capacity.demands import REFERENCE_FILE, load_document, write_document
from scripts.capacity.units import ITEM_OVERHEAD_BYTES, count_write_units, size_item
from scripts.common.paths import ROOT
from scripts.local import server, target

from .demands import LOG_EVENT_OVERHEAD_BYTES, name_call
from .proxy import Exchange, run_proxy
from .sides import extract_functions

_TABLE, _TOPIC = "reference-transactions", "reference-notifications"
# What the reference's simulated gateway draws for each outcome.
_DRAWS = {"charged": 0.5, "declined": 0.9, "failed": 0.99}
_PAYMENT = """
import json, random, sys, time
sys.path.insert(0, sys.argv[1])
time.sleep = lambda _: None
random.random = lambda: float(sys.argv[2])
import lambda_processing, lambda_validation
request = {"transaction_id": sys.argv[3], "payment_amount": 150.0, "payment_method": "credit_card",
           "customer_id": "CUST-12345"}
validated = lambda_validation.lambda_handler(request, None)
try:
    lambda_processing.lambda_handler(request | {"validation_result": validated}, None)
except ValueError:
    pass
"""
# By outcome: the states of its definition that an execution enters. The errors of its functions are not retried.
_TRANSITIONS = {"charged": 3, "declined": 3, "failed": 3}
# Events of an execution by its states: of a task, of a Pass state, and of the execution itself.
_EVENTS = {"charged": 5 + 5 + 2 + 2, "declined": 5 + 5 + 5 + 2, "failed": 5 + 5 + 5 + 2}
_INVOCATIONS = {"processing": 1, "validation": 1}
# The lines that Lambda adds to each invocation, in its text format.
# https://docs.aws.amazon.com/lambda/latest/dg/monitoring-cloudwatchlogs-logformat.html
_ID = "00000000-0000-0000-0000-000000000000"
_PLATFORM_LINES = (
    f"START RequestId: {_ID} Version: $LATEST",
    f"END RequestId: {_ID}",
    f"REPORT RequestId: {_ID}\tDuration: 100.00 ms\tBilled Duration: 100 ms\tMemory Size: 256 MB\t"
    "Max Memory Used: 80 MB",
)


def measure_reference(file: Path) -> dict[str, Any]:
    """Return the document of the reference's demands; ``file`` is the Markdown file that contains its functions."""
    exchanges: list[Exchange] = []
    with (
        tempfile.TemporaryDirectory() as folder,
        server.run_server() as emulator,
        run_proxy(emulator.port, exchanges.append) as url,
    ):
        extract_functions(file, Path(folder))
        platform = target.emulator_target(emulator)
        dynamodb = platform.client("dynamodb")
        dynamodb.create_table(
            TableName=_TABLE,
            BillingMode="PAY_PER_REQUEST",
            AttributeDefinitions=[{"AttributeName": "transaction_id", "AttributeType": "S"}],
            KeySchema=[{"AttributeName": "transaction_id", "KeyType": "HASH"}],
        )
        topic = platform.client("sns").create_topic(Name=_TOPIC)["TopicArn"]
        environment = server.emulator_environment(url) | {"DYNAMODB_TABLE_NAME": _TABLE, "SNS_TOPIC_ARN": topic}
        outcomes = {}
        for outcome, draw in _DRAWS.items():
            exchanges.clear()
            transaction_id = f"PAY-{outcome:0>12}"
            printed = subprocess.run(
                [sys.executable, "-c", _PAYMENT, folder, str(draw), transaction_id],
                cwd=ROOT, env=environment, check=True, capture_output=True, text=True,
            ).stdout  # fmt: skip
            item = dynamodb.get_item(TableName=_TABLE, Key={"transaction_id": {"S": transaction_id}})["Item"]
            outcomes[outcome] = _describe_outcome(outcome, exchanges, size_item(item), printed)
    return {
        "measured_on": f"{datetime.now(UTC):%Y-%m-%d}",
        "measured_with": f"MiniStack {version('ministack')}, Python {sys.version_info[0]}.{sys.version_info[1]}",
        "measured": ["calls", "tables", "function_log_bytes"],
        "metric_series": 0,
        "memory_mb": 256,
        "log_retention_days": 1,
        "resources": {
            "AWS::CloudWatch::Alarm": 6,
            "AWS::DynamoDB::Table": 1,
            "AWS::KMS::Key": 3,
            "AWS::Logs::MetricFilter": 1,
        },
        "notes": [
            "the reference: the calls of its functions were recorded; its transitions and the log of its state machine "
            "are calculated from its definition, which cannot run as it is; its durations are those of our functions. "
            "It has no ledger, no index of open payments, no reconciliation, no traces and no backups"
        ],
        "outcomes": outcomes,
    }


def _describe_outcome(outcome: str, exchanges: list[Exchange], item_bytes: int, printed: str) -> dict[str, Any]:
    calls: Counter[str] = Counter(":".join(name_call(exchange)) for exchange in exchanges)
    writes = calls["dynamodb:PutItem"] + calls["dynamodb:UpdateItem"]
    calls["states:StartExecution"] = 1
    calls["lambda:InvokeFunction"] = sum(_INVOCATIONS.values())
    # The state machine publishes, too, if a function fails.
    calls["sns:Publish"] += outcome != "charged"
    lines = [*printed.splitlines(), *_PLATFORM_LINES * sum(_INVOCATIONS.values())]
    our_usage = load_document()["outcomes"]["charged"]
    # The log of our state machine has as many bytes for each event of the same kinds.
    bytes_of_event = our_usage["workflow_log_bytes"] / _count_events(our_usage["transitions"])
    data_of_event = our_usage["workflow_data_bytes"] / _count_events(our_usage["transitions"])
    return {
        "calls": dict(sorted((+calls).items())),
        "transitions": _TRANSITIONS[outcome],
        "tables": {
            "transactions": {
                "read_units": 0.0,
                # The final item is the largest.
                "write_units": writes * count_write_units(item_bytes),
                "items": 1,
                "stored_bytes": item_bytes + ITEM_OVERHEAD_BYTES,
            }
        },
        "index_write_units": 0,
        "invocations": _INVOCATIONS,
        "milliseconds": {name: our_usage["milliseconds"][name] for name in _INVOCATIONS},
        "gateway_calls": {"charge": 1},
        "function_log_bytes": sum(len(line.encode()) + LOG_EVENT_OVERHEAD_BYTES for line in lines),
        "workflow_log_bytes": round(_EVENTS[outcome] * bytes_of_event),
        "workflow_data_bytes": round(_EVENTS[outcome] * data_of_event),
    }


def _count_events(transitions: int) -> int:
    """Return the events of our execution of a charged payment: two tasks, a choice and an end."""
    return 5 * 2 + 2 * (transitions - 2) + 2


if __name__ == "__main__":
    server.isolate_from_user_configuration()
    write_document(REFERENCE_FILE, measure_reference(Path(sys.argv[1])))
