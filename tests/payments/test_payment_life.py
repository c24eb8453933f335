"""A payment's life: recorded once, claimed before it is charged, charged at most once, finished once."""

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
from payments.payment import TRANSITIONS, Payment, Status
from payments.ports import GATEWAY_SECONDS, ActionRequired, Charge, Charged, Declined, NotCharged, Outcome, Unknown

from tests.fakes import ScriptedGateway
from tests.payments.life import EXECUTION, Life


@pytest.fixture
def life() -> Life:
    return Life()


def die_before_charging(_charge: Charge) -> Charged:
    raise SystemExit


def test_a_payment_that_goes_well(life: Life) -> None:
    life.validate()
    completed = life.process()
    assert life.statuses == [Status.PENDING, Status.PROCESSING, Status.COMPLETED]
    assert (completed.attempt, completed.gateway_reference, completed.lease_until) == (1, "ref-1", None)
    assert [payment.sequence for payment in life.ledger.history] == [1, 2, 3]


def test_a_rejected_payment_is_recorded_and_never_charged(life: Life) -> None:
    life.notify_outcomes = False
    rejected = life.validate(payment_amount=-1)
    assert rejected.status is Status.REJECTED
    assert life.process() == rejected
    assert life.gateway.calls == []


def test_an_outcome_without_a_charge_is_announced_by_one_execution(life: Life) -> None:
    life.validate(payment_amount=-1)
    assert life.process().notification.notifier == EXECUTION
    assert life.process(execution="arn:execution:2").notification.notifier == EXECUTION
    life.confirm(is_dead_lettered=False)
    assert life.process(execution="arn:execution:2").notification.notifier is None


@pytest.mark.parametrize("outcome", [Declined("c"), ActionRequired("authentication_required")])
def test_a_decline_whose_execution_is_stopped_before_the_notice_is_announced_by_the_next(
    life: Life, outcome: Outcome
) -> None:
    life.validate()
    life.gateway.script = [outcome]
    life.process()
    life.time += NOTIFIER_SECONDS
    assert life.payment.is_overdue(life.time)
    assert life.process(execution="arn:execution:2").notification.notifier == "arn:execution:2"


def test_an_action_that_the_customer_has_to_take_is_an_outcome_with_its_reason(life: Life) -> None:
    life.validate()
    life.gateway.script = [ActionRequired("authentication_required")]
    assert life.process().reasons == ("authentication_required",)
    assert (life.payment.status, life.payment.idempotency_key_closed) == (Status.ACTION_REQUIRED, True)


def test_a_gateway_that_cannot_be_had_stops_only_what_needs_it(life: Life) -> None:
    def connect() -> ScriptedGateway:
        raise GatewayUnavailable("the secret cannot be read")

    life.validate()
    with pytest.raises(GatewayUnavailable):
        life.process(connect=connect)
    assert life.payment.status is Status.PENDING  # nothing is claimed
    life.process()
    assert life.process(connect=connect).status is Status.COMPLETED


def test_a_declined_payment_keeps_the_code(life: Life) -> None:
    life.validate()
    life.gateway.script = [Declined("insufficient_funds")]
    assert life.process().reasons == ("insufficient_funds",)
    assert life.payment.status is Status.DECLINED


def test_the_same_request_again_is_answered_and_not_charged_again(life: Life) -> None:
    life.validate()
    completed = life.process()
    assert life.validate(execution="arn:execution:2") == completed
    assert life.process(execution="arn:execution:2") == completed
    assert len(life.gateway.calls) == 1


def test_another_request_under_the_same_id_is_a_conflict(life: Life) -> None:
    life.validate()
    with pytest.raises(IdempotencyConflict):
        life.validate(payment_amount=151)
    assert len(life.ledger.history) == 1


def test_another_record_under_the_same_id_is_a_conflict(life: Life) -> None:
    life.validate()
    with pytest.raises(IdempotencyConflict):
        life.process(record_id="1.0")
    assert life.gateway.calls == []


def test_a_payment_that_was_never_validated_is_not_charged(life: Life) -> None:
    with pytest.raises(PaymentNotRecorded):
        life.process(record_id="1.0")
    assert life.gateway.calls == []


def test_a_gateway_that_is_away_leaves_the_payment_to_be_tried_again(life: Life) -> None:
    life.validate()
    life.gateway.script = [NotCharged("away")]
    with pytest.raises(GatewayUnavailable):
        life.process()
    assert life.payment.status is Status.PENDING
    assert life.process().attempt == 2


def test_an_unknown_outcome_is_looked_up_and_not_charged_again(life: Life) -> None:
    life.validate()

    def charge_and_lose_the_answer(charge: Charge) -> Unknown:
        life.gateway.really_charge(charge)
        return Unknown("timeout")

    life.gateway.script = [charge_and_lose_the_answer]
    with pytest.raises(ChargeOutcomeUnknown):
        life.process()
    assert life.payment.status is Status.UNKNOWN
    assert life.process().gateway_reference == "ref-1"
    assert [name for name, _ in life.gateway.calls] == ["charge", "lookup"]


def test_an_unknown_outcome_stays_unknown_until_somebody_knows(life: Life) -> None:
    life.validate()
    life.gateway.script = [Unknown("timeout"), Unknown("timeout"), Unknown("timeout")]
    for _ in range(3):
        with pytest.raises(ChargeOutcomeUnknown):
            life.process()
    assert life.payment.status is Status.UNKNOWN
    assert [name for name, _ in life.gateway.calls] == ["charge", "lookup", "lookup"]


