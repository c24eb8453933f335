"""The payment's statuses, drawn from the table that the ledger writes by."""

from collections.abc import Mapping
from importlib import import_module
from typing import TYPE_CHECKING

from .mermaid import class_of, draw_block

if TYPE_CHECKING:
    from payments.payment import OPEN, TRANSITIONS, Status
else:
    # By its path: `python3 generate.py` runs without the folder of the functions on its path.
    _payment = import_module("lambda.payments.payment")
    OPEN, TRANSITIONS, Status = _payment.OPEN, _payment.TRANSITIONS, _payment.Status

# Status -> what it means, and whether the customer was charged.
_MEANINGS = {
    Status.REJECTED: ("did not pass validation", "no"),
    Status.PENDING: ("accepted and recorded", "no"),
    Status.PROCESSING: ("claimed by an attempt that may be charging", "possibly"),
    Status.UNKNOWN: ("the gateway has not confirmed whether it charged; reconciliation looks it up", "possibly"),
    Status.COMPLETED: ("charged", "yes"),
    Status.DECLINED: ("refused by the gateway", "no"),
    Status.ACTION_REQUIRED: ("not charged: the customer has to authenticate, and sends a new payment", "no"),
    Status.FAILED: ("stopped after a technical failure; may be redriven", "no"),
    Status.REVIEW: ("only an operator can find out the outcome, and records it with `resolve`", "possibly"),
    Status.REFUNDING: ("a refund was requested and is not confirmed yet", "yes"),
    Status.REFUNDED: ("refunded in full", "yes, and refunded"),
}


def draw_page() -> str:
    return "\n".join(
        [
            "# The statuses of a payment",
            "",
            "| status | meaning | charged | final |",
            "|---|---|---|---|",
            *map(_draw_row, Status),
            "",
            "A final status changes only when an operator refunds, redrives or resolves the payment, with one",
            "exception: where an attempt may have left something open at the gateway under a `FAILED`, `DECLINED` or",
            "`ACTION_REQUIRED` payment, reconciliation closes it there 15 minutes later. If somebody charged it in the",
            "meantime, the payment becomes `COMPLETED`, and subscribers are notified.",
            "",
            f"Reconciliation handles payments that stay open ({', '.join(sorted(OPEN))}, yellow below) for too long.",
            "The diagram is drawn by `python3 generate.py` from `TRANSITIONS` in",
            "[`status.py`](../lambda/payments/status.py).",
            "",
            draw_diagram(TRANSITIONS),
            "",
        ]
    )


def _draw_row(status: Status) -> str:
    meaning, charged = _MEANINGS[status]
    return f"| `{status}` | {meaning} | {charged} | {'no' if status in OPEN else 'yes'} |"


def draw_diagram(transitions: Mapping[Status | None, frozenset[Status]]) -> str:
    """``None`` is a payment that is not recorded yet."""
    arrows = [
        f"{before or '[*]'} --> {after}"
        for before, targets in transitions.items()
        for after in sorted(targets)
        if before != after
    ]
    ends = [status for status, targets in transitions.items() if status and not targets]
    return draw_block(
        "stateDiagram-v2",
        [*arrows, *(f"{status} --> [*]" for status in ends), *class_of("waits", sorted(OPEN))],
    )
