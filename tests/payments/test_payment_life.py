"""A payment is recorded once, claimed before it is charged, charged at most once, and finished once."""

import pytest
from payments.charge import CHARGE_WINDOW_SECONDS, LEASE_SECONDS
from payments.errors import (
    ChargeOutcomeUnknown,
    GatewayUnavailable,
    IdempotencyConflict,
    PaymentChanged,
    PaymentGivenUp,
    PaymentInProgress,
    PaymentNotRecorded,
    ReviewNeeded,
)
from payments.notification import NOTIFIER_SECONDS
from payments.payment import TRANSITIONS, Status
from payments.ports import GATEWAY_SECONDS, ActionRequired, Charge, Charged, Declined, NotCharged, Outcome, Unknown

from tests.fakes import ScriptedGateway
from tests.payments.life import ANOTHER_EXECUTION, EXECUTION, Life


def die_before_charging(_charge: Charge) -> Charged:
    raise SystemExit


def test_a_charged_payment_is_completed_in_three_steps(life: Life) -> None:
    completed = life.process()
    assert life.statuses == [Status.PENDING, Status.PROCESSING, Status.COMPLETED]
    assert (completed.attempt, completed.gateway_reference, completed.lease_until) == (1, "ref-1", None)
    assert [payment.sequence for payment in life.ledger.history] == [1, 2, 3]


def test_a_rejected_payment_is_recorded_and_never_charged() -> None:
    life = Life()
    life.notify_outcomes = False
    rejected = life.validate(payment_amount=-1)
    assert (rejected.status, rejected.reasons) == (Status.REJECTED, ("payment_amount must be above 0",))
    assert life.process() == rejected
    assert life.gateway.calls == []


def test_an_outcome_without_a_charge_is_announced_by_one_execution() -> None:
    life = Life()
    life.validate(payment_amount=-1)
    assert life.process().notification.notifier == EXECUTION
    assert life.process(ANOTHER_EXECUTION).notification.notifier == EXECUTION
    life.confirm(is_dead_lettered=False)
    assert life.process(ANOTHER_EXECUTION).notification.notifier is None


@pytest.mark.parametrize("outcome", [Declined("c"), ActionRequired("authentication_required")])
def test_a_decline_whose_execution_is_stopped_before_the_notice_is_announced_by_the_next(
    life: Life, outcome: Outcome
) -> None:
    life.gateway.script = [outcome]
    life.process()
    life.time += NOTIFIER_SECONDS
    assert life.payment.is_overdue(life.time)
    assert life.process(ANOTHER_EXECUTION).notification.notifier == ANOTHER_EXECUTION


@pytest.mark.parametrize(
    ("outcome", "status"),
    [(Declined("the code"), Status.DECLINED), (ActionRequired("the code"), Status.ACTION_REQUIRED)],
)
def test_a_payment_that_the_gateway_refused_keeps_the_reason(life: Life, outcome: Outcome, status: Status) -> None:
    life.gateway.script = [outcome]
    assert life.process().reasons == ("the code",)
    assert (life.payment.status, life.payment.idempotency_key_closed) == (status, True)


def test_an_unavailable_gateway_stops_only_what_needs_it(life: Life) -> None:
    def connect() -> ScriptedGateway:
        raise GatewayUnavailable("the secret cannot be read")

    with pytest.raises(GatewayUnavailable):
        life.process(connect=connect)
    assert life.payment.status is Status.PENDING  # nothing is claimed
    life.process()
    assert life.process(connect=connect).status is Status.COMPLETED


def test_a_repeated_request_is_answered_and_not_charged_again(life: Life) -> None:
    completed = life.process()
    assert life.validate(ANOTHER_EXECUTION) == completed
    assert life.process(ANOTHER_EXECUTION) == completed
    assert len(life.gateway.calls) == 1


def test_another_request_under_the_same_id_is_a_conflict(life: Life) -> None:
    with pytest.raises(IdempotencyConflict):
        life.validate(payment_amount=151)
    assert len(life.ledger.history) == 1


def test_another_record_under_the_same_id_is_a_conflict(life: Life) -> None:
    assert life.payment.record_id == repr(life.time)
    with pytest.raises(IdempotencyConflict):
        life.process(record_id="1.0")
    assert life.gateway.calls == []


def test_a_payment_that_was_never_validated_is_not_charged() -> None:
    life = Life()
    with pytest.raises(PaymentNotRecorded):
        life.process(record_id="1.0")
    assert life.gateway.calls == []


def test_a_payment_that_the_gateway_did_not_charge_is_pending_and_can_be_tried_again(life: Life) -> None:
    life.assert_process_raises(GatewayUnavailable, NotCharged("away"))
    assert life.payment.status is Status.PENDING
    life.gateway.request_version = 2  # a new release, but the key was first used with the older form
    assert life.process().attempt == 2
    assert [charge.request_version for _, charge in life.gateway.calls] == [1, 1]


