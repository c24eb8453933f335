"""Execution names: an id and nothing else of the request, one name for one id, logged, and read back."""

import functools
import re
import string

import pytest
from hypothesis import given
from hypothesis import strategies as st
from payments.request import is_transaction_id

from scripts.operator import execution_names
from scripts.operator.batch import MOST_EXECUTIONS
from scripts.operator.execution_names import LONGEST_NAME, name_execution, name_redrive

# Ids of all forms, and with the characters that are escaped or that escapes and suffixes contain.
IDS = (
    st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,63}", fullmatch=True)
    | st.from_regex(r"[a2][-._:cdr2]{0,63}", fullmatch=True)
    | st.builds(lambda plain, escaped: "a" * plain + ":" * escaped, st.integers(1, 32), st.integers(0, 32))
).filter(is_transaction_id)
NUMBERS = st.integers(1, MOST_EXECUTIONS)
ALPHANUMERIC = string.digits + string.ascii_letters


def decode_name(name: str) -> tuple[str, str]:
    """The id and the suffix of a name."""
    if name.startswith("_"):
        digits, underscore, suffix = name[1:].partition("_")
        number = functools.reduce(lambda number, digit: number * 62 + ALPHANUMERIC.index(digit), digits, 0)
        transaction_id = ""
        while number:
            number, digit = divmod(number, 66)
            transaction_id = ("._:-" + ALPHANUMERIC)[digit] + transaction_id
        return transaction_id, underscore + suffix
    parts = re.fullmatch(r"((?:[A-Za-z0-9-]|_[_dc])+)(.*)", name)
    assert parts is not None
    return re.sub("_[_dc]", lambda escape: {"__": "_", "_d": ".", "_c": ":"}[escape[0]], parts[1]), parts[2]


@given(IDS, NUMBERS)
def test_a_name_is_of_one_id_and_one_number_only(transaction_id: str, number: int) -> None:
    """No other name has the same decoded form."""
    suffix = f"_{number}" if number > 1 else ""
    assert decode_name(name_execution(transaction_id, number)) == (transaction_id, suffix)
    redriven_id, suffix = decode_name(name_redrive(transaction_id))
    assert (redriven_id, bool(re.fullmatch("_redrive[0-9a-f]{6}", suffix))) == (transaction_id, True)


@given(IDS, NUMBERS)
def test_a_name_is_accepted_and_logged_by_step_functions(transaction_id: str, number: int) -> None:
    for name in (name_execution(transaction_id, number), name_redrive(transaction_id)):
        assert re.fullmatch(r"[A-Za-z0-9_-]{1,80}", name)
        assert execution_names.is_named_after(name, transaction_id)


@pytest.mark.parametrize("transaction_id", ["A" * 64, "A" + ":" * 63, "Z" * 32 + "_" * 32, "z" * 64])
def test_the_longest_id_leaves_room_for_every_suffix(transaction_id: str) -> None:
    assert len(name_execution(transaction_id, MOST_EXECUTIONS)) <= LONGEST_NAME
    assert len(name_redrive(transaction_id)) <= LONGEST_NAME


@pytest.mark.parametrize(
    ("transaction_id", "name"),
    [("TXN-1", "TXN-1"), ("A:1.b_c", "A_c1_db__c"), ("redrive-1", "redrive-1"), ("A" * 64, "A" * 64)],
)
def test_a_name_can_be_read(transaction_id: str, name: str) -> None:
    assert name_execution(transaction_id) == name
    assert name_execution(transaction_id, 2) == f"{name}_2"
    assert re.fullmatch(rf"{name}_redrive[0-9a-f]{{6}}", name_redrive(transaction_id))


NAMES_OF_PAYMENT = ("A_c1", "A_c1_2", "A_c1_redrive0f0f0f")
# Names of earlier versions, and of the demonstration.
FORMER_NAMES = ("A-1-0f", "A-1-0123456789abcdef", "A-1-0123456789abcdefg", "redrive-A-1-0f0f0f0f")
OTHER_NAMES = ("A_c1_2_2", "A_c1_redrive", "A_c10", "A_c1_d", "A-1", "A-10-0f", "A-1-0-f")


@pytest.mark.parametrize("name", NAMES_OF_PAYMENT + FORMER_NAMES + OTHER_NAMES)
def test_an_execution_is_named_after_its_payment(name: str) -> None:
    assert execution_names.is_named_after(name, "A:1") is (name not in OTHER_NAMES)
