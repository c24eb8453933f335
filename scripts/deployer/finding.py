"""The result of a check."""

from dataclasses import dataclass
from enum import StrEnum


class Verdict(StrEnum):
    OK = "ok"
    # The deployment may fail, or a later one will.
    WARNING = "warning"
    # The deployment would fail, so it is stopped.
    FAILURE = "failure"
    # Could not be checked.
    UNKNOWN = "unknown"


@dataclass(frozen=True)
class Finding:
    """One result of a check, which may have several."""

    subject: str
    verdict: Verdict
    # One line each: the finding, and what to do about it; empty if there is nothing to do.
    text: str
    next_step: str = ""
