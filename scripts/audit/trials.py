"""The checks that run the platform or its tests: end to end, which records calls and seeks markers; and mutations."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from scripts.deployer.errors import DeployError
from scripts.local.server import RECORDED_CALLS

from . import privileges
from .deployed import Template
from .scanners import ROOT, run

MARKERS_REPORT = "MARKERS_REPORT"
# Far more than the tests need: something hangs.
LONGEST_SECONDS = 600


@dataclass(frozen=True)
class Markers:
    """Values that identify nobody, sent as those that would, and where they were looked for."""

    markers: int
    paths: int
    places: int
    found: int


@dataclass(frozen=True)
class Mutations:
    planted: int
    caught: int
    missed: list[str]


def end_to_end(committed: Mapping[str, Template], folder: Path) -> tuple[privileges.Comparison, Markers]:
    """All end-to-end tests, once. Raises ``DeployError`` if one fails."""
    calls, markers = folder / "calls", folder / "markers.json"
    tests = [sys.executable, "-m", "pytest", "tests/e2e", "-n", "3", "--dist", "loadfile"]
    try:
        ran = subprocess.run(
            [*tests, "--disable-warnings", "--tb", "line"],
            env=os.environ | {RECORDED_CALLS: str(calls), MARKERS_REPORT: str(markers)},
            capture_output=True,
            text=True,
            cwd=ROOT,
            timeout=LONGEST_SECONDS,
        )
    except subprocess.TimeoutExpired as error:
        raise DeployError(f"the end-to-end tests have not ended after {LONGEST_SECONDS} s") from error
    if ran.returncode:
        raise DeployError(f"the end-to-end tests fail:\n{ran.stdout[-4000:]}{ran.stderr[-1000:]}")
    if not markers.exists():
        raise DeployError("the end-to-end tests have not told what became of the marked values")
    compared = privileges.compare(committed, privileges.read(calls))
    return compared, Markers(**json.loads(markers.read_text(encoding="utf-8")))


def mutations(folder: Path) -> Mutations:
    """Defects planted one at a time into the emitted templates; what was not caught is told, and no error here."""
    report = folder / "mutations.json"
    run([sys.executable, "-m", "tests.mutations", "--json", report], good=(0, 1))
    return Mutations(**json.loads(report.read_text(encoding="utf-8")))
