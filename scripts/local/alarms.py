"""What state an alarm on one metric is in, as CloudWatch evaluates it.

https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/alarm-evaluation.html

Here the periods end now, and not at the turn of a period; and a missing one is not looked for further back.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

Point = Mapping[str, Any]
_BREACHING: dict[str, Callable[[float, float], bool]] = {
    "GreaterThanThreshold": lambda value, threshold: value > threshold,
    "GreaterThanOrEqualToThreshold": lambda value, threshold: value >= threshold,
    "LessThanThreshold": lambda value, threshold: value < threshold,
    "LessThanOrEqualToThreshold": lambda value, threshold: value <= threshold,
}


def state(
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

    values: list[float | None] = []
    for n in range(periods):
        inside = [one for one in points if now - (n + 1) * period < one["Timestamp"] <= now - n * period]
        values.append(statistic(inside) if inside else None)
    known = [value for value in values if value is not None]
    if not known and missing == "missing":
        return "INSUFFICIENT_DATA", f"no data for {periods} periods"
    if not known and missing == "ignore":
        return str(alarm["StateValue"]), f"no data for {periods} periods"
    bad = sum(breaching(value, threshold) for value in known)
    bad += (periods - len(known)) * (missing == "breaching")
    shown = ", ".join("none" if value is None else f"{value:g}" for value in values)
    reason = f"{bad} of {periods} datapoints [{shown}] breach {alarm['ComparisonOperator']} {threshold:g}"
    return ("ALARM" if bad >= needed else "OK"), reason
