"""``python -m tests.mutations [--json FILE] [--only WORDS] [--write FOLDER]``: plant each defect, and see it caught.

Each defect is planted alone into the templates, and exactly one test, or one rule of cfn-lint, is run against them:
it has to fail there, and to hold without the defect. All tests are collected once; for each defect a process is forked
that reads the templates with the defect and runs its test.
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

from .defects import DEFECTS
from .planting import Defect

LINT = "cfn-lint "
CAUGHT = "caught"
# As setup.cfg has it, but without what is told on a terminal, and without what explains a failure to nobody.
_QUIET = ("-o", "addopts=", "--import-mode=importlib", "--assert=plain")
_QUIET += tuple(option for name in ("cacheprovider", "xdist", "terminal") for option in ("-p", f"no:{name}"))


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.mutations")
    parser.add_argument("--json", type=Path, help="write what was planted, caught and missed to this file")
    parser.add_argument("--only", default="", help="plant only defects whose name has these words")
    parser.add_argument("--write", type=Path, help="keep the templates with each defect here, for pytest --templates")
    given = parser.parse_args(arguments)
    defects = [defect for defect in DEFECTS if given.only.casefold() in defect.name.casefold()]
    if not defects:
        print(f"no defect has {given.only!r} in its name", file=sys.stderr)
        return 2
    # Read once, as plain dicts, which are copied faster.
    emitted.stand_in({name: to_plain_types(emitted.load_template(name)) for name in emitted.ALL})
    if given.write:
        for number, defect in enumerate(defects):
            _write(_planted(defect), given.write / str(number))
    suite = _Suite(defects)
    tests = sorted({defect.caught_by for defect in defects if not defect.caught_by.startswith(LINT)})
    ended = pytest.main([*tests, *_QUIET], plugins=[suite])
    if ended not in (pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED):
        print(f"the tests cannot be collected: pytest ends with {ended!r}", file=sys.stderr)
        return 1
    _show(defects, suite.found)
    missed = [f"{defect.name}: {how}" for defect, how in zip(defects, suite.found, strict=True) if how != CAUGHT]
    caught = len(defects) - len(missed)
    if given.json:
        told = {"planted": len(defects), "detected": caught, "missed": missed}
        given.json.write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")
    print(f"mutations: caught {caught} / planted {len(defects)}")
    return 1 if missed else 0


class _Suite:
    """A plugin that runs each collected test on the templates as they are, and on those with the defect it is for."""

    def __init__(self, defects: list[Defect]) -> None:
        self._defects = defects
        self._items: dict[str, pytest.Item] = {}
        self._raised: type[BaseException] | None = None
        self.found: list[str] = []

    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        session.config.option.tbstyle = "value"
        self._items = {item.nodeid: item for item in session.items}
        for module in ("cfnlint.config", "cfnlint.runner", "ministack.core.iam_evaluator", "scripts.audit.deployed"):
            importlib.import_module(module)
        global _suite
        _suite = self
        with multiprocessing.get_context("fork").Pool(os.cpu_count(), maxtasksperchild=1) as pool:
            red = pool.apply_async(_red)
            found = pool.map(_catches, range(len(self._defects)), chunksize=1)
            red_tests = red.get()
        self.found = [red_tests.get(one.caught_by, how) for one, how in zip(self._defects, found, strict=True)]
        return True

    def red(self) -> dict[str, str]:
        """Which checks do not hold without a defect, or are not there."""
        red = {}
        for check in {defect.caught_by for defect in self._defects}:
            if not check.startswith(LINT) and (ended := self._run(check)) != "passed":
                red[check] = f"without the defect the test is {ended}"
        rules = {defect.caught_by for defect in self._defects if defect.caught_by.startswith(LINT)}
        if rules:
            found = _lint([emitted.ROOT / "templates" / f"{name}.yaml" for name in emitted.ALL])
            red |= {rule: "found without the defect" for rule in rules if rule.removeprefix(LINT) in found}
        return red

    def catches(self, number: int) -> str:
        defect = self._defects[number]
        try:
            templates = _planted(defect)
        except (LookupError, TypeError) as error:
            return f"not planted: {error!r}"
        if templates[defect.template] == emitted.load_template(defect.template):
            return "not planted: it changes nothing"
        if defect.caught_by.startswith(LINT):
            with tempfile.TemporaryDirectory() as folder:
                _write(templates, Path(folder))
                rules = _lint([Path(folder) / f"{defect.template}.json"])
            return CAUGHT if defect.caught_by.removeprefix(LINT) in rules else f"MISSED, but {rules}"
        emitted.stand_in(templates)
        ended = self._run(defect.caught_by, anew=True)
        return CAUGHT if ended == "failed" else f"MISSED: the test is {ended}"

    def _run(self, test: str, anew: bool = False) -> str:
        """``passed``, ``failed``, or ``broken`` where not the test itself came to an end."""
        if test not in self._items:
            return "not found"
        item = self._items[test]
        if anew:
            # Some modules read their template when they are imported.
            importlib.reload(item.module)
        self._raised = None
        for report in runtestprotocol(item, log=False, nextitem=None):
            if report.when == "call" and (report.passed or self._raised is AssertionError):
                return str(report.outcome)
        return f"broken by {self._raised}"

    def pytest_runtest_makereport(self, call: pytest.CallInfo[None]) -> None:
        """What a test finds it asserts; another exception is a test that cannot cope with the defect."""
        if call.excinfo:
            self._raised = call.excinfo.type


# Forked with everything in it: neither a plant nor a test could be sent to another process.
_suite: _Suite


def _red() -> dict[str, str]:
    return _suite.red()


def _catches(number: int) -> str:
    return _suite.catches(number)


def _planted(defect: Defect) -> dict[str, dict[str, Any]]:
    templates = {name: copy.deepcopy(emitted.load_template(name)) for name in emitted.ALL}
    defect.plant(templates[defect.template])
    return templates


def _write(templates: dict[str, dict[str, Any]], folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, template in templates.items():
        (folder / f"{name}.json").write_text(json.dumps(template, indent=1), encoding="utf-8")


def _lint(paths: list[Path]) -> set[str]:
    from scripts.deployer.validate import lint_templates

    return {finding.split(": ", 1)[1].split(" ", 1)[0] for finding in lint_templates(paths)}


def _show(defects: list[Defect], found: list[str]) -> None:
    table = Table("defect", "planted in", "caught by", "")
    for defect, how in zip(defects, found, strict=True):
        table.add_row(defect.name, defect.template, defect.caught_by.removeprefix("tests/stacks/"), how)
    Console(width=None if sys.stdout.isatty() else 220, markup=False).print(table)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
