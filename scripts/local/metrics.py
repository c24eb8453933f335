"""Turns the lines that functions log into metrics, as CloudWatch does.

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
    """Yield the metrics that a log line embeds, and those that the log group's ``filters`` make of it."""
    try:
        fields = json.loads(line)
    except ValueError:
        return
    if not isinstance(fields, dict):
        return
    yield from _embedded_metrics(fields)
    for metric_filter in filters:
        if matches_pattern(str(metric_filter["filterPattern"]), fields):
            for transformation in metric_filter["metricTransformations"]:
                yield from _filtered_metrics(transformation, fields)


def matches_pattern(pattern: str, fields: Mapping[str, Any]) -> bool:
    """Return whether the fields of a JSON line match a pattern such as ``{ ($.a = "x") || ($.b = "y") }``.

    Raises ``ValueError`` for any other form of pattern: an unsupported filter must not look like a silent one.
    """
    if re.fullmatch(rf"\{{\s*{_TERM}(\s*\|\|\s*{_TERM})*\s*\}}", pattern) is None:
        raise ValueError(f"this filter pattern is not supported: {pattern}")
    return any(fields.get(name) == value for name, value in re.findall(_TERM, pattern))


def _embedded_metrics(fields: Mapping[str, Any]) -> Iterator[Datum]:
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


def _filtered_metrics(transformation: Mapping[str, Any], fields: Mapping[str, Any]) -> Iterator[Datum]:
    """Yield the metric, unless the line lacks the value or a dimension."""
    keys = transformation.get("dimensions") or {}
    if isinstance(keys, list):  # as in a template; the API takes a map
        keys = {dimension["Key"]: dimension["Value"] for dimension in keys}
    dimensions = {name: _select_value(key, fields) for name, key in keys.items()}
    value = _select_value(str(transformation["metricValue"]), fields)
    if value is None or None in dimensions.values():
        return
    yield Datum(
        transformation["metricNamespace"],
        transformation["metricName"],
        float(value),
        transformation.get("unit", "None"),
        {name: str(value) for name, value in dimensions.items()},
    )


def _select_value(selector: str, fields: Mapping[str, Any]) -> Any:
    """Return the field that ``$.name`` selects, or None without such a field; other selectors are literal values."""
    return fields.get(selector[2:]) if selector.startswith("$.") else selector
