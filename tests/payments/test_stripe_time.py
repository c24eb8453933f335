"""The time that calls to Stripe take, the connections that they share, and the wire format of another server."""

import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import replace

import pytest
import stripe as library
from adapters import gateway_secret, stripe_gateway, stripe_http
from adapters.stripe_gateway import StripeGateway
from payments.ports import GATEWAY_SECONDS, Charged, NotCharged, Refunded, Unknown

from tests.payments.stripe_cases import AGAIN, CHARGE, Gateway, KnownKey
from tests.payments.stripe_server import TRICKLE_SECONDS, Stripe, serve_stripe


class RequestClock:
    """A clock that advances by ten seconds with every request to Stripe."""

    def __init__(self, stripe: Stripe) -> None:
        self._stripe = stripe

    def __call__(self) -> float:
        return 10.0 * self._stripe.requests


@pytest.fixture
def slow_gateway(stripe: Stripe) -> Iterator[StripeGateway]:
    with serve_stripe(stripe) as url:
        yield StripeGateway(KnownKey("sk_test_x"), "test", url, RequestClock(stripe))


def test_a_call_takes_no_longer_than_the_port_allows() -> None:
    assert stripe_gateway.CALL_SECONDS < GATEWAY_SECONDS
    # After the key is fetched, there is time for the requests of a charge.
    seconds_left = stripe_gateway.CALL_SECONDS - gateway_secret.FETCH_SECONDS
    assert seconds_left >= 4 * stripe_http.REQUEST_SECONDS


def test_a_call_tries_as_many_keys_as_it_has_time_for(stripe: Stripe, slow_gateway: Gateway) -> None:
    """Each of them has a saved error. https://docs.stripe.com/api/idempotent_requests"""
    for attempt in range(9):
        stripe.fail_next(create=[*["of a replay: none"] * attempt, "error_before"])
        slow_gateway.charge(replace(CHARGE, attempt=attempt + 1))
    stripe.requests = 0
    assert slow_gateway.charge(CHARGE) == NotCharged("APIConnectionError")
    assert stripe.requests == 5
    assert stripe.money_moved == 0


@pytest.mark.parametrize("call", ["lookup", "refund"])
def test_no_call_begins_a_request_after_its_time(stripe: Stripe, slow_gateway: Gateway, call: str) -> None:
    assert slow_gateway.charge(CHARGE) == Charged("pi_1")
    stripe.intents["pi_1"]["status"] = "requires_payment_method"
    stripe.add_intents("cus_1", 600)
    for _ in range(600):
        stripe.refund_by_hand("pi_1", amount=1)
    stripe.fail_next(refund="drop_before")
    stripe.requests = 0
    outcome = slow_gateway.lookup(CHARGE) if call == "lookup" else slow_gateway.refund(CHARGE, "pi_1")
    assert outcome == Unknown("APIConnectionError")
    assert stripe.requests == 5


def test_no_confirmation_is_sent_without_time_for_its_answer(stripe: Stripe, slow_gateway: Gateway) -> None:
    """Otherwise the answer would be lost, and the outcome unknown."""
    stripe.add_intents("cus_1", 250)
    assert slow_gateway.charge(AGAIN) == NotCharged("no_time_left")
    assert "confirm" not in stripe.request_names


@pytest.mark.parametrize("part", ["headers", "body"])
@pytest.mark.parametrize(
    ("request_name", "outcome", "looked_up"),
    [
        ("list_cards", NotCharged("APIConnectionError"), NotCharged("canceled")),
        ("create", Charged("pi_1"), Charged("pi_1")),
        ("confirm", Unknown("APIConnectionError"), Charged("pi_1")),
    ],
)
def test_an_answer_that_trickles_is_lost(
    stripe: Stripe,
    gateway: Gateway,
    monkeypatch: pytest.MonkeyPatch,
    part: str,
    request_name: str,
    outcome: object,
    looked_up: object,
) -> None:
    """Each byte arrives soon, but all of them together take too long."""
    monkeypatch.setattr(stripe_http, "REQUEST_SECONDS", 20 * TRICKLE_SECONDS)
    assert gateway.charge_with(**{request_name: f"trickle_{part}"}) == outcome
    # The client has closed the connection, and none of its threads still waits.
    assert stripe.abandoned.acquire(timeout=30)
    for thread in threading.enumerate():
        if thread.name == "stripe-request":
            thread.join(30)
            assert not thread.is_alive()
    assert gateway.lookup(CHARGE) == looked_up


