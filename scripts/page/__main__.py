"""``python -m scripts.page``: the page of the AWS emulator that a command left running, until Ctrl-C."""

import getpass

import click

from scripts import commands
from scripts.deployer.errors import DeployError
from scripts.local import server as embedded
from scripts.local import target
from scripts.payments.environment import Platform

from . import server

ENVIRONMENT = "local"


@click.command(context_settings=commands.HELP)
@click.option("--port", type=click.IntRange(0, 65535), default=0, help="Port on 127.0.0.1.  [default: a free port]")
def main(port: int) -> None:
    """Show the payments of the running AWS emulator on a web page, until Ctrl-C."""
    embedded.forget_the_users_aws()
    with commands.one_line_errors("page"):
        try:
            platform().check_deployed()
            with server.serving(platform, port) as page:
                click.echo(f"{page.url} shows the payments live; stop with Ctrl-C")
                server.wait()
        except KeyboardInterrupt:
            click.echo("the page has ended; the AWS emulator runs on, `make local-stop` ends it", err=True)


def platform() -> Platform:
    """Raises ``DeployError`` where the AWS emulator does not run."""
    kept = embedded.kept()
    if kept is None:
        raise DeployError("the AWS emulator is not running; start it with `make demo KEEP=1`")
    return Platform(ENVIRONMENT, target.of(kept), getpass.getuser())


if __name__ == "__main__":
    main(prog_name="make page")
