"""Where the deployer finds the embedded AWS, and what local packaging adds to the functions."""

import shlex
import sys

import boto3

from scripts.deployer.package import Runtime
from scripts.deployer.target import Target

from . import server

# MiniStack's own Python worker reports every error as Runtime.HandlerError, so no Retry or Catch by name could match.
# AWS's runtime client reports them as on AWS; it runs as a custom runtime that starts it.
_BOOTSTRAP = f"""\
#!/bin/sh
export AWS_LAMBDA_LOG_FORMAT=JSON AWS_LAMBDA_LOG_LEVEL=INFO
exec {shlex.quote(sys.executable)} -m awslambdaric "$_HANDLER"
"""
RUNTIME = Runtime(
    properties={"Runtime": "provided.al2023"},
    files=(("bootstrap", _BOOTSTRAP.encode(), 0o755),),
)


def of(running: server.Server) -> Target:
    session = boto3.Session(region_name=server.REGION, **server.CREDENTIALS)
    return Target(session, endpoint_url=running.url, runtime=RUNTIME, poll_seconds=0.2)


def running() -> Target:
    """The embedded AWS that is running, or a new one that stays."""
    found, _ = server.start_or_find()
    return of(found)
