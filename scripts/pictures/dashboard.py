"""Draws a CloudWatch dashboard from its body, its metrics' values and the states of its alarms.

As in CloudWatch, all graphs share a time axis, and lines are interrupted where nothing was measured. Only the part of
the syntax that the platform's dashboard uses is supported.
https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/CloudWatch-Dashboard-Body-Structure.html
"""

import itertools
import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from .svg import FAINT, INK, RULE, card, line, rect, shorten_to_width, text, width_of

Metric = list[Any]
Points = list[tuple[datetime, float]]
Series = Callable[[Metric], Points]
Widget = dict[str, Any]

COLUMNS, COLUMN, ROW, GAP = 24, 50.0, 46.0, 4.0
TITLE, UNIT, LEGEND, AXIS, SCALE = 28.0, 17.0, 16.0, 18.0, 40.0
PALETTE = ("#1f77b4", "#ff7f0e", "#2ca02c", "#d62728", "#9467bd", "#8c564b", "#e377c2", "#7f7f7f", "#bcbd22", "#17becf")
STATES = {"OK": ("#2ca02c", "#eaf7ec"), "ALARM": ("#d62728", "#ffe9e8"), "INSUFFICIENT_DATA": ("#8c959f", "#f3f5f7")}
STATE_WORDS = {"OK": "OK", "ALARM": "alarm", "INSUFFICIENT_DATA": "no data"}
# CloudWatch's default, in seconds.
PERIOD = 300


class Box(NamedTuple):
    x: float
    y: float
    width: float
    height: float

    @property
    def right(self) -> float:
        return self.x + self.width

    @property
    def bottom(self) -> float:
        return self.y + self.height


class Line(NamedTuple):
    label: str
    color: str
    points: Points


class Axis(NamedTuple):
    """The values of the left axis."""

    low: float
    high: float
    step: float

    def ticks(self) -> list[float]:
        return [self.low + n * self.step for n in range(round((self.high - self.low) / self.step) + 1)]


def draw_dashboard(body: Mapping[str, Any], series: Series, alarms: Mapping[str, str]) -> str:
    """Return the dashboard as SVG.

    ``series`` returns the values of a metric or an expression, given as in the widget with its options. ``alarms`` are
    states by name or ARN; an alarm that is missing has no data.
    """
    placed = [(widget, _place_widget(widget)) for widget in body["widgets"]]
    lines = {number: _visible_lines(widget, series) for number, (widget, _) in enumerate(placed)}
    span = _time_span([point for curve in itertools.chain(*lines.values()) for point in curve.points])
    elements = []
    for number, (widget, box) in enumerate(placed):
        elements += ['<g class="widget">', *_draw_widget(widget, box, lines[number], span, alarms), "</g>"]
    height = max((box.bottom for _, box in placed), default=0) + GAP
    return card(COLUMNS * COLUMN + 2 * GAP, height, "Dashboard", elements)


def _place_widget(widget: Widget) -> Box:
    column, row, width, height = (widget[name] for name in ("x", "y", "width", "height"))
    return Box(GAP + column * COLUMN + GAP / 2, GAP + row * ROW + GAP / 2, width * COLUMN - GAP, height * ROW - GAP)


def _draw_widget(
    widget: Widget, box: Box, lines: list[Line], span: tuple[datetime, datetime], alarms: Mapping[str, str]
) -> Iterator[str]:
    properties = widget["properties"]
    if widget["type"] == "text":
        yield from _draw_markdown(properties["markdown"], box)
        return
    yield rect(box.x, box.y, box.width, box.height, fill="#ffffff", stroke=RULE, rx=5)
    yield text(
        box.x + 12, box.y + 19, shorten_to_width(properties.get("title", ""), box.width - 24, 13), 13, font_weight=600
    )
    within = Box(box.x + 12, box.y + TITLE, box.width - 24, box.height - TITLE - 8)
    match widget["type"], properties.get("view", "timeSeries"):
        case "alarm", _:
            yield from _draw_alarms(properties["alarms"], within, alarms)
        case "metric", "timeSeries":
            yield from _draw_graph(properties, lines, within, span)
        case kind, view:
            yield _draw_in_the_middle(within, f"{kind} ({view}) is not drawn here")


def _draw_markdown(markdown: str, box: Box) -> Iterator[str]:
    y = box.y
    for paragraph in markdown.splitlines():
        marks, words = re.fullmatch(r"(#*)\s*(.*)", paragraph).groups()  # type: ignore[union-attr] # matches any line
        size = {0: 13, 1: 22, 2: 18}.get(len(marks), 15)
        y += size * 1.5
        plain = re.sub(r"\[(.*?)\]\(.*?\)", r"\1", words).replace("*", "").replace("`", "")
        weight = 600 if marks else 400
        yield text(box.x + 8, y, shorten_to_width(plain, box.width - 16, size), size, font_weight=weight)


