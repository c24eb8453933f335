"""Standard streams that are closed, full or gone: one line, never a traceback, and no other file is taken for them."""

import json
import os
import resource
import signal
import subprocess
import sys
import time
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from tests.emitted import ROOT
from tests.test_start import COMMANDS

# Writes more than a pipe or a socket holds, in small pieces and at once.
_WRITE = """
import sys
from scripts.common.command import report_errors
from scripts.common.terminal import echo
with report_errors("test"):
    for _ in range(3000):
        echo("x" * 99)
    echo("x" * 300_000)
"""


def start_writing(output: int, code: str = _WRITE, **options: object) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-c", code],
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=subprocess.PIPE,
        text=True,
        **options,  # type: ignore[call-overload] # those of Popen
    )


@contextmanager
def open_limited_file(folder: Path) -> Iterator[tuple[int, dict[str, object]]]:
    with (folder / "output.txt").open("w") as file:
        yield file.fileno(), {"preexec_fn": lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))}


@contextmanager
def open_full_device(_: Path) -> Iterator[tuple[int, dict[str, object]]]:
    with open("/dev/full", "w") as file:
        yield file.fileno(), {}


@contextmanager
def open_read_only_file(folder: Path) -> Iterator[tuple[int, dict[str, object]]]:
    path = folder / "input.txt"
    path.touch()
    with path.open() as file:
        yield file.fileno(), {}


@pytest.mark.parametrize(
    ("open_output", "reason"),
    [
        (open_limited_file, "File too large"),
        (open_full_device, "No space left on device"),
        (open_read_only_file, "Bad file descriptor"),
    ],
)
def test_an_output_that_cannot_be_written_is_one_line(open_output: object, reason: str, tmp_path: Path) -> None:
    with open_output(tmp_path) as (descriptor, options):  # type: ignore[operator] # a context manager
        process = start_writing(descriptor, **options)
        _, error_text = process.communicate(timeout=60)
    assert (process.returncode, error_text) == (1, f"test: the output cannot be written: {reason}\n")


@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_an_output_that_does_not_block_is_waited_for(unbuffered: str) -> None:
    """Such as that of a program that reads several commands."""
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    process = start_writing(writer, env=os.environ | {"PYTHONUNBUFFERED": unbuffered})
    os.close(writer)
    with open(reader, "rb") as file:
        size = len(file.read())
    assert process.stderr is not None
    assert (process.wait(timeout=60), process.stderr.read()) == (0, "")
    assert size == 3000 * 100 + 300_001


@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize("length", [7_000, 300_000])
def test_an_interrupt_of_a_record_does_not_spoil_the_next_one(unbuffered: str, length: int) -> None:
    """The reader waits until the pipe is full and the signal is sent; then it reads on."""
    code = f"""
import signal, sys
from scripts.common.streams import prepare_streams
from scripts.deployer.report.json_reporter import JsonReporter
signal.signal(signal.SIGTERM, signal.default_int_handler)
prepare_streams()
report = JsonReporter(sys.stdout)
print("ready", file=sys.stderr, flush=True)
try:
    for _ in range(300_000 // {length} + 99):
        report.announce_step("x" * {length})
except KeyboardInterrupt:
    report.show_error("payment-platform-dev", "interrupted")
"""
    reader, writer = os.pipe()
    process = start_writing(writer, code, env=os.environ | {"PYTHONUNBUFFERED": unbuffered})
    os.close(writer)
    assert process.stderr is not None
    assert process.stderr.readline() == "ready\n"
    for _ in range(600):
        if "pipe" in Path(f"/proc/{process.pid}/wchan").read_text():
            break
        time.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    # The signal is handled before the pipe has room again.
    for _ in range(600):
        if f"{1 << signal.SIGTERM - 1:016x}" not in Path(f"/proc/{process.pid}/status").read_text().split("SigCgt")[0]:
            break
        time.sleep(0.05)
    with open(reader, encoding="utf-8") as file:
        lines = file.read().splitlines()
    assert process.wait(timeout=60) == 0
    assert json.loads(lines[-1])["result"] == "failed"
    # What the interrupt has cut is one line.
    assert sum(not line.startswith("{") or not line.endswith("}") for line in lines) <= 1


@pytest.mark.parametrize("unbuffered", [(), ("-u",)])
def test_another_file_that_cannot_be_written_is_not_taken_for_the_output(unbuffered: tuple[str, ...]) -> None:
    code = """
from scripts.common.command import report_errors
with report_errors("test"):
    print("begun")
    with open("/dev/full", "w") as file:
        file.write("x")
"""
    result = subprocess.run(
        [sys.executable, *unbuffered, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
    )
    assert result.stdout == "begun\n"
    assert result.stderr.splitlines()[-1] == "OSError: [Errno 28] No space left on device"


def test_a_thread_that_draws_on_a_closed_terminal_prints_no_traceback() -> None:
    code = """
import threading
from scripts.common.command import report_errors
with report_errors("test"):
    thread = threading.Thread(target=print, args=("x",), kwargs={"flush": True})
    thread.start()
    thread.join()
"""
    with open("/dev/full", "w") as full:
        process = start_writing(full.fileno(), code)
        _, error_text = process.communicate(timeout=60)
    assert "Traceback" not in error_text


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_in_a_deleted_folder_is_refused_in_one_line(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    command: click.Command = COMMANDS[name][1]
    arguments = {
        "payments": ["--env", "dev", "list"],
        "invoke": ["validation", "-"],
        "logs": ["dev", "processing"],
        "capacity": ["dev", "--per-second", "1"],
    }
    folder = tmp_path / "gone"
    folder.mkdir()
    monkeypatch.chdir(folder)
    folder.rmdir()
    try:
        result = CliRunner().invoke(command, arguments.get(name, ["dev"]), prog_name=name)
    finally:
        os.chdir(ROOT)
    problem = "the working folder cannot be used (No such file or directory); change to another one"
    assert (result.stderr.count("\n"), result.exit_code != 0) == (1, True)
    assert result.stderr.startswith(f"{name}: {problem}")


@pytest.mark.parametrize(
    ("module", "arguments", "ending"),
    [
        ("deployer.cli.invoke", "validation -", "not JSON: Expecting value: line 1 column 1 (char 0)"),
        ("operator", "--env nowhere start T-1 --amount 1 --method credit_card --customer C-1", ""),
        ("deployer.cli.deploy", "plan nowhere", ""),
    ],
)
def test_a_closed_input_is_an_empty_one(module: str, arguments: str, ending: str) -> None:
    result = subprocess.run(
        ["bash", "-c", f"{sys.executable} -m scripts.{module} {arguments} <&-"],
        cwd=ROOT,
        env={"PYTHONPATH": f"{ROOT}:{ROOT / 'lambda'}", "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert result.stderr.count("\n") == 1
    tables = tomllib.loads((ROOT / "stacks" / "environments.toml").read_text(encoding="utf-8"))
    environments = ", ".join(sorted(tables.keys() - {"bootstrap"}))
    assert result.stderr.endswith(f"{ending or f'it has {environments}'}\n")
