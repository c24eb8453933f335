"""Prints results as two tables: how the payments ended, and what they pressed against."""

from collections.abc import Iterable, Sequence

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
_LIMITS = {
    "starts": "StartExecution",
    "transitions": "StateTransition",
    "concurrency": "Lambda concurrency",
    "calls refused": "gateway",
    "runs": "runs of reconciliation",
}


def format_results(results: Sequence[Result]) -> str:
    """Return both tables, and a line for each scenario that was simulated in cohorts."""
    lines = [*_format_table(map(_describe_ends, results)), "", *_format_table(map(_describe_limits, results))]
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


def _format_table(rows: Iterable[dict[str, str]]) -> list[str]:
    cells = [*rows]
    lines = [[*cells[0]], *([*row.values()] for row in cells)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return [
        "  ".join(
            # Words begin, and figures end, below each other.
            cell.ljust(width) if heading in _WORDS else cell.rjust(width)
            for heading, cell, width in zip(cells[0], line, widths, strict=True)
        ).rstrip()
        for line in lines
    ]
