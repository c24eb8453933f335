"""A command that ends early says what it has changed or may have changed, and its exit code agrees."""

import functools
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result

from scripts.operator import cli
from tests.deployer.aws.cloudformation import CloudFormation as Service
from tests.deployer.aws.endpoint import serve_account
from tests.deployer.aws.faults import BROKEN, DENIED, EXPIRED, RESET_AFTER, Fault
from tests.deployer.conftest import Command, add_platform
from tests.deployer.disturbed_runs import list_errors, send_signal, strike_from
from tests.operator.fake_queue import FakeQueue
from tests.operator.payment_account import PaymentAccount, write_letter
from tests.operator.test_command_line import list_paths

READING = {"show", "list", "tail", "dlq list", "dlq explain"}
INVOKE, START, DELETE = "lambda:Invoke", "states:StartExecution", "sqs:DeleteMessage"
PAYMENT = ("--amount", "150", "--method", "credit_card", "--customer", "C-1")
SAFE = "it is safe to run the same command again"


@dataclass(frozen=True)
class Write:
    """A request by which a command changes something.

    ``change`` is said if nobody knows whether it was carried out. ``refusal`` is what the message of its refusal ends
    with: what was changed before. ``goes_on``: whether AWS goes on with it.
    """

    arguments: tuple[str, ...]
    operation: str
    change: str
    refusal: str = ""
    goes_on: bool = True


AGAIN = "run the same command again, and see `show` for the outcomes"
SEE_SHOW = "see scripts/payments.sh --env dev show T-1"
WRITES = {
    "start": Write(
        ("start", "T-9", *PAYMENT),
        START,
        f"up to 1 of 1 may have been sent; {SAFE}: it sends only the others",
        f"nothing was sent by this run; {SAFE}",
    ),
    "refund": Write(
        ("refund", "T-1", "--yes"), INVOKE, f"T-1 may have been refunded; run the same command again, or {SEE_SHOW}"
    ),
    "resolve": Write(("resolve", "T-1", "--not-charged", "--yes"), INVOKE, f"T-1 may have been resolved; {SEE_SHOW}"),
    "erase": Write(("erase", "T-1", "--yes"), INVOKE, "T-1 may have been erased; run the same command again"),
    "reconcile": Write(("reconcile",), INVOKE, "reconciliation may go on; see scripts/logs.sh dev reconciliation"),
    "dlq redrive": Write(("dlq", "redrive", "T-1"), INVOKE, f"T-1 may have been reopened; {AGAIN}"),
    "dlq redrive, reopened": Write(
        ("dlq", "redrive", "T-1"),
        START,
        f"T-1 was reopened, and may have been started; {AGAIN}",
        f"T-1 was reopened; {AGAIN}",
    ),
    "dlq clear": Write(
        ("dlq", "clear", "0", "--yes"), DELETE, "dead letter 0 may have been deleted; see `dlq list`", goes_on=False
    ),
}


@pytest.fixture
def account() -> PaymentAccount:
    statuses = {"T-1": "FAILED", "T-2": "FAILED", "T-3": "FAILED"}
    return PaymentAccount(payments=statuses, queue=FakeQueue(*map(write_letter, statuses)))


@pytest.fixture
def aws() -> Service:
    service = Service()
    add_platform(service)
    return service


@pytest.fixture
def url(aws: Service, account: PaymentAccount) -> Iterator[str]:
    with serve_account(aws, account) as address:
        yield address


