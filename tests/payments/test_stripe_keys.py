"""Idempotency keys at Stripe that are used up by a saved error, or forgotten: nothing is charged twice or stranded."""

import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
from adapters import stripe_requests
from adapters.stripe_gateway import StripeGateway
from payments.ports import Charged, Declined, NotCharged, Unknown

from tests.payments.stripe_cases import AGAIN, CANCEL, CHARGE, CONFIRM, CONFIRM_KEY, CREATE, EXPIRED, INTENT_KEY, LIST
from tests.payments.stripe_server import Stripe


def create_two_intents(stripe: Stripe, gateway: StripeGateway, confirmation: str) -> None:
    """Confirm an intent, with this fault; another, whose creation had failed before, shows late."""
    stripe.faults = {CREATE: ["error_late"], CONFIRM: [confirmation]}
    gateway.charge(CHARGE)
    gateway.charge(AGAIN)
    stripe.catch_up()


def test_a_saved_error_of_a_creation_is_followed_by_the_next_key(stripe: Stripe, gateway: StripeGateway) -> None:
    """Under its key Stripe would answer with it for a day, and says so: https://docs.stripe.com/error-low-level

    Seen to leave the payment unpayable through all claims.
    """
    stripe.faults = {CREATE: ["error_before", "of the replay: none", "refused"]}
    assert gateway.charge(CHARGE) == NotCharged("APIError")
    assert gateway.charge(AGAIN) == NotCharged("parameter_invalid")
    assert gateway.charge(replace(CHARGE, attempt=3)) == Charged("pi_1")
    assert stripe.keys == [INTENT_KEY, f"{INTENT_KEY}-2", f"{INTENT_KEY}-3", CONFIRM_KEY]
    assert stripe.money_moved == 15000


def test_an_error_that_is_not_a_replay_is_not_followed_by_the_next_key(stripe: Stripe, gateway: StripeGateway) -> None:
    """What it created may show later: "we advise against" a new key. https://docs.stripe.com/error-low-level"""
    stripe.faults = {CREATE: ["error_late"]}
    assert gateway.charge(CHARGE) == NotCharged("APIError")
    assert stripe.keys == [INTENT_KEY]
    stripe.catch_up()
    assert gateway.charge(AGAIN) == Charged("pi_1")
    assert len(stripe.intents) == 1


def test_an_intent_that_a_saved_error_hid_too_long_is_never_charged(stripe: Stripe, gateway: StripeGateway) -> None:
    """Stripe may take up what failed with a 500 at any time: https://docs.stripe.com/error-low-level"""
    stripe.faults = {CREATE: ["error_late"]}
    gateway.charge(CHARGE)
    assert gateway.charge(AGAIN) == Charged("pi_1")
    stripe.catch_up()
    assert gateway.charge(replace(CHARGE, attempt=3)) == Unknown("another_intent")
    assert gateway.lookup(CHARGE) == Charged("pi_1")
    assert [intent["status"] for intent in stripe.intents.values()] == ["succeeded", "canceled"]
    assert stripe.money_moved == 15000


@pytest.mark.parametrize("cancellations", [["error_before"], ["", "error_before"]])
def test_two_open_intents_are_both_ended(stripe: Stripe, gateway: StripeGateway, cancellations: list[str]) -> None:
    stripe.faults = {CREATE: ["error_late"], CONFIRM: ["drop_before"]}
    gateway.charge(CHARGE)
    assert gateway.charge(AGAIN) == Unknown("APIConnectionError")
    stripe.catch_up()
    stripe.faults = {CANCEL: cancellations}
    assert gateway.lookup(CHARGE) == Unknown("APIError")
    assert gateway.lookup(CHARGE) == NotCharged("canceled")
    assert [intent["status"] for intent in stripe.intents.values()] == ["canceled", "canceled"]


def test_one_of_two_intents_was_declined(stripe: Stripe, gateway: StripeGateway) -> None:
    create_two_intents(stripe, gateway, "decline_then_drop")
    assert gateway.lookup(CHARGE) == Declined("card_declined")
    assert [intent["status"] for intent in stripe.intents.values()] == ["canceled", "canceled"]


@pytest.mark.parametrize("cancellations", [["error_before"], ["", "error_before"]])
def test_a_decline_is_closed_when_all_intents_are(
    stripe: Stripe, gateway: StripeGateway, cancellations: list[str]
) -> None:
    create_two_intents(stripe, gateway, "decline_then_drop")
    stripe.intents["pi_2"]["last_payment_error"] = stripe.intents["pi_1"]["last_payment_error"]
    stripe.faults = {CANCEL: cancellations}
    assert gateway.lookup(CHARGE) == Declined("card_declined", is_closed=False)
    assert gateway.lookup(CHARGE) == Declined("card_declined")


@pytest.mark.parametrize("fault", ["error_before", "refused"])
def test_a_lookup_after_a_saved_error_is_final(stripe: Stripe, gateway: StripeGateway, fault: str) -> None:
    """https://docs.stripe.com/api/idempotent_requests: seen to tell nothing for as long as the error was saved."""
    stripe.faults = {CREATE: [fault]}
    assert isinstance(gateway.charge(CHARGE), NotCharged)
    assert gateway.lookup(CHARGE) == NotCharged("canceled")
    assert not isinstance(gateway.charge(AGAIN), Charged)
    assert stripe.money_moved == 0


def test_a_lookup_proves_nothing_while_a_creation_may_be_on_its_way(stripe: Stripe, gateway: StripeGateway) -> None:
    stripe.faults = {CREATE: ["error_before", "of the replay: none", "error_before"]}
    gateway.charge(CHARGE)
    assert gateway.lookup(CHARGE) == Unknown("APIError")
    assert gateway.lookup(CHARGE) == NotCharged("canceled")


