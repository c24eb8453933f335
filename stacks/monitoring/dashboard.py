"""The dashboard's body as ``Fn::Sub`` text. It shows whether payments succeed, how fast, what is stuck and what broke.

https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/CloudWatch-Dashboard-Body-Structure.html
"""

import json
import re
from dataclasses import dataclass, field
from typing import Any

from .. import names
from .alarms import ALARMS

WIDTH = 24
_ENVIRONMENT = ("Environment", "${Environment}")
_GREEN, _ORANGE, _RED, _GREY, _BLUE = "#2ca02c", "#ff7f0e", "#d62728", "#7f7f7f", "#1f77b4"
_OUTCOMES = {
    "COMPLETED": _GREEN, "DECLINED": _BLUE, "ACTION_REQUIRED": "#17becf", "REJECTED": _GREY,
    "UNKNOWN": _ORANGE, "FAILED": _RED, "REVIEW": "#9467bd",
}  # fmt: skip
_PLACE_OF_CONDITIONAL_ALARMS = "conditional alarms"
_ALARM_ARN = "arn:${AWS::Partition}:cloudwatch:${AWS::Region}:${AWS::AccountId}:alarm:"


@dataclass(frozen=True)
class Metric:
    """One line of a graph. ``dimensions`` are alternating names and values, as in the dashboard's JSON."""

    namespace: str
    name: str
    dimensions: tuple[str, ...]
    stat: str
    label: str
    color: str | None = None
    id: str | None = None
    visible: bool = True

    def to_array(self) -> list[Any]:
        options: dict[str, Any] = {"stat": self.stat, "label": self.label}
        options |= {"color": self.color} if self.color else {}
        options |= {"id": self.id} if self.id else {}
        options |= {} if self.visible else {"visible": False}
        return [self.namespace, self.name, *self.dimensions, options]


@dataclass(frozen=True)
class Expression:
    """A line calculated from metrics of the same graph by their ids."""

    expression: str
    label: str
    color: str | None = None

    def to_array(self) -> list[Any]:
        color = {"color": self.color} if self.color else {}
        return [{"expression": self.expression, "label": self.label, **color}]


@dataclass(frozen=True)
class Graph:
    """Lines over time. ``threshold`` is the parameter of the alarm's threshold, drawn as a horizontal line."""

    title: str
    lines: tuple[Metric | Expression, ...]
    unit: str
    threshold: str | None = None
    stacked: bool = False
    width: int = 8
    height: int = 6
    # The maximum of the left axis; None lets CloudWatch choose.
    top: int | None = None

    def describe(self) -> dict[str, Any]:
        axis: dict[str, Any] = {"label": self.unit, "showUnits": False, "min": 0}
        properties: dict[str, Any] = {
            "title": self.title,
            "region": "${AWS::Region}",
            "view": "timeSeries",
            "stacked": self.stacked,
            "period": 300,
            "yAxis": {"left": axis | ({"max": self.top} if self.top else {})},
            "metrics": [line.to_array() for line in self.lines],
        }
        if self.threshold:
            across = {"label": "alarm above", "value": _number_of(self.threshold), "color": _RED}
            properties["annotations"] = {"horizontal": [across]}
        return {"type": "metric", "properties": properties}


@dataclass(frozen=True)
class Heading:
    """Markdown across the dashboard: the question that the widgets below answer."""

    markdown: str
    width: int = WIDTH
    height: int = 1

    def describe(self) -> dict[str, Any]:
        return {"type": "text", "properties": {"markdown": self.markdown, "background": "transparent"}}


@dataclass(frozen=True)
class AlarmStates:
    """The states of alarms."""

    title: str
    alarms: tuple[str, ...]
    width: int = WIDTH
    height: int = 4

    def describe(self) -> dict[str, Any]:
        arns = [_ALARM_ARN + name for name in self.alarms]
        return {"type": "alarm", "properties": {"title": self.title, "alarms": arns}}


