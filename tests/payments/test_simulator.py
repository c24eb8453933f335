"""The simulated gateway: the amount selects the outcome, and the key determines the reference."""

from dataclasses import replace

import pytest
from adapters.simulator import Simulator
from payments.money import Money
from payments.ports import ActionRequired, Charge, Charged, Declined, NotCharged, NotRefunded, Refunded, Unknown


def build_charge(cents: int, attempt: int = 1) -> Charge:
    return Charge("payment-T-1", "T-1", Money(15000 + cents, "USD"), "credit_card", "C-1", attempt)


@pytest.mark.parametrize(
    ("cents", "attempt", "charge", "lookup"),
    [
        (0, 1, Charged, NotCharged),
        (1, 1, Declined, NotCharged),
        (2, 1, NotCharged, NotCharged),
        (2, 2, NotCharged, NotCharged),
        (2, 3, Charged, NotCharged),
        (3, 9, NotCharged, NotCharged),
        (4, 1, Unknown, Charged),
        (5, 1, Unknown, NotCharged),
        (6, 1, Unknown, Unknown),
        (7, 1, Charged, NotCharged),
        (10, 1, ActionRequired, NotCharged),
        (11, 4, NotCharged, NotCharged),
        (11, 5, Charged, NotCharged),
    ],
)
def test_the_amount_selects_the_outcome(cents: int, attempt: int, charge: type, lookup: type) -> None:
    simulator = Simulator(sleep=lambda _: None)
    assert isinstance(simulator.charge(build_charge(cents, attempt)), charge)
    assert isinstance(simulator.lookup(build_charge(cents, attempt)), lookup)


def test_the_same_key_gives_the_same_charge() -> None:
    first, second = (Simulator().charge(build_charge(0, attempt)) for attempt in (1, 2))
    assert first == second
    assert Simulator().lookup(build_charge(4)) == Simulator().lookup(build_charge(4, attempt=2))


def test_an_amount_selects_a_slow_answer() -> None:
    slept: list[float] = []
    Simulator(sleep=slept.append).charge(build_charge(7))
    assert slept == [1.0]


def test_the_amount_selects_the_outcome_of_a_refund() -> None:
    simulator = Simulator()
    assert simulator.refund(build_charge(0), "sim_1") == Refunded("simre_1")
    assert isinstance(simulator.refund(build_charge(8), "sim_1"), NotRefunded)
    assert isinstance(simulator.refund(build_charge(9), "sim_1"), Unknown)


def test_a_lookup_of_a_refund_has_the_same_outcome() -> None:
    simulator = Simulator()
    for cents, outcome in ((0, Refunded), (8, NotRefunded), (9, Unknown)):
        assert isinstance(simulator.refund(replace(build_charge(cents), key_expired=True), "sim_1"), outcome)
