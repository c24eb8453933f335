"""Data classes as the JSON that commands print."""

import dataclasses
from typing import Any

# Programs read the output under these names of the fields.
_JSON_NAMES = {
    "comment": "said",
    "current_status": "now",
    "is_final": "done",
    "is_newly_sent": "sent",
    "notifications": "told",
    "notified_status": "told",
    "summary": "what",
}
# With a fingerprint and its salt, anybody can find the request by trying all amounts; the others are of no use outside.
_NEVER_PRINTED = ("fingerprint", "salt", "key", "receipt")


def to_json(value: Any) -> dict[str, Any]:
    """Return a data class, with those within it, as the JSON object that a command prints."""
    return dataclasses.asdict(
        value,
        dict_factory=lambda fields: {
            _JSON_NAMES.get(name, name): value for name, value in fields if name not in _NEVER_PRINTED
        },
    )
