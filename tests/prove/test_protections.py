"""Each protection removed, one at a time: the enumeration of crash points then finds what it protects from."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import payments.payment
import pytest
from adapters.dynamodb import DynamoDBLedger
from handlers import processing
from payments import charge as charging
from payments import failure, operator_actions
from payments.notification import Notification
from payments.payment import Payment, Status
from payments.ports import Charge, NotCharged, Outcome, Unknown

from tests.prove import services, world
from tests.prove.services import FakeGateway
from tests.prove.test_crash_points import (
    SCENARIOS,
    Scenario,
    check_again_after_a_day,
    check_table_put_back_in_time,
    check_twice,
    list_plans,
    run_scenario,
)
from tests.prove.test_races import (
    an_index_that_lags,
    another_request_under_the_id,
    giving_up_against_processing,
    run_race,
    two_functions,
)
from tests.prove.world import World


def a_key_per_attempt(patch: pytest.MonkeyPatch) -> None:
    build_charge = charging.build_charge

    def per_attempt(payment: Payment, key_expired: bool = False) -> Charge:
        charge = build_charge(payment, key_expired)
        return replace(charge, idempotency_key=f"{charge.idempotency_key}-{charge.attempt}")

    for module in (charging, operator_actions):
        patch.setattr(module, "build_charge", per_attempt)


def no_condition_on_the_payment(patch: pytest.MonkeyPatch) -> None:
    """The step's own condition still fences, but whoever loses takes it for a defect."""
    patch.setattr(services, "_is_condition_met", lambda *_: True)


