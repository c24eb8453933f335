"""The output is closed at a moment of a deployment: what has to be done is done, and the last line is true."""

import errno
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from scripts.common.errors import OutputError
from scripts.common.templates import parse_template
from scripts.deployer.report.console_reporter import ConsoleReporter
from scripts.deployer.report.reporter import EventListener
from scripts.deployer.stack_safeguards import _render_policy
from tests.deployer.aws.cloudformation import CloudFormation as Service
from tests.deployer.aws.faults import DENIED, EXPIRED, Fault
from tests.deployer.both_stacks import add_earlier_release, find_artifacts, list_ledgers
from tests.deployer.conftest import BUCKET, Command, add_bootstrap_stack, add_platform
from tests.deployer.disturbed_runs import send_signal, strike_from
from tests.deployer.releases import CONFIRMED_LOSSES, edit_harmlessly, edit_with_loss
from tests.deployer.test_destroy import list_confirmations
from tests.deployer.test_streams_and_files import close_after

RIGHTS = "payment-artifacts keeps the permissions of both releases"
UNREAD = "deploy: the output is no longer being read (broken pipe)"
# Closes the output from the first report on that begins so; called with what happens then.
Close = Callable[..., None]


@pytest.fixture
def close_at(monkeypatch: pytest.MonkeyPatch, command: Command) -> Close:
    """Reports are named ``step TITLE``, ``plan``, ``result``, ``event PATH STATUS``, and ``begin of`` and ``end
    of STACK``.

    What happens then may raise ``KeyboardInterrupt``: the output stays open.
    """
    command.haste = 5000
    moments: list[tuple[str, Callable[[], None]]] = []
    is_closed = False

    def note(report: str) -> None:
        nonlocal is_closed
        for moment in list(moments):
            if not is_closed and report.startswith(moment[0]):
                moments.remove(moment)
                # It may be an interrupt, which closes nothing.
                moment[1]()
                is_closed = True
        if is_closed:
            raise OutputError(errno.EPIPE, "Broken pipe")

    def wrap(method: str, name: str) -> None:
        report = getattr(ConsoleReporter, method)

        def write(self: ConsoleReporter, *arguments: Any, **options: Any) -> None:
            note(f"{name} {arguments[0]}" if name == "step" else name)
            report(self, *arguments, **options)

        monkeypatch.setattr(ConsoleReporter, method, write)

    for method, name in (("announce_step", "step"), ("show_plan", "plan"), ("show_result", "result")):
        wrap(method, name)
    follow_events = ConsoleReporter.follow_events

    @contextmanager
    def follow(self: ConsoleReporter, plan: Any, stack_name: str) -> Iterator[EventListener]:
        note(f"begin of {stack_name}")
        with follow_events(self, plan, stack_name) as receive_events:

            def receive(events: Any) -> None:
                for event in events:
                    note(f"event {event.path} {event.status}")
                receive_events(events)

            yield receive
        note(f"end of {stack_name}")

    monkeypatch.setattr(ConsoleReporter, "follow_events", follow)
    return lambda start, happen=lambda: None: moments.append((start, happen))


@pytest.mark.parametrize("operation", ["UpdateTerminationProtection", "SetStackPolicy"])
def test_protected_is_said_only_of_what_is(command: Command, aws: Service, close_at: Close, operation: str) -> None:
    stack = add_platform(aws, edit_harmlessly, environment="prod")
    close_at("end of payment-platform-prod", lambda: aws.faults.update({operation: Fault(DENIED)}))
    unread = command("prod", "--yes", code=1).stderr
    assert "deployed and protected" not in unread
    assert f"{UNREAD}; payment-platform-prod is deployed; a follow-up step failed: not authorized: " in unread
    assert (stack.protected, bool(stack.policy)) != (True, True)


def test_a_policy_that_could_not_be_restored_is_named(command: Command, aws: Service, close_at: Close) -> None:
    stack = add_platform(aws, edit_with_loss, environment="prod")
    for _, each in stack.walk():
        each.policy = _render_policy(())
    close_at("step Not protected:")
    aws.before["ExecuteChangeSet"] = lambda: aws.faults.update(SetStackPolicy=Fault(DENIED))
    unread = command("prod", "--yes", *CONFIRMED_LOSSES, code=1).stderr
    assert "deployed and protected" not in unread
    assert "the stack policy of " in unread


@pytest.mark.parametrize("start", ["end of payment-artifacts", "end of payment-platform-dev", "result"])
@pytest.mark.parametrize("expires", [False, True])
def test_the_rights_that_stay_are_named(
    command: Command, aws: Service, close_at: Close, start: str, *, expires: bool
) -> None:
    """Also if the credentials end at the same time."""
    add_earlier_release(aws)
    close_at(start, (lambda: strike_from(aws, "DescribeStacks", EXPIRED)) if expires else lambda: None)
    if start == "result":
        aws.before["CreateChangeSet"] = lambda: (
            aws.faults.update(CreateChangeSet=Fault(DENIED)) if len(aws.find_requests("CreateChangeSet")) == 4 else None
        )
    unread = command("dev", "--yes", code=1).stderr
    assert "the output is no longer being read" in unread
    assert RIGHTS in unread
    assert "payment-platform-dev" in unread


