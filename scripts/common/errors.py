"""Errors that a user can act on. The command prints the message and exits with 1."""

import errno
import re
import sys
from functools import cache
from typing import TYPE_CHECKING, Any, NoReturn, TypeGuard

from .denials import describe_denial
from .printable import join_lines
from .suggestion import complete_aws_commands

if TYPE_CHECKING:
    from botocore.exceptions import BotoCoreError, ClientError
    from botocore.parsers import ResponseParserError

    # All that the SDK raises for failures of the network or the service.
    AWS_ERRORS: tuple[type[BotoCoreError], type[ClientError], type[ResponseParserError]]
else:

    def __getattr__(name: str) -> Any:
        """Return ``AWS_ERRORS`` when it is first read: a command that sends nothing starts without the SDK."""
        if name != "AWS_ERRORS":
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        return _list_aws_errors()


@cache
def _list_aws_errors() -> tuple[type[Exception], ...]:
    from botocore.exceptions import BotoCoreError, ClientError
    from botocore.parsers import ResponseParserError

    return (BotoCoreError, ClientError, ResponseParserError)


# Of an error that answers a request (requests.py), whether no try of it was carried out.
REFUSED = "IsRefused"
_CLOCK_ADVICE = "set the clock of this machine"
_ADVICE = {
    "NoCredentialsError": "configure them, or name a --profile",
    "ProfileNotFound": "see `aws configure list-profiles`",
    "TokenRetrievalError": "sign in again: `aws sso login`",
    "UnauthorizedSSOTokenError": "sign in again: `aws sso login`",
    **dict.fromkeys(
        ("EndpointConnectionError", "ConnectTimeoutError", "ReadTimeoutError", "ConnectionClosedError"),
        "check the network connection, the region, and AWS_ENDPOINT_URL if it is set",
    ),
    "ProxyConnectionError": "check HTTPS_PROXY and HTTP_PROXY",
    "ExpiredToken": "sign in again",
    "ExpiredTokenException": "sign in again",
    # The answer to a HEAD request has no body, and so no code but that of HTTP:
    # https://docs.aws.amazon.com/AmazonS3/latest/API/API_HeadObject.html
    "400": "S3 gives no other reason here; if the credentials have expired, sign in again",
    # https://docs.aws.amazon.com/STS/latest/APIReference/CommonErrors.html
    # https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html
    **dict.fromkeys(("RequestExpired", "RequestTimeTooSkewed", "RequestInTheFuture"), _CLOCK_ADVICE),
    **dict.fromkeys(
        ("InvalidClientTokenId", "UnrecognizedClientException", "InvalidAccessKeyId"),
        "check the access key and its session token, and that the account has enabled the Region",
    ),
    **dict.fromkeys(("SignatureDoesNotMatch", "InvalidSignatureException"), "check the secret access key"),
}
# Of a signature from another time, which has the same codes as one with another key.
_CLOCK_WORDS = ("Signature expired", "Signature not yet current")
# The codes of refusals for a quota, except for that of throttling.
_LIMITS = re.compile(r"(LimitExceeded|ServiceQuotaExceeded|QuotaExceeded)(Exception)?|TooManyBuckets")
_LIMIT_ADVICE = {
    # https://github.com/aws/aws-cli/issues/4534
    "ChangeSet limit": "delete change sets of that stack: see aws cloudformation list-change-sets --stack-name STACK",
}


class UserError(Exception):
    """The base of the errors that a user can act on: one line that names the cause and the next step."""

    # The table of docs/deploying.md.
    exit_code = 1
    # Whether the message says what was changed, so that a command adds nothing.
    names_changes = False


class StillRunning(UserError):
    """The command no longer watches an operation, which continues."""

    exit_code = 3


class OutputError(OSError):
    """Standard output or error can no longer be written: nobody reads it, or its device is full or gone."""

    # What the message says besides (``raise_both``): nobody can read it elsewhere.
    addition = ""

    def __str__(self) -> str:
        is_unread = self.errno == errno.EPIPE
        reason = "is no longer being read (broken pipe)" if is_unread else f"cannot be written: {self.strerror}"
        return f"the output {reason}{self.addition}"


