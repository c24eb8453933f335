"""Removes each protection in turn: a test of crash points, outages or races must then fail."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import payments.payment
import pytest
from adapters.dynamodb import DynamoDBLedger
from handlers import processing, reconciliation
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
    check_restored_table,
    check_twice,
    list_plans,
    run_scenario,
)
from tests.prove.test_races import (
    Race,
    an_index_that_lags,
    another_request_under_the_id,
    giving_up_against_processing,
    run_race,
    two_functions,
)
from tests.prove.world import World

Removal = Callable[[pytest.MonkeyPatch], None]


def replace_attribute(owner: Any, name: str, value: Any) -> Removal:
    return lambda patch: patch.setattr(owner, name, value)


def use_a_key_per_attempt(patch: pytest.MonkeyPatch) -> None:
    build_charge = charging.build_charge

    def build_with_attempt(payment: Payment, key_expired: bool = False) -> Charge:
        charge = build_charge(payment, key_expired)
        return replace(charge, idempotency_key=f"{charge.idempotency_key}-{charge.attempt}")

    for module in (charging, operator_actions):
        patch.setattr(module, "build_charge", build_with_attempt)


def drop_all_conditions(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(services, "_is_condition_met", lambda *_: True)
    patch.setattr(DynamoDBLedger, "NEW_STEP", "")


def charge_without_a_claim(patch: pytest.MonkeyPatch) -> None:
    """Charge first and write afterwards."""
    patch.setattr(charging, "_claim_payment", lambda payment, *_: replace(payment, attempt=payment.attempt + 1))
    any_status = {status: frozenset(Status) for status in [None, *Status]}
    for module in (payments.payment, world):
        patch.setattr(module, "TRANSITIONS", any_status)


def close_nothing(patch: pytest.MonkeyPatch) -> None:
    """Otherwise reconciliation finds and completes what was charged under a failed payment."""
    patch.setattr(Payment, "needs_closing", False)


def trust_a_take_over(patch: pytest.MonkeyPatch) -> None:
    close_nothing(patch)
    charge = charging._charge_claimed
    patch.setattr(charging, "_charge_claimed", lambda *args, **_: charge(*args, is_taken_over=False))


def trust_a_lookup_that_is_not_final(patch: pytest.MonkeyPatch) -> None:
    def find_answer(self: FakeGateway, charge: Charge) -> Outcome:
        return self._answers.get(charge.idempotency_key) or NotCharged("not yet")

    patch.setattr(FakeGateway, "_do_lookup", find_answer)


def take_an_unknown_outcome_for_a_failure(patch: pytest.MonkeyPatch) -> None:
    close_nothing(patch)
    charge_really = FakeGateway.charge

    def charge_or_fail(self: FakeGateway, charge: Charge) -> Outcome:
        outcome = charge_really(self, charge)
        return NotCharged(outcome.reason) if isinstance(outcome, Unknown) else outcome

    patch.setattr(FakeGateway, "charge", charge_or_fail)


def use_a_forgotten_key(module: Any) -> Removal:
    """The charges of a module never say that the gateway has forgotten their key."""
    build_charge = charging.build_charge
    return replace_attribute(module, "build_charge", lambda payment, *_: build_charge(payment))


def refund_before_it_is_recorded(patch: pytest.MonkeyPatch) -> None:
    """Ask the gateway first and write afterwards."""
    write_step = operator_actions.write_step

    def write_unless_refunding(before: Payment, after: Payment, ledger: Any) -> Payment:
        if after.status is Status.REFUNDING:
            return replace(before, status=after.status)
        return write_step(before, after, ledger)

    patch.setattr(operator_actions, "write_step", write_unless_refunding)


def give_up_payments_of_others(patch: pytest.MonkeyPatch) -> None:
    """An execution that fails gives up the payment and announces it, whichever execution holds the payment."""
    find_payment, record_failure = DynamoDBLedger.find_payment, failure.record_failure

    def give_up_any(transaction_id: str, *, execution: str, ledger: Any, **fields: Any) -> failure.Failure:
        payment = find_payment(ledger, transaction_id)
        holder = payment.execution if payment else execution
        return record_failure(transaction_id, execution=holder, ledger=ledger, **fields)

    patch.setattr(processing, "record_failure", give_up_any)


def announce_without_a_claim(patch: pytest.MonkeyPatch) -> None:
    """Each execution that fails announces it."""
    record_failure = failure.record_failure
    patch.setattr(
        processing,
        "record_failure",
        lambda *args, **fields: replace(record_failure(*args, **fields), is_announced=True),
    )


def confirm_as(**confirmed: bool) -> Removal:
    """Processing records a notice or a dead letter as sent, whether it was sent or not."""
    confirm_notice = failure.confirm_notice
    return replace_attribute(
        processing, "confirm_notice", lambda *args, **fields: confirm_notice(*args, **fields | confirmed)
    )


def leave_declines_unannounced(patch: pytest.MonkeyPatch) -> None:
    describe_payment = processing.describe_payment
    patch.setattr(processing, "describe_payment", lambda *args: describe_payment(*args) | {"announce": False})
    confirm_as(is_sent=True)(patch)
    patch.setattr(reconciliation, "send_due_notice", lambda payment, **_: payment)


def confirm_before_sending(patch: pytest.MonkeyPatch) -> None:
    def confirm_and_send(payment: Payment, *, ledger: Any, notices: Any, clock: Any, **_: Any) -> Payment:
        claimed = charging.claim_notice(payment, ledger, "reconciliation", clock())
        confirmation = {"notice_id": payment.notice_id, "is_sent": True, "is_dead_lettered": True}
        confirmed = failure.confirm_notice(
            payment.transaction_id, "reconciliation", ledger=ledger, clock=clock, **confirmation
        )
        notices.dead_letter(payment)
        notices.announce(payment)
        return confirmed or claimed

    patch.setattr(reconciliation, "send_due_notice", confirm_and_send)


def by_crash_points(name: str) -> Callable[[], object]:
    def run_checked(plan: dict[int, Any]) -> World:
        scenario: Scenario = SCENARIOS[name]
        world = run_scenario(scenario, plan)
        world.check_payments()
        return world

    def prove() -> None:
        for first in list_plans(run_checked({})):
            for second in list_plans(run_checked(dict([first])), beyond=first[0]):
                run_checked(dict([first, second]))

    return prove


def by_outage(scenario: str, service: str) -> Callable[[], object]:
    return lambda: run_scenario(SCENARIOS[scenario], {}, (service, 0)).check_payments()


def by_race(race: Race) -> Callable[[], object]:
    return lambda: run_race(race)


# How each protection is removed, which proof then fails, and with which message.
REMOVALS: dict[str, tuple[Removal, Callable[[], object], str]] = {
    "one key for all attempts": (use_a_key_per_attempt, by_crash_points("charged"), "charged 2 times"),
    "the claim before a charge": (charge_without_a_claim, by_crash_points("charged"), "FAILED, and was charged"),
    "the lease": (replace_attribute(charging, "LEASE_SECONDS", 0), by_race(two_functions), "two charges at once"),
    "the doubt after a take-over": (
        trust_a_take_over, by_crash_points("away after the first try"), "FAILED, and was charged"),
    "a lookup that is final": (
        trust_a_lookup_that_is_not_final, by_crash_points("charged"), "FAILED, and was charged"),
    "an unknown outcome is no failure": (
        take_an_unknown_outcome_for_a_failure, by_crash_points("away after the first try"),
        "FAILED, and was charged"),
    "no charge under a forgotten key": (
        replace_attribute(charging, "is_charge_window_over", lambda *_: False), check_again_after_a_day,
        "charged 2 times"),
    "no lookup of a forgotten key": (
        use_a_forgotten_key(charging), by_crash_points("charged, and no schedule for a day"),
        "FAILED, and was charged"),
    "no refund under a forgotten key": (
        use_a_forgotten_key(operator_actions), by_crash_points("refunded, and no schedule for a day"),
        "refunded 2 times"),
    "REFUNDING before the refund": (refund_before_it_is_recorded, by_crash_points("refunded"), "refunded 1 times"),
    "reconciliation": (
        replace_attribute(reconciliation, "handler", lambda *_: {}), by_crash_points("charged"), "still "),
    "the second check that a payment is overdue": (
        replace_attribute(Payment, "is_overdue", lambda *_: True), by_race(an_index_that_lags), "ended FAILED"),
    # The condition of the step still protects, but whoever loses the race takes that for a defect.
    "the condition of the payment": (
        replace_attribute(services, "_is_condition_met", lambda *_: True), by_race(two_functions),
        "lost with LedgerRefused"),
    "the condition of the step": (
        replace_attribute(DynamoDBLedger, "NEW_STEP", ""), check_restored_table, "overwritten"),
    "both conditions": (
        drop_all_conditions, by_race(giving_up_against_processing), "the ledger|FAILED, and was charged"),
    "the holder of a payment": (
        give_up_payments_of_others, by_race(another_request_under_the_id), "ended FAILED"),
    "the claim of a notice": (announce_without_a_claim, check_twice, "announced twice"),
    "the confirmation of a notice": (
        replace_attribute(processing, "confirm_notice", lambda *_, **__: None), check_twice, "announced twice"),
    "due notices": (
        replace_attribute(Notification, "must_announce", lambda *_: False), by_crash_points("silent for good"),
        "nobody was notified"),
    "what subscribers heard before": (
        replace_attribute(
            Notification, "must_announce", lambda _, status: status in (Status.FAILED, Status.REVIEW)),
        by_crash_points("redriven"), "last heard FAILED"),
    "the notice of a decline": (leave_declines_unannounced, by_crash_points("declined"), "still due"),
    "the check for the dead letter": (
        confirm_as(is_dead_lettered=True), by_outage("away for good", "workflow.send"), "dead letter"),
    "sending before confirming": (confirm_before_sending, by_crash_points("silent for good"), "nobody was notified"),
}  # fmt: skip


@pytest.mark.parametrize("protection", REMOVALS)
def test_a_proof_fails_without_the_protection(
    protection: str, monkeypatch: pytest.MonkeyPatch, record_figure: Any
) -> None:
    remove, prove, message = REMOVALS[protection]
    remove(monkeypatch)
    with pytest.raises(AssertionError, match=message):
        prove()
    record_figure("protections removed, each noticed", 1)
