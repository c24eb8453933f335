"""Starts payments, and shows the progress of their executions until they have ended."""

import json
import time
import uuid
from collections.abc import Sequence

from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from scripts.common.errors import UserError
from scripts.local.examples import Example
from scripts.operator.executions import Execution, read_execution
from scripts.operator.platform import Platform

LONGEST_SECONDS = 180


def run_payments(
    platform: Platform, examples: Sequence[Example], run: str, console: Console
) -> list[tuple[Example, Execution]]:
    """Start a payment of each example, and return their executions. Raises ``UserError`` if one does not end."""
    stepfunctions, machine = platform.client("stepfunctions"), platform.outputs["StepFunctionsStateMachineArn"]
    executions = []
    for example in examples:
        request = example.request(run)
        name = f"{request['transaction_id']}-{uuid.uuid4().hex[:6]}"
        response = stepfunctions.start_execution(stateMachineArn=machine, name=name, input=json.dumps(request))
        executions.append((example, Execution(response["executionArn"])))
    deadline = time.monotonic() + LONGEST_SECONDS
    with Live(console=console, transient=True, auto_refresh=False) as live:
        while any(not execution.has_ended for _, execution in executions):
            if time.monotonic() > deadline:
                raise UserError(f"payments are still running after {LONGEST_SECONDS} s")
            time.sleep(0.3)
            for position, (example, execution) in enumerate(executions):
                if not execution.has_ended:
                    executions[position] = example, read_execution(stepfunctions, execution.execution_arn)
            live.update(_make_progress_table(executions), refresh=True)
    return executions


def _make_progress_table(executions: list[tuple[Example, Execution]]) -> Table:
    table = Table(box=None, pad_edge=False, show_header=False)
    for example, execution in executions:
        status = f"{execution.status}: {execution.error}" if execution.error else execution.status
        style = {"SUCCEEDED": "green", "RUNNING": "yellow"}.get(execution.status, "red")
        state = "" if execution.has_ended else execution.path.split("→")[-1]
        table.add_row(example.description, Text(status, style=style), Text(state, style="dim"))
    return table
