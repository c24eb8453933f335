"""Log lines become metrics as on CloudWatch."""

import json

import pytest

from scripts.local.metrics import Datum, matches_pattern, metrics_of_line

EITHER = '{ ($.message = "payment finished") || ($.message = "payment failed") }'
FILTER = {
    "filterPattern": EITHER,
    "metricTransformations": [
        {
            "metricNamespace": "N",
            "metricName": "Duration",
            "metricValue": "$.duration_seconds",
            "unit": "Seconds",
            "dimensions": {"Environment": "$.Environment"},
        }
    ],
}


@pytest.mark.parametrize(
    ("pattern", "message", "passes"),
    [
        (EITHER, "payment finished", True),
        (EITHER, "payment failed", True),
        (EITHER, "payment replayed", False),
        ('{ $.message = "x" }', "x", True),
        ('{ $.message = "x" }', "xx", False),
    ],
)
def test_a_filter_matches_the_messages_that_it_names(pattern: str, message: str, passes: bool) -> None:
    assert matches_pattern(pattern, {"message": message}) is passes


@pytest.mark.parametrize("pattern", ["ERROR", '{ $.a != "x" }', '{ ($.a = "x") && ($.b = "y") }', "{ $.n > 3 }", ""])
def test_an_unsupported_filter_pattern_is_an_error(pattern: str) -> None:
    with pytest.raises(ValueError, match="not supported"):
        matches_pattern(pattern, {})


def test_a_filtered_line_gives_its_number_under_its_dimensions() -> None:
    line = json.dumps({"message": "payment failed", "duration_seconds": 1.5, "Environment": "dev"})
    assert list(metrics_of_line(line, [FILTER])) == [Datum("N", "Duration", 1.5, "Seconds", {"Environment": "dev"})]


@pytest.mark.parametrize("lacking", ["duration_seconds", "Environment"])
def test_a_line_without_the_number_or_a_dimension_gives_none(lacking: str) -> None:
    line = {"message": "payment failed", "duration_seconds": 1.5, "Environment": "dev"}
    del line[lacking]
    assert list(metrics_of_line(json.dumps(line), [FILTER])) == []


@pytest.mark.parametrize("line", ["START RequestId: 1", "{not json", "[1]", '"text"', "", '{"message": "x"}'])
def test_a_line_that_matches_no_filter_gives_no_metric(line: str) -> None:
    assert list(metrics_of_line(line, [FILTER])) == []


def test_an_embedded_metric_is_given_under_each_set_of_dimensions() -> None:
    metric = {"Namespace": "N", "Dimensions": [["A"], ["A", "B"]], "Metrics": [{"Name": "M", "Unit": "Count"}]}
    line = json.dumps({"_aws": {"Timestamp": 1, "CloudWatchMetrics": [metric]}, "A": "a", "B": "b", "M": 2})
    assert list(metrics_of_line(line, [])) == [
        Datum("N", "M", 2.0, "Count", {"A": "a"}),
        Datum("N", "M", 2.0, "Count", {"A": "a", "B": "b"}),
    ]
