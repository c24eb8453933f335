"""Where the output and saved plans of a deployment go: unread pipes, full devices, files of others, the last record."""

import errno
import itertools
import json
import os
import re
import resource
import signal
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from scripts.common.errors import OutputError
from scripts.deployer.report.console_reporter import ConsoleReporter
from scripts.deployer.report.reporter import EventListener
from tests.deployer.aws.cloudformation import CloudFormation as Service
from tests.deployer.aws.holdings import Refused
from tests.deployer.conftest import LONGEST_SECONDS, Command, add_bootstrap_stack, add_platform
from tests.deployer.releases import edit_harmlessly
from tests.deployer.test_first_deployment import are_protected

# Each takes several deployments.
pytestmark = pytest.mark.nightly


def read_result(stdout: str) -> dict[str, Any]:
    result: dict[str, Any] = json.loads(stdout.splitlines()[-1])
    assert result["type"] == "result"
    return result


REASON = "the output is no longer being read (broken pipe)"
NOTICE = "; the command continues, and writes the rest here\n"
END = "; the rest of it stands above, on standard error\n"


@pytest.mark.parametrize(("options", "words"), [(("--json",), '"type": "event"'), ((), "UPDATE_IN_PROGRESS")])
def test_a_deployment_whose_output_nobody_reads_continues_and_says_so(
    command: Command, aws: Service, options: tuple[str, ...], words: str
) -> None:
    """`| head` ends once the deployment has begun."""
    add_platform(aws, edit_harmlessly)
    code, error_text = close_after(command.start("dev", "--yes", *options), words)
    assert code == 1
    assert error_text.startswith(f"deploy: {REASON}{NOTICE}")
    assert "UPDATE_COMPLETE" in error_text
    assert "deployed" in error_text.splitlines()[-2]
    assert error_text.endswith(f"\ndeploy: done, but {REASON}{END}")


def close_after(process: "subprocess.Popen[str]", pattern: str) -> tuple[int, str]:
    """Read the output up to a line, close it, and return the exit code and stderr."""
    assert process.stdout is not None
    assert process.stderr is not None
    while not re.search(pattern, process.stdout.readline()):
        assert process.poll() is None
    process.stdout.close()
    error_text = process.stderr.read()
    return process.wait(timeout=LONGEST_SECONDS), error_text


@pytest.mark.parametrize(
    ("options", "pattern"),
    [
        ((), "CREATE_COMPLETE +payment-platform-prod "),
        (("--json",), '"path": "payment-platform-prod".*CREATE_COMPLETE'),
    ],
)
def test_tables_are_protected_although_nobody_reads_that(
    command: Command, aws: Service, options: tuple[str, ...], pattern: str
) -> None:
    """Their protection is switched on after the deployment; `| grep -m1` ends when that is complete."""
    add_bootstrap_stack(aws)
    code, error_text = close_after(command.start("prod", "--yes", *options), pattern)
    assert (code, error_text.splitlines()[0]) == (1, f"deploy: {REASON}{NOTICE}".rstrip())
    assert are_protected(aws) == [True, True]
    (stack,) = [stack for stack in aws.stacks.values() if stack.name == "payment-platform-prod"]
    assert (stack.protected, bool(stack.policy), aws.remaining_names) == (True, True, [])


def test_a_saved_plan_is_named_although_nobody_reads_on(command: Command, aws: Service, tmp_path: Path) -> None:
    add_platform(aws, edit_harmlessly)
    code, error_text = close_after(command.start("plan", "dev", "--out", "plan.json", "--json"), '"type": "plan"')
    assert code == 1
    end = "; the plan is saved; run scripts/deploy.sh apply dev plan.json, or scripts/deploy.sh discard dev plan.json; "
    is_saved = (tmp_path / "plan.json").exists()
    # The pipe may close before the plan is saved; whichever it is, it is what is said.
    assert (end in error_text) == is_saved, error_text
    assert bool(aws.remaining_names) == is_saved


