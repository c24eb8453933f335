"""The exceptions, and the limit on the size of data."""

import json
from typing import Any

LIMIT_BYTES = 256 * 1024
UNCATCHABLE = ("States.DataLimitExceeded", "States.Runtime")
_ENCODER = json.JSONEncoder(ensure_ascii=False)


class StatesError(Exception):
    """A state failed. ``error`` and ``cause`` are those of ``DescribeExecution``; each may be empty."""

    def __init__(self, error: str, cause: str = "") -> None:
        super().__init__(f"{error}: {cause}")
        self.error, self.cause = error, cause


class ResultTooLarge(StatesError):
    """A task's result is too large: ``States.DataLimitExceeded``."""


class ExecutionTimedOut(Exception):
    """The execution ran longer than the ``TimeoutSeconds`` of its state machine. No catcher applies."""


def limit_size(value: Any) -> Any:
    """Return the value after a round trip through JSON; raise ``States.DataLimitExceeded`` if it is too large."""
    text = _ENCODER.encode(value)
    if len(text.encode(errors="surrogatepass")) > LIMIT_BYTES:
        raise StatesError("States.DataLimitExceeded", f"{len(text)} characters")
    return json.loads(text)
