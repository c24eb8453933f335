"""Runs the groups of a phase at the same time, each in a thread of its own, within a bounded time."""

import queue
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from scripts.common.errors import AWS_ERRORS, UserError, describe_error

from . import (
    account,
    alarms,
    backups,
    keys,
    notifications,
    payments,
    reconciliation,
    resources,
    schedule,
    stacks,
    traces,
    versions,
)
from .results import Check, Status, Stopped
from .run import Run

Checks = Callable[[Run], Iterator[Check]]
# Longer than any group takes, including the drift of large stacks and a backup.
LONGEST_GROUP_SECONDS = 30 * 60
# The time for the threads of an interrupted run to undo their changes.
STOP_SECONDS = 15


@dataclass(frozen=True)
class Group:
    """Checks of one kind. ``writes`` says what they change; it is empty for a group that only reads."""

    name: str
    checks: Checks
    phase: int
    writes: str = ""
    # Whether it also has checks that only read.
    reads_too: bool = False
    needs_mailbox: bool = False
    # A group that this one needs.
    after: str = ""


GROUPS = (
    Group("stacks", stacks.checks, 1),
    Group("resources", resources.checks, 1),
    Group("access", resources.access_checks, 1),
    Group("account", account.checks, 1),
    Group("keys", keys.checks, 1),
    Group("versions", versions.checks, 1),
    Group("notifications", notifications.checks, 1),
    Group("payments", payments.checks, 2, "runs payments of its own", needs_mailbox=True),
    Group("alarms", alarms.checks, 2, "sets every alarm to ALARM and back", needs_mailbox=True),
    Group("schedule", schedule.checks, 2, "gives the schedule a second target", reads_too=True, needs_mailbox=True),
    Group("reconciliation", reconciliation.checks, 2, "leaves a payment open and makes it overdue"),
    Group("backups", backups.checks, 2, "makes a backup and deletes it"),
    Group("traces", traces.checks, 3, after="payments"),
)


def select_groups(names: Sequence[str]) -> list[Group]:
    """Return the groups with these names and those that they need; all groups if there are no names."""
    by_name = {group.name: group for group in GROUPS}
    selected = {*names, *(by_name[name].after for name in names)}
    return [group for group in GROUPS if not names or group.name in selected]


def run_groups(run: Run, groups: Sequence[Group], report: Callable[[Check], None] = lambda _: None) -> list[Check]:
    """Return all results in the order of the groups, and ``report`` each as soon as it is known.

    All changes are undone, even after an interruption. Raises ``UserError`` if nothing is deployed, or if the run would
    write during a deployment.
    """
    # Read them before the threads start, which all need them.
    _ = run.tree, run.expected
    if not run.read_only and any(group.writes for group in groups):
        run.check_no_deployment()
    checks: list[Check] = []
    with run.cleanup.undo_at_end():
        try:
            if any(group.needs_mailbox for group in groups) and not run.read_only:
                notifications.open_mailbox(run)
            for phase in sorted({group.phase for group in groups}):
                checks += _run_phase(run, [group for group in groups if group.phase == phase], report)
        finally:
            run.stopped.set()
    order = {group.name: number for number, group in enumerate(groups)}
    return sorted(checks, key=lambda check: order[check.group])


def _run_phase(run: Run, groups: Sequence[Group], report: Callable[[Check], None]) -> list[Check]:
    arrived: queue.Queue[Check | BaseException | None] = queue.Queue()
    threads = [
        # Daemon threads do not keep the command from ending.
        threading.Thread(target=_run_group, args=(run, group, arrived), name=group.name, daemon=True)
        for group in groups
    ]
    checks: list[Check] = []
    deadline, running = time.monotonic() + LONGEST_GROUP_SECONDS, len(threads)
    try:
        for thread in threads:
            thread.start()
        while running and time.monotonic() < deadline:
            try:
                message = arrived.get(timeout=0.5)
            except queue.Empty:
                continue
            if isinstance(message, BaseException):
                raise message
            if message is None:
                running -= 1
            else:
                checks.append(message)
                report(message)
    except BaseException:
        run.stopped.set()
        _join_threads(run, groups, threads)
        raise
    late = [thread.name for thread in threads if thread.is_alive()]
    words = f"it has not ended within {LONGEST_GROUP_SECONDS // 60} minutes"
    return checks + [Check(name, "the rest of the group", Status.UNKNOWN, words) for name in late]


def _join_threads(run: Run, groups: Sequence[Group], threads: Sequence[threading.Thread]) -> None:
    """Wait for the threads that were started, and note which may still change something."""
    deadline = time.monotonic() + STOP_SECONDS
    for group, thread in zip(groups, threads, strict=True):
        if thread.is_alive():
            thread.join(max(0.0, deadline - time.monotonic()))
        if thread.is_alive() and group.writes and not run.read_only:
            run.cleanup.problems.append(f"what {group.name} still changes: it has not ended within {STOP_SECONDS} s")


def _run_group(run: Run, group: Group, arrived: "queue.Queue[Check | BaseException | None]") -> None:
    try:
        if run.read_only and group.writes and not group.reads_too:
            arrived.put(Check(group.name, group.writes, Status.SKIPPED, run.read_only_reason))
        else:
            for check in group.checks(run):
                arrived.put(check)
    except (UserError, *AWS_ERRORS) as error:
        # Raised between the checks.
        arrived.put(Check(group.name, "prepare", Status.UNKNOWN, describe_error(error)))
    except Stopped:
        pass
    except BaseException as defect:
        arrived.put(defect)
    arrived.put(None)
