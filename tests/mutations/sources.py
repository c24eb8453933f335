"""``python -m tests.mutations.sources [--json FILE] [--only WORDS]``: plant each defect of a source, and see it caught.

A developer's slip, one at a time, is written into a copy of the repository, and exactly the test that is named for it
runs there: it has to fail in its own body. Where the slip changes what the stacks emit,
the copy's templates are generated anew, as the developer would do.
"""

import argparse
import importlib
import json
import multiprocessing
import os
import shutil
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from rich.console import Console
from rich.table import Table

ROOT = Path(__file__).resolve().parents[2]
TABLE = Path(__file__).with_name("source_defects.toml")
CAUGHT = "caught"
# Imported once, before the processes are forked: none of them is ours.
_LIBRARIES = (
    *("boto3", "botocore.session", "cfnlint.config", "cfnlint.runner", "click.testing", "hypothesis", "jsonschema"),
    *("rich.live", "troposphere", "awacs.aws", "yaml", "stripe", "jsonata"),
)
_QUIET = ("-o", "addopts=", "--import-mode=importlib", "--assert=plain")
_QUIET += tuple(option for name in ("cacheprovider", "xdist", "terminal") for option in ("-p", f"no:{name}"))


@dataclass(frozen=True)
class SourceDefect:
    name: str
    path: str
    # Text that the file has once, and what stands there instead.
    before: str
    after: str
    # A test by its node id.
    caught_by: str


def read_defects() -> list[SourceDefect]:
    with TABLE.open("rb") as table:
        return [SourceDefect(**row) for row in tomllib.load(table)["defects"]]


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.mutations.sources")
    parser.add_argument("--json", type=Path, help="write what was planted, caught and missed to this file")
    parser.add_argument("--only", default="", help="plant only defects whose name has these words")
    options = parser.parse_args(arguments)
    defects = [defect for defect in read_defects() if options.only.casefold() in defect.name.casefold()]
    if not defects:
        print(f"no defect has {options.only!r} in its name", file=sys.stderr)
        return 2
    for library in _LIBRARIES:
        importlib.import_module(library)
    with multiprocessing.get_context("fork").Pool(os.cpu_count(), maxtasksperchild=1) as pool:
        verdicts = pool.map(_judge, defects, chunksize=1)
    _print_table(defects, verdicts)
    missed = [
        f"{defect.name}: {verdict}" for defect, verdict in zip(defects, verdicts, strict=True) if verdict != CAUGHT
    ]
    caught = len(defects) - len(missed)
    if options.json:
        summary = {"planted": len(defects), "caught": caught, "missed": missed}
        options.json.write_text(json.dumps(summary, indent=1) + "\n", encoding="utf-8")
    print(f"mutations of sources: caught {caught} / planted {len(defects)}")
    return 1 if missed else 0


def _judge(defect: SourceDefect) -> str:
    """Plant the defect and run its test, in a forked process. `make test` shows that the test passes without it."""
    with _copied_repository() as copy:
        path = copy / defect.path
        text = path.read_text(encoding="utf-8") if path.exists() else ""
        if text.count(defect.before) != 1:
            return f"not planted: {defect.path} has {text.count(defect.before)} times {defect.before!r}"
        path.write_text(text.replace(defect.before, defect.after), encoding="utf-8")
        outcome = _run_test(defect.caught_by, copy, generates=defect.path.startswith(("stacks/", "lambda/")))
        return CAUGHT if outcome == "failed" else f"MISSED: the test is {outcome}"


@contextmanager
def _copied_repository() -> Iterator[Path]:
    """What git tracks, and what is new and not ignored, in a folder of its own."""
    listed = subprocess.check_output(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"], cwd=ROOT, text=True
    )
    with tempfile.TemporaryDirectory(prefix="payment-mutation-") as folder:
        for name in filter(None, listed.split("\0")):
            if (ROOT / name).is_file():
                (Path(folder) / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(ROOT / name, Path(folder) / name)
        yield Path(folder)


def _run_test(test: str, copy: Path, *, generates: bool = False) -> str:
    """``passed``, ``failed``, or how else the test ended."""
    os.chdir(copy)
    sys.path[:0] = [str(copy), str(copy / "lambda")]
    for module in [name for name in sys.modules if name.split(".")[0] in ("scripts", "stacks", "tests")]:
        del sys.modules[module]
    if generates:
        from stacks.render import render_files

        for name, text in render_files().items():
            (copy / "templates" / name).write_text(text, encoding="utf-8")
    outcome = _Outcome()
    with open(os.devnull, "w") as nowhere:
        os.dup2(nowhere.fileno(), 1)
        os.dup2(nowhere.fileno(), 2)
        code = pytest.main([test, *_QUIET, "--rootdir", str(copy), "-c", str(copy / "setup.cfg")], plugins=[outcome])
    return outcome.name or f"not run: pytest ends with {code!r}"


class _Outcome:
    """A plugin that notes how the body of the test ended: one failure is enough where it has several cases."""

    name = ""

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.when == "call":
            self.name = "failed" if "failed" in (self.name, report.outcome) else report.outcome
        elif report.failed and not self.name:
            self.name = f"broken in its {report.when}"


def _print_table(defects: list[SourceDefect], verdicts: list[str]) -> None:
    table = Table("defect", "planted in", "caught by", "")
    for defect, verdict in zip(defects, verdicts, strict=True):
        table.add_row(defect.name, defect.path, defect.caught_by.removeprefix("tests/"), verdict)
    Console(width=None if sys.stdout.isatty() else 220, markup=False).print(table)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
