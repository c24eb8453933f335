"""Reconciliation settles, announces and closes what the workflow left; operators refund, reopen and resolve."""

from collections.abc import Callable
from typing import Any

import pytest
from payments.charge import CHARGE_WINDOW_SECONDS
from payments.errors import GatewayUnavailable, IdempotencyConflict, NotAllowed, NoticeNotSent
from payments.notification import NOTICE_SECONDS, NOTIFIER_SECONDS
from payments.payment import CLOSING_SECONDS, LONGEST_WAIT_SECONDS, OVERDUE_SECONDS, Payment, Status
from payments.ports import Charge, Charged, Declined, NotCharged, NotRefunded, Outcome, RefundOutcome, Unknown
from payments.settle import send_due_notice

from tests.fakes import ScriptedGateway
from tests.payments.life import EXECUTION, Life

HOUR = 60 * 60


class Subscribers:
    """What was sent. The call that ``broken`` names fails."""

    def __init__(self, broken: str = "") -> None:
        self.broken = broken
        self.failed: set[str] = set()
        self.notices: list[str] = []
        self.letters: list[str] = []

    def announce(self, payment: Payment) -> None:
        if self.broken == "announce":
            raise NoticeNotSent("away")
        self.notices.append(payment.notice_id)

    def dead_letter(self, payment: Payment) -> None:
        if self.broken == "dead_letter":
            raise NoticeNotSent("away")
        self.letters.append(payment.notice_id)


def send_notice(life: Life, subscribers: Subscribers) -> None:
    payment = send_due_notice(
        life.payment, ledger=life.ledger, notices=subscribers, clock=lambda: life.time, broken=subscribers.failed
    )
    assert payment == life.payment


@pytest.mark.parametrize(
    ("outcome", "status"),
    [(Charged("r"), Status.COMPLETED), (Declined("c"), Status.DECLINED), (NotCharged("n"), Status.FAILED)],
)
def test_an_outcome_from_the_gateway_is_settled_and_announced(life: Life, outcome: object, status: Status) -> None:
    life.leave_unknown(outcome)
    settled = life.reconcile(HOUR)
    assert (settled.status, settled.notification.is_due, settled.execution) == (status, True, EXECUTION)
    assert not settled.notification.is_claimed(life.time)


def test_a_payment_that_is_not_overdue_is_left_alone(life: Life) -> None:
    life.leave_unknown()
    assert life.reconcile(OVERDUE_SECONDS[Status.UNKNOWN] - 1) == life.payment
    assert life.gateway.calls == []


def test_each_lookup_without_an_answer_doubles_the_wait(life: Life) -> None:
    life.leave_unknown()
    waits = []
    for _ in range(6):
        before, overdue_at = life.time, life.payment.overdue_at
        assert overdue_at is not None
        life.reconcile(overdue_at - before)
        waits.append(life.time - before)
    minutes = [5, 5, 10, 20, 40, LONGEST_WAIT_SECONDS / 60]
    assert waits == [60 * wait for wait in minutes]


def test_an_outcome_that_can_no_longer_be_looked_up_goes_to_review(life: Life) -> None:
    life.leave_unknown()
    review = life.reconcile(CHARGE_WINDOW_SECONDS)
    assert (review.status, review.failure, review.notification.is_due) == (Status.REVIEW, "timeout", True)


def test_a_failure_is_announced_and_dead_lettered_once(life: Life) -> None:
    life.reconcile(HOUR)
    subscribers, due = Subscribers(), life.payment
    assert due.failure == "abandoned"
    for _ in range(2):
        send_notice(life, subscribers)
    assert subscribers.notices == subscribers.letters == [due.notice_id]
    notification = life.payment.notification
    assert (notification.notified_status, notification.is_confirmed) == (Status.FAILED, True)
    assert not notification.is_due
    assert life.payment.overdue_at is None


