"""A run undoes its changes once, stops when it is interrupted, and writes nothing if it must not."""

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
from scripts.deployer.stack import Stack, StackTree
from scripts.verify import announcement, backups, cli, report, runner, schedule
from scripts.verify.cleanup import Cleanup
from scripts.verify.expected import Expected
from scripts.verify.results import Check, Failed, Skipped, Status, Stopped, Unknown, run_check
from scripts.verify.run import Run
from tests.verify.runs import ROOT, make_run

LEDGER = Expected("Data/PaymentLedger", "AWS::DynamoDB::Table", "ledger", {})


def make_client_error(code: str) -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": "not authorized to perform: iam:GetRole"}}, "GetRole")


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (Failed("x"), Status.FAILED),
        (Skipped("x"), Status.SKIPPED),
        (Unknown("x"), Status.UNKNOWN),
        (UserError("x"), Status.UNKNOWN),
        (make_client_error("NoSuchEntity"), Status.FAILED),
        (make_client_error("AccessDenied"), Status.UNKNOWN),
    ],
)
def test_the_exception_of_a_check_decides_its_status(error: Exception, status: Status) -> None:
    def fail() -> str:
        raise error

    assert run_check("group", "name", fail).status is status


def test_a_missing_permission_of_the_caller_is_named() -> None:
    def fail() -> str:
        raise make_client_error("AccessDenied")

    assert (
        run_check("group", "name", fail).observation
        == "not authorized: iam:GetRole; your role lacks this permission, or another policy denies it"
    )


def test_each_step_is_undone_once_and_the_latest_first() -> None:
    cleanup, undone = Cleanup(), []
    cleanup.add_step("first", lambda: undone.append("first"))
    undo_second = cleanup.add_step("second", lambda: undone.append("second"))
    with pytest.raises(Stopped), cleanup.undo_after("third", str, lambda: undone.append("third")):
        raise Stopped
    cleanup.add_step("fourth", lambda: undone.append("fourth"))
    undo_second()
    cleanup.undo_all()
    cleanup.undo_all()
    assert undone == ["third", "second", "fourth", "first"]


def test_a_failed_undo_is_reported_and_the_rest_is_undone() -> None:
    cleanup, undone = Cleanup(), []
    cleanup.add_step("first", lambda: undone.append("first"))

    def fail() -> None:
        raise make_client_error("AccessDenied")

    cleanup.add_step("delete the queue q", fail)
    cleanup.undo_all()
    assert undone == ["first"]
    assert cleanup.problems == [
        "delete the queue q: not authorized: iam:GetRole; your role lacks this permission, or another policy denies it"
    ]


@pytest.fixture(autouse=True)
def _no_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(schedule, "UNDELIVERED_SECONDS", 0)
    monkeypatch.setattr(backups, "LONGEST_SECONDS", 0)


class Events:
    """EventBridge: an event that its target refuses goes to the dead-letter queue, or is lost."""

    def __init__(self, queue: "Queue", *, reaches_queue: bool) -> None:
        self._queue, self._reaches_queue = queue, reaches_queue
        self.targets = [{"Id": "reconciliation", "Arn": "function"}, {"Id": "verify-killed", "Arn": "old"}]

    def list_targets_by_rule(self, **_: Any) -> dict[str, Any]:
        return {"Targets": self.targets}

    def put_targets(self, Targets: list[dict[str, Any]], **_: Any) -> dict[str, Any]:
        self.targets = [*self.targets, *Targets]
        for target in Targets if self._reaches_queue else []:
            self._queue.messages.append(make_letter("ours", target["Arn"]))
        return {"FailedEntryCount": 0}

    def remove_targets(self, Ids: list[str], **_: Any) -> dict[str, Any]:
        self.targets = [target for target in self.targets if target["Id"] not in Ids]
        return {"FailedEntryCount": 0, "FailedEntries": []}


def make_letter(name: str, target: str) -> dict[str, Any]:
    attributes = {"TARGET_ARN": {"StringValue": target}, "ERROR_CODE": {"StringValue": "NO_PERMISSIONS"}}
    return {"MessageId": name, "ReceiptHandle": name, "MessageAttributes": attributes}


