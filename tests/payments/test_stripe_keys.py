"""Idempotency keys at Stripe that are used up by a saved error, or forgotten: nothing is charged twice or stranded."""

import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
from adapters import stripe_requests
from payments.ports import Charged, NotCharged, Unknown

from tests.payments.stripe_cases import AGAIN, CHARGE, CONFIRM_KEY, DECLINED, EXPIRED, INTENT_KEY, OPEN_DECLINE, Gateway
from tests.payments.stripe_server import Stripe


def create_two_intents(stripe: Stripe, gateway: Gateway, confirmation: str) -> None:
    """Confirm an intent, with this fault; another, whose creation had failed before, shows late."""
    gateway.charge_with(create="error_late", confirm=confirmation)
    gateway.charge(AGAIN)
    stripe.catch_up()


def test_a_saved_error_of_a_creation_is_followed_by_the_next_key(stripe: Stripe, gateway: Gateway) -> None:
    """Under its key Stripe would answer with it for a day, and says so: https://docs.stripe.com/error-low-level

    Seen to leave the payment unpayable through all claims.
    """
    assert gateway.charge_with(create=["error_before", "of the replay: none", "refused"]) == NotCharged("APIError")
    assert gateway.charge(AGAIN) == NotCharged("parameter_invalid")
    assert gateway.charge(replace(CHARGE, attempt=3)) == Charged("pi_1")
    assert stripe.keys == [INTENT_KEY, f"{INTENT_KEY}-2", f"{INTENT_KEY}-3", CONFIRM_KEY]
    assert stripe.money_moved == 15000


def test_an_error_that_is_not_a_replay_is_not_followed_by_the_next_key(stripe: Stripe, gateway: Gateway) -> None:
    """What it created may show later: "we advise against" a new key. https://docs.stripe.com/error-low-level"""
    assert gateway.charge_with(create="error_late") == NotCharged("APIError")
    assert stripe.keys == [INTENT_KEY]
    stripe.catch_up()
    assert gateway.charge(AGAIN) == Charged("pi_1")
    assert len(stripe.intents) == 1


def test_an_intent_that_a_saved_error_hid_too_long_is_never_charged(stripe: Stripe, gateway: Gateway) -> None:
    """Stripe may take up what failed with a 500 at any time: https://docs.stripe.com/error-low-level"""
    gateway.charge_with(create="error_late")
    assert gateway.charge(AGAIN) == Charged("pi_1")
    stripe.catch_up()
    assert gateway.charge(replace(CHARGE, attempt=3)) == Unknown("another_intent")
    assert gateway.lookup(CHARGE) == Charged("pi_1")
    assert [intent["status"] for intent in stripe.intents.values()] == ["succeeded", "canceled"]
    assert stripe.money_moved == 15000


@pytest.mark.parametrize("cancellations", [["error_before"], ["", "error_before"]])
def test_two_open_intents_are_both_ended(stripe: Stripe, gateway: Gateway, cancellations: list[str]) -> None:
    gateway.charge_with(create="error_late", confirm="drop_before")
    assert gateway.charge(AGAIN) == Unknown("APIConnectionError")
    stripe.catch_up()
    stripe.fail_next(cancel=cancellations)
    assert gateway.lookup(CHARGE) == Unknown("APIError")
    assert gateway.lookup(CHARGE) == NotCharged("canceled")
    assert [intent["status"] for intent in stripe.intents.values()] == ["canceled", "canceled"]


def test_one_of_two_intents_was_declined(stripe: Stripe, gateway: Gateway) -> None:
    create_two_intents(stripe, gateway, "decline_then_drop")
    assert gateway.lookup(CHARGE) == DECLINED
    assert [intent["status"] for intent in stripe.intents.values()] == ["canceled", "canceled"]


@pytest.mark.parametrize("cancellations", [["error_before"], ["", "error_before"]])
def test_a_decline_is_closed_when_all_intents_are(stripe: Stripe, gateway: Gateway, cancellations: list[str]) -> None:
    create_two_intents(stripe, gateway, "decline_then_drop")
    stripe.intents["pi_2"]["last_payment_error"] = stripe.intents["pi_1"]["last_payment_error"]
    stripe.fail_next(cancel=cancellations)
    assert gateway.lookup(CHARGE) == OPEN_DECLINE
    assert gateway.lookup(CHARGE) == DECLINED


@pytest.mark.parametrize("fault", ["error_before", "refused"])
def test_a_lookup_after_a_saved_error_is_final(stripe: Stripe, gateway: Gateway, fault: str) -> None:
    """https://docs.stripe.com/api/idempotent_requests: seen to tell nothing for as long as the error was saved."""
    assert isinstance(gateway.charge_with(create=fault), NotCharged)
    assert gateway.lookup(CHARGE) == NotCharged("canceled")
    assert not isinstance(gateway.charge(AGAIN), Charged)
    assert stripe.money_moved == 0


