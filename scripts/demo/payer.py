"""Starts executions, and shows how far they are until they have ended."""

import json
import time
import uuid
from typing import Any

from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from scripts.common.errors import UserError
from scripts.local.examples import Example
from scripts.operator.executions import Execution, read

LONGEST_SECONDS = 180


class Payer:
    def __init__(self, stepfunctions: Any, state_machine_arn: str, console: Console) -> None:
        self._stepfunctions = stepfunctions
        self._state_machine_arn = state_machine_arn
        self._console = console

    def start(self, request: dict[str, Any]) -> str:
        """The ARN of the execution."""
        started = self._stepfunctions.start_execution(
            stateMachineArn=self._state_machine_arn,
            name=f"{request['transaction_id']}-{uuid.uuid4().hex[:6]}",
            input=json.dumps(request),
        )
        return str(started["executionArn"])

    def follow(self, sent: list[tuple[Example, str]]) -> list[tuple[Example, Execution]]:
        """What became of them. Raises ``UserError`` for one that does not end."""
        deadline = time.monotonic() + LONGEST_SECONDS
        stories = [(example, Execution(arn)) for example, arn in sent]
        with Live(console=self._console, transient=True, auto_refresh=False) as live:
            while True:
                stories = [
                    (example, story if story.ended else read(self._stepfunctions, story.execution_arn))
                    for example, story in stories
                ]
                live.update(_progress(stories), refresh=True)
                if all(story.ended for _, story in stories):
                    return stories
                if time.monotonic() > deadline:
                    raise UserError(f"payments are still running after {LONGEST_SECONDS} s")
                time.sleep(0.3)


def _progress(stories: list[tuple[Example, Execution]]) -> Table:
    table = Table(box=None, pad_edge=False, show_header=False)
    for example, story in stories:
        doing = Text(story.path.split("→")[-1], style="dim")
        table.add_row(example.description, _status(story), doing if not story.ended else Text())
    return table


def _status(story: Execution) -> Text:
    text = f"{story.status}: {story.error}" if story.error else story.status
    return Text(text, style={"SUCCEEDED": "green", "RUNNING": "yellow"}.get(story.status, "red"))