def run_redirected(
    command: Command, redirection: str, *arguments: str, script: str = "deploy"
) -> subprocess.CompletedProcess[str]:
    """Run a command in a shell, which closes or redirects its streams."""
    line = f'exec "$0" -m scripts.deployer.cli.{script} "$@" {redirection}'
    return subprocess.run(
        ["bash", "-c", line, sys.executable, *arguments],
        env=command.make_environment(),
        cwd=command.folder,
        capture_output=True,
        text=True,
        timeout=LONGEST_SECONDS,
        check=False,
    )


@pytest.mark.parametrize("script", ["deploy", "destroy"])
def test_nobody_can_answer_on_a_closed_input(command: Command, aws: Service, script: str) -> None:
    add_platform(aws, edit_harmlessly)
    result = run_redirected(command, "<&-", "dev", script=script)
    refusal = f"{script}: cannot ask for confirmation without a terminal; run it in a terminal or add --yes"
    assert (result.returncode, result.stderr.count("\n"), result.stderr.startswith(refusal)) == (1, 1, True)
    assert aws.find_requests("ExecuteChangeSet") + aws.find_requests("DeleteStack") == []


def test_a_deployment_whose_output_grows_too_large_continues_and_says_so(
    command: Command, aws: Service, tmp_path: Path
) -> None:
    add_platform(aws, edit_harmlessly)
    needed = len(command("dev", "--plan", "--json", code=2).stdout) + 100
    process = subprocess.run(
        [sys.executable, "-m", "scripts.deployer.cli.deploy", "dev", "--yes", "--json"],
        env=command.make_environment(),
        cwd=command.folder,
        stdin=subprocess.DEVNULL,
        stdout=(tmp_path / "output.jsonl").open("w"),
        stderr=subprocess.PIPE,
        text=True,
        timeout=LONGEST_SECONDS,
        check=False,
        # Large enough for the plan, and not for the events.
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (needed, needed)),
    )
    reason = "the output cannot be written: File too large"
    assert process.stderr.startswith(f"deploy: {reason}{NOTICE}")
    assert (process.stderr.endswith(f"deploy: done, but {reason}{END}"), process.returncode) == (True, 1)
    # What the file holds, and the rest.
    lines = (tmp_path / "output.jsonl").read_text() + process.stderr.partition(NOTICE)[2].rpartition("deploy: ")[0]
    assert read_result(lines)["result"] == "deployed"
    assert all(map(json.loads, lines.splitlines()))


_INTERRUPT, _LOSS = KeyboardInterrupt(), OutputError(errno.EIO, "Input/output error")


@pytest.mark.parametrize(
    ("arguments", "first", "second"),
    [
        (("dev", "--yes"), _INTERRUPT, _INTERRUPT),
        # One that only watches ends with its output.
        *((("follow", "dev"), *failures) for failures in itertools.product((_INTERRUPT, _LOSS), repeat=2)),
    ],
    ids=repr,
)
def test_what_ends_the_command_while_it_is_being_ended_does_not_hide_that_the_deployment_continues(
    command: Command,
    aws: Service,
    monkeypatch: pytest.MonkeyPatch,
    arguments: tuple[str, ...],
    first: BaseException,
    second: BaseException,
) -> None:
    """Such as a second Ctrl-C, or a terminal that closes: the signal, and then the progress that cannot be drawn."""

    @contextmanager
    def fail_twice(*_: object) -> Iterator[EventListener]:
        def fail(_: object) -> None:
            raise first

        try:
            yield fail
        finally:
            raise second

    monkeypatch.setattr(ConsoleReporter, "follow_events", fail_twice)
    stack = add_platform(aws, edit_harmlessly)
    if "follow" in arguments:
        stack.status = "UPDATE_IN_PROGRESS"
        aws.add_event(stack, "", "AWS::CloudFormation::Stack", stack.status, "User Initiated")
    result = command(*arguments, code=3)
    reason = "interrupted" if isinstance(second, KeyboardInterrupt) else str(second)
    assert result.stderr == (
        f"deploy: {reason}; the deployment continues; watch it: scripts/deploy.sh follow dev, or cancel it: "
        "scripts/deploy.sh cancel dev\n"
    )


