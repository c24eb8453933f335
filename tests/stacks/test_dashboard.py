"""The body of the dashboard: its structure, and that its metrics and alarms exist.

https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/CloudWatch-Dashboard-Body-Structure.html
"""

import json
import re
from typing import Any

import pytest
from adapters.metrics import METRICS, NAMESPACE

from tests.stacks.access import World
from tests.stacks.test_alarms import INDEX, MACHINE, PUBLISHED, list_platform_metrics

QUESTIONS = ["## Are payments succeeding?", "## How fast?", "## What is stuck?", "## What broke?"]
# Metrics that a graph shows without an alarm.
ONLY_SHOWN = {"AWS/SNS": {"NumberOfNotificationsDelivered"}}


@pytest.fixture(scope="module")
def widgets(world: World) -> list[dict[str, Any]]:
    return read_widgets(world)


def read_widgets(world: World) -> list[dict[str, Any]]:
    body = json.loads(world.properties("Monitoring/Dashboard")["DashboardBody"])
    assert set(body) == {"widgets"}
    return body["widgets"]


def list_lines(widgets: list[dict[str, Any]]) -> list[list[Any]]:
    return [line for widget in widgets for line in widget["properties"].get("metrics", [])]


def test_the_dashboard_answers_its_questions_from_top_to_bottom(widgets: list[dict[str, Any]]) -> None:
    headings = sorted((widget["y"], widget["properties"]["markdown"]) for widget in widgets if widget["type"] == "text")
    assert [markdown for _, markdown in headings] == QUESTIONS


def test_every_row_is_full_and_nothing_overlaps(widgets: list[dict[str, Any]]) -> None:
    cells = [
        (x, y)
        for widget in widgets
        for x in range(widget["x"], widget["x"] + widget["width"])
        for y in range(widget["y"], widget["y"] + widget["height"])
    ]
    assert sorted(cells) == [(x, y) for x in range(24) for y in range(1 + max(y for _, y in cells))]


def test_a_widget_has_the_properties_of_its_type(widgets: list[dict[str, Any]]) -> None:
    for widget in widgets:
        assert set(widget) == {"x", "y", "width", "height", "type", "properties"}
        properties = widget["properties"]
        match widget["type"]:
            case "text":
                assert set(properties) == {"markdown", "background"}
            case "alarm":
                assert set(properties) == {"title", "alarms"}
            case "metric":
                assert {"title", "region", "view", "stacked", "period", "yAxis", "metrics"} <= set(properties)
                assert (properties["view"], properties["period"]) == ("timeSeries", 300)
                for annotation in properties.get("annotations", {}).get("horizontal", []):
                    assert isinstance(annotation["value"], int | float)
            case widget_type:
                raise AssertionError(widget_type)


def test_every_line_is_a_metric_that_exists(widgets: list[dict[str, Any]], world: World) -> None:
    published = {
        (namespace, name, *dimensions, *index)
        for namespace, (names, dimensions) in PUBLISHED.items()
        for name in names | ONLY_SHOWN.get(namespace, set())
        for index in ((), INDEX.get(namespace, ()))
    }
    platform = {(namespace, name, *sorted(dimensions)) for namespace, name, dimensions in list_platform_metrics(world)}
    lines = [line for line in list_lines(widgets) if isinstance(line[0], str)]
    for namespace, name, *dimensions, _ in lines:
        names = dimensions[::2]
        assert (namespace, name, *names) in published or (namespace, name, *sorted(names)) in platform


def test_every_metric_of_the_platform_is_shown(widgets: list[dict[str, Any]]) -> None:
    assert set(METRICS) <= {line[1] for line in list_lines(widgets) if line[0] == NAMESPACE}


def test_an_expression_uses_the_ids_of_its_graph(widgets: list[dict[str, Any]]) -> None:
    count = 0
    for widget in widgets:
        lines = [line[-1] for line in list_lines([widget])]
        ids = {line["id"] for line in lines if "id" in line}
        for expression in (line["expression"] for line in lines if "expression" in line):
            assert set(re.findall(r"\b[a-z]\w*", expression)) == ids
            count += 1
    assert count


def test_dimensions_name_the_deployed_resources(widgets: list[dict[str, Any]], world: World) -> None:
    tables = world.of_type("AWS::DynamoDB::Table").values()
    real = {
        "Environment": {"prod"},
        "StateMachineArn": {MACHINE},
        "FunctionName": {function["FunctionName"] for function in world.of_type("AWS::Lambda::Function").values()},
        "TableName": {table["TableName"] for table in tables},
        "GlobalSecondaryIndexName": {
            index["IndexName"] for table in tables for index in table.get("GlobalSecondaryIndexes", [])
        },
        "QueueName": {queue["QueueName"] for queue in world.of_type("AWS::SQS::Queue").values()},
        "TopicName": {topic["TopicName"] for topic in world.of_type("AWS::SNS::Topic").values()},
    }
    for _, _, *dimensions, _ in (line for line in list_lines(widgets) if isinstance(line[0], str)):
        for name, value in zip(dimensions[::2], dimensions[1::2], strict=True):
            assert name not in real or value in real[name]


def test_every_alarm_on_a_metric_is_shown(worlds: list[World]) -> None:
    """An environment may have no backups, and then has no alarms on them."""
    for world in worlds:
        (states,) = (widget for widget in read_widgets(world) if widget["type"] == "alarm")
        names = {arn.rsplit(":alarm:", 1)[1] for arn in states["properties"]["alarms"]}
        assert names == {alarm["AlarmName"] for alarm in world.of_type("AWS::CloudWatch::Alarm").values()}
