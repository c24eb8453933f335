"""Finds the change sets that a run has left behind because it was killed, or interrupted twice.

The description of each change set that is not a saved plan names the run that made it. Such a change set is abandoned
once the process has ended, if that was on this machine, and a day later otherwise: until then, somebody may be asked
whether to execute it.
"""

import hashlib
import os
import re
import socket
from datetime import UTC, datetime, timedelta

from scripts.common.clients import ChangeSetSummaryTypeDef, CloudFormationClient

_RUN = re.compile(r"not saved; process (\d+) on ([0-9a-f]{12})")
_LONGEST_RUN = timedelta(days=1)
# What keeps a plan that --out has saved; see ``describe_run`` for the other change sets.
SAVED_PLAN = "a saved plan"


def describe_run() -> str:
    """Return the description of a change set that ends with this process."""
    return f"not saved; process {os.getpid()} on {_name_machine()}"


def list_change_sets(cloudformation: CloudFormationClient, stack_name: str) -> list[ChangeSetSummaryTypeDef]:
    """Return the summaries of all change sets of a stack.

    https://docs.aws.amazon.com/AWSCloudFormation/latest/APIReference/API_ListChangeSets.html
    """
    pages = cloudformation.get_paginator("list_change_sets").paginate(StackName=stack_name)
    return [summary for page in pages for summary in page["Summaries"]]


def is_abandoned(summary: ChangeSetSummaryTypeDef) -> bool:
    """Whether the run that made the change set no longer exists, so that nobody executes it."""
    run = _RUN.fullmatch(summary.get("Description", ""))
    if run is None:
        return False
    if run[2] == _name_machine():
        return not _is_running(int(run[1]))
    created = summary.get("CreationTime")
    return created is not None and datetime.now(UTC) - created > _LONGEST_RUN


def _name_machine() -> str:
    return hashlib.sha256(socket.gethostname().encode()).hexdigest()[:12]


def _is_running(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:
        # It is another user's.
        return True
    return True
