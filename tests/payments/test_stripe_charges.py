"""Charges through Stripe: what each answer, card and request version means. Rules of Stripe are cited by page."""

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


def test_a_repeated_charge_is_charged_once(stripe: Stripe, gateway: Gateway) -> None:
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
        # The intent was created despite the fault: it is listed and used.
        ("error_after", Charged("pi_1")),
        ("drop_after", Charged("pi_1")),
    ],
)
def test_each_fault_of_a_creation_has_its_outcome(
    stripe: Stripe, gateway: Gateway, fault: str, outcome: object
) -> None:
    """Nothing is charged before the confirmation: https://docs.stripe.com/payments/paymentintents/lifecycle

    An error does not last, though Stripe saves it: https://docs.stripe.com/api/idempotent_requests
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
def test_each_fault_of_a_confirmation_has_its_outcome(
    stripe: Stripe, gateway: Gateway, fault: str, outcome: object, looked_up: object
) -> None:
    assert gateway.charge_with(confirm=fault) == outcome
    assert gateway.lookup(CHARGE) == looked_up
    assert stripe.money_moved == (15000 if isinstance(looked_up, Charged) else 0)
    # After the lookup, no call moves money.
    gateway.charge(CHARGE)
    assert gateway.charge(AGAIN) == (Unknown("canceled") if isinstance(looked_up, NotCharged) else looked_up)
    assert stripe.money_moved == (15000 if isinstance(looked_up, Charged) else 0)


@pytest.mark.parametrize("call", ["charge", "lookup"])
def test_a_charge_is_found_though_stripe_has_forgotten_its_keys(stripe: Stripe, gateway: Gateway, call: str) -> None:
    """Another API key may not know them either. Without the list, the gateway would charge again."""
    assert gateway.charge_with(confirm="drop_after") == Unknown("APIConnectionError")
    stripe.forget_keys()
    assert getattr(gateway, call)(AGAIN) == Charged("pi_1")
    assert len(stripe.intents) == 1
    assert stripe.money_moved == 15000


def test_two_environments_on_one_account_do_not_share_charges(stripe: Stripe, gateway: Gateway) -> None:
    """With the same transaction id in both, one would answer with the other's charge, and cancel it."""
    with serve_stripe(stripe) as url:
        another_gateway = StripeGateway(KnownKey("sk_test_x"), "other", url)
        assert gateway.charge(CHARGE) == Charged("pi_1")
        assert another_gateway.lookup(EXPIRED) == Unknown("the idempotency key is forgotten")
        assert another_gateway.charge(AGAIN) == Charged("pi_2")
        assert another_gateway.lookup(CHARGE) == Charged("pi_2")


def test_a_lookup_makes_not_charged_final(stripe: Stripe, gateway: Gateway) -> None:
    """An attempt that is slow finds the canceled intent, and creates none."""
    assert gateway.lookup(CHARGE) == NotCharged("canceled")
    assert not isinstance(gateway.charge(CHARGE), Charged)
    assert not isinstance(gateway.charge(AGAIN), Charged)
    assert stripe.money_moved == 0


def test_the_same_charge_at_the_same_time_is_charged_once(stripe: Stripe, gateway: Gateway) -> None:
    stripe.fail_next(confirm="slow")
    with ThreadPoolExecutor(2) as pool:
        outcomes = list(pool.map(lambda attempt: gateway.charge(replace(CHARGE, attempt=attempt)), (1, 2)))
    assert Charged("pi_1") in outcomes
    # That a key is in use says nothing about the outcome of the request that uses it.
    assert all(isinstance(outcome, Charged | Unknown | NotCharged) for outcome in outcomes)
    assert stripe.money_moved == 15000


@pytest.mark.parametrize("charge", [CHARGE, AGAIN])
def test_the_same_key_for_another_amount_is_not_charged(stripe: Stripe, gateway: Gateway, charge: Charge) -> None:
    """Nor does the gateway answer with the charge of the first amount."""
    gateway.charge(CHARGE)
    changed = replace(charge, amount=Money(15001, "USD"))
    assert gateway.charge(changed) == gateway.lookup(changed) == Unknown("another_amount")
    assert stripe.money_moved == 15000


def test_a_payment_that_stripe_cannot_charge_is_declined(stripe: Stripe, gateway: Gateway) -> None:
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
def test_a_charge_that_is_certain_to_fail_is_declined_at_the_first_attempt(
    stripe: Stripe, gateway: Gateway, change: dict, reason: str
) -> None:
    """https://docs.stripe.com/error-codes   https://docs.stripe.com/currencies#minimum-and-maximum-charge-amounts"""
    charge = replace(CHARGE, **change)
    assert gateway.charge(charge) == Declined(reason)
    assert gateway.charge(charge) == Declined(reason)
    if reason != "customer_not_found":
        assert gateway.charge(replace(charge, attempt=2)) == Declined(reason)
    assert stripe.intents == {}


