"""The Stripe adapter over real HTTP: its outcomes for everything that Stripe and the network may do.

Each test of a rule of Stripe's names the page that has it.
"""

import logging
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

import pytest
import stripe as library
from adapters import gateway_secret, stripe_gateway, stripe_http, stripe_requests
from adapters.measured import MeasuredGateway
from adapters.stripe_gateway import StripeGateway
from payments.money import Money
from payments.ports import (
    GATEWAY_SECONDS,
    ActionRequired,
    Charge,
    Charged,
    Declined,
    NotCharged,
    NotRefunded,
    Refunded,
    Unknown,
)

from tests.payments.stripe_server import TRICKLE_SECONDS, Stripe, serving

CHARGE = Charge("payment-T-1", "T-1", Money(15000, "USD"), "credit_card", "cus_1", 1, StripeGateway.request_version)
AGAIN = replace(CHARGE, attempt=2)
EXPIRED = replace(CHARGE, key_expired=True)
CARDS, CREATE, LIST = "GET payment_methods", "POST payment_intents", "GET payment_intents"
CONFIRM, CANCEL = "POST payment_intents/confirm", "POST payment_intents/cancel"
REFUND, REFUNDS = "POST refunds", "GET refunds"
INTENT_KEY, CONFIRM_KEY, REFUND_KEY = (f"test-payment-T-1-{request}" for request in ("intent", "confirm", "refund"))
AUTHENTICATE = ActionRequired("authentication_required")


@dataclass
class KnownKey:
    """In the place of ``gateway_secret.Secret``, which has its own tests."""

    key: str

    def read_api_key(self) -> str:
        return self.key

    def expire_key(self) -> None:
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
    assert gateway.charge(CHARGE) == gateway.charge(AGAIN) == first
    assert gateway.lookup(CHARGE) == first
    assert stripe.money_moved == 15000


@pytest.mark.parametrize(
    ("fault", "outcome"),
    [
        ("rate_limit", NotCharged("RateLimitError")),
        ("refused", NotCharged("parameter_invalid")),
        ("error_before", NotCharged("APIError")),
        ("error_late", NotCharged("APIError")),
        ("drop_before", NotCharged("APIConnectionError")),
        # What was created all the same is listed, and used.
        ("error_after", Charged("pi_1")),
        ("drop_after", Charged("pi_1")),
    ],
)
def test_a_creation_that_fails(stripe: Stripe, gateway: StripeGateway, fault: str, outcome: object) -> None:
    """Nothing before the confirmation can have charged. https://docs.stripe.com/payments/paymentintents/lifecycle

    And no error of it lasts, though Stripe saves it: https://docs.stripe.com/api/idempotent_requests
    """
    stripe.faults = {CREATE: [fault]}
    assert gateway.charge(CHARGE) == outcome
    assert stripe.money_moved == (15000 if isinstance(outcome, Charged) else 0)
    assert gateway.charge(AGAIN) == Charged("pi_1")
    assert len(stripe.intents) == 1
    assert stripe.money_moved == 15000


