"""Options, hooks and fixtures of all tests."""

import functools
import gc
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import botocore.session
import pytest
from botocore.loaders import create_loader

from tests import emitted
from tests.emitted import NESTED, ROOT, load_template

# Folders whose tests start an emulator, or try every case; tests that run the deployer's commands are slow as well.
SLOW = {"e2e", "local", "mutations", "ops", "prove"}

# What `make test` selects; the audit needs the recordings of no other test.
OF_A_PUSH = "not nightly"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--templates", type=Path, help="test the templates in this folder (tests/mutations plants defects)"
    )


def pytest_configure(config: pytest.Config) -> None:
    # A shell that starts the tests in the background makes them ignore Ctrl-C, and so the commands that they interrupt.
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    # Each boto3 session would find and read the models of its services again, which takes longer than most tests do.
    botocore.session.create_loader = functools.cache(create_loader)  # type: ignore[attr-defined]
    if folder := config.getoption("--templates"):
        emitted.read_from(folder)


@pytest.fixture(autouse=True)
def _stay_interruptible() -> Iterator[None]:
    """A command that has ended ignores these signals, also where a test runs it in this process."""
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    yield
    for number, handler in handlers.items():
        signal.signal(number, handler)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark slow tests, keep the tests of one emulator on one worker, and begin with the longest tests.

    ``--dist loadgroup`` starts with the groups, which mostly wait; what computes runs beside them on the other workers.
    """
    for item in items:
        if SLOW & set(item.path.parts) or "command" in getattr(item, "fixturenames", ()):
            item.add_marker("slow")
        if item.get_closest_marker("e2e"):
            item.add_marker(pytest.mark.xdist_group(_emulator_of(item)))
    items.sort(key=lambda item: "prove" not in item.path.parts)


@pytest.hookimpl(trylast=True)
def pytest_collection_finish(session: pytest.Session) -> None:
    if getattr(session.config.option, "loadgroup", False):
        _check_groups(session.items)
    # What was imported and collected stays: the collector of garbage need not look through it again and again.
    gc.collect()
    gc.freeze()


def _check_groups(items: list[pytest.Item]) -> None:
    """Fail a worker whose pytest-xdist ignores the groups: each emulator would be started once on every worker."""
    for item in items:
        for group in item.iter_markers("xdist_group"):
            if not item.nodeid.endswith(f"@{group.args[0]}"):
                raise pytest.UsageError(f"{item.nodeid} is not in the group {group.args[0]} of pytest-xdist")


def _emulator_of(item: pytest.Item) -> str:
    """The name of the emulator that a test uses: its module's own, or one of two for all other modules."""
    name = item.path.stem
    if hasattr(item.module, "platform") or item.path.parent.name == "ops":  # type: ignore[attr-defined]
        return name
    return "operator" if "operator" in name else "payments"


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """Mark the recordings as complete if all tests of a push ran and passed: the audit uses no others."""
    folder = os.environ.get("RECORDINGS")
    if not folder or hasattr(session.config, "workerinput") or exitstatus != pytest.ExitCode.OK:
        return
    leaving_out = (
        "file_or_dir", "keyword", "markexpr", "deselect", "ignore", "ignore_glob", "lf", "stepwise", "collectonly",
    )  # fmt: skip
    options = [getattr(session.config.option, option, None) for option in leaving_out]
    if not any(option and option != OF_A_PUSH for option in options):
        from scripts.audit import recorded_runs

        recorded_runs.mark_complete(Path(folder))


@pytest.fixture(scope="session")
def templates() -> dict[str, dict[str, Any]]:
    """The parent and the nested templates, by name."""
    return {name: load_template(name) for name in ("parent", *NESTED)}


@pytest.fixture(scope="session")
def reference() -> str:
    """The required names and outputs of the system."""
    return (ROOT / "tests" / "reference.txt").read_text()


@pytest.fixture(scope="session")
def world() -> Any:
    """The platform as deployed in prod, with the resources of its account."""
    from tests.stacks.access import World

    return World()


@pytest.fixture(scope="session")
def worlds(world: Any) -> list[Any]:
    """The platform with all optional resources, and without them, so that tests cover every condition."""
    from tests.stacks.access import World

    return [world, World("dev")]
