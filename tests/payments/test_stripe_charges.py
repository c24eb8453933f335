"""Charges through Stripe: what each answer, card and form of request means. A rule of Stripe names its page."""

import logging
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
from adapters import stripe_requests
from adapters.measured_gateway import MeasuredGateway
from adapters.stripe_gateway import StripeGateway
from payments.money import Money
from payments.ports import Charge, Charged, Declined, NotCharged, Refunded, Unknown

from tests.payments.stripe_cases import AGAIN, AUTHENTICATE, CHARGE, DECLINED, EXPIRED, Gateway, KnownKey
from tests.payments.stripe_server import Stripe, serve_stripe


def test_charged_once_however_often_it_is_asked(stripe: Stripe, gateway: Gateway) -> None:
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
def test_a_creation_that_fails(stripe: Stripe, gateway: Gateway, fault: str, outcome: object) -> None:
    """Nothing before the confirmation can have charged. https://docs.stripe.com/payments/paymentintents/lifecycle

    And no error of it lasts, though Stripe saves it: https://docs.stripe.com/api/idempotent_requests
    """
    assert gateway.charge_with(create=fault) == outcome
    assert stripe.money_moved == (15000 if isinstance(outcome, Charged) else 0)
    assert gateway.charge(AGAIN) == Charged("pi_1")
    assert len(stripe.intents) == 1
    assert stripe.money_moved == 15000


@pytest.mark.parametrize(
    ("fault", "outcome", "looked_up"),
    [
        ("decline", DECLINED, DECLINED),
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
    stripe: Stripe, gateway: Gateway, fault: str, outcome: object, looked_up: object
) -> None:
    assert gateway.charge_with(confirm=fault) == outcome
    assert gateway.lookup(CHARGE) == looked_up
    assert stripe.money_moved == (15000 if isinstance(looked_up, Charged) else 0)
    # Whatever comes after the lookup, the money moves no more.
    gateway.charge(CHARGE)
    assert gateway.charge(AGAIN) == (Unknown("canceled") if isinstance(looked_up, NotCharged) else looked_up)
    assert stripe.money_moved == (15000 if isinstance(looked_up, Charged) else 0)


@pytest.mark.parametrize("call", ["charge", "lookup"])
def test_a_charge_under_keys_that_stripe_does_not_know_any_more_is_found(
    stripe: Stripe, gateway: Gateway, call: str
) -> None:
    """As they might be unknown to another API key: seen to charge again, and to say "not charged", without the list."""
    assert gateway.charge_with(confirm="drop_after") == Unknown("APIConnectionError")
    stripe.forget_keys()
    assert getattr(gateway, call)(AGAIN) == Charged("pi_1")
    assert len(stripe.intents) == 1
    assert stripe.money_moved == 15000


def test_two_environments_on_one_account_do_not_meet(stripe: Stripe, gateway: Gateway) -> None:
    """The same transaction id in both: seen to answer with the other's charge, and to cancel it."""
    with serve_stripe(stripe) as url:
        another_gateway = StripeGateway(KnownKey("sk_test_x"), "other", url)
        assert gateway.charge(CHARGE) == Charged("pi_1")
        assert another_gateway.lookup(EXPIRED) == Unknown("the idempotency key is forgotten")
        assert another_gateway.charge(AGAIN) == Charged("pi_2")
        assert another_gateway.lookup(CHARGE) == Charged("pi_2")


def test_a_lookup_makes_not_charged_final(stripe: Stripe, gateway: Gateway) -> None:
    """An attempt that is only slow finds an intent that is canceled, and not none."""
    assert gateway.lookup(CHARGE) == NotCharged("canceled")
    assert not isinstance(gateway.charge(CHARGE), Charged)
    assert not isinstance(gateway.charge(AGAIN), Charged)
    assert stripe.money_moved == 0


def test_the_same_charge_at_the_same_time_is_charged_once(stripe: Stripe, gateway: Gateway) -> None:
    stripe.fail_next(confirm="slow")
    with ThreadPoolExecutor(2) as pool:
        outcomes = list(pool.map(lambda attempt: gateway.charge(replace(CHARGE, attempt=attempt)), (1, 2)))
    assert Charged("pi_1") in outcomes
    # A key in use says nothing of what is being done under it.
    assert all(isinstance(outcome, Charged | Unknown | NotCharged) for outcome in outcomes)
    assert stripe.money_moved == 15000


@pytest.mark.parametrize("charge", [CHARGE, AGAIN])
def test_the_same_key_for_another_amount_is_not_charged(stripe: Stripe, gateway: Gateway, charge: Charge) -> None:
    """Nor is the charge of the first amount an answer for it."""
    gateway.charge(CHARGE)
    changed = replace(charge, amount=Money(15001, "USD"))
    assert gateway.charge(changed) == gateway.lookup(changed) == Unknown("another_amount")
    assert stripe.money_moved == 15000


def test_what_stripe_cannot_charge(stripe: Stripe, gateway: Gateway) -> None:
    assert gateway.charge(replace(CHARGE, payment_method="bank_transfer")) == Declined("payment_method_not_supported")
    assert gateway.charge(replace(CHARGE, customer_id="cus_without")) == Declined("no_payment_method")
    assert stripe.intents == {}


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
    stripe: Stripe, gateway: Gateway, change: dict, reason: str
) -> None:
    """https://docs.stripe.com/error-codes   https://docs.stripe.com/currencies#minimum-and-maximum-charge-amounts"""
    charge = replace(CHARGE, **change)
    assert gateway.charge(charge) == Declined(reason)
    assert gateway.charge(charge) == Declined(reason)
    if reason != "customer_not_found":
        assert gateway.charge(replace(charge, attempt=2)) == Declined(reason)
    assert stripe.intents == {}


