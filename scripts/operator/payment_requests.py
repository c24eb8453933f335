"""Payments to start, from arguments or a file. All are checked before the first is sent.

A mistake names file, line and column, but never the value, which may be a card number in the wrong column.
"""

import hashlib
import json
from array import array
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from itertools import pairwise
from pathlib import Path
from typing import Any

from payments.errors import MalformedRequest
from payments.money import Money
from payments.request import DEFAULT_CURRENCY, PaymentRequest, is_transaction_id, read_request

from .payment_files import REQUIRED_FIELDS, InvalidRequest, Mistake, SpelledNumber, read_rows

# Stands in for an invalid id or amount, so that the other fields are checked, too.
_VALID_ID, _VALID_AMOUNT = "T", 1


@dataclass(frozen=True)
class Request:
    """A valid request. ``body`` is the text to send, identical for identical payments."""

    content: PaymentRequest
    body: str

    @property
    def transaction_id(self) -> str:
        return self.content.transaction_id


def read_arguments(
    transaction_id: str,
    amount: str,
    method: str,
    customer: str,
    currency: str | None,
    accepted_currencies: Collection[str] | None = None,
) -> Request:
    """Return the request of these arguments. Raises ``InvalidRequest``.

    ``accepted_currencies`` are the environment's; None leaves the currency to the environment.
    """
    fields = dict(zip(REQUIRED_FIELDS, (transaction_id, amount, method, customer), strict=True))
    fields |= {} if currency is None else {"currency": currency}
    rules = _list_broken_rules(fields, accepted_currencies, amount_is_text=True)
    if rules:
        raise InvalidRequest(f"the payment: {'; '.join(rules)}")
    return _build_request(fields, amount_is_text=True)


@dataclass(frozen=True)
class Requests:
    """Valid requests, which are read from their file when they are iterated.

    ``sums`` has the sum of each currency with the number of its payments, sorted by currency.
    """

    sums: dict[Money, int]
    _read: Callable[[], Iterator[Request]]

    @property
    def count(self) -> int:
        return sum(self.sums.values())

    def __iter__(self) -> Iterator[Request]:
        """Raises ``InvalidRequest`` if the file has changed since it was checked."""
        return self._read()


def make_single(request: Request) -> Requests:
    amount = request.content.amount
    return Requests({amount: 1} if amount else {}, lambda: iter([request]))


def check_file(path: Path, accepted_currencies: Collection[str] | None = None) -> Requests:
    """Read a file to its end, and return its requests; ``accepted_currencies`` as for ``read_arguments``.

    Raises ``InvalidRequest`` with all mistakes if there is any.
    """
    mistakes: list[Mistake] = []
    hashes = array("Q")
    sums: dict[str, int] = {}
    counts: Counter[str] = Counter()
    state = _read_state(path)
    for row in read_rows(path):
        if isinstance(row, Mistake):
            mistakes.append(row)
            continue
        rules = _list_broken_rules(row.fields, accepted_currencies, amount_is_text=row.amount_is_text)
        mistakes += [Mistake(row.find_line(rule), rule) for rule in rules]
        if is_transaction_id(transaction_id := row.fields.get("transaction_id")):
            hashes.append(_hash_id(transaction_id))
        if not rules and (amount := _build_request(row.fields, amount_is_text=row.amount_is_text).content.amount):
            counts[amount.currency] += 1
            sums[amount.currency] = sums.get(amount.currency, 0) + amount.minor_units
    mistakes = sorted([*mistakes, *_list_repeated_ids(path, hashes)], key=lambda mistake: mistake.line)
    if mistakes:
        raise InvalidRequest(*(f"{path}:{mistake.line}: {mistake.rule}" for mistake in mistakes))
    if not sums:
        raise InvalidRequest(f"{path}: contains no payments")
    amounts = {Money(units, currency): counts[currency] for currency, units in sorted(sums.items())}
    return Requests(amounts, lambda: _read_again(path, state))


def _read_again(path: Path, state: tuple[int, ...]) -> Iterator[Request]:
    for row in read_rows(path):
        if isinstance(row, Mistake) or _read_state(path) != state:
            raise InvalidRequest(f"{path}: has changed since it was checked; run the same command again")
        yield _build_request(row.fields, amount_is_text=row.amount_is_text)