def test_a_notice_is_claimed_before_it_is_sent(life: Life) -> None:
    """If a run dies after sending it, the record still says what subscribers may have heard."""
    life.reconcile(HOUR)

    class Dying(Subscribers):
        def announce(self, payment: Payment) -> None:
            assert payment == life.payment
            assert life.payment.notification.notified_status is Status.FAILED
            assert life.payment.notification.is_claimed(life.time)
            raise SystemExit

    with pytest.raises(SystemExit):
        send_notice(life, Dying())
    assert life.payment.notification.is_due


def test_a_notice_that_an_execution_has_claimed_is_left_to_it(life: Life) -> None:
    life.fail()
    subscribers = Subscribers()
    send_notice(life, subscribers)
    assert subscribers.notices == []
    life.time += NOTIFIER_SECONDS
    send_notice(life, subscribers)
    assert subscribers.notices == [life.payment.notice_id]


def test_a_failure_that_has_a_dead_letter_gets_no_second_one(life: Life) -> None:
    life.leave_unknown(NotCharged("n"))
    life.fail_and_confirm()
    life.reconcile(HOUR)
    subscribers = Subscribers()
    send_notice(life, subscribers)
    assert (len(subscribers.notices), subscribers.letters) == (1, [])


@pytest.mark.parametrize(("broken", "expected"), [("announce", ([], 1)), ("dead_letter", (["TXN-TEST-001:2"], 0))])
def test_a_notice_or_dead_letter_that_cannot_be_sent_stays_due_and_is_sent_later(
    life: Life, broken: str, expected: tuple[list[str], int]
) -> None:
    life.reconcile(HOUR)
    subscribers = Subscribers(broken)
    with pytest.raises(NoticeNotSent, match=broken):
        send_notice(life, subscribers)
    assert (subscribers.notices, len(subscribers.letters)) == expected
    assert life.payment.is_overdue(life.time + NOTICE_SECONDS)
    # What was sent is not sent again.
    subscribers.broken, subscribers.failed = "", set()
    send_notice(life, subscribers)
    assert (subscribers.notices, subscribers.letters) == (["TXN-TEST-001:2"], ["TXN-TEST-001:2"])
    assert not life.payment.notification.is_due


def test_a_call_that_failed_in_this_run_is_not_tried_for_each_payment(life: Life) -> None:
    life.reconcile(HOUR)
    subscribers = Subscribers()
    subscribers.failed = {"announce"}
    with pytest.raises(NoticeNotSent):
        send_notice(life, subscribers)
    assert (subscribers.notices, len(subscribers.letters)) == ([], 1)


@pytest.mark.parametrize(("has_notified_unknown", "is_reopened"), [(True, False), (True, True), (False, False)])
def test_an_unwanted_notice_of_a_decline_is_due_only_if_subscribers_heard_otherwise(
    life: Life, has_notified_unknown: bool, is_reopened: bool
) -> None:
    life.notify_outcomes = False
    life.leave_unknown()
    if has_notified_unknown:
        life.fail_and_confirm()
    if is_reopened:
        life.reopen()
    life.gateway.script = [Declined("c")]
    assert life.reconcile(HOUR).notification.is_due is has_notified_unknown


def test_a_reopened_payment_that_fails_again_is_announced_again(life: Life) -> None:
    life.fail_and_confirm()
    life.reopen()
    assert life.fail().is_announced
    life.time += NOTIFIER_SECONDS
    subscribers = Subscribers()
    send_notice(life, subscribers)
    assert subscribers.notices == subscribers.letters == [life.payment.notice_id]


# Closing


def fail_after_an_attempt(life: Life) -> None:
    """An attempt charged nothing, and the failure was announced."""
    claimed = life.payment.with_status(Status.PROCESSING, at=life.time, attempt=1, first_claimed_at=life.time)
    life.ledger.write_step(life.payment, claimed)
    life.ledger.write_step(claimed, claimed.with_status(Status.PENDING, at=life.time))
    life.fail_and_confirm()


