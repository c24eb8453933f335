"""Where the deployer finds the AWS emulator."""

from dataclasses import replace

import boto3

from scripts.common.target import Target

from . import gaps, server
from .runtime import RUNTIME


def emulator_target(find_or_start_target: server.Server, **variables: str) -> Target:
    """The target; the functions get ``variables`` beside their own."""
    session = boto3.Session(region_name=server.REGION, **server.CREDENTIALS)  # type: ignore[arg-type]
    runtime = replace(RUNTIME, variables=variables)
    return Target(session, endpoint_url=find_or_start_target.url, runtime=runtime, poll_seconds=0.2, gaps=gaps.GAPS)


def running() -> Target:
    """The AWS emulator that is running, or a new one that stays."""
    found, _ = server.find_or_start_server()
    return emulator_target(found)
