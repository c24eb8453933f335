"""Declined and closed intents at Stripe: none stays open for somebody to charge."""

from dataclasses import replace

import pytest
from payments.ports import Charged, NotCharged, Refunded, Unknown

from tests.payments.stripe_cases import AGAIN, AUTHENTICATE, CHARGE, DECLINED, EXPIRED, OPEN_DECLINE, Gateway
from tests.payments.stripe_server import Stripe

NEXT = replace(CHARGE, idempotency_key="payment-T-1-1", attempt=5, generation=1)


def test_a_payment_that_was_closed_is_charged_under_its_next_key(stripe: Stripe, gateway: Gateway) -> None:
    """A canceled intent is canceled for good: https://docs.stripe.com/api/payment_intents/cancel"""
    gateway.charge_with(confirm="rate_limit")
    assert gateway.close(CHARGE) == NotCharged("canceled")
    assert gateway.close(CHARGE) == NotCharged("canceled")
    assert gateway.charge(AGAIN) == Unknown("canceled")
    assert gateway.charge(NEXT) == gateway.lookup(NEXT) == Charged("pi_2")
    assert stripe.intents["pi_2"]["metadata"]["generation"] == "1"
    assert stripe.money_moved == 15000
    assert gateway.refund(NEXT, "pi_2") == gateway.refund(NEXT, "pi_2") == Refunded("re_1")


def test_a_charge_under_an_earlier_key_is_not_repeated(stripe: Stripe, gateway: Gateway) -> None:
    gateway.charge(CHARGE)
    assert gateway.charge(NEXT) == gateway.lookup(NEXT) == gateway.close(NEXT) == Charged("pi_1")
    assert stripe.money_moved == 15000


def test_closing_creates_nothing(stripe: Stripe, gateway: Gateway) -> None:
    assert gateway.close(CHARGE) == NotCharged("no_intent")
    assert stripe.intents == {}


@pytest.mark.parametrize("fault", ["error_before", "drop_before"])
def test_a_decline_is_closed_only_when_its_intent_is(stripe: Stripe, gateway: Gateway, fault: str) -> None:
    assert gateway.charge_with(confirm="decline", cancel=[fault, fault]) == OPEN_DECLINE
    assert gateway.close(CHARGE) == OPEN_DECLINE
    assert gateway.close(CHARGE) == DECLINED
    assert stripe.intents["pi_1"]["status"] == "canceled"


@pytest.mark.parametrize("faults", [["error_before"], ["", "error_before"]], ids=["list", "search"])
def test_a_payment_is_not_closed_while_its_intents_cannot_be_listed(
    stripe: Stripe, gateway: Gateway, faults: list[str]
) -> None:
    gateway.charge_with(confirm="rate_limit")
    stripe.fail_next(list_intents=faults)
    assert isinstance(gateway.close(EXPIRED), Unknown)
    assert gateway.close(EXPIRED) == NotCharged("canceled")


@pytest.mark.parametrize("fault", ["decline", "action", "soft_decline"])
@pytest.mark.parametrize(
    ("cancellation", "is_closed"),
    [("", True), ("drop_before", False), ("drop_after", False), ("error_before", False), ("refused", False)],
)
def test_the_intent_of_a_refused_payment_is_closed(
    stripe: Stripe, gateway: Gateway, fault: str, cancellation: str, is_closed: bool
) -> None:
    """Otherwise anybody with its id or client secret could confirm it with another card.

    https://docs.stripe.com/payments/paymentintents/lifecycle   https://docs.stripe.com/declines/codes
    """
    refused = DECLINED if fault == "decline" else AUTHENTICATE
    assert gateway.charge_with(confirm=fault, cancel=cancellation) == replace(refused, is_closed=is_closed)
    is_canceled = cancellation in ("", "drop_after")
    assert stripe.intents["pi_1"]["status"] == ("canceled" if is_canceled else "requires_payment_method")
    # The next call closes an intent that is still open.
    assert gateway.lookup(CHARGE) == refused
    assert stripe.intents["pi_1"]["status"] == "canceled"
    assert gateway.charge(AGAIN) == refused


