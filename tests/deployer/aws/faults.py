"""What can happen to a call, whatever the service: the fault strikes each call of an operation, or only the first ones.

The codes are those that AWS documents as common to its services:
https://docs.aws.amazon.com/AWSCloudFormation/latest/APIReference/CommonErrors.html
"""

import threading
from dataclasses import dataclass

from tests.deployer.aws.holdings import Refused

RESET_BEFORE, RESET_AFTER, DENIED = "reset before", "reset after", "denied"
EXPIRED, THROTTLED, BROKEN = "expired", "throttled", "5xx"
KINDS = (RESET_BEFORE, RESET_AFTER, DENIED, EXPIRED, THROTTLED, BROKEN)
_REFUSALS = {
    DENIED: ("AccessDenied", "User: arn:aws:iam::123456789012:user/x is not authorized to perform: {}", 403),
    EXPIRED: ("ExpiredToken", "The security token included in the request is expired", 403),
    THROTTLED: ("Throttling", "Rate exceeded", 400),
    BROKEN: ("InternalFailure", "The request processing has failed because of an unknown error", 500),
}
_request = threading.local()


@dataclass
class Fault:
    kind: str
    # How many calls go well before the first one that the fault strikes.
    spared: int = 0

    def strike(self, operation: str) -> None:
        """Raise what the service answers; a call whose answer is lost is performed all the same."""
        if self.spared:
            self.spared -= 1
        elif self.kind == RESET_BEFORE:
            raise ConnectionAbortedError
        elif self.kind == RESET_AFTER:
            _request.is_answer_lost = True
        else:
            code, message, status = _REFUSALS[self.kind]
            # Those of S3: https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html#ErrorCodeList
            status = 400 if self.kind == EXPIRED and operation.startswith("Head") else status
            raise Refused(code, message.format(_name_action(operation)), status)


def is_answer_lost() -> bool:
    """Whether the answer to the request of this thread is lost; asked once for each request."""
    is_lost = getattr(_request, "is_answer_lost", False)
    _request.is_answer_lost = False
    return is_lost


def _name_action(operation: str) -> str:
    return operation if ":" in operation else f"cloudformation:{operation}"
