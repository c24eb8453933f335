"""Parses the timestamp of a Wait state: RFC 3339 with an upper-case T and an offset.

https://docs.aws.amazon.com/step-functions/latest/dg/state-wait.html
"""

import re
from datetime import datetime

_TIMESTAMP = re.compile(r"(\d{4}-\d{2}-\d{2})T(\d{2}:\d{2})(:\d{2})?(\.\d{1,9})?(Z|[+-]\d{2}:\d{2})", re.ASCII)


def parse_timestamp(text: str) -> datetime | None:
    """Return the time to the microsecond, or None if the timestamp is invalid."""
    match = _TIMESTAMP.fullmatch(text)
    if match is None:
        return None
    day, minutes, seconds, fraction, offset = match.groups()
    try:
        return datetime.fromisoformat(
            f"{day}T{minutes}{seconds or ':00'}{(fraction or '.0')[:7].ljust(7, '0')}{offset}"
        )
    except ValueError:
        return None
