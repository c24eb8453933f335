"""What the workflow left: settled, announced, closed, asked for again later; and what a person may resolve."""

from typing import Any

import pytest
from payments.charge import CHARGE_WINDOW_SECONDS
from payments.errors import GatewayUnavailable, IdempotencyConflict, NotAllowed, NoticeNotSent
from payments.notification import NOTICE_SECONDS, NOTIFIER_SECONDS
from payments.operator_actions import refund_payment
from payments.payment import CLOSING_SECONDS, LONGEST_WAIT_SECONDS, OVERDUE_SECONDS, Payment, Status
from payments.ports import Charge, Charged, Declined, NotCharged, NotRefunded, Outcome, RefundOutcome, Unknown
from payments.settle import send_due_notice

from tests.fakes import ScriptedGateway
from tests.payments.life import EXECUTION, Life

HOUR = 60 * 60


class Subscribers:
    """What was sent; ``broken`` is what refuses."""

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


def unknown(life: Life, lookup: object = None) -> None:
    """The payment's outcome is unknown since now."""
    charged = life.payment.with_status(Status.PROCESSING, at=life.time, attempt=1, first_claimed_at=life.time)
    life.ledger.write_step(life.payment, charged)
    life.ledger.write_step(charged, charged.with_status(Status.UNKNOWN, at=life.time))
    life.gateway.script = [lookup or Unknown("timeout")] * 50  # type: ignore[list-item]


def send(life: Life, subscribers: Subscribers) -> Payment:
    return send_due_notice(
        life.payment, ledger=life.ledger, notices=subscribers, clock=lambda: life.time, broken=subscribers.failed
    )


@pytest.mark.parametrize(
    ("outcome", "status"),
    [(Charged("r"), Status.COMPLETED), (Declined("c"), Status.DECLINED), (NotCharged("n"), Status.FAILED)],
)
def test_what_the_gateway_knows_is_settled_and_announced(life: Life, outcome: object, status: Status) -> None:
    unknown(life, outcome)
    settled = life.reconcile(HOUR)
    assert (settled.status, settled.notification.is_due, settled.execution) == (status, True, EXECUTION)


def test_what_is_not_overdue_is_left_alone(life: Life) -> None:
    unknown(life)
    assert life.reconcile(OVERDUE_SECONDS[Status.UNKNOWN] - 1) == life.payment
    assert life.gateway.calls == []


def test_what_is_asked_in_vain_waits_longer_each_time(life: Life) -> None:
    unknown(life)
    waits = []
    for _ in range(6):
        before, overdue_at = life.time, life.payment.overdue_at
        assert overdue_at is not None
        life.reconcile(overdue_at - before)
        waits.append(life.time - before)
    minutes = [5, 5, 10, 20, 40, LONGEST_WAIT_SECONDS / 60]
    assert waits == [60 * wait for wait in minutes]


def test_what_nobody_can_find_out_any_more_is_left_to_a_person(life: Life) -> None:
    unknown(life)
    review = life.reconcile(CHARGE_WINDOW_SECONDS)
    assert (review.status, review.failure, review.notification.is_due) == (Status.REVIEW, "timeout", True)


def test_a_failure_is_announced_and_dead_lettered_once(life: Life) -> None:
    life.reconcile(HOUR)
    subscribers, due = Subscribers(), life.payment
    for _ in range(2):
        send(life, subscribers)
    assert subscribers.notices == subscribers.letters == [due.notice_id]
    notification = life.payment.notification
    assert (notification.notified_status, notification.is_confirmed, notification.is_due) == (
        Status.FAILED,
        True,
        False,
    )
    assert life.payment.overdue_at is None


def test_a_notice_is_claimed_before_it_is_sent(life: Life) -> None:
    """A run that dies after sending it leaves on record what subscribers may have heard."""
    life.reconcile(HOUR)

    class Dying(Subscribers):
        def announce(self, payment: Payment) -> None:
            assert payment == life.payment
            assert life.payment.notification.notified_status is Status.FAILED
            assert life.payment.notification.is_claimed(life.time)
            raise SystemExit

    with pytest.raises(SystemExit):
        send(life, Dying())
    assert life.payment.notification.is_due


def test_a_notice_that_an_execution_is_sending_is_left_to_it(life: Life) -> None:
    life.fail()
    subscribers = Subscribers()
    send(life, subscribers)
    assert subscribers.notices == []
    life.time += NOTIFIER_SECONDS
    send(life, subscribers)
    assert subscribers.notices == [life.payment.notice_id]


def test_a_failure_of_which_there_is_a_dead_letter_gets_no_second_one(life: Life) -> None:
    unknown(life, NotCharged("n"))
    life.fail()
    life.confirm()
    life.reconcile(HOUR)
    subscribers = Subscribers()
    send(life, subscribers)
    assert (len(subscribers.notices), subscribers.letters) == (1, [])


