"""The result of a check. The exception that a check raises decides its status."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from botocore.exceptions import ClientError

from scripts.common.errors import AWS_ERRORS, UserError, describe_error

# The error codes of services for a resource that does not exist.
MISSING = (
    "ResourceNotFoundException",
    "ResourceNotFound",
    "NoSuchBucket",
    "NoSuchEntity",
    "NotFoundException",
    "NotFound",
    "QueueDoesNotExist",
    "AWS.SimpleQueueService.NonExistentQueue",
    "StateMachineDoesNotExist",
)


class Status(StrEnum):
    OK = "ok"
    FAILED = "failed"
    # There is nothing to check, or this run does not check it.
    SKIPPED = "skipped"
    # The check has no result: the caller lacks a permission, or the wait was too long.
    UNKNOWN = "unknown"


@dataclass(frozen=True)
class Check:
    """The result of a check. ``observation`` says what was seen, or why the check failed or was not made."""

    group: str
    name: str
    status: Status
    observation: str
    seconds: float = 0.0


class Failed(Exception):
    """The environment is not as expected; the message names the resource and what is wrong with it."""


class Skipped(Exception):
    """There is nothing to check; the message gives the reason."""


class Unknown(Exception):
    """The check has no result; the message gives the reason."""


class Stopped(BaseException):
    """The run was interrupted. Not an ``Exception``, so that no check takes it for a failure."""


def run_check(group: str, name: str, check: Callable[..., str], *arguments: Any) -> Check:
    """Return the result of ``check``, which returns an observation or raises an exception of this module, or of AWS."""
    started = time.monotonic()
    try:
        status, observation = Status.OK, check(*arguments)
    except Failed as failure:
        status, observation = Status.FAILED, str(failure)
    except Skipped as reason:
        status, observation = Status.SKIPPED, str(reason)
    except (Unknown, UserError) as obstacle:
        status, observation = Status.UNKNOWN, str(obstacle)
    except AWS_ERRORS as error:
        missing = isinstance(error, ClientError) and error.response["Error"]["Code"] in MISSING
        status, observation = (Status.FAILED if missing else Status.UNKNOWN), describe_error(error)
    return Check(group, name, status, observation, round(time.monotonic() - started, 1))