def decline_payment(life: Life, *, is_closed: bool = False) -> None:
    life.gateway.script = [Declined("card_declined", is_closed)]
    life.process()
    life.confirm(is_dead_lettered=False)


@pytest.mark.parametrize("leave_open", [fail_after_an_attempt, decline_payment])
def test_what_is_open_under_an_uncharged_payment_is_closed(life: Life, leave_open: Any) -> None:
    leave_open(life)
    before = life.payment.status
    life.gateway.script = [Unknown("timeout"), NotCharged("canceled")]
    assert life.reconcile(CLOSING_SECONDS - 1).needs_closing
    for _ in range(2):  # the first call gets no answer
        life.reconcile(HOUR)
    assert (life.payment.idempotency_key_closed, life.payment.status, life.payment.overdue_at) == (True, before, None)
    assert life.gateway_calls[-2:] == ["close", "close"]


def test_a_decline_that_leaves_nothing_open_needs_no_closing(life: Life) -> None:
    decline_payment(life, is_closed=True)
    assert life.payment.overdue_at is None


@pytest.mark.parametrize("leave_open", [fail_after_an_attempt, decline_payment])
def test_a_charge_that_happens_before_the_closing_completes_the_payment(life: Life, leave_open: Any) -> None:
    leave_open(life)
    life.gateway.script = [Charged("pi_1")]
    completed = life.reconcile(CLOSING_SECONDS)
    assert (completed.status, completed.gateway_reference) == (Status.COMPLETED, "pi_1")
    assert (completed.failure, completed.reasons) == (None, ())
    assert completed.notification.is_due


def test_a_payment_that_never_reached_the_gateway_needs_no_closing(life: Life) -> None:
    life.fail_and_confirm()
    assert life.payment.overdue_at is None


@pytest.mark.parametrize("answer", [Unknown("timeout"), Declined("card_declined", is_closed=False)])
def test_closing_is_repeated_until_the_gateway_proves_it(life: Life, answer: Outcome) -> None:
    fail_after_an_attempt(life)
    life.gateway.script = [answer] * 3
    for after in (CLOSING_SECONDS, HOUR, CHARGE_WINDOW_SECONDS):
        life.reconcile(after)
        assert life.payment.needs_closing
    life.reconcile(HOUR)
    assert (life.payment.idempotency_key_closed, life.payment.overdue_at) == (True, None)


def test_a_payment_is_closed_even_if_its_notice_cannot_be_sent(life: Life) -> None:
    fail_after_an_attempt(life)
    life.ledger.write_step(life.payment, life.payment.with_changes(at=life.time).with_notice_due())
    life.reconcile(HOUR)
    assert life.payment.idempotency_key_closed


def test_a_charge_is_not_recorded_while_a_notice_of_the_failure_is_being_sent(life: Life) -> None:
    """The notice states that the payment was not charged."""
    fail_after_an_attempt(life)
    life.time += HOUR
    life.ledger.write_step(
        life.payment, life.payment.with_changes(at=life.time).with_notice_due().with_claimed_notice("arn:2", life.time)
    )
    life.gateway.script = [Charged("pi_1")]
    life.reconcile(CLOSING_SECONDS)
    assert life.payment.status is Status.FAILED


@pytest.mark.parametrize(
    ("answer", "status"), [(NotCharged("no_intent"), Status.PENDING), (Charged("pi_1"), Status.COMPLETED)]
)
def test_a_payment_that_is_too_old_for_its_key_is_closed_before_it_is_reopened(
    life: Life, answer: Outcome, status: Status
) -> None:
    fail_after_an_attempt(life)
    life.time += CHARGE_WINDOW_SECONDS
    life.gateway.script = [Unknown("timeout"), answer]
    with pytest.raises(NotAllowed, match="redrive it again later"):
        life.reopen()
    assert life.payment.status is Status.FAILED
    assert life.reopen().status is status
    if status is Status.PENDING:
        assert (life.payment.generation, life.payment.first_claimed_at, life.payment.failure) == (1, None, None)
        assert not life.payment.idempotency_key_closed


