"""scripts/payments.sh show, list, tail"""

import dataclasses
import json
import re
import time
from collections.abc import Callable
from datetime import UTC, datetime

import click

from ..environment import Platform
from ..listing import Which, recent
from ..story import story_of
from ..tail import follow
from . import views
from .common import Interrupted, Usage, as_json, console, echo_json

_UNITS = {"s": 1, "m": 60, "h": 60 * 60, "d": 24 * 60 * 60}


@click.command()
@click.argument("transaction_id")
@as_json
@click.pass_obj
def show(platform: Callable[[], Platform], transaction_id: str, as_json: bool) -> None:
    """All that happened to a payment, in the order of time.

    From its executions, the ledger, and the functions' logs; what the logs hide is not here either.
    """
    found = story_of(platform(), transaction_id)
    if as_json:
        echo_json(dataclasses.asdict(found))
        return
    views.story(console(), found)


@click.command("list")
@click.option(
    "--open", "which", flag_value=Which.OPEN, help="Those without an outcome, or of which somebody is to hear."
)
@click.option("--unknown", "which", flag_value=Which.UNKNOWN, help="Those whose gateway does not say.")
@click.option("--failed", "which", flag_value=Which.FAILED, help="Those that were given up, or wait for a person.")
@click.option("--since", metavar="WHEN", help="Changed since then: 30m, 2h, 3d or 2026-11-23T12:00 (UTC).")
@click.option("--limit", type=click.IntRange(1, 10_000), default=50, show_default=True, help="The newest so many.")
@as_json
@click.pass_obj
def list_payments(
    platform: Callable[[], Platform], which: Which | None, since: str | None, limit: int, as_json: bool
) -> None:
    """The payments that changed last.

    --open and --unknown read the index of open payments, and cost what is open. --failed, and all payments, scan the
    table: on AWS that costs half a read unit for each 4 KB of all that was ever recorded.
    """
    found = recent(platform(), which=Which(which or Which.ALL), since=_when(since), limit=limit)
    if as_json:
        echo_json([dataclasses.asdict(one) for one in found])
    elif not found:
        click.echo("no such payments")
    else:
        views.payments(console(), found)
        if len(found) == limit:
            click.echo(f"the newest {limit}; --limit shows more", err=True)


@click.command()
@click.option("--since", metavar="WHEN", help="Begin there: 30m, 2h or 2026-11-23T12:00 (UTC); now otherwise.")
@click.option("--json", "as_json", is_flag=True, help="For programs: an object a line.")
@click.pass_obj
def tail(platform: Callable[[], Platform], since: str | None, as_json: bool) -> None:
    """Payments as they change, until Ctrl-C.

    Reads the functions' three logs every two seconds, every ten where nothing happens; CloudWatch has a line some
    seconds after it was written. The exit code is 130, as of everything that Ctrl-C ends.
    """
    there, out = platform(), console()
    there.check_deployed()
    if not as_json:
        click.echo(f"payments of {there.environment} as they change, times in UTC; Ctrl-C ends it", err=True)
    try:
        for line in follow(there, time.time() if since is None else _when(since)):
            if as_json:
                fields = dataclasses.asdict(line)
                del fields["key"]
                click.echo(json.dumps(fields))
            else:
                views.line(out, line)
    except KeyboardInterrupt:
        raise Interrupted("nothing was changed") from None


def _when(text: str | None) -> float:
    """Seconds since 1970; 0 is always. Raises ``Usage``."""
    if text is None:
        return 0.0
    if span := re.fullmatch(r"([0-9]{1,6})([smhd])", text):
        return max(0.0, time.time() - int(span[1]) * _UNITS[span[2]])
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        raise Usage(f"--since {text}: say 30m, 2h, 3d or a time such as 2026-11-23T12:00") from None
    seconds = (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp()
    if seconds > time.time():
        raise Usage(f"--since {text}: that is still to come; times are in UTC")
    return max(0.0, seconds)