Widget = Graph | Heading | AlarmStates


@dataclass
class Layout:
    """Rows of widgets, from the top; each row is as high as its highest widget."""

    widgets: list[dict[str, Any]] = field(default_factory=list)
    _y: int = 0

    def add_row(self, *widgets: Widget) -> None:
        x = 0
        for widget in widgets:
            self.widgets.append(
                {"x": x, "y": self._y, "width": widget.width, "height": widget.height, **widget.describe()}
            )
            x += widget.width
        self._y += max(widget.height for widget in widgets)


def write_body() -> str:
    """Return JSON with ``${...}`` for the parameters of the monitoring stack, and for ``conditional_alarms``."""
    layout = Layout()
    # Without the composite alarm, which does not exist in every environment and adds no information.
    alarms = (*(alarm.name for alarm in ALARMS if not alarm.condition), _PLACE_OF_CONDITIONAL_ALARMS)
    layout.add_row(Heading("## Are payments succeeding?"))
    layout.add_row(_outcomes_graph(), _share_completed_graph(), _executions_graph())
    layout.add_row(Heading("## How fast?"))
    layout.add_row(_durations_graph(), _gateway_latency_graph(), _attempts_graph())
    layout.add_row(Heading("## What is stuck?"))
    layout.add_row(_backlog_graph(), _age_graph(), _dead_letters_graph())
    layout.add_row(Heading("## What broke?"))
    layout.add_row(AlarmStates("Alarms", alarms))
    layout.add_row(_functions_graph(), _tables_graph(), _notices_graph())
    text = json.dumps({"widgets": layout.widgets}, indent=2)
    # One line for each metric, so that a change is easy to read.
    text = re.sub(r"\[\s+([^\[\]]+?)\s+\]", lambda innermost: f"[{' '.join(innermost[1].split())}]", text)
    text = text.replace(f', "{_ALARM_ARN}{_PLACE_OF_CONDITIONAL_ALARMS}"', "${BackupAlarms}")
    return re.sub(r'"number of (\$\{\w+\})"', r"\1", text)


def conditional_alarms() -> str:
    """Return the text that continues the list of alarms if backups are enabled."""
    return "".join(f', "{_ALARM_ARN}{alarm.name}"' for alarm in ALARMS if alarm.condition)


def _number_of(parameter: str) -> str:
    """Return a string that ``write_body`` replaces with a number, because JSON allows a parameter only in a string."""
    return f"number of ${{{parameter}}}"


def _platform_metric(name: str, stat: str, label: str, *dimensions: str, **options: Any) -> Metric:
    return Metric(names.METRIC_NAMESPACE, name, (*_ENVIRONMENT, *dimensions), stat, label, **options)


def _outcomes_graph() -> Graph:
    lines = (
        _platform_metric("Payments", "Sum", outcome, "Outcome", outcome, color=color)
        for outcome, color in _OUTCOMES.items()
    )
    return Graph("Payments by outcome", tuple(lines), "payments", stacked=True)


def _share_completed_graph() -> Graph:
    """Return the share of completed payments, without declined and rejected ones, which are no failure of the platform.

    A payment that was unknown and is settled later counts as both, so the line falls while the outcome is unknown.
    """
    counts = [
        _platform_metric("Payments", "Sum", outcome, "Outcome", outcome, id=outcome.lower(), visible=False)
        for outcome in ("COMPLETED", "UNKNOWN", "FAILED")
    ]
    share = Expression(
        "100 * FILL(completed, 0) / (FILL(completed, 0) + FILL(unknown, 0) + FILL(failed, 0))", "completed", _GREEN
    )
    return Graph("Completed, of completed, failed and unknown", (share, *counts), "percent", top=100)


