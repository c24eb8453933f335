"""Polling with growing pauses, until a timeout."""

import time
from collections.abc import Iterator

FIRST_PAUSE_SECONDS = 0.2
LONGEST_PAUSE_SECONDS = 2.0
GROWTH = 1.4


def poll_with_backoff(timeout_seconds: float) -> Iterator[None]:
    """Yield at once, and then after growing pauses, until ``timeout_seconds`` have passed."""
    deadline = time.monotonic() + timeout_seconds
    pause = FIRST_PAUSE_SECONDS
    yield
    while time.monotonic() < deadline:
        time.sleep(pause)
        pause = min(pause * GROWTH, LONGEST_PAUSE_SECONDS)
        yield
