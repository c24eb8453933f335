"""An execution fails for good: what it gives up, and who tells of it."""

import pytest
from payments.errors import ChargeOutcomeUnknown, NotAllowed, PaymentChanged, PaymentGivenUp
from payments.failure import record_failure, record_notice
from payments.payment import Payment, Status
from payments.ports import Charged, Declined, NotCharged, Unknown

from tests.fakes import MemoryLedger
from tests.payments.life import EXECUTION, Life

OTHER = "arn:execution:2"


@pytest.fixture
def life() -> Life:
    life = Life()
    life.validate()
    return life


def told(
    life: Life, notice_id: str = "", execution: str = EXECUTION, outcome: Status | None = None, letter: bool = True
) -> Payment | None:
    """Subscribers got the notice that is due, or another."""
    return record_notice(
        life.payment.transaction_id,
        notice_id or life.payment.notice_id,
        outcome=outcome or life.payment.outcome,
        told=True,
        letter=letter,
        ledger=life.ledger,
        execution=execution,
        clock=lambda: life.now,
    )


def test_a_payment_that_is_certainly_not_charged_is_given_up_and_told_of(life: Life) -> None:
    failure = life.fail()
    assert (failure.outcome, failure.announce, failure.payment) == (Status.FAILED, True, life.payment)
    assert (life.payment.status, life.payment.failure, life.payment.notice_due) == (Status.FAILED, "Broken", True)
    with pytest.raises(PaymentGivenUp):
        life.process()
    assert life.gateway.calls == []


def test_the_same_execution_gets_the_same_answer_again(life: Life) -> None:
    assert life.fail() == life.fail()


def test_what_was_told_is_not_due_any_more(life: Life) -> None:
    life.fail()
    told(life)
    assert (life.payment.told, life.payment.notice_due, life.payment.overdue_at) == (Status.FAILED, False, None)


def test_a_letter_that_was_not_left_stays_due(life: Life) -> None:
    life.fail()
    told(life, letter=False)
    assert (life.payment.told, life.payment.letter, life.payment.notice_due) == (Status.FAILED, False, True)


def test_a_notice_of_a_payment_that_is_another_executions_changes_nothing(life: Life) -> None:
    life.fail()
    before = life.payment
    told(life, notice_id="arn:another", execution=OTHER)
    assert life.payment == before


def test_who_was_told_unknown_by_an_execution_that_could_not_read_hears_how_it_ended(life: Life) -> None:
    life.process()
    told(life, notice_id=EXECUTION, outcome=Status.UNKNOWN)
    assert (life.payment.status, life.payment.notice_due) == (Status.COMPLETED, True)


@pytest.mark.parametrize("first_has_told", [True, False])
def test_the_same_request_again_keeps_quiet_about_the_failure(life: Life, first_has_told: bool) -> None:
    life.fail()
    if first_has_told:
        told(life)
    before = life.payment
    assert not life.fail(execution=OTHER).announce
    assert life.payment == before


def test_nobody_gives_up_a_payment_that_another_execution_holds(life: Life) -> None:
    failure = life.fail(execution=OTHER)
    # The other one tells how it ends.
    assert (failure.outcome, failure.announce) == (Status.UNKNOWN, False)
    assert life.payment.status is Status.PENDING


def test_another_request_under_the_id_is_a_failure_of_its_own(life: Life) -> None:
    life.process()
    before = life.payment
    failure = life.fail(execution=OTHER, error="IdempotencyConflict", fingerprint="")
    assert (failure.outcome, failure.announce) == (Status.FAILED, True)
    assert life.payment == before


def test_a_request_that_was_not_even_let_in_tells_what_the_payment_is(life: Life) -> None:
    life.process()
    failure = life.fail(execution=OTHER, error="LedgerUnavailable", fingerprint="")
    assert (failure.outcome, failure.announce) == (Status.COMPLETED, True)


@pytest.mark.parametrize(
    ("gateway", "outcome"),
    [
        (Charged("r"), Status.COMPLETED),
        (Declined("c"), Status.DECLINED),
        (Unknown("timeout"), Status.UNKNOWN),
    ],
)
def test_what_may_have_been_charged_is_never_given_up(
    life: Life, gateway: Charged | Declined | Unknown, outcome: Status
) -> None:
    life.gateway.script = [gateway]
    if outcome is Status.UNKNOWN:
        with pytest.raises(ChargeOutcomeUnknown):
            life.process()
    else:
        life.process()
    failure = life.fail()
    assert (failure.outcome, failure.announce) == (outcome, True)
    assert life.payment.status is outcome


def test_a_payment_that_was_never_recorded_is_a_failure_all_the_same() -> None:
    ledger = MemoryLedger()
    failure = record_failure(
        "T-1", fingerprint="", error="Broken", ledger=ledger, execution=EXECUTION, clock=lambda: 1.0
    )
    assert (failure.payment, failure.outcome, failure.announce) == (None, Status.FAILED, True)
    assert ledger.history == []


def test_whoever_heard_that_it_is_unknown_hears_how_it_ended(life: Life) -> None:
    life.gateway.script = [Unknown("timeout")]
    with pytest.raises(ChargeOutcomeUnknown):
        life.process()
    life.fail()
    life.gateway.script = [Charged("ref-1")]
    assert life.process(execution=OTHER).notice_due


def test_an_outcome_that_stays_unknown_is_told_by_one_execution(life: Life) -> None:
    life.gateway.script = [Unknown("timeout"), Unknown("timeout")]
    for execution in (EXECUTION, OTHER):
        with pytest.raises(ChargeOutcomeUnknown):
            life.process(execution=execution)
    assert life.fail(execution=OTHER).announce
    assert not life.fail().announce
    # An operator wants to know again.
    life.reopen()
    assert life.fail().announce


def test_whoever_heard_that_it_failed_hears_that_it_completed_after_all(life: Life) -> None:
    life.fail()
    told(life)
    life.reopen()
    assert life.process(execution=OTHER).notice_due


def test_an_outcome_that_proves_not_charged_is_due_until_the_execution_tells_it(life: Life) -> None:
    life.gateway.script = [Unknown("timeout"), NotCharged("no such charge")]
    with pytest.raises(ChargeOutcomeUnknown):
        life.process()
    with pytest.raises(PaymentGivenUp):
        life.process()
    assert (life.payment.notice_due, life.payment.closed) == (True, True)
    assert life.fail().payment == life.payment
    # The gateway ended it: trying again would be in vain.
    with pytest.raises(NotAllowed, match="send a new payment"):
        life.reopen()


def test_a_failure_is_not_recorded_over_a_faster_step(life: Life) -> None:
    read = life.ledger.find

    def claimed_in_between(transaction_id: str) -> Payment | None:
        found = read(transaction_id)
        life.ledger.find = read  # type: ignore[method-assign]
        life.process()
        return found

    life.ledger.find = claimed_in_between  # type: ignore[method-assign]
    with pytest.raises(PaymentChanged):
        life.fail()
    assert life.payment.status is Status.COMPLETED
