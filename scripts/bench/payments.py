"""Compares the cost of a payment with that of the reference's two functions, on the same emulator in one run."""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from statistics import median

from scripts.common.target import Target
from scripts.local import server
from scripts.local.examples import EXAMPLES
from scripts.operator.executions import read_execution

from .generator import measure_cpu_seconds
from .sides import Side, run_sides

# The sides take turns, and each ratio is of two neighbours: a machine that is shared becomes slower and faster.
PAYMENTS, RUNS, STARTS = 100, 7, 15


def compare_payments(reference: Path) -> Iterator[str]:
    """Yield a line for each figure. ``reference`` is the Markdown file that contains the reference's functions."""
    server.isolate_from_user_configuration()
    with run_sides(reference) as comparison:
        ours, theirs = comparison.sides
        for name in ("validation", "processing"):
            code = f"from handlers import {name}; {name}.get_ledger()"
            starts = [
                _cold_start_seconds(ours, code) / _cold_start_seconds(theirs, f"import lambda_{name}")
                for _ in range(STARTS)
            ]
            yield f"CPU time of a cold start of {name}: {median(starts):.2f} times the reference's"
        runs = [(_measure_warm_payments(ours), _measure_warm_payments(theirs)) for _ in range(RUNS)]
        ratio = median(measured["cpu_ms"] / baseline["cpu_ms"] for measured, baseline in runs)
        yield f"CPU time of a warm payment: {ratio:.2f} times the reference's"
        measured, baseline = runs[0]
        yield f"AWS calls per payment: {measured['calls']:.0f} (reference: {baseline['calls']:.0f})"
        yield f"bytes sent and received per payment: {measured['bytes']:.0f} (reference: {baseline['bytes']:.0f})"
        yield f"billed transitions of a completed payment: {_count_transitions(comparison.target, comparison.outputs)}"


def _cold_start_seconds(side: Side, code: str) -> float:
    """Return the CPU time, in seconds, of what Lambda does before the first invocation."""
    return measure_cpu_seconds([sys.executable, "-c", code], side.environment | {"PYTHONPATH": side.folder})


def _measure_warm_payments(side: Side) -> dict[str, float]:
    worker = side.start_worker(PAYMENTS)
    output, _ = worker.communicate("\n")
    if worker.returncode:
        raise SystemExit(f"bench: a payment of {side.name} failed, as the lines above say")
    figures: dict[str, float] = json.loads(output.splitlines()[-1])
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