@pytest.mark.parametrize(
    ("fault", "outcome", "looked_up"),
    [
        ("decline", Declined("card_declined"), Declined("card_declined")),
        ("action", AUTHENTICATE, AUTHENTICATE),
        ("rate_limit", NotCharged("RateLimitError"), NotCharged("canceled")),
        ("refused", Unknown("parameter_invalid"), NotCharged("canceled")),
        ("error_before", Unknown("APIError"), NotCharged("canceled")),
        ("error_after", Charged("pi_1"), Charged("pi_1")),
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
    assert gateway.charge(AGAIN) == (Unknown("canceled") if isinstance(looked_up, NotCharged) else looked_up)
    assert stripe.money_moved == (15000 if isinstance(looked_up, Charged) else 0)


@pytest.mark.parametrize("call", ["charge", "lookup"])
def test_a_charge_under_keys_that_stripe_does_not_know_any_more_is_found(
    stripe: Stripe, gateway: StripeGateway, call: str
) -> None:
    """As they might be unknown to another API key: seen to charge again, and to say "not charged", without the list."""
    stripe.faults = {CONFIRM: ["drop_after"]}
    assert gateway.charge(CHARGE) == Unknown("APIConnectionError")
    stripe.forget_keys()
    assert getattr(gateway, call)(AGAIN) == Charged("pi_1")
    assert len(stripe.intents) == 1
    assert stripe.money_moved == 15000


def test_two_environments_on_one_account_do_not_meet(stripe: Stripe, gateway: StripeGateway) -> None:
    """The same transaction id in both: seen to answer with the other's charge, and to cancel it."""
    with serving(stripe) as url:
        other = StripeGateway(KnownKey("sk_test_x"), "other", url)
        assert gateway.charge(CHARGE) == Charged("pi_1")
        assert other.lookup(EXPIRED) == Unknown("the idempotency key is forgotten")
        assert other.charge(AGAIN) == Charged("pi_2")
        assert other.lookup(CHARGE) == Charged("pi_2")


def test_a_lookup_makes_not_charged_final(stripe: Stripe, gateway: StripeGateway) -> None:
    """An attempt that is only slow finds an intent that is canceled, and not none."""
    assert gateway.lookup(CHARGE) == NotCharged("canceled")
    assert not isinstance(gateway.charge(CHARGE), Charged)
    assert not isinstance(gateway.charge(AGAIN), Charged)
    assert stripe.money_moved == 0


def test_the_same_charge_at_the_same_time_is_charged_once(stripe: Stripe, gateway: StripeGateway) -> None:
    stripe.faults, stripe.slow_seconds = {CONFIRM: ["slow"]}, 0.5
    with ThreadPoolExecutor(2) as pool:
        outcomes = list(pool.map(lambda attempt: gateway.charge(replace(CHARGE, attempt=attempt)), (1, 2)))
    assert Charged("pi_1") in outcomes
    # A key in use says nothing of what is being done under it.
    assert all(isinstance(outcome, Charged | Unknown | NotCharged) for outcome in outcomes)
    assert stripe.money_moved == 15000


@pytest.mark.parametrize("charge", [CHARGE, AGAIN])
def test_the_same_key_for_another_amount_is_not_charged(stripe: Stripe, gateway: StripeGateway, charge: Charge) -> None:
    """Nor is the charge of the first amount an answer for it."""
    gateway.charge(CHARGE)
    other = replace(charge, amount=Money(15001, "USD"))
    assert gateway.charge(other) == gateway.lookup(other) == Unknown("another_amount")
    assert stripe.money_moved == 15000


def test_what_stripe_cannot_charge(stripe: Stripe, gateway: StripeGateway) -> None:
    assert gateway.charge(replace(CHARGE, payment_method="bank_transfer")) == Declined("payment_method_not_supported")
    assert gateway.charge(replace(CHARGE, customer_id="cus_without")) == Declined("no_payment_method")
    assert stripe.intents == {}


# Saved errors


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
    stripe.faults = {CREATE: ["error_late"], CONFIRM: ["decline_then_drop"]}
    gateway.charge(CHARGE)
    gateway.charge(AGAIN)
    stripe.catch_up()
    assert gateway.lookup(CHARGE) == Declined("card_declined")
    assert [intent["status"] for intent in stripe.intents.values()] == ["canceled", "canceled"]


@pytest.mark.parametrize("cancellations", [["error_before"], ["", "error_before"]])
def test_a_decline_is_closed_when_all_intents_are(
    stripe: Stripe, gateway: StripeGateway, cancellations: list[str]
) -> None:
    stripe.faults = {CREATE: ["error_late"], CONFIRM: ["decline_then_drop"]}
    gateway.charge(CHARGE)
    gateway.charge(AGAIN)
    stripe.catch_up()
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


# Closing, and the key after it


NEXT = replace(CHARGE, idempotency_key="payment-T-1-1", attempt=5, generation=1)


def test_a_payment_that_was_closed_is_charged_under_its_next_key(stripe: Stripe, gateway: StripeGateway) -> None:
    """A canceled intent is canceled for good: https://docs.stripe.com/api/payment_intents/cancel"""
    stripe.faults = {CONFIRM: ["rate_limit"]}
    gateway.charge(CHARGE)
    assert gateway.close(CHARGE) == NotCharged("canceled")
    assert gateway.close(CHARGE) == NotCharged("canceled")
    assert gateway.charge(AGAIN) == Unknown("canceled")
    assert gateway.charge(NEXT) == gateway.lookup(NEXT) == Charged("pi_2")
    assert stripe.intents["pi_2"]["metadata"]["generation"] == "1"
    assert stripe.money_moved == 15000
    assert gateway.refund(NEXT, "pi_2") == gateway.refund(NEXT, "pi_2") == Refunded("re_1")


def test_what_was_charged_under_an_earlier_key_is_not_charged_again(stripe: Stripe, gateway: StripeGateway) -> None:
    gateway.charge(CHARGE)
    assert gateway.charge(NEXT) == gateway.lookup(NEXT) == gateway.close(NEXT) == Charged("pi_1")
    assert stripe.money_moved == 15000


def test_closing_creates_nothing(stripe: Stripe, gateway: StripeGateway) -> None:
    assert gateway.close(CHARGE) == NotCharged("no_intent")
    assert stripe.intents == {}


@pytest.mark.parametrize("fault", ["error_before", "drop_before"])
def test_a_decline_is_closed_only_when_its_intent_is(stripe: Stripe, gateway: StripeGateway, fault: str) -> None:
    stripe.faults = {CONFIRM: ["decline"], CANCEL: [fault, fault]}
    assert gateway.charge(CHARGE) == Declined("card_declined", is_closed=False)
    assert gateway.close(CHARGE) == Declined("card_declined", is_closed=False)
    assert gateway.close(CHARGE) == Declined("card_declined")
    assert stripe.intents["pi_1"]["status"] == "canceled"


@pytest.mark.parametrize("faults", [["error_before"], ["", "error_before"]], ids=["list", "search"])
def test_what_cannot_be_listed_is_not_closed(stripe: Stripe, gateway: StripeGateway, faults: list[str]) -> None:
    stripe.faults = {CONFIRM: ["rate_limit"]}
    gateway.charge(CHARGE)
    stripe.faults = {LIST: faults}
    assert isinstance(gateway.close(EXPIRED), Unknown)
    assert gateway.close(EXPIRED) == NotCharged("canceled")


# Cards


def test_a_card_added_between_two_attempts_is_charged(stripe: Stripe, gateway: StripeGateway) -> None:
    stripe.faults = {CONFIRM: ["rate_limit"]}
    assert gateway.charge(CHARGE) == NotCharged("RateLimitError")
    stripe.cards["cus_1"] = ["pm_new", "pm_card"]
    assert gateway.charge(AGAIN) == Charged("pi_1")
    assert stripe.intents["pi_1"]["payment_method"] == "pm_new"
    assert stripe.money_moved == 15000


@pytest.mark.parametrize(
    ("fault", "again", "looked_up"),
    [
        ("drop_after", Charged("pi_1"), Charged("pi_1")),
        ("decline_then_drop", Declined("card_declined"), Declined("card_declined")),
        ("action_then_drop", AUTHENTICATE, AUTHENTICATE),
        # Left open: no attempt can confirm it any more, and a lookup ends it.
        ("error_before", Unknown("IdempotencyError"), NotCharged("canceled")),
    ],
)
@pytest.mark.parametrize("attempt", [1, 2])
def test_a_card_added_after_a_lost_answer_is_not_charged_again(
    stripe: Stripe, gateway: StripeGateway, attempt: int, fault: str, again: object, looked_up: object
) -> None:
    stripe.faults = {CONFIRM: [fault]}
    assert isinstance(gateway.charge(CHARGE), Unknown)
    stripe.cards["cus_1"] = ["pm_new", "pm_card"]
    assert gateway.charge(replace(CHARGE, attempt=attempt)) == again
    assert gateway.lookup(CHARGE) == looked_up
    assert stripe.intents["pi_1"]["status"] == ("succeeded" if isinstance(again, Charged) else "canceled")
    assert stripe.money_moved == (15000 if isinstance(again, Charged) else 0)


def test_what_a_canceled_intent_came_to_is_left_to_a_lookup(stripe: Stripe, gateway: StripeGateway) -> None:
    """``NotCharged`` of a charge would be tried again, in vain: the key is used up with the other card."""
    stripe.faults = {CONFIRM: ["error_before"]}
    gateway.charge(CHARGE)
    assert gateway.lookup(CHARGE) == NotCharged("canceled")
    stripe.cards["cus_1"] = ["pm_new", "pm_card"]
    assert gateway.charge(AGAIN) == Unknown("canceled")


@pytest.mark.parametrize(
    ("fault", "outcome"),
    [
        ("drop_after", Charged("pi_1")),
        ("decline_then_drop", Declined("card_declined")),
        ("action_then_drop", AUTHENTICATE),
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
    assert gateway.charge(AGAIN) == outcome
    # A decline is final, whatever cards come later.
    stripe.cards["cus_1"] = ["pm_new"]
    gateway.charge(replace(CHARGE, attempt=3))
    assert stripe.money_moved == (15000 if isinstance(outcome, Charged) else 0)


def test_the_card_is_gone_and_stripe_does_not_answer(stripe: Stripe, gateway: StripeGateway) -> None:
    stripe.cards["cus_1"] = []
    stripe.faults = {LIST: ["drop_before"]}
    assert gateway.charge(AGAIN) == Unknown("APIConnectionError")


# Declines


@pytest.mark.parametrize("fault", ["decline", "action", "soft_decline"])
@pytest.mark.parametrize(
    ("cancellation", "is_closed"),
    [("", True), ("drop_before", False), ("drop_after", False), ("error_before", False), ("refused", False)],
)
def test_what_is_refused_is_closed(
    stripe: Stripe, gateway: StripeGateway, fault: str, cancellation: str, is_closed: bool
) -> None:
    """Stripe would let anybody confirm it with another card, whoever has its id or its client secret.

    https://docs.stripe.com/payments/paymentintents/lifecycle   https://docs.stripe.com/declines/codes
    """
    refused = Declined("card_declined") if fault == "decline" else AUTHENTICATE
    stripe.faults = {CONFIRM: [fault], CANCEL: [cancellation]}
    assert gateway.charge(CHARGE) == replace(refused, is_closed=is_closed)
    is_canceled = cancellation in ("", "drop_after")
    assert stripe.intents["pi_1"]["status"] == ("canceled" if is_canceled else "requires_payment_method")
    # Whatever comes next closes what is still open.
    assert gateway.lookup(CHARGE) == refused
    assert stripe.intents["pi_1"]["status"] == "canceled"
    assert gateway.charge(AGAIN) == refused


@pytest.mark.parametrize("call", ["charge", "lookup"])
def test_an_intent_that_cannot_be_closed_stays_reported(stripe: Stripe, gateway: StripeGateway, call: str) -> None:
    stripe.faults = {CONFIRM: ["decline"], CANCEL: ["error_before", "rate_limit"]}
    assert gateway.charge(CHARGE) == Declined("card_declined", is_closed=False)
    assert getattr(gateway, call)(AGAIN) == Declined("card_declined", is_closed=False)
    assert getattr(gateway, call)(AGAIN) == Declined("card_declined")


def test_a_declined_intent_that_was_charged_before_it_was_closed(stripe: Stripe, gateway: StripeGateway) -> None:
    stripe.faults = {CONFIRM: ["decline"], CANCEL: ["error_before"]}
    assert gateway.charge(CHARGE) == Declined("card_declined", is_closed=False)
    stripe.intents["pi_1"]["status"] = "succeeded"
    assert gateway.lookup(CHARGE) == Charged("pi_1")


def test_a_decline_that_was_charged_while_it_was_closed(stripe: Stripe, gateway: StripeGateway) -> None:
    """https://docs.stripe.com/api/payment_intents/cancel: one that has succeeded cannot be canceled."""
    stripe.faults = {CONFIRM: ["decline"], CANCEL: ["confirmed_before"]}
    assert gateway.charge(CHARGE) == Charged("pi_1")


def test_a_decline_is_not_confirmed_again_though_its_key_is_unknown(stripe: Stripe, gateway: StripeGateway) -> None:
    """As it might be to another API key."""
    stripe.faults = {CONFIRM: ["decline_then_drop"]}
    assert gateway.charge(CHARGE) == Unknown("APIConnectionError")
    stripe.forget_keys()
    assert gateway.charge(AGAIN) == Declined("card_declined")
    assert stripe.money_moved == 0


@pytest.mark.parametrize(("version", "is_off_session"), [(1, False), (2, True)])
def test_authentication_is_asked_for(
    stripe: Stripe, gateway: StripeGateway, version: int, is_off_session: bool
) -> None:
    """With off_session it is an error of the card; without, the intent waits in requires_action.

    https://docs.stripe.com/payments/save-and-reuse
    """
    stripe.faults = {CONFIRM: ["action"]}
    assert gateway.charge(replace(CHARGE, request_version=version)) == AUTHENTICATE
    assert (stripe.errors == ["card_error"]) is is_off_session
    assert stripe.intents["pi_1"]["status"] == "canceled"


def test_an_action_that_could_not_be_closed_is_closed_later(stripe: Stripe, gateway: StripeGateway) -> None:
    """Until then the customer may act. https://docs.stripe.com/payments/paymentintents/lifecycle"""
    charge = replace(CHARGE, request_version=1)
    stripe.faults = {CONFIRM: ["action"], CANCEL: ["drop_before"]}
    assert gateway.charge(charge) == replace(AUTHENTICATE, is_closed=False)
    assert stripe.intents["pi_1"]["status"] == "requires_action"
    assert gateway.lookup(charge) == AUTHENTICATE
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
    """https://docs.stripe.com/api/payment_intents/cancel: one that has succeeded cannot be canceled."""
    stripe.faults = {CONFIRM: ["drop_before"], CANCEL: ["confirmed_before"]}
    gateway.charge(CHARGE)
    assert gateway.lookup(CHARGE) == Charged("pi_1")


# What is certain to fail


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"customer_id": "cus_unknown"}, "customer_not_found"),
        ({"amount": Money(49, "USD")}, "amount_too_small"),
        ({"amount": Money(100_000_000, "USD")}, "amount_too_large"),
        ({"amount": Money(15000, "XXX")}, "currency_not_supported"),
    ],
)
def test_what_is_certain_to_fail_is_declined_at_the_first_attempt(
    stripe: Stripe, gateway: StripeGateway, change: dict, reason: str
) -> None:
    """https://docs.stripe.com/error-codes   https://docs.stripe.com/currencies#minimum-and-maximum-charge-amounts"""
    charge = replace(CHARGE, **change)
    assert gateway.charge(charge) == Declined(reason)
    assert gateway.charge(charge) == Declined(reason)
    if reason != "customer_not_found":
        assert gateway.charge(replace(charge, attempt=2)) == Declined(reason)
    assert stripe.intents == {}