def _draw_alarms(arns: Sequence[str], within: Box, states: Mapping[str, str]) -> Iterator[str]:
    columns = max(1, int(within.width // 280))
    rows = math.ceil(len(arns) / columns)
    width, height = within.width / columns, min(30, within.height / max(rows, 1))
    for number, arn in enumerate(arns):
        name = arn.rpartition(":alarm:")[2]
        state = states.get(arn, states.get(name, "INSUFFICIENT_DATA"))
        strong, weak = STATES[state]
        x, y = within.x + number % columns * width, within.y + number // columns * height
        yield rect(x + 2, y + 2, width - 4, height - 4, fill=weak, rx=3)
        yield rect(x + 2, y + 2, 5, height - 4, fill=strong, rx=2)
        label = STATE_WORDS[state]
        yield text(x + 14, y + height / 2 + 4, shorten_to_width(name, width - 32 - width_of(label, 10), 11), 11)
        yield text(x + width - 10, y + height / 2 + 4, label, 10, fill=strong, text_anchor="end", font_weight=600)


def _draw_graph(
    properties: Mapping[str, Any], lines: list[Line], within: Box, span: tuple[datetime, datetime]
) -> Iterator[str]:
    legend = list(_place_legend(lines, within))
    rows = 1 + max((row for row, _, _ in legend), default=0)
    plot = Box(within.x + SCALE, within.y + UNIT, within.width - SCALE, within.height - UNIT - AXIS - rows * LEGEND)
    thresholds = properties.get("annotations", {}).get("horizontal", [])
    axis = _choose_axis(properties, lines, [threshold["value"] for threshold in thresholds])
    if label := properties.get("yAxis", {}).get("left", {}).get("label"):
        yield text(within.x, within.y + 5, label, 10, fill=FAINT)

    def x_of(moment: datetime) -> float:
        return plot.x + plot.width * ((moment - span[0]) / (span[1] - span[0]))

    def y_of(value: float) -> float:
        return plot.bottom - plot.height * (min(max(value, axis.low), axis.high) - axis.low) / (axis.high - axis.low)

    for tick in axis.ticks():
        yield line(plot.x, y_of(tick), plot.right, y_of(tick), stroke="#eaeef2")
        yield text(plot.x - 6, y_of(tick) + 3.5, _format_number(tick), 10, fill=FAINT, text_anchor="end")
    for moment, words in _time_ticks(span, plot.width):
        x = min(x_of(moment), plot.right - width_of(words, 10) / 2)
        yield text(x, plot.bottom + 14, words, 10, fill=FAINT, text_anchor="middle")
    if properties.get("stacked"):
        yield from _draw_areas(lines, x_of, y_of)
    else:
        apart = timedelta(seconds=1.5 * properties.get("period", PERIOD))
        for curve in lines:
            yield from _draw_line(curve, apart, x_of, y_of)
    for threshold in thresholds:
        color, y = threshold.get("color", INK), y_of(threshold["value"])
        label = " ".join(filter(None, [threshold.get("label", ""), _format_number(threshold["value"])]))
        yield line(plot.x, y, plot.right, y, stroke=color, stroke_dasharray="5 3")
        yield text(plot.right - 2, y - 4 if y - plot.y > 10 else y + 12, label, 10, fill=color, text_anchor="end")
    if not any(curve.points for curve in lines):
        yield _draw_in_the_middle(plot, "no data")
    for row, x, curve in legend:
        y = within.bottom - (rows - 1 - row) * LEGEND
        yield rect(x, y - 8, 9, 9, fill=curve.color, rx=2)
        yield text(x + 13, y, shorten_to_width(curve.label, within.width - 16, 11), 11, fill=FAINT)


def _place_legend(lines: list[Line], within: Box) -> Iterator[tuple[int, float, Line]]:
    """Yield the row and the left edge of each line's label."""
    row, x = 0, within.x
    for curve in lines:
        width = 13 + width_of(curve.label, 11) + 8
        if x + width > within.right + 10 and x > within.x:
            row, x = row + 1, within.x
        yield row, x, curve
        x += width


def _draw_line(
    curve: Line, apart: timedelta, x_of: Callable[[datetime], float], y_of: Callable[[float], float]
) -> Iterator[str]:
    """Draw a line, interrupted where nothing was measured; a single point becomes a dot."""
    pieces: list[Points] = []
    for point in curve.points:
        if not pieces or point[0] - pieces[-1][-1][0] > apart:
            pieces.append([])
        pieces[-1].append(point)
    for piece in pieces:
        at = [f"{x_of(moment):.1f},{y_of(value):.1f}" for moment, value in piece]
        if len(at) > 1:
            yield (
                f'<polyline points="{" ".join(at)}" fill="none" stroke="{curve.color}" stroke-width="1.8"'
                ' stroke-linejoin="round"/>'
            )
        else:
            x, _, y = at[0].partition(",")
            yield f'<circle cx="{x}" cy="{y}" r="2.5" fill="{curve.color}"/>'


def _draw_areas(lines: list[Line], x_of: Callable[[datetime], float], y_of: Callable[[float], float]) -> Iterator[str]:
    """Stack the lines on each other; a period without a value adds nothing."""
    times = sorted({moment for curve in lines for moment, _ in curve.points})
    floor = dict.fromkeys(times, 0.0)
    for curve in lines:
        measured = dict(curve.points)
        top = {moment: floor[moment] + measured.get(moment, 0) for moment in times}
        if measured:
            above = [f"{x_of(moment):.1f},{y_of(top[moment]):.1f}" for moment in times]
            below = [f"{x_of(moment):.1f},{y_of(floor[moment]):.1f}" for moment in reversed(times)]
            yield (
                f'<polygon points="{" ".join([*above, *below])}" fill="{curve.color}" fill-opacity="0.55"'
                f' stroke="{curve.color}" stroke-width="0.8"/>'
            )
        floor = top


def _visible_lines(widget: Widget, series: Series) -> list[Line]:
    """Return the lines of a widget, without the metrics that only expressions use."""
    lines: list[Line] = []
    for metric in widget["properties"].get("metrics", []):
        options = metric[-1] if isinstance(metric[-1], dict) else {}
        if options.get("visible", True):
            label = options.get("label") or options.get("expression") or metric[1]
            color = options.get("color") or PALETTE[len(lines) % len(PALETTE)]
            lines.append(Line(label, color, sorted(series(metric))))
    return lines


def _time_span(points: Points) -> tuple[datetime, datetime]:
    """Return the time axis of all graphs, from the first value to the last, at least one period."""
    times = [moment for moment, _ in points] or [datetime(2000, 1, 1, tzinfo=UTC)]
    first, last = min(times), max(times)
    margin = max(timedelta(), timedelta(seconds=PERIOD) - (last - first)) / 2
    return first - margin, last + margin


def _choose_axis(properties: Mapping[str, Any], lines: list[Line], across: list[float]) -> Axis:
    """Return about four round steps that contain all values, or the limits of the widget."""
    limits = properties.get("yAxis", {}).get("left", {})
    if properties.get("stacked"):
        sums: dict[datetime, float] = {}
        for curve in lines:
            for moment, value in curve.points:
                sums[moment] = sums.get(moment, 0) + value
        values = list(sums.values())
    else:
        values = [value for curve in lines for _, value in curve.points]
    values += across
    low = limits.get("min", min([0.0, *values]))
    high = limits.get("max", max(values, default=low + 1))
    high = high if high > low else low + 1
    rough = (high - low) / 4
    tens = 10 ** math.floor(math.log10(rough))
    step = next(tens * n for n in (1, 2, 2.5, 5, 10) if tens * n >= rough * 0.999)
    low = math.floor(low / step) * step
    return Axis(low, low + step * math.ceil((high - low) / step - 1e-9), step)


def _time_ticks(span: tuple[datetime, datetime], width: float) -> Iterator[tuple[datetime, str]]:
    """Yield round times, at least about 80 px apart, with their labels."""
    minutes = (span[1] - span[0]).total_seconds() / 60
    rough = minutes / max(width // 80, 1)
    step = next((n for n in (1, 2, 5, 10, 15, 30, 60, 120, 180, 360, 720) if n >= rough), 1440)
    day = span[0].replace(hour=0, minute=0, second=0, microsecond=0)
    number = math.ceil((span[0] - day).total_seconds() / 60 / step)
    while (moment := day + timedelta(minutes=number * step)) <= span[1]:
        yield moment, f"{moment:%H:%M}" if step < 1440 else f"{moment:%d %b}"
        number += 1


def _format_number(value: float) -> str:
    for unit, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= unit * (1 if unit > 1e3 else 10):
            return f"{value / unit:.3g}{letter}"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def _draw_in_the_middle(box: Box, words: str) -> str:
    return text(box.x + box.width / 2, box.y + box.height / 2, words, 12, fill=FAINT, text_anchor="middle")
