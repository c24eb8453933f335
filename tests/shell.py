"""Runs lines of shell, as somebody would who redirects a command's output."""

import shlex
import subprocess
import sys

from tests.emitted import ROOT


def run_shell(line: str) -> subprocess.CompletedProcess[str]:
    """Run a line in which ``$python`` is the interpreter of the tests; it finds the modules of the repository."""
    return subprocess.run(
        ["bash", "-c", line.replace("$python", shlex.quote(sys.executable))],
        cwd=ROOT,
        env={"PYTHONPATH": f"{ROOT}:{ROOT / 'lambda'}", "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
