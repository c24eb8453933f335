"""A small Stripe over real HTTP that follows its published rules where localstripe does not.

Idempotency keys (https://docs.stripe.com/api/idempotent_requests): the same key and parameters give the saved answer,
even a 500; other parameters are an error; a key that is in use is a 409; what was never executed (401, 429) is not
saved (https://docs.stripe.com/error-low-level).

PaymentIntents (https://docs.stripe.com/payments/paymentintents/lifecycle): one without a payment method is
``requires_payment_method``, and is so again after a decline, then with ``last_payment_error``. Canceling is refused for
one that has succeeded or is canceled already (https://docs.stripe.com/api/payment_intents/cancel).

Refunds (https://docs.stripe.com/refunds): without an amount one gives back what is left; several may be made until
nothing is; one that failed or was canceled gives nothing back. Some stay ``pending`` first, and change by themselves.

A test says how the next call of an endpoint goes wrong, before or after it took effect.
"""

import json
import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from tests.payments import loopback

Answer = tuple[int, dict[str, Any]]

# What every error says, which may repeat what was asked for.
MESSAGE = "with MARKED parameters"


class Stripe:
    """The state.

    ``faults`` by endpoint: unauthorized, rate_limit, error_before or _after, drop_before or _after, slow; of a
    confirmation also decline and action, and of a cancellation confirmed_before. The answer to any is lost with
    ``_then_drop``.
    """

    def __init__(self) -> None:
        self.api_key = "sk_test_x"
        # The newest is the first, as Stripe lists them; a customer who is not named has one.
        self.cards: dict[str, list[str]] = {"cus_without": []}
        self.intents: dict[str, dict[str, Any]] = {}
        self.refunds: list[dict[str, Any]] = []
        # What a refund is when it is made.
        self.refund_status = "succeeded"
        self.canceling_clears_errors = False
        self.requests = 0
        self.faults: dict[str, list[str]] = {}
        self.slow_seconds = 0.0
        self._saved: dict[str, tuple[str, Answer]] = {}
        self._in_use: set[str] = set()
        self._lock = threading.Lock()

    @property
    def money_moved(self) -> int:
        charged = sum(intent["amount"] for intent in self.intents.values() if intent["status"] == "succeeded")
        return charged - sum(self._refunded(reference) for reference in self.intents)

    def forget_keys(self) -> None:
        """As Stripe does when they are 24 hours old."""
        self._saved.clear()

    def refund_by_hand(self, reference: str, **fields: Any) -> dict[str, Any]:
        """A refund as the Dashboard makes it: without our metadata."""
        refund = {
            "id": f"re_{len(self.refunds) + 1}",
            "object": "refund",
            "amount": self.intents[reference]["amount"] - self._refunded(reference),
            "status": self.refund_status,
            "payment_intent": reference,
            "metadata": {},
        } | fields
        self.refunds.append(refund)
        return refund

    def _refunded(self, reference: str) -> int:
        made = (refund for refund in self.refunds if refund["payment_intent"] == reference)
        return sum(refund["amount"] for refund in made if refund["status"] not in ("failed", "canceled"))

    def handle(self, method: str, path: str, params: dict[str, str], key: str | None, api_key: str) -> Answer | None:
        """The answer, or None to drop the connection."""
        if api_key != self.api_key:
            return 401, problem("invalid_request_error", None)
        parts = path.split("/")[2:]
        endpoint = f"{method} {parts[0]}/{parts[2]}" if len(parts) > 2 else f"{method} {parts[0]}"
        with self._lock:
            self.requests += 1
            fault = self.faults[endpoint].pop(0) if self.faults.get(endpoint) else ""
            fault, lost = fault.removesuffix("_then_drop"), fault.endswith(("_then_drop", "drop_after"))
            if key in self._in_use:
                return 409, problem("idempotency_error", "idempotency_key_in_use")
            if key in self._saved:
                asked, answer = self._saved[key]
                if asked != json.dumps([path, params], sort_keys=True):
                    return 400, problem("idempotency_error", None)
                return answer
            if fault == "unauthorized":
                return 401, problem("invalid_request_error", None)
            if fault == "rate_limit":
                return 429, problem("invalid_request_error", "rate_limit")
            if key:
                self._in_use.add(key)
        try:
            if fault == "drop_before":
                return None
            if fault == "slow":
                time.sleep(self.slow_seconds)
            with self._lock:
                answer = (
                    (500, problem("api_error", None))
                    if fault == "error_before"
                    else self._execute(method, path, params, fault)
                )
                if fault == "error_after":
                    answer = 500, problem("api_error", None)
                if key:
                    self._saved[key] = json.dumps([path, params], sort_keys=True), answer
            return None if lost else answer
        finally:
            self._in_use.discard(key or "")

    def _execute(self, method: str, path: str, params: dict[str, str], fault: str) -> Answer:
        parts = path.strip("/").split("/")[1:]
        if len(parts) > 1 and parts[0] == "payment_intents" and parts[1] not in (*self.intents, "search"):
            return 404, problem("invalid_request_error", "resource_missing")
        match [method, *parts]:
            case ["GET", "payment_methods"]:
                cards = self.cards.get(params["customer"], ["pm_card"])[: int(params["limit"])]
                return 200, listed([{"id": card, "object": "payment_method"} for card in cards])
            case ["POST", "payment_intents"]:
                card = params.get("payment_method")
                intent = {
                    "id": f"pi_{len(self.intents) + 1}",
                    "object": "payment_intent",
                    "amount": int(params["amount"]),
                    "customer": params["customer"],
                    "currency": params["currency"],
                    "status": "requires_confirmation" if card else "requires_payment_method",
                    "payment_method": card,
                    "last_payment_error": None,
                    "metadata": _metadata(params),
                }
                self.intents[str(intent["id"])] = intent
                return 200, dict(intent)
            case ["POST", "payment_intents", intent_id, "confirm"]:
                return self._confirm(self.intents[intent_id], params.get("payment_method"), fault)
            case ["POST", "payment_intents", intent_id, "cancel"]:
                intent = self.intents[intent_id]
                if fault == "confirmed_before":
                    intent["status"] = "succeeded"
                if intent["status"] in ("succeeded", "canceled"):
                    return 400, problem("invalid_request_error", "payment_intent_unexpected_state")
                intent["status"] = "canceled"
                if self.canceling_clears_errors:
                    intent["last_payment_error"] = None
                return 200, dict(intent)
            case ["GET", "payment_intents", "search"]:
                wanted = dict(re.findall(r"metadata\['(\w+)'\]:'([^']+)'", params["query"]))
                found = [i for i in self.intents.values() if wanted.items() <= i["metadata"].items()]
                return 200, listed([i for i in found if i["status"] == "succeeded"]) | {"object": "search_result"}
            case ["GET", "payment_intents"]:
                of_customer = [i for i in self.intents.values() if i["customer"] == params["customer"]]
                return 200, listed([dict(intent) for intent in reversed(of_customer)])
            case ["GET", "payment_intents", intent_id]:
                return 200, dict(self.intents[intent_id])
            case ["POST", "refunds"]:
                reference = params["payment_intent"]
                if reference not in self.intents:
                    return 404, problem("invalid_request_error", "resource_missing")
                if self._refunded(reference) == self.intents[reference]["amount"]:
                    return 400, problem("invalid_request_error", "charge_already_refunded")
                metadata = _metadata(params)
                return 200, dict(self.refund_by_hand(reference, metadata=metadata))
            case ["GET", "refunds"]:
                made = [refund for refund in self.refunds if refund["payment_intent"] == params["payment_intent"]]
                return 200, listed(made[::-1][: int(params["limit"])])  # the newest first
            case ["GET", "refunds", refund_id]:
                return 200, dict(next(refund for refund in self.refunds if refund["id"] == refund_id))
        return 404, problem("invalid_request_error", "resource_missing")

    def _confirm(self, intent: dict[str, Any], card: str | None, fault: str) -> Answer:
        card = card or intent["payment_method"]
        if intent["status"] not in ("requires_payment_method", "requires_confirmation") or card is None:
            return 400, problem("invalid_request_error", "payment_intent_unexpected_state")
        intent["payment_method"] = card
        if fault == "decline":
            # The card is taken off the intent again.
            intent["status"], intent["payment_method"] = "requires_payment_method", None
            intent["last_payment_error"] = {"code": "card_declined", "type": "card_error"}
            return 402, problem("card_error", "card_declined")
        intent["status"] = "requires_action" if fault == "action" else "succeeded"
        return 200, dict(intent)


def _metadata(params: dict[str, str]) -> dict[str, str]:
    return {name[9:-1]: value for name, value in params.items() if name.startswith("metadata[")}


def problem(kind: str, code: str | None) -> dict[str, Any]:
    return {"error": {"type": kind, "code": code, "message": MESSAGE}}


def listed(data: list[Any]) -> dict[str, Any]:
    return {"object": "list", "data": data, "has_more": False, "url": "/"}


@contextmanager
def serving(stripe: Stripe) -> Iterator[str]:
    """The URL of a server on a free port of this machine."""

    class Handler(loopback.JsonHandler):
        def _serve(self) -> None:
            url = urlsplit(self.path)
            body = self.body()
            params = dict(parse_qsl(body if self.command == "POST" else url.query))
            api_key = self.headers["Authorization"].removeprefix("Bearer ")
            self.answer(stripe.handle(self.command, url.path, params, self.headers.get("Idempotency-Key"), api_key))

        do_GET = do_POST = _serve

    with loopback.serving(Handler) as url:
        yield url
