"""The checks that run the platform or its tests: end to end, which records calls and seeks markers; and mutations."""

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from scripts.common.errors import UserError
from scripts.common.paths import ROOT
from scripts.local.server import RECORDED_CALLS

from . import privileges
from .deployed import Template
from .scanners import read_output

MARKERS_REPORT = "MARKERS_REPORT"
# What a folder of recordings has; the last is only there when all tests have passed.
CALLS, MARKERS, COMPLETE = "calls", "markers.json", "complete"
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


def run_end_to_end_tests(committed: Mapping[str, Template], folder: Path) -> tuple[privileges.Comparison, Markers]:
    """All end-to-end tests, once. Raises ``UserError`` if one fails."""
    tests = [sys.executable, "-m", "pytest", "tests/e2e", "-n", "3", "--dist", "loadfile"]
    try:
        ran = subprocess.run(
            [*tests, "--disable-warnings", "--tb", "line"],
            env=os.environ | {RECORDED_CALLS: str(folder / CALLS), MARKERS_REPORT: str(folder / MARKERS)},
            capture_output=True,
            text=True,
            cwd=ROOT,
            timeout=LONGEST_SECONDS,
        )
    except subprocess.TimeoutExpired as error:
        raise UserError(f"the end-to-end tests have not ended after {LONGEST_SECONDS} s") from error
    if ran.returncode:
        raise UserError(f"the end-to-end tests fail:\n{ran.stdout[-4000:]}{ran.stderr[-1000:]}")
    return _judged(committed, folder)


def mark_complete(folder: Path) -> None:
    """Written by a run of all tests when they have passed."""
    (folder / COMPLETE).write_text(_digest(), encoding="utf-8")


def read_recordings(committed: Mapping[str, Template], folder: Path) -> tuple[privileges.Comparison, Markers]:
    """The same, as a run of all tests recorded it. Raises ``UserError`` unless it passed, with these templates."""
    told = folder / COMPLETE
    if not told.exists():
        raise UserError(f"{folder} has no recordings of a run of all tests that passed")
    if told.read_text(encoding="utf-8") != _digest():
        raise UserError(f"{folder} has recordings of other templates")
    return _judged(committed, folder)


def _digest() -> str:
    """Of the templates: the code of the functions is part of them."""
    texts = [path.read_bytes() for path in sorted((ROOT / "templates").glob("*.yaml"))]
    return hashlib.sha256(b"\0".join(texts)).hexdigest()


def _judged(committed: Mapping[str, Template], folder: Path) -> tuple[privileges.Comparison, Markers]:
    if not (folder / MARKERS).exists():
        raise UserError("the end-to-end tests have not told what became of the marked values")
    compared = privileges.compare_privileges(committed, privileges.read_calls(folder / CALLS))
    return compared, Markers(**json.loads((folder / MARKERS).read_text(encoding="utf-8")))


def run_mutations(folder: Path) -> Mutations:
    """Defects planted one at a time into the emitted templates; what was not caught is told, and no error here."""
    report = folder / "mutations.json"
    read_output([sys.executable, "-m", "tests.mutations", "--json", report], good=(0, 1))
    return Mutations(**json.loads(report.read_text(encoding="utf-8")))
