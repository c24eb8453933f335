"""CPU time of `python generate.py --check` against a process that imports the same troposphere modules."""

import resource
import subprocess
import sys

from scripts.common.paths import ROOT

RUNS = 15

# What the generator has loaded of the two packages when it is done.
_LIST_MODULES = """
import sys
from stacks.render import render
render()
print(",".join(sorted(m for m in sys.modules if m.partition(".")[0] in ("troposphere", "awacs"))))
"""


def generator_ratio() -> float:
    """The least of several runs each: what the work costs when nothing else disturbs it."""
    modules = subprocess.run(
        [sys.executable, "-c", _LIST_MODULES], cwd=ROOT, check=True, capture_output=True, text=True
    ).stdout.strip()
    imports = [sys.executable, "-c", f"import {modules}"]
    generate = [sys.executable, "generate.py", "--check"]
    # Alternating, so that a slow moment of the machine touches both.
    times = [(_cpu_seconds(generate), _cpu_seconds(imports)) for _ in range(RUNS)]
    return min(t for t, _ in times) / min(t for _, t in times)


def _cpu_seconds(command: list[str]) -> float:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
