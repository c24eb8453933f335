"""The payment's statuses, drawn from the table that the ledger writes by."""

import sys
from collections.abc import Mapping
from pathlib import Path

from .mermaid import block, class_of

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "lambda"))
from payments.payment import OPEN, TRANSITIONS, Status


def page() -> str:
    return "\n".join(
        [
            "# The statuses of a payment",
            "",
            "Drawn by `python generate.py` from `TRANSITIONS` in [`payment.py`](../lambda/payments/payment.py).",
            f"Reconciliation takes up what stays too long in {', '.join(sorted(OPEN))} (yellow).",
            "",
            diagram(TRANSITIONS),
            "",
        ]
    )


def diagram(transitions: Mapping[Status | None, frozenset[Status]]) -> str:
    """``None`` is a payment that is not recorded yet."""
    arrows = [
        f"{before or '[*]'} --> {after}"
        for before, targets in transitions.items()
        for after in sorted(targets)
        if before != after
    ]
    ends = [status for status, targets in transitions.items() if status and not targets]
    return block(
        "stateDiagram-v2",
        [*arrows, *(f"{status} --> [*]" for status in ends), *class_of("waits", sorted(OPEN))],
    )
