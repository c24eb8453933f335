"""What CloudWatch makes metrics of here: the lines that functions log.

Metric filters: https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/FilterAndPatternSyntaxForMetricFilters.html
Embedded Metric Format:
https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html
"""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

_TERM = r'\(?\s*\$\.(\w+)\s*=\s*"([^"]*)"\s*\)?'


@dataclass(frozen=True)
class Datum:
    namespace: str
    name: str
    value: float
    unit: str
    dimensions: dict[str, str]


def metrics_of_line(line: str, filters: list[Mapping[str, Any]]) -> Iterator[Datum]:
    """The metrics of a log line: those it embeds, and those that the log group's ``filters`` make of it."""
    try:
        fields = json.loads(line)
    except ValueError:
        return
    if not isinstance(fields, dict):
        return
    yield from _embedded(fields)
    for one in filters:
        if matches_pattern(str(one["filterPattern"]), fields):
            for made in one["metricTransformations"]:
                yield from _filtered(made, fields)


def matches_pattern(pattern: str, fields: Mapping[str, Any]) -> bool:
    """Whether a JSON line passes ``{ ($.a = "x") || ($.b = "y") }``.

    Raises ``ValueError`` for a pattern that is not built like this: what is not understood must not pass for silence.
    """
    if re.fullmatch(rf"\{{\s*{_TERM}(\s*\|\|\s*{_TERM})*\s*\}}", pattern) is None:
        raise ValueError(f"a filter pattern that is not understood here: {pattern}")
    return any(fields.get(name) == value for name, value in re.findall(_TERM, pattern))


def _embedded(fields: Mapping[str, Any]) -> Iterator[Datum]:
    for directive in fields.get("_aws", {}).get("CloudWatchMetrics", []):
        for metric in directive["Metrics"]:
            for names in directive["Dimensions"]:
                yield Datum(
                    directive["Namespace"],
                    metric["Name"],
                    float(fields[metric["Name"]]),
                    metric.get("Unit", "None"),
                    {name: str(fields[name]) for name in names},
                )


def _filtered(made: Mapping[str, Any], fields: Mapping[str, Any]) -> Iterator[Datum]:
    """Nothing where the line lacks the value, or a dimension."""
    named = {one: key for one, key in _dimensions(made).items()}
    dimensions = {one: _of(key, fields) for one, key in named.items()}
    value = _of(str(made["metricValue"]), fields)
    if value is None or None in dimensions.values():
        return
    yield Datum(
        made["metricNamespace"],
        made["metricName"],
        float(value),
        made.get("unit", "None"),
        {name: str(value) for name, value in dimensions.items()},
    )


def _dimensions(made: Mapping[str, Any]) -> dict[str, str]:
    """A map, as the service takes it, or a list, as a template has it."""
    dimensions = made.get("dimensions") or {}
    if isinstance(dimensions, list):
        return {one["Key"]: one["Value"] for one in dimensions}
    return dict(dimensions)


def _of(key: str, fields: Mapping[str, Any]) -> Any:
    return fields.get(key[2:]) if key.startswith("$.") else key
