"""Prints an answer: two tables, and with others to compare a third; or one JSON document."""

import json
import math
from typing import TYPE_CHECKING, Any

from .answer import Answer, Assessment
from .costs import sum_by_service
from .headroom import Headroom
from .limits import SUDDEN

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

# How many commands for quota requests are printed at most.
_MOST_REQUESTS = 3
# All columns of a limit need as many; a narrower terminal shows some.
_LEAST_WIDTH = 110
_LONGEST_WORD = len("StartExecution,")
_COLUMNS = ("Limit", "When", "Needs", "Has", "From", "Left", "Reached at", "Moved by")
_IN_NARROW = ("Limit", "Needs", "Has", "Reached at")


def describe_carried(assessment: Assessment, name: str) -> str:
    """Return the sentence that says what the environment carries, and which limit is first."""
    first = assessment.first
    if first is None:
        return f"No limit of {name} is known that a higher load reaches."
    value = format_amount(first.available.value or 0.0)
    return (
        f"{format_amount(assessment.carried_per_second)} payments a second is what {name} carries now; the first limit "
        f"is {first.limit.title}: {value}{first.limit.unit} at the peak."
    )


def show_answer(console: "Console", answer: Answer) -> None:
    workload, assessment = answer.workload, answer.environment_assessment
    console.print(describe_carried(assessment, answer.environment), soft_wrap=True, style="bold")
    mix = ", ".join(f"{share} {outcome}" for outcome, share in _percent(answer).items())
    console.print(
        f"Asked for {format_amount(workload.per_second)} a second on average in {answer.region}, "
        f"{format_amount(workload.peak_per_second)} at the peak; {mix}; the gateway answers in "
        f"{workload.gateway_seconds:g} s.",
        soft_wrap=True,
    )
    console.print()
    is_narrow = console.width < _LEAST_WIDTH
    console.print(_make_limits_table(answer, is_narrow=is_narrow))
    if is_narrow:
        console.print(f"A terminal of {_LEAST_WIDTH} columns shows more of each limit, and --json all of it.")
    for line in _list_moves(answer):
        console.print(line, soft_wrap=True)
    console.print()
    console.print(_make_costs_table(answer))
    if len(answer.assessments) > 1:
        console.print()
        console.print(_make_comparison_table(answer))
    console.print()
    for line in _list_remarks(answer):
        # A file has each in a line; a terminal would break words.
        console.print(line, soft_wrap=not console.is_terminal, style="dim")


def _percent(answer: Answer) -> dict[str, str]:
    return {outcome: f"{share * 100:.3g} %" for outcome, share in answer.workload.mix.shares.items()}


def _make_table(*columns: str, numbers: tuple[str, ...] = ()) -> "Table":
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for name in columns:
        # The names of limits stay in one line.
        least = _LONGEST_WORD if name == "First limit" else None
        table.add_column(
            name,
            justify="right" if name in numbers else "left",
            overflow="fold",
            no_wrap=name == "Limit",
            min_width=least,
        )
    return table


def _make_limits_table(answer: Answer, *, is_narrow: bool) -> "Table":
    numbers = ("Needs", "Has", "Left", "Reached at")
    columns = _IN_NARROW if is_narrow else _COLUMNS
    table = _make_table(*columns, numbers=numbers)
    for row in answer.environment_assessment.limits:
        style = "red" if row.is_exceeded and row.applies else "yellow" if row.is_exceeded else None
        cells = {
            "Limit": row.limit.title,
            "When": _describe_condition(row),
            "Needs": format_amount(row.need),
            "Has": _format_available(row),
            "From": row.available.origin if row.limit.source.is_confirmed else f"{row.available.origin}?",
            "Left": _format_share(row.share_left),
            "Reached at": f"{format_amount(row.breaks_at)}/s" if math.isfinite(row.breaks_at) else "never",
            "Moved by": row.limit.quota_code or row.limit.lever,
        }
        table.add_row(*(cells[name] for name in columns), style=style)
    return table


def _describe_condition(row: Headroom) -> str:
    if row.limit.kind == SUDDEN:
        return "if sudden"
    return "always" if row.applies else "if stripe"


def _format_available(row: Headroom) -> str:
    if row.available.value is None:
        return "no limit"
    burst = f" +{format_amount(row.limit.burst)}" if row.limit.burst else ""
    return f"{format_amount(row.available.value)}{row.limit.unit}{burst}"


def _format_share(share: float | None) -> str:
    return "-" if share is None else f"{math.floor(share * 100)} %"


def _list_moves(answer: Answer) -> list[str]:
    """Return how to raise the limits that are exceeded, or else the first one."""
    assessment = answer.environment_assessment
    rows = assessment.exceeded or ([assessment.first] if assessment.first else [])
    lines = [f"To raise {row.limit.title}: {describe_move(row, answer.region)}" for row in rows[:_MOST_REQUESTS]]
    if len(rows) > _MOST_REQUESTS:
        lines.append(f"and {len(rows) - _MOST_REQUESTS} more: --json has the setting or request for each")
    return lines


