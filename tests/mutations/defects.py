"""Reads the declared defects: those of the templates, in template_defects/, and those of the sources.

A table of a file is a defect. Its name says what is wrong, ``caught_by`` is the check that must fail, and every other
key is an operation, with what it changes:

    ["a log is kept for a week"]
    set."ValidationLogs.RetentionInDays" = 7
    caught_by = "tests/stacks/test_deployed.py::test_logs_are_kept_for_more_than_a_year_and_masked"

planting.py describes the operations on a template and how a path names a part of it. A file of defects has the name of
its template. In a source file, ``replace`` exchanges a text that the file has once.

The comparison of the templates with the generator is not a check, because a defect in stacks/ is emitted into them.
"""

import tomllib
from dataclasses import dataclass
from pathlib import Path

from .planting import OPERATIONS, Edits

_FOLDER = Path(__file__).parent


@dataclass(frozen=True)
class TemplateDefect:
    name: str
    template: str
    edits: Edits
    # The node id of a test, or a rule as in "cfn-lint E1010".
    caught_by: str


@dataclass(frozen=True)
class SourceDefect:
    name: str
    path: str
    # Text that the file has once, and its replacement.
    before: str
    after: str
    # The node id of a test; all cases of a test with parameters are run.
    caught_by: str


def read_template_defects() -> list[TemplateDefect]:
    """Return the defects of all templates. Raises ``ValueError`` for an entry that is not well formed."""
    return [
        TemplateDefect(name, path.stem, edits, caught_by)
        for path in sorted((_FOLDER / "template_defects").glob("*.toml"))
        for name, edits, caught_by in read_entries(path.read_text(encoding="utf-8"), set(OPERATIONS))
    ]


def read_source_defects() -> list[SourceDefect]:
    """Return the defects of the sources. Raises ``ValueError`` for an entry that is not well formed."""
    text = (_FOLDER / "source_defects.toml").read_text(encoding="utf-8")
    defects = []
    for name, edits, caught_by in read_entries(text, {"replace"}):
        match list(edits["replace"].items()):
            case [(path, [before, after])]:
                defects.append(SourceDefect(name, path, before, after, caught_by))
            case _:
                raise ValueError(f"defect {name!r}: replace must have one file, with a text and its replacement")
    return defects


def read_entries(text: str, operations: set[str]) -> list[tuple[str, Edits, str]]:
    """Return name, edits and check of each entry. Raises ``ValueError`` for an entry that is not well formed."""
    entries = []
    for name, entry in tomllib.loads(text).items():
        caught_by = entry.pop("caught_by", None)
        if not isinstance(caught_by, str):
            raise ValueError(f"defect {name!r}: caught_by must name a test or a rule")
        if not entry or entry.keys() - operations:
            keys = ", ".join(sorted(entry)) or "nothing"
            raise ValueError(f"defect {name!r} has {keys}; the operations are {', '.join(sorted(operations))}")
        # Only ``drop`` has no argument besides its path.
        edits = {key: {edit: None} if key == "drop" else edit for key, edit in entry.items()}
        if not all(isinstance(arguments, dict) for arguments in edits.values()):
            raise ValueError(f"defect {name!r}: an operation must have a path and an argument")
        entries.append((name, edits, caught_by))
    return entries