@pytest.fixture
def run(url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    for name, value in Command(url, tmp_path).make_environment().items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(time, "sleep", functools.partial(_sleep_briefly, time.sleep))

    def run_command(*arguments: str) -> Result:
        return CliRunner().invoke(cli.main, ("--env", "dev", *arguments), prog_name="scripts/payments.sh")

    return run_command


def _sleep_briefly(sleep: Callable[[float], None], seconds: float) -> None:
    sleep(seconds / 100)


def interrupt_at(aws: Service, operation: str, number: int = 1, kind: signal.Signals = signal.SIGINT) -> None:
    """Interrupt the command while it waits for the answer to this call of the operation, which is carried out."""
    calls: list[str] = []

    def interrupt(name: str) -> None:
        calls.append(name)
        if name == operation and calls.count(name) == number:
            send_signal(kind)

    aws.before_call = interrupt


def read_error(result: Result) -> str:
    """Return the only line of error."""
    assert "Traceback" not in result.output
    (line,) = list_errors(result.stderr)
    return line.removeprefix("payments: ")


def test_each_command_reads_or_is_tested_here() -> None:
    commands = {" ".join(path) for path in list_paths(cli.main) if not isinstance(_find_command(path), click.Group)}
    assert commands == READING | {name.partition(",")[0] for name in WRITES}


def _find_command(path: tuple[str, ...]) -> click.Command:
    command: click.Command = cli.main
    for name in path:
        assert isinstance(command, click.Group)
        command = command.commands[name]
    return command


@pytest.mark.parametrize("write", WRITES.values(), ids=WRITES)
@pytest.mark.parametrize("kind", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_request_may_have_been_carried_out(
    write: Write, kind: signal.Signals, aws: Service, run: Callable[..., Result]
) -> None:
    interrupt_at(aws, write.operation, kind=kind)
    result = run(*write.arguments)
    error = read_error(result)
    if write.operation == START and write.arguments[0] == "start":
        # What has begun is waited for.
        assert error == f"interrupted; 1 of 1 were sent; {SAFE}: it shows how they ended"
    else:
        assert error.startswith(f"interrupted; {write.change}")
    assert result.exit_code == (3 if write.goes_on else 1)


@pytest.mark.parametrize("write", WRITES.values(), ids=WRITES)
@pytest.mark.parametrize("kind", [RESET_AFTER, BROKEN])
def test_a_request_without_an_answer_may_have_been_carried_out(
    write: Write, kind: str, aws: Service, run: Callable[..., Result]
) -> None:
    aws.faults[write.operation] = Fault(kind)
    result = run(*write.arguments)
    assert read_error(result).endswith(write.change)
    assert result.exit_code == (3 if write.goes_on else 1)


@pytest.mark.parametrize("write", WRITES.values(), ids=WRITES)
@pytest.mark.parametrize("kind", [DENIED, EXPIRED])
def test_a_refused_request_has_changed_nothing(
    write: Write, kind: str, aws: Service, run: Callable[..., Result]
) -> None:
    aws.faults[write.operation] = Fault(kind)
    result = run(*write.arguments)
    error = read_error(result)
    assert "may" not in error
    assert error.endswith(write.refusal)
    assert ("was reopened" in error) is ("was reopened" in write.refusal)
    assert result.exit_code == 1


@pytest.mark.parametrize("write", WRITES.values(), ids=WRITES)
def test_an_interrupt_before_the_request_changes_nothing(
    write: Write, aws: Service, run: Callable[..., Result]
) -> None:
    interrupt_at(aws, "DescribeStacks")
    result = run(*write.arguments)
    nothing = f"nothing was sent by this run; {SAFE}" if write.arguments[0] == "start" else "nothing was changed"
    assert (result.exit_code, read_error(result)) == (130, f"interrupted; {nothing}")


@pytest.mark.parametrize("as_json", [False, True])
@pytest.mark.parametrize(
    ("kind", "change", "code"),
    [(EXPIRED, "", 1), (RESET_AFTER, "; T-3 may have been erased", 3), (None, "; T-3 may have been erased", 3)],
)
def test_what_was_erased_before_an_early_end_is_printed(
    as_json: bool, kind: str | None, change: str, code: int, aws: Service, run: Callable[..., Result]
) -> None:
    if kind is None:
        interrupt_at(aws, INVOKE, number=3)
    else:
        aws.faults[INVOKE] = Fault(kind, spared=2)
    result = run("erase", "T-1", "T-2", "T-3", "--yes", *["--json"] * as_json)
    ids = [answer["transaction_id"] for answer in json.loads(result.stdout)] if as_json else result.stdout.split()[::2]
    assert [key.rstrip(":") for key in ids] == ["T-1", "T-2"]
    assert read_error(result).endswith(f"; 2 of 3 were erased{change}; run the same command again")
    assert result.exit_code == code


def test_an_interrupted_redrive_names_what_it_has_done(
    aws: Service, account: PaymentAccount, run: Callable[..., Result]
) -> None:
    account.payments["T-1"] = "COMPLETED"
    interrupt_at(aws, START, number=2)
    result = run("dlq", "redrive", "--all")
    changes = "payments started: 1, dead letters deleted: 2; T-3 was reopened, and may have been started"
    assert read_error(result).startswith(f"interrupted; {changes}; run the same command again")
    assert (result.exit_code, len(account.executions)) == (3, 2)
    assert account.queue.visible_ids == ["2"]


def test_a_letter_that_was_deleted_before_an_interrupt_is_counted(
    aws: Service, account: PaymentAccount, run: Callable[..., Result]
) -> None:
    account.payments |= {"T-1": "COMPLETED", "T-2": "COMPLETED"}
    interrupt_at(aws, "sqs:ChangeMessageVisibility", number=3)
    result = run("dlq", "redrive", "--all")
    assert read_error(result).startswith("interrupted; payments started: 0, dead letters deleted: 1; ")
    assert result.exit_code == 1


@pytest.mark.parametrize(
    ("arguments", "change", "code"),
    [
        (("refund", "T-1", "--yes"), "T-1 is REFUNDED; ", 1),
        (("erase", "T-1", "--yes"), "1 of 1 were erased; ", 1),
        (("reconcile",), "reconciliation has run; ", 1),
        (("dlq", "redrive", "T-1"), "payments started: 1, dead letters deleted: 1; ", 3),
        (("start", "T-9", *PAYMENT, "--no-wait"), f"1 of 1 were sent; {SAFE}", 3),
    ],
    ids=lambda value: " ".join(value[:2]) if isinstance(value, tuple) else "",
)
def test_an_output_that_cannot_be_written_does_not_hide_the_change(
    arguments: tuple[str, ...], change: str, code: int, url: str, tmp_path: Path
) -> None:
    environment = Command(url, tmp_path).make_environment()
    with open("/dev/full", "w") as full:
        process = subprocess.run(
            [sys.executable, "-m", "scripts.operator", "--env", "dev", *arguments],
            env=os.environ | environment, cwd=tmp_path, stdout=full, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
    assert process.stderr.startswith("payments: the output cannot be written: No space left on device; " + change)
    assert process.returncode == code


def write_file(folder: Path, count: int) -> str:
    path = folder / "payments.csv"
    rows = [f"T-{number},150,credit_card,C-1\n" for number in range(count)]
    path.write_text("".join(["transaction_id,payment_amount,payment_method,customer_id\n", *rows]))
    return str(path)


@pytest.mark.parametrize("kind", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_file_counts_what_was_started(
    kind: signal.Signals, aws: Service, account: PaymentAccount, run: Callable[..., Result], tmp_path: Path
) -> None:
    account.payments.clear()
    interrupt_at(aws, START, number=60, kind=kind)
    result = run("start", "--file", write_file(tmp_path, 150), "--no-wait", "--json")
    assert {answer["transaction_id"] for answer in json.loads(result.stdout)} == set(account.executions)
    sent = f"{len(account.executions)} of 150 were sent; the last 50 were not looked up"
    assert read_error(result) == f"interrupted; {sent}; {SAFE}: it sends only the others"
    assert result.exit_code == 3


@pytest.mark.parametrize("options", [("--no-wait",), ()])
def test_what_an_interrupted_file_has_started_is_among_its_results(
    options: tuple[str, ...], aws: Service, account: PaymentAccount, run: Callable[..., Result], tmp_path: Path
) -> None:
    account.payments.clear()
    interrupt_at(aws, START, number=60)
    path = tmp_path / "results.csv"
    result = run("start", "--file", write_file(tmp_path, 150), *options, "--results", str(path))
    lines = path.read_text().splitlines()[1:]
    assert sorted(line.split(",")[0] for line in lines) == sorted(account.executions)
    assert (len(lines) >= 60, result.exit_code) == (True, 3)


@pytest.mark.parametrize("kind", [EXPIRED, None])
def test_a_payment_goes_on_when_nobody_waits_for_it(
    kind: str | None, aws: Service, account: PaymentAccount, run: Callable[..., Result]
) -> None:
    account.payments.clear()
    if kind is None:
        interrupt_at(aws, "dynamodb:BatchGetItem", number=2)
    else:
        aws.faults["dynamodb:BatchGetItem"] = Fault(kind, spared=1)
    result = run("start", "T-9", *PAYMENT, "--json")
    assert [answer["transaction_id"] for answer in json.loads(result.stdout)] == ["T-9"]
    assert read_error(result).endswith(f"; 1 of 1 were sent; {SAFE}: it shows how they ended")
    assert (result.exit_code, account.executions) == (3, ["T-9"])


def test_a_repetition_that_cannot_read_the_table_claims_no_number_and_keeps_the_results(
    aws: Service, account: PaymentAccount, run: Callable[..., Result], tmp_path: Path
) -> None:
    account.payments.clear()
    results = tmp_path / "results.csv"
    command = "start", "--file", write_file(tmp_path, 3), "--no-wait", "--results", str(results)
    assert run(*command).exit_code == 0
    earlier = results.read_text()
    assert len(earlier.splitlines()) == 4
    aws.faults["dynamodb:BatchGetItem"] = Fault(EXPIRED)
    result = run(*command)
    assert read_error(result).endswith(f"; nothing was sent by this run; {SAFE}")
    assert (result.exit_code, results.read_text()) == (1, earlier)


def test_results_before_an_early_end_are_printed(
    aws: Service, account: PaymentAccount, run: Callable[..., Result], tmp_path: Path
) -> None:
    account.payments.clear()
    aws.faults["dynamodb:BatchGetItem"] = Fault(EXPIRED, spared=1)
    result = run("start", "--file", write_file(tmp_path, 150), "--no-wait", "--json")
    assert [answer["transaction_id"] for answer in json.loads(result.stdout)] == [f"T-{n}" for n in range(100)]
    assert "; 100 of 150 were sent; the last 50 were not looked up; " in read_error(result)
    assert result.exit_code == 3


@pytest.mark.parametrize(("arguments", "operation"), [(("redrive", "T-1"), INVOKE), (("clear", "0", "--yes"), DELETE)])
def test_letters_that_cannot_be_shown_again_are_said_to_be_hidden(
    arguments: tuple[str, ...], operation: str, aws: Service, run: Callable[..., Result]
) -> None:
    strike_from(aws, operation, EXPIRED)
    result = run("dlq", *arguments)
    assert "; the dead letters may stay hidden for up to 600 seconds" in result.stderr
    assert result.exit_code == 1


def test_letters_that_an_interrupt_leaves_hidden_are_said_to_be(aws: Service, run: Callable[..., Result]) -> None:
    interrupt_at(aws, "sqs:ChangeMessageVisibilityBatch")
    result = run("dlq", "list")
    assert read_error(result).startswith("interrupted; the dead letters may stay hidden for up to ")
    assert result.exit_code == 1
