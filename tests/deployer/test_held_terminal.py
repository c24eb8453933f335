"""An interrupt while the end of something is shown, as on a terminal that was held (Ctrl-S): nothing else begins, and
what has ended is not denied."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from scripts.common import command as command_module
from scripts.deployer.report.console_reporter import ConsoleReporter
from scripts.deployer.report.reporter import EventListener
from tests.deployer.aws.cloudformation import CloudFormation as Service
from tests.deployer.both_stacks import ARTIFACTS, NOTICE, PLATFORM, add_earlier_release
from tests.deployer.confirmed_runs import SCENARIOS, Output
from tests.deployer.conftest import Command, add_bootstrap_stack, add_platform
from tests.deployer.disturbed_runs import send_signal
from tests.deployer.releases import edit_harmlessly
from tests.deployer.test_destroy import list_confirmations

UNDENIED = ("was not changed", "was not deleted", "nothing was changed", "no stack was changed")


@pytest.fixture
def output(monkeypatch: pytest.MonkeyPatch) -> Output:
    return Output(monkeypatch)


def interrupt_at_end(monkeypatch: pytest.MonkeyPatch, stack: str, number: signal.Signals = signal.SIGINT) -> None:
    """Send the signal once, while the last event of the stack's operation is shown."""
    follow_events = ConsoleReporter.follow_events
    sent: list[str] = []

    @contextmanager
    def follow(self: ConsoleReporter, plan: Any, stack_name: str) -> Iterator[EventListener]:
        with follow_events(self, plan, stack_name) as receive_events:

            def receive(events: Any) -> None:
                receive_events(events)
                ends = [event for event in events if event.path == stack and event.status.endswith("_COMPLETE")]
                if ends and not sent:
                    sent.append(stack)
                    send_signal(number)

            yield receive

    monkeypatch.setattr(ConsoleReporter, "follow_events", follow)


def test_a_deployment_that_has_ended_is_completed(
    command: Command, aws: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    stack = add_platform(aws, edit_harmlessly, environment="prod")
    interrupt_at_end(monkeypatch, "payment-platform-prod")
    result = command("prod", "--yes", code=0)
    assert "payment-platform-prod: deployed" in result.stdout.splitlines()[-1]
    assert (result.stderr, stack.protected, bool(stack.policy)) == ("", True, True)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP], ids=lambda number: number.name)
def test_the_platform_is_not_begun_after_the_artifacts_stack(
    command: Command, aws: Service, monkeypatch: pytest.MonkeyPatch, number: signal.Signals
) -> None:
    add_earlier_release(aws)
    interrupt_at_end(monkeypatch, ARTIFACTS, number)
    interrupted = command("dev", "--yes", code=1).stderr
    assert interrupted.startswith(f"deploy: interrupted; {PLATFORM} was not deployed; continue with ")
    assert NOTICE in interrupted
    assert len(aws.find_requests("ExecuteChangeSet")) == 1
    assert aws.remaining_names == []


