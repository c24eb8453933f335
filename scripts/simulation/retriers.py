"""The waits between the attempts of a task, as its retriers say.

https://docs.aws.amazon.com/step-functions/latest/dg/concepts-error-handling.html#error-handling-retrying-after-an-error
"""

from collections.abc import Mapping, Sequence
from random import Random
from typing import Any


class Retriers:
    """The retriers of a state. Each counts its own attempts, for one visit to the state."""

    def __init__(self, definitions: Sequence[Mapping[str, Any]]) -> None:
        self._definitions = definitions
        self._by_error: dict[str, int | None] = {}

    def plan_wait(self, error: str, attempts: dict[int, int], random: Random) -> float | None:
        """Return the seconds until the next attempt, and count it in ``attempts``; None if there is none."""
        index = self._find_retrier(error)
        if index is None:
            return None
        retrier, count = self._definitions[index], attempts.get(index, 0)
        if count >= retrier["MaxAttempts"]:
            return None
        attempts[index] = count + 1
        wait: float = retrier["IntervalSeconds"] * retrier["BackoffRate"] ** count
        wait = min(wait, retrier.get("MaxDelaySeconds", wait))
        # FULL: a random time between none and the whole wait.
        return random.uniform(0, wait) if retrier.get("JitterStrategy") == "FULL" else wait

    def _find_retrier(self, error: str) -> int | None:
        if error not in self._by_error:
            self._by_error[error] = next(
                (
                    index
                    for index, retrier in enumerate(self._definitions)
                    if {error, "States.ALL"} & {*retrier["ErrorEquals"]}
                ),
                None,
            )
        return self._by_error[error]
