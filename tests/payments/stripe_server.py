"""A small Stripe over real HTTP that follows its published rules where localstripe does not.

Idempotency keys (https://docs.stripe.com/api/idempotent_requests): the same key and parameters give the saved answer,
even a 400 or a 500; other parameters are an error; a key that is in use is a 409; what was never executed (401, 429) is
not saved, and a saved answer has the header ``Idempotent-Replayed: true`` (https://docs.stripe.com/error-low-level).

PaymentIntents (https://docs.stripe.com/payments/paymentintents/lifecycle): one without a payment method is
``requires_payment_method``, and is so again after a decline, then with ``last_payment_error``. Where the card asks for
authentication, it waits in ``requires_action``, or, confirmed ``off_session``, is declined with
``authentication_required`` (https://docs.stripe.com/payments/save-and-reuse). An issuer may decline so, too
(https://docs.stripe.com/declines/codes). Canceling is refused for one that has succeeded or is canceled already
(https://docs.stripe.com/api/payment_intents/cancel). Amounts have a minimum, and at most eight digits
(https://docs.stripe.com/currencies#minimum-and-maximum-charge-amounts).

Refunds (https://docs.stripe.com/refunds): without an amount one gives back what is left; several may be made until
nothing is; one that failed or was canceled gives nothing back. Some stay ``pending`` first, and change by themselves.
One that the balance does not cover is refused, with no code
(https://github.com/Automattic/woocommerce-payments/issues/10025).

Lists (https://docs.stripe.com/api/pagination): the newest first, ``limit`` at a time, on from ``starting_after``. What
a search finds may be old (https://docs.stripe.com/search#data-freshness).

A test says how the next call of an endpoint goes wrong, before or after it took effect.
"""

import copy
import json
import re
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from tests.payments import loopback

# The message of every error; Stripe's may repeat parameters.
MESSAGE = "with MARKED parameters"
# The smallest charge in minor units, by supported currency.
MINIMUM = {"usd": 50, "eur": 50, "jpy": 50}
# The names of the requests that tests look at, and let fail.
REQUESTS = {
    "GET payment_methods": "list_cards",
    "POST payment_intents": "create",
    "GET payment_intents": "list_intents",
    "POST payment_intents/confirm": "confirm",
    "POST payment_intents/cancel": "cancel",
    "POST refunds": "refund",
    "GET refunds": "list_refunds",
}
# The pause between two bytes of an answer that trickles.
TRICKLE_SECONDS = 0.02
# The duration of a slow request.
SLOW_SECONDS = 1.0


@dataclass(frozen=True)
class Answer:
    status: int
    body: dict[str, Any]
    is_replayed: bool = False
    # The part that is sent byte by byte: "headers" or "body".
    trickles: str = ""


