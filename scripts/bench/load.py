"""Makes payments with several processes at a time, and prints how many a second, and how long they take.

``python -m scripts.bench.load [FILE.md]``: with the file of the reference, also its payments, in turn with ours. Each
payment calls the functions one after the other, on the emulator's tables. The emulator is one process, so the figures
compare two sides on this machine; they do not say what AWS does.
"""

import json
import statistics
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from scripts.local import server

from .sides import Side, run_sides

# As many processes as CI has cores. The sides alternate, so that a slow moment of the machine affects both.
PROCESSES, PAYMENTS, ROUNDS = 2, 100, 3
LONGEST_ROUND_SECONDS = 600


@dataclass
class Load:
    """The payments of one side: their number, the seconds in which they were made, and the duration of each."""

    seconds: float = 0.0
    milliseconds: list[float] = field(default_factory=list)

    def add(self, other: "Load") -> None:
        self.seconds += other.seconds
        self.milliseconds += other.milliseconds

    def describe(self) -> str:
        """Return the payments a second, and the median, 95th and 99th percentile of their durations."""
        percentiles = statistics.quantiles(self.milliseconds, n=100, method="inclusive")
        durations = "".join(f"{percentiles[percent - 1]:7.0f} ms" for percent in (50, 95, 99))
        return f"{len(self.milliseconds) / self.seconds:16.1f}{durations}"


def measure_load(side: Side, payments: int = PAYMENTS, processes: int = PROCESSES) -> Load:
    """Make ``payments`` payments in each of the processes at the same time. Raises ``SystemExit`` if one fails."""
    workers = [side.start_worker(payments) for _ in range(processes)]
    try:
        # Each has imported its functions and opened its connections.
        if any(worker.stdout.readline() != "ready\n" for worker in workers if worker.stdout):
            raise SystemExit(f"bench: a payment of {side.name} failed, as the lines above say")
        for worker in workers:
            if worker.stdin:
                worker.stdin.write("\n")
                worker.stdin.flush()
        load = Load()
        for worker in workers:
            output, _ = worker.communicate(timeout=LONGEST_ROUND_SECONDS)
            if worker.returncode:
                raise SystemExit(f"bench: a payment of {side.name} failed, as the lines above say")
            figures = json.loads(output)
            load.seconds = max(load.seconds, figures["seconds"])
            load.milliseconds += figures["milliseconds"]
        return load
    finally:
        for worker in workers:
            worker.kill()
            worker.wait()


def compare_loads(reference: Path | None) -> Iterator[str]:
    """Yield a heading, and a line for each side."""
    with run_sides(reference) as comparison:
        loads = {side.name: Load() for side in comparison.sides}
        for _ in range(ROUNDS):
            for side in comparison.sides:
                loads[side.name].add(measure_load(side))
    yield f"{'':12}{'payments a second':>16}{'p50':>9}{'p95':>10}{'p99':>10}"
    for name, load in loads.items():
        yield f"{name:12}{load.describe()}"


if __name__ == "__main__":
    server.isolate_from_user_configuration()
    for line in compare_loads(Path(sys.argv[1]) if len(sys.argv) > 1 else None):
        print(line, flush=True)
