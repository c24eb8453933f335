"""Alarms are evaluated as CloudWatch's documentation describes.

https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/alarms-and-missing-data.html
"""

from collections.abc import Sequence
from typing import Any

import pytest

from scripts.local import alarms

EVALUATED_AT = 100_000.0
ALARM = {
    "Period": 300,
    "EvaluationPeriods": 3,
    "ComparisonOperator": "GreaterThanThreshold",
    "Threshold": 10,
    "TreatMissingData": "missing",
    "StateValue": "OK",
}


def alarm_state(*values: float | None, scale: float = 1.0, **changes: Any) -> str:
    """Return the state of an alarm whose periods had these sums, the latest first; None is no data."""
    points = [
        {"Timestamp": EVALUATED_AT - (n * 300 + 150) * scale, "Value": value / 2}
        for n, value in enumerate(values)
        if value is not None
        for _ in range(2)
    ]
    return alarms.evaluate_alarm(ALARM | changes, points, sum_values, EVALUATED_AT, scale)[0]


def sum_values(points: Sequence[Any]) -> float:
    return float(sum(point["Value"] for point in points))


@pytest.mark.parametrize(
    ("values", "of_three", "of_two"),
    [
        ((11, 11, 11), "ALARM", "ALARM"),
        ((11, 11, 10), "OK", "ALARM"),
        ((11, 10, 11), "OK", "ALARM"),
        ((10, 10, 11), "OK", "OK"),
    ],
)
def test_datapoints_to_alarm_is_the_number_that_must_breach(
    values: tuple[float, ...], of_three: str, of_two: str
) -> None:
    assert alarm_state(*values) == of_three
    assert alarm_state(*values, DatapointsToAlarm=2) == of_two


@pytest.mark.parametrize(
    ("missing", "without_data", "with_one_breach"),
    [
        ("breaching", "ALARM", "ALARM"),
        ("notBreaching", "OK", "OK"),
        ("missing", "INSUFFICIENT_DATA", "OK"),
        ("ignore", "ALARM", "OK"),
    ],
)
def test_missing_data_is_treated_as_the_alarm_says(missing: str, without_data: str, with_one_breach: str) -> None:
    assert alarm_state(None, None, None, TreatMissingData=missing, StateValue="ALARM") == without_data
    assert alarm_state(11, None, None, TreatMissingData=missing) == with_one_breach


@pytest.mark.parametrize(
    ("comparison", "at_the_threshold", "below"),
    [
        ("GreaterThanThreshold", "OK", "OK"),
        ("GreaterThanOrEqualToThreshold", "ALARM", "OK"),
        ("LessThanThreshold", "OK", "ALARM"),
        ("LessThanOrEqualToThreshold", "ALARM", "ALARM"),
    ],
)
def test_a_value_at_the_threshold_breaches_by_the_comparison(
    comparison: str, at_the_threshold: str, below: str
) -> None:
    assert alarm_state(10, 10, 10, ComparisonOperator=comparison) == at_the_threshold
    assert alarm_state(9, 9, 9, ComparisonOperator=comparison) == below


def test_an_alarm_looks_further_back_where_periods_have_no_data() -> None:
    """The latest periods with data count, so a state lasts longer than its periods."""
    assert alarm_state(None, None, 11, 11, 11) == "ALARM"
    assert alarm_state(None, None, 11, 11, 10) == "OK"
    beats = {"ComparisonOperator": "LessThanThreshold", "Threshold": 1, "TreatMissingData": "breaching"}
    assert alarm_state(None, None, None, None, 1, **beats) == "OK"
    assert alarm_state(None, None, None, None, None, 1, **beats) == "ALARM"


def test_older_periods_do_not_count() -> None:
    assert alarm_state(None, None, None, None, None, 11, TreatMissingData="notBreaching") == "OK"
    assert alarm_state(None, None, None, 11, EvaluationPeriods=1, TreatMissingData="notBreaching") == "OK"


def test_periods_can_be_made_shorter() -> None:
    assert alarm_state(11, 11, 11, scale=0.01) == "ALARM"
    assert alarm_state(11, 11, None, None, None, scale=0.01, TreatMissingData="notBreaching") == "OK"
