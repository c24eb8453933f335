"""What the functions read of their events. What is wrong there raises ``MalformedRequest``, without repeating it."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from payments.errors import MalformedRequest
from payments.request import is_transaction_id


def read_text(event: Mapping[str, Any], name: str) -> str:
    """A field of the event that has to be there; raises ``MalformedRequest``."""
    value = event.get(name)
    if not isinstance(value, str) or not value:
        raise MalformedRequest(f"{name} must be text")
    return value


def read_transaction_id(event: Mapping[str, Any]) -> str:
    """The event's; raises ``MalformedRequest`` for what could not stand in a log, and so does not repeat it."""
    value = read_text(event, "transaction_id")
    if not is_transaction_id(value):
        raise MalformedRequest("transaction_id is not one")
    return value


def read_execution_id(event: Mapping[str, Any]) -> str:
    """The ARN of the execution that sent the event; ``none`` if none did."""
    execution = event.get("execution")
    return str(execution["id"]) if isinstance(execution, Mapping) and "id" in execution else "none"


def seconds_since_start(event: Mapping[str, Any], current_time: float) -> float | None:
    """Seconds from the start of the execution until ``now`` (seconds since 1970), if an execution sent the event."""
    execution = event.get("execution")
    if not isinstance(execution, Mapping) or "started_at" not in execution:
        return None
    try:
        started = datetime.fromisoformat(str(execution["started_at"])).timestamp()
    except (ValueError, OverflowError):
        return None  # it is measured only: never worth an error
    # Two clocks: what has just started may seem not to have yet.
    return round(max(0.0, current_time - started), 3)
