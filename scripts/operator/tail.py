"""Follows logs: payments as they change, or every line."""

import time
from collections.abc import Callable, Iterable, Iterator
from typing import Protocol, TypeVar

from botocore.exceptions import ClientError

from . import logs
from .logs import LogLine
from .platform import Platform

# Seconds between two reads of the log groups. FilterLogEvents allows five calls a second for an account: one tail
# takes at most 40% of it, and less and less while nothing happens or it is throttled.
SHORTEST, LONGEST = 2.0, 10.0
# A line may arrive this much later than its own time, so that much is read again each time.
_LATE_SECONDS = 30.0
_THROTTLING_CODES = ("ThrottlingException", "Throttling", "TooManyRequestsException", "LimitExceededException")


class Line(Protocol):
    """``at`` is ISO 8601 in UTC, and ``key`` identifies the line in repeated reads."""

    @property
    def at(self) -> str: ...

    @property
    def key(self) -> str: ...


AnyLine = TypeVar("AnyLine", bound=Line)


def follow_lines(
    platform: Platform,
    since: float,
    *,
    pause: Callable[[float], None] = time.sleep,
    clock: Callable[[], float] = time.time,
    shortest: float = SHORTEST,
) -> Iterator[LogLine]:
    """Yield the lines about payments since ``since``, as ``follow_reads`` does."""
    yield from follow_reads(
        lambda start: logs.read_lines(platform, start), since, pause=pause, clock=clock, shortest=shortest
    )


def follow_reads(
    read: Callable[[float], Iterable[AnyLine]],
    since: float,
    *,
    pause: Callable[[float], None] = time.sleep,
    clock: Callable[[], float] = time.time,
    shortest: float = SHORTEST,
) -> Iterator[AnyLine]:
    """Yield the lines since ``since``, each once, sorted by time within each read; never ends.

    ``read`` returns the lines since a time. Times are in seconds since 1970.
    """
    read_at: dict[str, float] = {}
    wait, read_from = shortest, since
    while True:
        started_at, new_lines, is_throttled = clock(), [], False
        try:
            for line in read(read_from):
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
