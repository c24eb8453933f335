"""scripts/verify.sh"""

import json
import sys
import textwrap
from pathlib import Path

import click
from rich.console import Console

from scripts.common.errors import AWS_ERRORS, Aborted, describe_error
from scripts.common.target import Target
from scripts.deployer import rollout
from scripts.deployer.cli.common import HELP, CommonOptions, ExitsWith1, ask, common_options
from scripts.operator.platform import Platform
from stacks import settings

from . import announcement, read_only, report, runner
from .place import Place
from .results import Check, Status

NAME = "verify"
_TEST_KEYS = ("sk_test_", "rk_test_")


@click.command(cls=ExitsWith1, context_settings=HELP)
@common_options
@click.option("--read-only", "only_reads", is_flag=True, help="Make no write call: safe on prod.")
@click.option("--yes", "-y", is_flag=True, help="Do not ask before anything is written.")
@click.option(
    "--only",
    "names",
    multiple=True,
    type=click.Choice([group.name for group in runner.GROUPS]),
    help="Run this group of checks; may be repeated.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document, see docs/verify-output.schema.json.")
def main(
    common: CommonOptions,
    only_reads: bool,
    yes: bool,
    names: tuple[str, ...],
    as_json: bool,
) -> None:
    """Prove that ENVIRONMENT works as its templates and settings say, by payments of its own and by reading.

    It says beforehand what it will do, how long that takes and what it costs, and asks. It undoes what it did, except
    that its payments stay in the tables.

    Exits with 0 if every check is ok or skipped, with 2 if one failed or could not be made, with 1 after an error.
    """
    with common.report_errors(NAME, "what was changed has been undone"):
        console = Console(stderr=True, highlight=False, markup=False, emoji=False)
        target = common.reach_target()
        place = _place(common.environment, common.settings_file, target, only_reads)
        groups = runner.selected(names)
        if place.read_only:
            read_only.guard(target.session)
        for line in announcement.lines(place, groups):
            _announce(console, line)
        writes = not place.read_only and any(group.writes for group in groups)
        if writes and not yes and not ask("Go on?"):
            raise Aborted("nothing was changed")
        checks = _run(place, groups, console)
        if as_json:
            click.echo(report.as_json(place, checks))
        else:
            report.show(_console(), checks, place.cleanup.problems)
        sys.exit(2 if place.cleanup.problems or any(map(_is_bad, checks)) else 0)


def _place(environment: str, settings_file: Path, target: Target, only_reads: bool) -> Place:
    """Raises ``SettingsError`` for the settings, ``UserError`` where there is no way to the environment."""
    parameters = settings.load(environment, settings_file)
    platform = Platform(environment, target, "verify")
    bootstrap = settings.load_bootstrap(settings_file)
    place = Place(platform, parameters, rollout.load(environment, settings_file), bootstrap, read_only=only_reads)
    if not only_reads and parameters["Gateway"] != "simulator":
        reason = _why_not_charge(target, parameters["GatewaySecretArn"])
        if reason:
            place.read_only, place.read_only_reason = True, reason
    return place


def _why_not_charge(target: Target, secret_arn: str) -> str:
    """Why no payment may be sent to Stripe; empty for a test key. The key itself goes nowhere.

    https://docs.stripe.com/keys
    """
    try:
        secret = target.client("secretsmanager").get_secret_value(SecretId=secret_arn)["SecretString"]
    except AWS_ERRORS as error:
        return f"whether the gateway's key is a test key cannot be read, so nothing is written: {describe_error(error)}"
    try:
        key = str(json.loads(secret)["api_key"])
    except (ValueError, KeyError, TypeError):
        return "the gateway's secret has no api_key, so nothing is written"
    return "" if key.startswith(_TEST_KEYS) else "the gateway's key is a live key, so nothing is written"


def _run(place: Place, groups: list[runner.Group], console: Console) -> list[Check]:
    count, bad = 0, 0
    with console.status("verifying") as status:
        place.cleanup.say = status.update

        def progress(check: Check) -> None:
            nonlocal count, bad
            count, bad = count + 1, bad + _is_bad(check)
            problems = f", {bad} not ok" if bad else ""
            status.update(f"{count} checks{problems}; {check.group}: {check.name}")

        try:
            return runner.run(place, groups, progress)
        finally:
            for problem in place.cleanup.problems:
                console.print(f"not undone: {problem}", soft_wrap=True)


def _is_bad(check: Check) -> bool:
    return check.status in (Status.FAILED, Status.UNKNOWN)


def _announce(console: Console, line: str) -> None:
    """On a terminal broken between words, below its own beginning; elsewhere nobody wants lines broken."""
    indent = len(line) - len(line.lstrip(" -"))
    if console.is_terminal:
        line = textwrap.fill(line, console.width, subsequent_indent=" " * indent)
    console.print(line, soft_wrap=True)


def _console() -> Console:
    """As wide as the terminal; in a file the table is not broken more than it has to be."""
    return Console(highlight=False, markup=False, emoji=False, width=None if sys.stdout.isatty() else 120)