def describe_move(row: Headroom, region: str) -> str:
    return row.limit.suggest_request(region, row.wanted_value())


def _make_costs_table(answer: Answer) -> "Table":
    table = _make_table("Service", "For", "$ a month", "$ a million", numbers=("$ a month", "$ a million"))
    costs, payments = answer.environment_assessment.costs, answer.workload.payments_per_month
    for service, dollars in sum_by_service(costs).items():
        items = sorted((cost for cost in costs if cost.service == service), key=lambda cost: -cost.dollars)
        words = ", ".join(f"{cost.item} {format_dollars(cost.dollars)}" for cost in items)
        table.add_row(service, words, format_dollars(dollars), format_dollars(dollars / payments * 1_000_000))
    table.add_section()
    assessment = answer.environment_assessment
    total = (format_dollars(assessment.dollars_per_month), format_dollars(assessment.dollars_per_million(payments)))
    table.add_row("total", "", *total, style="bold")
    return table


def _make_comparison_table(answer: Answer) -> "Table":
    table = _make_table(
        "Design", "Figures", "Carries", "First limit", "$ a month", "$ a million",
        numbers=("Carries", "$ a month", "$ a million"),
    )  # fmt: skip
    for assessment in answer.assessments:
        first = assessment.first
        table.add_row(
            assessment.design.name,
            assessment.design.basis,
            f"{format_amount(assessment.carried_per_second)}/s",
            first.limit.title if first else "none is known",
            format_dollars(assessment.dollars_per_month),
            format_dollars(assessment.dollars_per_million(answer.workload.payments_per_month)),
        )
    return table


def _list_remarks(answer: Answer) -> list[str]:
    lines = [*answer.notes, *(note for assessment in answer.assessments[1:] for note in assessment.design.notes)]
    lines.append(
        "If sudden: for load that comes at once, because the limit grows with the load. +: what a bucket adds once."
    )
    lines.append(
        f"Prices: list prices of {answer.price_region}, without taxes, discounts and free tiers; payments stay in the "
        f"tables for {answer.workload.months_stored:g} months. Limits and prices with their sources and dates: "
        "scripts/capacity/*.toml"
    )
    if answer.unconfirmed:
        lines.append(f"?, unconfirmed: not found on the page that the file names: {', '.join(answer.unconfirmed)}")
    return lines


def format_amount(value: float) -> str:
    """Return a number to three digits: ``0.25``, ``36.1``, ``40,000``, ``1.2 million``."""
    if math.isinf(value):
        return "unlimited"
    if value >= 1_000_000:
        return f"{value / 1_000_000:.3g} million"
    if value >= 1000:
        digits = max(0, len(str(int(value))) - 3)
        return f"{round(value, -digits):,.0f}"
    return f"{value:.3g}"


def format_dollars(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:,.2f}"


def format_json(answer: Answer) -> str:
    """Return the document of docs/capacity-output.schema.json."""
    workload = answer.workload
    document = {
        "environment": answer.environment,
        "region": answer.region,
        "price_region": answer.price_region,
        "per_second": workload.per_second,
        "peak_factor": workload.peak_factor,
        "gateway_seconds": workload.gateway_seconds,
        "months_stored": workload.months_stored,
        "shares": workload.mix.shares,
        **_list_assessment(answer.environment_assessment, answer),
        "compared": [_list_assessment(assessment, answer) for assessment in answer.assessments[1:]],
        "notes": answer.notes,
        "unconfirmed": answer.unconfirmed,
    }
    return json.dumps(document, indent=2)


def _list_assessment(assessment: Assessment, answer: Answer) -> dict[str, Any]:
    first, payments = assessment.first, answer.workload.payments_per_month
    return {
        "design": assessment.design.name,
        "basis": assessment.design.basis,
        "carries_per_second": _finite(assessment.carried_per_second),
        "first_limit": first.limit.key if first else None,
        "limits": [_list_limit(row, answer.region) for row in assessment.limits],
        "costs": [
            {
                "service": cost.service,
                "item": cost.item,
                "dollars_per_month": cost.dollars,
                "dollars_per_million": cost.dollars / payments * 1_000_000,
                "is_fixed": cost.is_fixed,
            }
            for cost in assessment.costs
        ],
        "dollars_per_month": assessment.dollars_per_month,
        "dollars_per_million": assessment.dollars_per_million(payments),
    }


def _list_limit(row: Headroom, region: str) -> dict[str, Any]:
    limit = row.limit
    return {
        "key": limit.key,
        "title": limit.title,
        "kind": limit.kind,
        "applies": row.applies,
        "needs": row.need,
        "has": row.available.value,
        "has_from": row.available.origin,
        "burst": limit.burst,
        "is_exceeded": row.is_exceeded,
        "reached_at_per_second": _finite(row.breaks_at),
        "moved_by": describe_move(row, region),
        "note": limit.note,
        "source": limit.source.url,
        "read_on": limit.source.read_on.isoformat(),
        "is_confirmed": limit.source.is_confirmed,
    }


def _finite(value: float) -> float | None:
    """JSON has no infinity."""
    return value if math.isfinite(value) else None
