"""Compares the cost of a payment with that of the reference's two functions, on the same emulator in one run."""

import json
import sys
from collections.abc import Iterator
from pathlib import Path

from scripts.common.target import Target
from scripts.local import server
from scripts.local.examples import EXAMPLES
from scripts.operator.executions import read_execution

from .generator import measure_cpu_seconds
from .sides import Side, run_sides

PAYMENTS, RUNS, STARTS = 100, 5, 7


def compare_payments(reference: Path) -> Iterator[str]:
    """Yield a line for each figure. ``reference`` is the Markdown file that contains the reference's functions."""
    server.isolate_from_user_configuration()
    with run_sides(reference) as comparison:
        ours, theirs = comparison.sides
        for name in ("validation", "processing"):
            platform_seconds = _cold_start_seconds(ours, f"from handlers import {name}; {name}.get_ledger()")
            ratio = platform_seconds / _cold_start_seconds(theirs, f"import lambda_{name}")
            yield f"CPU time of a cold start of {name}: {ratio:.2f} times the reference's"
        measured, baseline = _measure_warm_payments(ours), _measure_warm_payments(theirs)
        yield f"CPU time of a warm payment: {measured['cpu_ms'] / baseline['cpu_ms']:.2f} times the reference's"
        yield f"AWS calls per payment: {measured['calls']:.0f} (reference: {baseline['calls']:.0f})"
        yield f"bytes sent and received per payment: {measured['bytes']:.0f} (reference: {baseline['bytes']:.0f})"
        yield f"billed transitions of a completed payment: {_count_transitions(comparison.target, comparison.outputs)}"


def _cold_start_seconds(side: Side, code: str) -> float:
    """Return the least CPU time, in seconds, of several runs of what Lambda does before the first invocation."""
    environment = side.environment | {"PYTHONPATH": side.folder}
    return min(measure_cpu_seconds([sys.executable, "-c", code], environment) for _ in range(STARTS))


def _measure_warm_payments(side: Side) -> dict[str, float]:
    """Return the figures of the worker whose payments took the least CPU time, which was disturbed least."""
    figures: list[dict[str, float]] = []
    for _ in range(RUNS):
        worker = side.start_worker(PAYMENTS)
        output, _ = worker.communicate("\n")
        if worker.returncode:
            raise SystemExit(f"bench: a payment of {side.name} failed, as the lines above say")
        figures.append(json.loads(output.splitlines()[-1]))
    return min(figures, key=lambda values: values["cpu_ms"])


def _count_transitions(platform: Target, outputs: dict[str, str]) -> int:
    stepfunctions = platform.client("stepfunctions")
    request = EXAMPLES[0].request("BENCH")
    arn = stepfunctions.start_execution(
        stateMachineArn=outputs["StepFunctionsStateMachineArn"], input=json.dumps(request)
    )["executionArn"]
    while not (execution := read_execution(stepfunctions, arn)).has_ended:
        pass
    return execution.transition_count