def test_a_lookup_of_a_creation_that_is_in_flight(stripe: Stripe, gateway: StripeGateway) -> None:
    """A key in use is a 409, ``idempotency_key_in_use``: https://docs.stripe.com/error-codes"""
    stripe.faults, stripe.slow_seconds = {CREATE: ["slow"]}, 1.0
    with ThreadPoolExecutor(1) as pool:
        charging = pool.submit(gateway.charge, CHARGE)
        while CREATE not in stripe.endpoints:
            time.sleep(0.01)
        assert gateway.lookup(CHARGE) == Unknown("APIError")
        assert charging.result() == Charged("pi_1")
    assert len(stripe.intents) == 1


def test_a_lookup_creates_nothing_where_there_is_an_intent(stripe: Stripe, gateway: StripeGateway) -> None:
    stripe.faults = {CONFIRM: ["drop_before"]}
    gateway.charge(CHARGE)
    stripe.endpoints.clear()
    assert gateway.lookup(CHARGE) == NotCharged("canceled")
    assert stripe.endpoints == [LIST, CANCEL]


def test_a_key_that_was_used_with_other_parameters_strands_no_payment(stripe: Stripe, gateway: StripeGateway) -> None:
    """https://docs.stripe.com/api/idempotent_requests: other parameters under a key are an error."""
    stripe.faults = {CREATE: ["error_before"]}
    gateway.charge(replace(CHARGE, customer_id="cus_2"))
    assert gateway.charge(CHARGE) == Charged("pi_1")
    assert stripe.errors == ["api_error", "idempotency_error"]
    assert stripe.keys == [INTENT_KEY, f"{INTENT_KEY}-2", CONFIRM_KEY]


@pytest.mark.parametrize(
    ("fault", "outcome"), [("drop_before", NotCharged("canceled")), ("drop_after", Charged("pi_1"))]
)
def test_an_intent_of_a_customer_with_hundreds(
    stripe: Stripe, gateway: StripeGateway, fault: str, outcome: object
) -> None:
    """A page has a hundred at most: https://docs.stripe.com/api/pagination"""
    stripe.faults = {CONFIRM: [fault]}
    gateway.charge(CHARGE)
    stripe.add_intents("cus_1", 220)
    stripe.forget_keys()
    stripe.endpoints.clear()
    assert gateway.lookup(CHARGE) == outcome
    assert stripe.endpoints.count(LIST) == 3
    assert len(stripe.intents) == 221


def test_a_list_that_is_too_long_proves_nothing(
    stripe: Stripe, gateway: StripeGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stripe_requests, "_PAGES", 2)
    stripe.add_intents("cus_1", 201)
    assert gateway.lookup(CHARGE) == Unknown("list_too_long")
    assert gateway.charge(AGAIN) == NotCharged("list_too_long")
    # What is older than every key is no intent of the payment.
    for intent in stripe.intents.values():
        intent["created"] -= 3 * 24 * 60 * 60
    assert gateway.charge(AGAIN) == Charged("pi_202")


def test_a_saved_error_of_a_confirmation_is_not_its_outcome(stripe: Stripe, gateway: StripeGateway) -> None:
    """https://docs.stripe.com/error-low-level: treat a 500 as indeterminate; the intent says what happened."""
    stripe.faults = {CONFIRM: ["error_late"]}
    assert gateway.charge(CHARGE) == gateway.charge(CHARGE) == Unknown("APIError")
    stripe.catch_up()
    assert gateway.charge(CHARGE) == gateway.charge(AGAIN) == Charged("pi_1")
    assert stripe.money_moved == 15000


@pytest.mark.parametrize(
    ("fault", "outcome"),
    [
        ("", Charged("pi_1")),
        ("drop_before", Unknown("the idempotency key is forgotten")),
        ("decline_then_drop", Unknown("the idempotency key is forgotten")),
    ],
)
def test_a_forgotten_key_is_never_used_again(
    stripe: Stripe, gateway: StripeGateway, fault: str, outcome: object
) -> None:
    """A search by metadata finds the intents, and what is open is closed. https://docs.stripe.com/search"""
    assert gateway.lookup(EXPIRED) == Unknown("the idempotency key is forgotten")
    assert stripe.intents == {}
    stripe.faults = {CONFIRM: [fault]}
    gateway.charge(CHARGE)
    stripe.forget_keys()
    stripe.endpoints.clear()
    assert gateway.lookup(EXPIRED) == outcome
    assert CREATE not in stripe.endpoints
    assert stripe.intents["pi_1"]["status"] == ("succeeded" if isinstance(outcome, Charged) else "canceled")


def test_a_search_that_is_behind(stripe: Stripe, gateway: StripeGateway) -> None:
    """https://docs.stripe.com/search#data-freshness: what it finds may have changed since."""
    stripe.faults = {CONFIRM: ["drop_before"]}
    gateway.charge(CHARGE)
    stripe.fall_behind()
    stripe.intents["pi_1"]["status"] = "succeeded"
    assert gateway.lookup(EXPIRED) == Charged("pi_1")


def test_an_open_intent_is_closed_beside_a_charged_one_though_the_key_is_forgotten(
    stripe: Stripe, gateway: StripeGateway
) -> None:
    create_two_intents(stripe, gateway, "")
    assert gateway.lookup(EXPIRED) == Charged("pi_1")
    assert stripe.intents["pi_2"]["status"] == "canceled"
