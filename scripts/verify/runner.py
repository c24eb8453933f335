"""Runs the groups: those of a phase at the same time, each in a thread of its own, within a bounded time."""

import queue
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from scripts.common.errors import AWS_ERRORS, UserError, describe_error

from . import (
    access,
    account,
    alarms,
    backups,
    deployments,
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
from .place import Place
from .results import Check, Status, Stopped

Checks = Callable[[Place], Iterator[Check]]
# Longer than all that a group waits for, drift of large stacks and a backup included.
LONGEST_GROUP_SECONDS = 30 * 60
# For the threads of an interrupted run to set back what they changed.
STOP_SECONDS = 15


@dataclass(frozen=True)
class Group:
    """Checks of one kind. ``writes`` is what it does beside reading, for the announcement; empty if it only reads."""

    name: str
    checks: Checks
    phase: int
    writes: str = ""
    # Whether some of its checks hold in a run that only reads.
    reads_too: bool = False
    needs_mailbox: bool = False
    # A group without which this one has nothing to look at.
    after: str = ""


GROUPS = (
    Group("stacks", stacks.checks, 1),
    Group("resources", resources.checks, 1),
    Group("access", access.checks, 1),
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


def selected(names: Sequence[str]) -> list[Group]:
    """The groups of these names, with those that they need; all without a name."""
    by_name = {group.name: group for group in GROUPS}
    needed = {*names, *(by_name[name].after for name in names)}
    return [group for group in GROUPS if not names or group.name in needed]


def run(place: Place, groups: Sequence[Group], report: Callable[[Check], None] = lambda _: None) -> list[Check]:
    """All results, in the order of the groups; ``report`` gets each as it comes.

    What was changed is undone, also when this is interrupted. Raises ``UserError`` where nothing is deployed, and
    where something would be written while a deployment runs.
    """
    # Before any thread asks for it: all need it, and without a deployment there is nothing to verify.
    _ = place.tree, place.expected
    place.open_clients()
    if not place.read_only and any(group.writes for group in groups):
        deployments.check_none_runs(place)
    checks: list[Check] = []
    try:
        if any(group.needs_mailbox for group in groups) and not place.read_only:
            notifications.open_mailbox(place)
        for phase in sorted({group.phase for group in groups}):
            checks += _run_phase(place, [group for group in groups if group.phase == phase], report)
    finally:
        place.stopped.set()
        place.cleanup.run()
    order = {group.name: number for number, group in enumerate(groups)}
    return sorted(checks, key=lambda check: order[check.group])


def _run_phase(place: Place, groups: Sequence[Group], report: Callable[[Check], None]) -> list[Check]:
    arrived: queue.Queue[Check | BaseException | None] = queue.Queue()
    threads = [
        # A daemon: what does not end in time does not keep the command from ending.
        threading.Thread(target=_run_group, args=(place, group, arrived), name=group.name, daemon=True)
        for group in groups
    ]
    for thread in threads:
        thread.start()
    checks: list[Check] = []
    deadline, running = time.monotonic() + LONGEST_GROUP_SECONDS, len(threads)
    try:
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
        place.stopped.set()
        until = time.monotonic() + STOP_SECONDS
        for thread in threads:
            thread.join(max(0.0, until - time.monotonic()))
        raise
    late = [thread.name for thread in threads if thread.is_alive()]
    words = f"it has not ended within {LONGEST_GROUP_SECONDS // 60} minutes"
    return checks + [Check(name, "the rest of the group", Status.UNKNOWN, words) for name in late]


def _run_group(place: Place, group: Group, arrived: "queue.Queue[Check | BaseException | None]") -> None:
    try:
        if place.read_only and group.writes and not group.reads_too:
            arrived.put(Check(group.name, group.writes, Status.SKIPPED, place.read_only_reason))
        else:
            for check in group.checks(place):
                arrived.put(check)
    except (UserError, *AWS_ERRORS) as error:
        # Outside of a check: what it needed to begin with.
        arrived.put(Check(group.name, "prepare", Status.UNKNOWN, describe_error(error)))
    except Stopped:
        pass
    except BaseException as defect:
        arrived.put(defect)
    arrived.put(None)
