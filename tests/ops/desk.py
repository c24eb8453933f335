"""An operator's desk: a copy of the repository whose commands reach a platform."""

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
from tests.ops.conftest import wait_until

LONGEST_SECONDS = 150


@dataclass
class Desk:
    platform: Platform
    folder: Path
    environment: dict[str, str]
    # The output of the last command of the runbook.
    output: str = ""

    def run_command(
        self, command: str, typed: str = "y\n", interrupt_after: list[str] | None = None
    ) -> tuple[int, str]:
        """Return the exit code and the output of both streams. Sends Ctrl-C once the output has ``interrupt_after``."""
        keyboard, terminal = pty.openpty()
        os.write(keyboard, typed.encode())
        try:
            process = subprocess.Popen(
                ["bash", "-euo", "pipefail", "-c", command],
                cwd=self.folder,
                env=self.environment,
                stdin=terminal,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
            beginning = b""
            assert process.stdout is not None
            try:
                if interrupt_after is not None:
                    beginning = read_output_until(process.stdout.fileno(), interrupt_after)
                    os.killpg(process.pid, signal.SIGINT)
                remainder, _ = process.communicate(timeout=LONGEST_SECONDS)
            finally:
                with suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
        finally:
            os.close(keyboard)
            os.close(terminal)
        return process.returncode, (beginning + remainder).decode()

    def clean_up(self) -> None:
        """Wait for the executions of earlier sections, delete what they left open, and empty the dead-letter queue.

        Of a payment that the simulator never answers, any later reconciliation is an error as soon as it is due.
        """
        machine = self.platform.outputs["StepFunctionsStateMachineArn"]
        running = {"stateMachineArn": machine, "statusFilter": "RUNNING"}
        assert wait_until(lambda: not self.platform.client("stepfunctions").list_executions(**running)["executions"])
        dynamodb, table = self.platform.client("dynamodb"), self.platform.outputs["DynamodbTableName"]
        for item in dynamodb.scan(TableName=table)["Items"]:
            if item["status"]["S"] in ("PENDING", "PROCESSING", "UNKNOWN"):
                dynamodb.delete_item(TableName=table, Key={"transaction_id": item["transaction_id"]})
        self.platform.client("sqs").purge_queue(QueueUrl=f"http://queue/{server.ACCOUNT}/payment-dlq-local")


def read_output_until(output: int, texts: list[str], seconds: float = LONGEST_SECONDS) -> bytes:
    """Return the output up to all of ``texts``, or up to its end, or what there is after ``seconds``."""
    received, deadline = b"", time.monotonic() + seconds
    while not all(text.encode() in received for text in texts):
        remaining = max(0.0, deadline - time.monotonic())
        if not select.select([output], [], [], remaining)[0]:
            break
        chunk = os.read(output, 65536)
        if not chunk:
            break
        received += chunk
    return received


def change_settings(desk: Desk, lines: str) -> None:
    """Add settings to [local]."""
    file = desk.folder / "stacks" / "environments.toml"
    text = file.read_text(encoding="utf-8")
    assert text.count("\n[local]\n") == 1
    file.write_text(text.replace("\n[local]\n", f"\n[local]\n{lines}"), encoding="utf-8")


def commit_all(desk: Desk, message: str) -> str:
    """Commit all files and return the revision."""
    git = ["git", "-c", "user.name=operator", "-c", "user.email=operator@example.org"]
    for step in (["init", "-q"], ["add", "-A"], ["commit", "-q", "-m", message]):
        subprocess.run([*git, *step], cwd=desk.folder, check=True, capture_output=True)
    revision = subprocess.run([*git, "rev-parse", "HEAD"], cwd=desk.folder, check=True, capture_output=True, text=True)
    return revision.stdout.strip()


def read_revision(desk: Desk) -> str:
    code, output = desk.run_command("git rev-parse HEAD")
    assert code == 0
    return output.strip()
