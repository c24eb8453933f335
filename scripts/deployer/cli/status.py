"""scripts/status.sh"""

import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from scripts.common.command import end_silently_if_unread
from scripts.common.errors import UserError
from scripts.common.paths import TEMPLATES
from scripts.common.suggestion import suggest_command
from scripts.common.terminal import create_console, echo
from stacks import settings

from ..deployment_options import ARTIFACTS_STACK, stack_name
from .common import HELP, CommonOptions, ExitsWith1, common_options, print_json_error

# More columns than any table has.
_WIDEST = 1_000

if TYPE_CHECKING:
    from collections.abc import Iterator

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

    Exits with 2 if a stack has failed or drifted, if code-only has changed a function, or if an alarm is in ALARM or
    missing. An alarm on missing heartbeats does not count before the first one is due.
    """
    with (
        common.report_errors("status", "nothing was changed", show_error=print_json_error if as_json else str),
        end_silently_if_unread(),
    ):
        parameters = settings.load(common.environment, common.settings_file)
        rollout = settings.load_rollout(common.environment, common.settings_file)
        from ..status import NotDeployed, read_status

        target = common.reach_target()
        try:
            status = read_status(
                stack_name(common.environment),
                target,
                environment=common.environment,
                detect_drift=detect_drift,
                allows_code_only=rollout["code_only"],
            )
        except NotDeployed as error:
            from ..purge.search import Purge, advise_deployment

            purge = Purge(common.environment, parameters, TEMPLATES)
            raise UserError(f"{error}; {advise_deployment(purge, target)}") from None
        if as_json:
            advice = _advise_root(status, common.environment)
            lost = "; ".join(_describe_lost_stacks(status, common.environment))
            next_step = advice.next_step or lost
            echo(json.dumps({**asdict(status), "meaning": advice.meaning, "next_step": next_step}, indent=2))
        else:
            # Elsewhere than on a terminal, a row is a line.
            console = create_console(width=None if sys.stdout.isatty() else 140)
            _print_status(console, status, common.environment)
        sys.exit(0 if _is_healthy(status) else 2)


def _is_healthy(status: "Status") -> bool:
    failed = any(map(_has_failed, status.stacks))
    failed = failed or (bool(_describe_artifacts(status)) and not status.artifacts.endswith("_IN_PROGRESS"))
    drifted = bool(status.changed_functions) or any(stack.drift == "DRIFTED" for stack in status.stacks)
    alarms = {state for name, state in status.alarms.items() if name not in status.first_heartbeats}
    return not failed and not drifted and not {"ALARM", "missing"} & alarms


def _has_failed(stack: "StackStatus") -> bool:
    return stack.is_lost or "FAILED" in stack.status or "ROLLBACK" in stack.status


def _print_status(console: "Console", status: "Status", environment: str) -> None:
    from rich.text import Text

    from ..report.hanging import print_hanging, print_warning

    _print_stacks(console, status)
    advice = _advise_root(status, environment)
    lines = [
        (status.reason, "red"),
        (f"{advice.meaning}; {advice.next_step}" if advice.next_step else "", "yellow"),
        (_describe_artifacts(status), "yellow"),
    ]
    for text, colour in lines:
        if text:
            print_hanging(console, Text(text, style=colour))
    for line in (*_describe_lost_stacks(status, environment), *_describe_differences(status, environment)):
        print_warning(console, line, "red")
    for state in ("ALARM", "missing"):
        alarms = {name for name, alarm_state in status.alarms.items() if alarm_state == state}
        for name in sorted(alarms - set(status.first_heartbeats)):
            print_warning(console, f"{name} is {'in ALARM' if state == 'ALARM' else state}", "red")
    for name, due_at in sorted(status.first_heartbeats.items()):
        line = f"{name} is in ALARM: no heartbeat yet; the first is expected by {due_at[11:16]} UTC"
        print_hanging(console, Text(line, style="yellow"))
    ringing = list(status.alarms.values()).count("ALARM")
    print_hanging(
        console,
        Text(f"alarms: {ringing} in ALARM, {len(status.alarms) - ringing} not" if status.alarms else "no alarms"),
    )
    for line in (*_describe_saved_plans(status, environment), *_describe_drift_checks(status, environment)):
        print_hanging(console, Text(line, style="dim"))


def _describe_lost_stacks(status: "Status", environment: str) -> list[str]:
    from ..stack import describe_lost

    return [describe_lost(stack.path, stack.name, environment) for stack in status.stacks if stack.is_lost]


def _describe_differences(status: "Status", environment: str) -> "Iterator[str]":
    """Yield what differs from the templates, and from the deployed code."""
    for drift in status.drifts:
        names = f": {', '.join(drift.properties)}" if drift.properties else ""
        yield f"{drift.path} ({drift.resource_type}) is {drift.status.lower()}{names}"
    if status.changed_functions:
        yield _describe_changed_code(status, environment)


def _describe_changed_code(status: "Status", environment: str) -> str:
    command = suggest_command("deploy", environment)
    functions = ", ".join(status.changed_functions)
    return f"deploy.sh code-only has changed {functions}; {command} takes that back before it deploys"


def _print_stacks(console: "Console", status: "Status") -> None:
    """Print a table of the stacks, or a line for each where the table is too wide."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    from ..report.hanging import print_hanging

    rows = [_format_stack(stack) for stack in status.stacks]
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for name in ("Stack", "Status", "Last changed", "Drift"):
        table.add_column(name, no_wrap=True)
    for row in rows:
        table.add_row(*row)
    # A measure is at most the width that it is given.
    if console.measure(table, options=console.options.update_width(_WIDEST)).maximum <= console.width:
        console.print(table)
        return
    for title, state, changed_at, drift in rows:
        print_hanging(console, Text.assemble((f"{title.plain}  ", "bold"), state), indent=4)
        print_hanging(console, Text(f"    changed {changed_at}, drift: {drift}"), indent=6)


