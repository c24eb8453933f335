"""Tables and lines for people: they fit 80 columns, and break no id that fits."""

import re
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime

from payments.payment import Status
from rich import box
from rich.console import Console, JustifyMethod
from rich.style import Style
from rich.table import Column, Table
from rich.text import Text

from scripts.common.paths import ROOT
from scripts.deployer.report.hanging import print_hanging

from ..batch import Result
from ..dead_letters import DeadLetter
from ..log_events import LogEvent, format_fields
from ..logs import LogLine
from ..records import Record
from ..statuses import FAILED
from ..story import Story

_DOCUMENT = re.compile(r"(docs/[\w-]+\.md)(#[\w-]+)?")
# Before the values of `dlq explain`.
_LABEL_COLUMNS = 13
_SOURCE_STYLES = {"workflow": "cyan", "ledger": "bold", "notice": "yellow"}
_STATUS_STYLES: dict[str, str] = {Status.COMPLETED: "green", Status.REFUNDED: "green"}
_FAILURES = (*FAILED, Status.UNKNOWN, "NOT RECORDED", "NOT SENT", "CONFLICT")


def style_status(value: str) -> Text:
    return Text(value, style="red" if value in _FAILURES else _STATUS_STYLES.get(value, "yellow"))


def describe_payment(payment: Record) -> str:
    """Describe a payment in the line above a question."""
    reference = payment.gateway_reference and f"charged as {payment.gateway_reference}"
    return ", ".join(filter(None, (f"{payment.transaction_id} is {payment.status}", payment.amount, reference)))


def print_story(console: Console, story: Story) -> None:
    """Print the payment's current state, and each event with its time in UTC."""
    payment = story.payment
    description = " by ".join(part for part in (payment.amount, payment.payment_method.replace("_", " ")) if part)
    head = Text.assemble((payment.transaction_id, "bold"), "  ", style_status(payment.status))
    console.print(head.append(f"  {description}"), soft_wrap=True)
    for label, value in (
        ("why", _describe_failure(payment)),
        ("attempts", str(payment.attempts)),
        ("reference", payment.gateway_reference),
        ("refund", payment.refund_reference),
        ("notified", "; ".join(story.notifications) or "nobody"),
        _describe_due_time(payment, datetime.now(UTC)),
    ):
        if value:
            console.print(Text.assemble("  ", (f"{label:<10}", "dim"), value), soft_wrap=True)
    columns = Column(no_wrap=True, style="dim"), Column(no_wrap=True), Column(overflow="fold")
    table = Table(*columns, box=None, pad_edge=False, show_header=False, padding=(0, 2, 0, 0))
    day, detail = "", ""
    for entry in story.timeline:
        if entry.at[:10] != day:
            day = entry.at[:10]
            table.add_row()
            table.add_row(day, "UTC")
        event = Text(entry.summary, style="red" if entry.bad else "")
        # The workflow repeats the words in which a function logged its failure.
        if entry.detail and not (entry.bad and entry.detail == detail):
            event.append(f"  {entry.detail}", style="dim")
        detail = entry.detail
        table.add_row(entry.at[11:23], Text(entry.source, style=_SOURCE_STYLES.get(entry.source, "magenta")), event)
    console.print(table)


def print_payments(console: Console, payments: Sequence[Record]) -> None:
    table = _make_table("Payment", "Status", "Amount", "Attempts", "Changed (UTC)")
    for payment in payments:
        due = f"due {_format_minute(payment.overdue_at)} UTC" if payment.overdue_at else ""
        table.add_row(
            _make_id_cell(payment.transaction_id, "; ".join(filter(None, (_describe_failure(payment), due)))),
            style_status(payment.status),
            payment.amount or "-",
            str(payment.attempts),
            _format_minute(payment.updated_at),
        )
    console.print(table)


def print_letters(console: Console, letters: Sequence[DeadLetter]) -> None:
    table = _make_table("Id", "Payment and error", "Status now", "Time (UTC)")
    for letter in letters:
        error = f"{letter.error} in {letter.state}" if letter.state else letter.error
        table.add_row(
            letter.letter_id[:8],
            _make_id_cell(letter.transaction_id or "-", error),
            style_status(letter.current_status) if letter.current_status else Text("not recorded"),
            _format_minute(letter.timestamp),
        )
    console.print(table)


def print_results(console: Console, results: Sequence[Result]) -> None:
    """Print the outcomes and their counts."""
    print_result_table(console, results)
    newly_sent = sum(result.is_newly_sent for result in results)
    print_counts(console, Counter(result.status for result in results), newly_sent)


def print_result_table(console: Console, results: Sequence[Result]) -> None:
    table = _make_table("Payment", "Amount", "Status")
    for result in results:
        label = _make_id_cell(result.transaction_id, result.comment)
        table.add_row(label, result.amount or "-", style_status(result.status))
    console.print(table)


def print_counts(console: Console, counts: Counter[str], newly_sent: int) -> None:
    outcomes = ", ".join(f"{count:,} {status}" for status, count in counts.most_common())
    count = counts.total()
    console.print(f"{count:,} payment{'s' if count != 1 else ''}, {newly_sent:,} newly sent: {outcomes}")


