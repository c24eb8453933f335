"""Payments as they change, from the functions' logs."""

import time
from collections.abc import Callable, Iterator

from botocore.exceptions import ClientError

from . import logs
from .logs import LogLine
from .platform import Platform

# Seconds between two reads of the three log groups. FilterLogEvents allows five calls a second for an account: one tail
# takes less than a third of it, and less and less while nothing happens or it is throttled.
SHORTEST, LONGEST = 2.0, 10.0
# A line may arrive this much later than its own time, so that much is read again each time.
_LATE_SECONDS = 30.0
_THROTTLING_CODES = ("ThrottlingException", "Throttling", "TooManyRequestsException", "LimitExceededException")


def follow_lines(
    platform: Platform,
    since: float,
    *,
    pause: Callable[[float], None] = time.sleep,
    clock: Callable[[], float] = time.time,
    shortest: float = SHORTEST,
) -> Iterator[LogLine]:
    """Yield the lines since ``since``, each once, sorted by time within each read; never ends."""
    read_at: dict[str, float] = {}
    wait, read_from = shortest, since
    while True:
        started_at, new_lines, is_throttled = clock(), [], False
        try:
            for line in logs.read_lines(platform, read_from):
                if line.key not in read_at:
                    read_at[line.key] = started_at
                    new_lines.append(line)
            read_from = max(since, started_at - _LATE_SECONDS)
            # Forget the keys of lines too old to be read again.
            read_at = {key: at for key, at in read_at.items() if at >= started_at - 10 * _LATE_SECONDS}
        except ClientError as error:
            if error.response["Error"]["Code"] not in _THROTTLING_CODES:
                raise
            is_throttled = True  # the next read returns the rest
        yield from sorted(new_lines, key=lambda line: line.at)
        wait = LONGEST if is_throttled else shortest if new_lines else min(wait * 1.5, LONGEST)
        pause(wait)
