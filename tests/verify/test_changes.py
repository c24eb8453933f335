"""Whatever ends a run at one of its writes: nothing stays but what the last line names, and the exit code says so."""

import functools
import re
import signal
import threading
from collections.abc import Callable, Iterator

import botocore.session
import pytest
from botocore import xform_name
from botocore.exceptions import ConnectionClosedError
from click.testing import CliRunner, Result

from scripts.local import choose_target
from scripts.verify import (
    alarms,
    announcement,
    backups,
    cli,
    dead_letters,
    payments,
    read_only,
    reconciliation,
    runner,
    schedule,
)
from scripts.verify.run import Run
from tests.emitted import ROOT
from tests.verify.account import SERVICES, Account, make_error

WRITING = ("payments", "alarms", "schedule", "reconciliation", "backups")
LASTING = ("start_execution", "invoke")
UNDOING = (
    *("receive_message", "delete_message", "remove_targets", "unsubscribe", "delete_queue"),
    *("stop_backup_job", "delete_recovery_point"),
)
# No simulated backup is completed, and the dead-letter queue is empty.
NOT_DISTURBED = {"delete_recovery_point", "change_message_visibility"}
LATER_SIGNALS = (signal.SIGTERM, signal.SIGHUP, signal.SIGINT)


@pytest.fixture(autouse=True)
def _no_waits(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for module, name in (
        (payments, "LONGEST_SECONDS"),
        (payments, "NOTIFICATION_SECONDS"),
        (alarms, "NOTIFICATION_SECONDS"),
        (alarms, "BACK_SECONDS"),
        (schedule, "UNDELIVERED_SECONDS"),
        (schedule, "FIRST_HEARTBEAT_SECONDS"),
        (reconciliation, "SETTLED_SECONDS"),
        (backups, "LONGEST_SECONDS"),
        (dead_letters, "LEFT_RUNNING_SECONDS"),
    ):
        monkeypatch.setattr(module, name, 0)
    monkeypatch.setattr(announcement, "announce_run", lambda *_: [])
    handlers = {number: signal.getsignal(number) for number in LATER_SIGNALS}
    yield
    for number, handler in handlers.items():
        signal.signal(number, handler)


def invoke_command(run: Run, *arguments: str) -> Result:
    # As a command finds them, and not as the one before has left them.
    for number in LATER_SIGNALS:
        signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(choose_target, "reach_environment", lambda *_, **__: run.platform.target)
        patch.setattr(cli, "_prepare_run", lambda *_: run)
        options = arguments or ("--yes", *(word for name in WRITING for word in ("--only", name)))
        return CliRunner().invoke(cli.main, ["dev", *options], prog_name="scripts/verify.sh")


def send_signal(run: Run, number: signal.Signals) -> None:
    """Interrupt the main thread; in another one, wait until the run has been stopped by that."""
    main = threading.main_thread()
    signal.pthread_kill(main.ident or 0, number)
    if threading.current_thread() is not main:
        run.stopped.wait(10)


@functools.cache
def list_writes() -> tuple[str, ...]:
    account = Account()
    assert invoke_command(account.make_run()).exit_code == 2
    assert account.list_temporary() == set()
    return tuple(account.list_writes())


def interrupt_after_request(account: Account, run: Run, operation: str) -> None:
    """Interrupt before the answer arrives, and again by each other signal while the changes are undone."""
    later_signals = iter(LATER_SIGNALS * 100)

    def interrupt(called: str) -> None:
        if called == operation and not run.stopped.is_set():
            send_signal(run, signal.SIGINT)
        elif run.stopped.is_set():
            send_signal(run, next(later_signals))

    account.after = interrupt


def lose_answer(account: Account, _: Run, operation: str) -> None:
    def lose(called: str) -> None:
        if called == operation:
            account.after = str
            raise ConnectionClosedError(endpoint_url="https://aws")

    account.after = lose


def interrupt_and_expire(account: Account, run: Run, operation: str) -> None:
    """Interrupt after the request, and refuse all later ones."""

    def expire(_: str) -> None:
        raise make_error("ExpiredToken")

    def interrupt(called: str) -> None:
        if called == operation:
            account.after, account.before = str, expire
            send_signal(run, signal.SIGINT)

    account.after = interrupt


def lose_answer_and_expire(account: Account, run: Run, operation: str) -> None:
    lose_answer(account, run, operation)
    lose = account.after

    def expire(called: str) -> None:
        if account.after is not lose:
            raise make_error("ExpiredToken", called)

    account.before = expire


def refuse_request(account: Account, _: Run, operation: str) -> None:
    def refuse(called: str) -> None:
        if called == operation:
            raise make_error("AccessDenied", called)

    account.before = refuse


def list_mistakes(account: Account, result: Result) -> list[str]:
    """Return what is wrong with how the command ended; nothing if all that it says is true."""
    remains, text = account.list_temporary(), result.stderr
    mistakes = [f"does not name {name}" for name in remains if name not in text]
    is_interrupted = "interrupted" in text
    is_unchanged = not remains and not account.payments
    codes = (1, 2) if not is_interrupted else (130,) if is_unchanged else (1,)
    if result.exit_code not in codes:
        mistakes.append(f"exit code {result.exit_code}, must be one of {codes}")
    if not isinstance(result.exception, SystemExit):
        mistakes.append(f"a traceback: {result.exception!r}")
    if is_interrupted and len(text.splitlines()) != 1:
        mistakes.append("not one line of error")
    if is_interrupted and account.payments and "the payments VERIFY-" not in text:
        mistakes.append("does not name the payments")
    if remains and "what was changed has been undone" in text:
        mistakes.append("says that all was undone")
    return mistakes


@pytest.mark.parametrize(
    ("disturb", "may_remain"),
    [
        (interrupt_after_request, False),
        (lose_answer, False),
        (refuse_request, False),
        (interrupt_and_expire, True),
        (lose_answer_and_expire, True),
    ],
)
def test_each_write_is_undone_or_named_however_it_ends(
    disturb: Callable[[Account, Run, str], None], may_remain: bool
) -> None:
    mistakes = []
    for operation in list_writes():
        account = Account()
        run = account.make_run()
        disturb(account, run, operation)
        result = invoke_command(run)
        account.before = account.after = str
        problems = list_mistakes(account, result)
        remains = account.list_temporary()
        # What undoes a change may fail.
        if operation not in UNDOING and not may_remain and remains:
            problems.append(f"leaves {remains}")
        # Nobody knows of an execution without an answer whether it leaves a dead letter.
        if operation not in (*UNDOING, *LASTING) and not remains and "not undone" in result.stderr:
            problems.append("says that something was not undone")
        mistakes += [f"{operation}: {problem}: {result.stderr.strip()}" for problem in problems]
    assert mistakes == [], "\n".join(["", *mistakes])


def test_each_write_in_the_sources_is_disturbed() -> None:
    session = botocore.session.get_session()
    models = map(session.get_service_model, SERVICES)
    writes = {xform_name(name) for model in models for name in model.operation_names if not read_only.is_read(name)}
    sources = [path.read_text(encoding="utf-8") for path in (ROOT / "scripts" / "verify").glob("*.py")]
    requested = {name for text in sources for name in re.findall(r"\.(\w+)[(,]", text)} & writes
    assert requested - NOT_DISTURBED <= {*list_writes()}
    assert len(requested) > len(NOT_DISTURBED)


def test_an_interrupted_run_that_only_reads_says_that_nothing_was_changed() -> None:
    account = Account()
    run = account.make_run()
    run.read_only = True
    account.after = lambda _: send_signal(run, signal.SIGINT)
    result = invoke_command(run, "--read-only", "--only", "schedule")
    assert (result.exit_code, result.stderr) == (130, "verify: interrupted; nothing was changed\n")


def test_a_group_that_does_not_stop_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its request is carried out after everything was undone."""
    monkeypatch.setattr(runner, "STOP_SECONDS", 0)
    account, has_ended = Account(), threading.Event()
    run = account.make_run()

    def hang(called: str) -> None:
        if called == "set_alarm_state" and not run.stopped.is_set():
            signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)
            has_ended.wait(10)

    account.before = hang
    result = invoke_command(run, "--yes", "--only", "alarms")
    has_ended.set()
    assert result.exit_code == 1
    assert "not undone: what alarms still changes: it has not ended within 0 s" in result.stderr
