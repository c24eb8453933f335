"""Errors that a user can act on. The command prints the message and exits with 1."""

import re
from typing import NoReturn

import botocore.exceptions
from botocore.parsers import ResponseParserError

# All that the SDK raises for failures of the network or the service.
AWS_ERRORS = (botocore.exceptions.BotoCoreError, botocore.exceptions.ClientError, ResponseParserError)

_ADVICE = {
    "NoCredentialsError": "configure them, or name a --profile",
    "ProfileNotFound": "see `aws configure list-profiles`",
    "TokenRetrievalError": "sign in again: `aws sso login`",
    "UnauthorizedSSOTokenError": "sign in again: `aws sso login`",
    "EndpointConnectionError": "check the network connection",
    "ExpiredToken": "sign in again",
    "ExpiredTokenException": "sign in again",
}
_DENIED = re.compile(r"not authorized to perform:? (\S+)(?: on resource:? (\S+))?")


class UserError(Exception):
    """The base of the errors that a user can act on: one line that names the cause and the next step."""

    # The table of docs/deploying.md.
    exit_code = 1


class StillRunning(UserError):
    """The command no longer watches an operation, which continues."""

    exit_code = 3


class Aborted(UserError):
    """The user declined; nothing was changed."""


def describe_aws_error(error: Exception) -> str:
    """Return AWS's message in one line, with advice for some errors."""
    code = type(error).__name__
    if isinstance(error, botocore.exceptions.ClientError):
        code = error.response["Error"]["Code"]
    message = " ".join(str(error).split())
    return f"AWS: {message}; {_ADVICE[code]}" if code in _ADVICE else f"AWS: {message}"


def raise_both(first: BaseException, second: str) -> NoReturn:
    """Raise ``UserError`` with the message of ``first``, then ``second``: what failed because of it or after it.

    An unexpected exception is raised as it is, with ``second`` as its note.
    """
    if isinstance(first, UserError):
        raise UserError(f"{first}; {second}") from first
    if isinstance(first, AWS_ERRORS):
        raise UserError(f"{describe_aws_error(first)}; {second}") from first
    if isinstance(first, KeyboardInterrupt):
        raise UserError(f"interrupted; {second}") from None
    first.add_note(second)
    raise first


def describe_error(error: Exception) -> str:
    """Describe an expected error in one line; for a denial by IAM, name the missing permission."""
    if isinstance(error, UserError):
        return str(error)
    if isinstance(error, botocore.exceptions.ClientError) and "denied" in error.response["Error"]["Code"].lower():
        denied = _DENIED.search(str(error))
        action = denied[1] if denied else error.operation_name
        resource = f" on {denied[2]}" if denied and denied[2] else ""
        return f"not authorized: {action.rstrip('.,')}{resource}; your role needs this permission"
    return describe_aws_error(error)
