"""The command scripts/verify.sh."""

import json
import sys
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

import click

from scripts.common.command import end_silently_if_unread
from scripts.common.errors import Aborted, UserError, describe_error
from scripts.common.terminal import create_console, echo
from scripts.deployer.cli.common import HELP, CommonOptions, ExitsWith1, common_options, is_expected, print_json_error
from scripts.deployer.cli.confirmation import confirm_question
from scripts.deployer.deployment_options import Rollout
from stacks import settings

if TYPE_CHECKING:
    from rich.console import Console

    from scripts.common.target import Target

    from .cleanup import Cleanup
    from .results import Check
    from .run import Run
    from .runner import Group

NAME = "verify"
# Of runner.GROUPS, in the same order.
GROUP_NAMES = (
    *("stacks", "resources", "access", "account", "keys", "versions", "notifications"),
    *("payments", "alarms", "schedule", "reconciliation", "backups", "traces"),
)
_TEST_KEYS = ("sk_test_", "rk_test_")


@click.command(cls=ExitsWith1, context_settings=HELP)
@common_options
@click.option("--read-only", "only_reads", is_flag=True, help="Make no write call: safe on prod.")
@click.option("--yes", "-y", is_flag=True, help="Do not ask before anything is written.")
@click.option(
    "--only",
    "names",
    multiple=True,
    type=click.Choice(GROUP_NAMES),
    metavar="GROUP",
    help=f"Run this group of checks: {', '.join(GROUP_NAMES[:-1])} or {GROUP_NAMES[-1]}; may be repeated.",
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

    Exits with 0 if every check is ok or skipped, with 2 if one failed or could not be made, with 1 after an error or an
    interrupt that leaves anything changed.
    """
    with (
        common.report_errors(NAME, "nothing was changed", show_error=print_json_error if as_json else str),
        end_silently_if_unread() if only_reads else nullcontext(),
    ):
        # Wrong settings are reported before a missing Region or credentials.
        settings.load(common.environment, common.settings_file)
        from . import announcement, read_only, report, runner

        console = create_console(stderr=True, markup=False, emoji=False)
        target = common.reach_target()
        run = _prepare_run(common.environment, common.settings_file, target, only_reads)
        groups = runner.select_groups(names)
        if run.read_only:
            read_only.refuse_writes(target.session)
        for line in announcement.announce_run(run, groups):
            _print_line(console, line)
        writes = not run.read_only and any(group.writes for group in groups)
        if writes and not yes and not confirm_question("Continue?"):
            raise Aborted("nothing was changed")
        with _report_changes(run.cleanup):
            checks = _run_with_progress(run, groups, console)
            if as_json:
                echo(report.format_json(run, checks))
            else:
                report.show_results(_make_console(), checks, run.cleanup.problems)
        sys.exit(2 if run.cleanup.problems or any(map(_is_problem, checks)) else 0)


class _EndedEarly(UserError):
    """A run that has ended before its result was printed; the message says what has become of its changes."""

    names_changes = True


@contextmanager
def _report_changes(cleanup: "Cleanup") -> Iterator[None]:
    """Raise ``UserError`` for what ends a run that has changed anything, with what has become of that.

    An interrupt after which nothing stays changed is still one.
    """
    try:
        yield
    except (Exception, KeyboardInterrupt) as error:
        if not cleanup.has_changes:
            raise
        fate = cleanup.describe_fate()
        if isinstance(error, KeyboardInterrupt) and not cleanup.has_remains:
            raise KeyboardInterrupt(fate) from error
        if not is_expected(error):
            error.add_note(fate)
            raise
        raise _EndedEarly(f"{describe_error(error)}; {fate}") from error


def _prepare_run(environment: str, settings_file: Path, target: "Target", only_reads: bool) -> "Run":
    """Raise ``SettingsError`` for wrong settings, and ``UserError`` if the environment cannot be reached."""
    from scripts.operator.platform import Platform

    from .run import Run

    parameters = settings.load(environment, settings_file)
    platform = Platform(environment, target, "verify")
    bootstrap = settings.load_bootstrap(settings_file)
    rollout = Rollout(**settings.load_rollout(environment, settings_file))
    run = Run(platform, parameters, rollout, bootstrap, read_only=only_reads)
    if not only_reads and parameters["Gateway"] != "simulator":
        reason = _reason_not_to_charge(target, parameters["GatewaySecretArn"])
        if reason:
            run.read_only, run.read_only_reason = True, reason
    return run


def _reason_not_to_charge(target: "Target", secret_arn: str) -> str:
    """Return why no payment may be sent to Stripe; empty for a test key. https://docs.stripe.com/keys"""
    from scripts.common.errors import AWS_ERRORS

    try:
        secret = target.client("secretsmanager").get_secret_value(SecretId=secret_arn)["SecretString"]
    except AWS_ERRORS as error:
        return f"whether the gateway's key is a test key cannot be read, so nothing is written: {describe_error(error)}"
    try:
        key = str(json.loads(secret)["api_key"])
    except (ValueError, KeyError, TypeError):
        return "the gateway's secret has no api_key, so nothing is written"
    return "" if key.startswith(_TEST_KEYS) else "the gateway's key is a live key, so nothing is written"


def _run_with_progress(run: "Run", groups: "list[Group]", console: "Console") -> "list[Check]":
    from . import runner

    count, problems = 0, 0
    with console.status("verifying") as status:
        run.cleanup.report = status.update

        def show_progress(check: "Check") -> None:
            nonlocal count, problems
            count, problems = count + 1, problems + _is_problem(check)
            suffix = f", {problems} not ok" if problems else ""
            status.update(f"{count} checks{suffix}; {check.group}: {check.name}")

        checks = runner.run_groups(run, groups, show_progress)
    for problem in run.cleanup.problems:
        console.print(f"not undone: {problem}", soft_wrap=True)
    return checks


def _is_problem(check: "Check") -> bool:
    from .results import Status

    return check.status in (Status.FAILED, Status.UNKNOWN)


def _print_line(console: "Console", line: str) -> None:
    """Print a line; on a terminal, wrap it between words with a hanging indent."""
    indent = len(line) - len(line.lstrip(" -"))
    if console.is_terminal:
        line = textwrap.fill(line, console.width, subsequent_indent=" " * indent)
    console.print(line, soft_wrap=True)


def _make_console() -> "Console":
    """Return a console as wide as the terminal, or 120 columns for a file."""
    return create_console(markup=False, emoji=False, width=None if sys.stdout.isatty() else 120)
