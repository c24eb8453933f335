"""The tables and the chart of what growth costs follow from the data files, the settings and the templates."""

import re

import pytest

from scripts.capacity.design import describe_environment
from scripts.capacity.report import format_amount, format_dollars
from scripts.capacity.workload import SECONDS_PER_MONTH
from scripts.pictures import scale
from stacks import settings
from tests.emitted import ROOT


@pytest.fixture(scope="module")
def rendered() -> dict[str, str]:
    return scale.render_files((ROOT / scale.PAGE).read_text(encoding="utf-8"))


@pytest.mark.parametrize("name", [scale.PAGE, scale.PICTURE])
def test_the_file_is_fresh(name: str, rendered: dict[str, str]) -> None:
    assert (ROOT / name).read_text(encoding="utf-8") == rendered[name], "run `make generate`"


def test_the_chart_numbers_the_limits_in_the_order_in_which_they_are_reached(rendered: dict[str, str]) -> None:
    names = re.findall(r">([^<>]+): ([0-9,.]+)/s</text>", rendered[scale.PICTURE])
    rates = [float(rate.replace(",", "")) for _, rate in names]
    assert rates == sorted(rates)
    assert ("StartExecution, Standard", "100") in names


def test_the_prices_of_the_table_grow_with_the_load(rendered: dict[str, str]) -> None:
    rows = re.findall(r"^\| [0-9.,]+ \| ([0-9.,]+) \| ([0-9.,]+) \|", rendered[scale.PAGE], re.M)
    assert len(rows) == len(scale.RATES)
    for column in zip(*rows, strict=True):
        prices = [float(price.replace(",", "")) for price in column]
        assert prices == sorted(prices)


def test_the_readme_states_what_the_command_prints() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    figures = re.findall(r"^\| [^|]+ \| ([0-9.,]+) \| `scripts/capacity\.sh prod --per-second 10` \|$", readme, re.M)
    design = describe_environment("prod", settings.ENVIRONMENTS_FILE, scale.REGION, scale.MIX)
    assessment = scale.assess(design, 10)
    price = assessment.dollars_per_million(10 * SECONDS_PER_MONTH)
    assert figures == [format_amount(assessment.carried_per_second), format_dollars(price)]


def test_a_part_is_replaced_between_its_marks_and_nowhere_else() -> None:
    text = "before\n<!-- a: begin -->\nold\n<!-- a: end -->\nafter\n"
    assert scale.replace_parts(text, {"a": ["new"]}) == text.replace("old", "new")
    with pytest.raises(ValueError, match="the marks <!-- b: begin -->"):
        scale.replace_parts(text, {"b": ["new"]})
