"""``python -m tests.mutations [--sources] [--json FILE] [--only WORDS]``: checks that each defect is detected.

Each defect is planted alone into the templates, and one test, or one rule of cfn-lint, is run on them: it must fail
with the defect, and pass without it. All tests are collected once; then a process is forked for each defect, plants
it, and runs its test. defects.py says how defects are declared; sources.py plants those of the sources.
"""

import argparse
import copy
import importlib
import json
import multiprocessing
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

import pytest
from _pytest.runner import runtestprotocol
from rich.console import Console
from rich.table import Table

from scripts.common.templates import to_plain_types
from tests import emitted

from . import sources
from .defects import TemplateDefect, read_source_defects, read_template_defects
from .planting import plant_edits
from .sources import DETECTED

LINT = "cfn-lint "


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.mutations")
    parser.add_argument("--json", type=Path, help="write what was planted, caught and missed to this file")
    parser.add_argument("--only", default="", help="plant only defects whose name has these words")
    parser.add_argument("--sources", action="store_true", help="plant the defects of the sources as well: minutes")
    parser.add_argument("--write", type=Path, help="keep the templates with each defect here, for pytest --templates")
    options = parser.parse_args(arguments)
    # A test would write what a planted defect makes into its golden file.
    os.environ.pop("UPDATE_GOLDEN", None)
    source_defects = _select_defects(read_source_defects() if options.sources else [], options.only)
    defects = _select_defects(read_template_defects(), options.only)
    if not defects and not source_defects:
        print(f"no defect has {options.only!r} in its name", file=sys.stderr)
        return 2
    # First, because they run in copies of this repository: the fewer of its modules are imported, the better.
    results = dict(zip(source_defects, sources.plant_defects(source_defects), strict=True)) if source_defects else {}
    # Plain dicts are copied faster.
    emitted.stand_in({name: to_plain_types(emitted.load_template(name)) for name in emitted.TEMPLATES})
    for number, defect in enumerate(defects if options.write else ()):
        _write_templates(_plant_defect(defect), options.write / str(number))
    rows = [(defect.name, defect.path, defect.caught_by, result) for defect, result in results.items()]
    rows += _plant_in_templates(defects)
    _show_results(rows)
    missed = [f"{name}: {result}" for name, _, _, result in rows if result != DETECTED]
    detected = len(rows) - len(missed)
    if options.json:
        figures = {"planted": len(rows), "detected": detected, "missed": missed}
        options.json.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
    print(f"mutations: caught {detected} / planted {len(rows)}")
    return 1 if missed else 0


def _select_defects(defects: list[Any], words: str) -> list[Any]:
    return [defect for defect in defects if words.casefold() in defect.name.casefold()]


def _plant_in_templates(defects: list[TemplateDefect]) -> list[tuple[str, str, str, str]]:
    """Return name, template, check and result of each defect; ends the process if the tests cannot be collected."""
    if not defects:
        return []
    suite = _Suite(defects)
    tests = sorted({defect.caught_by for defect in defects if not defect.caught_by.startswith(LINT)})
    exit_code = pytest.main([*tests, *sources.QUIET], plugins=[suite])
    if exit_code not in (pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED):
        sys.exit(f"the tests cannot be collected: pytest ends with {exit_code!r}")
    return [(d.name, d.template, d.caught_by, result) for d, result in zip(defects, suite.results, strict=True)]