@pytest.mark.parametrize(("shown", "arguments", "code"), [("[y/N]", (), 130), ("UPDATE_IN_PROGRESS", ("--yes",), 3)])
def test_a_closed_terminal_ends_a_command_as_ctrl_c_does(
    command: Command, aws: Service, shown: str, arguments: tuple[str, ...], code: int
) -> None:
    add_platform(aws, edit_harmlessly)
    # Events that come only after the test.
    aws.silent = 1000
    assert command.run_on_terminal("dev", *arguments, closes_at=shown).code == code
    assert len(aws.find_requests("ExecuteChangeSet")) == (code == 3)
    assert aws.remaining_names == []


@pytest.mark.parametrize(
    ("script", "arguments"),
    [
        ("deploy", ("plan", "dev")),
        ("deploy", ("plan", "dev", "--json")),
        ("deploy", ("plan", "dev", "--against", "HEAD~1")),
        ("deploy", ("plan", "dev", "--help")),
        ("status", ("dev",)),
        ("status", ("dev", "--json")),
        ("outputs", ("dev",)),
    ],
)
def test_a_command_that_only_reads_ends_silently_if_nobody_reads_its_output(
    command: Command, aws: Service, script: str, arguments: tuple[str, ...]
) -> None:
    """As other tools do with `| head`, with the exit code of SIGPIPE."""
    add_platform(aws, edit_harmlessly)
    process = command.start(*arguments, script=script)
    assert process.stdout is not None
    process.stdout.close()
    assert process.stderr is not None
    error_text = process.stderr.read()
    assert (process.wait(timeout=LONGEST_SECONDS), error_text) == (141, "")
    assert aws.remaining_names == []


@pytest.mark.parametrize("arguments", [("plan", "dev", "--out", "plan.json"), ("dev", "--yes")])
def test_a_command_that_was_to_change_or_save_something_says_that_it_did_not(
    command: Command, aws: Service, arguments: tuple[str, ...]
) -> None:
    add_platform(aws, edit_harmlessly)
    process = command.start(*arguments)
    assert process.stdout is not None
    process.stdout.close()
    assert process.stderr is not None
    error_text = process.stderr.read()
    assert (process.wait(timeout=LONGEST_SECONDS), error_text) == (
        1,
        "deploy: the output is no longer being read (broken pipe); nothing was changed\n",
    )
    assert aws.remaining_names == []


def test_a_plan_is_saved_for_its_owner_only_and_never_over_anything_else(
    command: Command, aws: Service, tmp_path: Path
) -> None:
    add_platform(aws, edit_harmlessly)
    notes = tmp_path / "notes.txt"
    notes.write_text("mine")
    for path, problem in (
        (Path("/dev/null"), "not a regular file, so it is not written"),
        (notes, "not a saved plan, so it is not replaced; delete it, or name another file"),
        (tmp_path / "none" / "plan.json", "there is no folder"),
    ):
        assert problem in command("dev", "--plan", "--out", str(path), code=1).stderr
    assert aws.find_writes() == []
    assert notes.read_text() == "mine"
    plan = tmp_path / "my plan.json"
    saved = command("dev", "--plan", "--out", str(plan), code=2)
    assert f"run scripts/deploy.sh apply dev '{plan}', or scripts/deploy.sh discard dev '{plan}'\n" in saved.stdout
    assert stat.S_IMODE(plan.stat().st_mode) == 0o600
    again = command("dev", "--plan", "--out", str(plan), code=1)
    assert f"holds a plan already; run scripts/deploy.sh apply dev '{plan}', or" in again.stderr
    assert len(aws.find_requests("CreateChangeSet")) == 1