@pytest.mark.parametrize(("broken", "expected"), [("announce", ([], 1)), ("dead_letter", (["TXN-TEST-001:2"], 0))])
def test_what_could_not_be_sent_stays_due_and_is_sent_later(
    life: Life, broken: str, expected: tuple[list[str], int]
) -> None:
    life.reconcile(HOUR)
    subscribers = Subscribers(broken)
    with pytest.raises(NoticeNotSent, match=broken):
        send(life, subscribers)
    assert (subscribers.notices, len(subscribers.letters)) == expected
    assert life.payment.is_overdue(life.time + NOTICE_SECONDS)
    # What was done is not done again.
    subscribers.broken, subscribers.failed = "", set()
    send(life, subscribers)
    assert (subscribers.notices, subscribers.letters) == (["TXN-TEST-001:2"], ["TXN-TEST-001:2"])
    assert not life.payment.notification.is_due


def test_what_failed_before_is_not_tried_for_every_payment(life: Life) -> None:
    life.reconcile(HOUR)
    subscribers = Subscribers()
    subscribers.failed = {"announce"}
    with pytest.raises(NoticeNotSent):
        send(life, subscribers)
    assert (subscribers.notices, len(subscribers.letters)) == ([], 1)


@pytest.mark.parametrize("is_unknown_heard", [True, False])
def test_a_decline_that_nobody_wants_to_hear_of_is_due_only_where_they_heard_otherwise(
    life: Life, is_unknown_heard: bool
) -> None:
    life.notify_outcomes = False
    unknown(life)
    if is_unknown_heard:
        life.fail()
        life.confirm()
    life.gateway.script = [Declined("c")]
    assert life.reconcile(HOUR).notification.is_due is is_unknown_heard


def test_a_reopened_payment_is_announced_anew(life: Life) -> None:
    life.fail()
    life.confirm()
    life.reopen()
    assert life.fail().is_announced
    life.time += NOTIFIER_SECONDS
    subscribers = Subscribers()
    send(life, subscribers)
    assert subscribers.notices == subscribers.letters == [life.payment.notice_id]


# What is left open at the gateway


def failed(life: Life) -> None:
    """An attempt did nothing, and the payment was given up and announced."""
    claimed = life.payment.with_status(Status.PROCESSING, at=life.time, attempt=1, first_claimed_at=life.time)
    life.ledger.write_step(life.payment, claimed)
    life.ledger.write_step(claimed, claimed.with_status(Status.PENDING, at=life.time))
    life.fail()
    life.confirm()


def declined(life: Life, *, is_closed: bool = False) -> None:
    life.gateway.script = [Declined("card_declined", is_closed)]
    life.process()
    life.confirm(is_dead_lettered=False)


@pytest.mark.parametrize("leave_open", [failed, declined])
def test_what_is_left_open_under_a_payment_without_a_charge_is_closed(life: Life, leave_open: Any) -> None:
    leave_open(life)
    before = life.payment.status
    life.gateway.script = [Unknown("timeout"), NotCharged("canceled")]
    assert life.reconcile(CLOSING_SECONDS - 1).needs_closing
    for _ in range(2):  # looked up again, because the first lookup had no answer
        life.reconcile(HOUR)
    assert (life.payment.idempotency_key_closed, life.payment.status, life.payment.overdue_at) == (True, before, None)
    assert [name for name, _ in life.gateway.calls][-2:] == ["close", "close"]


def test_a_decline_that_left_nothing_open_needs_no_closing(life: Life) -> None:
    declined(life, is_closed=True)
    assert life.payment.overdue_at is None


@pytest.mark.parametrize("leave_open", [failed, declined])
def test_what_somebody_charged_before_it_was_closed_is_completed_and_announced(life: Life, leave_open: Any) -> None:
    leave_open(life)
    life.gateway.script = [Charged("pi_1")]
    completed = life.reconcile(CLOSING_SECONDS)
    assert (completed.status, completed.gateway_reference) == (Status.COMPLETED, "pi_1")
    assert completed.notification.is_due


def test_a_payment_that_never_reached_the_gateway_needs_no_closing(life: Life) -> None:
    life.fail()
    life.confirm()
    assert life.payment.overdue_at is None


@pytest.mark.parametrize("answer", [Unknown("timeout"), Declined("card_declined", is_closed=False)])
def test_what_is_not_proven_closed_is_closed_later_however_old_it_is(life: Life, answer: Outcome) -> None:
    failed(life)
    life.gateway.script = [answer] * 3
    for after in (CLOSING_SECONDS, HOUR, CHARGE_WINDOW_SECONDS):
        life.reconcile(after)
        assert life.payment.needs_closing
    life.reconcile(HOUR)
    assert (life.payment.idempotency_key_closed, life.payment.overdue_at) == (True, None)