def no_condition_on_the_step(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(DynamoDBLedger, "NEW_STEP", "")


def no_condition_at_all(patch: pytest.MonkeyPatch) -> None:
    no_condition_on_the_payment(patch)
    no_condition_on_the_step(patch)


def no_lease(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(charging, "LEASE_SECONDS", 0)


def no_claim(patch: pytest.MonkeyPatch) -> None:
    """Charge first, write afterwards."""

    def unclaimed(payment: Payment, *_: Any) -> Payment:
        return replace(payment, attempt=payment.attempt + 1)

    patch.setattr(charging, "_claim_payment", unclaimed)
    any_status = {status: frozenset(Status) for status in [None, *Status]}
    for module in (payments.payment, world):
        patch.setattr(module, "TRANSITIONS", any_status)


def no_closing(patch: pytest.MonkeyPatch) -> None:
    """Reconciliation would find, and complete, what was charged under a payment that failed."""
    patch.setattr(Payment, "needs_closing", False)


def no_doubt_after_a_take_over(patch: pytest.MonkeyPatch) -> None:
    no_closing(patch)
    charge = charging._charge_claimed
    patch.setattr(charging, "_charge_claimed", lambda *args, **_: charge(*args, is_taken_over=False))


def a_lookup_that_is_not_final(patch: pytest.MonkeyPatch) -> None:
    def lookup(self: FakeGateway, charge: Charge) -> Outcome:
        return self._answers.get(charge.idempotency_key) or NotCharged("not yet")

    patch.setattr(FakeGateway, "_do_lookup", lookup)


def an_unknown_outcome_taken_for_a_failure(patch: pytest.MonkeyPatch) -> None:
    no_closing(patch)
    really = FakeGateway.charge

    def charge(self: FakeGateway, charge: Charge) -> Outcome:
        outcome = really(self, charge)
        return NotCharged(outcome.reason) if isinstance(outcome, Unknown) else outcome

    patch.setattr(FakeGateway, "charge", charge)


def no_stop_before_the_key_is_forgotten(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(charging, "is_charge_window_over", lambda *_: False)


def a_forgotten_key_to_look_up(patch: pytest.MonkeyPatch) -> None:
    build_charge = charging.build_charge
    patch.setattr(charging, "build_charge", lambda payment, *_: build_charge(payment))


def a_forgotten_key_to_refund(patch: pytest.MonkeyPatch) -> None:
    build_charge = charging.build_charge
    patch.setattr(operator_actions, "build_charge", lambda payment, _: build_charge(payment))


def no_refunding_before_the_refund(patch: pytest.MonkeyPatch) -> None:
    """Ask the gateway first, write afterwards."""

    def unmarked(before: Payment, after: Payment, ledger: Any) -> Payment:
        return (
            replace(before, status=after.status) if after.status is Status.REFUNDING else write(before, after, ledger)
        )

    write = operator_actions.write_step
    patch.setattr(operator_actions, "write_step", unmarked)


def no_reconciliation(patch: pytest.MonkeyPatch) -> None:
    patch.setattr("handlers.reconciliation.handler", lambda *_: {})


def no_second_look_whether_it_is_overdue(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Payment, "is_overdue", lambda *_: True)


def no_holder_of_a_payment(patch: pytest.MonkeyPatch) -> None:
    """Whoever fails at a payment gives it up and announces it."""
    find = DynamoDBLedger.find_payment

    def give_up_any(transaction_id: str, *, execution: str, ledger: Any, **arguments: Any) -> failure.Failure:
        payment = find(ledger, transaction_id)
        return really(transaction_id, execution=payment.execution if payment else execution, ledger=ledger, **arguments)

    really = failure.record_failure
    patch.setattr("handlers.processing.record_failure", give_up_any)


def no_claim_of_a_notice(patch: pytest.MonkeyPatch) -> None:
    """Whoever fails announces it."""
    really = failure.record_failure
    patch.setattr(
        "handlers.processing.record_failure",
        lambda *args, **arguments: replace(really(*args, **arguments), is_announced=True),
    )


def no_confirmation(patch: pytest.MonkeyPatch) -> None:
    patch.setattr("handlers.processing.confirm_notice", lambda *_, **__: None)


def no_notice_due(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Notification, "must_announce", lambda *_: False)


def no_thought_of_what_was_heard_before(patch: pytest.MonkeyPatch) -> None:
    failures = (Status.FAILED, Status.REVIEW)
    patch.setattr(Notification, "must_announce", lambda _, status: status in failures)


def nobody_to_announce_a_decline(patch: pytest.MonkeyPatch) -> None:
    answer = processing.describe_payment
    patch.setattr("handlers.processing.describe_payment", lambda *args: answer(*args) | {"announce": False})
    # Whoever holds the claim is taken for done.
    confirm = failure.confirm_notice
    patch.setattr(
        "handlers.processing.confirm_notice", lambda *args, **arguments: confirm(*args, **arguments | {"is_sent": True})
    )
    patch.setattr("handlers.reconciliation.send_due_notice", lambda payment, **_: payment)


def a_letter_taken_for_left(patch: pytest.MonkeyPatch) -> None:
    confirm = failure.confirm_notice
    patch.setattr(
        "handlers.processing.confirm_notice",
        lambda *args, **arguments: confirm(*args, **arguments | {"is_dead_lettered": True}),
    )


def confirmed_before_it_is_sent(patch: pytest.MonkeyPatch) -> None:
    def confirm_first(payment: Payment, *, ledger: Any, notices: Any, clock: Any, **_: Any) -> Payment:
        claimed = charging.claim_notice(payment, ledger, "reconciliation", clock())
        confirmed = failure.confirm_notice(
            payment.transaction_id,
            "reconciliation",
            notice_id=payment.notice_id,
            is_sent=True,
            is_dead_lettered=True,
            ledger=ledger,
            clock=clock,
        )
        notices.dead_letter(payment)
        notices.announce(payment)
        return confirmed or claimed

    patch.setattr("handlers.reconciliation.send_due_notice", confirm_first)


def by_crash_points(*scenarios: str) -> Callable[[], None]:
    def prove() -> None:
        for scenario in (SCENARIOS[name] for name in scenarios):
            for first in list_plans(_run_checked(scenario, {})):
                for second in list_plans(_run_checked(scenario, dict([first])), beyond=first[0]):
                    _run_checked(scenario, dict([first, second]))

    return prove


def by_outage(scenario: str, service: str) -> Callable[[], None]:
    return lambda: run_scenario(SCENARIOS[scenario], {}, (service, 0)).check_payments()


def by_race(race: Callable[[World], list[Any]]) -> Callable[[], None]:
    def prove() -> None:
        run_race(race)

    return prove


def by_a_request_again_after_a_day() -> None:
    check_again_after_a_day()


@pytest.mark.parametrize(
    ("remove", "prove", "message"),
    [
        (a_key_per_attempt, by_crash_points("charged"), "charged 2 times"),
        (no_claim, by_crash_points("charged"), "FAILED, and charged"),
        (no_lease, by_race(two_functions), "two charges at once"),
        (no_doubt_after_a_take_over, by_crash_points("away after the first try"), "FAILED, and charged"),
        (a_lookup_that_is_not_final, by_crash_points("charged"), "FAILED, and charged"),
        (an_unknown_outcome_taken_for_a_failure, by_crash_points("away after the first try"), "FAILED, and charged"),
        (no_stop_before_the_key_is_forgotten, by_a_request_again_after_a_day, "charged 2 times"),
        (a_forgotten_key_to_look_up, by_crash_points("charged, and no schedule for a day"), "FAILED, and charged"),
        (a_forgotten_key_to_refund, by_crash_points("refunded, and no schedule for a day"), "refunded 2 times"),
        (no_refunding_before_the_refund, by_crash_points("refunded"), "refunded 1 times"),
        (no_reconciliation, by_crash_points("charged"), "still "),
        (no_second_look_whether_it_is_overdue, by_race(an_index_that_lags), "ended FAILED"),
        (no_condition_on_the_payment, by_race(two_functions), "lost with LedgerRefused"),
        (no_condition_on_the_step, check_table_put_back_in_time, "overwritten"),
        (no_condition_at_all, by_race(giving_up_against_processing), "the ledger|FAILED, and charged"),
        (no_holder_of_a_payment, by_race(another_request_under_the_id), "ended FAILED"),
        (no_claim_of_a_notice, check_twice, "announced twice"),
        (no_confirmation, check_twice, "announced twice"),
        (no_notice_due, by_crash_points("silent for good"), "nobody was notified"),
        (no_thought_of_what_was_heard_before, by_crash_points("redriven"), "last heard FAILED"),
        (nobody_to_announce_a_decline, by_crash_points("declined"), "still due"),
        (a_letter_taken_for_left, by_outage("away for good", "workflow.send"), "no dead letter"),
        (confirmed_before_it_is_sent, by_crash_points("silent for good"), "nobody was notified"),
    ],
    ids=lambda value: "" if getattr(value, "__name__", "prove") in ("prove", "<lambda>") else value.__name__,
)
def test_without_it_the_proof_fails(
    remove: Callable[[pytest.MonkeyPatch], None],
    prove: Callable[[], object],
    message: str,
    monkeypatch: pytest.MonkeyPatch,
    record_figure: Any,
) -> None:
    remove(monkeypatch)
    with pytest.raises(AssertionError, match=message):
        prove()
    record_figure("protections removed, each noticed", 1)


def _run_checked(scenario: Scenario, plan: dict[int, Any]) -> World:
    world = run_scenario(scenario, plan)
    world.check_payments()
    return world