def test_an_unavailable_gateway_stops_only_what_needs_it(life: Life) -> None:
    def connect() -> ScriptedGateway:
        raise GatewayUnavailable("the secret cannot be read")

    assert life.reconcile(HOUR, connect).status is Status.FAILED
    second_life = Life()
    second_life.validate()
    second_life.leave_unknown()
    life.ledger.payments = second_life.ledger.payments
    with pytest.raises(GatewayUnavailable):
        life.reconcile(HOUR, connect)
    assert life.payment.status is Status.UNKNOWN


@pytest.mark.parametrize("after", [CHARGE_WINDOW_SECONDS - 1, CHARGE_WINDOW_SECONDS])
@pytest.mark.parametrize(("leave", "call"), [(Life.leave_unknown, "lookup"), (fail_after_an_attempt, "close")])
def test_an_expired_key_is_neither_looked_up_nor_closed_as_if_it_were_known(
    life: Life, leave: Callable[[Life], None], call: str, after: float
) -> None:
    leave(life)
    life.gateway.script = []
    life.reconcile(after)
    name, charge = life.gateway.calls[-1]
    assert (name, charge.key_expired) == (call, after == CHARGE_WINDOW_SECONDS)


def test_a_payment_whose_key_is_still_known_is_reopened_without_the_gateway(life: Life) -> None:
    fail_after_an_attempt(life)
    life.time += CHARGE_WINDOW_SECONDS - 1
    assert life.reopen().status is Status.PENDING
    assert (life.gateway.calls, life.payment.generation) == ([], 0)


@pytest.mark.parametrize("prepare", [decline_payment, lambda life: leave_for_review(life, charged=False)])
def test_a_payment_that_is_declined_or_under_review_is_not_reopened(life: Life, prepare: Any) -> None:
    prepare(life)
    with pytest.raises(NotAllowed, match=f"is {life.payment.status}; a redrive cannot change that"):
        life.reopen()


def test_another_request_reopens_nothing(life: Life) -> None:
    life.fail()
    with pytest.raises(IdempotencyConflict):
        life.reopen(payment_amount=151)


def test_an_adapter_that_raises_proves_nothing_about_the_charge(life: Life) -> None:
    def raise_defect(_: Charge) -> Outcome:
        raise ValueError

    life.leave_unknown()
    life.gateway.script = [raise_defect] * 2
    assert life.reconcile(HOUR).status is Status.UNKNOWN
    assert life.reconcile(CHARGE_WINDOW_SECONDS).status is Status.REVIEW


# Refunds


class Refunds:
    """A gateway that answers each refund with ``outcome`` and records whether its key had expired."""

    def __init__(self, outcome: RefundOutcome) -> None:
        self.outcome = outcome
        self.expired: list[bool] = []

    def refund(self, charge: Charge, _reference: str) -> RefundOutcome:
        self.expired.append(charge.key_expired)
        return self.outcome


def refund_completed_payment(life: Life, outcome: RefundOutcome) -> Refunds:
    life.process()
    gateway = Refunds(outcome)
    life.gateway = gateway  # type: ignore[assignment]
    assert life.refund() == life.payment
    return gateway


def test_a_charge_is_refunded_once(life: Life) -> None:
    with pytest.raises(NotAllowed, match="is PENDING: only a COMPLETED one can be refunded"):
        life.refund()
    assert life.process() == life.reopen()
    for _ in range(2):
        assert (life.refund().status, life.payment.refund_reference) == (Status.REFUNDED, "refund-ref-1")
    assert life.gateway_calls == ["charge", "refund"]


