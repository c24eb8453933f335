"""The findings of the preflight, as text and as Markdown: passed checks are counted, other findings are listed."""

from collections import Counter
from collections.abc import Sequence
from itertools import zip_longest

from rich.console import Console
from rich.text import Text

from scripts.common.terminal import make_line

from ..finding import Finding, Verdict
from .hanging import INDENT, print_hanging
from .markdown import escape_cell

# In the order of severity: sign, colour, the words that count one and several findings, and emoji in Markdown.
_SIGNS = {
    Verdict.FAILURE: ("✗", "red", ("failure", "failures"), ":x:"),
    Verdict.WARNING: ("!", "yellow", ("warning", "warnings"), ":warning:"),
    Verdict.UNKNOWN: ("?", "dim", ("not checked", "not checked"), ":grey_question:"),
}


def summarize_findings(findings: Sequence[Finding]) -> str:
    """Return how many checks passed, and how many findings the others have, which may be several of one check.

    For example "6 checks passed", or "4 of 6 checks passed; 3 findings: 2 failures, 1 warning".
    """
    listed = _not_passed(findings)
    checks, failed_checks = ({finding.subject for finding in those} for those in (findings, listed))
    passed, noun = len(checks - failed_checks), "check" if len(checks) == 1 else "checks"
    if not listed:
        return f"{passed} {noun} passed"
    counts = Counter(finding.verdict for finding in listed)
    kinds = [
        f"{counts[verdict]} {words[counts[verdict] != 1]}"
        for verdict, (_, _, words, _) in _SIGNS.items()
        if counts[verdict]
    ]
    number = "1 finding" if len(listed) == 1 else f"{len(listed)} findings"
    return f"{passed} of {len(checks)} {noun} passed; {number}: {', '.join(kinds)}"


def _not_passed(findings: Sequence[Finding]) -> list[Finding]:
    """Return the findings by which a check has not passed, the most severe first."""
    return [finding for verdict in _SIGNS for finding in findings if finding.verdict is verdict]


def print_findings(console: Console, findings: Sequence[Finding]) -> None:
    print_hanging(console, Text.assemble(("Examining", "bold"), f" the account: {summarize_findings(findings)}"))
    listed = _not_passed(findings)
    width = max((len(make_line(finding.subject)) for finding in listed), default=0)
    for finding, following in zip_longest(listed, listed[1:]):
        sign, colour, _, _ = _SIGNS[finding.verdict]
        begin = f" {make_line(finding.subject):<{width}} "
        indent = len(sign + begin)
        print_hanging(console, Text.assemble((sign, f"bold {colour}"), begin, make_line(finding.text)), indent)
        # Findings with the same next step show it once.
        if finding.next_step and (following is None or following.next_step != finding.next_step):
            step = Text(f"{' ' * indent}→ {make_line(finding.next_step)}", style="dim")
            print_hanging(console, step, indent + INDENT)


def render_findings(findings: Sequence[Finding]) -> str:
    """Return Markdown: a line that counts checks and findings, and a table of what did not pass."""
    lines = [f"Before anything is changed: {summarize_findings(findings)}.", ""]
    if listed := _not_passed(findings):
        lines += ["| | Checked | Finding | Next step |", "|---|---|---|---|"]
        for finding in listed:
            cells = map(escape_cell, (finding.subject, finding.text, finding.next_step))
            lines.append(f"| {_SIGNS[finding.verdict][3]} | {' | '.join(cells)} |")
        lines.append("")
    return "\n".join(lines)
