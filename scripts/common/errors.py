"""What may go wrong in ways that a user can do something about. The command prints the message and exits with 1."""

import re
from typing import NoReturn

import botocore.exceptions
from botocore.parsers import ResponseParserError

# What the SDK raises for everything that the network or the service does.
AWS_ERRORS = (botocore.exceptions.BotoCoreError, botocore.exceptions.ClientError, ResponseParserError)

_ADVICE = {
    "NoCredentialsError": "configure them, or name a --profile",
    "ProfileNotFound": "see `aws configure list-profiles`",
    "TokenRetrievalError": "sign in again: `aws sso login`",
    "UnauthorizedSSOTokenError": "sign in again: `aws sso login`",
    "EndpointConnectionError": "is the network up?",
    "ExpiredToken": "sign in again",
    "ExpiredTokenException": "sign in again",
}
_DENIED = re.compile(r"not authorized to perform:? (\S+)(?: on resource:? (\S+))?")


class UserError(Exception):
    """One line that names the thing at fault and what to do next."""


class Aborted(UserError):
    """The user said no; everything is as it was."""


def describe_aws_error(error: Exception) -> str:
    """AWS's own words in one line, with what to do where that is known."""
    code = type(error).__name__
    if isinstance(error, botocore.exceptions.ClientError):
        code = error.response["Error"]["Code"]
    words = " ".join(str(error).split())
    return f"AWS: {words}; {_ADVICE[code]}" if code in _ADVICE else f"AWS: {words}"


def raise_both(first: BaseException, second: str) -> NoReturn:
    """Raise ``UserError`` with the first cause in front of ``second``, what went wrong because of it or after it.

    A defect stays the exception that it is, with ``second`` as its note.
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
    """An expected error in one line: a ``UserError`` as it is, and of AWS's rather what right is missing."""
    if isinstance(error, UserError):
        return str(error)
    if isinstance(error, botocore.exceptions.ClientError) and "denied" in error.response["Error"]["Code"].lower():
        denied = _DENIED.search(str(error))
        action = denied[1] if denied else error.operation_name
        on = f" on {denied[2]}" if denied and denied[2] else ""
        return f"not authorized: {action.rstrip('.,')}{on}; your role needs this permission"
    return describe_aws_error(error)
