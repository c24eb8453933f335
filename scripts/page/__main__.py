"""``python -m scripts.page``: the page of the running AWS emulator, until Ctrl-C."""

import getpass

import click

from scripts.common import command
from scripts.common.terminal import echo
from scripts.local.choose_target import LOCAL, reach_environment
from scripts.operator.platform import Platform

from . import server


@click.command(cls=command.GuardedCommand, context_settings=command.HELP)
@click.option("--port", type=click.IntRange(0, 65535), default=0, help="Port on 127.0.0.1.  [default: a free port]")
def main(port: int) -> None:
    """Show the payments of the running AWS emulator on a web page, until Ctrl-C."""
    with command.report_errors("page"):
        try:
            reach_platform().check_deployed()
            with server.serve_page(reach_platform, port) as page:
                echo(f"{page.url} shows the payments live; stop with Ctrl-C")
                server.wait_for_interrupt()
        except KeyboardInterrupt:
            echo("the page is closed; the AWS emulator is still running, stop it with `make local-stop`", err=True)


def reach_platform() -> Platform:
    """Return the platform on the AWS emulator. Raises ``UserError`` if that is not running."""
    return Platform(LOCAL, reach_environment(LOCAL, None, None), getpass.getuser())


if __name__ == "__main__":
    main(prog_name="make page")