@pytest.mark.parametrize("call", ["charge", "lookup"])
def test_a_decline_is_reported_open_until_its_intent_is_closed(gateway: Gateway, call: str) -> None:
    assert gateway.charge_with(confirm="decline", cancel=["error_before", "rate_limit"]) == OPEN_DECLINE
    assert getattr(gateway, call)(AGAIN) == OPEN_DECLINE
    assert getattr(gateway, call)(AGAIN) == DECLINED


def test_a_declined_intent_that_is_charged_before_it_is_closed_is_a_charge(stripe: Stripe, gateway: Gateway) -> None:
    assert gateway.charge_with(confirm="decline", cancel="error_before") == OPEN_DECLINE
    stripe.intents["pi_1"]["status"] = "succeeded"
    assert gateway.lookup(CHARGE) == Charged("pi_1")


def test_a_declined_intent_that_is_charged_while_it_is_closed_is_a_charge(stripe: Stripe, gateway: Gateway) -> None:
    """https://docs.stripe.com/api/payment_intents/cancel: one that has succeeded cannot be canceled."""
    assert gateway.charge_with(confirm="decline", cancel="confirmed_before") == Charged("pi_1")


def test_a_decline_is_not_confirmed_again_though_its_key_is_unknown(stripe: Stripe, gateway: Gateway) -> None:
    """Another API key may not know it."""
    assert gateway.charge_with(confirm="decline_then_drop") == Unknown("APIConnectionError")
    stripe.forget_keys()
    assert gateway.charge(AGAIN) == DECLINED
    assert stripe.money_moved == 0


@pytest.mark.parametrize(("version", "is_off_session"), [(1, False), (2, True)])
def test_a_request_for_authentication_is_an_outcome(
    stripe: Stripe, gateway: Gateway, version: int, is_off_session: bool
) -> None:
    """With off_session, it is a card error; without, the intent waits in requires_action.

    https://docs.stripe.com/payments/save-and-reuse
    """
    assert gateway.charge_with(replace(CHARGE, request_version=version), confirm="action") == AUTHENTICATE
    assert (stripe.errors == ["card_error"]) is is_off_session
    assert stripe.intents["pi_1"]["status"] == "canceled"


def test_an_action_that_could_not_be_closed_is_closed_later(stripe: Stripe, gateway: Gateway) -> None:
    """Until then the customer may act. https://docs.stripe.com/payments/paymentintents/lifecycle"""
    charge = replace(CHARGE, request_version=1)
    assert gateway.charge_with(charge, confirm="action", cancel="drop_before") == replace(AUTHENTICATE, is_closed=False)
    assert stripe.intents["pi_1"]["status"] == "requires_action"
    assert gateway.lookup(charge) == AUTHENTICATE
    assert stripe.intents["pi_1"]["status"] == "canceled"


def test_a_decline_is_reported_even_if_canceling_clears_it(stripe: Stripe, gateway: Gateway) -> None:
    """Stripe's reference does not say whether it does."""
    stripe.canceling_clears_errors = True
    assert gateway.charge_with(confirm="decline_then_drop") == Unknown("APIConnectionError")
    assert gateway.lookup(CHARGE) == DECLINED


def test_a_decline_without_a_code_has_a_general_one(stripe: Stripe, gateway: Gateway) -> None:
    gateway.charge_with(confirm="decline_then_drop")
    del stripe.intents["pi_1"]["last_payment_error"]["code"]
    assert gateway.lookup(CHARGE) == DECLINED


def test_a_charge_during_the_cancellation_of_a_lookup_is_found(stripe: Stripe, gateway: Gateway) -> None:
    """https://docs.stripe.com/api/payment_intents/cancel: one that has succeeded cannot be canceled."""
    gateway.charge_with(confirm="drop_before", cancel="confirmed_before")
    assert gateway.lookup(CHARGE) == Charged("pi_1")
