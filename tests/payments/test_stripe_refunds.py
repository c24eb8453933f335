"""Refunds through Stripe: each is made once, and found whoever made it."""

import pytest
from payments.ports import NotRefunded, Refunded, Unknown

from tests.payments.stripe_cases import CHARGE, EXPIRED, REFUND_KEY, Gateway
from tests.payments.stripe_server import Stripe


@pytest.fixture(autouse=True)
def charge_payment(gateway: Gateway) -> None:
    gateway.charge(CHARGE)


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
def test_a_payment_is_refunded_once_whatever_fails(stripe: Stripe, gateway: Gateway, fault: str, first: object) -> None:
    """An error is saved with its key for a day: https://docs.stripe.com/api/idempotent_requests"""
    stripe.fail_next(refund=fault)
    assert gateway.refund(CHARGE, "pi_1") == first
    assert gateway.refund(CHARGE, "pi_1") == gateway.refund(CHARGE, "pi_1") == Refunded("re_1")
    assert stripe.money_moved == 0
    assert len(stripe.refunds) == 1


def test_a_refund_whose_saved_error_took_effect_late_is_not_given_twice(stripe: Stripe, gateway: Gateway) -> None:
    """The refunds of a charge cannot exceed it: https://docs.stripe.com/refunds"""
    stripe.fail_next(refund="error_late")
    assert gateway.refund(CHARGE, "pi_1") == Unknown("APIError")
    assert stripe.keys[-1] == REFUND_KEY
    assert gateway.refund(CHARGE, "pi_1") == Refunded("re_1")
    assert stripe.keys[-1] == f"{REFUND_KEY}-2"
    stripe.catch_up()
    assert gateway.refund(CHARGE, "pi_1") == Refunded("re_1")
    assert stripe.money_moved == 0


def test_a_refund_is_not_refused_while_an_earlier_one_may_take_effect(stripe: Stripe, gateway: Gateway) -> None:
    """A request that failed with a 500 may take effect at any time: https://docs.stripe.com/error-low-level"""
    stripe.fail_next(refund=["error_late", "of the replay: none", "refused"])
    assert gateway.refund(CHARGE, "pi_1") == Unknown("APIError")
    assert gateway.refund(CHARGE, "pi_1") == Unknown("parameter_invalid")
    stripe.catch_up()
    assert gateway.refund(CHARGE, "pi_1") == Refunded("re_1")


def test_a_refund_is_made_once_the_balance_covers_it(stripe: Stripe, gateway: Gateway) -> None:
    """Stripe saves a 400 as well: https://docs.stripe.com/error-low-level#content-errors"""
    stripe.balance = 14_999
    assert gateway.refund(CHARGE, "pi_1") == NotRefunded("InvalidRequestError")
    assert gateway.refund(CHARGE, "pi_1") == NotRefunded("InvalidRequestError")
    assert stripe.money_moved == 15000
    stripe.balance = 15_000
    assert gateway.refund(CHARGE, "pi_1") == Refunded("re_1")
    assert stripe.money_moved == 0


def test_a_refund_key_used_with_other_parameters_is_replaced(stripe: Stripe, gateway: Gateway) -> None:
    """https://docs.stripe.com/api/idempotent_requests"""
    assert gateway.refund(CHARGE, "pi_9") == NotRefunded("resource_missing")
    assert gateway.refund(CHARGE, "pi_1") == Refunded("re_1")


def test_a_refund_is_not_refused_because_it_cannot_be_listed(stripe: Stripe, gateway: Gateway) -> None:
    stripe.fail_next(refund="drop_after", list_refunds="refused")
    assert gateway.refund(CHARGE, "pi_1") == Unknown("parameter_invalid")
    assert gateway.refund(CHARGE, "pi_1") == Refunded("re_1")


def test_a_refund_that_somebody_made_by_hand_is_found(stripe: Stripe, gateway: Gateway) -> None:
    """https://docs.stripe.com/error-codes: charge_already_refunded"""
    stripe.refund_by_hand("pi_1")
    assert gateway.refund(CHARGE, "pi_1") == Refunded("re_1")


def test_a_charge_refunded_in_hundreds_of_parts_is_refunded(stripe: Stripe, gateway: Gateway) -> None:
    """A page has a hundred at most: https://docs.stripe.com/api/pagination"""
    for _ in range(150):
        stripe.refund_by_hand("pi_1", amount=100)
    assert gateway.refund(CHARGE, "pi_1") == Refunded("re_150")


