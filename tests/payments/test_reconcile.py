"""What the workflow left: settled, told of, asked again later; and what a person may resolve."""

import pytest
from payments.errors import IdempotencyConflict, NotAllowed, NoticeNotSent
from payments.failure import record_notice
from payments.operate import refund, reopen, resolve
from payments.payment import LONGEST_WAIT_SECONDS, NOTICE_SECONDS, OVERDUE_SECONDS, Payment, Status
from payments.ports import Charge, Charged, Declined, NotCharged, NotRefunded, Outcome, RefundOutcome, Unknown
from payments.process import CHARGE_WINDOW_SECONDS
from payments.reconcile import tell

from tests.payments.life import EXECUTION, Life

HOUR = 60 * 60


class Told:
    """What was told; ``broken`` is what refuses."""

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


@pytest.fixture
def life() -> Life:
    life = Life()
    life.validate()
    return life


def unknown(life: Life, lookup: object = None) -> None:
    """The payment's outcome is unknown since now."""
    charged = life.payment.to(Status.PROCESSING, at=life.now, attempt=1, first_claimed_at=life.now)
    life.ledger.write(life.payment, charged)
    life.ledger.write(charged, charged.to(Status.UNKNOWN, at=life.now))
    life.gateway.script = [lookup or Unknown("timeout")] * 50  # type: ignore[list-item]


def tell_of(life: Life, told: Told, wanted: bool = True) -> Payment:
    return tell(
        life.payment, wanted=wanted, ledger=life.ledger, notices=told, clock=lambda: life.now, broken=told.failed
    )


@pytest.mark.parametrize(
    ("outcome", "status"),
    [(Charged("r"), Status.COMPLETED), (Declined("c"), Status.DECLINED), (NotCharged("n"), Status.FAILED)],
)
def test_what_the_gateway_knows_is_settled_and_due_to_be_told(life: Life, outcome: object, status: Status) -> None:
    unknown(life, outcome)
    settled = life.reconcile(HOUR)
    assert (settled.status, settled.notice_due, settled.execution) == (status, True, EXECUTION)


def test_what_is_not_overdue_is_left_alone(life: Life) -> None:
    unknown(life)
    assert life.reconcile(OVERDUE_SECONDS[Status.UNKNOWN] - 1) == life.payment
    assert life.gateway.calls == []


def test_what_is_asked_in_vain_waits_longer_each_time(life: Life) -> None:
    unknown(life)
    waits = []
    for _ in range(6):
        before, overdue_at = life.now, life.payment.overdue_at
        assert overdue_at is not None
        life.reconcile(overdue_at - before)
        waits.append(life.now - before)
    minutes = [5, 5, 10, 20, 40, LONGEST_WAIT_SECONDS / 60]
    assert waits == [60 * wait for wait in minutes]


def test_what_nobody_can_find_out_any_more_is_left_to_a_person(life: Life) -> None:
    unknown(life)
    review = life.reconcile(CHARGE_WINDOW_SECONDS)
    assert (review.status, review.failure, review.notice_due) == (Status.REVIEW, "timeout", True)


def test_a_failure_is_told_and_dead_lettered_once(life: Life) -> None:
    life.reconcile(HOUR)
    told = Told()
    due = life.payment
    tell_of(life, told)
    assert told.notices == told.letters == [due.notice_id]
    assert (life.payment.told, life.payment.notice_due, life.payment.overdue_at) == (Status.FAILED, False, None)


def test_a_failure_of_which_there_is_a_letter_gets_no_second_one(life: Life) -> None:
    unknown(life, NotCharged("n"))
    failure = life.fail()
    assert failure.payment
    record_notice(
        "TXN-TEST-001", failure.payment.notice_id, outcome=Status.UNKNOWN, told=True, letter=True,
        ledger=life.ledger, execution=EXECUTION, clock=lambda: life.now,
    )  # fmt: skip
    life.reconcile(HOUR)
    told = Told()
    tell_of(life, told)
    assert (len(told.notices), told.letters) == (1, [])


