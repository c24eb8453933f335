"""What the commands share: the group, how a platform is reached, output, and how errors end a command."""

import getpass
import json
import re
import sys
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click import UsageError

from scripts.common import command
from scripts.common.errors import UserError
from scripts.common.requests import NOTHING
from scripts.common.suggestion import repeat_options
from scripts.common.terminal import create_console, echo
from scripts.deployer.cli.common import list_given_options, settings_option
from stacks import settings
from stacks.settings import LOCAL

if TYPE_CHECKING:
    from rich.console import Console

    from ..platform import Platform

NAME = "payments"
_UNIT_SECONDS = {"s": 1, "m": 60, "h": 60 * 60, "d": 24 * 60 * 60}
as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


@dataclass(frozen=True)
class ReachPlatform:
    """Commands get this instead of a platform: they check their arguments before they call it."""

    environment: str | None
    profile: str | None
    region: str | None
    settings_file: Path
    # The platforms that the command has reached.
    platforms: "list[Platform]" = field(default_factory=list, repr=False, compare=False)

    def __call__(self) -> "Platform":
        platform = reach_platform(self.name_environment(), self.profile, self.region, self.settings_file)
        self.platforms.append(platform)
        return platform

    def name_environment(self) -> str:
        """Return the environment. Raises ``UsageError`` if none is named."""
        if not self.environment:
            raise UsageError("no environment; add --env ENVIRONMENT, such as --env dev, or set PAYMENT_ENV")
        return self.environment

    def read_accepted_currencies(self) -> list[str]:
        """Return the currencies that the environment accepts by its settings. Raises ``SettingsError``."""
        parameters = settings.load(self.name_environment(), self.settings_file)
        amounts = parameters[settings.Settings.maximum_amounts.parameter_name]
        return [entry.partition("=")[0] for entry in amounts.split(",")]


class _ReportsChanges(click.Group):
    """A group whose commands say what they have changed, or may have, whatever ends them early."""

    def invoke(self, context: click.Context) -> Any:
        try:
            return super().invoke(context)
        except (Exception, KeyboardInterrupt) as error:
            command.ignore_interrupts()
            for platform in context.obj.platforms if context.obj else ():
                platform.changes.end_command(error)
            raise


class OptionsAnywhere(command.GuardedCommand, _ReportsChanges):
    """A group whose options may also stand after the command."""

    def parse_args(self, context: click.Context, args: list[str]) -> list[str]:
        return super().parse_args(context, self._move_options_first(context, args))

    def _move_options_first(self, context: click.Context, args: list[str]) -> list[str]:
        options = {
            name: option for option in self.params for name in option.opts if name not in context.help_option_names
        }
        options_first, remaining, words = [], [], iter(args)
        for word in words:
            option = options.get(word.partition("=")[0])
            if word == "--":
                remaining += [word, *words]
            elif not isinstance(option, click.Option):
                remaining.append(word)
            elif option.is_flag or "=" in word:
                options_first.append(word)
            elif (value := next(words, None)) is None:
                raise click.BadOptionUsage(word, f"Option {word!r} requires an argument.", context)
            else:
                options_first += [word, value]
        return options_first + remaining

    def invoke(self, context: click.Context) -> Any:
        with command.report_errors(NAME, debug=context.params["debug"], interrupt_message=NOTHING):
            return super().invoke(context)


@click.group(cls=OptionsAnywhere, context_settings=command.HELP)
@click.option(
    "--env",
    "environment",
    envvar="PAYMENT_ENV",
    show_envvar=True,
    help="The environment, such as dev; local is the AWS emulator on this machine.",
)
@click.option("--profile", help="The AWS profile to use.")
@click.option("--region", help="The AWS Region.  [default: the profile's]")
@settings_option
@click.option("--debug", is_flag=True, help="Show a traceback when something fails.")
@click.pass_context
def main(
    context: click.Context,
    /,
    environment: str | None,
    profile: str | None,
    region: str | None,
    settings_file: Path,
    **_: Any,
) -> None:
    """Operate payments: start them, inspect them, and repair failures.

    The options below may stand before or after COMMAND.

    Exit codes: 0 success; 1 the command or a payment failed, or something was changed before an interrupt; 2 invalid
    arguments, nothing was done; 3 an execution or a function goes on, or may; 130 interrupted before anything was
    changed.
    """
    context.with_resource(repeat_options(list_given_options(settings_file, region, profile)))
    context.obj = ReachPlatform(environment, profile, region, settings_file)


def reach_platform(environment: str, profile: str | None, region: str | None, settings_file: Path) -> "Platform":
    """Return the platform of the environment.

    Raises ``UsageError`` for an unknown environment, and ``UserError`` if it cannot be reached.
    """
    if environment != LOCAL:
        try:
            settings.load(environment, settings_file)
        except settings.UnknownEnvironment as error:
            raise UsageError(str(error)) from error
    from scripts.local.choose_target import reach_environment

    from ..platform import Platform

    target = reach_environment(environment, profile, region, settings_file=settings_file)
    # The ledger records the operator: by the ARN, because a user name of a machine proves nothing.
    operator = getpass.getuser() if environment == LOCAL else target.identity["Arn"]
    return Platform(environment, target, operator)


def can_ask() -> bool:
    """Whether there is somebody to answer a question."""
    return sys.stdin.isatty()


def ask_confirmation(question: str) -> None:
    """Ask on standard error, and abort on any answer but yes. Raises ``UserError`` if nobody can answer."""
    if not can_ask():
        raise UserError("cannot ask for confirmation without a terminal; run it in a terminal or add --yes")
    try:
        click.confirm(question, abort=True, err=True)
    except click.Abort as abort:
        # click turns Ctrl-C into a no.
        if isinstance(abort.__context__, KeyboardInterrupt):
            raise KeyboardInterrupt from None
        raise


def echo_json(value: Any) -> None:
    echo(json.dumps(value, indent=2))


def make_console() -> "Console":
    """Return a console as wide as the terminal, or wide enough not to break lines in a file."""
    # Values are printed as text, whatever brackets and colons they contain.
    return create_console(markup=False, emoji=False, width=None if sys.stdout.isatty() else 200)


def parse_since(text: str | None, option: str = "--since") -> float:
    """Return the time in seconds since 1970, 0 for None. Raises ``UsageError``, which names the ``option``."""
    if text is None:
        return 0.0
    if span := re.fullmatch(r"([0-9]{1,6})([smhd])", text):
        return max(0.0, time.time() - int(span[1]) * _UNIT_SECONDS[span[2]])
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        raise UsageError(f"{option} {text}: give 30m, 2h, 3d or a time such as 2026-11-23T12:00") from None
    seconds = (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp()
    if seconds > time.time():
        raise UsageError(f"{option} {text}: this time is in the future; times are in UTC")
    return max(0.0, seconds)
