"""What may go wrong in ways that a user can do something about. The command prints the message and exits with 1."""

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


class DeployError(Exception):
    """One line that names the thing at fault and what to do next."""


class Aborted(DeployError):
    """The user said no; everything is as it was."""


def explained(error: Exception) -> str:
    """AWS's own words in one line, with what to do where that is known."""
    code = type(error).__name__
    if isinstance(error, botocore.exceptions.ClientError):
        code = error.response["Error"]["Code"]
    words = " ".join(str(error).split())
    return f"AWS: {words}; {_ADVICE[code]}" if code in _ADVICE else f"AWS: {words}"
