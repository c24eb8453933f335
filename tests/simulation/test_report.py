"""What a simulation prints, what is recorded of it, and the picture of that."""

import json
import re
from dataclasses import replace
from typing import Any

import pytest
from click.testing import CliRunner

from scripts.pictures import backlog
from scripts.simulation import cli, recorded
from scripts.simulation.assumptions import Assumptions
from scripts.simulation.figures import End, Result
from scripts.simulation.report import describe_seconds, format_results
from scripts.simulation.rules import Rules
from scripts.simulation.simulate import simulate
from tests.emitted import ROOT

ADVICE = "the recorded simulations are out of date: run `make simulate RECORD=1` and `make generate`"
# The others take minutes.
QUICK = [scenario for scenario in recorded.list_scenarios() if scenario.per_second <= 10]
RESULT = Result(
    per_second=10,
    mode="timeout",
    quotas="default",
    outage_seconds=600,
    cohort=1,
    payments=1000,
    ends={End.AT_ONCE: 500, End.RECONCILED: 300, End.FAILED: 100, End.ABANDONED: 100},
    open_seconds=7300,
    closing_seconds=0,
    left_open=0,
    left_to_close=0,
    peak_backlog=400,
    peak_backlog_at=600,
    peak_concurrency=50,
    transitions=4000,
    throttled=dict.fromkeys(
        ("StartExecution", "StateTransition", "Lambda concurrency", "gateway", "runs of reconciliation"), 7
    ),
    gateway_calls={"charge": 1000, "lookup": 300},
    backlog=[(-60, 0), (60, 40), (600, 400), (4000, 100), (7900, 0)],
)


@pytest.mark.parametrize("scenario", QUICK, ids=lambda scenario: f"{scenario.per_second:g} {scenario.mode}")
def test_what_is_recorded_is_what_is_simulated(scenario: Any, rules: Rules) -> None:
    (result,) = [
        result
        for result in recorded.read_results()
        if (result.per_second, result.mode, result.quotas) == (scenario.per_second, scenario.mode, scenario.quotas)
    ]
    again = Result(**recorded.to_record(simulate(scenario, rules)))
    assert again == result, ADVICE


def test_every_scenario_is_recorded() -> None:
    scenarios = [(scenario.per_second, scenario.mode, scenario.quotas) for scenario in recorded.list_scenarios()]
    assert [(result.per_second, result.mode, result.quotas) for result in recorded.read_results()] == scenarios, ADVICE
    for result in recorded.read_results():
        assert sum(result.ends.values()) + result.left_open == result.payments


def test_the_tables_have_the_figures_of_a_result() -> None:
    text = format_results([RESULT, replace(RESULT, per_second=1000, quotas="raised", cohort=10, left_open=3)])
    assert text == (
        "per s  gateway    quotas   payments  at once  retried  reconciled  not charged  review  not recorded"
        "  not started    open for\n"
        "   10  no answer  default     1,000   50.0 %               30.0 %       20.0 %"
        "                                          2.0 h\n"
        "1,000  no answer  raised      1,000   50.0 %               30.0 %       20.0 %"
        "                                     over 2.0 h\n"
        "\n"
        "per s  gateway    quotas   most open  most running  starts  transitions  concurrency  calls refused  runs"
        "  calls  closing for\n"
        "   10  no answer  default        400            50       7            7            7              7     7"
        "  1,300          0 s\n"
        "1,000  no answer  raised         400            50       7            7            7              7     7"
        "  1,300          0 s\n"
        "\n"
        "at 1,000 per s, 10 payments are simulated as one"
    )


def test_a_table_goes_on_below_itself_on_a_narrow_terminal() -> None:
    results = [RESULT, replace(RESULT, per_second=1000, quotas="raised")]
    wide, narrow = (format_results(results, width) for width in (None, 80))
    lines = narrow.splitlines()
    assert max(map(len, lines)) <= 80
    assert [line for line in lines if line.startswith("per s")] == [
        "per s  gateway    quotas   payments  at once  retried  reconciled  not charged",
        "per s  gateway    quotas   review  not recorded  not started  open for",
        "per s  gateway    quotas   most open  most running  starts  transitions",
        "per s  gateway    quotas   concurrency  calls refused  runs  calls  closing for",
    ]
    # No figure is lost.
    assert set(wide.split()) == set(narrow.split())
    assert format_results(results, 10).count("per s  gateway") == 18


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "0 s"), (119, "119 s"), (120, "2.0 min"), (7199, "120.0 min"), (7200, "2.0 h")]
)
def test_a_time_is_in_the_largest_unit_of_which_it_has_two(seconds: float, text: str) -> None:
    assert describe_seconds(seconds) == text


