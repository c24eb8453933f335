"""Data classes as the JSON that commands print: the names of its fields are those of the code."""

import dataclasses
from typing import Any

# With a fingerprint and its salt, anybody can find the request by trying all amounts; the others are of no use outside.
_NEVER_PRINTED = ("fingerprint", "salt", "key", "receipt")


def to_json(value: Any) -> dict[str, Any]:
    """Return a data class, with those within it, as the JSON object that a command prints."""
    return dataclasses.asdict(
        value, dict_factory=lambda fields: {name: value for name, value in fields if name not in _NEVER_PRINTED}
    )
