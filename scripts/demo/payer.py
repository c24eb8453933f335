"""Starts payments, and shows the progress of their executions until they have ended."""

import json
import time
import uuid
from collections.abc import Mapping, Sequence

from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from scripts.common.errors import UserError
from scripts.common.states import shorten_name
from scripts.local.examples import Example
from scripts.operator.cli.views import style_status
from scripts.operator.executions import Execution
from scripts.operator.express_executions import read_payment_execution
from scripts.operator.platform import Platform
from scripts.operator.records import Record, read_payments

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
                    executions[position] = example, read_payment_execution(platform, execution.execution_arn)
            # An execution that has not been looked at yet has no id.
            payments = read_payments(platform, filter(None, (execution.transaction_id for _, execution in executions)))
            live.update(make_progress_table(executions, payments), refresh=True)
    return executions


def make_progress_table(executions: Sequence[tuple[Example, Execution]], payments: Mapping[str, Record]) -> Table:
    """Return a row for each payment with its status so far, and the state that its execution is in or why it failed."""
    table = Table(box=None, pad_edge=False, show_header=False)
    for example, execution in executions:
        payment = payments.get(execution.transaction_id)
        state = shorten_name(execution.states[-1]) if execution.states and not execution.has_ended else ""
        status = style_status(payment.status) if payment else Text("not recorded yet", style="dim")
        table.add_row(example.description, status, Text(execution.error or state, style="dim"))
    return table
