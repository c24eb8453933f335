"""Where the deployer finds the embedded AWS."""

import boto3

from scripts.deployer.target import Target

from . import server
from .runtime import RUNTIME


def of(running: server.Server) -> Target:
    session = boto3.Session(region_name=server.REGION, **server.CREDENTIALS)
    return Target(session, endpoint_url=running.url, runtime=RUNTIME, poll_seconds=0.2)


def running() -> Target:
    """The embedded AWS that is running, or a new one that stays."""
    found, _ = server.start_or_find()
    return of(found)