def test_a_charge_that_is_certain_to_fail_may_have_been_charged_before(stripe: Stripe, gateway: Gateway) -> None:
    """The customer may be unknown because the API key belongs to another account."""
    gateway.charge_with(confirm="drop_after")
    stripe.unknown_customers.add("cus_1")
    assert gateway.charge(AGAIN) == Unknown("resource_missing")
    assert gateway.lookup(AGAIN) == Unknown("resource_missing")
    stripe.unknown_customers.clear()
    assert gateway.charge(AGAIN) == Charged("pi_1")


@pytest.mark.parametrize(("currency", "charged"), [("JPY", 15000), ("EUR", 15000), ("ISK", 0), ("MGA", 0), ("KWD", 0)])
def test_an_amount_reaches_stripe_in_its_units_or_is_declined(
    stripe: Stripe, gateway: Gateway, currency: str, charged: int
) -> None:
    """A currency that Stripe counts in other units is declined, not charged a hundredfold.

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
        # It stays open: no attempt can confirm it any more, and a lookup cancels it.
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


def test_the_outcome_of_a_canceled_intent_is_left_to_a_lookup(stripe: Stripe, gateway: Gateway) -> None:
    """The workflow would retry ``NotCharged`` in vain: the key was used with the other card."""
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
def test_a_removed_card_does_not_hide_an_earlier_attempt(
    stripe: Stripe, gateway: Gateway, fault: str, outcome: object
) -> None:
    gateway.charge_with(confirm=fault)
    stripe.cards["cus_1"] = []
    assert gateway.charge(AGAIN) == outcome
    # A decline is final, even if the customer adds a card.
    stripe.cards["cus_1"] = ["pm_new"]
    gateway.charge(replace(CHARGE, attempt=3))
    assert stripe.money_moved == (15000 if isinstance(outcome, Charged) else 0)


def test_an_unanswered_list_without_a_card_leaves_the_outcome_unknown(stripe: Stripe, gateway: Gateway) -> None:
    stripe.cards["cus_1"] = []
    assert gateway.charge_with(AGAIN, list_intents="drop_before") == Unknown("APIConnectionError")


def test_a_payment_keeps_its_request_version_through_an_upgrade(
    stripe: Stripe, gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stripe refuses a key whose parameters differ from those of its first use.

    https://docs.stripe.com/api/idempotent_requests
    """
    with serve_stripe(stripe) as url, monkeypatch.context() as older:
        # The form of the first release, which never changes.
        older.setattr(stripe_requests, "FORMS", {1: stripe_requests.Form({"payment_method_types": ["card"]}, {})})
        stripe.fail_next(confirm="drop_after")
        claimed = replace(CHARGE, request_version=1)
        assert StripeGateway(KnownKey("sk_test_x"), "test", url).charge(claimed) == Unknown("APIConnectionError")
    assert gateway.request_version == 2
    assert gateway.charge(claimed) == gateway.charge(replace(claimed, attempt=2)) == Charged("pi_1")
    assert gateway.lookup(claimed) == Charged("pi_1")
    assert stripe.errors == []
    assert stripe.money_moved == 15000


def test_an_unknown_request_version_is_not_guessed(stripe: Stripe, gateway: Gateway) -> None:
    newer = replace(CHARGE, request_version=3)
    assert gateway.charge(newer) == NotCharged("request_version_not_supported")
    assert gateway.lookup(newer) == Unknown("request_version_not_supported")
    assert stripe.keys == []
    gateway.charge(CHARGE)
    assert gateway.lookup(newer) == Charged("pi_1")
    assert gateway.refund(newer, "pi_1") == Refunded("re_1")


def test_a_measured_gateway_has_the_request_version_of_its_gateway(gateway: Gateway) -> None:
    assert MeasuredGateway(gateway).request_version == gateway.request_version


def test_neither_key_nor_parameters_are_logged(
    stripe: Stripe, gateway: Gateway, caplog: pytest.LogCaptureFixture
) -> None:
    """Nor is the customer: the HTTP library logs the URLs of its requests."""
    caplog.set_level(logging.DEBUG)
    stripe.fail_next(confirm="decline")
    outcome = gateway.charge(CHARGE)
    revealed_text = caplog.text + repr(outcome)
    assert "sk_test_x" not in revealed_text
    assert "MARKED" not in revealed_text
    assert CHARGE.customer_id not in revealed_text
