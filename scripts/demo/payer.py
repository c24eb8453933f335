"""Starts payments, and shows the progress of their executions until they have ended."""

import json
import time
import uuid
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from scripts.common.errors import UserError
from scripts.local.examples import Example
from scripts.operator.executions import Execution, read_execution

if TYPE_CHECKING:
    from mypy_boto3_stepfunctions import SFNClient

LONGEST_SECONDS = 180


class Payer:
    def __init__(self, stepfunctions: "SFNClient", state_machine_arn: str, console: Console) -> None:
        self._stepfunctions = stepfunctions
        self._state_machine_arn = state_machine_arn
        self._console = console

    def run_payments(self, examples: Sequence[Example], run: str) -> list[tuple[Example, Execution]]:
        """Start a payment of each example, and return their executions. Raises ``UserError`` if one does not end."""
        executions = [(example, Execution(self._start_payment(example.request(run)))) for example in examples]
        deadline = time.monotonic() + LONGEST_SECONDS
        with Live(console=self._console, transient=True, auto_refresh=False) as live:
            while True:
                for position, (example, execution) in enumerate(executions):
                    if not execution.has_ended:
                        executions[position] = example, read_execution(self._stepfunctions, execution.execution_arn)
                live.update(_make_progress_table(executions), refresh=True)
                if all(execution.has_ended for _, execution in executions):
                    return executions
                if time.monotonic() > deadline:
                    raise UserError(f"payments are still running after {LONGEST_SECONDS} s")
                time.sleep(0.3)

    def _start_payment(self, request: dict[str, Any]) -> str:
        response = self._stepfunctions.start_execution(
            stateMachineArn=self._state_machine_arn,
            name=f"{request['transaction_id']}-{uuid.uuid4().hex[:6]}",
            input=json.dumps(request),
        )
        return response["executionArn"]


def _make_progress_table(executions: list[tuple[Example, Execution]]) -> Table:
    table = Table(box=None, pad_edge=False, show_header=False)
    for example, execution in executions:
        status = f"{execution.status}: {execution.error}" if execution.error else execution.status
        style = {"SUCCEEDED": "green", "RUNNING": "yellow"}.get(execution.status, "red")
        state = "" if execution.has_ended else execution.path.split("→")[-1]
        table.add_row(example.description, Text(status, style=style), Text(state, style="dim"))
    return table