def test_no_other_step_of_a_first_deployment_begins(
    command: Command, aws: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    interrupt_at_end(monkeypatch, ARTIFACTS)
    interrupted = command("dev", "--yes", code=1).stderr
    assert "; already requested: cloudformation:ExecuteChangeSet on payment-artifacts; " in interrupted
    assert len(aws.find_requests("ExecuteChangeSet")) == 1
    assert aws.remaining_names == []


def test_tables_that_are_not_protected_yet_are_named(
    command: Command, aws: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_bootstrap_stack(aws)
    interrupt_at_end(monkeypatch, "payment-platform-prod")
    interrupted = command("prod", "--yes", code=1).stderr
    assert interrupted.startswith("deploy: payment-platform-prod is deployed, but the deletion protection of ")
    assert "is not switched on: interrupted; to switch it on, deploy again: " in interrupted


@pytest.mark.parametrize("purge", [(), ("--purge",)])
def test_nothing_else_is_deleted_after_the_stack(
    command: Command, aws: Service, monkeypatch: pytest.MonkeyPatch, purge: tuple[str, ...]
) -> None:
    add_platform(aws)
    confirmed = list_confirmations(command) if purge else ["--destroys", PLATFORM]
    interrupt_at_end(monkeypatch, PLATFORM)
    aws.calls.clear()
    interrupted = command("dev", "--yes", *purge, *confirmed, script="destroy", code=1).stderr
    assert interrupted.startswith(f"destroy: interrupted; {PLATFORM} is deleted, but its files ")
    assert interrupted.endswith(f"; run {' '.join(['scripts/destroy.sh dev', *purge])}\n")
    assert aws.find_writes() == ["DeleteStack"]


def test_the_next_signal_ends_the_steps_after_the_deployment(
    command: Command, aws: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_platform(aws, edit_harmlessly)
    interrupt_at_end(monkeypatch, PLATFORM, signal.SIGTERM)
    aws.before["ListObjectsV2"] = lambda: send_signal(signal.SIGTERM) if aws.find_requests("ExecuteChangeSet") else None
    interrupted = command("dev", "--yes", code=1).stderr
    assert f"interrupted; {PLATFORM} is deployed, but the follow-up steps" in interrupted


def interrupt_drawing(monkeypatch: pytest.MonkeyPatch, stack: str, *, number: int = 1, at_begin: bool = False) -> None:
    """Interrupt the drawing of the stack's progress of this number, when it ends or when it begins."""
    follow_events, drawn = ConsoleReporter.follow_events, []

    @contextmanager
    def follow(self: ConsoleReporter, plan: Any, stack_name: str) -> Iterator[EventListener]:
        with follow_events(self, plan, stack_name) as receive_events:
            drawn.append(stack_name)
            is_due = drawn.count(stack) == number and stack_name == stack
            if is_due and at_begin:
                send_signal(signal.SIGINT)
            try:
                yield receive_events
            finally:
                if is_due and not at_begin:
                    send_signal(signal.SIGINT)

    monkeypatch.setattr(ConsoleReporter, "follow_events", follow)


@pytest.mark.parametrize(
    ("name", "stack", "number", "code", "message"),
    [
        ("both stacks", ARTIFACTS, 1, 1, f"{PLATFORM} was not deployed; continue with "),
        ("both stacks", ARTIFACTS, 2, 0, ""),
        ("first deployment", "payment-platform-prod", 1, 1, "is not switched on: interrupted; to switch it on, deploy"),
        ("first deployment", "payment-platform-prod", 2, 0, ""),
        ("import", PLATFORM, 1, 1, "its second change set was not executed: interrupted; to complete it, deploy again"),
        ("import", PLATFORM, 2, 0, ""),
        ("failed update", PLATFORM, 1, 1, f"{PLATFORM} ended UPDATE_ROLLBACK_COMPLETE: "),
        ("saved plan", ARTIFACTS, 1, 1, f"{PLATFORM} was not deployed; continue with "),
        ("cancel", PLATFORM, 1, 0, ""),
        ("continue-rollback", PLATFORM, 1, 0, ""),
        ("rollback", PLATFORM, 1, 0, ""),
        ("destroy", PLATFORM, 1, 1, f"{PLATFORM} is deleted, but its files in the artifact bucket may remain; run "),
        ("failed destroy", PLATFORM, 1, 1, f"{PLATFORM} ended DELETE_FAILED: "),
    ],
)
def test_an_interrupt_while_the_last_state_is_drawn_denies_nothing(
    name: str,
    stack: str,
    number: int,
    code: int,
    message: str,
    tmp_path: Path,
    output: Output,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def begin() -> None:
        interrupt_drawing(monkeypatch, stack, number=number)

    _, result = SCENARIOS[name].run(tmp_path / "run", output, begin=begin)
    assert (result.code, bool(result.stderr)) == (code, bool(message)), result.stderr
    assert message in result.stderr
    assert not [words for words in UNDENIED if words in result.stderr]
    assert NOTICE not in output.text


def test_a_deletion_whose_progress_cannot_be_drawn_yet_continues(
    command: Command, aws: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_platform(aws)
    interrupt_drawing(monkeypatch, PLATFORM, at_begin=True)
    interrupted = command("dev", "--yes", "--destroys", PLATFORM, script="destroy", code=3).stderr
    assert interrupted.startswith(
        "destroy: interrupted; the deletion continues; watch it: scripts/status.sh dev; once "
    )


@pytest.mark.parametrize(
    ("name", "title", "message"),
    [
        ("first deployment", "Completing", "is not switched on: interrupted; to switch it on, deploy again: "),
        ("failed saved plan", "Used up:", f"{PLATFORM} ended UPDATE_ROLLBACK_COMPLETE: "),
    ],
)
def test_an_interrupt_at_a_line_after_the_end_hides_nothing(
    name: str, title: str, message: str, tmp_path: Path, output: Output, monkeypatch: pytest.MonkeyPatch
) -> None:
    announce_step = ConsoleReporter.announce_step

    def announce(self: ConsoleReporter, step: str, detail: str = "") -> None:
        if step == title:
            send_signal(signal.SIGINT)
        announce_step(self, step, detail)

    def begin() -> None:
        monkeypatch.setattr(ConsoleReporter, "announce_step", announce)

    _, result = SCENARIOS[name].run(tmp_path / "run", output, begin=begin)
    assert result.code == 1
    assert message in result.stderr


def test_an_update_that_continues_is_not_said_to_have_ended_with_the_result(
    command: Command, aws: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of the artifacts stack: one interrupt while it is updated, and another while the result is shown."""
    add_earlier_release(aws)
    show_result, sent = ConsoleReporter.show_result, []

    def interrupt(self: ConsoleReporter, *arguments: Any, **options: Any) -> None:
        send_signal(signal.SIGINT)
        show_result(self, *arguments, **options)

    def interrupt_update() -> None:
        if len(aws.find_requests("ExecuteChangeSet")) == 3 and not sent:
            sent.append(ARTIFACTS)
            send_signal(signal.SIGINT)

    monkeypatch.setattr(ConsoleReporter, "show_result", interrupt)
    aws.before["DescribeStackEvents"] = interrupt_update
    interrupted = command("dev", "--yes", code=3).stderr
    assert f"{PLATFORM}: deployed" in interrupted
    assert f"the deployment of {ARTIFACTS} continues; watch it: " in interrupted


@pytest.mark.parametrize("method", ["show_result", "show_failure"])
@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[] if name == "discard" else pytest.mark.nightly) for name in SCENARIOS]
)
def test_what_has_ended_is_not_denied(
    name: str, method: str, tmp_path: Path, output: Output, monkeypatch: pytest.MonkeyPatch
) -> None:
    show, shown = getattr(ConsoleReporter, method), []

    def interrupt(self: ConsoleReporter, *arguments: Any, **options: Any) -> None:
        if not shown:
            shown.append(method)
            send_signal(signal.SIGINT)
        show(self, *arguments, **options)

    def begin() -> None:
        monkeypatch.setattr(ConsoleReporter, method, interrupt)

    aws, result = SCENARIOS[name].run(tmp_path / "run", output, begin=begin)
    if shown:
        assert result.code == 1
        assert not [words for words in UNDENIED if words in result.stderr], result.stderr
        assert (result.stderr.count("\n"), aws.remaining_names) == (1, [])


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=lambda number: number.name)
@pytest.mark.parametrize("name", ["discard", pytest.param("purge", marks=pytest.mark.nightly)])
def test_the_last_line_of_a_command_whose_output_is_lost_is_not_interrupted(
    name: str, number: signal.Signals, tmp_path: Path, output: Output, monkeypatch: pytest.MonkeyPatch
) -> None:
    SCENARIOS[name].run(tmp_path / "undisturbed", output)
    echo = command_module.echo

    def interrupt(message: object = "", **options: Any) -> None:
        if "done, but" in str(message):
            send_signal(number)
        echo(message, **options)

    monkeypatch.setattr(command_module, "echo", interrupt)
    _, result = SCENARIOS[name].run(tmp_path / "closed", output, output.write_count - 1)
    assert result.code == 1
    assert result.stderr.splitlines()[-1].startswith(f"{SCENARIOS[name].script}: done, but ")
