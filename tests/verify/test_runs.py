"""How a run ends: what it changed is undone once, it stops when told to, and writes nothing when it must not."""

import io
import threading
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from botocore.exceptions import ClientError
from click.testing import CliRunner
from rich.console import Console

from scripts.common.errors import UserError
from scripts.deployer.rollout import Rollout
from scripts.verify import announcement, backups, cli, read_only, report, runner, schedule
from scripts.verify.cleanup import Cleanup
from scripts.verify.expected import Expected
from scripts.verify.place import Place
from scripts.verify.results import Check, Failed, Skipped, Status, Stopped, Unknown, run


def refused(code: str) -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": "not authorized to perform: iam:GetRole"}}, "GetRole")


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (Failed("x"), Status.FAILED),
        (Skipped("x"), Status.SKIPPED),
        (Unknown("x"), Status.UNKNOWN),
        (UserError("x"), Status.UNKNOWN),
        (refused("NoSuchEntity"), Status.FAILED),
        (refused("AccessDenied"), Status.UNKNOWN),
    ],
)
def test_what_a_check_raises_decides_its_status(error: Exception, status: Status) -> None:
    def look() -> str:
        raise error

    assert run("group", "name", look).status is status


def test_a_missing_permission_of_the_caller_is_named() -> None:
    def look() -> str:
        raise refused("AccessDenied")

    assert run("group", "name", look).seen == "not authorized: iam:GetRole; your role needs this permission"


def test_each_step_is_undone_once_and_the_latest_first() -> None:
    cleanup, undone = Cleanup(), []
    cleanup.add("first", lambda: undone.append("first"))
    undo_second = cleanup.add("second", lambda: undone.append("second"))
    with pytest.raises(Stopped), cleanup.after("third", lambda: undone.append("third")):
        raise Stopped
    cleanup.add("fourth", lambda: undone.append("fourth"))
    undo_second()
    cleanup.run()
    cleanup.run()
    assert undone == ["third", "second", "fourth", "first"]


def test_what_cannot_be_undone_is_told_and_the_rest_is_undone() -> None:
    cleanup, undone = Cleanup(), []
    cleanup.add("first", lambda: undone.append("first"))

    def fail() -> None:
        raise refused("AccessDenied")

    cleanup.add("delete the queue q", fail)
    cleanup.run()
    assert undone == ["first"]
    assert cleanup.problems == ["delete the queue q: not authorized: iam:GetRole; your role needs this permission"]


@pytest.mark.parametrize(
    "operation", ["SetAlarmState", "PutTargets", "ReceiveMessage", "StartExecution", "GetSecretValue"]
)
def test_what_is_not_a_read_is_refused(operation: str) -> None:
    assert not read_only.is_read(operation)


class Fake:
    """A place with made-up clients; ``stopped`` ends its waits."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, clients: dict[str, Any], *resources: Expected) -> None:
        platform = SimpleNamespace(
            environment="dev",
            client=clients.get,
            target=SimpleNamespace(gaps={}),
            dead_letter_queue_url="https://queue/payment-dlq-dev",
        )
        settings = {"BackupRetentionDays": "35", "Gateway": "simulator"}
        self.place = Place(platform, settings, Rollout())  # type: ignore[arg-type]
        self.place.__dict__["expected"] = {one.path: one for one in resources}
        self.place.mailbox = SimpleNamespace(arn="arn:aws:sqs:eu-west-1:1:payment-verify-x")
        monkeypatch.setattr(schedule, "UNDELIVERED_SECONDS", 0)
        monkeypatch.setattr(backups, "LONGEST_SECONDS", 0)


class Events:
    """EventBridge: an event for a target that refuses it goes to the target's dead-letter queue, or nowhere."""

    def __init__(self, queue: "Queue", *, reaches_queue: bool) -> None:
        self._queue, self._reaches_queue = queue, reaches_queue
        self.targets = [{"Id": "reconciliation", "Arn": "function"}, {"Id": "verify-killed", "Arn": "old"}]

    def list_targets_by_rule(self, **_: Any) -> dict[str, Any]:
        return {"Targets": self.targets}

    def put_targets(self, Targets: list[dict[str, Any]], **_: Any) -> dict[str, Any]:
        self.targets = [*self.targets, *Targets]
        for target in Targets if self._reaches_queue else []:
            self._queue.messages.append(letter("ours", target["Arn"]))
        return {"FailedEntryCount": 0}

    def remove_targets(self, Ids: list[str], **_: Any) -> None:
        self.targets = [one for one in self.targets if one["Id"] not in Ids]


