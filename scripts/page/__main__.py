"""``python -m scripts.page``: the page of the embedded AWS that a command left running, until Ctrl-C."""

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
@click.option("--port", type=click.IntRange(0, 65535), default=0, help="Of 127.0.0.1; a free one otherwise.")
def main(port: int) -> None:
    """Show the payments of the embedded AWS that is running on a page, until Ctrl-C."""
    embedded.forget_the_users_aws()
    with commands.one_line_errors("page"):
        try:
            platform().check_deployed()
            with server.serving(platform, port) as page:
                click.echo(f"{page.url} shows payments as they flow; Ctrl-C ends it")
                server.wait()
        except KeyboardInterrupt:
            click.echo("the page has ended; the embedded AWS runs on, `make local-stop` ends it", err=True)


def platform() -> Platform:
    """Raises ``DeployError`` where no embedded AWS runs."""
    kept = embedded.kept()
    if kept is None:
        raise DeployError("no embedded AWS is running; `make demo KEEP=1` starts one")
    return Platform(ENVIRONMENT, target.of(kept), getpass.getuser())


if __name__ == "__main__":
    main(prog_name="make page")
