"""The results as a table, and as a JSON document (docs/verify-output.schema.json)."""

import json
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime

from rich import box
from rich.console import Console, Group
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from scripts.common.suggestion import find_suggestions

from .results import Check, Status
from .run import Run

_STYLES = {Status.OK: "green", Status.FAILED: "bold red", Status.SKIPPED: "dim", Status.UNKNOWN: "yellow"}
NARROW = 100


def show_results(console: Console, checks: Sequence[Check], problems: Sequence[str]) -> None:
    """Print the table, the commands that it suggests, what could not be undone, and the counts."""
    console.print(make_table(checks, console.width))
    # A cell of the table may break a command, which could then not be copied.
    for command in list_suggestions(checks):
        console.print(Text(f"→ {command}", style="dim"), soft_wrap=True)
    for problem in problems:
        console.print(Text(f"! not undone: {problem}", style="red"), soft_wrap=True)
    console.print()
    console.print(summarize_results(checks), soft_wrap=True)


def make_table(checks: Sequence[Check], width: int) -> Table:
    """Return the table. On a narrow terminal, the observation is below the name of the check."""
    narrow = width < NARROW
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 1, 0, 0))
    table.add_column("Check, and what was seen" if narrow else "Check", overflow="fold", ratio=None if narrow else 2)
    if not narrow:
        table.add_column("Seen", overflow="fold", ratio=4)
    table.add_column("Status", no_wrap=True)
    table.add_column("Seconds", justify="right", no_wrap=True)
    group = ""
    for check in checks:
        if check.group != group:
            if group:
                table.add_section()
            group = check.group
            table.add_row(Text(group, style="bold"))
        status = Text(check.status, style=_STYLES[check.status])
        seconds = f"{check.seconds:.1f}"
        # Each problem on a line of its own.
        text = check.observation.replace("; ", "\n") if check.status is Status.FAILED else check.observation
        style = {Status.FAILED: "red", Status.UNKNOWN: "yellow"}.get(check.status, "dim")
        name, observation = Text(f"  {check.name}"), Text(text, style=style)
        if narrow:
            table.add_row(Group(name, Padding(observation, (0, 0, 0, 4))), status, seconds)
        else:
            table.add_row(name, observation, status, seconds)
    return table


def list_suggestions(checks: Sequence[Check]) -> list[str]:
    """Return each command that a check that has not succeeded suggests, once."""
    seen = [check.observation for check in checks if check.status is not Status.OK]
    return list(dict.fromkeys(text[start:end] for text in seen for start, end in find_suggestions(text)))


def summarize_results(checks: Sequence[Check]) -> str:
    counts = Counter(check.status for check in checks)
    parts = [
        f"{counts[status]} {status}" for status in Status if counts[status] or status in (Status.OK, Status.FAILED)
    ]
    return f"{len(checks)} checks: {', '.join(parts)}"


def format_json(run: Run, checks: Sequence[Check]) -> str:
    counts = Counter(check.status for check in checks)
    target = run.platform.target
    document = {
        "environment": run.environment,
        "account": target.account,
        "region": target.region,
        "run": run.name,
        "started_at": datetime.fromtimestamp(run.started_at, UTC).isoformat(timespec="seconds"),
        "finished_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "read_only": run.read_only,
        "counts": {str(status): counts[status] for status in Status},
        "checks": [
            {"group": check.group, "name": check.name, "status": check.status, "seen": check.observation}
            | {"seconds": check.seconds}
            for check in checks
        ],
        "not_undone": run.cleanup.problems,
    }
    return json.dumps(document, indent=2)
