"""The gateway's API key, out of a Secrets Manager secret: ``{"api_key": "sk_..."}``.

It is asked for again when it is old or was refused, so that a rotated key is taken up by environments that live on.
Nothing that may hold it leaves this module but the key itself: no message, cause, context or log line.
https://docs.aws.amazon.com/secretsmanager/latest/apireference/API_GetSecretValue.html
"""

import json
import logging
import re
import time
from collections.abc import Callable
from typing import Any

import botocore.session
from botocore.config import Config
from botocore.exceptions import ClientError, ConnectionError, HTTPClientError
from payments.errors import GatewayUnavailable, InternalError, PaymentError

MAXIMUM_AGE_SECONDS = 5 * 60
# After a failure with an older key at hand, which may work for long: not every payment shall wait for the next one.
RETRY_AFTER_SECONDS = 30
TRIES, CONNECT_SECONDS, READ_SECONDS = 2, 1, 2
# The longest that a fetch takes: botocore's standard mode waits at most a second before its second try.
# https://docs.aws.amazon.com/boto3/latest/guide/retries.html
FETCH_SECONDS = TRIES * (CONNECT_SECONDS + READ_SECONDS) + 1

# Beside every 5xx. https://docs.aws.amazon.com/secretsmanager/latest/apireference/CommonErrors.html
_RETRYABLE_CODES = frozenset({"ThrottlingException", "Throttling", "TooManyRequestsException", "InternalServiceError"})

log = logging.getLogger("payments")


def create_client() -> Any:
    # At DEBUG it logs whole answers: the secret.
    logging.getLogger("botocore").setLevel(logging.WARNING)
    config = Config(
        connect_timeout=CONNECT_SECONDS,
        read_timeout=READ_SECONDS,
        retries={"mode": "standard", "total_max_attempts": TRIES},
    )
    return botocore.session.get_session().create_client("secretsmanager", config=config)


class Secret:
    """The key of one secret, for the life of an execution environment. ``clock`` gives seconds."""

    def __init__(self, arn: str, secrets: Any, clock: Callable[[], float] = time.time) -> None:
        self._arn, self._secrets, self._clock = arn, secrets, clock
        self._api_key: str | None = None
        self._due = float("-inf")

    def read_api_key(self) -> str:
        """The key as it was at most ``MAXIMUM_AGE_SECONDS`` ago; an older one where no newer can be had.

        Takes at most ``FETCH_SECONDS``. Only while there is no key at all it raises: ``GatewayUnavailable`` when that
        is worth a retry (throttled, no answer, 5xx), ``InternalError`` when not (no access, no secret, malformed).
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
        """The gateway does not know the key any more: the next call asks for it again."""
        self._due = float("-inf")

    def _fetch_key(self) -> str:
        try:
            return _parse_key(self._secrets.get_secret_value(SecretId=self._arn))
        except Exception as error:
            failure = _build_error(error)
        # Out here, so that the error, which may hold the secret, does not become its context.
        raise failure


def _parse_key(answer: dict[str, Any]) -> str:
    api_key = json.loads(answer["SecretString"])["api_key"]
    # A line's end is easily pasted along, and no header can carry it.
    if not re.fullmatch("[!-~]+", api_key):
        raise ValueError
    return str(api_key)


def _build_error(error: Exception) -> PaymentError:
    """The error to raise instead: a code, and whether it is worth a retry."""
    if isinstance(error, ClientError):
        code = error.response["Error"]["Code"]
        transient = code in _RETRYABLE_CODES or error.response["ResponseMetadata"]["HTTPStatusCode"] >= 500
    else:
        code = type(error).__name__
        transient = isinstance(error, ConnectionError | HTTPClientError)
    return (GatewayUnavailable if transient else InternalError)(f"the gateway's secret cannot be read: {code}")
