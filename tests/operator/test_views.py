"""What commands print for people: every time with its date and UTC, and links to documents that lead there."""

import io
import re
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest

from scripts.common.terminal import create_console
from scripts.operator.cli import views
from scripts.operator.dead_letters import build_letter
from scripts.operator.logs import LogLine
from scripts.operator.records import Record, parse_item
from tests.emitted import ROOT

REASON = "was the table restored? see docs/runbook.md#restore-the-table-to-a-point-in-time"


def make_record(updated_at: float, overdue_at: float) -> Record:
    texts = {"transaction_id": {"S": "T-1"}, "status": {"S": "UNKNOWN"}}
    times = {"created_at": updated_at, "updated_at": updated_at, "overdue_at": overdue_at}
    return parse_item(texts | {name: {"N": str(seconds)} for name, seconds in times.items()})


def make_line(at: str) -> LogLine:
    return LogLine(at, "processing", "T-1", "payment finished: COMPLETED", "", False, "request", "key")


def test_a_line_of_the_log_has_its_day_above_it_once() -> None:
    file = io.StringIO()
    console = create_console(file=file, width=120)
    day = ""
    for at in ("2026-11-27T23:59:59.000Z", "2026-11-28T00:00:01.000Z", "2026-11-28T00:00:02.000Z"):
        day = views.print_log_line(console, make_line(at), day)
    lines = [line.split("  ")[0] for line in file.getvalue().splitlines()]
    assert lines == ["2026-11-27 UTC", "23:59:59.000", "2026-11-28 UTC", "00:00:01.000", "00:00:02.000"]


def test_lists_say_date_and_zone() -> None:
    file = io.StringIO()
    console = create_console(file=file, width=80)
    views.print_payments(console, [make_record(1795783237.784, 1795783500)])
    text = file.getvalue()
    assert [
        part for part in ("Changed (UTC)", "2026-11-27 12:40", "due 2026-11-27 12:45 UTC") if part not in text
    ] == []


@pytest.mark.parametrize(("color", "is_link"), [("truecolor", True), (None, False)])
def test_a_document_is_a_link_where_the_terminal_has_links(color: Any, is_link: bool) -> None:
    file = io.StringIO()
    console = create_console(file=file, width=100, color_system=color, force_terminal=is_link)
    views.print_reason(console, REASON)
    text = file.getvalue()
    links = re.findall(r"\x1b]8;[^;]*;([^\x1b]+)\x1b", text)
    assert REASON in re.sub(r"\x1b]8;[^\x1b]*\x1b\\", "", text)
    assert len(links) == is_link
    for link in links:
        address = urlsplit(link)
        assert Path(unquote(address.path)) == ROOT / "docs" / "runbook.md"
        assert address.fragment == "restore-the-table-to-a-point-in-time"


def test_an_explanation_breaks_between_words_on_a_terminal() -> None:
    body = {"error": "LedgerRefused", "cause": "a condition of the ledger was not met, " * 4}
    letter = build_letter({"MessageId": "1", "ReceiptHandle": "1"}, body, {})
    outputs = {}
    for is_terminal in (True, False):
        console = create_console(file=io.StringIO(), width=80, color_system=None, force_terminal=is_terminal)
        views.print_letter(console, letter)
        outputs[is_terminal] = console.file.getvalue()
    assert max(map(len, outputs[True].splitlines())) <= 80
    assert outputs[True].split() == outputs[False].split()
    assert outputs[False].count("\n") == 7


def test_the_document_of_an_explanation_has_that_section() -> None:
    body = {"error": "LedgerRefused", "cause": "ConditionalCheckFailed"}
    letter = build_letter({"MessageId": "1", "ReceiptHandle": "1"}, body, {})
    section = letter.explanation.rpartition("#")[2].replace("-", " ")
    assert f"## {section.capitalize()}\n" in (ROOT / "docs" / "runbook.md").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("overdue_at", "label", "text"),
    [
        (1795783500, "due", "2026-11-27 12:45 UTC; then reconciliation handles it, unless it needs nothing more"),
        (1795783200, "overdue", "since 2026-11-27 12:40 UTC; the next reconciliation handles it"),
    ],
)
def test_a_payment_is_overdue_only_from_that_time_on(overdue_at: float, label: str, text: str) -> None:
    current_time = datetime.fromtimestamp(1795783200, UTC)
    assert views._describe_due_time(make_record(1795783100, overdue_at), current_time) == (label, text)


@pytest.mark.parametrize(
    ("former_status", "current_status", "text"),
    [
        ("FAILED", "FAILED", "FAILED"),
        ("UNKNOWN", "COMPLETED", "COMPLETED; UNKNOWN when the letter was sent"),
        ("NOT_RECORDED", "", "not recorded"),
        ("NOT_READ", "FAILED", "FAILED; not read when the letter was sent"),
        ("", "FAILED", "FAILED"),
    ],
)
def test_a_dead_letter_repeats_no_status(former_status: str, current_status: str, text: str) -> None:
    body = {"payment_status": former_status}
    letter = replace(build_letter({"MessageId": "1", "ReceiptHandle": "1"}, body, {}), current_status=current_status)
    assert views.describe_statuses(letter) == text