def test_what_is_certain_to_fail_may_have_been_charged_before(stripe: Stripe, gateway: Gateway) -> None:
    """Or the customer is unknown because the API key is of another account."""
    gateway.charge_with(confirm="drop_after")
    stripe.unknown_customers.add("cus_1")
    assert gateway.charge(AGAIN) == Unknown("resource_missing")
    assert gateway.lookup(AGAIN) == Unknown("resource_missing")
    stripe.unknown_customers.clear()
    assert gateway.charge(AGAIN) == Charged("pi_1")


@pytest.mark.parametrize(("currency", "charged"), [("JPY", 15000), ("EUR", 15000), ("ISK", 0), ("MGA", 0), ("KWD", 0)])
def test_the_amount_that_reaches_stripe(stripe: Stripe, gateway: Gateway, currency: str, charged: int) -> None:
    """Or none: what Stripe counts in other units is declined, not charged a hundredfold.

    https://docs.stripe.com/currencies#special-cases
    """
    outcome = gateway.charge(replace(CHARGE, amount=Money(15000, currency)))
    assert outcome == (Charged("pi_1") if charged else Declined("currency_not_supported"))
    assert stripe.money_moved == charged


def test_a_card_added_between_two_attempts_is_charged(stripe: Stripe, gateway: Gateway) -> None:
    assert gateway.charge_with(confirm="rate_limit") == NotCharged("RateLimitError")
    stripe.cards["cus_1"] = ["pm_new", "pm_card"]
    assert gateway.charge(AGAIN) == Charged("pi_1")
    assert stripe.intents["pi_1"]["payment_method"] == "pm_new"
    assert stripe.money_moved == 15000


@pytest.mark.parametrize(
    ("fault", "again", "looked_up"),
    [
        ("drop_after", Charged("pi_1"), Charged("pi_1")),
        ("decline_then_drop", DECLINED, DECLINED),
        ("action_then_drop", AUTHENTICATE, AUTHENTICATE),
        # Left open: no attempt can confirm it any more, and a lookup ends it.
        ("error_before", Unknown("IdempotencyError"), NotCharged("canceled")),
    ],
)
@pytest.mark.parametrize("attempt", [1, 2])
def test_a_card_added_after_a_lost_answer_is_not_charged_again(
    stripe: Stripe, gateway: Gateway, attempt: int, fault: str, again: object, looked_up: object
) -> None:
    assert isinstance(gateway.charge_with(confirm=fault), Unknown)
    stripe.cards["cus_1"] = ["pm_new", "pm_card"]
    assert gateway.charge(replace(CHARGE, attempt=attempt)) == again
    assert gateway.lookup(CHARGE) == looked_up
    assert stripe.intents["pi_1"]["status"] == ("succeeded" if isinstance(again, Charged) else "canceled")
    assert stripe.money_moved == (15000 if isinstance(again, Charged) else 0)


