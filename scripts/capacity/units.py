"""The sizes of DynamoDB items, and the request units that reading and writing them takes.

https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/CapacityUnitCalculations.html
https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/read-write-operations.html
"""

import math
from collections.abc import Mapping
from typing import Any

# What one unit writes, and what one strongly consistent unit reads, in bytes.
WRITE_UNIT_BYTES, READ_UNIT_BYTES = 1024, 4096
# What each stored item and index entry is billed for in addition to its attributes.
ITEM_OVERHEAD_BYTES = 100
# A transaction reads or writes each item twice: once to prepare, once to commit.
# https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/transaction-apis.html#transaction-capacity-handling
TRANSACTION_FACTOR = 2

Item = Mapping[str, Mapping[str, Any]]


def size_item(item: Item) -> int:
    """Return the bytes of an item in DynamoDB's JSON, such as ``{"id": {"S": "a"}}``: its names and its values."""
    return sum(len(name.encode()) + _size_value(value) for name, value in item.items())


def _size_value(value: Mapping[str, Any]) -> int:
    ((kind, content),) = value.items()
    match kind:
        case "S":
            return len(content.encode())
        case "N":
            return _size_number(content)
        case "BOOL" | "NULL":
            return 1
        case "L":
            return 3 + sum(1 + _size_value(item) for item in content)
        case "M":
            return 3 + sum(1 + len(name.encode()) + _size_value(item) for name, item in content.items())
    raise ValueError(f"no item of the platform has a value of the type {kind}")


def _size_number(digits: str) -> int:
    """One byte for two significant digits, and one; zeros before and after them are not stored."""
    significant = digits.lstrip("-").replace(".", "").strip("0")
    return math.ceil(len(significant) / 2) + 1


def count_write_units(size: int, *, in_transaction: bool = False) -> int:
    return max(1, math.ceil(size / WRITE_UNIT_BYTES)) * (TRANSACTION_FACTOR if in_transaction else 1)


def count_read_units(size: int, *, is_consistent: bool) -> float:
    return max(1, math.ceil(size / READ_UNIT_BYTES)) * (1 if is_consistent else 0.5)


def count_index_writes(before: Item | None, after: Item, keys: tuple[str, ...]) -> int:
    """Return the units that a write of the table takes from an index that contains only keys, of less than 1 KB.

    An item that enters or leaves the index takes one, one whose key changes two (the old entry is deleted), and any
    other none. https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/GSI.html
    """
    old = None if before is None or any(key not in before for key in keys) else [before[key] for key in keys]
    new = None if any(key not in after for key in keys) else [after[key] for key in keys]
    if old == new:
        return 0
    return (old is not None) + (new is not None)
