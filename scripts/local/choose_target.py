"""The one place that decides whether an environment is on AWS or on the emulator of this machine."""

from rich.console import Console

from scripts.common.errors import UserError
from scripts.common.target import Target, connect_to_aws

from . import server, target
from .runtime import describe_interpreter

LOCAL = "local"


def reach_environment(
    environment: str, profile: str | None, region: str | None, *, announce_start_on: Console | None = None
) -> Target:
    """Return the target of ``environment``; ``local`` is the running emulator.

    ``announce_start_on`` is a console that announces the emulator, which is then started if it is not running. Raises
    ``UserError`` if it is not running, if no Region is configured, and for a profile or Region of ``local``.
    """
    if environment != LOCAL:
        return connect_to_aws(profile, region)
    if profile or region:
        raise UserError("local is the AWS emulator on this machine; it accepts neither --profile nor --region")
    server.isolate_from_user_configuration()
    if announce_start_on is None:
        emulator = server.find_kept_server()
        if emulator is None:
            raise UserError(server.NOT_RUNNING)
        return target.emulator_target(emulator)
    running = target.find_or_start_target()
    announce_start_on.print(
        f"The AWS emulator is running at {running.endpoint_url}; stop it with `make local-stop`.", soft_wrap=True
    )
    if notice := describe_interpreter():
        announce_start_on.print(notice, soft_wrap=True)
    return running