class Queue:
    """SQS: a received message is hidden until its visibility is changed."""

    def __init__(self) -> None:
        self.messages = [make_letter("theirs", "their-target")]
        self.hidden: set[str] = set()

    def get_queue_attributes(self, **_: Any) -> dict[str, Any]:
        return {"Attributes": {"QueueArn": "arn:aws:sqs:eu-west-1:1:payment-dlq-dev"}}

    def receive_message(self, **_: Any) -> dict[str, Any]:
        received = [message for message in self.messages if message["MessageId"] not in self.hidden]
        self.hidden |= {message["MessageId"] for message in received}
        return {"Messages": received}

    def delete_message(self, ReceiptHandle: str, **_: Any) -> None:
        self.messages = [message for message in self.messages if message["ReceiptHandle"] != ReceiptHandle]

    def change_message_visibility(self, ReceiptHandle: str, **_: Any) -> None:
        self.hidden.discard(ReceiptHandle)


@pytest.mark.parametrize("reaches_queue", [True, False])
def test_the_letter_of_an_undeliverable_event_is_found_and_nothing_is_left(reaches_queue: bool) -> None:
    queue = Queue()
    events = Events(queue, reaches_queue=reaches_queue)
    run = make_run({"events": events, "sqs": queue})
    run.mailbox = SimpleNamespace(arn="arn:aws:sqs:eu-west-1:1:payment-verify-x")
    check = run_check("schedule", "undeliverable event", schedule.check_undeliverable_event, run)
    assert check.status is (Status.OK if reaches_queue else Status.FAILED)
    assert (
        "NO_PERMISSIONS" if reaches_queue else "ScheduleDeadLetters in the policy of payment-dlq-dev"
    ) in check.observation
    # The target of a killed run is removed, and the letter of another sender is visible again.
    assert [target["Id"] for target in events.targets] == ["reconciliation"]
    assert ([message["MessageId"] for message in queue.messages], queue.hidden - {"ours"}) == (["theirs"], set())


class Backup:
    """AWS Backup with one job."""

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
    ("state", "status", "calls", "words"),
    [
        ("COMPLETED", Status.OK, ["delete"], "deleted"),
        ("FAILED", Status.FAILED, [], "role cannot be assumed"),
        ("RUNNING", Status.UNKNOWN, ["stop"], "RUNNING after"),
    ],
)
def test_a_backup_is_deleted_or_stopped(state: str, status: Status, calls: list[str], words: str) -> None:
    backup = Backup(state)
    dynamodb = SimpleNamespace(describe_table=lambda **_: {"Table": {"TableArn": "arn"}})
    selection = {"BackupSelection": {"IamRoleArn": "role"}}
    backup_selection = Expected("Data/BackupSelection", "AWS::Backup::BackupSelection", "s", selection)
    run = make_run({"backup": backup, "dynamodb": dynamodb}, LEDGER, backup_selection)
    check = run_check("backups", "a backup on demand", backups._check_backup, run)
    assert (check.status, backup.calls) == (status, calls)
    assert words in check.observation


def test_ctrl_c_ends_the_waits_of_all_groups_and_undoes_their_changes(monkeypatch: pytest.MonkeyPatch) -> None:
    undone: list[str] = []
    waiting = threading.Event()

    def wait_for_ever(run: Run) -> Iterator[Check]:
        with run.cleanup.undo_after("alarm", str, lambda: undone.append("alarm")):
            waiting.set()
            yield run_check("alarms", "waits", lambda: str(run.wait_for(lambda: False, 600)))

    def add_queue(run: Run) -> Iterator[Check]:
        waiting.wait(10)
        # The latest step, but the alarm's own thread sets the alarm back before the steps are undone.
        run.cleanup.add_step("queue", lambda: undone.append("queue"))
        yield Check("payments", "first", Status.OK, "")

    run = make_run({})
    groups = [runner.Group("alarms", wait_for_ever, 1), runner.Group("payments", add_queue, 1)]

    def interrupt(_: Check) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        runner.run_groups(run, groups, interrupt)
    assert undone == ["alarm", "queue"]


def test_a_group_is_selected_with_what_it_needs() -> None:
    assert [group.name for group in runner.select_groups(["traces"])] == ["payments", "traces"]
    assert len(runner.select_groups([])) == len(runner.GROUPS)


def test_an_unknown_group_is_refused_with_the_list_of_groups() -> None:
    result = CliRunner().invoke(cli.main, ["local", "--only", "alarm"])
    assert result.exit_code == 1
    assert "'stacks', 'resources', 'access', 'account'" in result.stderr


