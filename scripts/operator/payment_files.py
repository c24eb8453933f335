"""The rows of a file of payments, and what is wrong with the file as such.

A JSON file holds an object or a list of them. A CSV file, which is read line by line and may be of any size, has a
header with the names of the request's fields, separated by a comma, a semicolon or a tab::

    transaction_id,payment_amount,payment_method,customer_id,currency
    TXN-1,150.00,credit_card,CUST-1,USD
"""

import codecs
import csv
import io
import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

from payments.request import FIELDS

from scripts.common.errors import UserError

# JSON is parsed as a whole.
LARGEST_JSON_BYTES = 5 * 1024 * 1024
_HEAD_BYTES = 64 * 1024
MOST_MISTAKES = 20
REQUIRED_FIELDS = ("transaction_id", "payment_amount", "payment_method", "customer_id")
# What spreadsheets separate cells by, which depends on the country and the format.
_SEPARATORS = (",", ";", "\t")
# What JSON does not ignore, or the end.
_VISIBLE = re.compile(r"[^ \t\r\n]|\Z")
# The name of a field in JSON.
_KEY = re.compile(r'"((?:[^"\\]|\\.)*)"[ \t\r\n]*:')
_LONGEST_INTEGER = 30
_ADVICE = "in a spreadsheet, save it as CSV UTF-8"


class InvalidRequest(UserError):
    """Requests that cannot be sent; the message has a line for each of the first ``MOST_MISTAKES``, with its place."""

    def __init__(self, *mistakes: str) -> None:
        hidden_count = len(mistakes) - MOST_MISTAKES
        lines = [*mistakes[:MOST_MISTAKES], *([f"and {hidden_count:,} more"] if hidden_count > 0 else [])]
        super().__init__("\n".join([f"{len(mistakes):,} mistakes", *lines] if len(mistakes) > 1 else lines))


@dataclass(frozen=True)
class Row:
    """The fields of one payment as they are written, and the first line of it, counted from 1.

    ``amount_is_text``: whether a text is read as a number, as in a table. ``json`` is the text of an object, and empty
    in a table.
    """

    line: int
    fields: dict[str, Any]
    amount_is_text: bool
    json: str = ""

    def find_line(self, rule: str) -> int:
        """Return the line of the field whose name the rule begins with; the first one of the payment without it.

        Also if there are objects in the object, which may have fields of the same names.
        """
        if self.json.count("{") > 1:
            return self.line
        field = rule.partition(" ")[0]
        starts = (key.start() for key in _KEY.finditer(self.json) if key[1] == field)
        return self.line + self.json.count("\n", 0, next(starts, 0))


@dataclass(frozen=True)
class Mistake:
    """A broken rule. Its text names the column, but no value: it may be a card number in the wrong column."""

    line: int
    rule: str


class SpelledNumber(float):
    """A number that keeps its spelling; json.dumps writes it as a number."""

    text: str

    def __new__(cls, text: str) -> "SpelledNumber":
        number = super().__new__(cls, text)
        number.text = text
        return number


def read_rows(path: Path) -> Iterator[Row | Mistake]:
    """Yield each payment of the file, or each mistake instead.

    Raises ``InvalidRequest`` if it cannot be read, or is not text.
    """
    try:
        with path.open("rb") as file:
            head = file.read(_HEAD_BYTES)
            file.seek(0)
            if head.startswith((b"\xff\xfe", b"\xfe\xff")):
                raise InvalidRequest(f"{path}: is UTF-16, as spreadsheets save Unicode Text; {_ADVICE}")
            if b"\0" in head:
                raise InvalidRequest(f"{path}: is not a text file; {_ADVICE}")
            if not head.removeprefix(codecs.BOM_UTF8).strip():
                return
            # Spreadsheets write a byte order mark. No field accepts a character beyond ASCII, so the rules of the
            # fields find what is in another encoding, each in its place.
            with io.TextIOWrapper(file, "utf-8-sig", errors="replace", newline="") as text:
                yield from parse_json(_read_whole(path, text)) if _is_json(path, head) else parse_csv(text)
    except OSError as error:
        raise InvalidRequest(f"{path}: {error.strerror}") from None


def _is_json(path: Path, head: bytes) -> bool:
    """Whether the file is JSON and not CSV, by its name, or else by its first character."""
    suffix = path.suffix.lower()
    return suffix == ".json" or (suffix != ".csv" and head.decode("utf-8-sig", "replace").lstrip()[:1] in ("{", "["))


def _read_whole(path: Path, file: TextIO) -> str:
    text = file.read(LARGEST_JSON_BYTES + 1)
    if len(text) > LARGEST_JSON_BYTES:
        limit = LARGEST_JSON_BYTES // 1024 // 1024
        raise InvalidRequest(f"{path}: JSON of more than {limit} MiB; send it in several files, or as CSV")
    return text


