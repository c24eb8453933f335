"""Run reconciliation now instead of waiting for its schedule."""

import time

from scripts.common.errors import UserError

from . import records
from .platform import Platform


def run_reconciliation(platform: Platform) -> tuple[list[tuple[str, str, str]], str]:
    """Let the function settle what is overdue, which takes up to five minutes.

    Returns the transaction id, the status before and the status after of each overdue payment, also of one that the
    schedule settles at the same time; and the function's error, which is empty on success.
    """
    overdue_ids = list(records.read_open_ids(platform, time.time()))
    before = records.read_payments(platform, overdue_ids)
    error = ""
    try:
        errors = platform.invoke_reconciliation({"action": "reconcile"}).get("errors", 0)
        error = f"{errors} error{'s' if errors > 1 else ''}" if errors else ""
    except UserError as failure:
        error = str(failure)
    after = records.read_payments(platform, overdue_ids)
    # The index is eventually consistent and may list settled payments; the table decides.
    changes = [
        (transaction_id, before[transaction_id].status, after[transaction_id].status)
        for transaction_id in overdue_ids
        if transaction_id in before and transaction_id in after
    ]
    return changes, error
