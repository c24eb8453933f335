"""Each planted defect is detected by the test that is named for it. It takes about fifteen seconds."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from scripts.audit import recorded_runs
from tests.emitted import ROOT, TEMPLATES
from tests.mutations.defects import read_entries, read_source_defects, read_template_defects
from tests.mutations.planting import OPERATIONS, plant_edits

DEFECTS = read_template_defects()


@pytest.mark.nightly
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
    defects = read_source_defects()
    assert len({defect.name for defect in defects}) == len(defects) >= 60
    assert not [d.name for d in defects if (ROOT / d.path).read_text(encoding="utf-8").count(d.before) != 1]


def test_each_defect_of_the_sources_names_a_test_with_all_its_cases() -> None:
    """The outcome of a test is that of its worst case, so a name with one case would find none."""

    def is_there(test: str) -> bool:
        path, _, name = test.partition("::")
        return f"def {name}(" in (ROOT / path).read_text(encoding="utf-8")

    assert not [defect.name for defect in read_source_defects() if not is_there(defect.caught_by)]


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ('drop = "Queue"', "caught_by must name a test"),
        ('caught_by = "a test"', "has nothing; the operations are add_actions"),
        ('delete = "Queue"\ncaught_by = "a test"', "has delete; the operations are add_actions"),
        ('set = "Queue"\ncaught_by = "a test"', "an operation must have a path and an argument"),
    ],
)
def test_an_entry_that_is_not_well_formed_is_refused_by_its_name(entry: str, message: str) -> None:
    with pytest.raises(ValueError, match=f"defect 'a queue is lost'.*{message}"):
        read_entries(f'["a queue is lost"]\n{entry}', set(OPERATIONS))


@pytest.mark.parametrize("path", ["Topic", "Queue/AnySid", "Queue.DelaySeconds", "Queue.Tags.1", "/Outputs.Arn"])
def test_a_path_that_is_not_in_the_template_is_an_error_that_names_it(path: str) -> None:
    template = {"Resources": {"Queue": {"Properties": {"Tags": ["one"]}}}}
    with pytest.raises(LookupError, match=f"drop {path}: "):
        plant_edits(template, {"drop": {path: None}})