def parse_csv(file: TextIO) -> Iterator[Row | Mistake]:
    """Yield each payment of a table, or each mistake instead. Nothing follows the mistakes of a header."""
    separator = _find_separator(file.readline())
    file.seek(0)
    rows = csv.reader(file, delimiter=separator, strict=True)
    header: list[str] | None = None
    line = 1
    while True:
        try:
            row = [cell.strip() for cell in next(rows)]
        except StopIteration:
            return
        except csv.Error as error:
            yield Mistake(line, f"not CSV: {error}")
        else:
            if header is None:
                header = _drop_empty_cells(row, 0)
                mistakes = [Mistake(line, rule) for rule in _check_header(header)]
                yield from mistakes
                if mistakes:
                    return
            elif any(row):
                yield _read_row(line, _drop_empty_cells(row, len(header)), header)
        line = rows.line_num + 1


def _find_separator(first_line: str) -> str:
    """Return the separator by which the first line has the most names of fields."""

    def count_fields(separator: str) -> int:
        return sum(name.strip().strip('"') in FIELDS for name in first_line.split(separator))

    return max(_SEPARATORS, key=count_fields)


def _drop_empty_cells(row: list[str], width: int) -> list[str]:
    """Return the row without the empty cells that spreadsheets leave at its end, beyond ``width``."""
    return row[: max((number for number, cell in enumerate(row, 1) if cell or number <= width), default=0)]


def _read_row(line: int, row: Sequence[str], header: Sequence[str]) -> Row | Mistake:
    if len(row) != len(header):
        advice = "quote a cell with a separator" if len(row) > len(header) else "fill in each cell"
        return Mistake(line, f"{len(row)} columns, and the header has {len(header)}; {advice}")
    # An empty cell of the currency means that it is left out.
    fields = {name: cell for name, cell in zip(header, row, strict=True) if cell or name != "currency"}
    return Row(line, fields, amount_is_text=True)


def _check_header(header: Sequence[str]) -> Iterator[str]:
    """Yield the broken rules of the header."""
    if missing := [name for name in REQUIRED_FIELDS if name not in header]:
        columns = f"column{'' if len(missing) == 1 else 's'} {', '.join(missing)}"
        yield f"missing {columns}; the first line must be a header, separated by commas, semicolons or tabs"
    for number, name in enumerate(header, 1):
        # A name may be payment data, if the header is missing.
        if name not in FIELDS:
            yield f"column {number} is unknown; columns are {', '.join(REQUIRED_FIELDS)} and currency"
        elif header.index(name) + 1 < number:
            yield f"column {number} is {name}, like column {header.index(name) + 1}"


def parse_json(text: str) -> Iterator[Row | Mistake]:
    """Yield each payment of a list, or each mistake instead. Nothing follows what is not JSON."""
    decoder = json.JSONDecoder(parse_int=_read_integer, parse_float=SpelledNumber, object_pairs_hook=_read_object)
    position = 0

    def skip_character(character: str) -> bool:
        """Skip whitespace, and then the character if it follows; return whether it did."""
        nonlocal position
        position = next(_VISIBLE.finditer(text, position)).start()
        follows = text.startswith(character, position)
        position += len(character) if follows else 0
        return follows

    def describe_end(problem: str) -> Mistake:
        return Mistake(text.count("\n", 0, position) + 1, f"not JSON: {problem}")

    try:
        is_list = skip_character("[")
        has_ended = is_list and skip_character("]")
        while not has_ended:
            line, start = text.count("\n", 0, position) + 1, position
            value, position = decoder.raw_decode(text, start)
            yield _read_payment(line, value, text[start:position])
            has_ended = not is_list or skip_character("]")
            if not has_ended and not skip_character(","):
                yield describe_end("a comma or the end of the list is missing; the rest was not read")
                return
            if not has_ended and skip_character("]"):
                yield describe_end("a comma before the end of the list")
                return
        skip_character("")
        if position < len(text):
            yield describe_end("unexpected content after the end; put several payments in a list")
    except json.JSONDecodeError as error:
        yield Mistake(error.lineno, f"not JSON, in column {error.colno}: {error.msg}; the rest was not read")
    except RecursionError:
        yield describe_end("nested too deeply; the rest was not read")


def _read_payment(line: int, value: Any, text: str) -> Row | Mistake:
    if isinstance(value, _RepeatedField):
        return Mistake(line, "an object has the same field twice")
    if not isinstance(value, dict):
        return Mistake(line, "not an object; each payment must be one")
    return Row(line, value, amount_is_text=False, json=text)


class _RepeatedField(dict[str, Any]):
    """An object of which a field is given twice."""


def _read_object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    fields = dict(pairs)
    return fields if len(fields) == len(pairs) else _RepeatedField(fields)


def _read_integer(text: str) -> int | SpelledNumber:
    # Python refuses to convert thousands of digits: https://docs.python.org/3/library/stdtypes.html#int-max-str-digits
    return int(text) if len(text) <= _LONGEST_INTEGER else SpelledNumber(text)
