"""The gateway's API key, from a Secrets Manager secret: ``{"api_key": "sk_..."}``.

The key is read again when it is old or was refused, so that a running execution environment starts to use a rotated
key. No message, cause, context or log line that leaves this module contains the key.
https://docs.aws.amazon.com/secretsmanager/latest/apireference/API_GetSecretValue.html
"""

import json
import logging
import re
import time
from collections.abc import Callable
from typing import Any

from botocore.exceptions import ClientError, ConnectionError, HTTPClientError
from payments.errors import GatewayUnavailable, InternalError, PaymentError

from adapters import clients

MAXIMUM_AGE_SECONDS = 5 * 60
# After a failed renewal. The older key may still work, so not every payment should wait for another attempt.
RETRY_AFTER_SECONDS = 30
TRIES, CONNECT_SECONDS, READ_SECONDS = 2, 1, 2
# The longest duration of a fetch: botocore's standard mode waits at most a second before its second attempt.
# https://docs.aws.amazon.com/boto3/latest/guide/retries.html
FETCH_SECONDS = TRIES * (CONNECT_SECONDS + READ_SECONDS) + 1

# Retryable in addition to every 5xx. https://docs.aws.amazon.com/secretsmanager/latest/apireference/CommonErrors.html
_RETRYABLE_CODES = frozenset({"ThrottlingException", "Throttling", "TooManyRequestsException", "InternalServiceError"})

log = logging.getLogger("payments")


def create_client() -> Any:
    return clients.create_client(
        "secretsmanager", connect_seconds=CONNECT_SECONDS, read_seconds=READ_SECONDS, attempts=TRIES
    )


class Secret:
    """The API key of one secret. ``clock`` returns seconds."""

    def __init__(self, arn: str, secrets: Any, clock: Callable[[], float] = time.time) -> None:
        self._arn, self._secrets, self._clock = arn, secrets, clock
        self._api_key: str | None = None
        self._due = float("-inf")

    def read_api_key(self) -> str:
        """Return a key that was read at most ``MAXIMUM_AGE_SECONDS`` ago, or an older one if it cannot be renewed.

        Takes at most ``FETCH_SECONDS``. Raises an error only if there is no older key: ``GatewayUnavailable`` if a
        retry may help (throttled, no answer, 5xx), ``InternalError`` if not (no access, no secret, malformed).
        """
        current_time = self._clock()
        if self._api_key is not None and current_time < self._due:
            return self._api_key
        try:
            self._api_key, self._due = self._fetch_key(), current_time + MAXIMUM_AGE_SECONDS
        except PaymentError as error:
            if self._api_key is None:
                raise
            self._due = current_time + RETRY_AFTER_SECONDS
            log.warning(
                "the gateway's key was not renewed", extra={"error": type(error).__name__, "detail": str(error)}
            )
        return self._api_key

    def expire_key(self) -> None:
        """Read the key again with the next call, because the gateway refused it."""
        self._due = float("-inf")

    def _fetch_key(self) -> str:
        try:
            return _parse_key(self._secrets.get_secret_value(SecretId=self._arn))
        except Exception as error:
            failure = _build_error(error)
        # Outside the handler, so that the error, which may contain the secret, does not become its context.
        raise failure


def _parse_key(answer: dict[str, Any]) -> str:
    api_key = json.loads(answer["SecretString"])["api_key"]
    # A pasted key may end with a line break, which no header can contain.
    if not re.fullmatch("[!-~]+", api_key):
        raise ValueError
    return str(api_key)


def _build_error(error: Exception) -> PaymentError:
    """Return the error to raise instead, which contains only a code."""
    if isinstance(error, ClientError):
        code = error.response["Error"]["Code"]
        transient = code in _RETRYABLE_CODES or error.response["ResponseMetadata"]["HTTPStatusCode"] >= 500
    else:
        code = type(error).__name__
        transient = isinstance(error, ConnectionError | HTTPClientError)
    return (GatewayUnavailable if transient else InternalError)(f"the gateway's secret cannot be read: {code}")