def test_an_unknown_outcome_that_proves_uncharged_is_given_up_and_not_charged(life: Life) -> None:
    life.validate()
    life.gateway.script = [Unknown("timeout")]
    with pytest.raises(ChargeOutcomeUnknown):
        life.process()
    for _ in range(2):
        with pytest.raises(PaymentGivenUp):
            life.process()
    assert life.payment.status is Status.FAILED
    assert life.gateway.charges == {}


def test_a_claim_keeps_everybody_else_out_until_its_lease_is_over(life: Life) -> None:
    life.validate()

    def die(charge: Charge) -> Charged:
        life.gateway.really_charge(charge)
        raise SystemExit

    life.gateway.script = [die]
    with pytest.raises(SystemExit):
        life.process()
    life.time += LEASE_SECONDS - 1
    with pytest.raises(PaymentInProgress):
        life.process()
    life.time += 1
    completed = life.process()
    assert (completed.status, completed.attempt, completed.gateway_reference) == (Status.COMPLETED, 2, "ref-1")
    # Asked for again under the same key, the gateway answers with the dead attempt's charge.
    assert len({charge.idempotency_key for _, charge in life.gateway.calls}) == 1
    assert len(life.gateway.charges) == 1


def test_a_take_over_charges_what_the_dead_attempt_did_not(life: Life) -> None:
    life.validate()
    life.gateway.script = [die_before_charging]
    with pytest.raises(SystemExit):
        life.process()
    life.time += LEASE_SECONDS
    assert life.process().status is Status.COMPLETED
    assert [name for name, _ in life.gateway.calls] == ["charge", "charge"]
    assert len({charge.idempotency_key for _, charge in life.gateway.calls}) == 1


def test_that_a_take_over_did_nothing_proves_nothing_about_the_dead_attempt(life: Life) -> None:
    life.validate()
    life.gateway.script = [die_before_charging, NotCharged("away")]
    with pytest.raises(SystemExit):
        life.process()
    life.time += LEASE_SECONDS
    with pytest.raises(ChargeOutcomeUnknown):
        life.process()
    assert life.payment.status is Status.UNKNOWN


def test_an_adapter_that_breaks_may_have_charged(life: Life) -> None:
    life.validate()

    def break_after_charging(charge: Charge) -> Charged:
        life.gateway.really_charge(charge)
        raise RuntimeError

    life.gateway.script = [break_after_charging]
    with pytest.raises(ChargeOutcomeUnknown):
        life.process()
    assert life.process().status is Status.COMPLETED


def test_nothing_is_charged_after_the_gateway_may_have_forgotten_the_key(life: Life) -> None:
    life.validate()
    life.gateway.script = [NotCharged("away")]
    with pytest.raises(GatewayUnavailable):
        life.process()
    life.time += CHARGE_WINDOW_SECONDS
    with pytest.raises(ReviewNeeded):
        life.process()
    assert len(life.gateway.calls) == 1


def test_a_claim_outlasts_the_gateways_longest_call() -> None:
    assert LEASE_SECONDS > GATEWAY_SECONDS


def test_a_slow_holder_cannot_finish_what_another_took_over(life: Life) -> None:
    life.validate()

    def slow(charge: Charge) -> Charged:
        charged = life.gateway.really_charge(charge)
        life.time += LEASE_SECONDS
        assert life.process(execution="arn:execution:2").attempt == 2
        return charged

    life.gateway.script = [slow]
    with pytest.raises(PaymentChanged, match="not recorded: ref-1"):
        life.process()
    assert life.payment.status is Status.COMPLETED
    assert len(life.gateway.charges) == 1


def test_two_at_once_claim_once(life: Life) -> None:
    life.validate()
    find_recorded = life.ledger.find_payment

    def both_read_first(transaction_id: str) -> Payment | None:
        recorded = find_recorded(transaction_id)
        life.ledger.find_payment = find_recorded  # type: ignore[method-assign]
        life.process(execution="arn:execution:2")
        return recorded

    life.ledger.find_payment = both_read_first  # type: ignore[method-assign]
    with pytest.raises(PaymentChanged):
        life.process()
    assert len(life.gateway.calls) == 1


def test_a_step_that_the_table_does_not_have_is_refused(life: Life) -> None:
    life.validate()
    life.process()
    for status in set(Status) - {Status.REFUNDING}:
        with pytest.raises(ValueError, match="cannot go from COMPLETED"):
            life.payment.with_status(status, at=life.time)


def test_a_claim_of_a_notice_is_not_forgotten_by_a_later_step(life: Life) -> None:
    life.validate()
    claimed = life.payment.with_changes(at=2000.0).with_claimed_notice("arn:execution:2", 2000.0)
    assert claimed.status is Status.PENDING
    after = claimed.with_status(Status.PROCESSING, at=2001.0).with_status(Status.COMPLETED, at=2002.0)
    assert (after.notification.notified_status, after.notification.notifier) == (Status.UNKNOWN, "arn:execution:2")
    assert after.notification.is_due


def test_every_status_is_in_the_table_and_can_be_reached() -> None:
    assert set(TRANSITIONS) == {None, *Status}
    assert {target for targets in TRANSITIONS.values() for target in targets} == set(Status)
