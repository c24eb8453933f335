"""The answer to a question about capacity: limits and prices of one design, beside others if they are compared."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from scripts.common.suggestion import complete_aws_commands

from .costs import Cost, compute_costs
from .data_files import list_unconfirmed, load_file
from .design import Design
from .headroom import Available, Headroom, compute_headroom, find_first
from .limits import Limits
from .prices import Prices
from .workload import Workload


@dataclass(frozen=True)
class Assessment:
    """One design under the load."""

    design: Design
    limits: list[Headroom]
    costs: list[Cost]

    @property
    def first(self) -> Headroom | None:
        return find_first(self.limits)

    @property
    def carried_per_second(self) -> float:
        """The average of payments a second that it carries; infinite if no limit is known."""
        return self.first.breaks_at if self.first else math.inf

    @property
    def exceeded(self) -> list[Headroom]:
        return [row for row in self.limits if row.applies and row.is_exceeded]

    @property
    def dollars_per_month(self) -> float:
        return sum(cost.dollars for cost in self.costs)

    def dollars_per_million(self, payments_per_month: float) -> float:
        return self.dollars_per_month / payments_per_month * 1_000_000


@dataclass(frozen=True)
class Answer:
    environment: str
    region: str
    price_region: str
    workload: Workload
    # The environment first.
    assessments: list[Assessment]
    # The limits and prices that were not found on their page.
    unconfirmed: list[str]
    # What a reader has to know beside the figures.
    notes: list[str] = field(default_factory=list)

    @property
    def environment_assessment(self) -> Assessment:
        return self.assessments[0]


def assess_design(
    design: Design, workload: Workload, limits: Limits, prices: Prices, read_values: Mapping[str, Available]
) -> Assessment:
    rows = compute_headroom(design, workload, limits, read_values)
    return Assessment(design, rows, compute_costs(design, workload, prices))


def answer_question(
    environment: str,
    designs: list[Design],
    workload: Workload,
    limits: Limits,
    prices: Prices,
    read_values: Mapping[str, Available],
) -> Answer:
    """Return the answer for ``designs``, of which the first is the environment's."""
    assessments = [assess_design(design, workload, limits, prices, read_values) for design in designs]
    region = limits.region
    files = ("limits.toml", "assumptions.toml")
    unconfirmed = [key for name in files for key in list_unconfirmed(load_file(name), region)]
    unconfirmed += [f"price of {key}" for key in prices.list_unconfirmed()]
    return Answer(
        environment,
        region,
        prices.region,
        workload,
        assessments,
        unconfirmed,
        list(_list_notes(assessments[0], region, prices)),
    )


def _list_notes(assessment: Assessment, region: str, prices: Prices) -> list[str]:
    notes = []
    if prices.region != region:
        notes.append(f"prices.toml has no prices of {region}: these are those of {prices.region}")
    for row in assessment.limits:
        limit, available = row.limit, row.available
        if limit.new_account is not None and available.origin == "default" and available.value:
            carried = row.breaks_at * limit.new_account / available.value
            note = (
                f"a new account may have no more than {limit.new_account:.0f} of {limit.title}: then it carries "
                f"{carried:.2g} payments a second; `aws lambda get-account-settings` tells"
            )
            notes.append(complete_aws_commands(note))
    return notes