def print_log_line(console: Console, line: LogLine, previous_day: str) -> str:
    """Print a line of `tail` without breaking it, so that it can be copied. Return its day, which is printed above it.

    The day is not printed again if it is that of the line before.
    """
    day = line.at[:10]
    if day != previous_day:
        console.print(f"{day} UTC")
    summary = Text(line.summary, style="red" if line.bad else "")
    if line.detail:
        summary.append(f"  {line.detail}", style="dim")
    at = (f"{line.at[11:23]}  ", "dim")
    function = (f"{line.function:<14}  ", _SOURCE_STYLES.get(line.function, "magenta"))
    console.print(Text.assemble(at, function, (f"{line.transaction_id}  ", "bold"), summary), soft_wrap=True)
    return day


def print_log_event(console: Console, event: LogEvent, previous_day: str) -> str:
    """Print a line of `logs.sh` as ``print_log_line`` does, with its stack trace below. Return its day."""
    day = event.at[:10]
    if day != previous_day:
        console.print(f"{day} UTC")
    fields = dict(event.fields)
    stack_trace = fields.pop("stackTrace", None)
    line = Text.assemble(
        (f"{event.at[11:23]}  ", "dim"),
        (f"{event.source:<14}  ", _SOURCE_STYLES.get(event.source, "magenta")),
        (f"{event.level:<7}  " if event.level else "", "red" if event.is_warning else "dim"),
        (event.message, "red" if event.is_warning else ""),
    )
    if fields:
        line.append(f"{'  ' if event.message else ''}{format_fields(fields)}", style="dim")
    console.print(line, soft_wrap=True)
    for frame in stack_trace if isinstance(stack_trace, list) else []:
        console.print(Text(f"    {str(frame).strip()}", style="dim"), soft_wrap=True)
    return day


def print_letter(console: Console, letter: DeadLetter) -> None:
    """Print why a payment failed, and what a redrive would do."""
    console.print(f"{letter.transaction_id}: {letter.error} in {letter.state} at {letter.timestamp}", soft_wrap=True)
    print_label(console, "id", letter.letter_id[:8])
    print_reason(console, letter.explanation)
    print_label(console, "status", describe_statuses(letter))
    print_label(console, "advice", letter.advice)
    print_label(console, "cause", letter.cause)
    # The terminal wraps it, so that it can be copied.
    console.print(f"  execution  {letter.execution_arn}", soft_wrap=True)


def print_label(console: Console, label: str, text: str) -> None:
    print_hanging(console, Text(f"  {label:<11}{text}"), indent=_LABEL_COLUMNS)


def print_reason(console: Console, text: str) -> None:
    """Print why a payment failed; where the terminal has links, the path of a document is one."""
    reason = Text(f"  why        {text}")
    for path in _DOCUMENT.finditer(reason.plain):
        # Only a terminal with colours gets the link: rich leaves it out for files and for TERM=dumb.
        reason.stylize(Style(link=(ROOT / path[1]).as_uri() + (path[2] or "")), *path.span())
    print_hanging(console, reason, indent=_LABEL_COLUMNS)


def _make_table(*columns: str) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    for name in columns:
        # Ids may be longer than a terminal is wide, and are useless when they are cut off.
        folds = name.startswith("Payment")
        justify: JustifyMethod = "right" if name in ("Amount", "Attempts") else "left"
        table.add_column(name, overflow="fold", no_wrap=not folds, justify=justify)
    return table


def _make_id_cell(transaction_id: str, detail: str) -> Text:
    return Text(transaction_id).append(f"\n{detail}", style="dim") if detail else Text(transaction_id)


def _describe_due_time(payment: Record, current_time: datetime) -> tuple[str, str]:
    """Return whether the payment is overdue for reconciliation, or when it will be; the text is empty for never."""
    if not payment.overdue_at:
        return "due", ""
    minute = f"{_format_minute(payment.overdue_at)} UTC"
    if datetime.fromisoformat(payment.overdue_at) <= current_time:
        return "overdue", f"since {minute}; the next reconciliation handles it"
    return "due", f"{minute}; then reconciliation handles it, unless it needs nothing more"


def describe_statuses(letter: DeadLetter) -> str:
    """Describe the status of the payment of a dead letter, and the one at the time of the letter if that differed."""
    current_status = letter.current_status or "not recorded"
    former_status = {"NOT_RECORDED": "not recorded", "NOT_READ": "not read"}.get(
        letter.payment_status, letter.payment_status
    )
    if former_status in ("", current_status):
        return current_status
    return f"{current_status}; {former_status} when the letter was sent"


def _describe_failure(payment: Record) -> str:
    return ", ".join(payment.reasons) or payment.failure


def _format_minute(at: str) -> str:
    """Format a time to the minute, in UTC; return other text shortened."""
    try:
        return datetime.fromisoformat(at).strftime("%Y-%m-%d %H:%M")
    except ValueError:
        return at[:16]