def test_what_a_canceled_intent_came_to_is_left_to_a_lookup(stripe: Stripe, gateway: Gateway) -> None:
    """``NotCharged`` of a charge would be tried again, in vain: the key is used up with the other card."""
    gateway.charge_with(confirm="error_before")
    assert gateway.lookup(CHARGE) == NotCharged("canceled")
    stripe.cards["cus_1"] = ["pm_new", "pm_card"]
    assert gateway.charge(AGAIN) == Unknown("canceled")


@pytest.mark.parametrize(
    ("fault", "outcome"),
    [
        ("drop_after", Charged("pi_1")),
        ("decline_then_drop", DECLINED),
        ("action_then_drop", AUTHENTICATE),
        ("drop_before", NotCharged("canceled")),
    ],
)
def test_a_lookup_needs_no_card(stripe: Stripe, gateway: Gateway, fault: str, outcome: object) -> None:
    gateway.charge_with(confirm=fault)
    stripe.cards["cus_1"] = []
    assert gateway.lookup(CHARGE) == outcome
    assert stripe.intents["pi_1"]["status"] == ("succeeded" if isinstance(outcome, Charged) else "canceled")


@pytest.mark.parametrize(
    ("fault", "outcome"),
    [
        ("drop_after", Charged("pi_1")),
        ("decline_then_drop", DECLINED),
        ("rate_limit", Declined("no_payment_method")),
    ],
)
def test_a_card_that_is_gone_says_nothing_of_an_earlier_attempt(
    stripe: Stripe, gateway: Gateway, fault: str, outcome: object
) -> None:
    gateway.charge_with(confirm=fault)
    stripe.cards["cus_1"] = []
    assert gateway.charge(AGAIN) == outcome
    # A decline is final, whatever cards come later.
    stripe.cards["cus_1"] = ["pm_new"]
    gateway.charge(replace(CHARGE, attempt=3))
    assert stripe.money_moved == (15000 if isinstance(outcome, Charged) else 0)


def test_the_card_is_gone_and_stripe_does_not_answer(stripe: Stripe, gateway: Gateway) -> None:
    stripe.cards["cus_1"] = []
    assert gateway.charge_with(AGAIN, list_intents="drop_before") == Unknown("APIConnectionError")


def test_an_upgrade_in_the_middle_of_a_payment(
    stripe: Stripe, gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A key is refused with other parameters than it was first used with, so an old payment keeps the old ones.

    https://docs.stripe.com/api/idempotent_requests
    """
    with serve_stripe(stripe) as url, monkeypatch.context() as older:
        # As the first release had it, for good.
        older.setattr(stripe_requests, "FORMS", {1: stripe_requests.Form({"payment_method_types": ["card"]}, {})})
        stripe.fail_next(confirm="drop_after")
        claimed = replace(CHARGE, request_version=1)
        assert StripeGateway(KnownKey("sk_test_x"), "test", url).charge(claimed) == Unknown("APIConnectionError")
    assert gateway.request_version == 2
    assert gateway.charge(claimed) == gateway.charge(replace(claimed, attempt=2)) == Charged("pi_1")
    assert gateway.lookup(claimed) == Charged("pi_1")
    assert stripe.errors == []
    assert stripe.money_moved == 15000


def test_a_form_that_only_a_newer_release_has_is_not_guessed(stripe: Stripe, gateway: Gateway) -> None:
    newer = replace(CHARGE, request_version=3)
    assert gateway.charge(newer) == NotCharged("request_version_not_supported")
    assert gateway.lookup(newer) == Unknown("request_version_not_supported")
    assert stripe.keys == []
    gateway.charge(CHARGE)
    assert gateway.lookup(newer) == Charged("pi_1")
    assert gateway.refund(newer, "pi_1") == Refunded("re_1")


def test_a_measured_gateway_has_the_form_of_what_it_measures(gateway: Gateway) -> None:
    assert MeasuredGateway(gateway).request_version == gateway.request_version


def test_neither_key_nor_parameters_are_logged(
    stripe: Stripe, gateway: Gateway, caplog: pytest.LogCaptureFixture
) -> None:
    """Nor the customer: what sends the requests logs their addresses."""
    caplog.set_level(logging.DEBUG)
    stripe.fail_next(confirm="decline")
    outcome = gateway.charge(CHARGE)
    revealed_text = caplog.text + repr(outcome)
    assert "sk_test_x" not in revealed_text
    assert "MARKED" not in revealed_text
    assert CHARGE.customer_id not in revealed_text
