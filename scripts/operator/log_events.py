"""Every line of the functions' and the workflow's logs, whether it is about a payment or not."""

import heapq
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from stacks import names

from .executions import parse_object
from .logs import GROUPS, WARNING_LEVELS, read_group
from .platform import Platform
from .records import format_time, hide_card_numbers

SOURCES = {**GROUPS, "workflow": names.WORKFLOW_LOG_GROUP}
# The time is that of the event, and "_aws" tells CloudWatch which fields are metrics.
_NEVER_SHOWN = ("timestamp", "time", "event_timestamp", "_aws")


@dataclass(frozen=True)
class LogEvent:
    """A line of a log. ``at`` is ISO 8601 in UTC, and ``source`` a key of ``SOURCES``.

    ``message`` is the whole line if it is not a JSON object; ``fields`` are the other fields of one. ``key`` identifies
    the line in repeated reads. Anything shaped like a card number is hidden, beside what CloudWatch masks.
    """

    at: str
    source: str
    level: str
    message: str
    fields: dict[str, Any] = field(default_factory=dict)
    key: str = ""

    @property
    def is_warning(self) -> bool:
        return self.level.upper() in WARNING_LEVELS


def read_events(platform: Platform, since: float, sources: Sequence[str]) -> Iterator[LogEvent]:
    """Yield the lines of the ``sources`` since a time in seconds since 1970, oldest first, as they are read."""
    yield from heapq.merge(*(_read_source(platform, since, source) for source in sources), key=lambda event: event.at)


def _read_source(platform: Platform, since: float, source: str) -> Iterator[LogEvent]:
    for event in read_group(platform, SOURCES[source], since):
        yield parse_event(event, source)


def parse_event(event: dict[str, Any], source: str) -> LogEvent:
    """Return the line of an event of FilterLogEvents."""
    text = event["message"]
    fields = {name: value for name, value in parse_object(text).items() if name not in _NEVER_SHOWN}
    # Lambda's own lines and those of Step Functions have a type instead of a message:
    # https://docs.aws.amazon.com/lambda/latest/dg/telemetry-schema-reference.html
    message = (fields.pop("message", "") or fields.pop("type", "")) if fields else text
    return LogEvent(
        at=format_time(datetime.fromtimestamp(event["timestamp"] / 1000, UTC)),
        source=source,
        level=hide_card_numbers(str(fields.pop("level", ""))),
        message=hide_card_numbers(str(message).rstrip()),
        fields=_hide_in_values(fields),
        key=str(event.get("eventId") or f"{event.get('logStreamName')}{event['timestamp']}{text}"),
    )


def format_fields(fields: dict[str, Any]) -> str:
    """Return the fields as ``name=value`` on one line; a value that is not one word is JSON."""
    return " ".join(f"{name}={_format_value(value)}" for name, value in fields.items())


def _format_value(value: Any) -> str:
    if isinstance(value, str) and value and not any(letter in ' "' for letter in value):
        return value
    return json.dumps(value, ensure_ascii=False)


def _hide_in_values(value: Any) -> Any:
    if isinstance(value, dict):
        return {hide_card_numbers(name): _hide_in_values(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_hide_in_values(item) for item in value]
    if isinstance(value, str):
        return hide_card_numbers(value)
    # A number as long as a card number may be one.
    if isinstance(value, int) and not isinstance(value, bool) and hide_card_numbers(str(value)) != str(value):
        return hide_card_numbers(str(value))
    return value
