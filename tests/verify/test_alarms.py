"""Every alarm is set to another state and back, and one that notifies nobody is named."""

from collections.abc import Sequence
from typing import Any

import pytest

from scripts.verify import alarms
from scripts.verify.expected import Expected
from scripts.verify.results import Status
from tests.verify.places import CloudFormation, place_of

ACTIONS = {"AlarmActions": ["topic"]}
ALONE = [
    Expected(f"Monitoring/{name}", "AWS::CloudWatch::Alarm", name, ACTIONS) for name in ("quiet", "ringing", "unknown")
]
MEMBER = Expected("Monitoring/Member", "AWS::CloudWatch::Alarm", "member", {})
BOTH = Expected("Monitoring/Both", "AWS::CloudWatch::CompositeAlarm", "both", ACTIONS)


class CloudWatch:
    """An alarm notifies when its state changes, and not when it is set to the state that it has."""

    def __init__(self, mute: Sequence[str] = ()) -> None:
        self.states = {"quiet": "OK", "ringing": "ALARM", "unknown": "INSUFFICIENT_DATA", "member": "OK", "both": "OK"}
        self.changes: list[tuple[str, str]] = []
        self._mute, self._messages = mute, list[dict[str, Any]]()

    def describe_alarms(self, AlarmNames: list[str], **_: Any) -> dict[str, Any]:
        described = [{"AlarmName": name, "StateValue": self.states[name]} for name in AlarmNames]
        return {"MetricAlarms": described}

    def set_alarm_state(self, AlarmName: str, StateValue: str, **_: Any) -> None:
        if self.states[AlarmName] == StateValue:
            return
        self.states[AlarmName] = StateValue
        self.changes.append((AlarmName, StateValue))
        if AlarmName == "member":
            self.set_alarm_state("both", StateValue)
        elif AlarmName not in self._mute:
            self._messages.append({"AlarmName": AlarmName})

    def describe_alarm_history(self, **_: Any) -> dict[str, Any]:
        return {}

    def messages(self) -> list[dict[str, Any]]:
        return self._messages


def run_checks(cloudwatch: CloudWatch, monkeypatch: pytest.MonkeyPatch) -> dict[str, tuple[Status, str]]:
    monkeypatch.setattr(alarms, "NOTIFICATION_SECONDS", 0)
    monkeypatch.setattr(alarms, "BACK_SECONDS", 0)
    clients = {"cloudwatch": cloudwatch, "cloudformation": CloudFormation()}
    place = place_of(clients, *ALONE, MEMBER, BOTH)
    place.mailbox = cloudwatch
    return {check.name: (check.status, check.seen) for check in alarms.checks(place)}


def test_each_alarm_goes_to_another_state_and_back(monkeypatch: pytest.MonkeyPatch) -> None:
    cloudwatch = CloudWatch()
    before = dict(cloudwatch.states)
    checks = run_checks(cloudwatch, monkeypatch)
    assert {status for status, _ in checks.values()} == {Status.OK}, checks
    assert set(cloudwatch.changes) == {
        *(("quiet", "ALARM"), ("quiet", "OK"), ("ringing", "OK"), ("ringing", "ALARM")),
        *(("unknown", "ALARM"), ("unknown", "INSUFFICIENT_DATA")),
        *(("member", "ALARM"), ("member", "OK"), ("both", "ALARM"), ("both", "OK")),
    }
    assert cloudwatch.states == before


@pytest.mark.parametrize("mute", ["quiet", "both"])
def test_an_alarm_that_notifies_nobody_is_named_and_set_back(mute: str, monkeypatch: pytest.MonkeyPatch) -> None:
    cloudwatch = CloudWatch(mute=[mute])
    before = dict(cloudwatch.states)
    checks = run_checks(cloudwatch, monkeypatch)
    assert [mute in seen for status, seen in checks.values() if status is Status.FAILED] == [True]
    assert cloudwatch.states == before
