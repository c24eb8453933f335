"""The figures of the proof, summed over its tests and told at the end: what was tried, and that nothing was found."""

from collections import Counter
from typing import Any

import pytest


def pytest_terminal_summary(terminalreporter: Any) -> None:
    passed = terminalreporter.stats.get("passed", [])
    proofs = [report for report in passed if "tests/prove/" in report.nodeid]
    tried: Counter[str] = Counter()
    for report in proofs:
        tried.update({name: count for name, count in report.user_properties if isinstance(count, int)})
    if not tried:
        return
    bad = [*terminalreporter.stats.get("failed", []), *terminalreporter.stats.get("error", [])]
    broken = [report for report in bad if "tests/prove/" in report.nodeid]
    terminalreporter.section("what was proved")
    for name, count in tried.items():
        terminalreporter.write_line(f"{name:<42} {count:>7,}")
    for name in ("double charges", "lost or stuck payments"):
        terminalreporter.write_line(f"{name:<42} {'see above' if broken else 0:>7}")


@pytest.fixture
def tried(record_property: Any) -> Any:
    """``tried(name, count)`` adds to the figures."""
    return record_property
