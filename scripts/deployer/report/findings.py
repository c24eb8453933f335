"""The findings of the preflight, as text and as Markdown: passed checks are counted, the rest is listed."""

from collections import Counter
from collections.abc import Sequence
from itertools import zip_longest

from rich.console import Console
from rich.table import Table
from rich.text import Text

from scripts.common.terminal import make_line

from ..finding import Finding, Verdict
from .markdown import escape_cell

# In the order of severity: sign, colour, word, and emoji in Markdown.
_SIGNS = {
    Verdict.FAILURE: ("✗", "red", "failed", ":x:"),
    Verdict.WARNING: ("!", "yellow", "warned", ":warning:"),
    Verdict.UNKNOWN: ("?", "dim", "unknown", ":grey_question:"),
}


def summarize_findings(findings: Sequence[Finding]) -> str:
    """Return how many checks ended with each verdict: "6 checks passed", or "5 checks passed, 1 failed"."""
    counts = Counter(finding.verdict for finding in findings)
    parts = [f"{counts[Verdict.OK]} check{'' if counts[Verdict.OK] == 1 else 's'} passed"]
    parts += [f"{counts[verdict]} {word}" for verdict, (_, _, word, _) in _SIGNS.items() if counts[verdict]]
    return ", ".join(parts)


def _not_passed(findings: Sequence[Finding]) -> list[Finding]:
    """Return the findings of checks that have not passed, the most severe first."""
    return [finding for verdict in _SIGNS for finding in findings if finding.verdict is verdict]


def print_findings(console: Console, findings: Sequence[Finding]) -> None:
    console.print(Text.assemble(("Examining", "bold"), f" the account: {summarize_findings(findings)}"), soft_wrap=True)
    table = Table.grid(padding=(0, 1))
    # The last column wraps on a terminal, and nowhere else.
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    listed = _not_passed(findings)
    for finding, following in zip_longest(listed, listed[1:]):
        sign, colour, _, _ = _SIGNS[finding.verdict]
        line = Text(make_line(finding.text))
        # Findings with the same next step show it once.
        if finding.next_step and (following is None or following.next_step != finding.next_step):
            line.append(f"\n→ {make_line(finding.next_step)}", style="dim")
        table.add_row(Text(sign, style=f"bold {colour}"), Text(make_line(finding.subject)), line)
    if listed:
        console.print(table)


def render_findings(findings: Sequence[Finding]) -> str:
    """Return Markdown: a line that counts the verdicts, and a table of what did not pass."""
    lines = [f"Before anything is changed: {summarize_findings(findings)}.", ""]
    if listed := _not_passed(findings):
        lines += ["| | Checked | Finding | Next step |", "|---|---|---|---|"]
        for finding in listed:
            cells = map(escape_cell, (finding.subject, finding.text, finding.next_step))
            lines.append(f"| {_SIGNS[finding.verdict][3]} | {' | '.join(cells)} |")
        lines.append("")
    return "\n".join(lines)