class Metrics:
    """CloudWatch with a sum for each of these metrics."""

    def __init__(self, **sums: float) -> None:
        self._sums = sums

    def get_metric_statistics(self, MetricName: str, **_: Any) -> dict[str, Any]:
        return {"Datapoints": [{"Sum": self._sums[MetricName]}] if MetricName in self._sums else []}


@pytest.mark.parametrize(
    ("runs", "by_this_run", "status"),
    [(3, 0, Status.OK), (3, 2, Status.OK), (2, 2, Status.FAILED), (0, 0, Status.FAILED)],
)
def test_reconciliation_by_this_run_is_no_heartbeat(runs: int, by_this_run: int, status: Status) -> None:
    events = SimpleNamespace(describe_rule=lambda **_: {"State": "ENABLED"})
    tree = StackTree(Stack(ROOT, "UPDATE_COMPLETE", "arn:root", changed_at="2026-01-01T00:00:00+00:00"))
    run = make_run({"events": events, "cloudwatch": Metrics(ReconciliationRuns=runs)}, tree=tree)
    run.reconciliations = by_this_run
    assert run_check("schedule", "heartbeat", schedule.check_heartbeat, run).status is status


@pytest.mark.parametrize(
    ("metrics", "status"),
    [
        ({"Invocations": 3}, Status.OK),
        ({"Invocations": 4, "FailedInvocations": 1}, Status.OK),
        ({"Invocations": 3, "FailedInvocations": 3}, Status.FAILED),
        ({}, Status.FAILED),
    ],
)
def test_the_rule_fired_if_one_of_its_invocations_arrived(metrics: dict[str, float], status: Status) -> None:
    run = make_run({"cloudwatch": Metrics(**metrics)})
    assert run_check("schedule", "rule fired", schedule.check_rule_fired, run).status is status


def announce(*names: str, read_only: bool = False) -> list[str]:
    """Return the announcement for an environment on AWS whose ledger holds a terabyte."""
    dynamodb = SimpleNamespace(describe_table=lambda **_: {"Table": {"TableSizeBytes": 1_000_000_000_000}})
    run = make_run(
        {"dynamodb": dynamodb},
        LEDGER,
        Expected("Monitoring/A", "AWS::CloudWatch::Alarm", "a", {"AlarmActions": ["topic"]}),
        Expected("Monitoring/B", "AWS::CloudWatch::Alarm", "b", {}),
    )
    run.read_only = read_only
    return announcement.announce_run(run, runner.select_groups(names))


def test_the_price_and_each_write_are_announced() -> None:
    head, *writes = announce()
    assert head.startswith(
        "payment-platform-dev in account 123456789012, eu-west-1: 13 groups of checks, about 8 min, "
    )
    # The backup of a terabyte for an hour; the rest costs next to nothing.
    assert "about $0.14 (list prices of us-east-1, July 2025)" in head
    announced = "\n".join(writes)
    for words in (
        "start 7 executions",
        "notified of up to 3 of them",
        "do not deploy until the alarms are OK again",
        "set 1 alarms",
        "a second target",
        "back up the ledger",
        "temporary queue",
    ):
        assert words in announced


def test_only_selected_groups_are_announced() -> None:
    assert announce("stacks", "keys")[1:] == ["It writes nothing."]
    assert announce(read_only=True)[1:] == ["Nothing is written (--read-only)."]


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
    assert cli._reason_not_to_charge(SimpleNamespace(client=lambda _: secrets), "arn") == reason  # type: ignore[arg-type]


@pytest.mark.parametrize("width", [80, 120])
def test_the_table_fits_its_terminal(width: int) -> None:
    checks = [
        Check("access", "policies of the roles", Status.FAILED, "policy-a lacks b; " + "policy-c " * 20, 1.0),
        Check("keys", f"alias/{'x' * 60}", Status.OK, "encrypts " + "a-long-name-of-a-log-group, " * 5, 0.1),
    ]
    console = Console(width=width, record=True, file=io.StringIO())
    report.show_results(console, checks, ["delete the queue q: AccessDenied"])
    output = console.export_text()
    assert max(map(len, output.splitlines())) <= width
    # Each problem is on a line of its own.
    assert "lacks b;" not in output
    for words in ("policy-a lacks b", "not undone: delete the queue q", "2 checks: 1 ok, 1 failed"):
        assert words in output
