"""The open payments over time through an outage of the gateway, at each simulated rate, on logarithmic axes.

Drawn from scripts/simulation/recorded.json, which `make simulate RECORD=1` writes.
"""

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from scripts.common.paths import ROOT

from .svg import FAINT, INK, card, line, text

RECORDED = ROOT / "scripts" / "simulation" / "recorded.json"
WIDTH, HEIGHT = 760.0, 380.0
# The margins of the plot.
LEFT, RIGHT, TOP, BOTTOM = 70.0, 150.0, 60.0, 44.0
COLORS = ("#1f77b4", "#2ca02c", "#ff7f0e", "#d62728")
# The labels of the axes: seconds, and payments.
TIMES = {60: "1 min", 600: "10 min", 3600: "1 h", 6 * 3600: "6 h", 24 * 3600: "24 h", 72 * 3600: "72 h"}
GRID = "#eaeef2"


class Scale(NamedTuple):
    """A logarithmic axis from the value ``low`` at ``begin`` to ``high`` at ``end``."""

    low: float
    high: float
    begin: float
    end: float

    def place(self, value: float) -> float:
        share = math.log(max(value, self.low) / self.low) / math.log(self.high / self.low)
        return self.begin + min(share, 1.0) * (self.end - self.begin)


def draw_svg(results: Sequence[Mapping[str, Any]] | None = None) -> str:
    """Return the picture of the recorded results, or of these."""
    curves = _select_curves(read_results() if results is None else results)
    last = max((_find_end(curve) for curve in curves), default=0.0)
    longest = next((seconds for seconds in TIMES if seconds >= last and seconds > min(TIMES)), max(TIMES))
    peak = max((count for curve in curves for _, count in curve["backlog"]), default=1)
    x = Scale(min(TIMES), longest, LEFT, WIDTH - RIGHT)
    y = Scale(1, 10 ** max(1, math.ceil(math.log10(max(peak, 1)))), HEIGHT - BOTTOM, TOP)
    title = "Open payments through an outage of ten minutes in which no call of the gateway gets an answer"
    return card(WIDTH, HEIGHT, title, [*_draw_axes(x, y), *_draw_outage(curves, x), *_draw_curves(curves, x, y)])


def read_results() -> list[dict[str, Any]]:
    results: list[dict[str, Any]] = json.loads(RECORDED.read_text(encoding="utf-8"))
    return results


def _select_curves(results: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Return the results of an outage without answers, one for each rate: with raised quotas, if there are some."""
    by_rate = {
        result["per_second"]: result
        for result in sorted(results, key=lambda result: bool(result["quotas"] == "raised"))
        if result["mode"] == "timeout"
    }
    return [by_rate[rate] for rate in sorted(by_rate)]


def _find_end(curve: Mapping[str, Any]) -> float:
    return float(curve["outage_seconds"] + curve["open_seconds"])


def _draw_axes(x: Scale, y: Scale) -> Iterator[str]:
    yield text(16, 26, "Open payments", 15, font_weight=600)
    yield text(16, 44, "an outage of ten minutes without any answer of the gateway; simulated", 12, fill=FAINT)
    for power in range(round(math.log10(y.high)) + 1):
        at = y.place(10**power)
        yield line(x.begin, at, x.end, at, stroke=GRID)
        yield text(x.begin - 8, at + 4, f"{10**power:,}", 11, fill=FAINT, text_anchor="end")
    for seconds, label in TIMES.items():
        if seconds <= x.high:
            at = x.place(seconds)
            yield line(at, y.begin, at, y.begin + 4)
            yield text(at, y.begin + 18, label, 11, fill=FAINT, text_anchor="middle")
    yield text(x.end, y.begin + 34, "since the outage began", 11, fill=FAINT, text_anchor="end")


def _draw_outage(curves: Sequence[Mapping[str, Any]], x: Scale) -> Iterator[str]:
    for seconds in {curve["outage_seconds"] for curve in curves}:
        at = x.place(seconds)
        yield line(at, TOP, at, HEIGHT - BOTTOM, stroke=INK, stroke_dasharray="4 3")
        yield text(at + 5, HEIGHT - BOTTOM - 8, "the outage ends", 11, fill=FAINT)


def _draw_curves(curves: Sequence[Mapping[str, Any]], x: Scale, y: Scale) -> Iterator[str]:
    """Draw each curve until nothing is open; the label is beside the picture, at the height of its peak."""
    for curve, color in zip(curves, COLORS, strict=False):
        end = _find_end(curve)
        points = [(at, count) for at, count in curve["backlog"] if x.low <= at < end] + [(end, 1)]
        places = " ".join(f"{x.place(at):.1f},{y.place(count):.1f}" for at, count in points)
        yield f'<polyline points="{places}" fill="none" stroke="{color}" stroke-width="2" stroke-linejoin="round"/>'
        at = y.place(curve["peak_backlog"])
        yield line(x.place(curve["peak_backlog_at"]), at, x.end + 4, at, stroke=color, stroke_dasharray="1 4")
        raised = " *" if curve["quotas"] == "raised" else ""
        yield text(x.end + 8, at + 4, f"{curve['per_second']:,g} a second{raised}", 12, fill=color, font_weight=600)
        yield text(x.end + 8, at + 18, f"none after {_describe_hours(end)}", 11, fill=FAINT)
    if any(curve["quotas"] == "raised" for curve in curves):
        yield text(16, HEIGHT - 10, "* with raised quotas", 11, fill=FAINT)


def _describe_hours(seconds: float) -> str:
    return f"{seconds / 3600:.1f} h" if seconds >= 2 * 3600 else f"{seconds / 60:.0f} min"
