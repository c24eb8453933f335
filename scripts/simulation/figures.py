"""What a simulation counts, and its result."""

from collections import Counter
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any


class End(StrEnum):
    """How a payment ends; every payment ends in exactly one way."""

    AT_ONCE = "completed at once"
    LATE = "completed after retries"
    RECONCILED = "completed by reconciliation"
    FAILED = "failed, not charged"
    ABANDONED = "failed by reconciliation, not charged"
    REVIEW = "for a person to review"
    NOT_RECORDED = "execution failed, nothing recorded"
    NOT_STARTED = "not started, refused by StartExecution"


@dataclass(frozen=True, kw_only=True)
class Result:
    """The figures of a simulation. Times are seconds; those of the backlog count from the outage's begin."""

    per_second: float
    mode: str
    quotas: str
    outage_seconds: float
    # How many payments each simulated one stands for.
    cohort: int
    payments: int
    ends: dict[str, int]
    # From the outage's end until no payment was open that the outage had delayed.
    open_seconds: float
    # From the outage's end until nothing was left to close at the gateway.
    closing_seconds: float
    # What was left when the simulation was ended, three days after its begin: open payments, and those to close.
    left_open: int
    left_to_close: int
    peak_backlog: int
    peak_backlog_at: float
    peak_concurrency: int
    # The transitions of Step Functions that AWS bills.
    transitions: int
    # What was throttled, by quota: refused, or of transitions, delayed.
    throttled: dict[str, int]
    # By kind.
    gateway_calls: dict[str, int]
    # The numbers of open payments, each with its time.
    backlog: list[tuple[float, int]]

    def to_document(self) -> dict[str, Any]:
        return asdict(self)


class Counts:
    """What is counted while the simulation runs. ``weight`` is the number of payments that each simulated one is."""

    def __init__(self, weight: int) -> None:
        self._weight = weight
        self.ends: Counter[End] = Counter()
        self.payments = 0
        # The payments that have arrived and have no end yet, and those to close at the gateway.
        self.open = self.to_close = 0
        self.peak_backlog, self.peak_backlog_at = 0, 0.0
        self.last_end_at = self.last_closing_at = float("-inf")
        self.missed_runs = 0

    def count_arrival(self, at: float) -> None:
        self.payments += self._weight
        self.open += self._weight
        if self.open > self.peak_backlog:
            self.peak_backlog, self.peak_backlog_at = self.open, at

    def count_end(self, end: End, at: float) -> None:
        self.ends[end] += self._weight
        self.open -= self._weight
        if end is not End.AT_ONCE:
            self.last_end_at = at

    def count_left_open_at_gateway(self) -> None:
        self.to_close += self._weight

    def count_closing(self, at: float) -> None:
        self.to_close -= self._weight
        self.last_closing_at = at
