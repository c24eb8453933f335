"""Turns the rows of alarms.py into resources, and adds the composite alarm that sends one page per incident."""

from typing import Any

from troposphere import Equals, If, Ref, Sub, Template, cloudwatch

from .. import names, references
from ..setting_kinds import Setting
from ..suppressions import suppress
from ..wiring import Value, platform_tags
from .alarms import ALARMS, COMPOSITE, Alarm, in_every_environment

PERIOD_SECONDS = 300
DAY_SECONDS = 86_400
# A whole day after the alarm's creation, and the hours of the backup during which it may be created.
WARM_UP_MINUTES = 30 * 60
_ONE_PAGE = "OnePagePerIncident"
# The template contains the alarms by service, and for each service in the order of the table.
_SERVICES = ("AWS/States", "AWS/Lambda", names.METRIC_NAMESPACE, "AWS/SQS", "AWS/SNS", "AWS/DynamoDB", "AWS/Backup")
_ORDER = {service: place for place, service in enumerate(_SERVICES)} | {"AWS/SNS": _SERVICES.index("AWS/SQS")}


def add_alarms(template: Template, topic_arn: Value) -> dict[str, cloudwatch.Alarm]:
    """Add every row of the table. Returns the alarms by logical id."""
    rows = sorted(ALARMS, key=lambda alarm: _ORDER.get(alarm.source.namespace, len(_ORDER)))
    return {alarm.logical_id: _add_alarm(template, alarm, topic_arn) for alarm in rows}


def _add_alarm(template: Template, alarm: Alarm, topic_arn: Value) -> cloudwatch.Alarm:
    actions: Value | list[Value] = [topic_arn]
    if alarm.payments_fail:
        actions = If(_ONE_PAGE, Ref("AWS::NoValue"), [topic_arn])
    condition: dict[str, Any] = {"Condition": alarm.condition} if alarm.condition else {}
    dimensions = alarm.source.dimensions.items()
    resource: cloudwatch.Alarm = template.add_resource(
        cloudwatch.Alarm(
            alarm.logical_id,
            AlarmName=references.in_template(alarm.name),
            AlarmDescription=_describe(alarm.description, alarm.section),
            Namespace=alarm.source.namespace,
            MetricName=alarm.metric,
            Dimensions=[cloudwatch.MetricDimension(Name=name, Value=value) for name, value in dimensions],
            Statistic=alarm.statistic,
            **_period_properties(alarm),
            EvaluationPeriods=alarm.periods,
            ComparisonOperator=alarm.comparison,
            Threshold=alarm.threshold.ref if isinstance(alarm.threshold, Setting) else alarm.threshold,
            TreatMissingData=alarm.missing_data,
            AlarmActions=actions,
            OKActions=actions if alarm.announces_ok else Ref("AWS::NoValue"),
            Tags=platform_tags(),
            **condition,
        )
    )
    if alarm.payments_fail:
        suppress(
            resource,
            "The composite alarm notifies on its behalf, so that one incident sends one page",
            nag=("NIST.800.53.R5-CloudWatchAlarmAction", "HIPAA.Security-CloudWatchAlarmAction"),
            guard=("cloudwatch_alarm_action_check",),
        )
    return resource


def _period_properties(alarm: Alarm) -> dict[str, Any]:
    """Return a sliding period of five minutes, or of whole days after a warm-up that is not evaluated.

    https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/alarm-evaluation-window.html
    https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/alarm-warm-up.html
    """
    if alarm.day_ends_at_hour is None:
        return {"Period": PERIOD_SECONDS}
    # That hour is midnight in the time zone that is as many hours behind UTC.
    window = cloudwatch.WallClockWindow(Timezone=f"-{alarm.day_ends_at_hour:02}:00")
    return {
        "Period": DAY_SECONDS,
        "EvaluationWindow": cloudwatch.EvaluationWindow(WallClockWindow=window),
        "WarmUpConfiguration": cloudwatch.WarmUpConfiguration(
            WarmUpPeriodDurationInMinutes=WARM_UP_MINUTES, OnlyStartEvaluatingAfterWarmUpPeriodEnds=True
        ),
    }


def add_composite(template: Template, *, enabled: Value, topic_arn: Value) -> None:
    """Add an alarm that is in ALARM while any alarm with ``payments_fail`` is, so that one incident sends one page.

    https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/Create_Composite_Alarm.html
    """
    template.add_condition(_ONE_PAGE, Equals(enabled, "true"))
    parts = [alarm.logical_id for alarm in ALARMS if alarm.payments_fail]
    template.add_resource(
        cloudwatch.CompositeAlarm(
            "PaymentsFailingAlarm",
            Condition=_ONE_PAGE,
            AlarmName=references.in_template(in_every_environment(COMPOSITE)),
            AlarmDescription=_describe("Payments are failing", COMPOSITE),
            AlarmRule=Sub(" OR ".join(f'ALARM("${{{logical_id}}}")' for logical_id in parts)),
            AlarmActions=[topic_arn],
            OKActions=[topic_arn],
            Tags=platform_tags(),
        )
    )


def _describe(description: str, section: str) -> Sub:
    """Return the description with a link to the runbook section."""
    return Sub(f"{description}. What to do: ${{RunbookUrl}}#{section}")
