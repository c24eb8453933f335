"""The AWS emulator as a target of the deployer."""

from dataclasses import replace

from scripts.common.target import EMULATOR_POLL_SECONDS, Target

from . import gaps, server
from .runtime import RUNTIME


def emulator_target(emulator: server.Server, **variables: str) -> Target:
    """Return the emulator as a target. Its functions get ``variables`` beside their own environment."""
    keys = server.CREDENTIALS
    import boto3

    session = boto3.Session(keys["aws_access_key_id"], keys["aws_secret_access_key"], region_name=server.REGION)
    runtime = replace(RUNTIME, variables=variables)
    return Target(
        session,
        endpoint_url=emulator.url,
        runtime=runtime,
        poll_seconds=EMULATOR_POLL_SECONDS,
        gaps=gaps.GAPS,
        find_loss=lambda: "" if emulator.is_alive else server.describe_loss(emulator),
    )


def find_or_start_target() -> Target:
    """Return the emulator that is running, or a new one that stays."""
    emulator, _ = server.find_or_start_server()
    return emulator_target(emulator)
