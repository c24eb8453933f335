"""Sums the figures of the proof over its tests and prints them at the end: what was tried, and what was wrong."""

from collections import Counter
from collections.abc import Generator
from typing import Any

import pytest

from tests.prove import truth, world

FINDINGS = ("payments checked", "lives checked", *truth.KINDS)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, None, None]:
    """Store with each test, passed or failed, what its checks counted."""
    world.FIGURES.clear()
    try:
        yield
    finally:
        # Tests without a protection find violations on purpose and have a figure of their own.
        if "protections" not in item.path.name:
            item.user_properties += [(name, int(world.FIGURES[name])) for name in FINDINGS]


def pytest_terminal_summary(terminalreporter: Any) -> None:
    ended = [*terminalreporter.stats.get("passed", []), *terminalreporter.stats.get("failed", [])]
    figures: Counter[str] = Counter()
    for report in ended:
        if "tests/prove/" in report.nodeid:
            figures.update({name: count for name, count in report.user_properties if isinstance(count, int)})
    if not figures:
        return
    terminalreporter.section("what was proved")
    for name in [*(name for name in figures if name not in FINDINGS), *FINDINGS]:
        terminalreporter.write_line(f"{name:<42} {figures[name]:>7,}")


@pytest.fixture
def record_figure(record_property: Any) -> Any:
    """``record_figure(name, count)`` adds to the figures."""
    return record_property
