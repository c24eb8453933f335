"""The sizes and units are those of the examples in DynamoDB's documentation, worked out by hand."""

import pytest

from scripts.capacity.units import Item, count_index_writes, count_read_units, count_write_units, size_item

KEYS = ("open_shard", "overdue_at")
OPEN: Item = {"open_shard": {"N": "3"}, "overdue_at": {"N": "100"}}
LATER: Item = {"open_shard": {"N": "3"}, "overdue_at": {"N": "200"}}
CLOSED: Item = {"status": {"S": "COMPLETED"}}


@pytest.mark.parametrize(
    ("item", "size"),
    [
        # The name of 2 bytes and the value of 3.
        ({"id": {"S": "abc"}}, 5),
        # UTF-8, not letters.
        ({"id": {"S": "ä€"}}, 7),
        # One byte for two digits, and one: 3 digits take 3.
        ({"n": {"N": "123"}}, 4),
        ({"n": {"N": "-0.00123000"}}, 4),
        ({"n": {"N": "0"}}, 2),
        ({"b": {"BOOL": True}}, 2),
        # 3 bytes for the list, and one for each element.
        ({"l": {"L": [{"S": "a"}, {"S": "b"}]}}, 1 + 3 + 4),
        ({"m": {"M": {"k": {"S": "v"}}}}, 1 + 3 + 3),
    ],
)
def test_an_item_has_the_documented_size(item: Item, size: int) -> None:
    assert size_item(item) == size


@pytest.mark.parametrize(("size", "plain", "in_transaction"), [(1, 1, 2), (1024, 1, 2), (1025, 2, 4), (3072, 3, 6)])
def test_a_transaction_writes_twice(size: int, plain: int, in_transaction: int) -> None:
    assert count_write_units(size) == plain
    assert count_write_units(size, in_transaction=True) == in_transaction


@pytest.mark.parametrize(("size", "consistent", "eventual"), [(0, 1, 0.5), (4096, 1, 0.5), (8192, 2, 1)])
def test_an_eventually_consistent_read_takes_half(size: int, consistent: float, eventual: float) -> None:
    assert count_read_units(size, is_consistent=True) == consistent
    assert count_read_units(size, is_consistent=False) == eventual


@pytest.mark.parametrize(
    ("before", "after", "units"),
    [
        (None, OPEN, 1),
        (None, CLOSED, 0),
        (OPEN, OPEN, 0),
        (OPEN, LATER, 2),
        (OPEN, CLOSED, 1),
        (CLOSED, OPEN, 1),
    ],
)
def test_an_index_is_written_when_its_key_changes(before: Item | None, after: Item, units: int) -> None:
    assert count_index_writes(before, after, KEYS) == units
