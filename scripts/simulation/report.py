"""Prints results as two tables: how the payments ended, and what they pressed against."""

from collections.abc import Sequence

from .figures import End, Result
from .scenario import TIMEOUT

_ENDS = {
    "at once": (End.AT_ONCE,),
    "retried": (End.LATE,),
    "reconciled": (End.RECONCILED,),
    "not charged": (End.FAILED, End.ABANDONED),
    "review": (End.REVIEW,),
    "not recorded": (End.NOT_RECORDED,),
    "not started": (End.NOT_STARTED,),
}
_WORDS = ("gateway", "quotas")
# How many columns ``_describe_scenario`` has.
_SCENARIO_COLUMNS = 3
_LIMITS = {
    "starts": "StartExecution",
    "transitions": "StateTransition",
    "concurrency": "Lambda concurrency",
    "calls refused": "gateway",
    "runs": "runs of reconciliation",
}


def format_results(results: Sequence[Result], width: int | None = None) -> str:
    """Return both tables, and a line for each scenario that was simulated in cohorts.

    A table that is wider than ``width`` columns goes on below itself, with the scenarios repeated.
    """
    ends, limits = ([*map(describe, results)] for describe in (_describe_ends, _describe_limits))
    lines = [*_format_table(ends, width), "", *_format_table(limits, width)]
    cohorts = {result.per_second: result.cohort for result in results if result.cohort > 1}
    if cohorts:
        lines.append("")
    lines += [f"at {rate:,g} per s, {cohort} payments are simulated as one" for rate, cohort in cohorts.items()]
    return "\n".join(lines)


def _describe_scenario(result: Result) -> dict[str, str]:
    gateway = "no answer" if result.mode == TIMEOUT else "refuses"
    return {"per s": f"{result.per_second:,g}", "gateway": gateway, "quotas": result.quotas}


def _describe_ends(result: Result) -> dict[str, str]:
    """Return the shares of the ends, empty for none, and for how long payments were open."""
    counts = {heading: sum(result.ends.get(end, 0) for end in ends) for heading, ends in _ENDS.items()}
    shares = {name: f"{100 * count / result.payments:.1f} %" if count else "" for name, count in counts.items()}
    return {
        **_describe_scenario(result),
        "payments": f"{result.payments:,}",
        **shares,
        "open for": "over " * bool(result.left_open) + describe_seconds(result.open_seconds),
    }


def _describe_limits(result: Result) -> dict[str, str]:
    """Return the peaks, and what was throttled."""
    return {
        **_describe_scenario(result),
        "most open": f"{result.peak_backlog:,}",
        "most running": f"{result.peak_concurrency:,}",
        **{heading: f"{result.throttled[quota]:,}" for heading, quota in _LIMITS.items()},
        "calls": f"{sum(result.gateway_calls.values()):,}",
        "closing for": "over " * bool(result.left_to_close) + describe_seconds(result.closing_seconds),
    }


def describe_seconds(seconds: float) -> str:
    """Return the time in the largest unit of which it has two."""
    for length, unit in ((3600, "h"), (60, "min")):
        if seconds >= 2 * length:
            return f"{seconds / length:.1f} {unit}"
    return f"{seconds:.0f} s"


def _format_table(rows: Sequence[dict[str, str]], width: int | None) -> list[str]:
    widths = {heading: max(len(heading), *(len(row[heading]) for row in rows)) for heading in rows[0]}
    lines: list[str] = []
    for headings in _group_headings(widths, width):
        lines += [""] * bool(lines)
        for line in (dict(zip(headings, headings, strict=True)), *rows):
            # Words begin, and figures end, below each other.
            cells = (
                line[heading].ljust(widths[heading]) if heading in _WORDS else line[heading].rjust(widths[heading])
                for heading in headings
            )
            lines.append("  ".join(cells).rstrip())
    return lines


def _group_headings(widths: dict[str, int], width: int | None) -> list[list[str]]:
    """Return the headings of each part of a table: all in one if it is no wider than ``width``, or may be so."""
    scenario, figures = [*widths][:_SCENARIO_COLUMNS], [*widths][_SCENARIO_COLUMNS:]
    groups = [[*scenario]]
    for heading in figures:
        wider = [*groups[-1], heading]
        is_too_wide = width is not None and sum(widths[name] + 2 for name in wider) - 2 > width
        if is_too_wide and len(groups[-1]) > _SCENARIO_COLUMNS:
            groups.append([*scenario, heading])
        else:
            groups[-1].append(heading)
    return groups
