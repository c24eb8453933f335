"""The checks that run the platform or its tests: end to end, which records calls and seeks markers; and mutations."""

import json
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from scripts.local.server import RECORDED_CALLS

from . import privileges
from .deployed import Template
from .scanners import run

MARKERS_REPORT = "MARKERS_REPORT"


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
    run(
        [sys.executable, "-m", "pytest", "tests/e2e", "-n", "3", "--dist", "loadfile"],
        environment=os.environ | {RECORDED_CALLS: str(calls), MARKERS_REPORT: str(markers)},
    )
    compared = privileges.compare(committed, privileges.read(calls))
    return compared, Markers(**json.loads(markers.read_text(encoding="utf-8")))


def mutations(folder: Path) -> Mutations:
    """Defects planted one at a time into the emitted templates; what was not caught is told, and no error here."""
    report = folder / "mutations.json"
    run([sys.executable, "-m", "tests.mutations", "--json", report], good=(0, 1))
    return Mutations(**json.loads(report.read_text(encoding="utf-8")))
