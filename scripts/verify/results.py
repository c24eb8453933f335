"""The result of a check, and how a check is run: what it raises decides its status."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from botocore.exceptions import ClientError

from scripts.common.errors import AWS_ERRORS, UserError, describe_error

# Codes with which a service answers that a thing does not exist.
MISSING = (
    "ResourceNotFoundException",
    "ResourceNotFound",
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
    # There is nothing to check, or it is not checked in this run; ``seen`` gives the reason.
    SKIPPED = "skipped"
    # The answer cannot be had: a permission of the caller is missing, or the wait was too long.
    UNKNOWN = "unknown"


@dataclass(frozen=True)
class Check:
    """What was checked, what came of it, and the seconds that it took."""

    group: str
    name: str
    status: Status
    seen: str
    seconds: float = 0.0


class Failed(Exception):
    """The environment is not as it has to be; the message names the resource and what is wrong with it."""


class Skipped(Exception):
    """There is nothing to check here; the message gives the reason."""


class Unknown(Exception):
    """Whether it holds cannot be told; the message says what stands in the way."""


class Stopped(BaseException):
    """The run was interrupted. No ``Exception``: no check may take it for a failure."""


def run(group: str, name: str, look: Callable[..., str], *arguments: Any) -> Check:
    """The result of ``look``, which returns what it saw, or raises one of the exceptions above or an AWS error."""
    started = time.monotonic()
    try:
        status, seen = Status.OK, look(*arguments)
    except Failed as failure:
        status, seen = Status.FAILED, str(failure)
    except Skipped as reason:
        status, seen = Status.SKIPPED, str(reason)
    except (Unknown, UserError) as obstacle:
        status, seen = Status.UNKNOWN, str(obstacle)
    except AWS_ERRORS as error:
        missing = isinstance(error, ClientError) and error.response["Error"]["Code"] in MISSING
        status, seen = (Status.FAILED if missing else Status.UNKNOWN), describe_error(error)
    return Check(group, name, status, seen, round(time.monotonic() - started, 1))