def _read_state(path: Path) -> tuple[int, ...]:
    """Return what changes with the content of the file."""
    try:
        status = path.stat()
    except OSError as error:
        raise InvalidRequest(f"{path}: {error.strerror}") from None
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns


def _hash_id(transaction_id: str) -> int:
    return int.from_bytes(hashlib.blake2b(transaction_id.encode(), digest_size=8).digest())


def _list_repeated_ids(path: Path, hashes: Iterable[int]) -> Iterator[Mistake]:
    """Yield a mistake for each transaction id that the file has before, given a hash of each.

    Eight bytes for each payment are kept, and the file is read again only if two are equal.
    """
    repeated = {value for value, following in pairwise(sorted(hashes)) if value == following}
    lines: dict[str, int] = {}
    for row in read_rows(path) if repeated else ():
        if isinstance(row, Mistake):
            continue
        transaction_id = row.fields.get("transaction_id")
        if not is_transaction_id(transaction_id) or _hash_id(transaction_id) not in repeated:
            continue
        line = row.find_line("transaction_id")
        if transaction_id in lines:
            yield Mistake(line, f"transaction_id is already in line {lines[transaction_id]}")
        lines.setdefault(transaction_id, line)


def _list_broken_rules(
    fields: dict[str, Any], accepted_currencies: Collection[str] | None, *, amount_is_text: bool
) -> list[str]:
    """Return all rules that the fields break; each begins with the field's name.

    A malformed request is never sent, because it would use up its transaction id.
    """
    amount, rule = _read_amount(fields.get("payment_amount"), amount_is_text=amount_is_text)
    fields = fields | {"payment_amount": _VALID_AMOUNT if rule else amount}
    rules = [rule] if rule else []
    try:
        rules += read_request(fields).problems
    except MalformedRequest as error:
        rules.insert(0, str(error))
        with suppress(MalformedRequest):
            rules += read_request(fields | {"transaction_id": _VALID_ID}).problems
    if accepted_currencies is not None and fields.get("currency", DEFAULT_CURRENCY) not in accepted_currencies:
        rules = [rule for rule in rules if not rule.startswith("currency ")]
        rules.append(
            f"currency must be one of maximum_amounts in the settings: {', '.join(sorted(accepted_currencies))}"
        )
    return rules


def _build_request(fields: dict[str, Any], *, amount_is_text: bool) -> Request:
    """Return the request of fields that break no rule."""
    amount, _ = _read_amount(fields["payment_amount"], amount_is_text=amount_is_text)
    fields = fields | {"payment_amount": amount}
    request = read_request(fields)
    if request.amount is None:
        raise ValueError("the request breaks a rule")
    # StartExecution is idempotent only for the same name and exactly the same input.
    return Request(request, json.dumps(fields | {"currency": request.amount.currency}, sort_keys=True))


def _read_amount(amount: Any, *, amount_is_text: bool) -> tuple[Any, str]:
    """Return the number to send, and the rule that the amount breaks, or an empty text.

    ``amount_is_text``: whether a text is read as a number, as in a table. What is no number is returned as it is.
    """
    if isinstance(amount, SpelledNumber):
        return _parse_amount(amount.text)
    if (isinstance(amount, str) and amount_is_text) or (isinstance(amount, int) and not isinstance(amount, bool)):
        return _parse_amount(str(amount))
    return amount, ""


def _parse_amount(text: str) -> tuple[int | float | None, str]:
    """Return the number, or None, and the rule that it breaks.

    It must be exact as a binary float, because JSON readers convert it to one.
    """
    try:
        exact = Decimal(text)
    except InvalidOperation:
        exact = Decimal("NaN")
    if "," in text:
        return None, "payment_amount has a comma; write a decimal point and no separator of thousands, such as 1500.00"
    if not exact.is_finite() or not text.isascii() or "_" in text:
        return None, "payment_amount must be a number, such as 150.00"
    if exact <= 0:
        return None, "payment_amount must be more than 0"
    # No currency has such amounts, and int() would write out a number of a billion digits.
    if abs(exact.adjusted()) > 20:
        return None, "payment_amount is too large or too small"
    number = int(exact) if exact == exact.to_integral_value() else float(exact)
    if Decimal(str(number)) != exact:
        return None, "payment_amount has more digits than can be sent exactly"
    return number, ""
