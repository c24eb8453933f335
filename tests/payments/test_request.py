"""Requests: each is read, or refused with a reason that repeats nothing of it."""

import math
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st
from payments.errors import MalformedRequest
from payments.money import Money, NotAnAmount, count_decimal_places
from payments.request import read_request
from payments.rules import Limits, find_rejection_reasons

from tests.workflow import request

LIMITS = Limits(
    maximum={"USD": Money(1_000_000, "USD"), "JPY": Money(1_500_000, "JPY")},
    high_value={"USD": Money(500_000, "USD"), "JPY": Money(750_000, "JPY")},
)


def find_reasons(**changes: object) -> list[str]:
    return find_rejection_reasons(read_request(request() | changes), LIMITS)


# Money


@given(st.integers(1, 10**11), st.sampled_from(["JPY", "USD", "KWD", "CLF"]))
def test_the_recorded_amount_is_the_requested_amount(minor_units: int, currency: str) -> None:
    places = count_decimal_places(currency)
    # The text that a client sends; a JSON reader turns it into a float.
    as_written = f"{minor_units // 10**places}.{minor_units % 10**places:0{places}d}" if places else str(minor_units)
    assert Money.parse(float(as_written), currency) == Money(minor_units, currency)
    assert str(Money(minor_units, currency)) == f"{as_written} {currency}"


@pytest.mark.parametrize(
    ("amount", "currency", "reason"),
    [
        (None, "USD", "must be a number"),
        ("150.00", "USD", "must be a number"),
        ([150], "USD", "must be a number"),
        (True, "USD", "must be a number"),
        (math.nan, "USD", "must be finite"),
        (math.inf, "USD", "must be finite"),
        (-math.inf, "USD", "must be finite"),
        (0.001, "USD", "more decimal places than its currency has"),
        (150.005, "USD", "more decimal places than its currency has"),
        (0.1 + 0.2, "USD", "more decimal places than its currency has"),
        (1.5, "JPY", "more decimal places than its currency has"),
        (1e-300, "USD", "more decimal places than its currency has"),
        (1e300, "USD", "too large"),
        (10**400, "USD", "too large"),
        (-(10**400), "USD", "too large"),
    ],
)
def test_an_invalid_amount_is_refused_with_its_reason(amount: object, currency: str, reason: str) -> None:
    with pytest.raises(NotAnAmount, match=reason):
        Money.parse(amount, currency)


# The request


def test_the_references_example_is_accepted() -> None:
    paid = read_request(request())
    assert paid.amount == Money(15000, "USD")
    assert find_reasons() == []


@pytest.mark.parametrize("raw", [None, 1, "x", [], [{}], {}, {"transaction_id": None}, {"transaction_id": 7}])
def test_a_request_without_a_valid_id_is_malformed(raw: object) -> None:
    with pytest.raises(MalformedRequest):
        read_request(raw)


@pytest.mark.parametrize("transaction_id", ["", " ", "a" * 65, "-a", "a b", "a\n", "ä", "a/b", "💳"])
def test_an_id_that_is_unfit_for_logs_and_names_is_malformed(transaction_id: str) -> None:
    with pytest.raises(MalformedRequest):
        read_request(request(transaction_id=transaction_id))


@pytest.mark.parametrize(
    "transaction_id",
    [
        *("4242424242424242", "TXN-4242424242424242", "4242-4242-4242-4242.1", "PAYIN5105105105105100"),
        *("378282246310005", "3782.822463.10005", "2223003122003222", "6011111111111117", "30569309025904"),
    ],
)
def test_an_id_that_looks_like_a_card_number_is_malformed_and_not_repeated(transaction_id: str) -> None:
    with pytest.raises(MalformedRequest) as raised:
        read_request(request(transaction_id=transaction_id))
    assert transaction_id not in str(raised.value)