@pytest.mark.parametrize(("broken", "done"), [("announce", ([], 1)), ("dead_letter", (["TXN-TEST-001:2"], 0))])
def test_what_could_not_be_told_stays_due_and_is_done_later(
    life: Life, broken: str, done: tuple[list[str], int]
) -> None:
    life.reconcile(HOUR)
    told = Told(broken)
    with pytest.raises(NoticeNotSent, match=broken):
        tell_of(life, told)
    assert (told.notices, len(told.letters)) == done
    assert life.payment.is_overdue(life.now + NOTICE_SECONDS)
    # What was done is not done again.
    told.broken, told.failed = "", set()
    tell_of(life, told)
    assert (told.notices, told.letters) == (["TXN-TEST-001:2"], ["TXN-TEST-001:2"])
    assert not life.payment.notice_due


def test_what_failed_before_is_not_tried_for_every_payment(life: Life) -> None:
    life.reconcile(HOUR)
    told = Told()
    told.failed = {"announce"}
    with pytest.raises(NoticeNotSent):
        tell_of(life, told)
    assert (told.notices, len(told.letters)) == ([], 1)


def test_what_nobody_wants_to_hear_is_noted_and_not_told(life: Life) -> None:
    unknown(life, Declined("c"))
    life.reconcile(HOUR)
    told = Told()
    tell_of(life, told, wanted=False)
    assert told.notices == []
    assert not life.payment.notice_due


def test_a_reopened_payment_is_told_of_anew(life: Life) -> None:
    life.fail()
    tell_of(life, Told())
    life.reopen()
    assert life.fail().announce
    told = Told()
    tell_of(life, told)
    assert told.notices == told.letters == [life.payment.notice_id]


def test_another_request_reopens_nothing(life: Life) -> None:
    life.fail()
    with pytest.raises(IdempotencyConflict):
        reopen("TXN-TEST-001", "f" * 64, ledger=life.ledger, clock=lambda: life.now)


def test_a_gateways_adapter_that_raises_tells_nothing_of_the_charge(life: Life) -> None:
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
    refund("TXN-TEST-001", ledger=life.ledger, gateway=gateway, clock=lambda: life.now)  # type: ignore[arg-type]
    life.gateway = gateway  # type: ignore[assignment]
    return gateway


def test_a_refund_without_an_answer_is_asked_for_again_and_after_the_keys_life_only_looked_for(life: Life) -> None:
    gateway = refunding(life, Unknown("timeout"))
    for after in (HOUR, HOUR, CHARGE_WINDOW_SECONDS):
        life.reconcile(after)
    assert gateway.expired == [False, False, False, True]
    assert (life.payment.status, life.payment.notice_due) == (Status.REVIEW, True)


def test_a_refusal_is_told_where_no_operator_waits_for_it(life: Life) -> None:
    refunding(life, NotRefunded("no"))
    assert (life.payment.status, life.payment.notice_due) == (Status.COMPLETED, False)
    again = refunding(life, Unknown("timeout"))
    again.outcome = NotRefunded("no")
    life.reconcile(HOUR)
    assert (life.payment.status, life.payment.notice_due) == (Status.COMPLETED, True)


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
            resolve("TXN-TEST-001", status, reference, ledger=life.ledger, clock=lambda: life.now)
        assert life.payment.status is Status.REVIEW
        return
    for _ in range(2):  # safe to repeat
        resolved = resolve("TXN-TEST-001", status, reference, ledger=life.ledger, clock=lambda: life.now)
    assert (resolved.status, resolved.notice_due) == (status, True)
    assert reference in (None, resolved.gateway_reference, resolved.refund_reference)


def test_a_resolution_is_not_taken_back_by_another(life: Life) -> None:
    review(life, charged=False)
    resolve("TXN-TEST-001", Status.COMPLETED, "pi_1", ledger=life.ledger, clock=lambda: life.now)
    with pytest.raises(NotAllowed):
        resolve("TXN-TEST-001", Status.COMPLETED, "pi_2", ledger=life.ledger, clock=lambda: life.now)


def test_only_what_is_under_review_can_be_resolved(life: Life) -> None:
    with pytest.raises(NotAllowed, match="is PENDING"):
        resolve("TXN-TEST-001", Status.FAILED, None, ledger=life.ledger, clock=lambda: life.now)
