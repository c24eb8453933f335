"""``python -m scripts.page``: the page of the embedded AWS that a command left running, until Ctrl-C."""

import getpass
import signal
from types import FrameType
from typing import NoReturn

import click

from scripts.deployer.errors import AWS_ERRORS, DeployError, explained
from scripts.local import server as embedded
from scripts.local import target
from scripts.payments.environment import Platform

from . import server

ENVIRONMENT = "local"


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--port", type=click.IntRange(0, 65535), default=0, help="Of 127.0.0.1; a free one otherwise.")
def main(port: int) -> None:
    """Show the payments of the embedded AWS that is running on a page, until Ctrl-C."""
    signal.signal(signal.SIGTERM, _terminated)
    embedded.forget_the_users_aws()
    try:
        platform().check_deployed()
        with server.serving(platform, port) as page:
            click.echo(f"{page.url} shows payments as they flow; Ctrl-C ends it")
            server.wait()
    except DeployError as error:
        raise click.ClickException(str(error)) from error
    except AWS_ERRORS as error:
        raise click.ClickException(explained(error)) from error
    except KeyboardInterrupt:
        click.echo("the page has ended; the embedded AWS runs on, `make local-stop` ends it", err=True)


def platform() -> Platform:
    """Raises ``DeployError`` where no embedded AWS runs."""
    kept = embedded.kept()
    if kept is None:
        raise DeployError("no embedded AWS is running; `make demo KEEP=1` starts one")
    return Platform(ENVIRONMENT, target.of(kept), getpass.getuser())


def _terminated(_signal: int, _frame: FrameType | None) -> NoReturn:
    raise KeyboardInterrupt


if __name__ == "__main__":
    main(prog_name="make page")
