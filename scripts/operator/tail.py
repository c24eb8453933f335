"""Payments as they change, by the functions' logs."""

import time
from collections.abc import Callable, Iterator

from botocore.exceptions import ClientError

from . import logs
from .logs import Line
from .platform import Platform

# Between two looks at the three log groups, in seconds. FilterLogEvents takes five calls a second of an account, so one
# tail takes less than a third of it; where nothing happens, and when it is throttled, it takes less and less.
SHORTEST, LONGEST = 2.0, 10.0
# A line may arrive that much later than its own time says, so that much is read again each time.
_LATE_SECONDS = 30.0
_THROTTLED = ("ThrottlingException", "Throttling", "TooManyRequestsException", "LimitExceededException")


def follow(
    platform: Platform,
    since: float,
    *,
    pause: Callable[[float], None] = time.sleep,
    clock: Callable[[], float] = time.time,
    shortest: float = SHORTEST,
) -> Iterator[Line]:
    """The lines of payments since then, each once and in the order of time as far as they have come; never ends."""
    seen: dict[str, float] = {}
    wait, read_from = shortest, since
    while True:
        began, new, throttled = clock(), [], False
        try:
            for line in logs.read(platform, read_from):
                if line.key not in seen:
                    seen[line.key] = began
                    new.append(line)
            read_from = max(since, began - _LATE_SECONDS)
            # What cannot be read again need not be remembered.
            seen = {key: at for key, at in seen.items() if at >= began - 10 * _LATE_SECONDS}
        except ClientError as error:
            if error.response["Error"]["Code"] not in _THROTTLED:
                raise
            throttled = True  # what was read is shown, the rest comes with the next look
        yield from sorted(new, key=lambda line: line.at)
        wait = LONGEST if throttled else shortest if new else min(wait * 1.5, LONGEST)
        pause(wait)
