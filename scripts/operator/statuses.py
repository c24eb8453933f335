"""The statuses of a payment in the groups that operators need; their transitions are in ``payments.payment``."""

from enum import StrEnum

from payments.payment import SETTLED as SETTLED
from payments.payment import Status

# Failed after all retries, or left to an operator.
FAILED = frozenset({Status.FAILED, Status.REVIEW})
# The sender of a payment learns one of these as its outcome.
FINAL = SETTLED | FAILED
# The workflow resumes a payment in one of these when it receives the request again.
RESUMABLE = frozenset({Status.FAILED, Status.PENDING, Status.UNKNOWN})


class Selection(StrEnum):
    """Which payments are listed."""

    EVERY = "all"
    OPEN = "open"
    UNKNOWN = "unknown"
    FAILED = "failed"