def test_an_unanswered_refund_is_repeated_and_only_looked_up_once_its_key_has_expired(life: Life) -> None:
    gateway = refund_completed_payment(life, Unknown("timeout"))
    assert life.refund() == life.payment  # an operator repeats it
    for after in (HOUR, CHARGE_WINDOW_SECONDS):
        assert life.reconcile(after).updated_at == life.time
    assert gateway.expired == [False, False, False, True]
    assert (life.payment.status, life.payment.failure) == (Status.REVIEW, "timeout")
    assert life.payment.notification.is_due


def test_a_refused_refund_is_announced_only_if_no_operator_waits_for_it(life: Life) -> None:
    refund_completed_payment(life, NotRefunded("no"))
    assert (life.payment.status, life.payment.failure) == (Status.COMPLETED, "no")
    assert not life.payment.notification.is_due
    gateway = refund_completed_payment(life, Unknown("timeout"))
    gateway.outcome = NotRefunded("no")
    life.reconcile(HOUR)
    assert (life.payment.status, life.payment.notification.is_due) == (Status.COMPLETED, True)


# Resolutions


def leave_for_review(life: Life, charged: bool) -> None:
    if charged:
        refund_completed_payment(life, Unknown("timeout"))
    else:
        life.leave_unknown()
    life.reconcile(CHARGE_WINDOW_SECONDS)
    assert life.payment.status is Status.REVIEW


@pytest.mark.parametrize(
    ("charged", "status", "reference", "allowed"),
    [
        (False, Status.COMPLETED, "pi_1", True),
        (False, Status.COMPLETED, None, False),
        (False, Status.FAILED, None, True),
        (False, Status.REFUNDED, "re_1", False),
        (True, Status.COMPLETED, None, True),
        (True, Status.COMPLETED, "pi_other", False),
        (True, Status.FAILED, None, False),
        (True, Status.REFUNDED, "re_1", True),
        (True, Status.REFUNDED, None, False),
    ],
)
def test_a_resolution_must_agree_with_what_is_recorded(
    life: Life, charged: bool, status: Status, reference: str | None, allowed: bool
) -> None:
    leave_for_review(life, charged)
    if not allowed:
        with pytest.raises(NotAllowed, match="TXN-TEST-001"):
            life.resolve(status, reference)
        assert life.payment.status is Status.REVIEW
        return
    for _ in range(2):  # safe to repeat
        resolved = life.resolve(status, reference)
    assert (resolved.status, resolved.notification.is_due) == (status, True)
    assert reference in (None, resolved.gateway_reference, resolved.refund_reference)
    assert resolved.idempotency_key_closed is (resolved.failure is not None) is (status is Status.FAILED)


def test_a_resolution_cannot_be_changed(life: Life) -> None:
    leave_for_review(life, charged=False)
    life.resolve(Status.COMPLETED, "pi_1")
    with pytest.raises(NotAllowed):
        life.resolve(Status.COMPLETED, "pi_2")


def test_only_a_payment_under_review_can_be_resolved(life: Life) -> None:
    with pytest.raises(NotAllowed, match="is PENDING"):
        life.resolve(Status.FAILED, None)


@pytest.mark.parametrize(
    ("prepare", "act"),
    [
        (Life.process, Life.refund),
        (Life.fail_and_confirm, Life.reopen),
        (lambda life: (life.leave_unknown(), life.fail_and_confirm()), Life.reopen),
        (lambda life: leave_for_review(life, charged=False), lambda life: life.resolve(Status.FAILED, None)),
    ],
)
def test_an_operator_waits_while_a_notice_is_being_sent(
    life: Life, prepare: Callable[[Life], object], act: Callable[[Life], Payment]
) -> None:
    """The notice would arrive after the operator's step, and state what is not true any more."""
    prepare(life)
    claimed = life.payment.with_changes(at=life.time).with_claimed_notice("arn:2", life.time)
    life.ledger.write_step(life.payment, claimed)
    life.time += NOTIFIER_SECONDS - 1
    with pytest.raises(NotAllowed, match=f"status {claimed.status} is being sent; repeat .* after 1 min"):
        act(life)
    life.time += 1
    assert act(life) != claimed