@pytest.mark.parametrize(
    "transaction_id",
    # Dates and timestamps of this century, UUIDs, digests, and numbers that are too short.
    [
        *("20261123095310123", "TXN-1795427590123456", "2026-11-23T09:53:10", "424242424242"),
        *("44444444-4444-4444-8444-444444444444", "d4242424242424242e", "44444444444444444444"),
    ],
)
def test_an_id_of_many_digits_that_is_no_card_number_is_accepted(transaction_id: str) -> None:
    assert read_request(request(transaction_id=transaction_id)).transaction_id == transaction_id


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"payment_amount": 0}, "payment_amount must be above 0"),
        ({"payment_amount": -5}, "payment_amount must be above 0"),
        ({"payment_amount": 10000.01}, "payment_amount exceeds the limit"),
        ({"payment_amount": None}, "payment_amount must be a number"),
        ({"payment_method": "cash"}, "payment_method must be one of"),
        ({"payment_method": ["credit_card"]}, "payment_method must be one of"),
        ({"customer_id": ""}, "customer_id must have"),
        ({"customer_id": {"a": 1}}, "customer_id must have"),
        ({"currency": "usd"}, "currency must be a three-letter"),
        ({"currency": None}, "currency must be a three-letter"),
        ({"currency": "GBP"}, "currency must be one of JPY, USD"),
        ({"tip": 5}, "1 unknown field"),
        ({"payment_amount": 5000.01, "payment_method": "bank_transfer"}, "fraud score 50 reaches the limit of 50"),
    ],
)
def test_a_request_is_rejected_with_its_reason(changes: dict[str, object], reason: str) -> None:
    (rejection_reason,) = find_reasons(**changes)
    assert reason in rejection_reason


@pytest.mark.parametrize(
    "changes",
    [
        {"payment_amount": 10000},
        {"payment_amount": 0.01},
        {"payment_amount": 5000, "payment_method": "bank_transfer"},
        {"payment_amount": 9999, "payment_method": "credit_card"},
        {"payment_amount": 100, "currency": "JPY"},
    ],
)
def test_a_valid_request_is_accepted(changes: dict[str, object]) -> None:
    assert find_reasons(**changes) == []


def test_a_rejection_gives_all_reasons_at_once() -> None:
    assert len(find_reasons(payment_amount=-1, payment_method="cash", customer_id="")) == 3


def test_no_reason_repeats_what_was_sent() -> None:
    marked = {"payment_method": "MARKED", "customer_id": "MARKED ", "currency": "MARKED", "MARKED": 1}
    assert "MARKED" not in " ".join(find_reasons(**marked))


@pytest.mark.parametrize(
    ("first", "second", "is_same"),
    [
        ({"payment_amount": 150}, {"payment_amount": 150.00}, True),
        ({"currency": "USD"}, {}, True),
        ({"payment_amount": 150}, {"payment_amount": 151}, False),
        ({"payment_amount": 150}, {"payment_amount": 150, "currency": "JPY"}, False),
        ({"customer_id": "A"}, {"customer_id": "B"}, False),
        ({"more": 1}, {}, False),
    ],
)
def test_equal_requests_have_the_same_canonical_form(first: dict, second: dict, is_same: bool) -> None:
    assert (read_request(request(**first)).canonical == read_request(request(**second)).canonical) is is_same


@pytest.mark.parametrize("salt", [None, "00" * 16])
def test_a_fingerprint_depends_on_the_request_and_its_salt(salt: str | None) -> None:
    fingerprint = read_request(request()).compute_fingerprint(salt)
    assert fingerprint == read_request(request(payment_amount=150)).compute_fingerprint(salt)
    assert fingerprint != read_request(request(payment_amount=151)).compute_fingerprint(salt)
    assert fingerprint != read_request(request()).compute_fingerprint("01" * 16)


def test_nesting_that_cannot_be_read_is_malformed() -> None:
    deep: list = []
    for _ in range(2 * sys.getrecursionlimit()):
        deep = [deep]
    with pytest.raises(MalformedRequest, match="nested too deeply"):
        read_request(request(customer_id=deep))


def test_a_customer_id_has_at_most_128_characters() -> None:
    assert read_request(request(customer_id="c" * 128)).problems == ()
    assert read_request(request(customer_id="c" * 129)).customer_id is None


@pytest.mark.parametrize(("largest", "currency"), [(2**53, "JPY"), (2**53 // 100, "USD")])
def test_an_amount_is_at_most_what_a_json_number_holds_exactly(largest: int, currency: str) -> None:
    assert Money.parse(largest, currency).currency == currency
    with pytest.raises(NotAnAmount, match="too large"):
        Money.parse(largest + 1, currency)
