"""Each planted defect is detected by the test that is named for it. It takes about fifteen seconds."""

import json
import os
import subprocess
import sys
from pathlib import Path

from scripts.audit import recorded_runs
from tests.emitted import ROOT, TEMPLATES
from tests.mutations import sources
from tests.mutations.defects import DEFECTS


def test_every_defect_is_detected(tmp_path: Path) -> None:
    """It runs in a process of its own because it forks. The audit reads the report, so defects are planted once."""
    report = Path(os.environ.get("RECORDINGS") or tmp_path) / recorded_runs.MUTATIONS
    command = [sys.executable, "-m", "tests.mutations", "--json", report]
    process = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=250)
    assert process.returncode == 0, process.stdout + process.stderr
    assert json.loads(report.read_text()) == {"planted": len(DEFECTS), "detected": len(DEFECTS), "missed": []}
    assert process.stdout.splitlines()[-1] == f"mutations: caught {len(DEFECTS)} / planted {len(DEFECTS)}"


def test_there_are_defects_of_every_template_and_each_has_a_name() -> None:
    assert {defect.template for defect in DEFECTS} == set(TEMPLATES)
    assert len({defect.name for defect in DEFECTS}) == len(DEFECTS) >= 50


def test_each_defect_of_the_sources_can_be_planted() -> None:
    """`make mutate` plants them, which takes minutes because each test starts anew."""
    defects = sources.read_defects()
    assert len({defect.name for defect in defects}) == len(defects) >= 60
    assert not [d.name for d in defects if (ROOT / d.path).read_text(encoding="utf-8").count(d.before) != 1]
