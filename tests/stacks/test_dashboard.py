"""The dashboard's body against what CloudWatch takes, and against the metrics and alarms that there are.

https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/CloudWatch-Dashboard-Body-Structure.html
"""

import json
import re
from typing import Any

import pytest
from adapters.metrics import METRICS, NAMESPACE

from tests.stacks.access import World
from tests.stacks.test_alarms import INDEX, PUBLISHED

QUESTIONS = ["## Are payments succeeding?", "## How fast?", "## What is stuck?", "## What broke?"]
# What graphs show beside what alarms watch.
SHOWN = {"AWS/SNS": {"NumberOfNotificationsDelivered"}}


@pytest.fixture(scope="module")
def widgets(world: World) -> list[dict[str, Any]]:
    return _widgets(world)


def _widgets(world: World) -> list[dict[str, Any]]:
    body = json.loads(world.properties("Monitoring/Dashboard")["DashboardBody"])
    assert set(body) == {"widgets"}
    found: list[dict[str, Any]] = body["widgets"]
    return found


def metrics(widgets: list[dict[str, Any]]) -> list[list[Any]]:
    return [one for widget in widgets for one in widget["properties"].get("metrics", [])]


def test_it_answers_from_top_to_bottom(widgets: list[dict[str, Any]]) -> None:
    said = sorted((one["y"], one["properties"]["markdown"]) for one in widgets if one["type"] == "text")
    assert [markdown for _, markdown in said] == QUESTIONS


def test_every_row_is_full_and_nothing_overlaps(widgets: list[dict[str, Any]]) -> None:
    taken = [
        (x, y)
        for one in widgets
        for x in range(one["x"], one["x"] + one["width"])
        for y in range(one["y"], one["y"] + one["height"])
    ]
    assert len(taken) == len(set(taken))
    assert {x for x, _ in taken} == set(range(24))
    assert len(taken) == 24 * (1 + max(y for _, y in taken))


def test_a_widget_has_what_its_type_asks_for(widgets: list[dict[str, Any]]) -> None:
    for one in widgets:
        assert set(one) == {"x", "y", "width", "height", "type", "properties"}
        properties = one["properties"]
        match one["type"]:
            case "text":
                assert set(properties) == {"markdown", "background"}
            case "alarm":
                assert set(properties) == {"title", "alarms"}
            case "metric":
                assert {"title", "region", "view", "stacked", "period", "yAxis", "metrics"} <= set(properties)
                assert (properties["view"], properties["period"]) == ("timeSeries", 300)
                for across in properties.get("annotations", {}).get("horizontal", []):
                    assert isinstance(across["value"], int | float)
            case other:
                raise AssertionError(other)


def test_every_line_is_a_metric_that_there_is(widgets: list[dict[str, Any]], world: World) -> None:
    filtered = {
        (one["MetricNamespace"], one["MetricName"], "Environment")
        for filter_ in world.of_type("AWS::Logs::MetricFilter").values()
        for one in filter_["MetricTransformations"]
    }
    told = {(NAMESPACE, name, "Environment", *by) for name, metric in METRICS.items() for by in metric.dimension_sets}
    published = {
        (namespace, name, *dimensions, *more)
        for namespace, (names, dimensions) in PUBLISHED.items()
        for name in names | SHOWN.get(namespace, set())
        for more in ((), INDEX.get(namespace, ()))
    }
    lines = [one for one in metrics(widgets) if isinstance(one[0], str)]
    assert {(namespace, name, *rest[:-1:2]) for namespace, name, *rest in lines} <= filtered | told | published


def test_every_metric_of_ours_is_shown(widgets: list[dict[str, Any]]) -> None:
    assert set(METRICS) <= {one[1] for one in metrics(widgets) if one[0] == NAMESPACE}


def test_an_expression_uses_the_ids_of_its_graph(widgets: list[dict[str, Any]]) -> None:
    found = 0
    for one in widgets:
        lines = one["properties"].get("metrics", [])
        ids = {line[-1]["id"] for line in lines if "id" in line[-1]}
        for line in lines:
            if "expression" in line[-1]:
                found += 1
                assert set(re.findall(r"\b[a-z]\w*", line[-1]["expression"])) == ids
    assert found


def test_its_dimensions_name_the_real_resources(widgets: list[dict[str, Any]], world: World) -> None:
    named = {
        "Environment": {"prod"},
        "StateMachineArn": {alarm["Value"] for alarm in _dimension(world, "StateMachineArn")},
        "FunctionName": {one["FunctionName"] for one in world.of_type("AWS::Lambda::Function").values()},
        "TableName": {one["TableName"] for one in world.of_type("AWS::DynamoDB::Table").values()},
        "GlobalSecondaryIndexName": {
            index["IndexName"]
            for one in world.of_type("AWS::DynamoDB::Table").values()
            for index in one.get("GlobalSecondaryIndexes", [])
        },
        "QueueName": {one["QueueName"] for one in world.of_type("AWS::SQS::Queue").values()},
        "TopicName": {one["TopicName"] for one in world.of_type("AWS::SNS::Topic").values()},
    }
    for _, _, *rest in (one for one in metrics(widgets) if isinstance(one[0], str)):
        for name, value in zip(rest[:-1:2], rest[1:-1:2], strict=True):
            assert name not in named or value in named[name]


def test_it_shows_every_alarm_on_a_metric(worlds: list[World]) -> None:
    """Those that the environment has: backups may be off."""
    for world in worlds:
        (states,) = (one for one in _widgets(world) if one["type"] == "alarm")
        shown = {arn.rsplit(":alarm:", 1)[1] for arn in states["properties"]["alarms"]}
        assert shown == {one["AlarmName"] for one in world.of_type("AWS::CloudWatch::Alarm").values()}


def _dimension(world: World, name: str) -> list[dict[str, str]]:
    alarms = world.of_type("AWS::CloudWatch::Alarm").values()
    return [dimension for alarm in alarms for dimension in alarm["Dimensions"] if dimension["Name"] == name]
