"""Every alarm notifies: it is set to another state, its notification arrives, and it is set back.

https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_SetAlarmState.html
"""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack
from datetime import UTC, datetime
from functools import partial

from scripts.common.clients import StateValueType

from .results import Check, Failed, Skipped, Unknown, run_check
from .run import Run

GROUP = "alarms"
NOTIFICATION_SECONDS = 90
BACK_SECONDS = 10
_METRIC, _COMPOSITE = "AWS::CloudWatch::Alarm", "AWS::CloudWatch::CompositeAlarm"


def checks(run: Run) -> Iterator[Check]:
    names = {alarm.physical_id.rsplit(":alarm:", 1)[-1]: alarm for alarm in run.select_resources(_METRIC)}
    notifying = [name for name, alarm in names.items() if alarm.properties.get("AlarmActions")]
    members = [name for name in names if name not in notifying]
    yield run_check(GROUP, f"{len(notifying)} alarms send notifications", _check_each_alarm, run, notifying)
    for composite in run.select_resources(_COMPOSITE):
        name = composite.physical_id.rsplit(":alarm:", 1)[-1]
        row = f"{name} follows its members"
        yield run_check(GROUP, row, _check_composite_alarm, run, name, members)


def _check_each_alarm(run: Run, alarms: Sequence[str]) -> str:
    """Set all alarms to another state at once, and back after all notifications have arrived."""
    if not alarms:
        raise Skipped("no alarm has actions of its own")
    run.check_no_deployment()
    states = _read_states(run, alarms)
    with ExitStack() as changes:
        for name, state in states.items():
            # An alarm in ALARM notifies when it is set to OK and back.
            changes.enter_context(_change_state(run, name, state, "OK" if state == "ALARM" else "ALARM"))
        run.wait_for(lambda: not _find_silent(run, states), NOTIFICATION_SECONDS)
    # An alarm that was in ALARM and has no action for OK notifies only when it is set back.
    run.wait_for(lambda: not _find_silent(run, states), BACK_SECONDS)
    problems = [f"{name} does not exist" for name in alarms if name not in states]
    problems += [
        f"{name} sent no notification: {_describe_last_action(run, name)}" for name in _find_silent(run, states)
    ]
    if problems:
        raise Failed("; ".join(problems))
    return "a notification of each arrived, each was set back"


def _find_silent(run: Run, alarms: Iterable[str]) -> list[str]:
    """Return the alarms without a notification so far."""
    notified = _notified_alarms(run)
    return sorted(name for name in alarms if name not in notified)


def _check_composite_alarm(run: Run, composite: str, members: Sequence[str]) -> str:
    """Set a member to ALARM, because a composite alarm that is set itself would not return by itself."""
    states = _read_states(run, [composite, *members])
    if composite not in states:
        raise Failed(f"{composite} does not exist")
    if states[composite] == "ALARM":
        raise Unknown("it is in ALARM now; repeat this when the incident is over: --only alarms")
    member = next((name for name in members if states.get(name) not in (None, "ALARM")), None)
    if member is None:
        raise Failed(f"none of its members exists, or is not in ALARM: {', '.join(members)}")
    run.check_no_deployment()
    with _change_state(run, member, states[member], "ALARM"):
        if not run.wait_for(lambda: composite in _notified_alarms(run), NOTIFICATION_SECONDS):
            raise Failed(
                f"no notification of {composite} while {member} was in ALARM: {_describe_last_action(run, composite)}"
            )
    return f"a notification arrived while {member} was in ALARM"


def _read_states(run: Run, alarms: Sequence[str]) -> dict[str, StateValueType]:
    answer = run.client("cloudwatch").describe_alarms(
        AlarmNames=list(alarms), AlarmTypes=["MetricAlarm", "CompositeAlarm"], MaxRecords=100
    )
    described = [*answer["MetricAlarms"], *answer.get("CompositeAlarms", [])]
    return {alarm["AlarmName"]: alarm["StateValue"] for alarm in described}


def _change_state(
    run: Run, alarm: str, state: StateValueType, other_state: StateValueType
) -> AbstractContextManager[None]:
    """Set an alarm from its state to another one for a ``with`` block."""
    set_state = partial(_set_state, run, alarm)
    return run.cleanup.undo_after(f"set {alarm} back", lambda: set_state(other_state), lambda: set_state(state))


def _set_state(run: Run, alarm: str, state: StateValueType) -> None:
    reason = f"scripts/verify.sh {run.environment}, run {run.id}: a test, nothing is wrong"
    run.client("cloudwatch").set_alarm_state(AlarmName=alarm, StateValue=state, StateReason=reason)


def _notified_alarms(run: Run) -> set[str]:
    return {str(message["AlarmName"]) for message in run.mailbox.receive_messages() if "AlarmName" in message}


def _describe_last_action(run: Run, alarm: str) -> str:
    """Return CloudWatch's summary of the alarm's last action."""
    history = run.client("cloudwatch").describe_alarm_history(
        AlarmName=alarm,
        AlarmTypes=["MetricAlarm", "CompositeAlarm"],
        HistoryItemType="Action",
        StartDate=datetime.fromtimestamp(run.started_at, UTC),
        MaxRecords=1,
    )
    items = history.get("AlarmHistoryItems", [])
    if items:
        return str(items[0]["HistorySummary"])
    return "CloudWatch's history has no action of the alarm; check its AlarmActions and the topic's policy"
