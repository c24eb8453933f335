"""The release that is checked out, and the one before it: a definition of the state machine, and its functions.

The release before is the newest commit with another definition or other functions. ``COMPATIBLE_WITH`` names another
commit, for example the one that an environment runs.
"""

import io
import json
import os
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cfn_flip
import pytest

from tests.asl import StatesError
from tests.emitted import ROOT

TEMPLATE, FUNCTIONS = "templates/workflow.yaml", "lambda"
STATE_MACHINE = "PaymentWorkflow"
WORKER = Path(__file__).with_name("release_worker.py")


@dataclass(frozen=True)
class Release:
    name: str
    definition: dict[str, Any]
    functions: Path


class Functions:
    """The running functions of a release."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self._process = process

    def invoke(self, function: str, event: dict[str, Any], at: float) -> Any:
        """Return the function's answer; raises the error that Step Functions would report."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps({"function": function, "event": event, "at": at}) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        assert line, f"the functions have ended with exit code {self._process.wait(10)}"
        reply = json.loads(line)
        if "error" in reply:
            report = {"errorMessage": reply["message"], "errorType": reply["error"]}
            raise StatesError(reply["error"], json.dumps(report))
        return reply["answer"]


def checked_out_release() -> Release:
    return Release("this release", _read_definition((ROOT / TEMPLATE).read_text(encoding="utf-8")), ROOT / FUNCTIONS)


def release_before(folder: Path) -> Release:
    """Return the release before the one that is checked out, with its functions in ``folder``.

    Skips the test where the history is not there, as in an archive or a shallow clone.
    """
    revision = os.environ.get("COMPATIBLE_WITH") or _find_revision()
    archive = _run_git("archive", "--format=tar", revision, FUNCTIONS, TEMPLATE)
    with tarfile.open(fileobj=io.BytesIO(archive)) as files:
        files.extractall(folder, filter="data")
    definition = _read_definition((folder / TEMPLATE).read_text(encoding="utf-8"))
    return Release(f"the release before, {revision[:9]}", definition, folder / FUNCTIONS)


@contextmanager
def run_functions(release: Release, variables: dict[str, str]) -> Iterator[Functions]:
    command = [sys.executable, str(WORKER), str(release.functions)]
    # Their log is standard error, which pytest shows of a test that fails.
    with subprocess.Popen(command, env=variables, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield Functions(process)
        finally:
            process.kill()


def _find_revision() -> str:
    """Return the newest commit whose definition or functions differ from those that are checked out."""
    for revision in _run_git("log", "--format=%H", "--", FUNCTIONS, TEMPLATE).decode().split():
        if _run_git("diff", "--name-only", revision, "--", FUNCTIONS, TEMPLATE):
            return revision
    pytest.skip("no earlier release: the history of this clone does not reach back to one")


def _run_git(*arguments: str) -> bytes:
    result = subprocess.run(["git", "-C", str(ROOT), *arguments], capture_output=True, timeout=60)
    if result.returncode:
        pytest.skip(f"no earlier release: git {arguments[0]}: {result.stderr.decode().strip()}")
    return result.stdout


def _read_definition(template: str) -> dict[str, Any]:
    definition: dict[str, Any] = cfn_flip.load(template)[0]["Resources"][STATE_MACHINE]["Properties"]["Definition"]
    return definition
