"""scripts/status.sh"""

import json
import sys
from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from scripts.common.errors import UserError
from scripts.common.suggestion import suggest_command
from scripts.common.terminal import create_console, echo
from stacks import settings

from ..deployment_options import ARTIFACTS_STACK, stack_name
from .common import HELP, CommonOptions, ExitsWith1, common_options

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

    from ..status import StackStatus, Status
    from ..statuses import Advice


@click.command(cls=ExitsWith1, context_settings=HELP)
@common_options
@click.option("--drift", "detect_drift", is_flag=True, help="Detect drift now, in every nested stack; takes a while.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def main(common: CommonOptions, detect_drift: bool, as_json: bool) -> None:
    """Show the status of ENVIRONMENT: its stacks, manual changes (drift), and alarms.

    Exits with 2 if a stack has failed or drifted, or if an alarm is in ALARM or missing.
    """
    with common.report_errors("status", "nothing was changed", in_json=as_json):
        settings.load(common.environment, common.settings_file)
        from ..status import NotDeployed, read_status

        target = common.reach_target()
        try:
            status = read_status(stack_name(common.environment), target, detect_drift=detect_drift)
        except NotDeployed as error:
            raise UserError(f"{error}; deploy it with {suggest_command('deploy', common.environment)}") from None
        if as_json:
            advice = _advise_root(status, common.environment)
            echo(json.dumps({**asdict(status), "meaning": advice.meaning, "next_step": advice.next_step}, indent=2))
        else:
            _print_status(create_console(), status, common.environment)
        sys.exit(0 if _is_healthy(status) else 2)


def _is_healthy(status: "Status") -> bool:
    failed = any("FAILED" in stack.status or "ROLLBACK" in stack.status for stack in status.stacks)
    failed = failed or (bool(_describe_artifacts(status)) and not status.artifacts.endswith("_IN_PROGRESS"))
    drifted = any(stack.drift == "DRIFTED" for stack in status.stacks)
    return not failed and not drifted and not {"ALARM", "missing"} & set(status.alarms.values())


def _print_status(console: "Console", status: "Status", environment: str) -> None:
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for name in ("Stack", "Status", "Last changed", "Drift"):
        table.add_column(name, overflow="fold")
    for stack in status.stacks:
        table.add_row(*_format_stack(stack))
    console.print(table)
    if status.reason:
        console.print(status.reason, style="red", soft_wrap=True)
    advice = _advise_root(status, environment)
    if advice.next_step:
        console.print(f"{advice.meaning}; {advice.next_step}", style="yellow", soft_wrap=True)
    if obstacle := _describe_artifacts(status):
        console.print(obstacle, style="yellow", soft_wrap=True, markup=False)
    for drift in status.drifts:
        names = f": {', '.join(drift.properties)}" if drift.properties else ""
        console.print(f"! {drift.path} ({drift.resource_type}) is {drift.status.lower()}{names}", style="red")
    _print_alarms(console, status.alarms)
    for saved in status.saved_plans:
        discard = suggest_command("deploy", "discard", environment, saved.change_set)
        created = f", of {_format_minute(saved.created_at)}" if saved.created_at else ""
        line = f"{saved.stack_name} has a saved plan{created}; if its file is lost, delete it with {discard}"
        console.print(line, style="dim", soft_wrap=True, markup=False)
    if any(stack.drift == "NOT_CHECKED" for stack in status.stacks):
        command = suggest_command("status", environment, "--drift")
        console.print(f"drift has not been checked; run {command}", style="dim", soft_wrap=True, markup=False)


def _print_alarms(console: "Console", alarms: dict[str, str]) -> None:
    for state in ("ALARM", "missing"):
        for name in sorted(name for name, alarm_state in alarms.items() if alarm_state == state):
            console.print(f"! {name} is {'in ALARM' if state == 'ALARM' else state}", style="red")
    ringing = list(alarms.values()).count("ALARM")
    console.print(f"alarms: {ringing} in ALARM, {len(alarms) - ringing} not" if alarms else "no alarms")


def _describe_artifacts(status: "Status") -> str:
    """Return why the artifacts stack can take no update, with the next step; empty if it can."""
    from ..statuses import UPDATE, describe_refusal, is_accepted

    if not status.artifacts or is_accepted(status.artifacts, UPDATE):
        return ""
    return describe_refusal(ARTIFACTS_STACK, status.artifacts, "")


def _advise_root(status: "Status", environment: str) -> "Advice":
    from ..statuses import advise_next_step

    root = status.stacks[0]
    return advise_next_step(root.name, root.status, environment)


def _format_stack(stack: "StackStatus") -> "tuple[str | Text, ...]":
    from rich.text import Text

    colour = "red" if "FAILED" in stack.status or "ROLLBACK" in stack.status else "green"
    indent = "  " * (stack.path.count("/") + 1) if stack.path else ""
    drift = stack.drift.lower().replace("_", " ")
    return (
        f"{indent}{stack.path.rsplit('/', 1)[-1] or stack.name}",
        Text(stack.status, style="yellow" if stack.status.endswith("IN_PROGRESS") else colour),
        _format_minute(stack.changed_at),
        Text(drift + (f", {_format_minute(stack.drift_checked_at)}" if stack.drift_checked_at else "")),
    )


def _format_minute(moment: str) -> str:
    """Format a time in ISO 8601 to the minute."""
    return moment[:16].replace("T", " ")


if __name__ == "__main__":
    main(prog_name="scripts/status.sh")