@pytest.mark.parametrize(
    ("next_status", "outcome"),
    [
        ("pending", Unknown("pending")),
        ("requires_action", Unknown("requires_action")),
        ("succeeded", Refunded("re_1")),
        ("failed", NotRefunded("failed")),
        ("canceled", NotRefunded("canceled")),
    ],
)
def test_a_pending_refund_is_looked_up_again(
    stripe: Stripe, gateway: Gateway, next_status: str, outcome: object
) -> None:
    """Its status changes by itself: https://docs.stripe.com/api/refunds/object"""
    stripe.refund_status = "pending"
    assert gateway.refund(CHARGE, "pi_1") == Unknown("pending")
    stripe.refunds[0]["status"] = next_status
    assert gateway.refund(CHARGE, "pi_1") == outcome
    assert len(stripe.refunds) == 1
    assert gateway.refund(EXPIRED, "pi_1") == outcome
    stripe.fail_next(list_refunds="drop_before")
    assert gateway.refund(CHARGE, "pi_1") == Unknown("APIConnectionError")


def test_a_refund_made_by_hand_after_a_failed_one_counts(stripe: Stripe, gateway: Gateway) -> None:
    stripe.refund_status = "pending"
    gateway.refund(CHARGE, "pi_1")
    stripe.refunds[0]["status"] = "failed"
    stripe.refund_by_hand("pi_1", status="succeeded")
    assert gateway.refund(CHARGE, "pi_1") == Refunded("re_2")


def test_a_refund_under_a_forgotten_key_is_only_looked_up(stripe: Stripe, gateway: Gateway) -> None:
    stripe.forget_keys()
    assert gateway.refund(EXPIRED, "pi_1") == Unknown("no refund found")
    assert stripe.refunds == []
    stripe.fail_next(refund="drop_after")
    gateway.refund(CHARGE, "pi_1")
    stripe.forget_keys()
    assert gateway.refund(EXPIRED, "pi_1") == Refunded("re_1")
    stripe.fail_next(list_refunds="rate_limit")
    assert gateway.refund(EXPIRED, "pi_1") == Unknown("RateLimitError")
    assert len(stripe.refunds) == 1


OUR_METADATA, ANOTHER_PAYMENT = {"transaction_id": "T-1", "environment": "test"}, {"transaction_id": "T-2"}
BY_HAND = None


@pytest.mark.parametrize(
    ("refunds_made", "outcome"),
    [
        ([("failed", OUR_METADATA, 15000), ("succeeded", OUR_METADATA, 15000)], Refunded("re_2")),
        ([("succeeded", OUR_METADATA, 15000), ("failed", BY_HAND, 15000)], Refunded("re_1")),
        ([("failed", OUR_METADATA, 15000), ("pending", OUR_METADATA, 15000)], Unknown("pending")),
        ([("canceled", OUR_METADATA, 15000), ("failed", OUR_METADATA, 15000)], NotRefunded("failed")),
        ([("failed", OUR_METADATA, 15000), ("pending", BY_HAND, 15000)], Unknown("pending")),
        # Our refund returns what a partial refund by hand left.
        ([("pending", BY_HAND, 5000), ("succeeded", OUR_METADATA, 10000)], Refunded("re_2")),
        ([("succeeded", OUR_METADATA, 10000), ("succeeded", BY_HAND, 5000)], Refunded("re_1")),
        ([("succeeded", BY_HAND, 5000), ("succeeded", ANOTHER_PAYMENT, 10000)], Refunded("re_2")),
        # A partial refund is not the whole, and the refund of somebody else proves nothing about ours.
        ([("succeeded", BY_HAND, 5000)], Unknown("no refund found")),
        ([("failed", BY_HAND, 15000)], Unknown("no refund found")),
        ([("succeeded", BY_HAND, 5000), ("failed", OUR_METADATA, 10000)], NotRefunded("failed")),
    ],
)
def test_several_refunds_have_one_outcome(
    stripe: Stripe, gateway: Gateway, refunds_made: list, outcome: object
) -> None:
    for status, metadata, amount in refunds_made:
        stripe.refund_by_hand("pi_1", status=status, metadata=metadata, amount=amount)
    assert gateway.refund(EXPIRED, "pi_1") == outcome
