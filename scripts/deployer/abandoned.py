"""Finds the change sets that a run has left behind because it was killed, or interrupted twice, and counts them all.

The description of each change set that is not a saved plan names the run that made it. Such a change set is abandoned
once the process has ended, if that can be seen from here, and a day later in any case: until then, somebody may be
asked whether to execute it.
"""

import contextlib
import hashlib
import os
import re
import socket
import uuid
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from scripts.common.clients import ChangeSetSummaryTypeDef, CloudFormationClient
from scripts.common.errors import AWS_ERRORS
from scripts.common.terminal import make_line
from scripts.common.threads import map_in_threads

from .stack import Stack, StackTree

_RUN = re.compile(r"not saved; process (\d+) on ([0-9a-f]{12})")
_CREATION_STATUSES = ("CREATE_PENDING", "CREATE_IN_PROGRESS", "CREATE_COMPLETE")
_LONGEST_RUN, LONGEST_PLANNING = timedelta(days=1), timedelta(hours=1)
# https://github.com/aws/serverless-application-model/pull/3807
MOST_CHANGE_SETS = 1000
WARNING_COUNT = 800
# Linux names each start of the machine, and each space of process numbers; other systems have neither.
# https://man7.org/linux/man-pages/man7/pid_namespaces.7.html
_PROCESS_SPACE = (Path("/proc/sys/kernel/random/boot_id"), Path("/proc/self/ns/pid"))
# What keeps a plan that --out has saved; see ``describe_run`` for the other change sets. The first releases described
# neither the plan nor its file.
_SAVED_PLAN = re.compile(
    r"a saved plan of (?P<environment>[^;]+)"
    r"(?:; plan (?P<id>[0-9a-f]{12})(?: on terms (?P<terms>[0-9a-f]{16}))? in (?P<file>.+))?",
    re.S,
)
# https://docs.aws.amazon.com/AWSCloudFormation/latest/APIReference/API_CreateChangeSet.html
_LONGEST_DESCRIPTION = 1024
_CHANGE_SET_NAME = re.compile(r"deploy-[0-9a-f]{12}")


def describe_run() -> str:
    """Return the description of a change set that ends with this process."""
    return f"not saved; process {os.getpid()} on {_name_machine()}"


@dataclass(frozen=True)
class KeptPlan:
    """A saved plan, as the descriptions of its change sets tell of it."""

    environment: str
    # The file that it was saved in, perhaps on another machine; empty if it is not known.
    file: str
    # In ISO 8601.
    created_at: str
    # The names of its stacks and change sets.
    change_sets: tuple[tuple[str, str], ...]

    @property
    def stack_names(self) -> list[str]:
        return list(dict.fromkeys(stack_name for stack_name, _ in self.change_sets))

    def __str__(self) -> str:
        return f"the saved plan of {self.environment}" + (f" in {make_line(self.file)}" if self.file else "")


def describe_saved_plan(environment: str, file: Path, plan_id: str = "", terms: str = "") -> str:
    """Return a description for a change set that a saved plan of the environment keeps.

    ``plan_id`` is the same for all of them; ``terms`` are a digest of what the change set rests on (saved_plan.py).
    """
    path = os.fsencode(file.resolve()).decode("utf-8", "replace")
    basis = f" on terms {terms}" if terms else ""
    description = f"a saved plan of {environment}; plan {plan_id or make_plan_id()}{basis} in {path}"
    # A path without its end leads to no file, as that of another machine.
    return description[:_LONGEST_DESCRIPTION]


def make_plan_id() -> str:
    return uuid.uuid4().hex[:12]


def read_terms(description: str) -> tuple[str, str]:
    """Return the id of the saved plan that a change set is described as one of, and the terms; empty if it is not."""
    match = _SAVED_PLAN.fullmatch(description)
    return (match["id"] or "", match["terms"] or "") if match else ("", "")


def group_plans(change_sets: Iterable[tuple[str, ChangeSetSummaryTypeDef]]) -> list[KeptPlan]:
    """Return the plans that the change sets of saved plans, each with the name of its stack, belong to."""
    grouped: dict[str, KeptPlan] = {}
    for stack_name, summary in change_sets:
        match = _SAVED_PLAN.fullmatch(summary.get("Description", ""))
        if match is None:
            continue
        name = summary["ChangeSetName"]
        created_at = summary["CreationTime"].isoformat() if "CreationTime" in summary else ""
        plan = grouped.setdefault(
            match["id"] or name, KeptPlan(match["environment"], match["file"] or "", created_at, ())
        )
        grouped[match["id"] or name] = replace(plan, change_sets=(*plan.change_sets, (stack_name, name)))
    return list(grouped.values())


