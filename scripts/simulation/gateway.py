"""The gateway: it charges and looks up, within its rate limit, except during its outage."""

from collections import Counter
from enum import Enum, auto

from .quotas import TokenBucket
from .scenario import REFUSE, Scenario


class Answer(Enum):
    CHARGED = auto()
    NOT_CHARGED = auto()
    UNKNOWN = auto()


class Gateway:
    """Each call returns how long it takes, in seconds, and its answer.

    A refused charge is certainly not made. A lookup that is refused tells nothing, so its answer is UNKNOWN.
    """

    def __init__(self, scenario: Scenario, at: float) -> None:
        self._assumptions, self._outage_seconds = scenario.assumptions, scenario.outage_seconds
        self._refuses = scenario.mode == REFUSE
        # What it accepts in a second may come at once.
        self.rate = TokenBucket(scenario.gateway_per_second, scenario.gateway_per_second, at)
        self.calls: Counter[str] = Counter()

    def charge(self, at: float, count: int) -> tuple[float, Answer]:
        self.calls["charge"] += count
        if self._is_down(at):
            if self._refuses:
                return self._assumptions.refusal_seconds, Answer.NOT_CHARGED
            return self._assumptions.timeout_seconds, Answer.UNKNOWN
        if not self.rate.take(at, count):
            return self._assumptions.refusal_seconds, Answer.NOT_CHARGED
        return self._assumptions.gateway_seconds, Answer.CHARGED

    def look_up(self, kind: str, is_charged: bool, at: float, count: int) -> tuple[float, Answer]:
        """Look up what is known under a payment's key; ``kind`` is lookup or close."""
        self.calls[kind] += count
        if self._is_down(at):
            seconds = self._assumptions.refusal_seconds if self._refuses else self._assumptions.timeout_seconds
            return seconds, Answer.UNKNOWN
        if not self.rate.take(at, count):
            return self._assumptions.refusal_seconds, Answer.UNKNOWN
        return self._assumptions.gateway_seconds, Answer.CHARGED if is_charged else Answer.NOT_CHARGED

    def _is_down(self, at: float) -> bool:
        return 0 <= at < self._outage_seconds
