"""What state an alarm on one metric is in, as CloudWatch evaluates it.

https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/alarm-evaluation.html

Where periods are missing, CloudWatch looks further back and takes the latest that are there; only what is still missing
then is treated as the alarm says. So an alarm ends, or begins to ring for silence, later than its periods say:
https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/alarms-and-missing-data.html
How far back is documented by an example, five for three; here it is always two more. And periods end now here, not at
the turn of a period.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

Point = Mapping[str, Any]
FURTHER = 2
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
    now: float,
    scale: float = 1.0,
) -> tuple[str, str]:
    """``("OK" | "ALARM" | "INSUFFICIENT_DATA", reason)``; the state is the alarm's own where missing data is ignored.

    ``points`` are those of the alarm's metric with exactly its dimensions, each with a ``Timestamp`` in seconds since
    1970; ``statistic`` makes one number of those of a period. ``scale`` makes the periods shorter, for tests.
    """
    period = float(alarm["Period"]) * scale
    periods = int(alarm["EvaluationPeriods"])
    needed = int(alarm.get("DatapointsToAlarm") or periods)
    breaching = _BREACHING[alarm["ComparisonOperator"]]
    threshold, missing = float(alarm["Threshold"]), alarm.get("TreatMissingData") or "missing"

    found: list[float] = []
    for n in range(periods + FURTHER):
        inside = [one for one in points if now - (n + 1) * period < one["Timestamp"] <= now - n * period]
        if inside:
            found.append(statistic(inside))
    known = found[:periods]
    if not known and missing == "missing":
        return "INSUFFICIENT_DATA", f"no data for {periods + FURTHER} periods"
    if not known and missing == "ignore":
        return str(alarm["StateValue"]), f"no data for {periods + FURTHER} periods"
    bad = sum(breaching(value, threshold) for value in known)
    bad += (periods - len(known)) * (missing == "breaching")
    shown = ", ".join([f"{value:g}" for value in known] + ["none"] * (periods - len(known)))
    reason = f"{bad} of {periods} datapoints [{shown}] breach {alarm['ComparisonOperator']} {threshold:g}"
    return ("ALARM" if bad >= needed else "OK"), reason
