"""A payment request as it comes in, made fit to be worked with.

Shape, as in the reference::

    {"transaction_id": "TXN-1", "payment_amount": 150.00, "payment_method": "credit_card",
     "customer_id": "CUST-1", "currency": "USD"}      currency may be left out
"""

import hashlib
import hmac
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass

from .errors import MalformedRequest
from .money import Money, NotAnAmount

DEFAULT_CURRENCY = "USD"
FIELDS = frozenset({"transaction_id", "payment_amount", "payment_method", "customer_id", "currency"})
PAYMENT_METHODS = frozenset({"credit_card", "debit_card", "bank_transfer", "digital_wallet"})

TRANSACTION_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,63}")
# What has the form of a card number, in one piece or in a card's groups, and is no piece of a hexadecimal number. The
# check digit is not asked for: an id of this form is refused always, not one time in ten.
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
    """What could be read. A field that could not be read is None, and ``problems`` says why."""

    transaction_id: str
    # The same text for the same request, however it was spelt: 150, 150.0 and a default currency are one amount.
    canonical: str
    amount: Money | None
    payment_method: str | None
    customer_id: str | None
    problems: tuple[str, ...]

    def compute_fingerprint(self, salt: str | None) -> str:
        """The hash by which a repeated request is recognized: 64 hexadecimal digits.

        Amount, customer and method have few possible values, so a plain hash of them gives the request away to
        whoever tries them all. It is keyed with ``salt``, which differs from payment to payment, and both stay in the
        encrypted table of payments: no name, log, message or state carries them. Payments that were recorded before
        have no salt (None).
        """
        content = self.canonical.encode("utf-8", "surrogatepass")
        if salt is None:
            return hashlib.sha256(content).hexdigest()
        return hmac.new(bytes.fromhex(salt), content, hashlib.sha256).hexdigest()


def is_transaction_id(value: object) -> bool:
    """Whether it can stand as it is in a log, a name and a message; anything else may be payment data."""
    return isinstance(value, str) and TRANSACTION_ID.fullmatch(value) is not None and not CARD_NUMBER.search(value)


def read_request(raw: object) -> PaymentRequest:
    """Read a request; raises ``MalformedRequest`` where there is no id to record anything under."""
    if not isinstance(raw, Mapping):
        raise MalformedRequest("the request must be an object")
    transaction_id = raw.get("transaction_id")
    if not isinstance(transaction_id, str) or not is_transaction_id(transaction_id):
        raise MalformedRequest(
            "transaction_id must have 1 to 64 letters, digits and . _ : -, begin with a letter or digit, "
            "and not look like a card number"
        )
    problems = []
    unknown = len(set(raw) - FIELDS)
    if unknown:
        # Their names may be anything, so they are counted and not repeated.
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
