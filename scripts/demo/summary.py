"""The outcome of each payment of the demonstration, as a table."""

from collections.abc import Mapping, Sequence
from typing import Any

from rich import box
from rich.table import Table

from scripts.local.examples import Example
from scripts.operator.cli.views import style_status
from scripts.operator.dead_letters import DeadLetter
from scripts.operator.executions import Execution
from scripts.operator.records import Record

# In a narrower console, a path is folded between two states.
WIDTH = 96


def make_table(
    executions: Sequence[tuple[Example, Execution]],
    payments: Mapping[str, Record],
    letters: Sequence[DeadLetter],
    notifications: Sequence[Mapping[str, Any]],
    width: int,
) -> Table:
    """Return the table for a console of this width; ``payments`` are the current ones by transaction id."""
    is_narrow = width < WIDTH
    table = Table(
        box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 1, 0, 0), row_styles=["", "on grey11"]
    )
    table.add_column("Payment, and its path through the workflow", no_wrap=not is_narrow, overflow="fold")
    for name in ("Attempts", "Final status", "Seconds", "Notified"):
        table.add_column(name, justify="right" if name in ("Attempts", "Seconds") else "left", no_wrap=True)
    notified_of = {
        "DLQ": {letter.execution_arn for letter in letters},
        "subscribers": {str(notification.get("execution_arn")) for notification in notifications},
    }
    for example, execution in executions:
        receivers = [name for name, arns in notified_of.items() if execution.execution_arn in arns]
        payment = payments[execution.transaction_id]
        status = style_status(payment.status)
        path = execution.path.replace("→", " →") if is_narrow else execution.path
        table.add_row(
            f"{example.description}\n[dim]{path}[/]",
            str(payment.attempts),
            status if not execution.error else status.append(f"\n{execution.error}", style="dim"),
            f"{execution.seconds:.1f}",
            "\n".join(receivers) or "nobody",
        )
    return table


def summarize_run(
    executions: Sequence[tuple[Example, Execution]], letters: Sequence[DeadLetter], notifications: Sequence[Any]
) -> str:
    payments = {execution.transaction_id for _, execution in executions}
    references = {execution.output.get("gateway_reference") for _, execution in executions} - {None, ""}
    return (
        f"{len(executions)} executions of {len(payments)} payments: {len(references)} charges, "
        f"{len(letters)} dead letters, {len(notifications)} notifications."
    )
