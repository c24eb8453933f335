"""Retry and Catch of a state.

https://docs.aws.amazon.com/step-functions/latest/dg/concepts-error-handling.html
"""

from typing import Any

from tests.asl.errors import UNCATCHABLE, ResultTooLarge, StatesError
from tests.asl.memory import Visit

# https://states-language.net/spec.html#errors
_INTERVAL_SECONDS, _MAX_ATTEMPTS, _BACKOFF_RATE = 1, 3, 2.0


class Handlers:
    """The retriers and catchers for one visit to a state. Each retrier counts its attempts."""

    def __init__(self, visit: Visit, catches_large_results: bool) -> None:
        self._state, self._catches_large_results = visit.state, catches_large_results
        self._attempts: dict[int, int] = {}

    def is_final(self, error: StatesError) -> bool:
        """Return whether neither retriers nor catchers apply to the error."""
        if self._catches_large_results and isinstance(error, ResultTooLarge):
            return False
        return error.error in UNCATCHABLE

    def plan_retry(self, error: StatesError) -> float | None:
        """Return the seconds to wait before the next attempt, or None if there is none."""
        retriers = self._state.get("Retry", [])
        index = _match_error(retriers, error.error)
        if index is None:
            return None
        retrier, count = retriers[index], self._attempts.get(index, 0)
        if count >= retrier.get("MaxAttempts", _MAX_ATTEMPTS):
            return None
        self._attempts[index] = count + 1
        wait: float = (
            retrier.get("IntervalSeconds", _INTERVAL_SECONDS) * retrier.get("BackoffRate", _BACKOFF_RATE) ** count
        )
        return min(wait, retrier.get("MaxDelaySeconds", wait))

    def find_catcher(self, error: StatesError) -> int | None:
        """Return the index of the catcher that applies, or None."""
        return _match_error(self._state.get("Catch", []), error.error)


def _match_error(handlers: list[dict[str, Any]], error: str) -> int | None:
    for index, handler in enumerate(handlers):
        names = handler["ErrorEquals"]
        if error in names or "States.ALL" in names or ("States.TaskFailed" in names and error != "States.Timeout"):
            return index
    return None
