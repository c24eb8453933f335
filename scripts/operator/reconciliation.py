"""Run reconciliation now, rather than when its schedule does."""

import time
from dataclasses import dataclass

from scripts.common.errors import UserError

from . import records
from .platform import Platform


@dataclass(frozen=True)
class Reconciled:
    """Of each payment that was overdue its id, what it was, and what it is; and what the function said went wrong."""

    changes: tuple[tuple[str, str, str], ...]
    error: str


def run(platform: Platform) -> Reconciled:
    """Let the function settle what is overdue, and read what that was before and after; takes up to five minutes.

    The schedule may settle some at the same time: then these are told as well.
    """
    overdue = list(records.open_ids(platform, time.time()))
    before = records.several(platform, overdue)
    error = ""
    try:
        errors = platform.invoke({"action": "reconcile"}).get("errors", 0)
        error = f"{errors} error{'s' if errors > 1 else ''}" if errors else ""
    except UserError as failed:
        error = str(failed)
    after = records.several(platform, overdue)
    # The index may still list what has been settled; the table decides.
    changes = ((one, before[one].status, after[one].status) for one in overdue if one in before and one in after)
    return Reconciled(tuple(changes), error)
