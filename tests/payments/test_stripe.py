"""The Stripe adapter over real HTTP: its outcomes for everything that Stripe and the network may do."""

import logging
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

import pytest
import stripe as library
from adapters import gateway_secret, stripe_gateway
from adapters.stripe_gateway import StripeGateway
from payments.money import Money
from payments.ports import (
    GATEWAY_SECONDS,
    Charge,
    Charged,
    Declined,
    NotCharged,
    NotRefunded,
    Refunded,
    Unknown,
)

from tests.payments.stripe_server import Stripe, serving

CHARGE = Charge("payment-T-1", "T-1", Money(15000, "USD"), "credit_card", "cus_1", 1)
EXPIRED = replace(CHARGE, key_expired=True)
CREATE, CONFIRM, CANCEL = "POST payment_intents", "POST payment_intents/confirm", "POST payment_intents/cancel"


@dataclass
class KnownKey:
    """In the place of ``gateway_secret.Secret``, which has its own tests."""

    key: str

    def api_key(self) -> str:
        return self.key

    def refused(self) -> None:
        pass


@pytest.fixture
def stripe() -> Stripe:
    return Stripe()


@pytest.fixture
def gateway(stripe: Stripe) -> Iterator[StripeGateway]:
    with serving(stripe) as url:
        yield StripeGateway(KnownKey("sk_test_x"), "test", url)


def test_charged_once_however_often_it_is_asked(stripe: Stripe, gateway: StripeGateway) -> None:
    first = gateway.charge(CHARGE)
    assert first == Charged("pi_1")
    assert gateway.charge(replace(CHARGE, attempt=2)) == first
    assert gateway.lookup(CHARGE) == first
    assert stripe.money_moved == 15000


@pytest.mark.parametrize("fault", ["rate_limit", "error_before", "error_after", "drop_before", "drop_after"])
def test_nothing_before_the_confirmation_can_have_charged(stripe: Stripe, gateway: StripeGateway, fault: str) -> None:
    stripe.faults = {CREATE: [fault]}
    assert isinstance(gateway.charge(CHARGE), NotCharged)
    assert stripe.money_moved == 0
    # A saved 500 stays for the life of the key: then a lookup cannot tell, and nothing is charged.
    again = gateway.charge(CHARGE)
    assert again == (NotCharged("APIError") if fault.startswith("error") else Charged("pi_1"))


@pytest.mark.parametrize(
    ("fault", "outcome", "looked_up"),
    [
        ("decline", Declined("card_declined"), Declined("card_declined")),
        ("action", Declined("authentication_required"), NotCharged("canceled")),
        ("rate_limit", NotCharged("RateLimitError"), NotCharged("canceled")),
        ("error_before", Unknown("APIError"), NotCharged("canceled")),
        ("error_after", Unknown("APIError"), Charged("pi_1")),
        ("drop_before", Unknown("APIConnectionError"), NotCharged("canceled")),
        ("drop_after", Unknown("APIConnectionError"), Charged("pi_1")),
    ],
)
def test_what_a_confirmation_came_to(
    stripe: Stripe, gateway: StripeGateway, fault: str, outcome: object, looked_up: object
) -> None:
    stripe.faults = {CONFIRM: [fault]}
    assert gateway.charge(CHARGE) == outcome
    assert gateway.lookup(CHARGE) == looked_up
    assert stripe.money_moved == (15000 if isinstance(looked_up, Charged) else 0)
    # Whatever comes after the lookup, the money moves no more.
    gateway.charge(CHARGE)
    assert stripe.money_moved == (15000 if isinstance(looked_up, Charged) else 0)


@pytest.mark.parametrize("call", ["charge", "lookup"])
def test_a_charge_under_keys_that_stripe_does_not_know_any_more_is_found(
    stripe: Stripe, gateway: StripeGateway, call: str
) -> None:
    """As they might be unknown to another API key: seen to charge again, and to say "not charged", without the list."""
    stripe.faults = {CONFIRM: ["drop_after"]}
    assert gateway.charge(CHARGE) == Unknown("APIConnectionError")
    stripe.forget_keys()
    if call == "charge":
        assert gateway.charge(replace(CHARGE, attempt=2)) == Unknown("another_intent")
    assert gateway.lookup(CHARGE) == Charged("pi_1")
    assert stripe.money_moved == 15000


