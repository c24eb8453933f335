"""Defects of the sources, as a developer would make them, each planted alone into a copy of the repository.

The test that is named for a defect runs there: it has to fail in its own body, and to pass without the defect. If the
defect changes what the stacks emit, the templates of the copy are generated anew, as the developer would do.
"""

import importlib
import multiprocessing
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.emitted import ROOT

from .defects import SourceDefect

DETECTED = "caught"
# Imported once, before the processes are forked: none of them is of this repository.
_LIBRARIES = (
    *("boto3", "botocore.session", "cfnlint.config", "cfnlint.runner", "click.testing", "hypothesis", "jsonschema"),
    *("ministack.services.cloudformation", "rich.live", "troposphere", "awacs.aws", "yaml", "stripe", "jsonata"),
)
_OWN_MODULES = {"adapters", "generate", "handlers", "payments", "scripts", "stacks", "tests"}
# The options of setup.cfg without output and without explanations of failures.
QUIET = ("-o", "addopts=", "--import-mode=importlib", "--assert=plain")
QUIET += tuple(option for name in ("cacheprovider", "xdist", "terminal") for option in ("-p", f"no:{name}"))


def plant_defects(defects: list[SourceDefect]) -> list[str]:
    """Return for each defect ``DETECTED``, or why it is not detected."""
    for library in _LIBRARIES:
        importlib.import_module(library)
    tests = sorted({defect.caught_by for defect in defects})
    with multiprocessing.get_context("fork").Pool(os.cpu_count(), maxtasksperchild=1) as pool:
        outcomes_without_defect = pool.apply_async(_run_tests_as_they_are, [tests])
        results = pool.map(_judge_defect, defects, chunksize=1)
        outcomes = outcomes_without_defect.get()
    return [
        result if outcomes[defect.caught_by] == "passed" else f"without the defect: {outcomes[defect.caught_by]}"
        for defect, result in zip(defects, results, strict=True)
    ]


def _run_tests_as_they_are(tests: list[str]) -> dict[str, str]:
    with _copy_repository() as copy:
        return _run_tests(tests, copy)


def _judge_defect(defect: SourceDefect) -> str:
    with _copy_repository() as copy:
        path = copy / defect.path
        text = path.read_text(encoding="utf-8") if path.exists() else ""
        if text.count(defect.before) != 1:
            return f"not planted: {defect.path} has {text.count(defect.before)} times {defect.before!r}"
        path.write_text(text.replace(defect.before, defect.after), encoding="utf-8")
        outcome = _run_tests([defect.caught_by], copy, generates=defect.path.startswith(("stacks/", "lambda/")))
        return DETECTED if outcome[defect.caught_by] == "failed" else f"MISSED: {outcome[defect.caught_by]}"


@contextmanager
def _copy_repository() -> Iterator[Path]:
    """Copy what git tracks, and what is new and not ignored, to a folder for the length of a ``with`` block."""
    listed = subprocess.check_output(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"], cwd=ROOT, text=True
    )
    with tempfile.TemporaryDirectory(prefix="payment-mutation-") as folder:
        for name in filter(None, listed.split("\0")):
            if (ROOT / name).is_file():
                (Path(folder) / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(ROOT / name, Path(folder) / name)
        yield Path(folder)


def _run_tests(tests: Iterable[str], copy: Path, *, generates: bool = False) -> dict[str, str]:
    """Run the tests of the copy in this process; return by test ``passed``, ``failed``, or how else it ended."""
    os.chdir(copy)
    sys.path[:0] = [str(copy), str(copy / "lambda")]
    for module in [name for name in sys.modules if name.split(".")[0] in _OWN_MODULES and name != __name__]:
        del sys.modules[module]
    if generates:
        from stacks.render import render_files

        for name, text in render_files().items():
            (copy / "templates" / name).write_text(text, encoding="utf-8")
    outcomes = _Outcomes()
    with open(os.devnull, "w") as devnull:
        os.dup2(devnull.fileno(), 1)
        os.dup2(devnull.fileno(), 2)
        code = pytest.main([*tests, *QUIET, "--rootdir", str(copy), "-c", str(copy / "setup.cfg")], plugins=[outcomes])
    return {test: outcomes.by_test.get(test, f"not run, pytest ends with {code!r}") for test in tests}


class _Outcomes:
    """A plugin that notes how the body of each test ended: of several cases one failure is enough."""

    def __init__(self) -> None:
        self.by_test: dict[str, str] = {}

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        test = report.nodeid.partition("[")[0]
        if report.when == "call" and self.by_test.get(test) != "failed":
            self.by_test[test] = report.outcome
        elif report.failed:
            self.by_test.setdefault(test, f"broken in its {report.when}")
