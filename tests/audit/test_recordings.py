"""The audit judges by what a run of all tests recorded, and by nothing that is stale or in part."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from scripts.audit import deployed, trials
from scripts.common.errors import UserError
from tests.emitted import ROOT

FIGURES = {"markers": 3, "paths": 2, "places": 1, "found": 0}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / trials.CALLS).mkdir()
    line = json.dumps({"role": "r", "session": "s", "action": "sqs:SendMessage", "resource": "q"})
    (tmp_path / trials.CALLS / "1.jsonl").write_text(f"{line}\n")
    (tmp_path / trials.MARKERS).write_text(json.dumps(FIGURES))
    return tmp_path


def read(folder: Path) -> trials.Markers:
    return trials.read_recordings(deployed.read_committed(ROOT / "templates"), folder)[1]


def test_what_a_complete_run_recorded_is_judged(folder: Path) -> None:
    trials.mark_complete(folder)
    assert read(folder) == trials.Markers(**FIGURES)


def test_a_run_that_has_not_passed_is_refused(folder: Path) -> None:
    with pytest.raises(UserError, match="no recordings of a run of all tests that passed"):
        read(folder)


def test_a_run_with_other_templates_is_refused(folder: Path) -> None:
    (folder / trials.COMPLETE).write_text("of others")
    with pytest.raises(UserError, match="recordings of other templates"):
        read(folder)


def test_a_run_without_the_marked_values_is_refused(folder: Path) -> None:
    trials.mark_complete(folder)
    (folder / trials.MARKERS).unlink()
    with pytest.raises(UserError, match="what became of the marked values"):
        read(folder)


def test_a_run_of_some_tests_is_not_complete(tmp_path: Path) -> None:
    some = "tests/audit/test_privileges.py::test_nothing_recorded_proves_nothing"
    environment = os.environ | {"RECORDINGS": str(tmp_path)}
    ran = subprocess.run([sys.executable, "-m", "pytest", some], cwd=ROOT, env=environment, capture_output=True)
    assert ran.returncode == 0
    assert list(tmp_path.iterdir()) == []
