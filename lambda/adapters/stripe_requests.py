"""Stripe's requests for one payment: their forms, their idempotency keys, and the meaning of their errors.

For 24 hours Stripe v1 answers a repeated idempotency key with its first answer, even with a 500 or a 400
(https://docs.stripe.com/api/idempotent_requests). Repeating a failed creation under its key would fail for a day, and
under a new key it could create a second time. So a payment has a chain of keys for its intents, ``...-intent``,
``...-intent-2``, and so on, and another for its refunds. ``create_once`` follows a chain by one rule: after an error
whose effect is unknown it lists what exists of the payment, and uses what it finds. It continues with the next key only
if

- the list contains nothing of the payment;
- the key is used up: the error is a replay, which Stripe marks with the header ``Idempotent-Replayed: true``
  (https://docs.stripe.com/error-low-level), or says that the key was used with other parameters; and
- a second creation is safe even if the first takes effect after all: creating an intent moves no money, and refunds
  cannot exceed the charge (``charge_already_refunded``, https://docs.stripe.com/error-codes).

An error that is not a replay ends the call, because what it created may appear later. The next call gets the replay and
continues.

The confirmation has one key for the payment, whichever intent it confirms, and no chain, because only it moves money.
"""

import itertools
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import stripe
from payments.ports import Charge

from adapters.stripe_http import Connections, Deadline, DeadlineClient

ADDRESS = "https://api.stripe.com"

# The greatest age of an intent of a payment whose key is not expired. The first claim is the first use of the key.
_INTENT_SECONDS = 2 * 24 * 60 * 60
# https://docs.stripe.com/api/pagination
_PAGE, _PAGES = 100, 10

# The field of an intent's metadata with the number of the payment's key that it was created under.
_GENERATION = "generation"

Created = TypeVar("Created")


@dataclass(frozen=True)
class Form:
    """The parameters of requests that do not depend on the payment."""

    intent: dict[str, Any]
    confirmation: dict[str, Any]


# By the version that is recorded with a payment's first claim. Stripe rejects a key with other parameters than it was
# first used with, so a row never changes. A change of the requests is a new row.
FORMS = {
    1: Form(intent={"payment_method_types": ["card"]}, confirmation={}),
    2: Form(
        intent={"payment_method_types": ["card"]},
        # The customer is not present to authenticate. https://docs.stripe.com/payments/save-and-reuse#charge-saved-payment-method
        confirmation={"off_session": True},
    ),
}
# The version for the first claim of a payment.
PRESENT_FORM = max(FORMS)

# The errors that every repetition would get, by code and, if needed, parameter, with the reason to decline the payment.
# https://docs.stripe.com/error-codes
_CERTAIN_FAILURES = {
    ("resource_missing", "customer"): "customer_not_found",
    ("amount_too_small", None): "amount_too_small",
    ("amount_too_large", None): "amount_too_large",
    ("invalid_charge_amount", None): "invalid_charge_amount",
    # This error has no code. https://docs.stripe.com/currencies
    (None, "currency"): "currency_not_supported",
}