class _Suite:
    """A plugin that runs each collected test without a defect, and with each defect that it must detect."""

    def __init__(self, defects: list[TemplateDefect]) -> None:
        self._defects = defects
        self._items: dict[str, pytest.Item] = {}
        self._raised: type[BaseException] | None = None
        self.results: list[str] = []

    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        session.config.option.tbstyle = "value"
        self._items = {item.nodeid: item for item in session.items}
        for module in ("cfnlint.config", "cfnlint.runner", "ministack.core.iam_evaluator", "scripts.audit.deployed"):
            importlib.import_module(module)
        global _suite
        _suite = self
        with multiprocessing.get_context("fork").Pool(os.cpu_count(), maxtasksperchild=1) as pool:
            pending = pool.apply_async(_find_failing_checks)
            results = pool.map(_run_defect, range(len(self._defects)), chunksize=1)
            failing = pending.get()
        pairs = zip(self._defects, results, strict=True)
        self.results = [failing.get(defect.caught_by, result) for defect, result in pairs]
        return True

    def find_failing_checks(self) -> dict[str, str]:
        """Return the checks that fail without a defect, or do not exist, with the reason."""
        failing = {}
        for check in {defect.caught_by for defect in self._defects}:
            if not check.startswith(LINT) and (outcome := self._run_test(check)) != "passed":
                failing[check] = f"without the defect the test is {outcome}"
        rules = {defect.caught_by for defect in self._defects if defect.caught_by.startswith(LINT)}
        if rules:
            findings = _lint_templates([emitted.ROOT / "templates" / f"{name}.yaml" for name in emitted.TEMPLATES])
            failing |= {rule: "found without the defect" for rule in rules if rule.removeprefix(LINT) in findings}
        return failing

    def run_defect(self, number: int) -> str:
        """Plant a defect and run its check. Return ``DETECTED``, or why it is not detected."""
        defect = self._defects[number]
        try:
            templates = _plant_defect(defect)
        except LookupError as error:
            return f"not planted: {error}"
        if templates[defect.template] == emitted.load_template(defect.template):
            return "not planted: it changes nothing"
        if defect.caught_by.startswith(LINT):
            with tempfile.TemporaryDirectory() as folder:
                _write_templates(templates, Path(folder))
                rules = _lint_templates([Path(folder) / f"{defect.template}.json"])
            return DETECTED if defect.caught_by.removeprefix(LINT) in rules else f"MISSED, but {rules}"
        emitted.stand_in(templates)
        outcome = self._run_test(defect.caught_by, reload=True)
        return DETECTED if outcome == "failed" else f"MISSED: the test is {outcome}"

    def _run_test(self, test: str, reload: bool = False) -> str:
        """Return ``passed``, ``failed`` for a failed assertion, or ``broken by`` another exception."""
        if test not in self._items:
            return "not found"
        item = self._items[test]
        if reload:
            # Some modules read their template at import.
            importlib.reload(item.module)
        self._raised = None
        for report in runtestprotocol(item, log=False, nextitem=None):
            if report.when == "call" and (report.passed or self._raised is AssertionError):
                return str(report.outcome)
        return f"broken by {self._raised}"

    def pytest_runtest_makereport(self, call: pytest.CallInfo[None]) -> None:
        """Record the exception: only an AssertionError counts as a detection."""
        if call.excinfo:
            self._raised = call.excinfo.type


# A global that the forked processes inherit, because plants and tests cannot be pickled.
_suite: _Suite


def _find_failing_checks() -> dict[str, str]:
    return _suite.find_failing_checks()


def _run_defect(number: int) -> str:
    return _suite.run_defect(number)


def _plant_defect(defect: TemplateDefect) -> dict[str, dict[str, Any]]:
    templates = {name: copy.deepcopy(emitted.load_template(name)) for name in emitted.TEMPLATES}
    plant_edits(templates[defect.template], defect.edits)
    return templates


def _write_templates(templates: dict[str, dict[str, Any]], folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, template in templates.items():
        (folder / f"{name}.json").write_text(json.dumps(template, indent=1), encoding="utf-8")


def _lint_templates(paths: list[Path]) -> set[str]:
    from scripts.deployer.validate import lint_templates

    return {finding.split(": ", 1)[1].split(" ", 1)[0] for finding in lint_templates(paths)}


def _show_results(rows: list[tuple[str, str, str, str]]) -> None:
    table = Table("defect", "planted in", "caught by", "")
    for name, place, test, result in rows:
        table.add_row(name, place, test.removeprefix("tests/").removeprefix("stacks/"), result)
    Console(width=None if sys.stdout.isatty() else 220, markup=False).print(table)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
