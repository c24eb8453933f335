"""A run writes nothing during a deployment, because its alarms would roll the deployment back."""

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from click.testing import CliRunner

from scripts.common.errors import UserError
from scripts.common.requests import RequestLog
from scripts.local import choose_target
from scripts.verify import alarms, cli, payments, runner
from scripts.verify.expected import Expected
from scripts.verify.results import Check, Status
from scripts.verify.run import Run
from tests.verify.runs import CloudFormation, make_run

BUSY = [
    ("UPDATE_IN_PROGRESS", "UPDATE_COMPLETE"),
    ("UPDATE_COMPLETE", "UPDATE_IN_PROGRESS"),
    ("UPDATE_COMPLETE_CLEANUP_IN_PROGRESS", "UPDATE_COMPLETE"),
    ("UPDATE_ROLLBACK_IN_PROGRESS", "UPDATE_COMPLETE"),
]


def make_busy_run(monkeypatch: pytest.MonkeyPatch, root: str, nested: str) -> Run:
    # A write needs another client and fails.
    return make_run({"cloudformation": CloudFormation(root, nested)})


def make_check(_: Run) -> Iterator[Check]:
    yield Check("alarms", "a check", Status.OK, "")


@pytest.mark.parametrize(("root", "nested"), BUSY)
def test_nothing_is_written_while_a_stack_is_busy(root: str, nested: str, monkeypatch: pytest.MonkeyPatch) -> None:
    run = make_busy_run(monkeypatch, root, nested)
    with pytest.raises(UserError, match=r"IN_PROGRESS.*scripts/deploy\.sh follow dev"):
        runner.run_groups(run, runner.select_groups(["alarms"]))
    assert run.cleanup.problems == []


def test_the_command_fails_in_one_line_during_a_deployment(monkeypatch: pytest.MonkeyPatch) -> None:
    run = make_busy_run(monkeypatch, "UPDATE_IN_PROGRESS", "UPDATE_IN_PROGRESS")
    monkeypatch.setattr(choose_target, "reach_environment", lambda *_, **__: SimpleNamespace(requests=RequestLog()))
    monkeypatch.setattr(cli, "_prepare_run", lambda *_: run)
    result = CliRunner().invoke(cli.main, ["dev", "--yes", "--only", "reconciliation"])
    assert result.exit_code == 1
    assert result.stderr.splitlines()[-1].startswith("verify: a deployment is running, ")
    assert result.stdout == ""


@pytest.mark.parametrize(("reads_only", "writes"), [(True, "sets every alarm"), (False, "")])
def test_a_read_only_run_continues_during_a_deployment(
    reads_only: bool, writes: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = make_busy_run(monkeypatch, *BUSY[0])
    run.read_only = reads_only
    group = runner.Group("alarms", make_check, 1, writes, reads_too=True)
    assert [check.status for check in runner.run_groups(run, [group])] == [Status.OK]


@pytest.mark.parametrize("module", [alarms, payments], ids=["alarms", "payments"])
def test_a_deployment_that_begins_during_the_run_makes_the_group_unknown(
    module: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    writes: list[str] = []
    cloudwatch = SimpleNamespace(
        describe_alarms=lambda AlarmNames, **_: {
            "MetricAlarms": [{"AlarmName": name, "StateValue": "OK"} for name in AlarmNames if name != "composite"],
            "CompositeAlarms": [{"AlarmName": "composite", "StateValue": "OK"}] if "composite" in AlarmNames else [],
        },
        set_alarm_state=lambda AlarmName, **_: writes.append(AlarmName),
    )
    workflow = SimpleNamespace(start_execution=lambda name, **_: writes.append(name))
    clients = {"cloudformation": CloudFormation(*BUSY[1]), "cloudwatch": cloudwatch, "stepfunctions": workflow}
    run = make_run(clients, *make_alarms())
    monkeypatch.setattr(run, "wait_for", lambda *_: None)
    run.mailbox = SimpleNamespace(receive_messages=list)
    checks = list(module.checks(run))
    assert {check.status for check in checks} == {Status.UNKNOWN}
    assert all("a deployment is running" in check.observation for check in checks)
    assert writes == []


def make_alarms() -> list[Expected]:
    actions = {"AlarmActions": ["topic"]}
    return [
        Expected("Monitoring/Notifying", "AWS::CloudWatch::Alarm", "notifying", actions),
        Expected("Monitoring/Member", "AWS::CloudWatch::Alarm", "member", {}),
        Expected("Monitoring/Composite", "AWS::CloudWatch::CompositeAlarm", "composite", actions),
    ]
