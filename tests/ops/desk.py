"""Where an operator works: a copy of the repository, with a platform that its commands reach."""

import os
import pty
import select
import signal
import subprocess
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from scripts.local import server
from tests.e2e.conftest import Platform
from tests.ops.conftest import until

LONGEST_SECONDS = 60


@dataclass
class Desk:
    """A platform, and the copy of the repository that an operator works in."""

    platform: Platform
    folder: Path
    environment: dict[str, str]
    # Of the last command of the runbook.
    output: str = ""

    def run(self, command: str, typed: str = "y\n", until_it_says: list[str] | None = None) -> tuple[int, str]:
        """Exit code and output, of both streams. With ``until_it_says`` it is interrupted once it has said that."""
        keyboard, terminal = pty.openpty()
        os.write(keyboard, typed.encode())
        try:
            ran = subprocess.Popen(
                ["bash", "-euo", "pipefail", "-c", command],
                cwd=self.folder,
                env=self.environment,
                stdin=terminal,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
            said = b""
            assert ran.stdout is not None
            try:
                if until_it_says is not None:
                    said = read_until(ran.stdout.fileno(), until_it_says)
                    os.killpg(ran.pid, signal.SIGINT)
                rest, _ = ran.communicate(timeout=LONGEST_SECONDS)
            finally:
                with suppress(ProcessLookupError):
                    os.killpg(ran.pid, signal.SIGKILL)
        finally:
            os.close(keyboard)
            os.close(terminal)
        return ran.returncode, (said + rest).decode()

    def quiet(self) -> None:
        """What earlier sections began has ended, and left nothing in the queue."""
        machine = self.platform.outputs["StepFunctionsStateMachineArn"]
        running = {"stateMachineArn": machine, "statusFilter": "RUNNING"}
        assert until(lambda: not self.platform.client("stepfunctions").list_executions(**running)["executions"])
        self.platform.client("sqs").purge_queue(QueueUrl=f"http://queue/{server.ACCOUNT}/payment-dlq-local")


def read_until(output: int, it_says: list[str], seconds: float = LONGEST_SECONDS) -> bytes:
    """What is said there until all that has been, or the time is over, or nobody is left to say it."""
    said, deadline = b"", time.monotonic() + seconds
    while not all(one.encode() in said for one in it_says):
        left = max(0.0, deadline - time.monotonic())
        if not select.select([output], [], [], left)[0]:
            break
        more = os.read(output, 65536)
        if not more:
            break
        said += more
    return said


def change_settings(desk: Desk, lines: str) -> None:
    """Of [local], which is the last table of the file."""
    with open(desk.folder / "stacks" / "environments.toml", "a") as file:
        file.write(lines)


def commit(desk: Desk, message: str) -> str:
    """The revision."""
    git = ["git", "-c", "user.name=operator", "-c", "user.email=operator@example.org"]
    for step in (["init", "-q"], ["add", "-A"], ["commit", "-q", "-m", message]):
        subprocess.run([*git, *step], cwd=desk.folder, check=True, capture_output=True)
    shown = subprocess.run([*git, "rev-parse", "HEAD"], cwd=desk.folder, check=True, capture_output=True, text=True)
    return shown.stdout.strip()


def commit_of(desk: Desk) -> str:
    code, said = desk.run("git rev-parse HEAD")
    assert code == 0
    return said.strip()