def test_what_is_left_open_is_closed_though_its_notice_cannot_be_sent(life: Life) -> None:
    failed(life)
    life.ledger.write_step(life.payment, life.payment.with_changes(at=life.time).with_notice_due())
    life.reconcile(HOUR)
    assert life.payment.idempotency_key_closed


def test_nothing_is_charged_later_under_a_payment_whose_notice_is_on_its_way(life: Life) -> None:
    """It states that the payment was not charged."""
    failed(life)
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
def test_a_payment_that_is_too_old_for_its_key_is_closed_before_it_is_tried_again(
    life: Life, answer: Outcome, status: Status
) -> None:
    failed(life)
    life.time += CHARGE_WINDOW_SECONDS
    life.gateway.script = [Unknown("timeout"), answer]
    with pytest.raises(NotAllowed, match="redrive it again later"):
        life.reopen()
    assert life.payment.status is Status.FAILED
    assert life.reopen().status is status
    if status is Status.PENDING:
        assert (life.payment.generation, life.payment.first_claimed_at) == (1, None)


def test_a_gateway_that_cannot_be_had_stops_only_what_needs_it(life: Life) -> None:
    def connect() -> ScriptedGateway:
        raise GatewayUnavailable("the secret cannot be read")

    assert life.reconcile(HOUR, connect).status is Status.FAILED
    second_life = Life()
    second_life.validate()
    unknown(second_life)
    life.ledger.payments = second_life.ledger.payments
    with pytest.raises(GatewayUnavailable):
        life.reconcile(HOUR, connect)
    assert life.payment.status is Status.UNKNOWN


def test_another_request_reopens_nothing(life: Life) -> None:
    life.fail()
    with pytest.raises(IdempotencyConflict):
        life.reopen(payment_amount=151)


def test_a_gateways_adapter_that_raises_proves_nothing_of_the_charge(life: Life) -> None:
    unknown(life)

    def defect(_: Charge) -> Outcome:
        raise ValueError

    life.gateway.script = [defect] * 2
    assert life.reconcile(HOUR).status is Status.UNKNOWN
    assert life.reconcile(CHARGE_WINDOW_SECONDS).status is Status.REVIEW


# Refunds


class Refunds:
    """A gateway that answers refunds as told, and remembers whether the key was to be used."""

    def __init__(self, outcome: RefundOutcome) -> None:
        self.outcome = outcome
        self.expired: list[bool] = []

    def refund(self, charge: Charge, _reference: str) -> RefundOutcome:
        self.expired.append(charge.key_expired)
        return self.outcome


def refunding(life: Life, outcome: RefundOutcome) -> Refunds:
    life.process()
    gateway = Refunds(outcome)
    refund_payment("TXN-TEST-001", ledger=life.ledger, connect=lambda: gateway, clock=lambda: life.time)  # type: ignore[arg-type, return-value]
    life.gateway = gateway  # type: ignore[assignment]
    return gateway


def test_a_refund_without_an_answer_is_asked_for_again_and_after_the_keys_life_only_looked_for(life: Life) -> None:
    gateway = refunding(life, Unknown("timeout"))
    for after in (HOUR, HOUR, CHARGE_WINDOW_SECONDS):
        life.reconcile(after)
    assert gateway.expired == [False, False, False, True]
    assert (life.payment.status, life.payment.notification.is_due) == (Status.REVIEW, True)


def test_a_refusal_is_announced_where_no_operator_waits_for_it(life: Life) -> None:
    refunding(life, NotRefunded("no"))
    assert (life.payment.status, life.payment.notification.is_due) == (Status.COMPLETED, False)
    again = refunding(life, Unknown("timeout"))
    again.outcome = NotRefunded("no")
    life.reconcile(HOUR)
    assert (life.payment.status, life.payment.notification.is_due) == (Status.COMPLETED, True)


# A person resolves


def review(life: Life, charged: bool) -> None:
    if charged:
        refunding(life, Unknown("timeout"))
    else:
        unknown(life)
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
def test_what_a_person_found_out(
    life: Life, charged: bool, status: Status, reference: str | None, allowed: bool
) -> None:
    review(life, charged)
    if not allowed:
        with pytest.raises(NotAllowed, match="TXN-TEST-001"):
            life.resolve(status, reference)
        assert life.payment.status is Status.REVIEW
        return
    for _ in range(2):  # safe to repeat
        resolved = life.resolve(status, reference)
    assert (resolved.status, resolved.notification.is_due) == (status, True)
    assert reference in (None, resolved.gateway_reference, resolved.refund_reference)


def test_a_resolution_is_not_taken_back_by_another(life: Life) -> None:
    review(life, charged=False)
    life.resolve(Status.COMPLETED, "pi_1")
    with pytest.raises(NotAllowed):
        life.resolve(Status.COMPLETED, "pi_2")


def test_only_what_is_under_review_can_be_resolved(life: Life) -> None:
    with pytest.raises(NotAllowed, match="is PENDING"):
        life.resolve(Status.FAILED, None)