class Requests:
    """The requests of one call of the gateway. Each raises ``stripe.StripeError``."""

    def __init__(
        self, charge: Charge, environment: str, api_key: str, connections: Connections, deadline: Deadline, address: str
    ) -> None:
        self._charge, self._environment = charge, environment
        self._stripe = stripe.StripeClient(
            api_key,
            http_client=DeadlineClient(connections, deadline),
            # The workflow retries, because it counts the attempts.
            max_network_retries=0,
            base_addresses={"api": address},
        ).v1

    def find_newest_card(self) -> str | None:
        params: Any = {"customer": self._charge.customer_id, "type": "card", "limit": 1}
        cards = self._stripe.payment_methods.list(params=params)
        return cards.data[0].id if cards.data else None

    def list_intents(self) -> list[Any]:
        """Return every intent of the payment as it is now; unlike a search, a list is never behind.

        Intents that were canceled under an earlier key of the payment are left out: a redrive ignores them.
        https://docs.stripe.com/search#data-freshness
        """
        since = int(time.time()) - _INTENT_SECONDS
        params = {"customer": self._charge.customer_id, "created": {"gte": since}}
        intents = [
            intent for intent in _list_all(self._stripe.payment_intents.list, params) if self.is_of_payment(intent)
        ]
        return [intent for intent in intents if intent.status != "canceled" or self._is_of_generation(intent)]

    def search_intents(self) -> list[Any]:
        """Return the payment's intents of any age. Each may have changed since, and the newest may be missing.

        https://docs.stripe.com/search#data-freshness
        """
        query = " AND ".join(f"metadata['{name}']:'{value}'" for name, value in self._identity.items())
        intents = self._stripe.payment_intents.search(params={"query": query, "limit": _PAGE}).data
        return [intent for intent in intents if self.is_of_payment(intent)]

    def create_intent(self) -> list[Any]:
        """Create an intent and return it alone, or return all intents that already exist."""
        return self.create_once("intent", self._create_intent, self.list_intents)

    def retrieve_intent(self, intent_id: str) -> Any:
        return self._stripe.payment_intents.retrieve(intent_id)

    def confirm_intent(self, intent_id: str, card: str) -> Any:
        params: Any = {"payment_method": card, **FORMS[self._charge.request_version].confirmation}
        options: Any = {"idempotency_key": self._build_key("confirm")}
        return self._stripe.payment_intents.confirm(intent_id, params=params, options=options)

    def cancel_intent(self, intent_id: str) -> Any:
        return self._stripe.payment_intents.cancel(intent_id)

    def list_refunds(self, reference: str) -> list[Any]:
        """Return every refund of the charge, the newest first, including those made by hand."""
        return _list_all(self._stripe.refunds.list, {"payment_intent": reference})

    def create_refund(self, reference: str, key: str) -> Any:
        """Refund all that is left, since no amount is given. https://docs.stripe.com/api/refunds/create"""
        return self._stripe.refunds.create(
            params={"payment_intent": reference, "metadata": self._metadata}, options={"idempotency_key": key}
        )

    def create_once(self, kind: str, create: Callable[[str], Created], find: Callable[[], Created | None]) -> Created:
        """Return what ``create`` makes under the first unused key of the chain, or what ``find`` finds before that.

        The chain ends at the latest when the time of the call is over, because the next request raises.
        """
        for number in itertools.count(1):
            try:
                return create(self._build_key(kind if number == 1 else f"{kind}-{number}"))
            except stripe.StripeError as error:
                if is_refusal(error):
                    raise
                existing = find()
                if existing:
                    return existing
                if not is_key_used_up(error):
                    raise
        raise AssertionError("a count does not end")

    def is_of_payment(self, resource: Any) -> bool:
        """Whether an intent or a refund was made by the platform for this payment, and not by hand."""
        return all(getattr(resource.metadata, name, None) == value for name, value in self._identity.items())

    def _is_of_generation(self, intent: Any) -> bool:
        return getattr(intent.metadata, _GENERATION, "0") == str(self._charge.generation)

    @property
    def _identity(self) -> dict[str, str]:
        return {"transaction_id": self._charge.transaction_id, "environment": self._environment}

    @property
    def _metadata(self) -> dict[str, str]:
        # None for the first generation, whose keys were used before there was a second one.
        generation = {_GENERATION: str(self._charge.generation)} if self._charge.generation else {}
        return self._identity | generation

    def _build_key(self, request: str) -> str:
        return f"{self._environment}-{self._charge.idempotency_key}-{request}"

    def _create_intent(self, key: str) -> list[Any]:
        params: Any = {
            "amount": self._charge.amount.minor_units,
            "currency": self._charge.amount.currency.lower(),
            "customer": self._charge.customer_id,
            "metadata": self._metadata,
            **FORMS[self._charge.request_version].intent,
        }
        return [self._stripe.payment_intents.create(params=params, options={"idempotency_key": key})]


def is_key_used_up(error: stripe.StripeError) -> bool:
    """Whether Stripe answers every request under the key with this error for as long as it remembers the key.

    https://docs.stripe.com/api/idempotent_requests
    """
    return isinstance(error, stripe.IdempotencyError) or (error.headers or {}).get("Idempotent-Replayed") == "true"


def is_refusal(error: stripe.StripeError) -> bool:
    """Whether Stripe refused this very request, which then had no effect. A replay does not show that.

    https://docs.stripe.com/error-low-level#content-errors
    """
    return 400 <= (error.http_status or 0) < 500 and not is_key_used_up(error)


def read_code(error: stripe.StripeError) -> str:
    """Return the error's code or else its type, never its message, which repeats parameters."""
    return str(error.code or type(error).__name__)


def find_certain_failure(error: stripe.StripeError) -> str | None:
    """Return the decline reason of an error that every repetition of the request would get, else None."""
    if not isinstance(error, stripe.InvalidRequestError):
        return None
    for (code, param), reason in _CERTAIN_FAILURES.items():
        if error.code == code and param in (None, error.param):
            return reason
    return None


def _list_all(list_page: Callable[..., Any], params: dict[str, Any]) -> list[Any]:
    """Return the whole list. Raises if it is longer than a call has time for, since the missing part could matter.

    https://docs.stripe.com/api/pagination
    """
    resources: list[Any] = []
    for _ in range(_PAGES):
        after = {"starting_after": resources[-1].id} if resources else {}
        page = list_page(params={**params, **after, "limit": _PAGE})
        resources += page.data
        if not page.has_more:
            return resources
    raise stripe.StripeError("the list is too long", code="list_too_long")
