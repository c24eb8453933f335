"""The output closes at a moment of a command: what was confirmed is done to its end, and no word of it is lost."""

import fcntl
import os
import re
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from io import TextIOWrapper
from pathlib import Path
from typing import Any

import pytest

from scripts.common import command as command_module
from scripts.common import streams
from scripts.deployer.cli import confirmation
from scripts.deployer.cli import deploy as deploy_cli
from scripts.deployer.report.console_reporter import ConsoleReporter
from scripts.deployer.report.reporter import EventListener
from scripts.deployer.stack_safeguards import _render_policy
from tests.deployer.aws.cloudformation import CloudFormation as Service
from tests.deployer.aws.endpoint import serve_account
from tests.deployer.aws.faults import DENIED, Fault
from tests.deployer.both_stacks import add_earlier_release
from tests.deployer.conftest import Command, CommandResult, add_bootstrap_stack, add_platform
from tests.deployer.disturbed_runs import EVERY_CELL, read_code, read_state, send_signal, strike_from
from tests.deployer.releases import CONFIRMED_LOSSES, edit_harmlessly, edit_with_loss
from tests.deployer.test_destroy import list_confirmations
from tests.deployer.test_refactor import add_old_release
from tests.deployer.test_streams_and_files import close_after

REASON = "the output is no longer being read (broken pipe)"
MOST_OUTPUT = 1 << 20


