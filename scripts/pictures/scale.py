"""What growth costs and which limits it reaches: the tables of docs/scale.md, and docs/scale.svg.

``python -m scripts.pictures.scale`` writes them. They follow from the data files of scripts/capacity, the settings and
the templates, and a test checks that they are fresh.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from scripts.capacity.answer import Assessment, assess_design
from scripts.capacity.costs import sum_by_service
from scripts.capacity.demands import Mix
from scripts.capacity.design import Design, change_to_express, describe_environment, describe_reference
from scripts.capacity.headroom import Headroom
from scripts.capacity.limits import SUDDEN, load_limits
from scripts.capacity.prices import load_prices
from scripts.capacity.report import format_amount, format_dollars
from scripts.capacity.workload import Workload
from scripts.common.files import write_file
from scripts.common.paths import ROOT
from stacks import settings

from . import svg as draw

REGION = "us-east-1"
PEAK_FACTOR, GATEWAY_SECONDS, MIX, MONTHS_STORED = 3.0, 0.5, Mix(declined=0.05, failed=0.001), 12.0
ENVIRONMENTS = ("dev", "prod")
# 2,000 payments a day, and then each time ten times as many.
RATES = (2000 / 86400, 1, 10, 100, 1000, 10_000)
PAGE, PICTURE = "docs/scale.md", "docs/scale.svg"


class Curve(NamedTuple):
    label: str
    color: str
    design: Design
    is_dashed: bool


def render_files(page: str) -> dict[str, str]:
    """Return the content of each file by its path. ``page`` is that of now; what is between its marks is replaced."""
    designs = {name: describe_environment(name, settings.ENVIRONMENTS_FILE, REGION, MIX) for name in ENVIRONMENTS}
    return {
        PAGE: replace_parts(
            page,
            {
                "prices": list(_list_prices(designs)),
                "limits": list(_list_limits(designs)),
                "services": list(_list_services(designs["prod"])),
            },
        ),
        PICTURE: draw_chart(designs["prod"]),
    }


def replace_parts(text: str, parts: Mapping[str, Sequence[str]]) -> str:
    """Replace the lines between ``<!-- NAME: begin -->`` and ``<!-- NAME: end -->``.

    Raises ``ValueError`` for a part without its two marks.
    """
    for name, lines in parts.items():
        begin, end = f"<!-- {name}: begin -->\n", f"<!-- {name}: end -->"
        if text.count(begin) != 1 or text.count(end) != 1:
            raise ValueError(f"the marks {begin.strip()} and {end} are not there once each")
        head, _, remainder = text.partition(begin)
        text = head + begin + "\n".join([*lines, end]) + remainder.partition(end)[2]
    return text


def assess(design: Design, per_second: float) -> Assessment:
    workload = Workload(per_second, PEAK_FACTOR, GATEWAY_SECONDS, MIX, MONTHS_STORED)
    return assess_design(design, workload, load_limits(REGION), load_prices(REGION), {})


def _list_prices(designs: Mapping[str, Design]) -> Iterator[str]:
    express = change_to_express(designs["prod"])
    yield "| payments a second | dev, $ a month | prod, $ a month | $ a million | Express, $ a million | exceeded |"
    yield "|---:|---:|---:|---:|---:|---|"
    for rate in RATES:
        prod = assess(designs["prod"], rate)
        exceeded = "; ".join(row.limit.title for row in prod.exceeded) or "nothing"
        cells = [
            format_amount(rate),
            format_dollars(assess(designs["dev"], rate).dollars_per_month),
            format_dollars(prod.dollars_per_month),
            format_dollars(_price_million(prod, rate)),
            format_dollars(_price_million(assess(express, rate), rate)),
            exceeded,
        ]
        yield f"| {' | '.join(cells)} |"


def _price_million(assessment: Assessment, rate: float) -> float:
    workload = Workload(rate, PEAK_FACTOR, GATEWAY_SECONDS, MIX, MONTHS_STORED)
    return assessment.dollars_per_million(workload.payments_per_month)


def _list_limits(designs: Mapping[str, Design]) -> Iterator[str]:
    """The limits in the order in which prod reaches them; those of dev are the same where a setting does not differ."""
    dev = {row.limit.key: row for row in assess(designs["dev"], 1).limits}
    yield "| limit | one payment a second needs | default | dev reaches it at | prod reaches it at | moved by |"
    yield "|---|---:|---:|---:|---:|---|"
    for row in assess(designs["prod"], 1).limits:
        if not math.isfinite(row.breaks_at):
            continue
        cells = [
            _describe_limit(row),
            format_amount(row.rate),
            f"{format_amount(row.available.value or 0)}{row.limit.unit}",
            _format_rate(dev.get(row.limit.key)),
            _format_rate(row),
            _describe_lever(row),
        ]
        yield f"| {' | '.join(cells)} |"


def _describe_limit(row: Headroom) -> str:
    remark = " (if sudden)" if row.limit.kind == SUDDEN else "" if row.applies else " (if the gateway is Stripe)"
    mark = "" if row.limit.source.is_confirmed else ", unconfirmed"
    return f"[{row.limit.title}]({row.limit.source.url}){remark}{mark}"


def _describe_lever(row: Headroom) -> str:
    lever = row.limit.quota_code or row.limit.lever
    return f"`{lever}`" if row.limit.quota_code or "_" in lever else lever


def _format_rate(row: Headroom | None) -> str:
    return f"{format_amount(row.breaks_at)}/s" if row else "-"


def _list_services(design: Design) -> Iterator[str]:
    yield "| service | $ a million payments | of which most is |"
    yield "|---|---:|---|"
    rate = 100.0
    assessment = assess(design, rate)
    payments = Workload(rate, PEAK_FACTOR, GATEWAY_SECONDS, MIX, MONTHS_STORED).payments_per_month
    for service, dollars in sum_by_service(assessment.costs).items():
        largest = max((cost for cost in assessment.costs if cost.service == service), key=lambda cost: cost.dollars)
        yield f"| {service} | {format_dollars(dollars / payments * 1e6)} | {largest.item} |"
    yield f"| **total** | **{format_dollars(_price_million(assessment, rate))}** | |"


WIDTH, PLOT_BOTTOM = 920.0, 440.0
LEFT, RIGHT, TOP = 96.0, 24.0, 104.0
SLOWEST, FASTEST, CHEAPEST, DEAREST = -2, 4, 0, 7
# Of the names of the limits below the chart.
ROW, COLUMNS = 17.0, 2
LIMIT, CONDITIONAL_LIMIT = "#d62728", "#9a6700"


def draw_chart(design: Design) -> str:
    """Draw the price of a month against payments a second, both in powers of ten, and the limits as vertical lines."""
    curves = [
        Curve("Standard, as deployed (measured calls)", "#1f77b4", design, is_dashed=False),
        Curve("Express (calculated)", "#2ca02c", change_to_express(design), is_dashed=True),
        Curve(
            "the reference (measured calls, calculated workflow)", "#8c564b", describe_reference(MIX), is_dashed=True
        ),
    ]
    limits = [row for row in assess(design, 1).limits if row.breaks_at <= 10.0**FASTEST]
    subtitle = f"prod, {REGION}: list prices, default quotas, a peak three times the average"
    elements = [
        draw.text(16, 28, "What growth costs, and which limits it reaches", 15, font_weight=600),
        draw.text(16, 46, subtitle, 11, fill=draw.FAINT),
        *_draw_grid(),
        *_draw_limits(limits),
        *(element for curve in curves for element in _draw_curve(curve)),
        *_draw_legend(curves),
        *_list_names(limits),
    ]
    height = PLOT_BOTTOM + 70 + ROW * math.ceil(len(limits) / COLUMNS)
    return draw.card(WIDTH, height, "Price of a month and limits by payments a second", elements)


def _x(per_second: float) -> float:
    return LEFT + (WIDTH - LEFT - RIGHT) * (math.log10(per_second) - SLOWEST) / (FASTEST - SLOWEST)


def _y(dollars: float) -> float:
    return PLOT_BOTTOM - (PLOT_BOTTOM - TOP) * (math.log10(dollars) - CHEAPEST) / (DEAREST - CHEAPEST)


def _draw_grid() -> Iterator[str]:
    for power in range(SLOWEST, FASTEST + 1):
        x = _x(10.0**power)
        yield draw.line(x, TOP, x, PLOT_BOTTOM, stroke="#eaeef2")
        yield draw.text(x, PLOT_BOTTOM + 16, f"{10.0**power:,g}", 11, fill=draw.FAINT, text_anchor="middle")
    for power in range(CHEAPEST, DEAREST + 1):
        y = _y(10.0**power)
        yield draw.line(LEFT, y, WIDTH - RIGHT, y, stroke="#eaeef2")
        yield draw.text(LEFT - 8, y + 4, f"${10**power:,}", 11, fill=draw.FAINT, text_anchor="end")
    middle = (LEFT + WIDTH - RIGHT) / 2
    yield draw.text(middle, PLOT_BOTTOM + 34, "payments a second, on average", 12, text_anchor="middle")
    yield draw.text(16, TOP - 10, "$ a month", 11, fill=draw.FAINT)


def _draw_limits(limits: Sequence[Headroom]) -> Iterator[str]:
    """Draw a line where each limit is reached, with its number above: higher where two are close to each other."""
    ends = [-math.inf] * 3
    for number, row in enumerate(limits, 1):
        x = _x(row.breaks_at)
        level = next((level for level, end in enumerate(ends) if x - end >= 17), 2)
        ends[level] = x
        y = TOP - 6 - 13 * level
        yield draw.line(x, y + 2, x, PLOT_BOTTOM, stroke=_color_of(row), **_dashes_of(row))
        yield draw.text(x, y, str(number), 11, fill=_color_of(row), text_anchor="middle", font_weight=600)


def _list_names(limits: Sequence[Headroom]) -> Iterator[str]:
    rows = math.ceil(len(limits) / COLUMNS)
    for index, row in enumerate(limits):
        x = LEFT + index // rows * (WIDTH - LEFT - RIGHT) / COLUMNS
        y = PLOT_BOTTOM + 62 + ROW * (index % rows)
        remark = "" if row.applies else ", if sudden" if row.limit.kind == SUDDEN else ", if the gateway is Stripe"
        words = f"{row.limit.title}{remark}: {format_amount(row.breaks_at)}/s"
        yield draw.text(x + 18, y, str(index + 1), 11, fill=_color_of(row), text_anchor="end", font_weight=600)
        yield draw.text(x + 26, y, words, 11, fill=_color_of(row))


def _color_of(row: Headroom) -> str:
    return LIMIT if row.applies else CONDITIONAL_LIMIT


def _dashes_of(row: Headroom) -> dict[str, object]:
    return {} if row.applies else {"stroke_dasharray": "4 3"}


def _draw_curve(curve: Curve) -> Iterator[str]:
    powers = [SLOWEST + step / 8 for step in range((FASTEST - SLOWEST) * 8 + 1)]
    points = [(10.0**power, assess(curve.design, 10.0**power).dollars_per_month) for power in powers]
    places = " ".join(f"{_x(rate):.1f},{_y(dollars):.1f}" for rate, dollars in points)
    dashes = ' stroke-dasharray="7 4"' if curve.is_dashed else ""
    yield f'<polyline points="{places}" fill="none" stroke="{curve.color}" stroke-width="2.2"{dashes}/>'


def _draw_legend(curves: Sequence[Curve]) -> Iterator[str]:
    for number, curve in enumerate(curves):
        y = TOP + 20 + 18 * number
        dashes: dict[str, object] = {"stroke_dasharray": "7 4"} if curve.is_dashed else {}
        yield draw.rect(LEFT + 10, y - 11, draw.width_of(curve.label, 11) + 44, 16, fill="#ffffff", fill_opacity="0.85")
        yield draw.line(LEFT + 14, y - 3, LEFT + 40, y - 3, stroke=curve.color, stroke_width=2.2, **dashes)
        yield draw.text(LEFT + 46, y, curve.label, 11)


def main() -> None:
    for name, text in render_files((ROOT / PAGE).read_text(encoding="utf-8")).items():
        write_file(ROOT / name, text.encode())


if __name__ == "__main__":
    main()
