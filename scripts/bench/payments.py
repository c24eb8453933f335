"""A payment's cost beside that of the reference's own two functions, on the same emulator in one run."""

import io
import json
import os
import re
import resource
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from rich.console import Console

from scripts.common.paths import ROOT
from scripts.common.target import Target
from scripts.deployer.deploy import deploy
from scripts.deployer.order import Order
from scripts.deployer.report.console_reporter import ConsoleReporter
from scripts.local import server, target
from scripts.operator.executions import read
from stacks import settings

PAYMENTS, STARTS = 100, 7


def compare_payments(reference: Path) -> Iterator[str]:
    """Lines that tell the figures. ``reference`` is the Markdown file that has the functions in it."""
    server.isolate_from_user_configuration()
    with tempfile.TemporaryDirectory() as folder, server.run_server() as running:
        _extract_functions(reference, Path(folder))
        platform = target.emulator_target(running)
        quiet = Console(file=io.StringIO())
        outputs = deploy(
            Order("local", settings.load("local"), settings.load_bootstrap()),
            platform,
            ConsoleReporter(quiet),
            lambda *_: True,
        ).outputs
        environment = {
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(ROOT),
            "AWS_ENDPOINT_URL": running.url,
            "AWS_DEFAULT_REGION": server.REGION,
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "DYNAMODB_TABLE_NAME": outputs["DynamodbTableName"],
            "LEDGER_TABLE_NAME": "dynamodb-payment-ledger-local",
            "SNS_TOPIC_ARN": outputs["SnsTopicArn"],
            "ENVIRONMENT": "local",
            "GATEWAY": "simulator",
            "MAXIMUM_AMOUNTS": "USD=10000",
            "HIGH_VALUE_AMOUNTS": "USD=5000",
            "FRAUD_SCORE_LIMIT": "50",
        }
        ours = {name: f"from handlers import {name}; {name}.ledger()" for name in ("validation", "processing")}
        for name, start in ours.items():
            mine = _cold_start_seconds(str(ROOT / "lambda"), f"{start}", environment)
            theirs = _cold_start_seconds(folder, f"import lambda_{name}", environment)
            yield f"CPU time of a cold start of {name}: {mine / theirs:.2f} times the reference's"
        mine_warm, theirs_warm = (_measure_warm_payments(side, where, environment) for side, where in
                                  (("ours", str(ROOT / "lambda")), ("reference", folder)))  # fmt: skip
        yield f"CPU time of a warm payment: {mine_warm['cpu_ms'] / theirs_warm['cpu_ms']:.2f} times the reference's"
        yield f"AWS calls per payment: {mine_warm['calls']:.0f} (reference: {theirs_warm['calls']:.0f})"
        yield f"bytes sent and received per payment: {mine_warm['bytes']:.0f} (reference: {theirs_warm['bytes']:.0f})"
        yield f"billed transitions of a completed payment: {_count_transitions(platform, outputs)}"


def _extract_functions(reference: Path, folder: Path) -> None:
    """The code blocks that follow the headings of the two functions."""
    try:
        text = reference.read_text(encoding="utf-8")
    except OSError as error:
        raise SystemExit(
            f"bench: {reference}: cannot be read: {error.strerror}; name the file of the system as it was asked for"
        ) from None
    for name in ("lambda_validation.py", "lambda_processing.py"):
        block = re.search(rf"^## lib/{re.escape(name)}\n+```python\n(.*?)^```", text, re.S | re.M)
        if block is None:
            raise SystemExit(f"bench: {reference} has no section `## lib/{name}`")
        (folder / name).write_text(block[1], encoding="utf-8")


def _cold_start_seconds(folder: str, code: str, environment: dict[str, str]) -> float:
    """CPU seconds of a process that does what Lambda does before the first invocation; the least of several."""

    def once() -> float:
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run([sys.executable, "-c", code], env=environment | {"PYTHONPATH": folder}, check=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime

    return min(once() for _ in range(STARTS))


def _measure_warm_payments(side: str, folder: str, environment: dict[str, str]) -> dict[str, float]:
    worker = [sys.executable, "-m", "scripts.bench.worker", side, folder, str(PAYMENTS)]
    ran = subprocess.run(worker, env=environment, check=True, capture_output=True, text=True)
    figures: dict[str, float] = json.loads(ran.stdout.splitlines()[-1])
    return figures


def _count_transitions(platform: Target, outputs: dict[str, str]) -> int:
    stepfunctions = platform.client("stepfunctions")
    request = {
        "transaction_id": "BENCH-1",
        "payment_amount": 150.00,
        "payment_method": "credit_card",
        "customer_id": "CUST-12345",
    }
    arn = stepfunctions.start_execution(
        stateMachineArn=outputs["StepFunctionsStateMachineArn"], input=json.dumps(request)
    )["executionArn"]
    while not (story := read(stepfunctions, arn)).ended:
        pass
    return story.transitions
