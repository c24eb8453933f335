"""Every alarm is set to another state and back, and one that does not notify is named."""

from collections.abc import Sequence
from typing import Any

import pytest

from scripts.verify import alarms
from scripts.verify.expected import Expected
from scripts.verify.results import Status
from tests.verify.runs import CloudFormation, make_run

ACTIONS = {"AlarmActions": ["topic"]}
NOTIFYING = [
    Expected(f"Monitoring/{name}", "AWS::CloudWatch::Alarm", name, ACTIONS) for name in ("quiet", "ringing", "unknown")
]
MEMBER = Expected("Monitoring/Member", "AWS::CloudWatch::Alarm", "member", {})
COMPOSITE = Expected("Monitoring/Composite", "AWS::CloudWatch::CompositeAlarm", "composite", ACTIONS)


class CloudWatch:
    """An alarm notifies when its state changes, and not when it is set to the state that it has."""

    def __init__(self, silent: Sequence[str] = ()) -> None:
        self.states = {
            "quiet": "OK",
            "ringing": "ALARM",
            "unknown": "INSUFFICIENT_DATA",
            "member": "OK",
            "composite": "OK",
        }
        self.changes: list[tuple[str, str]] = []
        self._silent, self._messages = silent, list[dict[str, Any]]()

    def describe_alarms(self, AlarmNames: list[str], **_: Any) -> dict[str, Any]:
        described = [{"AlarmName": name, "StateValue": self.states[name]} for name in AlarmNames]
        return {"MetricAlarms": described}

    def set_alarm_state(self, AlarmName: str, StateValue: str, **_: Any) -> None:
        if self.states[AlarmName] == StateValue:
            return
        self.states[AlarmName] = StateValue
        self.changes.append((AlarmName, StateValue))
        if AlarmName == "member":
            self.set_alarm_state("composite", StateValue)
        elif AlarmName not in self._silent:
            self._messages.append({"AlarmName": AlarmName})

    def describe_alarm_history(self, **_: Any) -> dict[str, Any]:
        return {}

    def receive_messages(self) -> list[dict[str, Any]]:
        return self._messages


def run_checks(cloudwatch: CloudWatch, monkeypatch: pytest.MonkeyPatch) -> dict[str, tuple[Status, str]]:
    monkeypatch.setattr(alarms, "NOTIFICATION_SECONDS", 0)
    monkeypatch.setattr(alarms, "BACK_SECONDS", 0)
    clients = {"cloudwatch": cloudwatch, "cloudformation": CloudFormation()}
    run = make_run(clients, *NOTIFYING, MEMBER, COMPOSITE)
    run.mailbox = cloudwatch
    return {check.name: (check.status, check.observation) for check in alarms.checks(run)}


def test_each_alarm_goes_to_another_state_and_back(monkeypatch: pytest.MonkeyPatch) -> None:
    cloudwatch = CloudWatch()
    before = dict(cloudwatch.states)
    checks = run_checks(cloudwatch, monkeypatch)
    assert {status for status, _ in checks.values()} == {Status.OK}, checks
    assert set(cloudwatch.changes) == {
        *(("quiet", "ALARM"), ("quiet", "OK"), ("ringing", "OK"), ("ringing", "ALARM")),
        *(("unknown", "ALARM"), ("unknown", "INSUFFICIENT_DATA")),
        *(("member", "ALARM"), ("member", "OK"), ("composite", "ALARM"), ("composite", "OK")),
    }
    assert cloudwatch.states == before


@pytest.mark.parametrize("silent", ["quiet", "composite"])
def test_an_alarm_that_does_not_notify_is_named_and_set_back(silent: str, monkeypatch: pytest.MonkeyPatch) -> None:
    cloudwatch = CloudWatch(silent=[silent])
    before = dict(cloudwatch.states)
    checks = run_checks(cloudwatch, monkeypatch)
    assert [silent in observation for status, observation in checks.values() if status is Status.FAILED] == [True]
    assert cloudwatch.states == before
