"""scripts/logs.sh"""

import json
import time
from collections.abc import Iterable
from typing import TYPE_CHECKING

import click

from scripts.common.command import Interrupted, end_silently_if_unread
from scripts.common.errors import UserError
from scripts.common.terminal import echo
from scripts.deployer.cli.common import HELP, CommonOptions, ExitsWith1, common_options
from stacks import names, settings
from stacks.settings import LOCAL

from .common import make_console, parse_since

if TYPE_CHECKING:
    from ..log_events import LogEvent

# Of log_events.SOURCES, in the same order.
SOURCE_NAMES = (*(function.purpose for function in names.FUNCTIONS), "workflow")
_UNCHANGED = "nothing was changed"


@click.command(cls=ExitsWith1, context_settings=HELP)
@common_options
@click.option("--follow", "-f", "is_followed", is_flag=True, help="Go on with new lines until Ctrl-C.")
@click.option(
    "--since",
    metavar="WHEN",
    default="10m",
    show_default=True,
    help="Start at this time: 30m, 2h, 3d or 2026-11-23T12:00 (UTC).",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON Lines, one object per line.")
@click.argument("function", type=click.Choice(SOURCE_NAMES), metavar="[FUNCTION]", required=False)
def main(common: CommonOptions, is_followed: bool, since: str, as_json: bool, function: str | None) -> None:
    """Print what the functions of ENVIRONMENT and its workflow logged, oldest first, in UTC.

    FUNCTION, if given, is a module of lambda/handlers, such as validation, or workflow. What is masked there is masked
    here. CloudWatch delivers a line some seconds after it was written.
    """
    with common.report_errors("logs", _UNCHANGED), end_silently_if_unread():
        settings.load(common.environment, common.settings_file)
        start = parse_since(since)
        sources = [function] if function else list(SOURCE_NAMES)
        if common.environment == LOCAL:
            sources = _leave_out_workflow(sources)
        from ..log_events import read_events
        from ..platform import Platform
        from ..tail import follow_reads

        platform = Platform(common.environment, common.reach_target(), operator="")
        platform.check_deployed()
        if not is_followed:
            if not _print_events(read_events(platform, start, sources), as_json):
                at = time.strftime("%Y-%m-%d %H:%M", time.gmtime(start))
                echo(f"nothing was logged since {at} UTC; --since 2h goes further back", err=True)
            return
        try:
            _print_events(follow_reads(lambda read_from: read_events(platform, read_from, sources), start), as_json)
        except KeyboardInterrupt:
            raise Interrupted(_UNCHANGED) from None


def _leave_out_workflow(sources: list[str]) -> list[str]:
    """Return the sources that the emulator has. Raises ``UserError`` if that is none."""
    from scripts.local import gaps

    if sources == ["workflow"]:
        raise UserError(f"{LOCAL} has no log of the workflow: the AWS emulator {gaps.SERVICES['workflow log']}")
    return [source for source in sources if source != "workflow"]


def _print_events(events: "Iterable[LogEvent]", as_json: bool) -> int:
    """Print the lines, each at once, and return how many there are."""
    from .. import json_output
    from . import views

    console, day, count = make_console(), "", 0
    for event in events:
        count += 1
        if as_json:
            echo(json.dumps(json_output.to_json(event)))
        else:
            day = views.print_log_event(console, event, day)
    return count


if __name__ == "__main__":
    main(prog_name="scripts/logs.sh")