def _executions_graph() -> Graph:
    machine = ("StateMachineArn", "${StateMachineArn}")
    colors = {"Started": _GREY, "Succeeded": _GREEN, "Failed": _RED, "TimedOut": _ORANGE, "Aborted": "#9467bd"}
    lines = (
        Metric("AWS/States", f"Executions{status}", machine, "Sum", status, color) for status, color in colors.items()
    )
    return Graph("Executions", tuple(lines), "executions")


def _durations_graph() -> Graph:
    lines = (_platform_metric("PaymentDuration", stat, stat) for stat in ("p50", "p90", "p99"))
    return Graph(
        "From the start of the execution to the outcome", tuple(lines), "seconds",
        threshold="PaymentDurationThresholdSeconds",
    )  # fmt: skip


def _gateway_latency_graph() -> Graph:
    charges = (
        _platform_metric("GatewayLatency", stat, f"charge {stat}", "Operation", "charge")
        for stat in ("p50", "p90", "p99")
    )
    lookups = _platform_metric("GatewayLatency", "p90", "lookup p90", "Operation", "lookup", color=_GREY)
    return Graph("The gateway's answers", (*charges, lookups), "milliseconds")


def _attempts_graph() -> Graph:
    lines = (_platform_metric("Attempts", stat, label) for stat, label in (("Average", "average"), ("Maximum", "most")))
    return Graph("Attempts that a payment took", tuple(lines), "attempts")


def _backlog_graph() -> Graph:
    return Graph(
        "Open payments",
        (
            _platform_metric("OpenPayments", "Maximum", "open"),
            _platform_metric("OverduePayments", "Maximum", "overdue", color=_ORANGE),
        ),
        "payments",
    )


def _age_graph() -> Graph:
    return Graph(
        "The oldest open payment",
        (_platform_metric("OldestOpenPaymentAge", "Maximum", "age"),),
        "seconds",
        threshold="OpenPaymentAgeThresholdSeconds",
    )


def _dead_letters_graph() -> Graph:
    queue = ("QueueName", "${QueueName}")
    return Graph(
        "Dead letters",
        (Metric("AWS/SQS", "ApproximateNumberOfMessagesVisible", queue, "Maximum", "waiting", _RED),),
        "messages",
    )


def _functions_graph() -> Graph:
    functions = {name: f"${{{name.capitalize()}Name}}" for name in ("validation", "processing", "reconciliation")}
    lines = (
        Metric("AWS/Lambda", metric, ("FunctionName", function), "Sum", f"{name} {metric.lower()}")
        for metric in ("Errors", "Throttles")
        for name, function in functions.items()
    )
    return Graph("Functions", tuple(lines), "in 5 minutes")


def _tables_graph() -> Graph:
    throttled = (
        ("ReadThrottleEvents", "${TableName}", "reads of payments"),
        ("WriteThrottleEvents", "${TableName}", "writes of payments"),
        ("WriteThrottleEvents", "${LedgerTableName}", "writes of the ledger"),
    )
    lines = [Metric("AWS/DynamoDB", name, ("TableName", table), "Sum", label) for name, table, label in throttled]
    index = ("TableName", "${TableName}", "GlobalSecondaryIndexName", names.OPEN_INDEX)
    lines.append(Metric("AWS/DynamoDB", "WriteThrottleEvents", index, "Sum", "writes of the index"))
    return Graph("Throttled by the tables", tuple(lines), "in 5 minutes")


def _notices_graph() -> Graph:
    topic = ("TopicName", "${TopicName}")
    return Graph(
        "Notices and reconciliation",
        (
            Metric("AWS/SNS", "NumberOfNotificationsDelivered", topic, "Sum", "notices delivered", _GREEN),
            Metric("AWS/SNS", "NumberOfNotificationsFailed", topic, "Sum", "notices not delivered", _RED),
            _platform_metric("ReconciliationRuns", "Sum", "runs of reconciliation", color=_BLUE),
            _platform_metric("ReconciliationErrors", "Sum", "payments it failed at", color=_ORANGE),
        ),
        "in 5 minutes",
    )