class Aborted(UserError):
    """The user declined; nothing was changed by what was declined."""


def is_aws_error(error: BaseException | None) -> bool:
    """Whether the SDK has raised the error, for a failure of the network or the service."""
    return "botocore" in sys.modules and isinstance(error, _list_aws_errors())


def describe_error(error: BaseException) -> str:
    """Describe an expected error in one line.

    Of AWS's errors, a denial names the action and the resource that the caller lacks, a limit says which one it is, and
    the others have AWS's own message, with advice for some of them.
    """
    if isinstance(error, KeyboardInterrupt):
        return "; ".join(["interrupted", *map(str, error.args)])
    if not is_aws_error(error):
        return str(error)
    if not _is_client_error(error):
        return _add_advice(f"AWS: {join_lines(str(error))}", type(error).__name__)
    details: dict[str, Any] = dict(error.response["Error"])
    code, resource = str(details.get("Code", "")), str(details.get("Resource", ""))
    if is_denied(error):
        # AWS names the action and the resource in the message, or not at all, as for a HEAD request.
        action = str(details.get("Action") or error.operation_name)
        return describe_denial(str(details.get("Message", "")), action, resource)
    if _LIMITS.fullmatch(code):
        action = details.get("Action") or error.operation_name
        advice = complete_aws_commands(next((text for words, text in _LIMIT_ADVICE.items() if words in str(error)), ""))
        advice = advice or "free what is not needed, or request more in Service Quotas"
        reason = join_lines(str(details.get("Message", code)))
        return f"a limit is reached: {_join_place(action, resource)}: {reason}; {advice}"
    message = join_lines(str(error))
    if resource and resource not in message:
        message = message.replace(" operation", f" operation on {resource}", 1)
    return _add_advice(f"AWS: {message}", code)


def is_denied(error: Exception) -> bool:
    """Whether AWS has refused the request for want of a right; S3's answer to a HEAD request has no other code."""
    if not _is_client_error(error):
        return False
    code = str(error.response["Error"].get("Code", ""))
    return "denied" in code.lower() or code in ("403", "AuthorizationError", "UnauthorizedOperation")


def is_refusal(error: BaseException) -> bool:
    """Whether AWS has answered every try of a request, and refused it: it was not carried out."""
    return _is_client_error(error) and bool(error.response["Error"].get(REFUSED))


def concerns_every_request(error: "ClientError") -> bool:
    """Whether AWS would refuse any other request as well, because of the credentials or the clock."""
    return error.response["Error"].get("Code", "") in _ADVICE


def _is_client_error(error: BaseException) -> "TypeGuard[ClientError]":
    """Whether AWS has answered with an error."""
    if not is_aws_error(error):
        return False
    from botocore.exceptions import ClientError

    return isinstance(error, ClientError)


def _join_place(action: str, resource: str) -> str:
    return f"{action} on {resource}" if resource else action


def _add_advice(text: str, code: str) -> str:
    advice = _CLOCK_ADVICE if any(words in text for words in _CLOCK_WORDS) else _ADVICE.get(code)
    return f"{text.rstrip('.')}; {complete_aws_commands(advice)}" if advice else text


def raise_both(first: BaseException, second: str, *, goes_on: bool = False) -> NoReturn:
    """Raise ``UserError`` with the message of ``first``, then ``second``: what failed because of it or after it.

    ``OutputError`` stays one, and has ``second`` in its message, too. An unexpected exception is raised as it is, with
    ``second`` as its note. If something ``goes_on`` without the command, all others become ``StillRunning``.
    """
    if goes_on and (isinstance(first, (UserError, OutputError, KeyboardInterrupt)) or is_aws_error(first)):
        raise StillRunning(f"{describe_error(first)}; {second}") from first
    if isinstance(first, OutputError):
        first.addition += f"; {second}"
        raise first
    if isinstance(first, UserError):
        # The same error, so that its exit code and what else it holds are kept.
        first.args = (f"{first}; {second}",)
        raise first
    if isinstance(first, KeyboardInterrupt) or is_aws_error(first):
        raise UserError(f"{describe_error(first)}; {second}") from first
    first.add_note(second)
    raise first