class Output:
    """A pipe that takes the standard output of commands; its reader goes away before a write."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._monkeypatch = monkeypatch
        self._reader = self._writer = -1
        self._closes_at = -1
        self.text = ""
        self.write_count = self.count_at_confirmation = 0
        original = streams._Descriptor.write

        def write(descriptor: Any, data: Any) -> int:
            if descriptor.is_output:
                if self.write_count == self._closes_at:
                    self.close()
                self.write_count += 1
            return original(descriptor, data)

        def outlast(name: str) -> None:
            self.count_at_confirmation = self.write_count
            streams.outlast_output(name)

        monkeypatch.setattr(streams._Descriptor, "write", write)
        monkeypatch.setattr(confirmation, "outlast_output", outlast)
        monkeypatch.setattr(deploy_cli, "outlast_output", outlast)
        monkeypatch.setattr(command_module, "prepare_streams", self._prepare_streams)

    def _prepare_streams(self) -> None:
        """Take the place of the stream that the test's runner of commands has put in place of the process's."""
        if sys.stdout is not sys.__stdout__ or not isinstance(sys.stdout.buffer.raw, streams._Descriptor):
            stream = TextIOWrapper(open(self._writer, "wb", closefd=False), encoding="utf-8")  # noqa: SIM115
            self._monkeypatch.setattr(sys, "__stdout__", stream)
            sys.stdout = stream
        streams.prepare_streams()
        self._monkeypatch.setattr(sys, "__stdout__", sys.stdout)

    @contextmanager
    def open(self, closes_at: int = -1) -> Iterator[None]:
        self._reader, self._writer = os.pipe()
        fcntl.fcntl(self._writer, fcntl.F_SETPIPE_SZ, MOST_OUTPUT)
        os.set_blocking(self._reader, False)
        self._closes_at, self.write_count, self.count_at_confirmation, self.text = closes_at, 0, 0, ""
        try:
            yield
        finally:
            if self._reader >= 0:
                self.close()
            os.close(self._writer)

    def close(self) -> None:
        try:
            self.text = os.read(self._reader, MOST_OUTPUT).decode()
        except BlockingIOError:
            self.text = ""
        os.close(self._reader)
        self._reader = -1


@pytest.fixture
def output(monkeypatch: pytest.MonkeyPatch) -> Output:
    return Output(monkeypatch)


# Returns the arguments of the command, once the service is prepared for it.
Prepare = Callable[[Service, Command], tuple[str, ...]]


def prepare_update(aws: Service, _: Command) -> tuple[str, ...]:
    stack = add_platform(aws, edit_with_loss, environment="prod")
    for _, each in stack.walk():
        each.policy = _render_policy(())
    # Of a release that nothing needs any more.
    aws.objects[f"payment-artifacts/payment-platform/prod/{'0' * 64}.yaml"] = "Resources: {}"
    return ("prod", "--yes", *CONFIRMED_LOSSES)


def prepare_policies_that_stay_lifted(aws: Service, command: Command) -> tuple[str, ...]:
    arguments = prepare_update(aws, command)
    aws.before["ExecuteChangeSet"] = lambda: aws.faults.update(SetStackPolicy=Fault(DENIED))
    return arguments


def prepare_failed_update(aws: Service, _: Command) -> tuple[str, ...]:
    add_platform(aws, edit_harmlessly)
    aws.fails = {"Data/DeadLetters": "no"}
    return ("dev", "--yes")


def prepare_first_deployment(aws: Service, _: Command) -> tuple[str, ...]:
    add_bootstrap_stack(aws)
    return ("prod", "--yes")


def prepare_failed_protection(aws: Service, _: Command) -> tuple[str, ...]:
    add_bootstrap_stack(aws)

    def fail_second() -> None:
        if len(aws.find_requests("ExecuteChangeSet")) == 2:
            aws.fails = {"Data/Transactions": "no"}

    aws.before["ExecuteChangeSet"] = fail_second
    return ("prod", "--yes")


def prepare_both(aws: Service, _: Command) -> tuple[str, ...]:
    add_earlier_release(aws)
    return ("dev", "--yes")


def prepare_rights_that_stay(aws: Service, command: Command) -> tuple[str, ...]:
    arguments = prepare_both(aws, command)
    aws.before["CreateChangeSet"] = lambda: (
        aws.faults.update(CreateChangeSet=Fault(DENIED)) if len(aws.find_requests("CreateChangeSet")) == 4 else None
    )
    return arguments


def prepare_saved_plan(aws: Service, command: Command) -> tuple[str, ...]:
    add_earlier_release(aws)
    command("plan", "dev", "--out", "plan.json", code=2)
    return ("apply", "dev", "plan.json", "--yes")


def prepare_failed_saved_plan(aws: Service, command: Command) -> tuple[str, ...]:
    arguments = prepare_saved_plan(aws, command)
    aws.fails = {"Data/DeadLetters": "no"}
    return arguments


def prepare_discard(aws: Service, command: Command) -> tuple[str, ...]:
    prepare_saved_plan(aws, command)
    return ("discard", "dev", "plan.json")


def prepare_rollback(aws: Service, command: Command) -> tuple[str, ...]:
    add_bootstrap_stack(aws)
    aws.fails = {"Data/DeadLetters": "no"}
    command("dev", "--yes", "--keep-failed", code=1)
    names = re.findall(r"--destroys (\S+)", command("rollback", "dev", "--yes", code=1).stderr)
    return ("rollback", "dev", "--yes", *(part for name in names for part in ("--destroys", name)))


def prepare_refactor(aws: Service, _: Command) -> tuple[str, ...]:
    add_old_release(aws)
    return ("refactor", "dev", "--yes")


def prepare_code(aws: Service, _: Command) -> tuple[str, ...]:
    add_platform(aws, code="RELEASE = 1")
    return ("code-only", "dev")


def prepare_purge(aws: Service, command: Command) -> tuple[str, ...]:
    add_platform(aws)
    return ("dev", "--yes", "--purge", *list_confirmations(command))


def prepare_deletion(aws: Service, _: Command) -> tuple[str, ...]:
    add_platform(aws)
    return ("dev", "--yes", "--destroys", "payment-platform-dev")


@dataclass(frozen=True)
class Scenario:
    prepare: Prepare
    code: int = 0
    script: str = "deploy"

    def run(self, folder: Path, output: Output, closes_at: int = -1) -> tuple[Service, CommandResult]:
        """Run the command on a service of its own, whose answers are the same each time."""
        aws = Service()
        folder.mkdir()
        with serve_account(aws) as url:
            command = Command(url, folder, haste=5000)
            with output.open():
                arguments = self.prepare(aws, command)
            aws.calls.clear()
            with output.open(closes_at):
                result = command(*arguments, script=self.script)
        return aws, result


SCENARIOS = {
    "update": Scenario(prepare_update),
    "policies that stay lifted": Scenario(prepare_policies_that_stay_lifted),
    "failed update": Scenario(prepare_failed_update, 1),
    "first deployment": Scenario(prepare_first_deployment),
    "failed protection": Scenario(prepare_failed_protection, 1),
    "both stacks": Scenario(prepare_both),
    "rights that stay": Scenario(prepare_rights_that_stay),
    "saved plan": Scenario(prepare_saved_plan),
    "failed saved plan": Scenario(prepare_failed_saved_plan, 1),
    "discard": Scenario(prepare_discard),
    "rollback": Scenario(prepare_rollback),
    "refactor": Scenario(prepare_refactor),
    "code-only": Scenario(prepare_code),
    "destroy": Scenario(prepare_deletion, script="destroy"),
    "purge": Scenario(prepare_purge, script="destroy"),
}


def blank_names(text: str) -> str:
    """Return the text without the names and times that differ from run to run."""
    text = re.sub(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", "…", text)
    return re.sub(r"\b\d+:\d\d\b|\b\d+ s\b|(?<=-)[0-9a-f]{12}\b", "…", text)


def read_all(aws: Service) -> list[Any]:
    """Return the requests that change something, and what they lead to."""
    state = [repr(read_state(aws)), repr(read_code(aws)), repr(sorted(aws.objects)), repr(sorted(aws.remaining_names))]
    return [*aws.find_writes(), *map(blank_names, state)]


def select_moments(begin: int, end: int) -> list[int]:
    """Return which writes find a closed output: each with ``make faults``, else the first, the last and two others."""
    return (
        [*range(begin, end)] if EVERY_CELL else sorted({begin, (2 * begin + end) // 3, (begin + 2 * end) // 3, end - 1})
    )


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[] if name == "both stacks" else pytest.mark.nightly) for name in SCENARIOS]
)
def test_what_was_confirmed_is_done_whenever_the_output_closes(name: str, tmp_path: Path, output: Output) -> None:
    """And what the output does not take follows on standard error."""
    scenario = SCENARIOS[name]
    undisturbed, result = scenario.run(tmp_path / "undisturbed", output)
    assert result.code == scenario.code, result.stderr
    text, count = output.text, output.write_count
    for closes_at in select_moments(output.count_at_confirmation, count):
        aws, unread = scenario.run(tmp_path / f"closed at {closes_at}", output, closes_at)
        assert read_all(aws) == read_all(undisturbed)
        assert unread.code == (scenario.code or 1)
        notice = f"{scenario.script}: {REASON}; the command continues, and writes the rest here\n"
        end = f"{scenario.script}: done, but {REASON}; the rest of it stands above, on standard error\n"
        begin_of_rest, _, rest = unread.stderr.partition(notice)
        assert blank_names(output.text + begin_of_rest + rest) == blank_names(
            text + (result.stderr if scenario.code else end)
        )


@pytest.mark.parametrize("name", ["both stacks", pytest.param("purge", marks=pytest.mark.nightly)])
def test_what_nobody_could_read_is_not_begun(name: str, tmp_path: Path, output: Output) -> None:
    scenario = SCENARIOS[name]
    scenario.run(tmp_path / "undisturbed", output)
    for closes_at in select_moments(0, output.count_at_confirmation):
        aws, unread = scenario.run(tmp_path / f"closed at {closes_at}", output, closes_at)
        assert unread.code == 1
        assert re.fullmatch(f"{scenario.script}: {re.escape(REASON)}; (nothing|no stack) was changed\n", unread.stderr)
        assert aws.remaining_names == []
        assert set(aws.find_writes()) <= {"PutObject", "CreateChangeSet", "DeleteChangeSet"}


def test_the_platform_is_not_begun_if_its_plan_cannot_be_read(command: Command, aws: Service, output: Output) -> None:
    """After the first stack of the account, which was confirmed before."""
    aws.before["ExecuteChangeSet"] = output.close
    with output.open():
        unread = command("dev", "--yes", code=1).stderr
    assert "payment-artifacts" in unread.splitlines()[-1]
    assert f"deploy: {REASON}; " in unread.splitlines()[-1]
    assert len(aws.find_requests("ExecuteChangeSet")) == 1
    assert aws.remaining_names == []


def test_a_record_of_the_result_follows_on_standard_error(tmp_path: Path, output: Output) -> None:
    scenario = Scenario(lambda aws, command: (*prepare_both(aws, command), "--json"))
    _, result = scenario.run(tmp_path / "undisturbed", output)
    types = [record["type"] for record in replace(result, stdout=output.text).read_records()]
    _, unread = scenario.run(tmp_path / "closed", output, output.count_at_confirmation)
    rest = [line for line in unread.stderr.splitlines() if not line.startswith("deploy: ")]
    records = replace(result, stdout=output.text + "\n".join(rest)).read_records()
    assert [record["type"] for record in records] == types
    assert records[-1]["result"] == "deployed"


def test_a_follower_without_an_output_says_what_continues(command: Command, aws: Service, output: Output) -> None:
    stack = add_platform(aws, edit_harmlessly)
    stack.status = "UPDATE_IN_PROGRESS"
    aws.add_event(stack, "", "AWS::CloudFormation::Stack", stack.status, "User Initiated")
    with output.open(closes_at=0):
        unread = command("follow", "dev", code=3).stderr
    assert unread.startswith(f"deploy: {REASON}; the deployment continues; watch it: ")


def test_what_was_changed_is_said_although_the_change_set_stays(tmp_path: Path, output: Output) -> None:
    scenario = Scenario(prepare_failed_update, 1)
    scenario.run(tmp_path / "undisturbed", output)

    def prepare_denied_deletion(aws: Service, command: Command) -> tuple[str, ...]:
        aws.before["DescribeChangeSet"] = lambda: strike_from(aws, "DeleteChangeSet", DENIED)
        return prepare_failed_update(aws, command)

    _, unread = replace(scenario, prepare=prepare_denied_deletion).run(
        tmp_path / "closed", output, output.count_at_confirmation - 1
    )
    assert "; delete it with: aws cloudformation delete-change-set " in unread.stderr
    assert unread.stderr.endswith("; no stack was changed\n")


def test_a_plan_whose_result_nobody_reads_ends_silently(command: Command, aws: Service) -> None:
    add_platform(aws, edit_harmlessly)
    assert close_after(command.start("plan", "dev", "--json"), '"type": "plan"') == (141, "")


def interrupt_at_end(monkeypatch: pytest.MonkeyPatch, number: signal.Signals) -> None:
    """Send the signal while the last event of the platform is shown, as on a terminal that was held (Ctrl-S)."""
    follow_events = ConsoleReporter.follow_events

    @contextmanager
    def follow(self: ConsoleReporter, plan: Any, stack_name: str) -> Iterator[EventListener]:
        with follow_events(self, plan, stack_name) as receive_events:

            def receive(events: Any) -> None:
                ends = [event for event in events if event.path == "payment-platform-dev"]
                if any(event.status in ("DELETE_COMPLETE", "UPDATE_COMPLETE") for event in ends):
                    send_signal(number)
                receive_events(events)

            yield receive

    monkeypatch.setattr(ConsoleReporter, "follow_events", follow)


@pytest.mark.parametrize("script", ["deploy", "destroy"])
def test_an_interrupt_while_the_last_events_are_shown_ends_no_watching(
    command: Command, aws: Service, monkeypatch: pytest.MonkeyPatch, script: str
) -> None:
    add_platform(aws, edit_harmlessly)
    interrupt_at_end(monkeypatch, signal.SIGINT)
    confirmed = ["--destroys", "payment-platform-dev"] if script == "destroy" else []
    result = command("dev", "--yes", *confirmed, script=script, code=0)
    end = "deleted" if script == "destroy" else "deployed"
    assert f"payment-platform-dev: {end}" in result.stdout.splitlines()[-1]
    assert result.stderr == ""


def test_the_next_signal_ends_the_steps_after_the_deployment(
    command: Command, aws: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_platform(aws, edit_harmlessly)
    interrupt_at_end(monkeypatch, signal.SIGTERM)
    aws.before["ListObjectsV2"] = lambda: send_signal(signal.SIGTERM) if aws.find_requests("ExecuteChangeSet") else None
    interrupted = command("dev", "--yes", code=1).stderr
    assert "interrupted; payment-platform-dev is deployed, but the follow-up steps" in interrupted
