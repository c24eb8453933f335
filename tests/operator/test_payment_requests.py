"""`start` accepts a valid file as a whole, and describes the first error of an invalid one in one line."""

import json
from pathlib import Path

import pytest

from scripts.operator import payment_requests
from scripts.operator.payment_requests import InvalidRequest, read_arguments, read_file

HEADER = "transaction_id,payment_amount,payment_method,customer_id\n"
GOOD = "T-1,150.00,credit_card,C-1\n"


def write_file(folder: Path, content: str | bytes, name: str = "payments.csv") -> Path:
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def test_the_same_payment_is_the_same_text_wherever_it_is_read_from(tmp_path: Path) -> None:
    fields = {"transaction_id": "T-1", "payment_method": "credit_card", "customer_id": "C-1"}
    read_requests = [
        read_arguments("T-1", "150.00", "credit_card", "C-1", None),
        read_arguments("T-1", "1.5e2", "credit_card", "C-1", "USD"),
        *read_file(write_file(tmp_path, HEADER + GOOD)),
        *read_file(write_file(tmp_path, "\ufeff" + HEADER.strip() + ",currency\r\n\r\n" + GOOD.strip() + ",\r\n")),
        *read_file(write_file(tmp_path, json.dumps(fields | {"payment_amount": 150}), "a.json")),
        *read_file(write_file(tmp_path, json.dumps([fields | {"payment_amount": 150.0}], indent=2), "b.json")),
    ]
    assert len(read_requests) == 6
    assert len(set(read_requests)) == 1
    assert json.loads(read_requests[0].body)["payment_amount"] == 150


@pytest.mark.parametrize("amount", ["0.29", "1.15", "8.41", "9999999999999.99"])
def test_an_amount_arrives_as_it_was_written(amount: str) -> None:
    assert f'"payment_amount": {amount},' in read_arguments("T", amount, "credit_card", "C", None).body


@pytest.mark.parametrize(
    ("amount", "message"),
    [
        ("", "must be a number"),
        ("1_000", "must be a number"),
        ("NaN", "must be a number"),
        ("١٢", "must be a number"),
        ("1,50", "must be a number"),
        ("1.005", "more decimal places than its currency has"),
        ("1e999999999", "too large or too small"),
        # Beyond the sixteenth digit, amounts share their binary floats.
        ("90071992547409.91", "more digits than can be sent exactly"),
        ("90071992547410", "too large"),
    ],
)
def test_an_inexact_amount_is_refused(amount: str, message: str) -> None:
    with pytest.raises(InvalidRequest, match=message):
        read_arguments("T", amount, "credit_card", "C", None)


PAYMENT = '{"transaction_id": "T-1", "payment_amount": 1, "payment_method": "credit_card", "customer_id": "C"}'


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "payments.csv: contains no payments"),
        (HEADER, "payments.csv: contains no payments"),
        ("transaction_id;payment_amount\n", "payments.csv:1: missing column transaction_id, payment_amount, "),
        (HEADER.replace(",customer_id", "") + GOOD, "payments.csv:1: missing column customer_id"),
        (HEADER.strip() + ",cvv\n", "payments.csv:1: 1 unknown"),
        (HEADER.strip() + ",customer_id\n", "payments.csv:1: the same column twice"),
        (HEADER + GOOD + "T-2,1\n", "payments.csv:3: 2 fields, the header has 4"),
        (HEADER + GOOD + "\n" + GOOD, "payments.csv:4: T-1 is already in line 2"),
        (HEADER + GOOD + "T-2,x,credit_card,C\n", "payments.csv:3: payment_amount must be a number"),
        (HEADER + GOOD + "T-2,0,credit_card,C\n", "payments.csv:3: payment_amount must be more than 0"),
        (HEADER + GOOD + "T-2,-1,credit_card,C\n", "payments.csv:3: payment_amount must be more than 0"),
        (HEADER + GOOD + "T-2,1,cheque,C\n", "payments.csv:3: payment_method must be one of"),
        (HEADER + "4111111111111111,1,credit_card,C\n", "payments.csv:2: transaction_id must have"),
        (HEADER + '"T-1\n', "payments.csv:2: not CSV"),
        ((HEADER + GOOD).encode() + b"T-2,1,credit_card,Jos\xe9\n", "payments.csv:3: not UTF-8"),
        ((HEADER + GOOD).encode("utf-16"), "payments.csv:1: not UTF-8"),
        ("", "a.json: contains no payments"),
        ("[]", "a.json: contains no payments"),
        ("[\n\n nonsense]", "a.json:3: not JSON"),
        (f"[{PAYMENT},\n]", "a.json:2: not JSON: a comma before the end"),
        (f"[{PAYMENT}\n{PAYMENT}]", "a.json:2: not JSON: a comma or the end"),
        (f"[{PAYMENT}", "a.json:1: not JSON: a comma or the end"),
        (f"{PAYMENT}\n{PAYMENT}", "a.json:2: not JSON: unexpected content after the end"),
        (f"[{PAYMENT},\n{PAYMENT}]", "a.json:2: T-1 is already in line 1"),
        (f"[{PAYMENT},\n7]", "a.json:2: not an object"),
        (f"[{PAYMENT},\n" + PAYMENT.replace("T-1", "T-2").replace(": 1", ": NaN") + "]", "a.json:2: NaN and Infinity"),
        (PAYMENT.replace(": 1", ': "1"'), "a.json:1: payment_amount must be a number"),
        (PAYMENT.replace(": 1", ": " + "1" * 5000), "a.json:1: not a valid payment"),
        (PAYMENT.replace(": 1", ': 1, "payment_amount": 2'), "a.json:1: an object has the same field twice"),
        ('{"transaction_id": "T-1"}', "a.json:1: payment_amount must be a number; payment_method must be"),
        ("[" * 100_000, "a.json:1: not a valid payment"),
        (PAYMENT.replace('"C"', "1.5"), "a.json:1: customer_id must have"),
        (PAYMENT.replace('"C"', '"C", "currency": 1.5'), "a.json:1: currency must be"),
        (PAYMENT.replace('"C"', '"C", "cvv": [1.5]'), "a.json:1: 1 unknown field"),
        (PAYMENT.replace(": 1", ": 1e400"), "a.json:1: payment_amount is too large or too small"),
        (PAYMENT.replace(": 1", ": 1e" + "9" * 30), "a.json:1: payment_amount must be a number"),
    ],
)
def test_an_invalid_file_is_refused(tmp_path: Path, content: str | bytes, message: str) -> None:
    name = message.partition(":")[0]
    with pytest.raises(InvalidRequest) as error:
        read_file(write_file(tmp_path, content, name))
    assert message in str(error.value)
    assert "\n" not in str(error.value)
    # A value may be a card number in the wrong column.
    assert "4111" not in str(error.value)


def test_too_many_payments_or_bytes_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    many = HEADER + "".join(f"T-{number},1,credit_card,C\n" for number in range(3))
    monkeypatch.setattr(payment_requests, "MOST_PAYMENTS", 2)
    with pytest.raises(InvalidRequest, match=r"csv:4: more than 2 payments"):
        read_file(write_file(tmp_path, many))
    with pytest.raises(InvalidRequest, match="larger than 5 MiB"):
        read_file(write_file(tmp_path, b" " * (payment_requests.LARGEST_BYTES + 1)))
    with pytest.raises(InvalidRequest, match="No such file"):
        read_file(tmp_path / "none.csv")
