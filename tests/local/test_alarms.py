"""States of alarms as CloudWatch's own documentation tells them.

https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/alarms-and-missing-data.html
"""

from collections.abc import Sequence
from typing import Any

import pytest

from scripts.local import alarms

NOW = 100_000.0
ALARM = {
    "Period": 300,
    "EvaluationPeriods": 3,
    "ComparisonOperator": "GreaterThanThreshold",
    "Threshold": 10,
    "TreatMissingData": "missing",
    "StateValue": "OK",
}


def state(*values: float | None, scale: float = 1.0, **changes: Any) -> str:
    """Of an alarm whose periods had these sums, the latest first; None is no data."""
    points = [
        {"Timestamp": NOW - (n * 300 + 150) * scale, "Value": value / 2}
        for n, value in enumerate(values)
        if value is not None
        for _ in range(2)
    ]
    return alarms.evaluate_alarm(ALARM | changes, points, total, NOW, scale)[0]


def total(points: Sequence[Any]) -> float:
    return float(sum(one["Value"] for one in points))


@pytest.mark.parametrize(
    ("values", "of_three", "of_two"),
    [
        ((11, 11, 11), "ALARM", "ALARM"),
        ((11, 11, 10), "OK", "ALARM"),
        ((11, 10, 11), "OK", "ALARM"),
        ((10, 10, 11), "OK", "OK"),
    ],
)
def test_as_many_datapoints_as_are_asked_for_have_to_breach(
    values: tuple[float, ...], of_three: str, of_two: str
) -> None:
    assert state(*values) == of_three
    assert state(*values, DatapointsToAlarm=2) == of_two


@pytest.mark.parametrize(
    ("missing", "nothing", "one_bad"),
    [
        ("breaching", "ALARM", "ALARM"),
        ("notBreaching", "OK", "OK"),
        ("missing", "INSUFFICIENT_DATA", "OK"),
        ("ignore", "ALARM", "OK"),
    ],
)
def test_missing_data_is_treated_as_the_alarm_says(missing: str, nothing: str, one_bad: str) -> None:
    assert state(None, None, None, TreatMissingData=missing, StateValue="ALARM") == nothing
    assert state(11, None, None, TreatMissingData=missing) == one_bad


@pytest.mark.parametrize(
    ("comparison", "at_the_threshold", "below"),
    [
        ("GreaterThanThreshold", "OK", "OK"),
        ("GreaterThanOrEqualToThreshold", "ALARM", "OK"),
        ("LessThanThreshold", "OK", "ALARM"),
        ("LessThanOrEqualToThreshold", "ALARM", "ALARM"),
    ],
)
def test_the_threshold_itself(comparison: str, at_the_threshold: str, below: str) -> None:
    assert state(10, 10, 10, ComparisonOperator=comparison) == at_the_threshold
    assert state(9, 9, 9, ComparisonOperator=comparison) == below


def test_where_periods_are_missing_it_looks_further_back() -> None:
    """The latest that are there count, and a state lasts longer than its periods."""
    assert state(None, None, 11, 11, 11) == "ALARM"
    assert state(None, None, 11, 11, 10) == "OK"
    beats = {"ComparisonOperator": "LessThanThreshold", "Threshold": 1, "TreatMissingData": "breaching"}
    assert state(None, None, None, None, 1, **beats) == "OK"
    assert state(None, None, None, None, None, 1, **beats) == "ALARM"


def test_what_is_older_still_is_forgotten() -> None:
    assert state(None, None, None, None, None, 11, TreatMissingData="notBreaching") == "OK"
    assert state(None, None, None, 11, EvaluationPeriods=1, TreatMissingData="notBreaching") == "OK"


def test_periods_can_be_made_shorter() -> None:
    assert state(11, 11, 11, scale=0.01) == "ALARM"
    assert state(11, 11, None, None, None, scale=0.01, TreatMissingData="notBreaching") == "OK"