class Stripe:
    """The state of the server."""

    def __init__(self) -> None:
        self.api_key = "sk_test_x"
        # The newest card first, as Stripe lists them. A customer who is not listed has one card.
        self.cards: dict[str, list[str]] = {"cus_without": []}
        self.unknown_customers = {"cus_unknown"}
        self.intents: dict[str, dict[str, Any]] = {}
        self.refunds: list[dict[str, Any]] = []
        # The status of a new refund.
        self.refund_status = "succeeded"
        # The balance that refunds are paid from, in minor units.
        self.balance = 10**12
        self.maximum = 99_999_999
        self.canceling_clears_errors = False
        # The intents that a search finds, if it is outdated.
        self.searchable: dict[str, dict[str, Any]] | None = None
        self.requests = 0
        # The name of each request, the type of each error that was answered, and the number of connections.
        self.request_names: list[str] = []
        self.errors: list[str] = []
        self.connections = 0
        # How long the server keeps an idle connection.
        self.idle_seconds = 5.0
        # Released for each connection that ends, and for each answer that a client did not wait for.
        self.closed, self.abandoned = threading.Semaphore(0), threading.Semaphore(0)
        self._faults: dict[str, list[str]] = {}
        self._saved: dict[str, tuple[str, Answer]] = {}
        self._late: list[tuple[str, str, dict[str, str]]] = []
        self._in_use: set[str] = set()
        self._lock = threading.Lock()

    @property
    def money_moved(self) -> int:
        charged = sum(intent["amount"] for intent in self.intents.values() if intent["status"] == "succeeded")
        return charged - sum(self._refunded(reference) for reference in self.intents)

    @property
    def keys(self) -> list[str]:
        """The keys with a saved answer, in the order of their first use."""
        return list(self._saved)

    def fail_next(self, **faults: str | list[str]) -> None:
        """Let the next requests of these names fail: one with the fault, or as many as there are faults in a list.

        The faults are unauthorized, rate_limit, refused, error_before and error_after, error_late (which takes effect
        with ``catch_up``), drop_before and drop_after, slow, trickle_headers and trickle_body. A confirmation also has
        decline, soft_decline and action, and a cancellation confirmed_before. With ``_then_drop`` after a fault, the
        answer is lost as well. An empty fault is none.
        """
        assert set(faults) <= set(REQUESTS.values())
        self._faults = {name: [fault] if isinstance(fault, str) else [*fault] for name, fault in faults.items()}

    def forget_keys(self) -> None:
        """Forget all keys, as Stripe does after 24 hours."""
        self._saved.clear()

    def catch_up(self) -> None:
        """Let the requests take effect that had the fault error_late."""
        late, self._late = self._late, []
        for method, path, params in late:
            self._execute(method, path, params, "")

    def fall_behind(self) -> None:
        """Let searches find the intents as they are now, whatever happens to them later."""
        self.searchable = copy.deepcopy(self.intents)

    def add_intents(self, customer: str, count: int) -> None:
        """Add intents of other payments."""
        for _ in range(count):
            self._add_intent({"amount": "100", "customer": customer, "currency": "usd"})

    def refund_by_hand(self, reference: str, **fields: Any) -> dict[str, Any]:
        """Make a refund as in the Dashboard, without our metadata."""
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
        refunds = (refund for refund in self.refunds if refund["payment_intent"] == reference)
        return sum(refund["amount"] for refund in refunds if refund["status"] not in ("failed", "canceled"))

    def handle(self, method: str, path: str, params: dict[str, str], key: str | None, api_key: str) -> Answer | None:
        """Return the answer, or None to drop the connection."""
        if api_key != self.api_key:
            return build_error(401, "invalid_request_error")
        parts = path.split("/")[2:]
        endpoint = f"{method} {parts[0]}/{parts[2]}" if len(parts) > 2 else f"{method} {parts[0]}"
        name = REQUESTS.get(endpoint, endpoint)
        request = json.dumps([path, params], sort_keys=True)
        with self._lock:
            self.requests += 1
            self.request_names.append(name)
            fault = self._faults[name].pop(0) if self._faults.get(name) else ""
            fault, is_answer_lost = fault.removesuffix("_then_drop"), fault.endswith(("_then_drop", "drop_after"))
            if answer := self._answer_unexecuted(request, key, fault):
                return answer
            if key:
                self._in_use.add(key)
        try:
            if fault == "drop_before":
                return None
            if fault == "slow":
                time.sleep(SLOW_SECONDS)
            with self._lock:
                answer = self._answer(method, path, params, fault)
                if key:
                    self._saved[key] = request, answer
            if fault.startswith("trickle_"):
                return replace(answer, trickles=fault.removeprefix("trickle_"))
            return None if is_answer_lost else answer
        finally:
            self._in_use.discard(key or "")

    def _answer_unexecuted(self, request: str, key: str | None, fault: str) -> Answer | None:
        """Return the answer to a request that is refused at once or has a saved answer, else None."""
        if key in self._in_use:
            return build_error(409, "idempotency_error", "idempotency_key_in_use")
        if key in self._saved:
            first_request, answer = self._saved[key]
            is_same = request == first_request
            return replace(answer, is_replayed=True) if is_same else build_error(400, "idempotency_error")
        if fault == "unauthorized":
            return build_error(401, "invalid_request_error")
        return build_error(429, "invalid_request_error", "rate_limit") if fault == "rate_limit" else None

    def _answer(self, method: str, path: str, params: dict[str, str], fault: str) -> Answer:
        match fault:
            case "refused":
                return build_error(400, "invalid_request_error", "parameter_invalid")
            case "error_before":
                return build_error(500, "api_error")
            case "error_late":
                self._late.append((method, path, params))
                return build_error(500, "api_error")
            case "error_after":
                self._execute(method, path, params, fault)
                return build_error(500, "api_error")
        return self._execute(method, path, params, fault)

    def _execute(self, method: str, path: str, params: dict[str, str], fault: str) -> Answer:
        parts = path.strip("/").split("/")[1:]
        if len(parts) > 1 and parts[0] == "payment_intents" and parts[1] not in (*self.intents, "search"):
            return build_error(404, "invalid_request_error", "resource_missing", "intent")
        if params.get("customer") in self.unknown_customers:
            return build_error(400, "invalid_request_error", "resource_missing", "customer")
        match [method, *parts]:
            case ["GET", "payment_methods"]:
                cards = self.cards.get(params["customer"], ["pm_card"])
                return build_page([{"id": card, "object": "payment_method"} for card in cards], params)
            case [_, "payment_intents", *rest_of_path]:
                return self._execute_on_intents([method, *rest_of_path], params, fault)
            case ["POST", "refunds"]:
                return self._create_refund(params)
            case ["GET", "refunds"]:
                refunds = [refund for refund in self.refunds if refund["payment_intent"] == params["payment_intent"]]
                return build_page(refunds[::-1], params)
            case ["GET", "refunds", refund_id]:
                return Answer(200, dict(next(refund for refund in self.refunds if refund["id"] == refund_id)))
        return build_error(404, "invalid_request_error", "resource_missing")

    def _execute_on_intents(self, request: list[str], params: dict[str, str], fault: str) -> Answer:
        match request:
            case ["POST"]:
                return self._create_intent(params)
            case ["POST", intent_id, "confirm"]:
                return self._confirm(self.intents[intent_id], params, fault)
            case ["POST", intent_id, "cancel"]:
                return self._cancel(self.intents[intent_id], fault)
            case ["GET", "search"]:
                return self._search_intents(params)
            case ["GET"]:
                return self._list_intents(params)
            case ["GET", intent_id]:
                return Answer(200, dict(self.intents[intent_id]))
        return build_error(404, "invalid_request_error", "resource_missing")

    def _create_intent(self, params: dict[str, str]) -> Answer:
        amount, minimum = int(params["amount"]), MINIMUM.get(params["currency"])
        if minimum is None:
            return build_error(400, "invalid_request_error", None, "currency")
        if amount < minimum:
            return build_error(400, "invalid_request_error", "amount_too_small", "amount")
        if amount > self.maximum:
            return build_error(400, "invalid_request_error", "amount_too_large", "amount")
        return Answer(200, dict(self._add_intent(params)))

    def _cancel(self, intent: dict[str, Any], fault: str) -> Answer:
        if fault == "confirmed_before":
            intent["status"] = "succeeded"
        if intent["status"] in ("succeeded", "canceled"):
            return build_error(400, "invalid_request_error", "payment_intent_unexpected_state")
        intent["status"] = "canceled"
        if self.canceling_clears_errors:
            intent["last_payment_error"] = None
        return Answer(200, dict(intent))

    def _search_intents(self, params: dict[str, str]) -> Answer:
        metadata_filter = dict(re.findall(r"metadata\['(\w+)'\]:'([^']+)'", params["query"]))
        intents = self.intents if self.searchable is None else self.searchable
        matches = [dict(i) for i in intents.values() if metadata_filter.items() <= i["metadata"].items()]
        return build_page(matches[::-1], params, "search_result")

    def _list_intents(self, params: dict[str, str]) -> Answer:
        since = int(params.get("created[gte]", 0))
        intents = [i for i in self.intents.values() if i["customer"] == params["customer"] and i["created"] >= since]
        return build_page([dict(i) for i in intents[::-1]], params)

    def _create_refund(self, params: dict[str, str]) -> Answer:
        reference = params["payment_intent"]
        if reference not in self.intents:
            return build_error(404, "invalid_request_error", "resource_missing", "payment_intent")
        unrefunded = self.intents[reference]["amount"] - self._refunded(reference)
        if not unrefunded:
            return build_error(400, "invalid_request_error", "charge_already_refunded")
        if self.balance < unrefunded:
            return build_error(400, "invalid_request_error")
        return Answer(200, dict(self.refund_by_hand(reference, metadata=_metadata(params))))

    def _add_intent(self, params: dict[str, str]) -> dict[str, Any]:
        card = params.get("payment_method")
        intent = {
            "id": f"pi_{len(self.intents) + 1}",
            "object": "payment_intent",
            "created": int(time.time()),
            "amount": int(params["amount"]),
            "customer": params["customer"],
            "currency": params["currency"],
            "status": "requires_confirmation" if card else "requires_payment_method",
            "payment_method": card,
            "last_payment_error": None,
            "metadata": _metadata(params),
        }
        self.intents[str(intent["id"])] = intent
        return intent

    def _confirm(self, intent: dict[str, Any], params: dict[str, str], fault: str) -> Answer:
        card = params.get("payment_method") or intent["payment_method"]
        if intent["status"] not in ("requires_payment_method", "requires_confirmation") or card is None:
            return build_error(400, "invalid_request_error", "payment_intent_unexpected_state")
        intent["payment_method"] = card
        is_off_session = params.get("off_session") == "true"
        errors = {
            "decline": {"code": "card_declined"},
            "soft_decline": {"code": "card_declined", "decline_code": "authentication_required"},
            "action": {"code": "authentication_required", "decline_code": "authentication_required"},
        }
        if fault in errors and (fault != "action" or is_off_session):
            # Stripe removes the card from the intent.
            intent["status"], intent["payment_method"] = "requires_payment_method", None
            intent["last_payment_error"] = {"type": "card_error", **errors[fault]}
            return build_error(402, "card_error", **errors[fault])
        intent["status"] = "requires_action" if fault == "action" else "succeeded"
        return Answer(200, dict(intent))


