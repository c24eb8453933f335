"""The command, and the one place where an expected error becomes one line."""

import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from types import FrameType

import click
from rich.console import Console

from stacks import settings

from . import show
from .deploy import Confirm, deploy, stack_name
from .errors import AWS_ERRORS, DeployError, explained
from .target import Target, on_aws


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("environment")
@click.option("--yes", "-y", is_flag=True, help="Deploy without asking.")
@click.option("--plan", "only_plan", is_flag=True, help="Show what would change, and end with 2 if anything would.")
@click.option(
    "--destroys",
    multiple=True,
    metavar="NAME",
    help="The resource NAME may go with its data; --yes needs it.",
)
@click.option("--profile", help="A profile of the AWS configuration.")
@click.option("--region", help="The region; the profile's by default.")
@click.option(
    "--settings",
    "settings_file",
    type=click.Path(path_type=Path),
    default=settings.ENVIRONMENTS_FILE,
    help="The settings of the environments.  [default: stacks/environments.toml]",
)
@click.option("--debug", is_flag=True, help="Show a traceback when something fails.")
def main(
    environment: str,
    yes: bool,
    only_plan: bool,
    destroys: tuple[str, ...],
    profile: str | None,
    region: str | None,
    settings_file: Path,
    debug: bool,
) -> None:
    """Deploy the payment platform to ENVIRONMENT through a change set.

    ENVIRONMENT is a table of the settings file; `local` is deployed to an AWS embedded on this machine, which is
    started if it is not running.
    """
    console = Console(highlight=False)
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        parameters = settings.load(environment, settings_file)
        target = _local(profile, region, console) if environment == "local" else on_aws(profile, region)
        confirm = _confirmation(yes, destroys)
        deployed = deploy(environment, parameters, target, console, confirm, only_plan=only_plan)
        if only_plan:
            console.print("No changes." if not deployed.changed else f"{stack_name(environment)}: nothing was changed")
            sys.exit(2 if deployed.changed else 0)
        show.outputs(console, deployed.outputs)
        done = "deployed" if deployed.changed else "no changes; nothing was done"
        console.print(f"\n{stack_name(environment)}: {done}")
    except KeyboardInterrupt:
        if debug:
            raise
        _fail(f"interrupted; {stack_name(environment)} was not changed")
    except (DeployError, settings.SettingsError) as error:
        if debug:
            raise
        _fail(str(error))
    except AWS_ERRORS as error:
        if debug:
            raise
        _fail(explained(error))


def _local(profile: str | None, region: str | None, console: Console) -> Target:
    from scripts.local import server, target

    if profile or region:
        raise DeployError("local is deployed to an AWS of its own; it takes no --profile and no --region")
    server.forget_the_users_aws()
    running = target.running()
    console.print(f"The embedded AWS runs at {running.endpoint_url}; `make local-stop` ends it.")
    return running


def _confirmation(yes: bool, destroys: Sequence[str]) -> Confirm:
    """What holds data goes only by its name: given, or typed. ``yes`` says nothing about it."""

    def confirm(question: str, lost: Sequence[str]) -> bool:
        unnamed = [name for name in lost if name not in destroys]
        if unnamed and yes:
            flags = " ".join(f"--destroys {name}" for name in unnamed)
            raise DeployError(f"--yes does not cover what is lost with its data; if it may go, add {flags}")
        return all(_typed(name) for name in unnamed) and (yes or _ask(question))

    return confirm


def _typed(name: str) -> bool:
    """Whether a person types the name of what is lost."""
    _somebody_to_ask()
    try:
        return bool(click.prompt(f"Type {name} to let it go", default="", show_default=False) == name)
    except click.Abort:
        click.echo()
        return False


def _somebody_to_ask() -> None:
    if not sys.stdin.isatty():
        raise DeployError("nobody to ask for confirmation; run it in a terminal, or with --yes")


def _ask(question: str) -> bool:
    _somebody_to_ask()
    try:
        return click.confirm(question)
    except click.Abort:  # Ctrl-C or Ctrl-D at the prompt
        click.echo()
        return False


def _interrupt(_signal: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _fail(message: str) -> None:
    click.echo(f"deploy: {message}", err=True)
    sys.exit(1)
