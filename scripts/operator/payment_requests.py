"""Payments to start, from arguments or a file. All are checked before the first is sent.

A JSON file holds an object or a list of them; a CSV file has a header with the names of the request's fields::

    transaction_id,payment_amount,payment_method,customer_id,currency
    TXN-1,150.00,credit_card,CUST-1,USD

An error names file and line, but never the value, which may be a card number in the wrong column.
"""

import csv
import io
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any

from payments.errors import MalformedRequest
from payments.request import FIELDS, PaymentRequest, read_request

from scripts.common.errors import UserError

LARGEST_BYTES = 5 * 1024 * 1024
MOST_PAYMENTS = 5000
# What JSON does not ignore, or the end.
_VISIBLE = re.compile(r"[^ \t\r\n]|\Z")
_REQUIRED_FIELDS = ("transaction_id", "payment_amount", "payment_method", "customer_id")


@dataclass(frozen=True)
class Request:
    """A valid request. ``body`` is the text to send, identical for identical payments."""

    content: PaymentRequest
    body: str

    @property
    def transaction_id(self) -> str:
        return self.content.transaction_id


class InvalidRequest(UserError):
    """A request that cannot be sent; the message says where it is and why."""


def read_arguments(transaction_id: str, amount: str, method: str, customer: str, currency: str | None) -> Request:
    """Return the request of these arguments. Raises ``InvalidRequest``."""
    fields = dict(zip(_REQUIRED_FIELDS, (transaction_id, amount, method, customer), strict=True))
    fields |= {} if currency is None else {"currency": currency}
    return _check_request(fields, "the payment", numbers_are_text=True)


def read_file(path: Path) -> list[Request]:
    """Return the requests of a file in its order. Raises ``InvalidRequest`` if any part is invalid."""
    text = _read_text(path)
    is_json = path.suffix.lower() == ".json" or (path.suffix.lower() != ".csv" and text.lstrip()[:1] in ("{", "["))
    requests: list[Request] = []
    lines: dict[str, int] = {}
    for line, fields in _parse_json(text, path) if is_json else _parse_csv(text, path):
        place = f"{path}:{line}"
        request = _check_request(fields, place, numbers_are_text=not is_json)
        if first_line := lines.get(request.transaction_id):
            raise InvalidRequest(f"{place}: {request.transaction_id} is already in line {first_line}")
        lines[request.transaction_id] = line
        requests.append(request)
        if len(requests) > MOST_PAYMENTS:
            raise InvalidRequest(f"{place}: more than {MOST_PAYMENTS:,} payments; send them in several files")
    if not requests:
        raise InvalidRequest(f"{path}: contains no payments")
    return requests


def _read_text(path: Path) -> str:
    try:
        with path.open("rb") as file:
            content = file.read(LARGEST_BYTES + 1)
    except OSError as error:
        raise InvalidRequest(f"{path}: {error.strerror}") from None
    if len(content) > LARGEST_BYTES:
        raise InvalidRequest(f"{path}: larger than {LARGEST_BYTES // 1024 // 1024} MiB; send it in several files")
    try:
        return content.decode("utf-8-sig")  # spreadsheets write a byte order mark
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise InvalidRequest(f"{path}:{line}: not UTF-8; save it as UTF-8") from None


