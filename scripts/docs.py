"""The generated pages of docs/: ``python -m scripts.docs`` writes them, ``--check`` fails when one is stale."""

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "lambda"))

STATUS = ROOT / "docs" / "payment-status.md"


def payment_status() -> str:
    """The payment's statuses, drawn from the table that the ledger writes by."""
    from payments.payment import OPEN, TRANSITIONS

    arrows = [
        f"    {before or '[*]'} --> {after}"
        for before, targets in TRANSITIONS.items()
        for after in sorted(targets)
        if before != after
    ]
    ends = [f"    {status} --> [*]" for status, targets in TRANSITIONS.items() if status and not targets]
    return "\n".join(
        [
            "# The statuses of a payment",
            "",
            "Drawn by `make generate` from `TRANSITIONS` in [`payment.py`](../lambda/payments/payment.py).",
            f"Reconciliation takes up what stays too long in {', '.join(sorted(OPEN))}.",
            "",
            "```mermaid",
            "stateDiagram-v2",
            *arrows,
            *ends,
            "```",
            "",
        ]
    )


def main(arguments: list[str]) -> int:
    text = payment_status()
    if arguments == ["--check"]:
        if not STATUS.exists() or STATUS.read_text() != text:
            print(f"{STATUS.relative_to(ROOT)} is stale; run `make generate`", file=sys.stderr)
            return 1
        return 0
    STATUS.write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
