"""The results as a table for people, and as one JSON document for programs (docs/verify-output.schema.json)."""

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from rich import box
from rich.console import Console, Group
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from .place import Place
from .results import Check, Status

_STYLES = {Status.OK: "green", Status.FAILED: "bold red", Status.SKIPPED: "dim", Status.UNKNOWN: "yellow"}
NARROW = 100


def show(console: Console, checks: Sequence[Check], problems: Sequence[str]) -> None:
    """The table, what could not be undone, and the sum."""
    console.print(table(checks, console.width))
    for problem in problems:
        console.print(Text(f"! not undone: {problem}", style="red"), soft_wrap=True)
    console.print()
    console.print(summary(checks), soft_wrap=True)


def table(checks: Sequence[Check], width: int) -> Table:
    """On a narrow terminal what was seen stands below what was checked."""
    narrow = width < NARROW
    shown = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 1, 0, 0))
    shown.add_column("Check, and what was seen" if narrow else "Check", overflow="fold", ratio=None if narrow else 2)
    if not narrow:
        shown.add_column("Seen", overflow="fold", ratio=4)
    shown.add_column("Status", no_wrap=True)
    shown.add_column("Seconds", justify="right", no_wrap=True)
    group = ""
    for check in checks:
        if check.group != group:
            if group:
                shown.add_section()
            group = check.group
            shown.add_row(Text(group, style="bold"))
        status = Text(check.status, style=_STYLES[check.status])
        seconds = f"{check.seconds:.1f}"
        # One problem a line.
        words = check.seen.replace("; ", "\n") if check.status is Status.FAILED else check.seen
        name, seen = Text(f"  {check.name}"), Text(words, style=_style_of(check))
        if narrow:
            shown.add_row(Group(name, Padding(seen, (0, 0, 0, 4))), status, seconds)
        else:
            shown.add_row(name, seen, status, seconds)
    return shown


def _style_of(check: Check) -> str:
    return {Status.FAILED: "red", Status.UNKNOWN: "yellow"}.get(check.status, "dim")


def summary(checks: Sequence[Check]) -> str:
    counts = Counter(check.status for check in checks)
    parts = [
        f"{counts[status]} {status}" for status in Status if counts[status] or status in (Status.OK, Status.FAILED)
    ]
    return f"{len(checks)} checks: {', '.join(parts)}"


def document(place: Place, checks: Sequence[Check]) -> dict[str, Any]:
    counts = Counter(check.status for check in checks)
    target = place.platform.target
    return {
        "environment": place.environment,
        "account": target.account,
        "region": target.region,
        "run": place.run_name,
        "started_at": datetime.fromtimestamp(place.started_at, UTC).isoformat(timespec="seconds"),
        "finished_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "read_only": place.read_only,
        "counts": {str(status): counts[status] for status in Status},
        "checks": [asdict(check) for check in checks],
        "not_undone": place.cleanup.problems,
    }


def as_json(place: Place, checks: Sequence[Check]) -> str:
    return json.dumps(document(place, checks), indent=2)
