"""Idempotency keys at Stripe: a saved error or a forgotten key neither charges twice nor strands a payment."""

import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
from adapters import stripe_requests
from payments.ports import Charged, NotCharged, Unknown

from tests.payments.stripe_cases import AGAIN, CHARGE, CONFIRM_KEY, DECLINED, EXPIRED, INTENT_KEY, OPEN_DECLINE, Gateway
from tests.payments.stripe_server import Stripe


def create_two_intents(stripe: Stripe, gateway: Gateway, confirmation: str) -> None:
    """Confirm an intent with this fault, before another intent appears whose creation seemed to fail."""
    gateway.charge_with(create="error_late", confirm=confirmation)
    gateway.charge(AGAIN)
    stripe.catch_up()


def test_a_saved_error_of_a_creation_is_followed_by_the_next_key(stripe: Stripe, gateway: Gateway) -> None:
    """Under the first key, Stripe would repeat the error for a day: https://docs.stripe.com/error-low-level"""
    assert gateway.charge_with(create=["error_before", "of the replay: none", "refused"]) == NotCharged("APIError")
    assert gateway.charge(AGAIN) == NotCharged("parameter_invalid")
    assert gateway.charge(replace(CHARGE, attempt=3)) == Charged("pi_1")
    assert stripe.keys == [INTENT_KEY, f"{INTENT_KEY}-2", f"{INTENT_KEY}-3", CONFIRM_KEY]
    assert stripe.money_moved == 15000


def test_an_error_that_is_not_a_replay_is_not_followed_by_the_next_key(stripe: Stripe, gateway: Gateway) -> None:
    """An intent may appear later: Stripe advises against a new key. https://docs.stripe.com/error-low-level"""
    assert gateway.charge_with(create="error_late") == NotCharged("APIError")
    assert stripe.keys == [INTENT_KEY]
    stripe.catch_up()
    assert gateway.charge(AGAIN) == Charged("pi_1")
    assert len(stripe.intents) == 1


def test_an_intent_that_appears_after_another_was_charged_is_canceled(stripe: Stripe, gateway: Gateway) -> None:
    """A request that failed with a 500 may take effect at any time: https://docs.stripe.com/error-low-level"""
    gateway.charge_with(create="error_late")
    assert gateway.charge(AGAIN) == Charged("pi_1")
    stripe.catch_up()
    assert gateway.charge(replace(CHARGE, attempt=3)) == Unknown("another_intent")
    assert gateway.lookup(CHARGE) == Charged("pi_1")
    assert [intent["status"] for intent in stripe.intents.values()] == ["succeeded", "canceled"]
    assert stripe.money_moved == 15000


@pytest.mark.parametrize("cancellations", [["error_before"], ["", "error_before"]])
def test_two_open_intents_are_both_canceled(stripe: Stripe, gateway: Gateway, cancellations: list[str]) -> None:
    gateway.charge_with(create="error_late", confirm="drop_before")
    assert gateway.charge(AGAIN) == Unknown("APIConnectionError")
    stripe.catch_up()
    stripe.fail_next(cancel=cancellations)
    assert gateway.lookup(CHARGE) == Unknown("APIError")
    assert gateway.lookup(CHARGE) == NotCharged("canceled")
    assert [intent["status"] for intent in stripe.intents.values()] == ["canceled", "canceled"]


def test_a_decline_of_one_of_two_intents_is_the_outcome(stripe: Stripe, gateway: Gateway) -> None:
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
    """It does not stay unknown while the error is saved: https://docs.stripe.com/api/idempotent_requests"""
    assert isinstance(gateway.charge_with(create=fault), NotCharged)
    assert gateway.lookup(CHARGE) == NotCharged("canceled")
    assert not isinstance(gateway.charge(AGAIN), Charged)
    assert stripe.money_moved == 0


def test_a_lookup_proves_nothing_while_a_creation_may_be_in_flight(gateway: Gateway) -> None:
    gateway.charge_with(create=["error_before", "of the replay: none", "error_before"])
    assert gateway.lookup(CHARGE) == Unknown("APIError")
    assert gateway.lookup(CHARGE) == NotCharged("canceled")


def test_a_lookup_during_a_creation_is_unknown(stripe: Stripe, gateway: Gateway) -> None:
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
def test_an_intent_is_found_among_hundreds(stripe: Stripe, gateway: Gateway, fault: str, outcome: object) -> None:
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
    # An intent that is older than every key does not belong to the payment.
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


def test_a_stale_search_result_is_read_again(stripe: Stripe, gateway: Gateway) -> None:
    """A search may return outdated intents: https://docs.stripe.com/search#data-freshness"""
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
