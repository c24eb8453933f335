"""Payments to start, read from arguments or a file. All are checked before the first is sent.

A JSON file holds one object or a list of them, a CSV file a header with the request's field names::

    transaction_id,payment_amount,payment_method,customer_id,currency
    TXN-1,150.00,credit_card,CUST-1,USD

An error names the file and the line, and never the value: it may be a card number in the wrong column.
"""

import csv
import io
import json
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any

from payments.errors import MalformedRequest
from payments.request import FIELDS, PaymentRequest
from payments.request import read_request as read_request

from scripts.common.errors import UserError

LARGEST_BYTES = 5 * 1024 * 1024
MOST = 5000
_NEEDED = ("transaction_id", "payment_amount", "payment_method", "customer_id")


@dataclass(frozen=True)
class Request:
    """A request that the platform can read. ``body`` is what is sent, the same text for the same payment."""

    content: PaymentRequest
    body: str

    @property
    def transaction_id(self) -> str:
        return self.content.transaction_id


class BadRequest(UserError):
    """Something cannot be sent; the message says where it stands, and why."""


def from_arguments(transaction_id: str, amount: str, method: str, customer: str, currency: str | None) -> Request:
    """Raises ``BadRequest``."""
    fields: dict[str, Any] = {
        "transaction_id": transaction_id,
        "payment_amount": amount,
        "payment_method": method,
        "customer_id": customer,
    }
    return _request(fields | ({} if currency is None else {"currency": currency}), "the payment", numbers_are_text=True)


def from_file(path: Path) -> list[Request]:
    """The payments of a file, in its order. Raises ``BadRequest`` for a file that is not wholly usable."""
    text = _text(path)
    is_json = path.suffix.lower() == ".json" or (path.suffix.lower() != ".csv" and text.lstrip()[:1] in ("{", "["))
    found: list[Request] = []
    lines: dict[str, int] = {}
    for line, fields in _json(text, path) if is_json else _csv(text, path):
        where = f"{path}:{line}"
        request = _request(fields, where, numbers_are_text=not is_json)
        if request.transaction_id in lines:
            raise BadRequest(f"{where}: {request.transaction_id} is already in line {lines[request.transaction_id]}")
        lines[request.transaction_id] = line
        found.append(request)
        if len(found) > MOST:
            raise BadRequest(f"{where}: more than {MOST:,} payments; send them in several files")
    if not found:
        raise BadRequest(f"{path}: contains no payments")
    return found


def _text(path: Path) -> str:
    try:
        with path.open("rb") as file:
            content = file.read(LARGEST_BYTES + 1)
    except OSError as error:
        raise BadRequest(f"{path}: {error.strerror}") from None
    if len(content) > LARGEST_BYTES:
        raise BadRequest(f"{path}: larger than {LARGEST_BYTES // 1024 // 1024} MiB; send it in several files")
    try:
        return content.decode("utf-8-sig")  # spreadsheets begin a file with a mark
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise BadRequest(f"{path}:{line}: not UTF-8; save it as UTF-8") from None


