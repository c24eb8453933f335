"""Compares the cost of a payment with that of the reference's two functions, on the same emulator in one run."""

import io
import json
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from rich.console import Console

from scripts.common.paths import ROOT
from scripts.common.target import Target
from scripts.deployer.deploy import deploy
from scripts.deployer.deployment_options import DeploymentOptions
from scripts.deployer.report.console_reporter import ConsoleReporter
from scripts.deployer.session import Session
from scripts.local import server, target
from scripts.local.examples import EXAMPLES
from scripts.operator.executions import read_execution
from stacks import settings

from .generator import measure_cpu_seconds

PAYMENTS, STARTS = 100, 7


def compare_payments(reference: Path) -> Iterator[str]:
    """Yield a line for each figure. ``reference`` is the Markdown file that contains the reference's functions."""
    server.isolate_from_user_configuration()
    with tempfile.TemporaryDirectory() as folder, server.run_server() as emulator:
        extract_functions(reference, Path(folder))
        platform = target.emulator_target(emulator)
        quiet = Console(file=io.StringIO())
        options = DeploymentOptions("local", settings.load("local"), settings.load_bootstrap())
        outputs = deploy(Session(options, platform, ConsoleReporter(quiet), confirm=lambda *_: True)).outputs
        environment = server.emulator_environment(emulator.url) | {
            "PYTHONPATH": str(ROOT),
            "DYNAMODB_TABLE_NAME": outputs["DynamodbTableName"],
            "LEDGER_TABLE_NAME": "dynamodb-payment-ledger-local",
            "OPEN_SHARDS": "8",
            "SNS_TOPIC_ARN": outputs["SnsTopicArn"],
            "ENVIRONMENT": "local",
            "GATEWAY": "simulator",
            "MAXIMUM_AMOUNTS": "USD=10000",
            "HIGH_VALUE_AMOUNTS": "USD=5000",
            "FRAUD_SCORE_LIMIT": "50",
        }
        imports = {name: f"from handlers import {name}; {name}.get_ledger()" for name in ("validation", "processing")}
        for name, code in imports.items():
            platform_seconds = _cold_start_seconds(str(ROOT / "lambda"), code, environment)
            ratio = platform_seconds / _cold_start_seconds(folder, f"import lambda_{name}", environment)
            yield f"CPU time of a cold start of {name}: {ratio:.2f} times the reference's"
        measured = _measure_warm_payments("ours", str(ROOT / "lambda"), environment)
        baseline = _measure_warm_payments("reference", folder, environment)
        yield f"CPU time of a warm payment: {measured['cpu_ms'] / baseline['cpu_ms']:.2f} times the reference's"
        yield f"AWS calls per payment: {measured['calls']:.0f} (reference: {baseline['calls']:.0f})"
        yield f"bytes sent and received per payment: {measured['bytes']:.0f} (reference: {baseline['bytes']:.0f})"
        yield f"billed transitions of a completed payment: {_count_transitions(platform, outputs)}"


def extract_functions(reference: Path, folder: Path) -> None:
    """Write the code blocks below the headings of the two functions into ``folder``."""
    try:
        text = reference.read_text(encoding="utf-8")
    except OSError as error:
        raise SystemExit(
            f"bench: {reference}: cannot be read: {error.strerror}; name the Markdown file of the reference"
        ) from None
    for name in ("lambda_validation.py", "lambda_processing.py"):
        block = re.search(rf"^## lib/{re.escape(name)}\n+```python\n(.*?)^```", text, re.S | re.M)
        if block is None:
            raise SystemExit(f"bench: {reference} has no section `## lib/{name}`")
        (folder / name).write_text(block[1], encoding="utf-8")


def _cold_start_seconds(folder: str, code: str, environment: dict[str, str]) -> float:
    """Return the least CPU time, in seconds, of several runs of what Lambda does before the first invocation."""
    command = [sys.executable, "-c", code]
    return min(measure_cpu_seconds(command, environment | {"PYTHONPATH": folder}) for _ in range(STARTS))


def _measure_warm_payments(side: str, folder: str, environment: dict[str, str]) -> dict[str, float]:
    command = [sys.executable, "-m", "scripts.bench.worker", side, folder, str(PAYMENTS)]
    process = subprocess.run(command, env=environment, check=True, capture_output=True, text=True)
    figures: dict[str, float] = json.loads(process.stdout.splitlines()[-1])
    return figures


def _count_transitions(platform: Target, outputs: dict[str, str]) -> int:
    stepfunctions = platform.client("stepfunctions")
    request = EXAMPLES[0].request("BENCH")
    arn = stepfunctions.start_execution(
        stateMachineArn=outputs["StepFunctionsStateMachineArn"], input=json.dumps(request)
    )["executionArn"]
    while not (execution := read_execution(stepfunctions, arn)).has_ended:
        pass
    return execution.transition_count