def test_an_answer_that_does_not_come_is_lost(
    stripe: Stripe, gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    stripe.fail_next(confirm="slow")
    monkeypatch.setattr(stripe_http, "REQUEST_SECONDS", 0.2)
    assert gateway.charge(CHARGE) == Unknown("APIConnectionError")
    while stripe.money_moved == 0:
        time.sleep(0.05)
    assert gateway.lookup(CHARGE) == Charged("pi_1")
    assert stripe.money_moved == 15000


def test_requests_share_a_connection(stripe: Stripe, gateway: Gateway) -> None:
    """A handshake for each request would make the customer wait."""
    gateway.charge(CHARGE)
    gateway.lookup(CHARGE)
    gateway.refund(CHARGE, "pi_1")
    assert stripe.requests > 4
    assert stripe.connections == 1


def test_a_connection_that_stripe_closed_is_not_used(stripe: Stripe, gateway: Gateway) -> None:
    """Otherwise the first request after a pause would be lost."""
    stripe.idle_seconds = 0.2
    assert gateway.charge(CHARGE) == Charged("pi_1")
    assert stripe.closed.acquire(timeout=30)
    assert gateway.charge(AGAIN) == Charged("pi_1")
    assert stripe.connections == 2


def test_a_connection_that_was_idle_for_long_is_not_used(
    stripe: Stripe, gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may have been closed while the execution environment was frozen."""
    gateway.charge(CHARGE)
    monkeypatch.setattr(stripe_http, "IDLE_SECONDS", 0)
    gateway.lookup(CHARGE)
    assert stripe.connections == 2


def test_an_unreachable_stripe_charges_nothing() -> None:
    gateway = StripeGateway(KnownKey("sk_test_x"), "test", "http://127.0.0.1:1")
    assert gateway.charge(CHARGE) == NotCharged("APIConnectionError")
    assert gateway.lookup(CHARGE) == gateway.refund(CHARGE, "pi_1") == Unknown("APIConnectionError")


def test_the_gateway_speaks_the_wire_format_of_localstripe(tmp_path) -> None:
    """An independent reading of Stripe's API; it ignores idempotency keys and declines nothing."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    # Its command listens on every interface, and its confirmation takes no payment method; both are mended here.
    serve = f"""
from aiohttp import web
from localstripe import resources
known = resources.PaymentIntent._api_confirm
def confirm(id, payment_method=None, off_session=None):
    resources.PaymentIntent._api_retrieve(id).payment_method = payment_method
    return known(id)
resources.extra_apis[:] = [(*route, confirm if call == known else call) for *route, call in resources.extra_apis]
from localstripe.server import app
web.run_app(app, host="127.0.0.1", port={port})
"""
    server = subprocess.Popen(
        [sys.executable, "-c", serve],
        cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env={"HOME": str(tmp_path)},
    )  # fmt: skip
    try:
        for _ in range(100):
            try:
                urllib.request.urlopen(f"{url}/js.stripe.com/v3/", timeout=1)  # noqa: S310 - loopback
                break
            except OSError:
                time.sleep(0.1)
        client = library.StripeClient("sk_test_12345", base_addresses={"api": url}).v1
        customer = client.customers.create()
        card = {"number": "4242424242424242", "exp_month": 12, "exp_year": 2040, "cvc": "123"}
        method = client.payment_methods.create(params={"type": "card", "card": card})  # type: ignore[typeddict-item]
        client.payment_methods.attach(method.id, params={"customer": customer.id})
        gateway = StripeGateway(KnownKey("sk_test_12345"), "test", url)
        charged = gateway.charge(replace(CHARGE, customer_id=customer.id))
        assert isinstance(charged, Charged)
        assert client.payment_intents.retrieve(charged.reference).amount == 15000
        assert isinstance(gateway.refund(CHARGE, charged.reference), Refunded)
    finally:
        server.kill()
        server.wait()