def _csv(text: str, path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    rows = csv.reader(io.StringIO(text, newline=""), strict=True)
    line = 1
    try:
        header = [name.strip() for name in next(rows, [])]
        if not header:
            raise BadRequest(f"{path}: contains no payments")
        missing = [name for name in _NEEDED if name not in header]
        if missing:
            raise BadRequest(
                f"{path}:1: missing column {', '.join(missing)}; the first line must be a comma-separated header"
            )
        unknown = [name for name in header if name not in FIELDS]
        if unknown or len(set(header)) < len(header):
            what = f"{len(unknown)} unknown" if unknown else "the same column twice"
            raise BadRequest(f"{path}:1: {what}; columns are {', '.join(_NEEDED)} and currency")
        line = rows.line_num + 1
        for row in rows:
            if any(cell.strip() for cell in row):
                if len(row) != len(header):
                    raise BadRequest(f"{path}:{line}: {len(row)} fields, the header has {len(header)}")
                fields = {name: cell.strip() for name, cell in zip(header, row, strict=True)}
                # An empty cell is how a table leaves something out.
                yield line, {name: value for name, value in fields.items() if value or name != "currency"}
            line = rows.line_num + 1
    except csv.Error as error:
        raise BadRequest(f"{path}:{line}: not CSV: {error}") from None


def _json(text: str, path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Each object with the line that it begins in."""
    position = _skipped(text, 0)
    decoder = json.JSONDecoder(parse_float=_Written, parse_constant=_refused, object_pairs_hook=_once)

    def line() -> int:
        return text.count("\n", 0, position) + 1

    def value() -> Any:
        nonlocal position
        found, end = decoder.raw_decode(text, position)
        return found, end

    try:
        if text[position : position + 1] != "[":
            found, end = value()
            yield line(), _object(found, path, line())
            position = _skipped(text, end)
        else:
            position = _skipped(text, position + 1)
            while text[position : position + 1] != "]":
                found, end = value()
                yield line(), _object(found, path, line())
                position = _skipped(text, end)
                if text[position : position + 1] == ",":
                    position = _skipped(text, position + 1)
                    if text[position : position + 1] == "]":
                        raise BadRequest(f"{path}:{line()}: not JSON: a comma before the end of the list")
                elif text[position : position + 1] != "]":
                    raise BadRequest(f"{path}:{line()}: not JSON: a comma or the end of the list is missing")
            position = _skipped(text, position + 1)
        if position < len(text):
            raise BadRequest(
                f"{path}:{line()}: not JSON: unexpected content after the end; put several payments in a list"
            )
    except json.JSONDecodeError as error:
        if not text.strip():
            raise BadRequest(f"{path}: contains no payments") from None
        raise BadRequest(f"{path}:{error.lineno}: not JSON: {error.msg}") from None
    except (ValueError, RecursionError) as error:
        # A number of thousands of digits, a constant or a field twice, or brackets without end.
        why = str(error) if isinstance(error, _Twice | _NoNumber) else "not a valid payment"
        raise BadRequest(f"{path}:{line()}: {why}") from None


class _Written(float):
    """A number with a fraction or an exponent, and how it was written; wherever it stands, it is JSON again."""

    text: str

    def __new__(cls, text: str) -> "_Written":
        number = super().__new__(cls, text)
        number.text = text
        return number


class _Twice(ValueError):
    pass


class _NoNumber(ValueError):
    pass


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len({name for name, _ in pairs}) < len(pairs):
        raise _Twice("an object has the same field twice")
    return dict(pairs)


def _refused(_constant: str) -> Any:
    raise _NoNumber("NaN and Infinity are not valid amounts")


def _object(found: Any, path: Path, line: int) -> dict[str, Any]:
    if not isinstance(found, dict):
        raise BadRequest(f"{path}:{line}: not an object; each payment must be a JSON object")
    return found


def _skipped(text: str, position: int) -> int:
    while position < len(text) and text[position] in " \t\r\n":
        position += 1
    return position


def _request(fields: dict[str, Any], where: str, *, numbers_are_text: bool) -> Request:
    """What the platform would refuse for its form is refused here, so that it does not use up the transaction's id."""
    amount = fields.get("payment_amount")
    if isinstance(amount, _Written):
        amount = _number(amount.text, where)
    elif numbers_are_text and isinstance(amount, str):
        amount = _number(amount, where)
    raw = fields | {"payment_amount": amount}
    try:
        request = read_request(raw)
    except MalformedRequest as error:
        raise BadRequest(f"{where}: {error}") from None
    if request.problems or request.amount is None:
        raise BadRequest(f"{where}: {'; '.join(request.problems)}")
    # One text for one payment: Step Functions takes the same name and the same input for the same execution.
    body = {name: raw[name] for name in sorted(raw)} | {"currency": request.amount.currency}
    return Request(request, json.dumps(body, sort_keys=True))


def _number(text: str, where: str) -> int | float:
    """The number that the text says. JSON's readers make a binary float of it on the way, so it has to survive that."""
    try:
        exact = Decimal(text)
    except InvalidOperation:
        raise BadRequest(f"{where}: payment_amount must be a number, such as 150.00") from None
    if not exact.is_finite() or not text.isascii() or "_" in text:
        raise BadRequest(f"{where}: payment_amount must be a number, such as 150.00")
    if exact <= 0:
        raise BadRequest(f"{where}: payment_amount must be more than 0")
    # Beyond this no amount is taken, and a number of a billion digits is never written out.
    if abs(exact.adjusted()) > 20:
        raise BadRequest(f"{where}: payment_amount is too large or too small")
    number = int(exact) if exact == exact.to_integral_value() else float(exact)
    if Decimal(str(number)) != exact:
        raise BadRequest(f"{where}: payment_amount has more digits than can be sent exactly")
    return number
