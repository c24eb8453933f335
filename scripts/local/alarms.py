"""Evaluates an alarm on one metric like CloudWatch.

https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/alarm-evaluation.html
https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/alarms-and-missing-data.html

If periods have no data, CloudWatch looks further back for periods that have some, and only then treats the missing ones
as TreatMissingData says. The documentation gives one example, of five periods for three; here it is always two more.
Periods end at the time of the evaluation, not at the turn of a period.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

Point = Mapping[str, Any]
EXTRA_PERIODS = 2
_BREACHING: dict[str, Callable[[float, float], bool]] = {
    "GreaterThanThreshold": lambda value, threshold: value > threshold,
    "GreaterThanOrEqualToThreshold": lambda value, threshold: value >= threshold,
    "LessThanThreshold": lambda value, threshold: value < threshold,
    "LessThanOrEqualToThreshold": lambda value, threshold: value <= threshold,
}


def evaluate_alarm(
    alarm: Mapping[str, Any],
    points: Sequence[Point],
    statistic: Callable[[Sequence[Point]], float],
    time_now: float,
    scale: float = 1.0,
) -> tuple[str, str]:
    """Return ``(state, reason)``; the state is ``OK``, ``ALARM`` or ``INSUFFICIENT_DATA``.

    ``points`` are those of the alarm's metric and dimensions, each with a ``Timestamp`` in seconds since 1970;
    ``statistic`` computes one number from the points of a period. ``scale`` shortens the periods, for tests.
    """
    period = float(alarm["Period"]) * scale
    periods = int(alarm["EvaluationPeriods"])
    datapoints_to_alarm = int(alarm.get("DatapointsToAlarm") or periods)
    is_breaching = _BREACHING[alarm["ComparisonOperator"]]
    threshold, missing = float(alarm["Threshold"]), alarm.get("TreatMissingData") or "missing"

    values: list[float] = []
    for n in range(periods + EXTRA_PERIODS):
        start, end = time_now - (n + 1) * period, time_now - n * period
        if inside := [point for point in points if start < point["Timestamp"] <= end]:
            values.append(statistic(inside))
    values = values[:periods]
    if not values and missing in ("missing", "ignore"):
        state = "INSUFFICIENT_DATA" if missing == "missing" else str(alarm["StateValue"])
        return state, f"no data for {periods + EXTRA_PERIODS} periods"
    breaching = sum(is_breaching(value, threshold) for value in values)
    breaching += (periods - len(values)) * (missing == "breaching")
    datapoints = ", ".join([f"{value:g}" for value in values] + ["none"] * (periods - len(values)))
    reason = f"{breaching} of {periods} datapoints [{datapoints}] breach {alarm['ComparisonOperator']} {threshold:g}"
    return ("ALARM" if breaching >= datapoints_to_alarm else "OK"), reason
