"""A deployment that runs is not rolled back by the alarms that a run sets off: nothing is written while one does."""

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from click.testing import CliRunner

from scripts.common.errors import UserError
from scripts.verify import alarms, cli, payments, runner
from scripts.verify.expected import Expected
from scripts.verify.place import Place
from scripts.verify.results import Check, Status
from tests.verify.places import CloudFormation, place_of

BUSY = [
    ("UPDATE_IN_PROGRESS", "UPDATE_COMPLETE"),
    ("UPDATE_COMPLETE", "UPDATE_IN_PROGRESS"),
    ("UPDATE_COMPLETE_CLEANUP_IN_PROGRESS", "UPDATE_COMPLETE"),
    ("UPDATE_ROLLBACK_IN_PROGRESS", "UPDATE_COMPLETE"),
]


def busy_place(monkeypatch: pytest.MonkeyPatch, root: str, nested: str) -> Place:
    monkeypatch.setattr(Place, "open_clients", lambda _: None)
    # No client but this: a write would be an AttributeError of None.
    return place_of({"cloudformation": CloudFormation(root, nested)})


def one_check(_: Place) -> Iterator[Check]:
    yield Check("alarms", "a check", Status.OK, "")


@pytest.mark.parametrize(("root", "nested"), BUSY)
def test_nothing_is_written_while_a_stack_is_busy(root: str, nested: str, monkeypatch: pytest.MonkeyPatch) -> None:
    place = busy_place(monkeypatch, root, nested)
    with pytest.raises(UserError, match=r"IN_PROGRESS.*scripts/deploy\.sh dev --follow"):
        runner.run(place, runner.selected(["alarms"]))
    assert place.cleanup.problems == []


def test_the_command_ends_in_one_line_and_1(monkeypatch: pytest.MonkeyPatch) -> None:
    place = busy_place(monkeypatch, "UPDATE_IN_PROGRESS", "UPDATE_IN_PROGRESS")
    monkeypatch.setattr(cli, "reach_environment", lambda *_, **__: None)
    monkeypatch.setattr(cli, "_place", lambda *_: place)
    result = CliRunner().invoke(cli.main, ["dev", "--yes", "--only", "reconciliation"])
    assert result.exit_code == 1
    assert result.stderr.splitlines()[-1].startswith("verify: a deployment is running, ")
    assert result.stdout == ""


@pytest.mark.parametrize(("reads_only", "writes"), [(True, "sets every alarm"), (False, "")])
def test_a_run_that_only_reads_goes_on(reads_only: bool, writes: str, monkeypatch: pytest.MonkeyPatch) -> None:
    place = busy_place(monkeypatch, *BUSY[0])
    place.read_only = reads_only
    group = runner.Group("alarms", one_check, 1, writes, reads_too=True)
    assert [check.status for check in runner.run(place, [group])] == [Status.OK]


@pytest.mark.parametrize("module", [alarms, payments], ids=["alarms", "payments"])
def test_a_deployment_that_began_meanwhile_makes_the_group_unknown(
    module: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    written: list[str] = []
    cloudwatch = SimpleNamespace(
        describe_alarms=lambda AlarmNames, **_: {
            "MetricAlarms": [{"AlarmName": name, "StateValue": "OK"} for name in AlarmNames if name != "both"],
            "CompositeAlarms": [{"AlarmName": "both", "StateValue": "OK"}] if "both" in AlarmNames else [],
        },
        set_alarm_state=lambda AlarmName, **_: written.append(AlarmName),
    )
    workflow = SimpleNamespace(start_execution=lambda name, **_: written.append(name))
    clients = {"cloudformation": CloudFormation(*BUSY[1]), "cloudwatch": cloudwatch, "stepfunctions": workflow}
    place = place_of(clients, *alarm_resources())
    monkeypatch.setattr(place, "wait", lambda *_: None)
    place.mailbox = SimpleNamespace(messages=list)
    checks = list(module.checks(place))
    assert {check.status for check in checks} == {Status.UNKNOWN}
    assert all("a deployment is running" in check.seen for check in checks)
    assert written == []


def alarm_resources() -> list[Expected]:
    actions = {"AlarmActions": ["topic"]}
    return [
        Expected("Monitoring/Alone", "AWS::CloudWatch::Alarm", "alone", actions),
        Expected("Monitoring/Member", "AWS::CloudWatch::Alarm", "member", {}),
        Expected("Monitoring/Both", "AWS::CloudWatch::CompositeAlarm", "both", actions),
    ]