def letter(name: str, target: str) -> dict[str, Any]:
    attributes = {"TARGET_ARN": {"StringValue": target}, "ERROR_CODE": {"StringValue": "NO_PERMISSIONS"}}
    return {"MessageId": name, "ReceiptHandle": name, "MessageAttributes": attributes}


class Queue:
    """SQS: what is received is hidden until its visibility is changed."""

    def __init__(self) -> None:
        self.messages = [letter("theirs", "their-target")]
        self.hidden: set[str] = set()

    def get_queue_attributes(self, **_: Any) -> dict[str, Any]:
        return {"Attributes": {"QueueArn": "arn:aws:sqs:eu-west-1:1:payment-dlq-dev"}}

    def receive_message(self, **_: Any) -> dict[str, Any]:
        received = [one for one in self.messages if one["MessageId"] not in self.hidden]
        self.hidden |= {one["MessageId"] for one in received}
        return {"Messages": received}

    def delete_message(self, ReceiptHandle: str, **_: Any) -> None:
        self.messages = [one for one in self.messages if one["ReceiptHandle"] != ReceiptHandle]

    def change_message_visibility(self, ReceiptHandle: str, **_: Any) -> None:
        self.hidden.discard(ReceiptHandle)


@pytest.mark.parametrize("reaches_queue", [True, False])
def test_an_undeliverable_event_is_seen_and_nothing_of_it_is_left(
    reaches_queue: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    queue = Queue()
    events = Events(queue, reaches_queue=reaches_queue)
    place = Fake(monkeypatch, {"events": events, "sqs": queue}).place
    check = run("schedule", "undeliverable event", schedule._undeliverable, place)
    assert check.status is (Status.OK if reaches_queue else Status.FAILED)
    assert ("NO_PERMISSIONS" if reaches_queue else "ScheduleDeadLetters in the policy of payment-dlq-dev") in check.seen
    # The target of a run that was killed is removed, too; somebody else's letter stays, and is shown again.
    assert [one["Id"] for one in events.targets] == ["reconciliation"]
    assert ([one["MessageId"] for one in queue.messages], queue.hidden - {"ours"}) == (["theirs"], set())


class Backup:
    """AWS Backup with a job in a state of its own."""

    def __init__(self, state: str) -> None:
        self.state, self.calls = state, list[str]()

    def start_backup_job(self, **_: Any) -> dict[str, str]:
        return {"BackupJobId": "job-1"}

    def describe_backup_job(self, **_: Any) -> dict[str, str]:
        return {"State": self.state, "StatusMessage": "role cannot be assumed"} | (
            {"RecoveryPointArn": "point"} if self.state == "COMPLETED" else {}
        )

    def stop_backup_job(self, **_: Any) -> None:
        self.calls.append("stop")

    def delete_recovery_point(self, **_: Any) -> None:
        self.calls.append("delete")


@pytest.mark.parametrize(
    ("state", "status", "calls", "seen"),
    [
        ("COMPLETED", Status.OK, ["delete"], "deleted"),
        ("FAILED", Status.FAILED, [], "role cannot be assumed"),
        ("RUNNING", Status.UNKNOWN, ["stop"], "RUNNING after"),
    ],
)
def test_a_backup_is_deleted_or_stopped(
    state: str, status: Status, calls: list[str], seen: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    backup = Backup(state)
    dynamodb = SimpleNamespace(describe_table=lambda **_: {"Table": {"TableArn": "arn"}})
    selection = {"BackupSelection": {"IamRoleArn": "role"}}
    place = Fake(
        monkeypatch,
        {"backup": backup, "dynamodb": dynamodb},
        Expected("Data/PaymentLedger", "AWS::DynamoDB::Table", "ledger", {}),
        Expected("Data/BackupSelection", "AWS::Backup::BackupSelection", "s", selection),
    ).place
    check = run("backups", "a backup on demand", backups._back_up, place)
    assert (check.status, backup.calls) == (status, calls)
    assert seen in check.seen


def test_ctrl_c_ends_the_waits_of_all_groups_and_undoes_what_they_did(monkeypatch: pytest.MonkeyPatch) -> None:
    undone: list[str] = []
    waiting = threading.Event()

    def wait_for_ever(place: Place) -> Iterator[Check]:
        with place.cleanup.after("alarm", lambda: undone.append("alarm")):
            waiting.set()
            yield run("alarms", "waits", lambda: str(place.wait(lambda: False, 600)))

    def first(place: Place) -> Iterator[Check]:
        waiting.wait(10)
        # Made later, and so the first to be undone at the end: by then the alarm's own thread has set it back.
        place.cleanup.add("queue", lambda: undone.append("queue"))
        yield Check("payments", "first", Status.OK, "")

    place = Fake(monkeypatch, {}).place
    place.__dict__["tree"] = None
    groups = [runner.Group("alarms", wait_for_ever, 1), runner.Group("payments", first, 1)]

    def interrupt(_: Check) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        runner.run(place, groups, interrupt)
    assert undone == ["alarm", "queue"]


def test_a_group_is_selected_with_what_it_needs() -> None:
    assert [group.name for group in runner.selected(["traces"])] == ["payments", "traces"]
    assert len(runner.selected([])) == len(runner.GROUPS)


def test_a_wrong_group_is_refused_with_those_that_there_are() -> None:
    result = CliRunner().invoke(cli.main, ["local", "--only", "alarm"])
    assert result.exit_code == 1
    assert "'stacks', 'resources', 'access', 'account'" in result.stderr


class Metrics:
    """CloudWatch with the sums of these metrics."""

    def __init__(self, **sums: float) -> None:
        self._sums = sums

    def get_metric_statistics(self, MetricName: str, **_: Any) -> dict[str, Any]:
        return {"Datapoints": [{"Sum": self._sums[MetricName]}] if MetricName in self._sums else []}


@pytest.mark.parametrize(
    ("runs", "own", "status"), [(3, 0, Status.OK), (3, 2, Status.OK), (2, 2, Status.FAILED), (0, 0, Status.FAILED)]
)
def test_a_run_of_this_command_is_no_heartbeat_of_the_schedule(
    runs: int, own: int, status: Status, monkeypatch: pytest.MonkeyPatch
) -> None:
    events = SimpleNamespace(describe_rule=lambda **_: {"State": "ENABLED"})
    place = Fake(monkeypatch, {"events": events, "cloudwatch": Metrics(ReconciliationRuns=runs)}).place
    place.__dict__["tree"] = SimpleNamespace(stack=SimpleNamespace(changed_at="2026-01-01T00:00:00+00:00"))
    place.reconciliations = own
    assert run("schedule", "heartbeat", schedule._heartbeat, place).status is status


@pytest.mark.parametrize(
    ("metrics", "status"),
    [
        ({"Invocations": 3}, Status.OK),
        ({"Invocations": 4, "FailedInvocations": 1}, Status.OK),
        ({"Invocations": 3, "FailedInvocations": 3}, Status.FAILED),
        ({}, Status.FAILED),
    ],
)
def test_the_rule_fired_if_one_of_its_invocations_arrived(
    metrics: dict[str, float], status: Status, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = Fake(monkeypatch, {"cloudwatch": Metrics(**metrics)}).place
    assert run("schedule", "rule fired", schedule._fired, place).status is status


class Announced:
    """What is announced for an environment on AWS; the ledger holds a terabyte."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *, read_only: bool = False) -> None:
        tables = SimpleNamespace(describe_table=lambda **_: {"Table": {"TableSizeBytes": 1_000_000_000_000}})
        self.place = Fake(
            monkeypatch,
            {"dynamodb": tables},
            Expected("Data/PaymentLedger", "AWS::DynamoDB::Table", "ledger", {}),
            Expected("Monitoring/A", "AWS::CloudWatch::Alarm", "a", {"AlarmActions": ["topic"]}),
            Expected("Monitoring/B", "AWS::CloudWatch::Alarm", "b", {}),
        ).place
        self.place.platform.target.__dict__.update(endpoint_url=None, account="123456789012", region="eu-west-1")
        self.place.__dict__["tree"] = SimpleNamespace(stack=SimpleNamespace(name="payment-platform-dev"))
        self.place.settings = {"MaximumAmounts": "USD=10000", **self.place.settings}
        self.place.read_only = read_only

    def lines(self, *names: str) -> list[str]:
        return announcement.lines(self.place, runner.selected(names))


def test_the_price_and_each_write_are_said_beforehand(monkeypatch: pytest.MonkeyPatch) -> None:
    head, *writes = Announced(monkeypatch).lines()
    assert head.startswith(
        "payment-platform-dev in account 123456789012, eu-west-1: 13 groups of checks, about 8 min, "
    )
    # An hour of a terabyte's backup, and what costs next to nothing beside it.
    assert "about $0.14 (list prices of us-east-1, July 2025)" in head
    said = "\n".join(writes)
    for words in (
        "start 7 executions",
        "notified of up to 3 of them",
        "do not deploy until the alarms are OK again",
        "set 1 alarms",
        "a second target",
        "back up the ledger",
        "temporary queue",
    ):
        assert words in said


def test_what_is_not_selected_is_not_announced(monkeypatch: pytest.MonkeyPatch) -> None:
    assert Announced(monkeypatch).lines("stacks", "keys")[1:] == ["It writes nothing."]
    assert len(Announced(monkeypatch, read_only=True).lines()) == 2


@pytest.mark.parametrize(
    ("secret", "reason"),
    [
        ('{"api_key": "sk_test_1"}', ""),
        ('{"api_key": "rk_test_1"}', ""),
        ('{"api_key": "sk_live_1"}', "the gateway's key is a live key, so nothing is written"),
        ('{"key": "sk_test_1"}', "the gateway's secret has no api_key, so nothing is written"),
        ("sk_live_1", "the gateway's secret has no api_key, so nothing is written"),
    ],
)
def test_payments_are_sent_to_stripe_with_a_test_key_only(secret: str, reason: str) -> None:
    secrets = SimpleNamespace(get_secret_value=lambda **_: {"SecretString": secret})
    assert cli._why_not_charge(SimpleNamespace(client=lambda _: secrets), "arn") == reason  # type: ignore[arg-type]


@pytest.mark.parametrize("width", [80, 120])
def test_the_table_fits_its_terminal(width: int) -> None:
    checks = [
        Check("access", "policies of the roles", Status.FAILED, "policy-a lacks b; " + "policy-c " * 20, 1.0),
        Check("keys", f"alias/{'x' * 60}", Status.OK, "encrypts " + "a-long-name-of-a-log-group, " * 5, 0.1),
    ]
    console = Console(width=width, record=True, file=io.StringIO())
    report.show(console, checks, ["delete the queue q: AccessDenied"])
    shown = console.export_text()
    assert max(map(len, shown.splitlines())) <= width
    # Each problem begins a line of its own.
    assert "lacks b;" not in shown
    for words in ("policy-a lacks b", "not undone: delete the queue q", "2 checks: 1 ok, 1 failed"):
        assert words in shown