def test_an_unknown_outcome_is_looked_up_and_not_charged_again(life: Life) -> None:
    def charge_and_lose_the_answer(charge: Charge) -> Unknown:
        life.gateway.really_charge(charge)
        return Unknown("timeout")

    life.assert_process_raises(ChargeOutcomeUnknown, charge_and_lose_the_answer)
    assert life.payment.status is Status.UNKNOWN
    assert life.process().gateway_reference == "ref-1"
    assert life.gateway_calls == ["charge", "lookup"]


def test_an_outcome_stays_unknown_while_no_lookup_finds_it(life: Life) -> None:
    for _ in range(3):
        life.assert_process_raises(ChargeOutcomeUnknown, Unknown("timeout"))
    assert life.payment.status is Status.UNKNOWN
    assert life.gateway_calls == ["charge", "lookup", "lookup"]


def test_an_unknown_outcome_that_proves_uncharged_is_given_up_and_not_charged(life: Life) -> None:
    life.assert_process_raises(ChargeOutcomeUnknown, Unknown("timeout"))
    for _ in range(2):
        life.assert_process_raises(PaymentGivenUp)
    assert life.payment.status is Status.FAILED
    assert life.gateway.charges == {}


def test_a_claim_excludes_others_until_its_lease_ends(life: Life) -> None:
    def die_after_charging(charge: Charge) -> Charged:
        life.gateway.really_charge(charge)
        raise SystemExit

    life.assert_process_raises(SystemExit, die_after_charging)
    life.time += LEASE_SECONDS - 1
    life.assert_process_raises(PaymentInProgress)
    life.time += 1
    completed = life.process()
    assert (completed.status, completed.attempt, completed.gateway_reference) == (Status.COMPLETED, 2, "ref-1")
    # The second attempt uses the same key, so the gateway answers with the charge of the first.
    assert len({charge.idempotency_key for _, charge in life.gateway.calls}) == 1
    assert len(life.gateway.charges) == 1


def test_a_take_over_charges_what_the_dead_attempt_did_not(life: Life) -> None:
    life.assert_process_raises(SystemExit, die_before_charging)
    life.time += LEASE_SECONDS
    assert life.process().status is Status.COMPLETED
    assert life.gateway_calls == ["charge", "charge"]
    assert len({charge.idempotency_key for _, charge in life.gateway.calls}) == 1


def test_a_take_over_that_charged_nothing_proves_nothing_about_the_dead_attempt(life: Life) -> None:
    life.assert_process_raises(SystemExit, die_before_charging)
    life.time += LEASE_SECONDS
    life.assert_process_raises(ChargeOutcomeUnknown, NotCharged("away"))
    assert life.payment.status is Status.UNKNOWN


def test_an_adapter_that_raises_may_have_charged(life: Life) -> None:
    def raise_after_charging(charge: Charge) -> Charged:
        life.gateway.really_charge(charge)
        raise RuntimeError

    life.assert_process_raises(ChargeOutcomeUnknown, raise_after_charging)
    assert life.process().status is Status.COMPLETED


def test_nothing_is_charged_once_the_gateway_may_have_forgotten_the_key(life: Life) -> None:
    life.assert_process_raises(GatewayUnavailable, NotCharged("away"))
    life.time += CHARGE_WINDOW_SECONDS
    life.assert_process_raises(ReviewNeeded)
    assert len(life.gateway.calls) == 1


def test_a_claim_outlasts_the_gateways_longest_call() -> None:
    assert LEASE_SECONDS > GATEWAY_SECONDS


def test_a_slow_attempt_cannot_finish_a_payment_that_another_took_over(life: Life) -> None:
    def be_slow(charge: Charge) -> Charged:
        charged = life.gateway.really_charge(charge)
        life.time += LEASE_SECONDS
        assert life.process(ANOTHER_EXECUTION).attempt == 2
        return charged

    life.assert_process_raises(PaymentChanged, be_slow, match="not recorded: ref-1")
    assert life.payment.status is Status.COMPLETED
    assert len(life.gateway.charges) == 1


def test_two_functions_that_read_the_payment_at_once_claim_it_once(life: Life) -> None:
    life.act_after_next_read(lambda: life.process(ANOTHER_EXECUTION))
    life.assert_process_raises(PaymentChanged)
    assert len(life.gateway.calls) == 1


def test_a_transition_that_the_table_does_not_allow_is_refused(life: Life) -> None:
    life.process()
    for status in set(Status) - {Status.REFUNDING}:
        with pytest.raises(ValueError, match="cannot go from COMPLETED"):
            life.payment.with_status(status, at=life.time)


def test_a_later_step_keeps_the_claim_of_a_notice(life: Life) -> None:
    claimed = life.payment.with_changes(at=2000.0).with_claimed_notice(ANOTHER_EXECUTION, 2000.0)
    assert claimed.status is Status.PENDING
    after = claimed.with_status(Status.PROCESSING, at=2001.0).with_status(Status.COMPLETED, at=2002.0)
    assert (after.notification.notified_status, after.notification.notifier) == (Status.UNKNOWN, ANOTHER_EXECUTION)
    assert after.notification.is_due


def test_every_status_is_in_the_table_and_can_be_reached() -> None:
    assert set(TRANSITIONS) == {None, *Status}
    assert {target for targets in TRANSITIONS.values() for target in targets} == set(Status)
