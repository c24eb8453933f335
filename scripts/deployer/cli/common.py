"""What the commands share: where to work, whom to ask, and how an error that was to be expected is said in one line."""

import io
import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn, TypeVar

import click
from rich.console import Console

from scripts.deployer.errors import AWS_ERRORS, DeployError, explained
from scripts.deployer.target import Target, on_aws
from stacks import settings

ROOT = Path(__file__).resolve().parents[3]
HELP = {"help_option_names": ["-h", "--help"]}
# As of any error: 2 says that a plan has changes.
click.UsageError.exit_code = 1
LOCAL = "local"

_Command = TypeVar("_Command", bound=Callable[..., Any])


def everywhere(command: _Command) -> _Command:
    """The options that every command has."""
    for option in (
        click.option("--debug", is_flag=True, help="Show a traceback when something fails."),
        click.option(
            "--settings",
            "settings_file",
            type=click.Path(path_type=Path),
            default=settings.ENVIRONMENTS_FILE,
            help="The settings of the environments.  [default: stacks/environments.toml]",
        ),
        click.option("--region", help="The region; the profile's by default."),
        click.option("--profile", help="A profile of the AWS configuration."),
        click.argument("environment"),
    ):
        command = option(command)
    return command


@contextmanager
def one_line_errors(name: str, debug: bool, interrupted: str) -> Iterator[None]:
    """An expected error as one line on stderr and exit code 1; Ctrl-C, or a closed terminal, as ``interrupted``."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # A terminal that lacks a sign shows another.
            stream.reconfigure(errors="replace")
    for one in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(one, _interrupt)
    try:
        yield
    except KeyboardInterrupt:
        if debug:
            raise
        _fail(name, f"interrupted; {interrupted}", 130)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        _fail(name, "nobody reads the output any more; a deployment that has begun goes on")
    except (DeployError, settings.SettingsError) as error:
        if debug:
            raise
        _fail(name, str(error))
    except AWS_ERRORS as error:
        if debug:
            raise
        _fail(name, explained(error))


def record_of(environment: str) -> Path:
    """Where the templates that were deployed last from here are kept."""
    return Path(os.environ.get("DEPLOYED_FOLDER", ROOT / ".deployed")) / f"{environment}.json"


def reach(environment: str, profile: str | None, region: str | None, console: Console, *, start: bool) -> Target:
    """AWS, or the embedded one, which is started if it may be."""
    if environment != LOCAL:
        return on_aws(profile, region)
    from scripts.local import server, target

    if profile or region:
        raise DeployError("local is deployed to an AWS of its own; it takes no --profile and no --region")
    server.forget_the_users_aws()
    if start:
        running = target.running()
        console.print(f"The embedded AWS runs at {running.endpoint_url}; `make local-stop` ends it.", soft_wrap=True)
        return running
    kept = server.kept()
    if kept is None:
        raise DeployError("no embedded AWS is running; scripts/deploy.sh local starts one")
    return target.of(kept)


def typed(question: str, name: str) -> bool:
    """Whether a person types the name of what is lost."""
    somebody_to_ask()
    try:
        answer = click.prompt(question, default="", show_default=False, err=True)
    except click.Abort:  # Ctrl-C or Ctrl-D at the prompt
        click.echo(err=True)
        return False
    if answer and answer != name:
        click.echo(f"That is not {name}.", err=True)
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
        raise DeployError("nobody to ask for confirmation; run it in a terminal, or with --yes")


def _interrupt(_signal: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _fail(name: str, message: str, code: int = 1) -> NoReturn:
    click.echo(f"{name}: {message}", err=True)
    sys.exit(code)