def test_what_is_certain_to_fail_may_have_been_charged_before(stripe: Stripe, gateway: StripeGateway) -> None:
    """Or the customer is unknown because the API key is of another account."""
    stripe.faults = {CONFIRM: ["drop_after"]}
    gateway.charge(CHARGE)
    stripe.unknown_customers.add("cus_1")
    assert gateway.charge(AGAIN) == Unknown("resource_missing")
    assert gateway.lookup(AGAIN) == Unknown("resource_missing")
    stripe.unknown_customers.clear()
    assert gateway.charge(AGAIN) == Charged("pi_1")


@pytest.mark.parametrize(("currency", "charged"), [("JPY", 15000), ("EUR", 15000), ("ISK", 0), ("MGA", 0), ("KWD", 0)])
def test_the_amount_that_reaches_stripe(stripe: Stripe, gateway: StripeGateway, currency: str, charged: int) -> None:
    """Or none: what Stripe counts in other units is declined, not charged a hundredfold.

    https://docs.stripe.com/currencies#special-cases
    """
    outcome = gateway.charge(replace(CHARGE, amount=Money(15000, currency)))
    assert outcome == (Charged("pi_1") if charged else Declined("currency_not_supported"))
    assert stripe.money_moved == charged


# Forgotten keys


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
    stripe.faults = {CREATE: ["error_late"]}
    gateway.charge(CHARGE)
    gateway.charge(AGAIN)
    stripe.catch_up()
    assert gateway.lookup(EXPIRED) == Charged("pi_1")
    assert stripe.intents["pi_2"]["status"] == "canceled"


