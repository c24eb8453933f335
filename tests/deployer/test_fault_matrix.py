"""Every fault at every call of every command: the exit code, a last line that is true, and nothing left without a name.

Each cell is one command in one situation, with one kind of fault at all calls of one operation: from its first call, or
from its first call after the execution of the last change set has been requested. `make faults` strikes every cell;
otherwise each 31st of them, in turn, and on each push those of two commands. Besides, credentials end at any call, so
that what would tidy up fails as well.
"""

import functools
import itertools
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from tests.deployer.aws.faults import KINDS, Fault
from tests.deployer.disturbed_runs import EVERY_CELL, RUNS, Run, group_runs

SHARE = 31
# Without `make faults`, the credentials end at one of so many calls.
CALLS = 101


@functools.cache
def list_strikes(situation: str, name: str) -> tuple[tuple[str, int], ...]:
    """Return where faults strike: the operation, and how many of its calls go well before.

    The undisturbed run, which shows what the command calls, must end without a mistake.
    """
    with tempfile.TemporaryDirectory() as folder:
        run = Run(situation, name, Path(folder))
        assert run.list_mistakes() == []
        operations = [operation for operation, _ in run.service.calls]
    strikes = {(operation, 0) for operation in operations}
    if "ExecuteChangeSet" in operations:
        last_execution = len(operations) - operations[::-1].index("ExecuteChangeSet")
        earlier, later = operations[:last_execution], operations[last_execution:]
        strikes |= {(operation, earlier.count(operation)) for operation in later}
    return tuple(sorted(strikes))


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("situation", "name"), group_runs(RUNS))
def test_a_command_that_a_fault_strikes_says_what_is_true(
    situation: str, name: str, kind: str, tmp_path: Path, record_property: Any
) -> None:
    codes: Counter[int] = Counter()
    mistakes = []
    for number, (operation, spared) in enumerate(list_strikes(situation, name)):
        if not EVERY_CELL and (number + KINDS.index(kind)) % SHARE:
            continue
        run = Run(situation, name, tmp_path, {operation: Fault(kind, spared)})
        codes[run.result.code] += 1
        place = f"{operation} after {spared}" if spared else operation
        mistakes += [f"{place}: {mistake}: {run.last_line}" for mistake in run.list_mistakes()]
    for code, count in codes.items():
        record_property("fault cells", [name, situation, code, count])
    assert mistakes == [], "\n".join(["", *mistakes])


@pytest.mark.slow
@pytest.mark.nightly
@pytest.mark.parametrize("name", ["deploy", "apply"])
def test_a_command_whose_credentials_end_says_what_is_true(name: str, tmp_path: Path) -> None:
    """In both stacks; from any call on, every request is refused."""

    def run_until(call: int) -> Run:
        calls = itertools.count()

        def strike(operation: str) -> None:
            if next(calls) >= call:
                Fault("expired").strike(operation)

        return Run("both", name, tmp_path, before_call=strike)

    undisturbed = run_until(sys.maxsize)
    assert undisturbed.list_mistakes() == []
    mistakes = []
    for call in range(0, len(undisturbed.service.calls), 1 if EVERY_CELL else CALLS):
        run = run_until(call)
        mistakes += [f"call {call}: {mistake}: {run.last_line}" for mistake in run.list_mistakes()]
    assert mistakes == [], "\n".join(["", *mistakes])
