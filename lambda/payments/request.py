"""Reads and checks a payment request.

Its shape is the reference's; ``currency`` is optional::

    {"transaction_id": "TXN-1", "payment_amount": 150.00, "payment_method": "credit_card",
     "customer_id": "CUST-1", "currency": "USD"}
"""

import hashlib
import hmac
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeGuard

from .errors import MalformedRequest
from .money import Money, NotAnAmount

DEFAULT_CURRENCY = "USD"
FIELDS = frozenset({"transaction_id", "payment_amount", "payment_method", "customer_id", "currency"})
PAYMENT_METHODS = frozenset({"credit_card", "debit_card", "bank_transfer", "digital_wallet"})

TRANSACTION_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,63}")
# Text in the form of a card number, with or without separators, that is not part of a hexadecimal number. The check
# digit does not matter, so that an id of this form is refused always and not one time in ten.
# https://en.wikipedia.org/wiki/Payment_card_number
CARD_NUMBER = re.compile(
    r"(^|[^0-9A-Fa-f])"
    r"([3-6][0-9]{12,18}|2[2-7][0-9]{14}|[2-6][0-9]{3}([._:-][0-9]{4}){3}|3[0-9]{3}[._:-][0-9]{6}[._:-][0-9]{5})"
    r"([^0-9A-Fa-f]|$)"
)
_CUSTOMER_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:@-]{0,127}")
_CURRENCY = re.compile(r"[A-Z]{3}")


@dataclass(frozen=True)
class PaymentRequest:
    """A request. A field that cannot be read is None, and ``problems`` contains the reason."""

    transaction_id: str
    # The same text for every spelling of the same request, such as 150, 150.0, or the default currency.
    canonical: str
    amount: Money | None
    payment_method: str | None
    customer_id: str | None
    problems: tuple[str, ...]

    def compute_fingerprint(self, salt: str | None) -> str:
        """Return the hash that identifies a repeated request, as 64 hexadecimal digits.

        Amount, customer and method have few possible values, so a plain hash could be reversed by trying all of them.
        The hash is keyed with ``salt``, which is random for each payment. Both stay in the encrypted table of payments,
        and no name, log, message or state contains them. ``salt`` is None for a payment of a release without salts.
        """
        content = self.canonical.encode("utf-8", "surrogatepass")
        if salt is None:
            return hashlib.sha256(content).hexdigest()
        return hmac.new(bytes.fromhex(salt), content, hashlib.sha256).hexdigest()


def is_transaction_id(value: object) -> TypeGuard[str]:
    """Whether ``value`` may appear in logs, names and messages; anything else may be payment data."""
    return isinstance(value, str) and TRANSACTION_ID.fullmatch(value) is not None and not CARD_NUMBER.search(value)


def read_request(raw: object) -> PaymentRequest:
    """Read a request. Raises ``MalformedRequest`` if it has no valid id to record anything under."""
    if not isinstance(raw, Mapping):
        raise MalformedRequest("the request must be an object")
    transaction_id = raw.get("transaction_id")
    if not is_transaction_id(transaction_id):
        raise MalformedRequest(
            "transaction_id must have 1 to 64 letters, digits and . _ : -, begin with a letter or digit, "
            "and not look like a card number"
        )
    problems = []
    unknown = len(set(raw) - FIELDS)
    if unknown:
        # Counted and not named, because a name may be payment data.
        problems.append(f"{unknown} unknown field{'s' if unknown > 1 else ''}")

    amount = None
    currency = raw.get("currency", DEFAULT_CURRENCY)
    if not isinstance(currency, str) or not _CURRENCY.fullmatch(currency):
        problems.append("currency must be a three-letter ISO 4217 code")
    else:
        try:
            amount = Money.parse(raw.get("payment_amount"), currency)
        except NotAnAmount as reason:
            problems.append(str(reason))
    payment_method = raw.get("payment_method")
    if not isinstance(payment_method, str) or payment_method not in PAYMENT_METHODS:
        problems.append("payment_method must be one of " + ", ".join(sorted(PAYMENT_METHODS)))
        payment_method = None
    customer_id = raw.get("customer_id")
    if not isinstance(customer_id, str) or not _CUSTOMER_ID.fullmatch(customer_id):
        problems.append("customer_id must have 1 to 128 letters, digits and . _ : @ -")
        customer_id = None
    return PaymentRequest(
        transaction_id, _write_canonical_text(raw, amount), amount, payment_method, customer_id, tuple(problems)
    )


def _write_canonical_text(raw: Mapping[str, object], amount: Money | None) -> str:
    content = dict(raw)
    if amount is not None:
        content["payment_amount"], content["currency"] = amount.minor_units, amount.currency
    try:
        return json.dumps(content, sort_keys=True, separators=(",", ":"))
    except RecursionError:
        raise MalformedRequest("the request is nested too deeply") from None
