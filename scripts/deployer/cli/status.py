"""scripts/status.sh"""

import json
import sys
from dataclasses import asdict
from pathlib import Path

import click
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from scripts.deployer.order import stack_name
from scripts.deployer.status import Status, status
from scripts.local.reach import reach_environment
from stacks import settings

from . import common


@click.command(cls=common.Command, context_settings=common.HELP)
@common.everywhere
@click.option("--drift", "detect_drift", is_flag=True, help="Detect drift now, in every nested stack; takes a while.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def main(
    environment: str,
    profile: str | None,
    region: str | None,
    settings_file: Path,
    debug: bool,
    detect_drift: bool,
    as_json: bool,
) -> None:
    """Show the status of ENVIRONMENT: its stacks, manual changes (drift), and alarms.

    Exits with 2 if a stack has failed or drifted, or if an alarm is in ALARM or missing.
    """
    with common.report_errors("status", debug, "nothing was changed"):
        settings.load(environment, settings_file)
        target = reach_environment(environment, profile, region)
        found = status(stack_name(environment), target, detect_drift=detect_drift)
        if as_json:
            click.echo(json.dumps(asdict(found), indent=2))
        else:
            _show(Console(highlight=False), found, environment)
        sys.exit(0 if _well(found) else 2)


def _well(found: Status) -> bool:
    failed = any("FAILED" in stack.status or "ROLLBACK" in stack.status for stack in found.stacks)
    drifted = any(stack.drift == "DRIFTED" for stack in found.stacks)
    return not failed and not drifted and not {"ALARM", "missing"} & set(found.alarms.values())


def _show(console: Console, found: Status, environment: str) -> None:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for name in ("Stack", "Status", "Last changed", "Drift"):
        table.add_column(name, overflow="fold")
    for stack in found.stacks:
        colour = "red" if "FAILED" in stack.status or "ROLLBACK" in stack.status else "green"
        indent = "  " * (stack.path.count("/") + 1) if stack.path else ""
        state = stack.drift.lower().replace("_", " ")
        table.add_row(
            f"{indent}{stack.path.rsplit('/', 1)[-1] or stack.name}",
            Text(stack.status, style="yellow" if stack.status.endswith("IN_PROGRESS") else colour),
            _when(stack.changed_at),
            Text(state + (f", {_when(stack.drift_checked_at)}" if stack.drift_checked_at else "")),
        )
    console.print(table)
    if found.reason:
        console.print(found.reason, style="red", soft_wrap=True)
    for drift in found.drifts:
        names = f": {', '.join(drift.properties)}" if drift.properties else ""
        console.print(f"! {drift.path} ({drift.resource_type}) is {drift.status.lower()}{names}", style="red")
    ringing = sorted(name for name, state in found.alarms.items() if state == "ALARM")
    others = len(found.alarms) - len(ringing)
    for name in ringing:
        console.print(f"! {name} is in ALARM", style="red")
    for name in sorted(name for name, state in found.alarms.items() if state == "missing"):
        console.print(f"! {name} is missing", style="red")
    console.print(f"alarms: {len(ringing)} in ALARM, {others} not" if found.alarms else "no alarms")
    if any(stack.drift == "NOT_CHECKED" for stack in found.stacks):
        console.print(f"drift has not been checked; run scripts/status.sh {environment} --drift", style="dim")


def _when(moment: str) -> str:
    """To the minute, in UTC as it came."""
    return moment[:16].replace("T", " ")


if __name__ == "__main__":
    main(prog_name="scripts/status.sh")