def _parse_csv(text: str, path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield the fields of each row with the number of its first line."""
    rows = csv.reader(io.StringIO(text, newline=""), strict=True)
    line = 1
    try:
        header = [name.strip() for name in next(rows, [])]
        _check_header(header, path)
        line = rows.line_num + 1
        for row in rows:
            if any(cell.strip() for cell in row):
                if len(row) != len(header):
                    raise InvalidRequest(f"{path}:{line}: {len(row)} fields, the header has {len(header)}")
                fields = {name: cell.strip() for name, cell in zip(header, row, strict=True)}
                # In a table, an empty cell means that the field is left out.
                yield line, {name: value for name, value in fields.items() if value or name != "currency"}
            line = rows.line_num + 1
    except csv.Error as error:
        raise InvalidRequest(f"{path}:{line}: not CSV: {error}") from None


def _check_header(header: list[str], path: Path) -> None:
    if not header:
        raise InvalidRequest(f"{path}: contains no payments")
    if missing := ", ".join(name for name in _REQUIRED_FIELDS if name not in header):
        raise InvalidRequest(f"{path}:1: missing column {missing}; the first line must be a comma-separated header")
    unknown = [name for name in header if name not in FIELDS]
    if unknown or len(set(header)) < len(header):
        problem = f"{len(unknown)} unknown" if unknown else "the same column twice"
        raise InvalidRequest(f"{path}:1: {problem}; columns are {', '.join(_REQUIRED_FIELDS)} and currency")


def _parse_json(text: str, path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield each object with the number of its first line."""
    position = 0
    decoder = json.JSONDecoder(
        parse_float=_SpelledNumber, parse_constant=_reject_constant, object_pairs_hook=_reject_duplicate_fields
    )

    def skip_character(character: str) -> bool:
        """Skip whitespace, and then the character if it follows; return whether it did."""
        nonlocal position
        position = next(_VISIBLE.finditer(text, position)).start()
        follows = text.startswith(character, position)
        position += len(character) if follows else 0
        return follows

    def current_line() -> int:
        return text.count("\n", 0, position) + 1

    def make_error(problem: str) -> InvalidRequest:
        return InvalidRequest(f"{path}:{current_line()}: {problem}")

    try:
        is_list = skip_character("[")
        has_ended = is_list and skip_character("]")
        while not has_ended:
            value, end = decoder.raw_decode(text, position)
            if not isinstance(value, dict):
                raise make_error("not an object; each payment must be a JSON object")
            yield current_line(), value
            position = end
            has_ended = not is_list or skip_character("]")
            if not has_ended and not skip_character(","):
                raise make_error("not JSON: a comma or the end of the list is missing")
            if not has_ended and skip_character("]"):
                raise make_error("not JSON: a comma before the end of the list")
        skip_character("")
        if position < len(text):
            raise make_error("not JSON: unexpected content after the end; put several payments in a list")
    except json.JSONDecodeError as error:
        if not text.strip():
            raise InvalidRequest(f"{path}: contains no payments") from None
        raise InvalidRequest(f"{path}:{error.lineno}: not JSON: {error.msg}") from None
    except _InvalidValue as error:
        raise make_error(str(error)) from None
    except (ValueError, RecursionError):
        # A number of thousands of digits, or endless brackets.
        raise make_error("not a valid payment") from None


class _SpelledNumber(float):
    """A number with a fraction or an exponent that keeps its spelling; json.dumps writes it as a number."""

    text: str

    def __new__(cls, text: str) -> "_SpelledNumber":
        number = super().__new__(cls, text)
        number.text = text
        return number


class _InvalidValue(ValueError):
    pass


def _reject_duplicate_fields(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len({name for name, _ in pairs}) < len(pairs):
        raise _InvalidValue("an object has the same field twice")
    return dict(pairs)


def _reject_constant(_constant: str) -> Any:
    raise _InvalidValue("NaN and Infinity are not valid amounts")


def _check_request(fields: dict[str, Any], place: str, *, numbers_are_text: bool) -> Request:
    """Return the request. Raises ``InvalidRequest`` for a malformed one, which would use up its transaction id."""
    amount = fields.get("payment_amount")
    text = amount.text if isinstance(amount, _SpelledNumber) else amount if numbers_are_text else None
    if isinstance(text, str):
        amount = _parse_amount(text, place)
    raw = fields | {"payment_amount": amount}
    try:
        request = read_request(raw)
    except MalformedRequest as error:
        raise InvalidRequest(f"{place}: {error}") from None
    if request.problems or request.amount is None:
        raise InvalidRequest(f"{place}: {'; '.join(request.problems)}")
    # StartExecution is idempotent only for the same name and exactly the same input.
    body = {name: raw[name] for name in sorted(raw)} | {"currency": request.amount.currency}
    return Request(request, json.dumps(body, sort_keys=True))


def _parse_amount(text: str, place: str) -> int | float:
    """Return the number, which must be exact as a binary float, because JSON readers convert it to one."""
    try:
        exact = Decimal(text)
    except InvalidOperation:
        exact = Decimal("NaN")
    if not exact.is_finite() or not text.isascii() or "_" in text:
        raise InvalidRequest(f"{place}: payment_amount must be a number, such as 150.00")
    if exact <= 0:
        raise InvalidRequest(f"{place}: payment_amount must be more than 0")
    # No currency has such amounts, and int() would write out a number of a billion digits.
    if abs(exact.adjusted()) > 20:
        raise InvalidRequest(f"{place}: payment_amount is too large or too small")
    number = int(exact) if exact == exact.to_integral_value() else float(exact)
    if Decimal(str(number)) != exact:
        raise InvalidRequest(f"{place}: payment_amount has more digits than can be sent exactly")
    return number
