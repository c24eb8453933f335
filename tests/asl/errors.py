"""How a state fails, and the limit on data."""

import json
from typing import Any

LIMIT_BYTES = 256 * 1024
UNCATCHABLE = ("States.DataLimitExceeded", "States.Runtime")
_ENCODER = json.JSONEncoder(ensure_ascii=False)


class StatesError(Exception):
    """A failed state: the error's name and cause, as ``DescribeExecution`` gives them; either may be empty."""

    def __init__(self, error: str, cause: str = "") -> None:
        super().__init__(f"{error}: {cause}")
        self.error, self.cause = error, cause


class ResultTooLarge(StatesError):
    """``States.DataLimitExceeded`` of a task's result."""


class ExecutionTimedOut(Exception):
    """The state machine's ``TimeoutSeconds`` are over: nothing catches that."""


def limit_size(value: Any) -> Any:
    """The value as JSON would carry it, in UTF-8; too much of it cannot be caught."""
    text = _ENCODER.encode(value)
    if len(text.encode(errors="surrogatepass")) > LIMIT_BYTES:
        raise StatesError("States.DataLimitExceeded", f"{len(text)} characters")
    return json.loads(text)
