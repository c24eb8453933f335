"""What the commands share: the group, how a platform is reached, and what an error ends with."""

import getpass
import json
import sys
from collections.abc import Callable
from typing import Any, NoReturn, TypeVar

import click
from rich.console import Console

from scripts.common import command
from scripts.common.command import (
    Interrupted as Interrupted,  # for the modules of the commands, and so is `describe_error`
)
from scripts.common.errors import describe_error as describe_error
from scripts.local.reach import LOCAL, reach_environment
from stacks import settings

from ..platform import Platform

NAME = "payments"
_Command = TypeVar("_Command", bound=Callable[..., Any])

as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


class Usage(click.UsageError):
    """A wrong argument: nothing was done."""

    exit_code = 2


class OneLineErrors(click.Group):
    def invoke(self, context: click.Context) -> Any:
        with command.report_errors(NAME, debug=context.params["debug"], describe_aws=describe_error):
            return super().invoke(context)


@click.group(cls=OneLineErrors, context_settings=command.HELP)
@click.option(
    "--env",
    "environment",
    required=True,
    help="The environment, such as dev; local is the AWS emulator on this machine.",
)
@click.option("--profile", help="The AWS profile to use.")
@click.option("--region", help="The AWS Region.  [default: the profile's]")
@click.option("--debug", is_flag=True, help="Show a traceback when something fails.")
@click.pass_context
def main(
    context: click.Context,
    environment: str,
    profile: str | None,
    region: str | None,
    debug: bool,  # noqa: ARG001 - the group reads it
) -> None:
    """Operate payments: start them, inspect them, and repair failures.

    Exit codes: 0 success; 1 the command or a payment failed; 2 invalid arguments, nothing was done; 130 Ctrl-C.
    """
    context.obj = lambda: reach(environment, profile, region)


def reach(environment: str, profile: str | None, region: str | None) -> Platform:
    """The platform of the environment; raises ``UserError`` where there is no way to it."""
    if environment != LOCAL:
        settings.load(environment)  # raises SettingsError for an environment that there is not
    target = reach_environment(environment, profile, region)
    # Who it was is in the ledger: the caller's own ARN rather than what their machine calls them.
    operator = getpass.getuser() if environment == LOCAL else target.client("sts").get_caller_identity()["Arn"]
    return Platform(environment, target, operator)


def confirm(question: str) -> None:
    """Ask; anything but a yes aborts. The question is not part of the output."""
    try:
        click.confirm(question, abort=True, err=True)
    except click.Abort as abort:
        # To click Ctrl-C is a no.
        if isinstance(abort.__context__, KeyboardInterrupt):
            raise Interrupted("nothing was changed") from None
        raise


def echo_json(value: Any) -> None:
    click.echo(json.dumps(value, indent=2))


def console() -> Console:
    """As wide as the terminal; elsewhere nobody wants lines broken."""
    # What others wrote is text, whatever brackets and colons are in it.
    return Console(highlight=False, markup=False, emoji=False, width=None if sys.stdout.isatty() else 200)


def fail(message: str, code: int = 1) -> NoReturn:
    command.exit_with_error(NAME, message, code)