def test_a_lookup_proves_nothing_while_a_creation_may_be_on_its_way(gateway: Gateway) -> None:
    gateway.charge_with(create=["error_before", "of the replay: none", "error_before"])
    assert gateway.lookup(CHARGE) == Unknown("APIError")
    assert gateway.lookup(CHARGE) == NotCharged("canceled")


def test_a_lookup_of_a_creation_that_is_in_flight(stripe: Stripe, gateway: Gateway) -> None:
    """A key in use is a 409, ``idempotency_key_in_use``: https://docs.stripe.com/error-codes"""
    stripe.fail_next(create="slow")
    with ThreadPoolExecutor(1) as pool:
        charging = pool.submit(gateway.charge, CHARGE)
        while "create" not in stripe.request_names:
            time.sleep(0.01)
        assert gateway.lookup(CHARGE) == Unknown("APIError")
        assert charging.result() == Charged("pi_1")
    assert len(stripe.intents) == 1


def test_a_lookup_creates_nothing_where_there_is_an_intent(stripe: Stripe, gateway: Gateway) -> None:
    gateway.charge_with(confirm="drop_before")
    stripe.request_names.clear()
    assert gateway.lookup(CHARGE) == NotCharged("canceled")
    assert stripe.request_names == ["list_intents", "cancel"]


def test_a_key_that_was_used_with_other_parameters_strands_no_payment(stripe: Stripe, gateway: Gateway) -> None:
    """https://docs.stripe.com/api/idempotent_requests: other parameters under a key are an error."""
    gateway.charge_with(replace(CHARGE, customer_id="cus_2"), create="error_before")
    assert gateway.charge(CHARGE) == Charged("pi_1")
    assert stripe.errors == ["api_error", "idempotency_error"]
    assert stripe.keys == [INTENT_KEY, f"{INTENT_KEY}-2", CONFIRM_KEY]


@pytest.mark.parametrize(
    ("fault", "outcome"), [("drop_before", NotCharged("canceled")), ("drop_after", Charged("pi_1"))]
)
def test_an_intent_of_a_customer_with_hundreds(stripe: Stripe, gateway: Gateway, fault: str, outcome: object) -> None:
    """A page has a hundred at most: https://docs.stripe.com/api/pagination"""
    gateway.charge_with(confirm=fault)
    stripe.add_intents("cus_1", 220)
    stripe.forget_keys()
    stripe.request_names.clear()
    assert gateway.lookup(CHARGE) == outcome
    assert stripe.request_names.count("list_intents") == 3
    assert len(stripe.intents) == 221


def test_a_list_that_is_too_long_proves_nothing(
    stripe: Stripe, gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stripe_requests, "_PAGES", 2)
    stripe.add_intents("cus_1", 201)
    assert gateway.lookup(CHARGE) == Unknown("list_too_long")
    assert gateway.charge(AGAIN) == NotCharged("list_too_long")
    # What is older than every key is no intent of the payment.
    for intent in stripe.intents.values():
        intent["created"] -= 3 * 24 * 60 * 60
    assert gateway.charge(AGAIN) == Charged("pi_202")


def test_a_saved_error_of_a_confirmation_is_not_its_outcome(stripe: Stripe, gateway: Gateway) -> None:
    """https://docs.stripe.com/error-low-level: treat a 500 as indeterminate; the intent says what happened."""
    assert gateway.charge_with(confirm="error_late") == gateway.charge(CHARGE) == Unknown("APIError")
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
def test_a_forgotten_key_is_never_used_again(stripe: Stripe, gateway: Gateway, fault: str, outcome: object) -> None:
    """A search by metadata finds the intents, and what is open is closed. https://docs.stripe.com/search"""
    assert gateway.lookup(EXPIRED) == Unknown("the idempotency key is forgotten")
    assert stripe.intents == {}
    gateway.charge_with(confirm=fault)
    stripe.forget_keys()
    stripe.request_names.clear()
    assert gateway.lookup(EXPIRED) == outcome
    assert "create" not in stripe.request_names
    assert stripe.intents["pi_1"]["status"] == ("succeeded" if isinstance(outcome, Charged) else "canceled")


def test_a_search_that_is_behind(stripe: Stripe, gateway: Gateway) -> None:
    """https://docs.stripe.com/search#data-freshness: what it finds may have changed since."""
    gateway.charge_with(confirm="drop_before")
    stripe.fall_behind()
    stripe.intents["pi_1"]["status"] = "succeeded"
    assert gateway.lookup(EXPIRED) == Charged("pi_1")


def test_an_open_intent_is_closed_beside_a_charged_one_though_the_key_is_forgotten(
    stripe: Stripe, gateway: Gateway
) -> None:
    create_two_intents(stripe, gateway, "")
    assert gateway.lookup(EXPIRED) == Charged("pi_1")
    assert stripe.intents["pi_2"]["status"] == "canceled"
