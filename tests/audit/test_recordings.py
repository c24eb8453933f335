"""The audit judges the recordings of a complete run of all tests with the current templates, and no others."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from scripts.audit import deployed, recorded_runs
from scripts.common.errors import UserError
from tests.emitted import ROOT

FIGURES = {"markers": 3, "paths": 2, "places": 1, "leaked": 0}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / recorded_runs.CALLS).mkdir()
    line = json.dumps({"role": "r", "session": "s", "action": "sqs:SendMessage", "resource": "q"})
    (tmp_path / recorded_runs.CALLS / "1.jsonl").write_text(f"{line}\n")
    (tmp_path / recorded_runs.MARKERS).write_text(json.dumps(FIGURES))
    return tmp_path


def read_markers(folder: Path) -> recorded_runs.Markers:
    return recorded_runs.read_recordings(deployed.read_committed(ROOT / "templates"), folder)[1]


def test_the_recordings_of_a_complete_run_are_judged(folder: Path) -> None:
    recorded_runs.mark_complete(folder)
    assert read_markers(folder) == recorded_runs.Markers(**FIGURES)


def test_a_run_that_has_not_passed_is_refused(folder: Path) -> None:
    with pytest.raises(UserError, match="no recordings of a `make test` that passed"):
        read_markers(folder)


def test_a_run_with_other_templates_is_refused(folder: Path) -> None:
    (folder / recorded_runs.COMPLETE).write_text("digest of other templates")
    with pytest.raises(UserError, match="recordings of other templates"):
        read_markers(folder)


def test_a_run_without_the_marked_values_is_refused(folder: Path) -> None:
    recorded_runs.mark_complete(folder)
    (folder / recorded_runs.MARKERS).unlink()
    with pytest.raises(UserError, match="what became of the marked values"):
        read_markers(folder)


def test_a_run_of_some_tests_is_not_complete(tmp_path: Path) -> None:
    test = "tests/audit/test_privileges.py::test_without_recorded_calls_the_comparison_fails"
    environment = os.environ | {"RECORDINGS": str(tmp_path)}
    process = subprocess.run([sys.executable, "-m", "pytest", test], cwd=ROOT, env=environment, capture_output=True)
    assert process.returncode == 0
    assert list(tmp_path.iterdir()) == []
