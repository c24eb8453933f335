"""What a check says: a Finding."""

from dataclasses import dataclass
from enum import StrEnum


class Verdict(StrEnum):
    OK = "ok"
    # May fail, or will fail later.
    WARNING = "warning"
    # Fails for certain: the deployment stops.
    FAILURE = "failure"
    # Could not be checked.
    UNKNOWN = "unknown"


@dataclass(frozen=True)
class Finding:
    """The result of one check, or one of its results."""

    subject: str
    verdict: Verdict
    # One line that names the thing, and one that says what to do; empty if there is nothing to do.
    text: str
    next_step: str = ""
