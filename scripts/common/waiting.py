"""Asking until something is done: soon at first, then less and less often, and not for ever."""

import time
from collections.abc import Iterator

FIRST_SECONDS = 0.2
LONGEST_PAUSE = 2.0
GROWTH = 1.4


def poll_with_backoff(timeout_seconds: float) -> Iterator[None]:
    """At once, then after longer and longer pauses; ends after ``longest_seconds``."""
    deadline = time.monotonic() + timeout_seconds
    pause = FIRST_SECONDS
    yield
    while time.monotonic() < deadline:
        time.sleep(pause)
        pause = min(pause * GROWTH, LONGEST_PAUSE)
        yield