@pytest.mark.parametrize("status", ["UPDATE_COMPLETE", "UPDATE_ROLLBACK_COMPLETE"])
def test_what_has_ended_is_not_said_to_continue(command: Command, aws: Service, close_at: Close, status: str) -> None:
    stack = add_platform(aws, edit_harmlessly, environment="prod")
    aws.fails = {"Data/DeadLetters": "no"} if "ROLLBACK" in status else {}
    # Of a release that nothing needs any more.
    aws.objects[f"{BUCKET}/payment-platform/prod/{'0' * 64}.yaml"] = "Resources: {}"
    close_at(f"event payment-platform-prod {status}")
    unread = command("prod", "--yes", code=1).stderr
    assert "continues" not in unread
    assert "deployed again" not in unread
    assert stack.protected == (status == "UPDATE_COMPLETE")


def test_a_plan_that_stays_saved_is_named(command: Command, aws: Service, close_at: Close) -> None:
    add_platform(aws, edit_harmlessly, code="RELEASE = 1")
    for function in aws.functions.functions.values():
        function.aliases["live"], function.code = "$LATEST", "other code"
    command("plan", "dev", "--out", "plan.json", code=2)
    close_at("step Restored")
    unread = command("apply", "dev", "plan.json", "--yes", code=1).stderr
    assert "; not executed: the plan is still saved; run scripts/deploy.sh apply dev plan.json, or " in unread


def test_what_was_changed_is_said_although_the_change_set_stays(
    command: Command, aws: Service, close_at: Close
) -> None:
    add_platform(aws, edit_harmlessly)
    close_at("plan", lambda: strike_from(aws, "DescribeChangeSet", EXPIRED))
    unread = command("dev", "--yes", code=1).stderr
    assert "; delete it with: aws cloudformation delete-change-set " in unread
    assert unread.endswith("; no stack was changed\n")


def test_a_plan_whose_result_nobody_reads_ends_silently(command: Command, aws: Service) -> None:
    add_platform(aws, edit_harmlessly)
    assert close_after(command.start("plan", "dev", "--json"), '"type": "plan"') == (141, "")


def interrupt() -> None:
    send_signal(signal.SIGINT)


@pytest.mark.parametrize("script", ["deploy", "destroy"])
def test_an_interrupt_while_the_last_events_are_shown_denies_nothing(
    command: Command, aws: Service, close_at: Close, script: str
) -> None:
    """A terminal that was held (Ctrl-S) shows them late."""
    add_platform(aws, edit_harmlessly)
    status = "DELETE_COMPLETE" if script == "destroy" else "UPDATE_COMPLETE"
    close_at(f"event payment-platform-dev {status}", interrupt)
    confirmed = ["--destroys", "payment-platform-dev"] if script == "destroy" else []
    interrupted = command("dev", "--yes", *confirmed, script=script, code=3).stderr
    assert "was not" not in interrupted
    assert "continues; watch it: " in interrupted


@pytest.mark.parametrize("start", ["event payment-artifacts UPDATE_COMPLETE", "end of payment-artifacts"])
def test_rights_that_were_taken_away_are_not_said_to_stay(
    command: Command, aws: Service, close_at: Close, start: str
) -> None:
    add_earlier_release(aws)
    # Of its second update.
    aws.before["ExecuteChangeSet"] = lambda: (
        close_at(start) if len(aws.find_requests("ExecuteChangeSet")) == 3 else None
    )
    unread = command("dev", "--yes", code=1).stderr
    assert len(list_ledgers(find_artifacts(aws))) == 1
    assert RIGHTS not in unread
    assert "payment-artifacts was deployed" in unread


def test_rights_that_were_not_added_are_not_said_to_stay(command: Command, aws: Service, close_at: Close) -> None:
    add_earlier_release(aws)
    aws.fails = dict.fromkeys(parse_template(find_artifacts(aws).text)["Resources"], "no")
    close_at("event payment-artifacts UPDATE_ROLLBACK_COMPLETE")
    assert RIGHTS not in command("dev", "--yes", code=1).stderr
    assert len(aws.find_requests("ExecuteChangeSet")) == 1


def test_the_protection_that_has_failed_is_named(command: Command, aws: Service, close_at: Close) -> None:
    add_bootstrap_stack(aws)

    def fail_second() -> None:
        if len(aws.find_requests("ExecuteChangeSet")) == 2:
            aws.fails = {"Data/Transactions": "no"}
            close_at("event payment-platform-prod UPDATE_ROLLBACK_COMPLETE")

    aws.before["ExecuteChangeSet"] = fail_second
    unread = command("prod", "--yes", code=1).stderr
    assert "payment-platform-prod is deployed, but the deletion protection of " in unread


@pytest.mark.parametrize("start", ["event payment-platform-dev DELETE_COMPLETE", "end of payment-platform-dev"])
def test_what_a_purge_leaves_is_named(command: Command, aws: Service, close_at: Close, start: str) -> None:
    add_platform(aws)
    confirmed = list_confirmations(command)
    close_at(start)
    unread = command("dev", "--yes", "--purge", *confirmed, script="destroy", code=1).stderr
    assert "payment-platform-dev is deleted" in unread
    assert "scripts/destroy.sh dev --purge" in unread


def test_a_deletion_that_goes_on_is_not_said_to_have_ended(command: Command, aws: Service, close_at: Close) -> None:
    add_platform(aws)
    close_at("begin of payment-platform-dev")
    confirmed = ("--destroys", "payment-platform-dev")
    unread = command("dev", "--yes", *confirmed, script="destroy", code=3).stderr
    assert (
        "; the deletion continues; watch it: scripts/status.sh dev; once the stack is gone, delete its files" in unread
    )
    assert "is deleted" not in unread
