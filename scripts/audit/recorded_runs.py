"""Runs the end-to-end tests, which record calls and search for marked values, and the mutations."""

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
from .scanners import run_command

MARKERS_REPORT = "MARKERS_REPORT"
# The files of a folder of recordings; the last one exists only if `make test` has passed.
CALLS, MARKERS, MUTATIONS, COMPLETE = "calls", "markers.json", "mutations.json", "complete"
# Far more than the tests need.
LONGEST_SECONDS = 600


@dataclass(frozen=True)
class Markers:
    """Invented values in the fields of personal data, and the places that were searched for them."""

    markers: int
    paths: int
    places: int
    leaked: int


@dataclass(frozen=True)
class Mutations:
    planted: int
    detected: int
    missed: list[str]


def run_end_to_end_tests(committed: Mapping[str, Template], folder: Path) -> tuple[privileges.Comparison, Markers]:
    """Run all end-to-end tests and judge their recordings. Raises ``UserError`` if a test fails."""
    tests = [sys.executable, "-m", "pytest", "tests/e2e", "-n", "3", "--dist", "loadgroup", "-m", "not nightly"]
    try:
        process = subprocess.run(
            [*tests, "--disable-warnings", "--tb", "line"],
            env=os.environ | {RECORDED_CALLS: str(folder / CALLS), MARKERS_REPORT: str(folder / MARKERS)},
            capture_output=True,
            text=True,
            cwd=ROOT,
            timeout=LONGEST_SECONDS,
        )
    except subprocess.TimeoutExpired as error:
        raise UserError(f"the end-to-end tests have not ended after {LONGEST_SECONDS} s") from error
    if process.returncode:
        raise UserError(f"the end-to-end tests fail:\n{process.stdout[-4000:]}{process.stderr[-1000:]}")
    return _judge_recordings(committed, folder)


def mark_complete(folder: Path) -> None:
    """Mark the recordings in ``folder`` as complete; call this when `make test` has passed."""
    (folder / COMPLETE).write_text(_digest_templates(), encoding="utf-8")


def read_recordings(committed: Mapping[str, Template], folder: Path) -> tuple[privileges.Comparison, Markers]:
    """Judge the recordings of an earlier run. Raises ``UserError`` unless it passed with the current templates."""
    digest_file = folder / COMPLETE
    if not digest_file.exists():
        raise UserError(f"{folder} has no recordings of a `make test` that passed")
    if digest_file.read_text(encoding="utf-8") != _digest_templates():
        raise UserError(f"{folder} has recordings of other templates")
    return _judge_recordings(committed, folder)


def _digest_templates() -> str:
    """Return a digest of the templates, which contain digests of the functions' code."""
    texts = [path.read_bytes() for path in sorted((ROOT / "templates").glob("*.yaml"))]
    return hashlib.sha256(b"\0".join(texts)).hexdigest()


def _judge_recordings(committed: Mapping[str, Template], folder: Path) -> tuple[privileges.Comparison, Markers]:
    if not (folder / MARKERS).exists():
        raise UserError("the end-to-end tests have not reported what became of the marked values")
    compared = privileges.compare_privileges(committed, privileges.read_calls(folder / CALLS))
    return compared, Markers(**json.loads((folder / MARKERS).read_text(encoding="utf-8")))


def run_mutations(folder: Path) -> Mutations:
    """Run the mutations and return their result; defects that were missed are part of it."""
    report = folder / MUTATIONS
    run_command([sys.executable, "-m", "tests.mutations", "--json", report], good_exit_codes=(0, 1))
    mutations = read_mutations(folder)
    if mutations is None:
        raise UserError("the planting of defects has left no report")
    return mutations


def read_mutations(folder: Path) -> Mutations | None:
    """Return the result of the mutations of an earlier run; None if it planted none, as `make test` does."""
    report = folder / MUTATIONS
    return Mutations(**json.loads(report.read_text(encoding="utf-8"))) if report.exists() else None