def test_a_saved_plan_that_is_nested_too_deeply_is_one_line(command: Command, tmp_path: Path) -> None:
    path = tmp_path / "plan.json"
    path.write_text("[" * 100_000)
    error = command("dev", "--apply", str(path), code=1).stderr
    assert error.startswith(f"deploy: {path}: not JSON, so not a plan that --out has saved; ")
    assert error.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "operation", "code"),
    [
        (("dev", "--yes"), "CreateChangeSet", 1),
        (("dev", "--yes"), "DescribeStacks", 1),
        (("plan", "dev"), "DescribeChangeSet", 1),
        (("dev", "--follow"), "DescribeStacks", 1),
        (("dev", "--yes"), "DescribeStackEvents", 1),
    ],
)
def test_json_ends_with_the_result_of_a_failure(
    command: Command, aws: Service, arguments: tuple[str, ...], operation: str, code: int
) -> None:
    add_platform(aws, edit_harmlessly)
    aws.errors[operation] = [Refused("AccessDenied", "no", 403)] * 30
    result = command(*arguments, "--json", code=code)
    record = read_result(result.stdout)
    assert record["result"] == "failed"
    assert result.stderr == f"deploy: {record['message']}\n"


def test_markdown_ends_with_the_reason_of_a_failure(command: Command, aws: Service) -> None:
    add_platform(aws, edit_harmlessly)
    aws.errors["CreateChangeSet"] = [Refused("ValidationError", "not *allowed*")] * 5
    stdout = command("plan", "dev", "--markdown", code=1).stdout
    assert "**No plan:**" in stdout
    assert "not \\*allowed\\*" in stdout


def test_markdown_does_not_deny_the_plan_that_it_has_shown(command: Command, aws: Service) -> None:
    add_platform(aws, edit_harmlessly)
    aws.errors["DeleteChangeSet"] = [Refused("AccessDenied", "no", 403)] * 30
    stdout = command("plan", "dev", "--markdown", code=1).stdout
    assert "No plan" not in stdout
    assert stdout.count("###") == stdout.count("**Plan: ") == 1
    assert "\n**The command failed after this plan was made:** change set deploy-" in stdout


def test_a_full_device_ends_a_plan_in_one_line(command: Command, aws: Service) -> None:
    add_platform(aws, edit_harmlessly)
    environment = command.make_environment()
    with open(os.devnull) as nothing_to_read, open("/dev/full", "w") as full:
        result = subprocess.run(
            [sys.executable, "-m", "scripts.deployer.cli.deploy", "plan", "dev"],
            env=environment,
            cwd=command.folder,
            stdin=nothing_to_read,
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            timeout=LONGEST_SECONDS,
            check=False,
        )
    assert (result.returncode, result.stderr) == (
        1,
        "deploy: the output cannot be written: No space left on device; nothing was changed\n",
    )
    assert aws.remaining_names == []


@pytest.mark.parametrize(
    ("operation", "script", "arguments"),
    [("GetTemplate", "deploy", ("plan", "dev")), ("ListStackResources", "status", ("dev",))],
)
def test_ctrl_c_does_not_wait_for_calls_in_threads(
    command: Command, aws: Service, operation: str, script: str, arguments: tuple[str, ...]
) -> None:
    """The service has answered before, so that a call which reads would be tried for most of a minute."""
    add_platform(aws, edit_harmlessly)
    hangs, may_answer = threading.Event(), threading.Event()
    calls: list[int] = []

    def hang() -> None:
        calls.append(1)
        # The first is made by the main thread.
        if len(calls) > 1:
            hangs.set()
            may_answer.wait(LONGEST_SECONDS)

    aws.before[operation] = hang
    process = command.start(*arguments, script=script)
    try:
        assert hangs.wait(LONGEST_SECONDS)
        process.send_signal(signal.SIGINT)
        _, stderr = process.communicate(timeout=LONGEST_SECONDS / 2)
    finally:
        may_answer.set()
        process.kill()
    assert (process.returncode, stderr.splitlines()[-1].split(";")[0]) == (130, f"{script}: interrupted")