def list_change_sets(cloudformation: CloudFormationClient, stack_name: str) -> list[ChangeSetSummaryTypeDef]:
    """Return the summaries of all change sets of a stack.

    https://docs.aws.amazon.com/AWSCloudFormation/latest/APIReference/API_ListChangeSets.html
    """
    pages = cloudformation.get_paginator("list_change_sets").paginate(StackName=stack_name)
    return [summary for page in pages for summary in page["Summaries"]]


def list_saved_plans(
    cloudformation: CloudFormationClient, stack_name: str, environment: str
) -> list[ChangeSetSummaryTypeDef]:
    """Return the summaries of the change sets that saved plans of the environment keep, and that were not executed.

    The environments share the artifacts stack, and each has plans of its own there.
    """
    return [
        summary
        for summary in list_change_sets(cloudformation, stack_name)
        if (plan := _SAVED_PLAN.fullmatch(summary.get("Description", ""))) is not None
        and plan["environment"] == environment
        and not summary.get("ExecutionStatus", "").startswith("EXECUTE_")
    ]


def is_change_set_name(text: str) -> bool:
    """Whether a text is the name of a change set as this program makes them."""
    return _CHANGE_SET_NAME.fullmatch(text) is not None


def find_empty_reviews(cloudformation: CloudFormationClient, root_name: str) -> list[tuple[str, str]]:
    """Return name and id of each nested stack of the root that is in review, an hour old, and without change sets.

    A nested stack of a saved plan, or of a deployment that is running, has a change set.
    https://docs.aws.amazon.com/AWSCloudFormation/latest/APIReference/API_StackSummary.html
    """
    pages = cloudformation.get_paginator("list_stacks").paginate(StackStatusFilter=["REVIEW_IN_PROGRESS"])
    nested = [
        (summary["StackName"], summary["StackId"])
        for page in pages
        for summary in page["StackSummaries"]
        if f":stack/{root_name}/" in summary.get("RootId", "")
        and datetime.now(UTC) - summary["CreationTime"] > LONGEST_PLANNING
    ]
    return [(name, stack_id) for name, stack_id in nested if not list_change_sets(cloudformation, stack_id)]


def describe_full_stacks(cloudformation: CloudFormationClient, tree: StackTree) -> list[str]:
    """Return a notice for each stack that is about to have as many change sets as a stack can have.

    CloudFormation keeps the empty change set of each nested stack that a deployment does not change, and refuses to
    delete it: https://github.com/aws/copilot-cli/issues/5614. It deletes all when it executes one of that stack.
    """

    def count_change_sets(stack: Stack) -> int:
        try:
            return len(list_change_sets(cloudformation, stack.id))
        except AWS_ERRORS:
            # The limit itself is reported when it is reached.
            return 0

    stacks = [(path, stack) for path, stack in tree.walk() if stack.exists]
    counts = map_in_threads(count_change_sets, [stack for _, stack in stacks])
    return [
        f"{path or stack.name} has {count} of at most {MOST_CHANGE_SETS} change sets, and CloudFormation refuses more; "
        "a deployment that changes this stack deletes them"
        for (path, stack), count in zip(stacks, counts, strict=True)
        if count >= WARNING_COUNT
    ]


def is_abandoned(summary: ChangeSetSummaryTypeDef) -> bool:
    """Whether the run that made the change set no longer exists, so that nobody executes it."""
    run = _RUN.fullmatch(summary.get("Description", ""))
    # CloudFormation deletes the change set that it executes; an emulator lists it on.
    # https://docs.aws.amazon.com/AWSCloudFormation/latest/APIReference/API_ExecuteChangeSet.html
    if run is None or summary.get("ExecutionStatus", "").startswith("EXECUTE_"):
        return False
    if run[2] == _name_machine() and not _is_running(int(run[1])):
        return True
    created = summary.get("CreationTime")
    return created is not None and datetime.now(UTC) - created > _LONGEST_RUN


def is_pending(summary: ChangeSetSummaryTypeDef) -> bool:
    """Whether the change set is executed now, or may be by the run that made it. No run waits for a saved plan.

    https://docs.aws.amazon.com/AWSCloudFormation/latest/APIReference/API_ChangeSetSummary.html
    """
    execution = summary.get("ExecutionStatus")
    if execution == "EXECUTE_IN_PROGRESS":
        return True
    is_of_run = _RUN.fullmatch(summary.get("Description", "")) is not None
    can_be_executed = execution in ("AVAILABLE", "UNAVAILABLE") and summary.get("Status") in _CREATION_STATUSES
    return is_of_run and can_be_executed and not is_abandoned(summary)


def _name_machine() -> str:
    """Return a name of what numbers the processes: containers may have equal host names, and numbers of their own."""
    names = [socket.gethostname()]
    for path in _PROCESS_SPACE:
        with contextlib.suppress(OSError):
            names.append(os.readlink(path) if path.is_symlink() else path.read_text(encoding="ascii"))
    return hashlib.sha256("\0".join(names).encode()).hexdigest()[:12]


def _is_running(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:
        # It is another user's.
        return True
    return True
