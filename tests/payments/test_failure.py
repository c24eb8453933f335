"""An execution fails for good: which payment it gives up, and who announces the failure."""

from collections.abc import Callable

import pytest
from payments.errors import ChargeOutcomeUnknown, PaymentChanged, PaymentGivenUp
from payments.failure import record_failure
from payments.notification import NOTIFIER_SECONDS
from payments.payment import OVERDUE_SECONDS, Status
from payments.ports import ActionRequired, Charged, Declined, NotCharged, Outcome, Unknown

from tests.fakes import MemoryLedger
from tests.payments.life import ANOTHER_EXECUTION, EXECUTION, Life
from tests.workflow import request


def lose_the_outcome(life: Life, execution: str = EXECUTION) -> None:
    life.assert_process_raises(ChargeOutcomeUnknown, Unknown("timeout"), execution=execution)


def complete_after_a_notice_of_unknown(life: Life) -> None:
    lose_the_outcome(life)
    life.fail_and_confirm()
    life.gateway.script = [Charged("ref-1")]
    life.process()


def test_a_payment_that_was_certainly_not_charged_is_given_up_and_announced(life: Life) -> None:
    failure = life.fail()
    assert (failure.is_announced, failure.payment) == (True, life.payment)
    assert (life.payment.status, life.payment.failure) == (Status.FAILED, "Broken")
    assert (life.payment.notification.is_due, life.payment.notification.notifier) == (True, EXECUTION)
    life.assert_process_raises(PaymentGivenUp)
    assert life.gateway.calls == []


def test_the_same_execution_gets_the_same_answer_again(life: Life) -> None:
    first, second = life.fail(), life.fail()
    assert first.is_announced
    assert second.is_announced
    assert first.payment
    assert second.payment
    assert first.payment.notice_id == second.payment.notice_id


def test_a_notice_is_recorded_before_it_is_sent_and_is_due_until_it_is_confirmed(life: Life) -> None:
    life.fail()
    notification = life.payment.notification
    assert (notification.notified_status, notification.notice_id) == (Status.FAILED, life.payment.notice_id)
    assert (notification.is_confirmed, notification.is_due) == (False, True)
    assert life.payment.overdue_at == life.time + NOTIFIER_SECONDS
    life.confirm()
    notification = life.payment.notification
    assert (notification.is_confirmed, notification.is_due, notification.notifier) == (True, False, None)
    assert life.payment.overdue_at is None


@pytest.mark.parametrize(("is_sent", "is_dead_lettered"), [(False, True), (True, False), (False, False)])
def test_a_notice_or_a_dead_letter_that_was_not_sent_stays_due(
    life: Life, is_sent: bool, is_dead_lettered: bool
) -> None:
    life.fail()
    life.confirm(is_sent=is_sent, is_dead_lettered=is_dead_lettered)
    notification = life.payment.notification
    assert (notification.is_confirmed, notification.is_dead_lettered) == (is_sent, is_dead_lettered)
    assert (notification.is_due, notification.notifier) == (True, None)


def test_an_execution_without_the_claim_confirms_nothing(life: Life) -> None:
    life.fail()
    before = life.payment
    life.confirm(ANOTHER_EXECUTION)
    assert life.payment == before


def test_a_dead_letter_of_an_execution_that_could_not_read_counts_for_the_payment_that_it_holds(life: Life) -> None:
    life.confirm(notice_id=EXECUTION, is_sent=False)
    assert life.payment.notification.is_dead_lettered


def test_a_late_confirmation_does_not_count_for_a_reopened_payment(life: Life) -> None:
    life.fail()
    notice_id = life.payment.notice_id
    life.confirm()
    life.reopen()
    life.confirm(notice_id=notice_id)
    assert not life.payment.notification.is_dead_lettered


@pytest.mark.parametrize("is_confirmed", [True, False])
def test_a_repeated_request_does_not_announce_the_failure_again(life: Life, is_confirmed: bool) -> None:
    life.fail()
    if is_confirmed:
        life.confirm()
    before = life.payment
    assert not life.fail(ANOTHER_EXECUTION).is_announced
    assert life.payment == before


def test_the_next_execution_announces_a_failure_whose_claim_has_ended(life: Life) -> None:
    life.fail()
    life.time += NOTIFIER_SECONDS
    assert life.fail(ANOTHER_EXECUTION).is_announced
    assert life.payment.notification.notifier == ANOTHER_EXECUTION


def test_no_execution_gives_up_a_payment_that_another_holds(life: Life) -> None:
    failure = life.fail(ANOTHER_EXECUTION)
    assert (failure.payment, failure.is_announced) == (life.payment, False)
    assert life.payment.status is Status.PENDING


@pytest.mark.parametrize("error", ["IdempotencyConflict", "LedgerUnavailable"])
def test_another_request_under_the_id_fails_its_execution_and_not_the_payment(life: Life, error: str) -> None:
    life.process()
    before = life.payment
    failure = life.fail(ANOTHER_EXECUTION, error, request_sent=request(payment_amount=151))
    assert (failure.payment, failure.is_announced) == (None, True)
    assert life.payment == before


def test_the_same_request_is_recognized_even_if_validation_failed(life: Life) -> None:
    life.process()
    failure = life.fail(ANOTHER_EXECUTION, error="LedgerUnavailable")
    assert (failure.payment, failure.is_announced) == (life.payment, False)


