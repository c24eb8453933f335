"""scripts/payments.sh show, list, tail"""

import json
import time

import click

from scripts.common.command import end_silently_if_unread
from scripts.common.terminal import echo

from ..json_output import to_json
from ..statuses import Selection
from .common import ReachPlatform, as_json, echo_json, main, make_console, parse_since


@main.command()
@click.argument("transaction_id")
@as_json
@click.pass_obj
@end_silently_if_unread()
def show(reach_platform: ReachPlatform, transaction_id: str, as_json: bool) -> None:
    """Show all that happened to a payment, in order.

    Combines its executions, the ledger and the functions' logs. What is masked in the logs is not
    shown here either. The logs of a payment with a final status are searched until an hour after its last event.
    """
    platform = reach_platform()
    from ..story import read_story

    story = read_story(platform, transaction_id)
    if as_json:
        echo_json(to_json(story))
    else:
        from . import views

        views.print_story(make_console(), story)


@main.command("list")
@click.option(
    "--open",
    "selection",
    flag_value=Selection.OPEN,
    help="Only payments without a final status, or with something to be sent, or closed at the gateway.",
)
@click.option(
    "--unknown",
    "selection",
    flag_value=Selection.UNKNOWN,
    help="Only payments whose outcome the gateway has not confirmed.",
)
@click.option("--failed", "selection", flag_value=Selection.FAILED, help="Only payments that are FAILED or in REVIEW.")
@click.option("--since", metavar="WHEN", help="Only payments changed since: 30m, 2h, 3d or 2026-11-23T12:00 (UTC).")
@click.option(
    "--limit",
    type=click.IntRange(1, 10_000),
    default=50,
    show_default=True,
    help="Show at most this many, newest first.",
)
@as_json
@click.pass_obj
@end_silently_if_unread()
def list_payments(
    reach_platform: ReachPlatform, selection: Selection | None, since: str | None, limit: int, as_json: bool
) -> None:
    """List the payments that changed most recently.

    --open and --unknown read the index of open payments; their cost depends on how many are open. --failed, and listing
    all payments, scan the whole table: on AWS that costs half a read request unit per 4 KB of everything ever recorded.
    """
    selection = Selection(selection or Selection.EVERY)
    changed_since = parse_since(since)
    platform = reach_platform()
    from ..payment_lists import list_recent_payments

    payments = list_recent_payments(platform, selection=selection, since=changed_since, limit=limit)
    if as_json:
        echo_json([to_json(payment) for payment in payments])
    elif not payments:
        echo("no such payments")
    else:
        from . import views

        views.print_payments(make_console(), payments)
        if len(payments) == limit:
            echo(f"only the newest {limit} are shown; use --limit to see more", err=True)


@main.command()
@click.option("--since", metavar="WHEN", help="Start at this time: 30m, 2h or 2026-11-23T12:00 (UTC).  [default: now]")
@click.option("--json", "as_json", is_flag=True, help="Print JSON Lines, one object per line.")
@click.pass_obj
@end_silently_if_unread()
def tail(reach_platform: ReachPlatform, since: str | None, as_json: bool) -> None:
    """Follow payments as they change, until Ctrl-C.

    Reads the three functions' logs every two seconds, or every ten when nothing happens; CloudWatch delivers a line
    some seconds after it was written. The exit code is 130, as for any command ended by Ctrl-C.
    """
    start = time.time() if since is None else parse_since(since)
    platform, console = reach_platform(), make_console()
    platform.check_deployed()
    from ..tail import follow_lines
    from . import views

    if not as_json:
        echo(f"payments of {platform.environment} as they change, times in UTC; Ctrl-C ends it", err=True)
    day = ""
    for line in follow_lines(platform, start):
        if as_json:
            echo(json.dumps(to_json(line)))
        else:
            day = views.print_log_line(console, line, day)