def _metadata(params: dict[str, str]) -> dict[str, str]:
    return {name[9:-1]: value for name, value in params.items() if name.startswith("metadata[")}


def build_error(
    status: int, kind: str, code: str | None = None, param: str | None = None, decline_code: str | None = None
) -> Answer:
    """Return an error with the attributes that are given. https://docs.stripe.com/api/errors"""
    attributes = {"code": code, "param": param, "decline_code": decline_code}
    error = {"type": kind, "message": MESSAGE} | {name: value for name, value in attributes.items() if value}
    return Answer(status, {"error": error})


def build_page(objects: list[dict[str, Any]], params: dict[str, str], kind: str = "list") -> Answer:
    """Return a page of a list. https://docs.stripe.com/api/pagination"""
    if "starting_after" in params:
        objects = objects[1 + [item["id"] for item in objects].index(params["starting_after"]) :]
    limit = int(params.get("limit", 10))
    if not 1 <= limit <= 100:
        return build_error(400, "invalid_request_error", "parameter_invalid_integer", "limit")
    return Answer(200, {"object": kind, "data": objects[:limit], "has_more": len(objects) > limit, "url": "/"})


@contextmanager
def serve_stripe(stripe: Stripe) -> Iterator[str]:
    """Serve until the block ends, and yield the URL."""

    class Handler(loopback.JsonHandler):
        # The server keeps connections, as Stripe does.
        protocol_version = "HTTP/1.1"

        def setup(self) -> None:
            self.timeout = stripe.idle_seconds
            super().setup()
            stripe.connections += 1

        def finish(self) -> None:
            with suppress(OSError):  # the client closed the connection first
                super().finish()
                self.connection.shutdown(socket.SHUT_RDWR)
            stripe.closed.release()

        def _serve(self) -> None:
            url = urlsplit(self.path)
            body = self.read_body()
            params = dict(parse_qsl(body if self.command == "POST" else url.query))
            api_key = self.headers["Authorization"].removeprefix("Bearer ")
            answer = stripe.handle(self.command, url.path, params, self.headers.get("Idempotency-Key"), api_key)
            if answer is None:
                self.close_connection = True
                return
            if "error" in answer.body:
                stripe.errors.append(answer.body["error"]["type"])
            self._send(answer)

        def _send(self, answer: Answer) -> None:
            text = json.dumps(answer.body).encode()
            self.send_response(answer.status)
            self.send_header("Content-Type", self.content_type)
            self.send_header("Content-Length", str(len(text)))
            if answer.is_replayed:
                self.send_header("Idempotent-Replayed", "true")
            slow = 0
            if answer.trickles == "headers":
                slow = sum(map(len, self._headers_buffer))
            self._headers_buffer.append(b"\r\n")
            response = b"".join(self._headers_buffer) + text
            self._headers_buffer.clear()
            try:
                if answer.trickles == "body":
                    self.wfile.write(response[: -len(text)])
                    response, slow = text, len(text)
                for position in range(slow):
                    self.wfile.write(response[position : position + 1])
                    time.sleep(TRICKLE_SECONDS)
                self.wfile.write(response[slow:])
            except OSError:
                self.close_connection = True
                stripe.abandoned.release()

        do_GET = do_POST = _serve

    with loopback.serve_handler(Handler) as url:
        yield url
