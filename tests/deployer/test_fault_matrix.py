"""Every fault at every call of every command: the exit code, a last line that is true, and nothing left without a name.

Each cell is one command in one situation, with one kind of fault at all calls of one operation. `make faults` strikes
every cell; otherwise each operation is struck by one of the six kinds, in turn.
"""

import functools
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from tests.deployer.aws.faults import KINDS, Fault
from tests.deployer.disturbed_runs import EVERY_CELL, RUNS, Run


@functools.cache
def list_operations(situation: str, name: str) -> tuple[str, ...]:
    """Return what the command calls when nothing disturbs it, which must end without a mistake."""
    with tempfile.TemporaryDirectory() as folder:
        run = Run(situation, name, Path(folder))
        assert run.list_mistakes() == []
        return tuple(sorted({operation for operation, _ in run.service.calls}))


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("situation", "name"), RUNS, ids=[f"{name}: {situation}" for situation, name in RUNS])
def test_a_command_that_a_fault_strikes_says_what_is_true(
    situation: str, name: str, kind: str, tmp_path: Path, record_property: Any
) -> None:
    codes: Counter[int] = Counter()
    mistakes = []
    for number, operation in enumerate(list_operations(situation, name)):
        if not EVERY_CELL and (number + KINDS.index(kind)) % len(KINDS):
            continue
        run = Run(situation, name, tmp_path, {operation: Fault(kind)})
        codes[run.result.code] += 1
        mistakes += [f"{operation}: {mistake}: {run.last_line}" for mistake in run.list_mistakes()]
    for code, count in codes.items():
        record_property("fault cells", [name, situation, code, count])
    assert mistakes == [], "\n".join(["", *mistakes])