@pytest.mark.parametrize("act", [Life.process, Life.fail])
def test_no_execution_claims_a_notice_that_it_does_not_send(life: Life, act: Callable[[Life, str], object]) -> None:
    """Only reconciliation announces COMPLETED; a claim of an execution would delay it."""
    complete_after_a_notice_of_unknown(life)
    assert life.payment.notification.is_due
    act(life, ANOTHER_EXECUTION)
    assert not life.payment.notification.is_claimed(life.time)


def test_a_final_status_is_due_until_its_notice_is_confirmed(life: Life) -> None:
    """An earlier notice of the same status was claimed and never sent."""
    complete_after_a_notice_of_unknown(life)
    claimed = life.payment.with_changes(at=life.time).with_claimed_notice("reconciliation", life.time)
    completed = claimed.with_status(Status.REFUNDING, at=life.time).with_status(Status.COMPLETED, at=life.time)
    assert completed.notification.is_due


@pytest.mark.parametrize("request_sent", [None, {"transaction_id": 1}, "x"])
def test_an_unreadable_request_counts_as_another_request(life: Life, request_sent: object) -> None:
    assert life.fail(ANOTHER_EXECUTION, request_sent=request_sent).payment is None


@pytest.mark.parametrize(
    ("outcome", "status", "is_announced"),
    [
        (Charged("r"), Status.COMPLETED, False),
        (Declined("c"), Status.DECLINED, True),
        (ActionRequired("authentication_required"), Status.ACTION_REQUIRED, True),
    ],
)
def test_an_execution_that_lost_the_answer_announces_the_outcome_and_no_failure(
    life: Life, outcome: Outcome, status: Status, is_announced: bool
) -> None:
    life.gateway.script = [outcome]
    life.process()
    failure = life.fail()
    assert (failure.payment, failure.is_announced) == (life.payment, is_announced)
    assert (life.payment.status, life.payment.failure) == (status, None)
    assert life.payment.outcome is status


def test_a_payment_that_may_have_been_charged_is_never_given_up(life: Life) -> None:
    lose_the_outcome(life)
    failure = life.fail()
    assert (failure.payment, failure.is_announced) == (life.payment, True)
    assert (life.payment.status, life.payment.notification.notified_status) == (Status.UNKNOWN, Status.UNKNOWN)


def test_a_failure_before_the_payment_is_recorded_is_announced_for_the_execution() -> None:
    ledger = MemoryLedger()
    failure = record_failure("T-1", request={}, error="Broken", ledger=ledger, execution=EXECUTION, clock=lambda: 1.0)
    assert (failure.payment, failure.is_announced) == (None, True)
    assert ledger.history == []


@pytest.mark.parametrize("is_confirmed", [True, False])
@pytest.mark.parametrize("outcome", [Charged("ref-1"), Declined("c")])
def test_subscribers_that_may_have_heard_unknown_are_notified_of_the_outcome(
    life: Life, is_confirmed: bool, outcome: Outcome
) -> None:
    lose_the_outcome(life)
    life.fail()
    if is_confirmed:
        life.confirm()
    life.gateway.script = [outcome]
    notification = life.process(ANOTHER_EXECUTION).notification
    assert (notification.is_due, notification.notifier == EXECUTION) == (True, not is_confirmed)
    if not is_confirmed:  # a late confirmation does not change that
        life.confirm()
        assert life.payment.notification.is_due


def test_an_outcome_that_stays_unknown_is_announced_by_one_execution(life: Life) -> None:
    lose_the_outcome(life)
    lose_the_outcome(life, ANOTHER_EXECUTION)
    assert life.fail(ANOTHER_EXECUTION).is_announced
    assert not life.fail().is_announced
    life.confirm(ANOTHER_EXECUTION)
    assert not life.fail().is_announced
    # Reopened, it may be announced again.
    life.reopen()
    assert life.fail().is_announced


@pytest.mark.parametrize("execution", [EXECUTION, ANOTHER_EXECUTION])
def test_only_the_execution_that_was_charging_announces_that_it_failed(life: Life, execution: str) -> None:
    life.ledger.write_step(life.payment, life.payment.with_status(Status.PROCESSING, at=life.time, attempt=1))
    failure = life.fail(execution)
    assert (failure.payment, failure.is_announced) == (life.payment, execution == EXECUTION)


@pytest.mark.parametrize("fail", [Life.fail_and_confirm, lambda life: life.reconcile(OVERDUE_SECONDS[Status.PENDING])])
def test_subscribers_that_may_have_heard_of_a_failure_are_notified_when_the_payment_completes(
    life: Life, fail: Callable[[Life], object]
) -> None:
    fail(life)
    life.reopen()
    assert life.process(ANOTHER_EXECUTION).notification.is_due


def test_a_reopened_payment_is_charged_under_another_key_if_the_first_is_closed(life: Life) -> None:
    lose_the_outcome(life)
    life.assert_process_raises(PaymentGivenUp, NotCharged("no such charge"))
    assert (life.payment.notification.is_due, life.payment.idempotency_key_closed) == (True, True)
    failure = life.fail()
    assert (failure.payment, failure.is_announced) == (life.payment, True)
    life.confirm()
    life.reopen()
    assert life.process(ANOTHER_EXECUTION).status is Status.COMPLETED
    keys = [(charge.idempotency_key, charge.generation) for _, charge in life.gateway.calls]
    assert keys == [("payment-TXN-TEST-001", 0), ("payment-TXN-TEST-001", 0), ("payment-TXN-TEST-001-1", 1)]


def test_a_failure_does_not_overwrite_a_step_that_was_faster(life: Life) -> None:
    life.act_after_next_read(life.process)
    with pytest.raises(PaymentChanged):
        life.fail()
    assert life.payment.status is Status.COMPLETED
