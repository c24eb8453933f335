"""Every alarm notifies: set to another state it publishes what the topic delivers, and it is set back.

https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_SetAlarmState.html
"""

from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from typing import Any

from . import deployments
from .place import Place
from .results import Check, Failed, Skipped, Unknown, run

GROUP = "alarms"
NOTIFICATION_SECONDS = 90
BACK_SECONDS = 10
_METRIC, _COMPOSITE = "AWS::CloudWatch::Alarm", "AWS::CloudWatch::CompositeAlarm"


def checks(place: Place) -> Iterator[Check]:
    names = {alarm.physical_id.rsplit(":alarm:", 1)[-1]: alarm for alarm in place.of_type(_METRIC)}
    alone = [name for name, alarm in names.items() if alarm.properties.get("AlarmActions")]
    members = [name for name in names if name not in alone]
    yield run(GROUP, f"{len(alone)} alarms send notifications", _ring_each, place, alone)
    for composite in place.of_type(_COMPOSITE):
        name = composite.physical_id.rsplit(":alarm:", 1)[-1]
        row = f"{name} follows its members"
        yield run(GROUP, row, _ring_through_member, place, name, members)


def _ring_each(place: Place, alarms: Sequence[str]) -> str:
    """All at once: each is set to another state, and back as soon as all notifications have arrived."""
    if not alarms:
        raise Skipped("no alarm has actions of its own")
    deployments.check_none_runs(place)
    states = _states(place, alarms)
    undo = []
    for name, state in states.items():
        undo.append(place.cleanup.add(f"set {name} back", lambda name=name: _set(place, name, states[name])))  # type: ignore[misc]
        # One in ALARM is set to OK: that publishes, too, and so does the way back.
        _set(place, name, "OK" if state == "ALARM" else "ALARM")
    place.wait(lambda: not _silent(place, states), NOTIFICATION_SECONDS)
    for set_back in undo:
        set_back()
    # One without an action for OK that was in ALARM notifies on its way back only.
    place.wait(lambda: not _silent(place, states), BACK_SECONDS)
    problems = [f"{name} does not exist" for name in alarms if name not in states]
    problems += [f"{name} sent no notification: {_why(place, name)}" for name in _silent(place, states)]
    if problems:
        raise Failed("; ".join(problems))
    return "a notification of each arrived, each was set back"


def _silent(place: Place, alarms: Iterable[str]) -> list[str]:
    """Those of which no notification has arrived."""
    notified = _notified(place)
    return sorted(name for name in alarms if name not in notified)


def _ring_through_member(place: Place, composite: str, members: Sequence[str]) -> str:
    """A composite alarm follows its members: set by hand, it would not come back by itself."""
    states = _states(place, [composite, *members])
    if composite not in states:
        raise Failed(f"{composite} does not exist")
    if states[composite] == "ALARM":
        raise Unknown("it is in ALARM now; repeat this when the incident is over: --only alarms")
    member = next((name for name in members if states.get(name) not in (None, "ALARM")), None)
    if member is None:
        raise Failed(f"none of its members exists, or is not in ALARM: {', '.join(members)}")
    deployments.check_none_runs(place)
    with place.cleanup.after(f"set {member} back", lambda: _set(place, member, states[member])):
        _set(place, member, "ALARM")
        if not place.wait(lambda: composite in _notified(place), NOTIFICATION_SECONDS):
            raise Failed(f"no notification of {composite} while {member} was in ALARM: {_why(place, composite)}")
    return f"a notification arrived while {member} was in ALARM"


def _states(place: Place, alarms: Sequence[str]) -> dict[str, str]:
    answer = place.client("cloudwatch").describe_alarms(
        AlarmNames=list(alarms), AlarmTypes=["MetricAlarm", "CompositeAlarm"], MaxRecords=100
    )
    described = [*answer["MetricAlarms"], *answer.get("CompositeAlarms", [])]
    return {alarm["AlarmName"]: alarm["StateValue"] for alarm in described}


def _set(place: Place, alarm: str, state: str) -> None:
    reason = f"scripts/verify.sh {place.environment}, run {place.run_id}: a test, nothing is wrong"
    place.client("cloudwatch").set_alarm_state(AlarmName=alarm, StateValue=state, StateReason=reason)


def _notified(place: Place) -> set[str]:
    return {str(message["AlarmName"]) for message in place.mailbox.messages() if "AlarmName" in message}


def _why(place: Place, alarm: str) -> str:
    """What CloudWatch says of the alarm's last action."""
    pages: Any = place.client("cloudwatch").describe_alarm_history(
        AlarmName=alarm,
        AlarmTypes=["MetricAlarm", "CompositeAlarm"],
        HistoryItemType="Action",
        StartDate=datetime.fromtimestamp(place.started_at, UTC),
        MaxRecords=1,
    )
    items = pages.get("AlarmHistoryItems", [])
    if items:
        return str(items[0]["HistorySummary"])
    return "CloudWatch's history has no action of it; has it AlarmActions, and may it publish by the topic's policy?"
