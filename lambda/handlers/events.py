"""Reads the fields of an event. Error messages never repeat a value, because it may be payment data."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from payments.errors import MalformedRequest
from payments.request import is_transaction_id


def read_text(event: Mapping[str, Any], name: str) -> str:
    """Return a required field of the event. Raises ``MalformedRequest`` if it is missing, empty or no text."""
    value = event.get(name)
    if not isinstance(value, str) or not value:
        raise MalformedRequest(f"{name} must be text")
    return value


def read_transaction_id(event: Mapping[str, Any]) -> str:
    """Return the transaction id of the event. Raises ``MalformedRequest`` if it is not a valid one."""
    value = read_text(event, "transaction_id")
    if not is_transaction_id(value):
        raise MalformedRequest("transaction_id is not one")
    return value


def read_execution_id(event: Mapping[str, Any]) -> str:
    """Return the ARN of the execution that sent the event, or ``none``."""
    execution = event.get("execution")
    return str(execution["id"]) if isinstance(execution, Mapping) and "id" in execution else "none"


def seconds_since_start(event: Mapping[str, Any], current_time: float) -> float | None:
    """Return the seconds from the start of the execution until ``current_time`` (seconds since 1970), if known."""
    execution = event.get("execution")
    if not isinstance(execution, Mapping) or "started_at" not in execution:
        return None
    try:
        started = datetime.fromisoformat(str(execution["started_at"])).timestamp()
    except (ValueError, OverflowError):
        return None  # a measurement must not cause an error
    # The clocks differ: an execution that has just started may seem to start in the future.
    return round(max(0.0, current_time - started), 3)