def test_the_command_prints_the_scenarios_that_are_asked_for() -> None:
    arguments = "dev --per-second 1 --per-second 2 --mode refuse --outage-minutes 1"
    result = CliRunner().invoke(cli.main, arguments.split())
    assert result.exit_code == 0, result.output
    rows = [line.split() for line in result.output.splitlines() if "refuses" in line]
    assert [row[:3] for row in rows] == [[rate, "refuses", "default"] for _ in range(2) for rate in ("1", "2")]
    again = CliRunner().invoke(cli.main, [*arguments.split(), "--json"])
    documents = json.loads(again.output)
    assert [f"{document['payments']:,}" for document in documents] == [row[3] for row in rows[:2]]
    assert [document["outage_seconds"] for document in documents] == [60, 60]
    assert documents[0]["backlog"]


def test_an_option_changes_what_is_simulated() -> None:
    results = [
        CliRunner().invoke(cli.main, ["dev", "--per-second", "1", "--outage-minutes", "1", *options]).output
        for options in ([], ["--seed", "2"], ["--mode", "timeout"], ["--assume", "concurrency=1"], ["--cohort", "7"])
    ]
    assert len(set(results)) == len(results)
    assert "at 1 per s, 7 payments are simulated as one" in results[-1]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("speed=1", "--assume speed=1: no such assumption; see scripts/simulate.sh --help"),
        ("concurrency=many", "--assume concurrency=many: not a number"),
        ("charged_share=2", "--assume: charged_share = 2 is not possible"),
        ("gateway_seconds=-1", "--assume: gateway_seconds = -1 is not possible"),
    ],
)
def test_a_wrong_assumption_is_one_line(change: str, message: str) -> None:
    result = CliRunner().invoke(cli.main, ["dev", "--per-second", "1", "--assume", change])
    assert (result.exit_code, result.stderr) == (1, f"simulate: {message}\n")


def test_help_names_every_assumption_with_its_value() -> None:
    text = " ".join(CliRunner().invoke(cli.main, ["--help"]).output.split())
    for name, value in vars(Assumptions()).items():
        assert re.search(rf"{name}: [^\[]+ \[{value:g}\]", text), name


def test_quotas_that_suffice_are_simulated_once() -> None:
    scenarios = recorded.list_scenarios()
    assert [scenario.quotas for scenario in scenarios if scenario.per_second == 1000] == ["default", "raised"] * 2
    assert {scenario.quotas for scenario in scenarios if scenario.per_second < 1000} == {"default"}


def test_the_picture_has_a_line_for_each_rate_that_ends_when_nothing_is_open() -> None:
    svg = backlog.draw_svg([RESULT.to_document(), replace(RESULT, per_second=1).to_document()])
    lines = re.findall(r'<polyline points="([^"]+)"', svg)
    assert len(lines) == 2
    (end,) = {points.split()[-1] for points in lines}
    # At the bottom of the plot.
    assert float(end.split(",")[1]) == pytest.approx(backlog.HEIGHT - backlog.BOTTOM, abs=0.1)
    assert "none after 2.2 h" in svg


def test_the_picture_shows_raised_quotas_instead_of_the_defaults() -> None:
    raised = replace(RESULT, per_second=1000, quotas="raised", peak_backlog=9).to_document()
    svg = backlog.draw_svg([raised, replace(RESULT, per_second=1000).to_document()])
    assert svg.count("<polyline") == 1
    assert "1,000 a second *" in svg
    assert "with raised quotas" in svg


def test_the_document_shows_what_is_recorded() -> None:
    text = recorded.DOCUMENT.read_text(encoding="utf-8")
    assert f"```text\n{format_results(recorded.read_results())}\n```" in text, ADVICE
    assert recorded.replace_tables(text, "per s  gateway  of a test").count("per s  gateway") == 1


def test_the_recorded_picture_is_committed() -> None:
    assert (ROOT / "docs" / "backlog.svg").read_text(encoding="utf-8") == backlog.draw_svg(), ADVICE
