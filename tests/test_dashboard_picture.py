"""The dashboard's picture, drawn from the emitted body with made-up values."""

import json
import re
import xml.etree.ElementTree as ElementTree
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from scripts.pictures import dashboard
from scripts.pictures.demo_run import evaluate_expression
from tests.made_up import AT, measured
from tests.stacks.access import World

NAMESPACE = "{http://www.w3.org/2000/svg}"
PLACE = {"x": 0, "y": 0, "width": 6, "height": 6}


@pytest.fixture(scope="module")
def body(world: World) -> dict[str, Any]:
    dashboard_body: dict[str, Any] = json.loads(world.properties("Monitoring/Dashboard")["DashboardBody"])
    return dashboard_body


def parse_svg(picture: str) -> ElementTree.Element:
    return ElementTree.fromstring(picture)  # noqa: S314 - our own


def texts_of(picture: str) -> list[str]:
    return [element.text or "" for element in parse_svg(picture).iter(f"{NAMESPACE}text")]


def body_with_graph(metrics: list[Any], **properties: Any) -> dict[str, Any]:
    return {
        "widgets": [PLACE | {"type": "metric", "properties": {"title": "A title", "metrics": metrics, **properties}}]
    }


def every_five_minutes(*values: float) -> dashboard.Points:
    return [(AT + timedelta(minutes=5 * n), value) for n, value in enumerate(values)]


def test_every_widget_is_drawn_in_its_place(body: dict[str, Any]) -> None:
    picture = dashboard.draw_dashboard(body, measured, {})
    groups = parse_svg(picture).findall(f"{NAMESPACE}g")
    assert len(groups) == len(body["widgets"])
    for widget, group in zip(body["widgets"], groups, strict=True):
        texts = [element.text for element in group.iter(f"{NAMESPACE}text")]
        properties = widget["properties"]
        assert (properties["title"] if "title" in properties else properties["markdown"].strip("# ")) in texts
        labels = [metric[-1]["label"] for metric in properties.get("metrics", []) if metric[-1].get("visible", True)]
        assert set(labels) <= set(texts)
        if widget["type"] == "metric":
            (frame, *_) = group.iter(f"{NAMESPACE}rect")
            assert float(frame.attrib["x"]) // dashboard.COLUMN == widget["x"]
            assert float(frame.attrib["y"]) // dashboard.ROW == widget["y"]


def test_an_alarm_is_drawn_in_the_state_given_for_its_name_or_arn() -> None:
    arns = [f"arn:aws:cloudwatch:eu-west-1:123456789012:alarm:{name}" for name in ("one", "two", "three")]
    widgets = {"widgets": [PLACE | {"type": "alarm", "width": 24, "properties": {"title": "Alarms", "alarms": arns}}]}
    texts = texts_of(dashboard.draw_dashboard(widgets, lambda _: [], {"one": "ALARM", arns[1]: "OK"}))
    assert texts == ["Alarms", "one", "alarm", "two", "OK", "three", "no data"]


def test_a_threshold_is_a_dashed_line_within_the_axis() -> None:
    across = {"horizontal": [{"label": "alarm above", "value": 120, "color": "#d62728"}]}
    picture = dashboard.draw_dashboard(
        body_with_graph([["N", "M"]], annotations=across), lambda _: every_five_minutes(1, 2), {}
    )
    assert "alarm above 120" in texts_of(picture)
    assert "stroke-dasharray" in picture
    assert "150" in texts_of(picture)


def test_a_line_has_a_gap_where_there_is_no_data() -> None:
    first = every_five_minutes(1, 2, 3)
    second = [(moment + timedelta(hours=1), value) for moment, value in first]
    single = [(AT + timedelta(hours=5), 4.0)]
    picture = dashboard.draw_dashboard(body_with_graph([["N", "M"]]), lambda _: [*first, *second, *single], {})
    assert picture.count("<polyline") == 2
    assert picture.count("<circle") == 1


def test_stacked_series_are_drawn_on_top_of_each_other() -> None:
    picture = dashboard.draw_dashboard(
        body_with_graph([["N", "A"], ["N", "B"]], stacked=True), lambda _: every_five_minutes(3, 4), {}
    )
    lower, upper = (re.findall(r"[\d.]+,([\d.]+)", points) for points in re.findall(r'polygon points="(.*?)"', picture))
    assert lower[:2] == upper[:1:-1]
    assert "8" in texts_of(picture)


def test_hidden_metrics_are_not_drawn_and_their_expression_is() -> None:
    requested: list[Any] = []

    def series(metric: list[Any]) -> dashboard.Points:
        requested.append(metric)
        return every_five_minutes(50, 75)

    share = [{"expression": "100 * a / b", "label": "share", "id": "e"}]
    metrics = [share, ["N", "A", {"id": "a", "visible": False}], ["N", "B", {"id": "b", "visible": False}]]
    picture = dashboard.draw_dashboard(body_with_graph(metrics), series, {})
    assert requested == [share]
    assert "share" in texts_of(picture)


def test_a_graph_without_points_says_so() -> None:
    assert "no data" in texts_of(dashboard.draw_dashboard(body_with_graph([["N", "M"]]), lambda _: [], {}))


def test_a_widget_that_cannot_be_drawn_is_reported() -> None:
    body = {"widgets": [PLACE | {"type": "log", "properties": {"title": "Logs", "query": ""}}]}
    assert "log (timeSeries) is not drawn here" in texts_of(dashboard.draw_dashboard(body, lambda _: [], {}))


@pytest.mark.parametrize(
    ("values", "ticks"),
    [
        ([0, 1], [0, 0.25, 0.5, 0.75, 1]),
        ([0, 120], [0, 50, 100, 150]),
        ([3.0], [0, 1, 2, 3]),
        ([], [0, 0.25, 0.5, 0.75, 1]),
    ],
)
def test_the_axis_has_round_steps(values: list[float], ticks: list[float]) -> None:
    line = dashboard.Line("", "", every_five_minutes(*values))
    assert dashboard._choose_axis({}, [line], []).ticks() == pytest.approx(ticks)


def test_a_fixed_axis_limit_is_kept() -> None:
    line = dashboard.Line("", "", every_five_minutes(99.9, 100))
    assert dashboard._choose_axis({"yAxis": {"left": {"min": 0, "max": 100}}}, [line], []).ticks() == [
        0,
        25,
        50,
        75,
        100,
    ]


def test_times_are_round() -> None:
    span = (datetime(2026, 1, 2, 11, 7, tzinfo=UTC), datetime(2026, 1, 2, 14, 2, tzinfo=UTC))
    assert [words for _, words in dashboard._time_ticks(span, 350)] == ["12:00", "13:00", "14:00"]


MEASURED = {"completed": {0: 6.0, 1: 8.0}, "failed": {0: 2.0}}


@pytest.mark.parametrize(
    ("expression", "period", "value"),
    [
        ("100 * completed / (completed + failed)", 0, 75.0),
        ("100 * FILL(completed, 0) / (FILL(completed, 0) + FILL(failed, 0))", 1, 100.0),
        ("completed - failed", 1, None),
        ("FILL(completed, 0) / FILL(failed, 0)", 2, None),
    ],
)
def test_metric_math_is_calculated_as_the_dashboard_uses_it(expression: str, period: int, value: float | None) -> None:
    assert evaluate_expression(expression, period, MEASURED) == value


def test_metric_math_that_is_not_understood_is_refused() -> None:
    with pytest.raises(ValueError, match="not understood"):
        evaluate_expression("SEARCH('x', 'Sum', 300)", 0, MEASURED)