def test_two_environments_on_one_account_do_not_meet(stripe: Stripe, gateway: StripeGateway) -> None:
    """The same transaction id in both: seen to answer with the other's charge, and to cancel it."""
    with serving(stripe) as url:
        other = StripeGateway(KnownKey("sk_test_x"), "other", url)
        assert gateway.charge(CHARGE) == Charged("pi_1")
        assert other.lookup(EXPIRED) == Unknown("the idempotency key is forgotten")
        assert other.charge(replace(CHARGE, attempt=2)) == Charged("pi_2")
        assert other.lookup(CHARGE) == Charged("pi_2")


def test_a_second_intent_is_ended_before_not_charged_is_said(stripe: Stripe, gateway: StripeGateway) -> None:
    stripe.faults = {CONFIRM: ["drop_before"]}
    gateway.charge(CHARGE)
    stripe.forget_keys()
    assert gateway.lookup(CHARGE) == Unknown("another_intent")
    assert gateway.lookup(CHARGE) == NotCharged("canceled")
    assert {intent["status"] for intent in stripe.intents.values()} == {"canceled"}
    assert len(stripe.intents) == 2


def test_a_lookup_makes_not_charged_final(stripe: Stripe, gateway: StripeGateway) -> None:
    assert gateway.lookup(CHARGE) == NotCharged("canceled")
    assert not isinstance(gateway.charge(CHARGE), Charged)
    assert stripe.money_moved == 0


