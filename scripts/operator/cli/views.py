"""What people see: tables that fit 80 columns and break no id that fits."""

from collections import Counter
from collections.abc import Sequence
from datetime import datetime

from payments.payment import Status
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from ..batch import Result
from ..dead_letters import Letter
from ..logs import Line
from ..records import Record
from ..statuses import FAILED
from ..story import Story

_STYLES: dict[str, str] = {Status.COMPLETED: "green", Status.REFUNDED: "green"}
_BAD = (*FAILED, Status.UNKNOWN, "NOT RECORDED", "NOT SENT", "CONFLICT")


def status(value: str) -> Text:
    return Text(value, style="red" if value in _BAD else _STYLES.get(value, "yellow"))


def payment_line(payment: Record) -> str:
    """A payment in one line, to be asked about."""
    amount = f", {payment.amount}" if payment.amount else ""
    reference = f", charged as {payment.gateway_reference}" if payment.gateway_reference else ""
    return f"{payment.transaction_id} is {payment.status}{amount}{reference}"


def story(console: Console, shown: Story) -> None:
    """What the payment is, and then what happened, each line with its time in UTC."""
    payment = shown.payment
    what = " by ".join(part for part in (payment.amount, payment.method.replace("_", " ")) if part)
    head = Text.assemble((payment.transaction_id, "bold"), "  ", status(payment.status))
    console.print(head.append(f"  {what}"), soft_wrap=True)
    reasons = ", ".join(payment.reasons) or payment.failure
    for label, value in (
        ("why", reasons),
        ("attempts", str(payment.attempt)),
        ("reference", payment.gateway_reference),
        ("refund", payment.refund_reference),
        ("notified", "; ".join(shown.told) or "nobody"),
        (
            "overdue",
            _minute(payment.overdue_at) and f"{_minute(payment.overdue_at)} UTC, when reconciliation will handle it",
        ),
    ):
        if value:
            console.print(Text.assemble("  ", (f"{label:<10}", "dim"), value), soft_wrap=True)
    table = Table(box=None, pad_edge=False, show_header=False, padding=(0, 2, 0, 0))
    table.add_column(no_wrap=True, style="dim")
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    day, detail = "", ""
    for entry in shown.timeline:
        if entry.at[:10] != day:
            day = entry.at[:10]
            table.add_row()
            table.add_row(day, "UTC")
        told = Text(entry.what, style="red" if entry.bad else "")
        # A failure's words are the log's, and then the workflow's again.
        if entry.detail and not (entry.bad and entry.detail == detail):
            told.append(f"  {entry.detail}", style="dim")
        detail = entry.detail
        table.add_row(entry.at[11:23], Text(entry.source, style=_SOURCES.get(entry.source, "magenta")), told)
    console.print(table)


_SOURCES = {"workflow": "cyan", "ledger": "bold", "notice": "yellow"}


def payments(console: Console, found: Sequence[Record]) -> None:
    table = _table("Payment", "Status", "Amount", "Attempts", "Changed UTC", right=("Amount", "Attempts"))
    for one in found:
        why = ", ".join(one.reasons) or one.failure
        due = f"due {_minute(one.overdue_at)}" if one.overdue_at else ""
        table.add_row(
            _id(one.transaction_id, "; ".join(part for part in (why, due) if part)),
            status(one.status),
            one.amount or "-",
            str(one.attempt),
            _minute(one.updated_at),
        )
    console.print(table)


def letters(console: Console, found: Sequence[Letter]) -> None:
    table = _table("Id", "Payment and error", "Status now", "Time (UTC)")
    for letter in found:
        failed = f"{letter.error} in {letter.state}" if letter.state else letter.error
        now = status(letter.now) if letter.now else Text("not recorded")
        table.add_row(letter.letter_id[:8], _id(letter.transaction_id or "-", failed), now, _minute(letter.timestamp))
    console.print(table)


def results(console: Console, found: Sequence[Result]) -> None:
    """Outcomes with their sum below."""
    table = _table("Payment", "Amount", "Status", right=("Amount",))
    for one in found:
        table.add_row(_id(one.transaction_id, one.said), one.amount or "-", status(one.status))
    console.print(table)
    counts = Counter(one.status for one in found)
    sent = sum(one.sent for one in found)
    sums = ", ".join(f"{count} {name}" for name, count in counts.most_common())
    console.print(f"{len(found)} payment{'s' if len(found) != 1 else ''}, {sent} newly sent: {sums}")


def line(console: Console, shown: Line) -> None:
    """A line of `tail`, whole: somebody may copy it."""
    what = Text(shown.what, style="red" if shown.bad else "")
    if shown.detail:
        what.append(f"  {shown.detail}", style="dim")
    at = (f"{shown.at[11:23]}  ", "dim")
    function = (f"{shown.function:<14}  ", _SOURCES.get(shown.function, "magenta"))
    console.print(Text.assemble(at, function, (f"{shown.transaction_id}  ", "bold"), what), soft_wrap=True)


def _table(*columns: str, right: Sequence[str] = ()) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    for name in columns:
        # Ids may be longer than any terminal is wide: folded, because one that is cut is of no use.
        folds = name.startswith("Payment")
        justify = "right" if name in right else "left"
        table.add_column(name, overflow="fold", no_wrap=not folds, justify=justify)  # type: ignore[arg-type]
    return table


def _id(transaction_id: str, more: str) -> Text:
    return Text(transaction_id).append(f"\n{more}", style="dim") if more else Text(transaction_id)


def _minute(at: str) -> str:
    """To the minute; what is no time is shown as it is."""
    try:
        return datetime.fromisoformat(at).strftime("%m-%d %H:%M")
    except ValueError:
        return at[:16]
