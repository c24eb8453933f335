"""The kinds of alarms: one that watches a metric, and the one that rings once for all that an incident sets off."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from troposphere import Equals, If, Ref, Sub, Template, cloudwatch

from .. import names
from ..suppressions import suppress
from ..wiring import Value, tags

PERIOD_SECONDS = 300
DAY_SECONDS = 86_400
# A whole day that began after the alarm's creation, and the hours of the night in which it may be created.
WARM_UP_MINUTES = 30 * 60
_ONE_PAGE = "OnePagePerIncident"


@dataclass(frozen=True, kw_only=True)
class Alarm:
    """An alarm on one metric, over ``periods`` of five minutes. ``title`` is its logical id without "Alarm"."""

    title: str
    name: str
    description: str
    namespace: str
    metric: str
    dimensions: dict[str, Value | str]
    threshold: Value | int
    statistic: str = "Sum"
    periods: int = 1
    comparison: str = "GreaterThanThreshold"
    # No payments is no data, and no alarm.
    missing_data: str = "notBreaching"
    # Whether it is a sign of payments failing now, and so a part of the composite alarm.
    payments_fail: bool = False
    tells_when_over: bool = True
    # Where the alarm is not in every environment: the condition under which it is created.
    condition: str = ""
    # Where a period is a day: the hour (UTC) at which the day ends.
    day_ends_at_hour: int | None = None

    @property
    def logical_id(self) -> str:
        return f"{self.title}Alarm"


def add(template: Template, alarm: Alarm, *, topic_arn: Value) -> cloudwatch.Alarm:
    """Rings at the topic, and says there when it is over; the composite alarm, where there is one, may do so for it."""
    tells: Value | list[Value] = [topic_arn]
    if alarm.payments_fail:
        tells = If(_ONE_PAGE, Ref("AWS::NoValue"), [topic_arn])
    condition: dict[str, Any] = {"Condition": alarm.condition} if alarm.condition else {}
    resource: cloudwatch.Alarm = template.add_resource(
        cloudwatch.Alarm(
            alarm.logical_id,
            AlarmName=names.named(alarm.name),
            AlarmDescription=_description(alarm.description, alarm.name),
            Namespace=alarm.namespace,
            MetricName=alarm.metric,
            Dimensions=[cloudwatch.MetricDimension(Name=key, Value=value) for key, value in alarm.dimensions.items()],
            Statistic=alarm.statistic,
            **_period(alarm),
            EvaluationPeriods=alarm.periods,
            ComparisonOperator=alarm.comparison,
            Threshold=alarm.threshold,
            TreatMissingData=alarm.missing_data,
            AlarmActions=tells,
            OKActions=tells if alarm.tells_when_over else Ref("AWS::NoValue"),
            Tags=tags(),
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


def _period(alarm: Alarm) -> dict[str, Any]:
    """Five minutes that slide; or whole days, after a first day and the hours of one backup that are not evaluated.

    https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/alarm-evaluation-window.html
    https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/alarm-warm-up.html
    """
    if alarm.day_ends_at_hour is None:
        return {"Period": PERIOD_SECONDS}
    # Midnight is at that hour in the time zone that is as many hours behind UTC.
    window = cloudwatch.WallClockWindow(Timezone=f"-{alarm.day_ends_at_hour:02}:00")
    return {
        "Period": DAY_SECONDS,
        "EvaluationWindow": cloudwatch.EvaluationWindow(WallClockWindow=window),
        "WarmUpConfiguration": cloudwatch.WarmUpConfiguration(
            WarmUpPeriodDurationInMinutes=WARM_UP_MINUTES, OnlyStartEvaluatingAfterWarmUpPeriodEnds=True
        ),
    }


def add_composite(template: Template, alarms: Sequence[Alarm], *, wanted: Value, topic_arn: Value) -> None:
    """One alarm that rings while any of those rings that payments fail by: one incident is one page.

    https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/Create_Composite_Alarm.html
    """
    template.add_condition(_ONE_PAGE, Equals(wanted, "true"))
    template.add_resource(
        cloudwatch.CompositeAlarm(
            "PaymentsFailingAlarm",
            Condition=_ONE_PAGE,
            AlarmName=names.named(names.PAYMENTS_FAILING_ALARM),
            AlarmDescription=_description("Payments are failing", names.PAYMENTS_FAILING_ALARM),
            AlarmRule=Sub(" OR ".join(f'ALARM("${{{one.logical_id}}}")' for one in alarms if one.payments_fail)),
            AlarmActions=[topic_arn],
            OKActions=[topic_arn],
            Tags=tags(),
        )
    )


def _description(text: str, name: str) -> Sub:
    """With the section of the runbook that says what to do: it is headed by the alarm's name."""
    return Sub(f"{text}. What to do: ${{RunbookUrl}}#{names.without_environment(name)}")
