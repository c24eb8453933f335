"""What the commands share: where to work, whom to ask, and what an error ends with."""

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any, TypeVar

import click

from scripts.common import command
from scripts.common.errors import UserError
from scripts.common.paths import ROOT
from stacks import settings

HELP = command.HELP

_Command = TypeVar("_Command", bound=Callable[..., Any])


@contextmanager
def _ending_with_1() -> Iterator[None]:
    try:
        yield
    except click.UsageError as error:
        error.exit_code = 1  # type: ignore[misc] # click asks the error for it
        raise


class Command(click.Command):
    """A wrong argument ends with 1, as any error: 2 says that a plan has changes."""

    @_ending_with_1()
    def make_context(self, *arguments: Any, **options: Any) -> click.Context:
        return super().make_context(*arguments, **options)

    @_ending_with_1()
    def invoke(self, context: click.Context) -> Any:
        return super().invoke(context)


def everywhere(command: _Command) -> _Command:
    """The options that every command has."""
    for option in (
        click.option("--debug", is_flag=True, help="Show a traceback when something fails."),
        click.option(
            "--settings",
            "settings_file",
            type=click.Path(path_type=Path),
            default=settings.ENVIRONMENTS_FILE,
            help="The settings file.  [default: stacks/environments.toml]",
        ),
        click.option("--region", help="The region; the profile's by default."),
        click.option("--profile", help="A profile of the AWS configuration."),
        click.argument("environment"),
    ):
        command = option(command)
    return command


def report_errors(name: str, debug: bool, interrupted: str) -> AbstractContextManager[None]:
    unread = "the output is no longer being read (broken pipe); a deployment that has started continues"
    return command.report_errors(name, debug=debug, interrupt_message=interrupted, broken_pipe_message=unread)


def record_of(environment: str) -> Path:
    """Where the templates that were deployed last from here are kept."""
    return Path(os.environ.get("DEPLOYED_FOLDER", ROOT / ".deployed")) / f"{environment}.json"


def typed(question: str, name: str) -> bool:
    """Whether a person types the name of what is lost."""
    somebody_to_ask()
    try:
        answer = click.prompt(question, default="", show_default=False, err=True)
    except click.Abort:  # Ctrl-C or Ctrl-D at the prompt
        click.echo(err=True)
        return False
    if answer and answer != name:
        click.echo(f"The name does not match {name}; nothing was changed.", err=True)
    return bool(answer == name)


def agreed(question: str) -> bool:
    somebody_to_ask()
    try:
        return click.confirm(question, err=True)
    except click.Abort:
        click.echo(err=True)
        return False


def somebody_to_ask() -> None:
    if not sys.stdin.isatty():
        raise UserError("cannot ask for confirmation without a terminal; run it in a terminal or add --yes")