def _describe_saved_plans(status: "Status", environment: str) -> "Iterator[str]":
    """Yield what each saved plan is, and how to delete it: by its file, or, without that, by one of its change sets."""
    from ..saved_plan import holds_change_set, list_plan_commands

    for plan in status.saved_plans:
        created = f", of {_format_minute(plan.created_at)}" if plan.created_at else ""
        title = f"{plan}{created}, changes {' and '.join(plan.stack_names)}"
        (_, name), path = plan.change_sets[-1], Path(plan.file)
        if plan.file and holds_change_set(path, name):
            yield "{}; run {}, or {}".format(title, *list_plan_commands(environment, path))
        else:
            discard = suggest_command("deploy", "discard", environment, name)
            place = "that is not on this machine; " if plan.file else ""
            yield f"{title}; {place}if the file is lost, delete the plan with {discard}"


def _describe_drift_checks(status: "Status", environment: str) -> "Iterator[str]":
    """Yield when drift was detected, once for all stacks, and how to detect it where it was not."""
    moments = sorted({_format_minute(stack.drift_checked_at) for stack in status.stacks if stack.drift_checked_at})
    if moments:
        yield f"drift was detected {moments[0]}" + (f" to {moments[-1]}" if len(moments) > 1 else "")
    if any(stack.drift == "NOT_CHECKED" for stack in status.stacks):
        place = " in some stacks" if moments else ""
        yield f"drift has not been checked{place}; run {suggest_command('status', environment, '--drift')}"


def _describe_artifacts(status: "Status") -> str:
    """Return why the artifacts stack can take no update, with the next step; empty if it can."""
    from ..statuses import can_deploy, describe_refusal

    if not status.artifacts or can_deploy(status.artifacts, ""):
        return ""
    return describe_refusal(ARTIFACTS_STACK, status.artifacts, "")


def _advise_root(status: "Status", environment: str) -> "Advice":
    from ..statuses import advise_next_step

    root = status.stacks[0]
    return advise_next_step(root.name, root.status, environment)


def _format_stack(stack: "StackStatus") -> "tuple[Text, Text, Text, Text]":
    from rich.text import Text

    colour = "red" if _has_failed(stack) else "green"
    indent = "  " * (stack.path.count("/") + 1) if stack.path else ""
    return (
        Text(f"{indent}{stack.path.rsplit('/', 1)[-1] or stack.name}"),
        Text(stack.status or "missing", style="yellow" if stack.status.endswith("IN_PROGRESS") else colour),
        Text(_format_minute(stack.changed_at)),
        Text(stack.drift.lower().replace("_", " ")),
    )


def _format_minute(moment: str) -> str:
    """Format a time in ISO 8601 to the minute."""
    return moment[:16].replace("T", " ")


if __name__ == "__main__":
    main(prog_name="scripts/status.sh")
