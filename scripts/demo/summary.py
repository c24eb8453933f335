"""What became of each payment, as a table."""

from collections.abc import Mapping, Sequence
from typing import Any

from rich import box
from rich.table import Table
from rich.text import Text

from scripts.local.examples import Example
from scripts.operator.dead_letters import Letter
from scripts.operator.executions import Execution
from scripts.operator.records import Record

# As wide as it gets; where there is less, a path is folded between two states.
WIDTH = 96


def table(
    stories: Sequence[tuple[Example, Execution]],
    payments: Mapping[str, Record],
    letters: Sequence[Letter],
    notices: Sequence[Mapping[str, Any]],
    width: int,
) -> Table:
    """``payments`` as they are now, by their ids; ``letters`` and ``notices`` are what was left and sent of them."""
    narrow = width < WIDTH
    found = Table(
        box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 1, 0, 0), row_styles=["", "on grey11"]
    )
    found.add_column("Payment, and its path through the workflow", no_wrap=not narrow, overflow="fold")
    found.add_column("Attempts", justify="right", no_wrap=True)
    found.add_column("Final status", no_wrap=True)
    found.add_column("Seconds", justify="right", no_wrap=True)
    found.add_column("Notified", no_wrap=True)
    told = {
        "DLQ": {letter.execution_arn for letter in letters},
        "subscribers": {str(notice.get("execution_arn")) for notice in notices},
    }
    for example, story in stories:
        went = [name for name, executions in told.items() if story.execution_arn in executions]
        found.add_row(
            f"{example.description}\n[dim]{story.path.replace('→', ' →') if narrow else story.path}[/]",
            str(story.tries["ProcessPayment"]),
            _final(payments[story.transaction_id].status, story),
            f"{story.seconds:.1f}",
            "\n".join(went) or "nobody",
        )
    return found


def line(stories: Sequence[tuple[Example, Execution]], letters: Sequence[Letter], notices: Sequence[Any]) -> str:
    payments = {story.transaction_id for _, story in stories}
    charges = {story.output["gateway_reference"] for _, story in stories if story.output.get("gateway_reference")}
    return (
        f"{len(stories)} executions of {len(payments)} payments: {len(charges)} charges, "
        f"{len(letters)} dead letters, {len(notices)} notifications."
    )


def _final(status: str, story: Execution) -> Text:
    """The payment's own state, and under it why the execution failed."""
    text = Text(status, style={"COMPLETED": "green", "FAILED": "red", "UNKNOWN": "red"}.get(status, "yellow"))
    return text.append(f"\n{story.error}", style="dim") if story.error else text
