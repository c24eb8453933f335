"""Each planted defect is caught by the test that is named for it. It takes about fifteen seconds."""

import json
import subprocess
import sys
from pathlib import Path

from tests.emitted import ALL, ROOT
from tests.mutations.defects import DEFECTS


def test_every_defect_is_caught(tmp_path: Path) -> None:
    """In a process of its own, because it forks."""
    told = tmp_path / "mutations.json"
    ran = subprocess.run(
        [sys.executable, "-m", "tests.mutations", "--json", told], cwd=ROOT, capture_output=True, text=True, timeout=250
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert json.loads(told.read_text()) == {"planted": len(DEFECTS), "caught": len(DEFECTS), "missed": []}
    assert ran.stdout.splitlines()[-1] == f"mutations: caught {len(DEFECTS)} / planted {len(DEFECTS)}"


def test_there_are_defects_of_every_template_and_each_has_a_name() -> None:
    assert {defect.template for defect in DEFECTS} == set(ALL)
    assert len({defect.name for defect in DEFECTS}) == len(DEFECTS) >= 50