def test_an_answer_that_is_too_slow_is_unknown(
    stripe: Stripe, gateway: StripeGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    stripe.faults, stripe.slow_seconds = {CONFIRM: ["slow"]}, 1.0
    monkeypatch.setattr(stripe_gateway, "READ_SECONDS", 0.2)
    with serving(stripe) as url:
        assert StripeGateway(KnownKey("sk_test_x"), "test", url).charge(CHARGE) == Unknown("APIConnectionError")
    time.sleep(1.2)
    assert gateway.lookup(CHARGE) == Charged("pi_1")
    assert stripe.money_moved == 15000


def test_the_same_charge_at_the_same_time_is_charged_once(stripe: Stripe, gateway: StripeGateway) -> None:
    stripe.faults, stripe.slow_seconds = {CONFIRM: ["slow"]}, 0.5
    with ThreadPoolExecutor(2) as pool:
        outcomes = list(pool.map(lambda attempt: gateway.charge(replace(CHARGE, attempt=attempt)), (1, 2)))
    assert Charged("pi_1") in outcomes
    # A key in use says nothing of what is being done under it.
    assert all(isinstance(outcome, Charged | Unknown | NotCharged) for outcome in outcomes)
    assert stripe.money_moved == 15000


def test_the_same_key_for_another_amount_is_not_charged(stripe: Stripe, gateway: StripeGateway) -> None:
    gateway.charge(CHARGE)
    assert isinstance(gateway.charge(replace(CHARGE, amount=Money(1, "USD"))), NotCharged)
    assert stripe.money_moved == 15000


def test_what_stripe_cannot_charge(stripe: Stripe, gateway: StripeGateway) -> None:
    assert gateway.charge(replace(CHARGE, payment_method="bank_transfer")) == Declined("payment_method_not_supported")
    assert gateway.charge(replace(CHARGE, customer_id="cus_without")) == Declined("no_payment_method")
    assert stripe.intents == {}


# Cards


def test_a_card_added_between_two_attempts_is_charged(stripe: Stripe, gateway: StripeGateway) -> None:
    stripe.faults = {CONFIRM: ["rate_limit"]}
    assert gateway.charge(CHARGE) == NotCharged("RateLimitError")
    stripe.cards["cus_1"] = ["pm_new", "pm_card"]
    assert gateway.charge(replace(CHARGE, attempt=2)) == Charged("pi_1")
    assert stripe.intents["pi_1"]["payment_method"] == "pm_new"
    assert stripe.money_moved == 15000


@pytest.mark.parametrize(
    ("fault", "again", "looked_up"),
    [
        ("drop_after", Charged("pi_1"), Charged("pi_1")),
        # Left open: no attempt can confirm it any more, and a lookup ends it.
        ("decline_then_drop", Unknown("requires_payment_method"), Declined("card_declined")),
        ("error_before", Unknown("requires_payment_method"), NotCharged("canceled")),
        ("action_then_drop", Unknown("requires_action"), Declined("authentication_required")),
    ],
)
def test_a_card_added_after_a_lost_answer_is_not_charged_again(
    stripe: Stripe, gateway: StripeGateway, fault: str, again: object, looked_up: object
) -> None:
    stripe.faults = {CONFIRM: [fault]}
    assert isinstance(gateway.charge(CHARGE), Unknown)
    stripe.cards["cus_1"] = ["pm_new", "pm_card"]
    assert gateway.charge(replace(CHARGE, attempt=2)) == again
    assert gateway.lookup(CHARGE) == looked_up
    assert stripe.intents["pi_1"]["status"] == ("succeeded" if isinstance(again, Charged) else "canceled")
    assert stripe.money_moved == (15000 if isinstance(again, Charged) else 0)


def test_what_a_canceled_intent_came_to_is_left_to_a_lookup(stripe: Stripe, gateway: StripeGateway) -> None:
    """``NotCharged`` of a charge would be tried again, in vain: the key is used up with the other card."""
    stripe.faults = {CONFIRM: ["error_before"]}
    gateway.charge(CHARGE)
    assert gateway.lookup(CHARGE) == NotCharged("canceled")
    stripe.cards["cus_1"] = ["pm_new", "pm_card"]
    assert gateway.charge(replace(CHARGE, attempt=2)) == Unknown("canceled")


@pytest.mark.parametrize(
    ("fault", "outcome"),
    [
        ("drop_after", Charged("pi_1")),
        ("decline_then_drop", Declined("card_declined")),
        ("action_then_drop", Declined("authentication_required")),
        ("drop_before", NotCharged("canceled")),
    ],
)
def test_a_lookup_needs_no_card(stripe: Stripe, gateway: StripeGateway, fault: str, outcome: object) -> None:
    stripe.faults = {CONFIRM: [fault]}
    gateway.charge(CHARGE)
    stripe.cards["cus_1"] = []
    assert gateway.lookup(CHARGE) == outcome
    assert stripe.intents["pi_1"]["status"] == ("succeeded" if isinstance(outcome, Charged) else "canceled")


@pytest.mark.parametrize(
    ("fault", "outcome"),
    [
        ("drop_after", Charged("pi_1")),
        ("decline_then_drop", Declined("card_declined")),
        ("rate_limit", Declined("no_payment_method")),
    ],
)
def test_a_card_that_is_gone_says_nothing_of_an_earlier_attempt(
    stripe: Stripe, gateway: StripeGateway, fault: str, outcome: object
) -> None:
    stripe.faults = {CONFIRM: [fault]}
    gateway.charge(CHARGE)
    stripe.cards["cus_1"] = []
    assert gateway.charge(replace(CHARGE, attempt=2)) == outcome
    # A decline is final, whatever cards come later.
    stripe.cards["cus_1"] = ["pm_new"]
    gateway.charge(replace(CHARGE, attempt=3))
    assert stripe.money_moved == (15000 if isinstance(outcome, Charged) else 0)


def test_the_card_is_gone_and_stripe_does_not_answer(stripe: Stripe, gateway: StripeGateway) -> None:
    stripe.cards["cus_1"] = []
    stripe.faults = {CREATE: ["drop_before"]}
    assert gateway.charge(replace(CHARGE, attempt=2)) == Unknown("APIConnectionError")


# Declines


@pytest.mark.parametrize("fault", ["", "drop_before", "drop_after", "error_before"])
def test_a_decline_stands_and_its_intent_is_closed(stripe: Stripe, gateway: StripeGateway, fault: str) -> None:
    """Stripe would let anybody confirm it with another card, whoever has its id or its client secret."""
    stripe.faults = {CONFIRM: ["decline"], CANCEL: [fault]}
    assert gateway.charge(CHARGE) == Declined("card_declined")
    closed = fault in ("", "drop_after")
    assert stripe.intents["pi_1"]["status"] == ("canceled" if closed else "requires_payment_method")
    # The second try is answered as the first was, and closes what is still open.
    assert gateway.charge(replace(CHARGE, attempt=2)) == Declined("card_declined")
    assert stripe.intents["pi_1"]["status"] == "canceled"


def test_a_decline_is_told_though_canceling_clears_it(stripe: Stripe, gateway: StripeGateway) -> None:
    """Stripe's reference does not say whether it does."""
    stripe.canceling_clears_errors = True
    stripe.faults = {CONFIRM: ["decline_then_drop"]}
    assert gateway.charge(CHARGE) == Unknown("APIConnectionError")
    assert gateway.lookup(CHARGE) == Declined("card_declined")


def test_a_decline_without_a_code(stripe: Stripe, gateway: StripeGateway) -> None:
    stripe.faults = {CONFIRM: ["decline_then_drop"]}
    gateway.charge(CHARGE)
    del stripe.intents["pi_1"]["last_payment_error"]["code"]
    assert gateway.lookup(CHARGE) == Declined("card_declined")


def test_a_charge_that_comes_while_a_lookup_cancels_is_found(stripe: Stripe, gateway: StripeGateway) -> None:
    stripe.faults = {CONFIRM: ["drop_before"], CANCEL: ["confirmed_before"]}
    gateway.charge(CHARGE)
    assert gateway.lookup(CHARGE) == Charged("pi_1")


@pytest.mark.parametrize(
    ("call", "attempt", "faults"),
    [
        ("charge", 1, {}),
        ("charge", 1, {CONFIRM: ["action"], CANCEL: ["confirmed_before"]}),
        ("charge", 1, {CONFIRM: ["decline"], CANCEL: ["confirmed_before"]}),
        ("charge", 2, {CANCEL: ["confirmed_before"]}),
        ("lookup", 1, {CANCEL: ["confirmed_before"]}),
    ],
)
def test_no_call_makes_more_requests_than_its_time_is_reckoned_for(
    stripe: Stripe, gateway: StripeGateway, call: str, attempt: int, faults: dict[str, list[str]]
) -> None:
    stripe.faults = faults
    if attempt == 2:
        stripe.cards["cus_1"] = []
    getattr(gateway, call)(replace(CHARGE, attempt=attempt))
    assert 0 < stripe.requests <= stripe_gateway.REQUESTS


@pytest.mark.parametrize(("currency", "charged"), [("JPY", 15000), ("EUR", 15000), ("ISK", 0), ("MGA", 0), ("KWD", 0)])
def test_the_amount_that_reaches_stripe(stripe: Stripe, gateway: StripeGateway, currency: str, charged: int) -> None:
    """Or none: what Stripe counts in other units is declined, not charged a hundredfold."""
    outcome = gateway.charge(replace(CHARGE, amount=Money(15000, currency)))
    assert outcome == (Charged("pi_1") if charged else Declined("currency_not_supported"))
    assert stripe.money_moved == charged


def test_a_forgotten_key_is_never_used_again(stripe: Stripe, gateway: StripeGateway) -> None:
    assert gateway.lookup(EXPIRED) == Unknown("the idempotency key is forgotten")
    assert stripe.intents == {}
    gateway.charge(CHARGE)
    assert gateway.lookup(EXPIRED) == Charged("pi_1")


@pytest.mark.parametrize(
    ("fault", "first"),
    [
        ("", Refunded("re_1")),
        ("drop_after", Unknown("APIConnectionError")),
        ("error_after", Unknown("APIError")),
        ("rate_limit", Unknown("RateLimitError")),
    ],
)
def test_refunded_once(stripe: Stripe, gateway: StripeGateway, fault: str, first: object) -> None:
    gateway.charge(CHARGE)
    stripe.faults = {"POST refunds": [fault]}
    assert gateway.refund(CHARGE, "pi_1") == first
    again = gateway.refund(CHARGE, "pi_1")
    assert again == (Unknown("APIError") if fault == "error_after" else Refunded("re_1"))
    assert stripe.money_moved == 0


def test_a_refund_that_somebody_made_by_hand_is_found(stripe: Stripe, gateway: StripeGateway) -> None:
    gateway.charge(CHARGE)
    stripe.refund_by_hand("pi_1")
    assert gateway.refund(CHARGE, "pi_1") == Refunded("re_1")
    assert gateway.refund(replace(CHARGE, idempotency_key="x"), "pi_9") == NotRefunded("resource_missing")


@pytest.mark.parametrize(
    ("later", "outcome"),
    [
        ("pending", Unknown("pending")),
        ("requires_action", Unknown("requires_action")),
        ("succeeded", Refunded("re_1")),
        ("failed", NotRefunded("failed")),
        ("canceled", NotRefunded("canceled")),
    ],
)
def test_a_pending_refund_is_asked_for_again(
    stripe: Stripe, gateway: StripeGateway, later: str, outcome: object
) -> None:
    gateway.charge(CHARGE)
    stripe.refund_status = "pending"
    assert gateway.refund(CHARGE, "pi_1") == Unknown("pending")
    stripe.refunds[0]["status"], stripe.requests = later, 0
    assert gateway.refund(CHARGE, "pi_1") == outcome
    assert stripe.requests <= stripe_gateway.REQUESTS
    assert len(stripe.refunds) == 1
    assert gateway.refund(EXPIRED, "pi_1") == outcome
    stripe.faults = {"GET refunds": ["drop_before"]}
    assert gateway.refund(CHARGE, "pi_1") == Unknown("APIConnectionError")


def test_a_refund_made_by_hand_after_a_failed_one_counts(stripe: Stripe, gateway: StripeGateway) -> None:
    gateway.charge(CHARGE)
    stripe.refund_status = "pending"
    gateway.refund(CHARGE, "pi_1")
    stripe.refunds[0]["status"] = "failed"
    stripe.refund_by_hand("pi_1", status="succeeded")
    assert gateway.refund(CHARGE, "pi_1") == Refunded("re_2")


def test_a_refund_under_a_forgotten_key_is_only_looked_for(stripe: Stripe, gateway: StripeGateway) -> None:
    gateway.charge(CHARGE)
    stripe.forget_keys()
    assert gateway.refund(EXPIRED, "pi_1") == Unknown("no refund found")
    assert stripe.refunds == []
    stripe.faults = {"POST refunds": ["drop_after"]}
    gateway.refund(CHARGE, "pi_1")
    stripe.forget_keys()
    assert gateway.refund(EXPIRED, "pi_1") == Refunded("re_1")
    stripe.faults = {"GET refunds": ["rate_limit"]}
    assert gateway.refund(EXPIRED, "pi_1") == Unknown("RateLimitError")
    assert len(stripe.refunds) == 1


OURS, OTHER, BY_HAND = {"transaction_id": "T-1", "environment": "test"}, {"transaction_id": "T-2"}, None


@pytest.mark.parametrize(
    ("made", "outcome"),
    [
        ([("failed", OURS, 15000), ("succeeded", OURS, 15000)], Refunded("re_2")),
        ([("succeeded", OURS, 15000), ("failed", BY_HAND, 15000)], Refunded("re_1")),
        ([("failed", OURS, 15000), ("pending", OURS, 15000)], Unknown("pending")),
        ([("canceled", OURS, 15000), ("failed", OURS, 15000)], NotRefunded("failed")),
        ([("failed", OURS, 15000), ("pending", BY_HAND, 15000)], Unknown("pending")),
        # Ours gives back what a part given back by hand has left.
        ([("pending", BY_HAND, 5000), ("succeeded", OURS, 10000)], Refunded("re_2")),
        ([("succeeded", OURS, 10000), ("succeeded", BY_HAND, 5000)], Refunded("re_1")),
        ([("succeeded", BY_HAND, 5000), ("succeeded", OTHER, 10000)], Refunded("re_2")),
        # A part is not the whole, and what is not ours proves nothing of ours.
        ([("succeeded", BY_HAND, 5000)], Unknown("no refund found")),
        ([("failed", BY_HAND, 15000)], Unknown("no refund found")),
        ([("succeeded", BY_HAND, 5000), ("failed", OURS, 10000)], NotRefunded("failed")),
    ],
)
def test_which_of_several_refunds_counts(stripe: Stripe, gateway: StripeGateway, made: list, outcome: object) -> None:
    gateway.charge(CHARGE)
    for status, metadata, amount in made:
        stripe.refund_by_hand("pi_1", status=status, metadata=metadata, amount=amount)
    assert gateway.refund(EXPIRED, "pi_1") == outcome


def test_neither_key_nor_parameters_are_logged(
    stripe: Stripe, gateway: StripeGateway, caplog: pytest.LogCaptureFixture
) -> None:
    """Nor the customer: what sends the requests logs their addresses."""
    caplog.set_level(logging.DEBUG)
    stripe.faults = {CONFIRM: ["decline"]}
    outcome = gateway.charge(CHARGE)
    told = caplog.text + repr(outcome)
    assert "sk_test_x" not in told
    assert "MARKED" not in told
    assert CHARGE.customer_id not in told


def test_all_requests_of_a_call_fit_into_its_time() -> None:
    seconds = stripe_gateway.REQUESTS * (stripe_gateway.CONNECT_SECONDS + stripe_gateway.READ_SECONDS)
    assert gateway_secret.FETCH_SECONDS + seconds < GATEWAY_SECONDS


def test_the_wire_format_of_localstripe(tmp_path) -> None:
    """An independent reading of Stripe's API; it ignores idempotency keys and declines nothing."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    # Its own command listens on every interface; and it has no payment method at confirmation, which is added here.
    serve = f"""
from aiohttp import web
from localstripe import resources
known = resources.PaymentIntent._api_confirm
def confirm(id, payment_method=None):
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
