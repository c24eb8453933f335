"""Each protection removed, one at a time: the enumeration of crash points then finds what it protects from."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import payments.payment
import pytest
from adapters.dynamodb import DynamoDBLedger
from payments import process, reconcile
from payments.payment import Payment, Status
from payments.ports import Charge, NotCharged, Outcome, Unknown

from tests.prove import world
from tests.prove.test_crash_points import SCENARIOS, check_again_after_a_day, plans, run
from tests.prove.test_races import RACES, run_race
from tests.prove.world import FakeGateway, World


def a_key_per_attempt(patch: pytest.MonkeyPatch) -> None:
    charge_of = process.charge_of

    def per_attempt(payment: Payment, now: float | None = None) -> Charge:
        charge = charge_of(payment, now)
        return replace(charge, idempotency_key=f"{charge.idempotency_key}-{charge.attempt}")

    for module in (process, reconcile):
        patch.setattr(module, "charge_of", per_attempt)


def no_condition_on_writes(patch: pytest.MonkeyPatch) -> None:
    """Neither on the status nor on the step: each alone still fences the other."""
    patch.setattr(world, "_holds", lambda *_: True)
    patch.setattr(DynamoDBLedger, "NEW_STEP", "")


def no_claim(patch: pytest.MonkeyPatch) -> None:
    """Charge first, write afterwards."""

    def unclaimed(payment: Payment, *_: Any) -> Payment:
        return replace(payment, attempt=payment.attempt + 1)

    patch.setattr(process, "_claim", unclaimed)
    anything = {status: frozenset(Status) for status in [None, *Status]}
    for module in (payments.payment, world):
        patch.setattr(module, "TRANSITIONS", anything)


def no_doubt_after_a_take_over(patch: pytest.MonkeyPatch) -> None:
    charge = process._charge
    patch.setattr(process, "_charge", lambda *args, **_: charge(*args, taken_over=False))


def a_lookup_that_is_not_final(patch: pytest.MonkeyPatch) -> None:
    def lookup(self: FakeGateway, charge: Charge) -> Outcome:
        return self._answers.get(charge.idempotency_key) or NotCharged("not yet")

    patch.setattr(FakeGateway, "_lookup", lookup)


def an_unknown_outcome_taken_for_a_failure(patch: pytest.MonkeyPatch) -> None:
    really = FakeGateway.charge

    def charge(self: FakeGateway, charge: Charge) -> Outcome:
        outcome = really(self, charge)
        return NotCharged(outcome.reason) if isinstance(outcome, Unknown) else outcome

    patch.setattr(FakeGateway, "charge", charge)


def no_stop_before_the_key_is_forgotten(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(process, "window_is_over", lambda *_: False)


def no_reconciliation(patch: pytest.MonkeyPatch) -> None:
    patch.setattr("reconciliation.handler", lambda *_: {})


def by_crash_points() -> None:
    for behaviour in SCENARIOS.values():
        for first in plans(_checked(behaviour, {})):
            for second in plans(_checked(behaviour, dict([first])), beyond=first[0]):
                _checked(behaviour, dict([first, second]))


def by_a_request_again_after_a_day() -> None:
    check_again_after_a_day()


def by_races() -> None:
    for race in RACES:
        run_race(race)


@pytest.mark.parametrize(
    ("remove", "prove", "found"),
    [
        (a_key_per_attempt, by_crash_points, "charged 2 times"),
        (no_claim, by_crash_points, "FAILED, and charged"),
        (no_doubt_after_a_take_over, by_crash_points, "FAILED, and charged"),
        (a_lookup_that_is_not_final, by_crash_points, "FAILED, and charged"),
        (an_unknown_outcome_taken_for_a_failure, by_crash_points, "FAILED, and charged"),
        (no_stop_before_the_key_is_forgotten, by_a_request_again_after_a_day, "charged 2 times"),
        (no_reconciliation, by_crash_points, "still "),
        (no_condition_on_writes, by_races, "the ledger|FAILED, and charged"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_without_it_the_proof_fails(
    remove: Callable[[pytest.MonkeyPatch], None],
    prove: Callable[[], None],
    found: str,
    monkeypatch: pytest.MonkeyPatch,
    tried: Any,
) -> None:
    remove(monkeypatch)
    with pytest.raises(AssertionError, match=found):
        prove()
    tried("protections removed, and found missing", 1)


def _checked(behaviour: Any, plan: dict[int, Any]) -> World:
    done = run(behaviour, plan)
    done.check()
    return done