# Forms


def test_an_upgrade_in_the_middle_of_a_payment(
    stripe: Stripe, gateway: StripeGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A key is refused with other parameters than it was first used with, so an old payment keeps the old ones.

    https://docs.stripe.com/api/idempotent_requests
    """
    with serving(stripe) as url, monkeypatch.context() as older:
        # As the first release had it, for good.
        older.setattr(stripe_requests, "FORMS", {1: stripe_requests.Form({"payment_method_types": ["card"]}, {})})
        stripe.faults = {CONFIRM: ["drop_after"]}
        claimed = replace(CHARGE, request_version=1)
        assert StripeGateway(KnownKey("sk_test_x"), "test", url).charge(claimed) == Unknown("APIConnectionError")
    assert gateway.request_version == 2
    assert gateway.charge(claimed) == gateway.charge(replace(claimed, attempt=2)) == Charged("pi_1")
    assert gateway.lookup(claimed) == Charged("pi_1")
    assert stripe.errors == []
    assert stripe.money_moved == 15000


def test_a_form_that_only_a_newer_release_has_is_not_guessed(stripe: Stripe, gateway: StripeGateway) -> None:
    newer = replace(CHARGE, request_version=3)
    assert gateway.charge(newer) == NotCharged("request_version_not_supported")
    assert gateway.lookup(newer) == Unknown("request_version_not_supported")
    assert stripe.keys == []
    gateway.charge(CHARGE)
    assert gateway.lookup(newer) == Charged("pi_1")
    assert gateway.refund(newer, "pi_1") == Refunded("re_1")


def test_a_measured_gateway_has_the_form_of_what_it_measures(gateway: StripeGateway) -> None:
    assert MeasuredGateway(gateway).request_version == gateway.request_version


# Refunds


@pytest.mark.parametrize(
    ("fault", "first"),
    [
        ("", Refunded("re_1")),
        ("drop_after", Refunded("re_1")),
        ("error_after", Refunded("re_1")),
        ("drop_before", Unknown("APIConnectionError")),
        ("error_before", Unknown("APIError")),
        ("rate_limit", Unknown("RateLimitError")),
    ],
)
def test_refunded_once(stripe: Stripe, gateway: StripeGateway, fault: str, first: object) -> None:
    """An error is saved with its key: https://docs.stripe.com/api/idempotent_requests

    Seen to leave the customer unpaid for as long.
    """
    gateway.charge(CHARGE)
    stripe.faults = {REFUND: [fault]}
    assert gateway.refund(CHARGE, "pi_1") == first
    assert gateway.refund(CHARGE, "pi_1") == gateway.refund(CHARGE, "pi_1") == Refunded("re_1")
    assert stripe.money_moved == 0
    assert len(stripe.refunds) == 1


def test_a_refund_whose_saved_error_took_effect_late_is_not_given_twice(stripe: Stripe, gateway: StripeGateway) -> None:
    """All refunds of a charge together cannot exceed it: https://docs.stripe.com/refunds"""
    gateway.charge(CHARGE)
    stripe.faults = {REFUND: ["error_late"]}
    assert gateway.refund(CHARGE, "pi_1") == Unknown("APIError")
    assert stripe.keys[-1] == REFUND_KEY
    assert gateway.refund(CHARGE, "pi_1") == Refunded("re_1")
    assert stripe.keys[-1] == f"{REFUND_KEY}-2"
    stripe.catch_up()
    assert gateway.refund(CHARGE, "pi_1") == Refunded("re_1")
    assert stripe.money_moved == 0


def test_a_refund_is_not_refused_while_an_earlier_request_may_show_late(stripe: Stripe, gateway: StripeGateway) -> None:
    """What failed with a 500 may be taken up at any time: https://docs.stripe.com/error-low-level"""
    gateway.charge(CHARGE)
    stripe.faults = {REFUND: ["error_late", "of the replay: none", "refused"]}
    assert gateway.refund(CHARGE, "pi_1") == Unknown("APIError")
    assert gateway.refund(CHARGE, "pi_1") == Unknown("parameter_invalid")
    stripe.catch_up()
    assert gateway.refund(CHARGE, "pi_1") == Refunded("re_1")


def test_a_refund_that_the_balance_did_not_cover_is_given_when_it_does(stripe: Stripe, gateway: StripeGateway) -> None:
    """A 400 is saved, too: https://docs.stripe.com/error-low-level#content-errors"""
    gateway.charge(CHARGE)
    stripe.balance = 14_999
    assert gateway.refund(CHARGE, "pi_1") == NotRefunded("InvalidRequestError")
    assert gateway.refund(CHARGE, "pi_1") == NotRefunded("InvalidRequestError")
    assert stripe.money_moved == 15000
    stripe.balance = 15_000
    assert gateway.refund(CHARGE, "pi_1") == Refunded("re_1")
    assert stripe.money_moved == 0


def test_a_refund_key_that_was_used_with_other_parameters(stripe: Stripe, gateway: StripeGateway) -> None:
    """https://docs.stripe.com/api/idempotent_requests"""
    gateway.charge(CHARGE)
    assert gateway.refund(CHARGE, "pi_9") == NotRefunded("resource_missing")
    assert gateway.refund(CHARGE, "pi_1") == Refunded("re_1")


def test_a_refund_is_not_refused_because_it_cannot_be_listed(stripe: Stripe, gateway: StripeGateway) -> None:
    gateway.charge(CHARGE)
    stripe.faults = {REFUND: ["drop_after"], REFUNDS: ["refused"]}
    assert gateway.refund(CHARGE, "pi_1") == Unknown("parameter_invalid")
    assert gateway.refund(CHARGE, "pi_1") == Refunded("re_1")


def test_a_refund_that_somebody_made_by_hand_is_found(stripe: Stripe, gateway: StripeGateway) -> None:
    """https://docs.stripe.com/error-codes: charge_already_refunded"""
    gateway.charge(CHARGE)
    stripe.refund_by_hand("pi_1")
    assert gateway.refund(CHARGE, "pi_1") == Refunded("re_1")


def test_a_charge_that_was_given_back_in_hundreds_of_parts(stripe: Stripe, gateway: StripeGateway) -> None:
    """A page has a hundred at most: https://docs.stripe.com/api/pagination"""
    gateway.charge(CHARGE)
    for _ in range(150):
        stripe.refund_by_hand("pi_1", amount=100)
    assert gateway.refund(CHARGE, "pi_1") == Refunded("re_150")


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
    """https://docs.stripe.com/api/refunds/object: its status changes by itself."""
    gateway.charge(CHARGE)
    stripe.refund_status = "pending"
    assert gateway.refund(CHARGE, "pi_1") == Unknown("pending")
    stripe.refunds[0]["status"] = later
    assert gateway.refund(CHARGE, "pi_1") == outcome
    assert len(stripe.refunds) == 1
    assert gateway.refund(EXPIRED, "pi_1") == outcome
    stripe.faults = {REFUNDS: ["drop_before"]}
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
    stripe.faults = {REFUND: ["drop_after"]}
    gateway.refund(CHARGE, "pi_1")
    stripe.forget_keys()
    assert gateway.refund(EXPIRED, "pi_1") == Refunded("re_1")
    stripe.faults = {REFUNDS: ["rate_limit"]}
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


# Time


class RequestClock:
    """Ten seconds pass with every request that reaches Stripe."""

    def __init__(self, stripe: Stripe) -> None:
        self._stripe = stripe

    def __call__(self) -> float:
        return 10.0 * self._stripe.requests


@pytest.fixture
def slow_gateway(stripe: Stripe) -> Iterator[StripeGateway]:
    with serving(stripe) as url:
        yield StripeGateway(KnownKey("sk_test_x"), "test", url, RequestClock(stripe))


def test_a_call_takes_no_longer_than_the_port_allows() -> None:
    assert stripe_gateway.CALL_SECONDS < GATEWAY_SECONDS
    # With the fetch of the key before, there is time for what a charge needs.
    left = stripe_gateway.CALL_SECONDS - gateway_secret.FETCH_SECONDS
    assert left >= 4 * stripe_http.REQUEST_SECONDS


def test_the_keys_that_a_call_tries_are_as_many_as_it_has_time_for(stripe: Stripe, slow_gateway: StripeGateway) -> None:
    """Each is used up by a saved error. https://docs.stripe.com/api/idempotent_requests"""
    for attempt in range(9):
        stripe.faults = {CREATE: [*["of a replay: none"] * attempt, "error_before"]}
        slow_gateway.charge(replace(CHARGE, attempt=attempt + 1))
    stripe.requests = 0
    assert slow_gateway.charge(CHARGE) == NotCharged("APIConnectionError")
    assert stripe.requests == 5
    assert stripe.money_moved == 0


@pytest.mark.parametrize("call", ["lookup", "refund"])
def test_no_call_begins_a_request_after_its_time(stripe: Stripe, slow_gateway: StripeGateway, call: str) -> None:
    assert slow_gateway.charge(CHARGE) == Charged("pi_1")
    stripe.intents["pi_1"]["status"] = "requires_payment_method"
    stripe.add_intents("cus_1", 600)
    for _ in range(600):
        stripe.refund_by_hand("pi_1", amount=1)
    stripe.faults = {REFUND: ["drop_before"]}
    stripe.requests = 0
    outcome = slow_gateway.lookup(CHARGE) if call == "lookup" else slow_gateway.refund(CHARGE, "pi_1")
    assert outcome == Unknown("APIConnectionError")
    assert stripe.requests == 5


def test_no_confirmation_is_sent_that_could_not_be_waited_for(stripe: Stripe, slow_gateway: StripeGateway) -> None:
    """Its answer would be lost, and nothing known."""
    stripe.add_intents("cus_1", 250)
    assert slow_gateway.charge(AGAIN) == NotCharged("no_time_left")
    assert CONFIRM not in stripe.endpoints


@pytest.mark.parametrize("part", ["headers", "body"])
@pytest.mark.parametrize(
    ("endpoint", "outcome", "looked_up"),
    [
        (CARDS, NotCharged("APIConnectionError"), NotCharged("canceled")),
        (CREATE, Charged("pi_1"), Charged("pi_1")),
        (CONFIRM, Unknown("APIConnectionError"), Charged("pi_1")),
    ],
)
def test_an_answer_that_trickles_is_lost(
    stripe: Stripe,
    gateway: StripeGateway,
    monkeypatch: pytest.MonkeyPatch,
    part: str,
    endpoint: str,
    outcome: object,
    looked_up: object,
) -> None:
    """No wait for a byte is long, and all of them together are."""
    monkeypatch.setattr(stripe_http, "REQUEST_SECONDS", 20 * TRICKLE_SECONDS)
    stripe.faults = {endpoint: [f"trickle_{part}"]}
    assert gateway.charge(CHARGE) == outcome
    # The client is gone, and no thread of it waits on.
    assert stripe.abandoned.acquire(timeout=30)
    for thread in threading.enumerate():
        if thread.name == "stripe-request":
            thread.join(30)
            assert not thread.is_alive()
    assert gateway.lookup(CHARGE) == looked_up


def test_an_answer_that_does_not_come_is_lost(
    stripe: Stripe, gateway: StripeGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    stripe.faults, stripe.slow_seconds = {CONFIRM: ["slow"]}, 1.0
    monkeypatch.setattr(stripe_http, "REQUEST_SECONDS", 0.2)
    assert gateway.charge(CHARGE) == Unknown("APIConnectionError")
    while stripe.money_moved == 0:
        time.sleep(0.05)
    assert gateway.lookup(CHARGE) == Charged("pi_1")
    assert stripe.money_moved == 15000


def test_requests_share_a_connection(stripe: Stripe, gateway: StripeGateway) -> None:
    """A handshake for each would be a customer's wait."""
    gateway.charge(CHARGE)
    gateway.lookup(CHARGE)
    gateway.refund(CHARGE, "pi_1")
    assert stripe.requests > 4
    assert stripe.connections == 1


def test_a_connection_that_stripe_closed_is_not_used(stripe: Stripe, gateway: StripeGateway) -> None:
    """Seen to lose the first request after a pause."""
    stripe.idle_seconds = 0.2
    assert gateway.charge(CHARGE) == Charged("pi_1")
    assert stripe.closed.acquire(timeout=30)
    assert gateway.charge(AGAIN) == Charged("pi_1")
    assert stripe.connections == 2


def test_a_connection_that_was_idle_for_long_is_not_used(
    stripe: Stripe, gateway: StripeGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may have been closed while the execution environment was frozen."""
    gateway.charge(CHARGE)
    monkeypatch.setattr(stripe_http, "IDLE_SECONDS", 0)
    gateway.lookup(CHARGE)
    assert stripe.connections == 2


def test_nobody_listens() -> None:
    gateway = StripeGateway(KnownKey("sk_test_x"), "test", "http://127.0.0.1:1")
    assert gateway.charge(CHARGE) == NotCharged("APIConnectionError")
    assert gateway.lookup(CHARGE) == gateway.refund(CHARGE, "pi_1") == Unknown("APIConnectionError")


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
