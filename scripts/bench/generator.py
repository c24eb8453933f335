"""CPU time of `python generate.py --check` against a process that imports the same troposphere modules."""

import resource
import subprocess
import sys
from collections.abc import Mapping

from scripts.common.paths import ROOT

RUNS = 15

# The modules of the two packages that the generator imports.
_LIST_MODULES = """
import sys
from stacks.render import render_files
render_files()
print(",".join(sorted(m for m in sys.modules if m.partition(".")[0] in ("troposphere", "awacs"))))
"""


def generator_ratio() -> float:
    """Return the ratio of the two CPU times. Each is the least of several runs, which was disturbed least."""
    modules = subprocess.run(
        [sys.executable, "-c", _LIST_MODULES], cwd=ROOT, check=True, capture_output=True, text=True
    ).stdout.strip()
    imports = [sys.executable, "-c", f"import {modules}"]
    generate = [sys.executable, "generate.py", "--check"]
    # Alternate, so that a slow moment of the machine affects both.
    times = [(measure_cpu_seconds(generate), measure_cpu_seconds(imports)) for _ in range(RUNS)]
    return min(generating for generating, _ in times) / min(importing for _, importing in times)


def measure_cpu_seconds(command: list[str], environment: Mapping[str, str] | None = None) -> float:
    before = children_cpu_seconds()
    subprocess.run(command, cwd=ROOT, env=environment, check=True, stdout=subprocess.DEVNULL)
    return children_cpu_seconds() - before


def children_cpu_seconds() -> float:
    """Return the CPU time of all processes that this one has started and waited for."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime
