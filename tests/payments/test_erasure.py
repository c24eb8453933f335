"""A finished payment loses who paid, and nothing else. The request of any other one can be built from its record."""

import pytest
from adapters.stored_items import ERASURE_SHARDS, MAXIMUM_SHARDS, from_item, to_item, to_step
from hypothesis import given
from hypothesis import strategies as st
from payments.errors import IdempotencyConflict, NotAllowed
from payments.money import Money
from payments.operator_actions import erase_customer
from payments.payment import ERASED, Payment, Status
from payments.ports import Declined, NotCharged, Unknown
from payments.request import read_request
from payments.settle import erase_due_customer

from tests.payments.life import Life
from tests.workflow import request

CUSTOMER = "CUST-12345"
DAY = 24 * 60 * 60


def erase(life: Life) -> Payment:
    return erase_customer(life.payment.transaction_id, ledger=life.ledger, clock=lambda: life.time)


def complete(life: Life) -> None:
    life.validate()
    life.process()


def test_an_erased_payment_holds_nothing_of_its_customer(life: Life) -> None:
    complete(life)
    before = life.payment
    life.time += 60
    erased = erase(life)
    item = to_item(erased, 8)
    assert CUSTOMER not in str(item)
    # With its salt, the fingerprint would confirm a guess of the customer.
    assert (item["fingerprint"], "salt" in item, "customer_id" in item) == ({"S": ERASED}, False, False)
    kept = {
        name: value for name, value in to_item(before, 8).items() if name not in ("fingerprint", "salt", "customer_id")
    }
    changed = {"updated_at": {"N": "1060.0"}, "sequence": {"N": str(before.sequence + 1)}}
    assert item == kept | changed | {"fingerprint": {"S": ERASED}}
    assert from_item(item) == erased == life.payment
    step = to_step(before, erased, "alice")
    assert (step["status"], step["actor"]) == ({"S": "COMPLETED"}, {"S": "alice"})
    assert step["note"]["S"].endswith("customer erased: True")


def test_erasing_again_writes_nothing(life: Life) -> None:
    complete(life)
    assert erase(life) == erase(life)
    assert life.payment.sequence == 4


def test_an_erased_payment_can_be_refunded_and_not_sent_again(life: Life) -> None:
    complete(life)
    erase(life)
    with pytest.raises(IdempotencyConflict):
        life.validate()
    assert life.refund().status is Status.REFUNDED


def test_an_erased_failure_is_not_reopened(life: Life) -> None:
    life.validate()
    life.gateway.script = [NotCharged("away")] * 4
    life.fail_and_confirm()
    life.time += 3600
    erase(life)
    for sent in (life.request, None):
        with pytest.raises(NotAllowed, match="was erased; it cannot be sent again"):
            life.reopen_for(sent)


def erase_if_due(life: Life) -> bool:
    return erase_due_customer(life.payment.transaction_id, 30 * DAY, ledger=life.ledger, clock=lambda: life.time)


def is_listed_for_erasure(payment: Payment) -> bool:
    item = to_item(payment, MAXIMUM_SHARDS, erases_customers=True)
    return int(item.get("open_shard", {"N": "0"})["N"]) >= ERASURE_SHARDS


def test_a_customer_is_erased_a_time_after_the_last_step_of_a_finished_payment(life: Life) -> None:
    complete(life)
    ended_at = life.payment.updated_at
    life.time = ended_at + 30 * DAY - 1
    assert not erase_if_due(life)
    life.refund()
    life.time = ended_at + 30 * DAY
    assert not erase_if_due(life)
    assert life.payment.customer_id == CUSTOMER
    life.time = life.payment.updated_at + 30 * DAY
    assert erase_if_due(life)
    assert (life.payment.customer_id, life.payment.status) == (None, Status.REFUNDED)
    sequence = life.payment.sequence
    life.time += 30 * DAY
    assert not erase_if_due(life)
    assert life.payment.sequence == sequence


def test_a_finished_payment_is_in_the_index_until_its_customer_is_erased(life: Life) -> None:
    life.validate()
    assert not is_listed_for_erasure(life.payment)
    life.process()
    item = to_item(life.payment, MAXIMUM_SHARDS, erases_customers=True)
    open_item = to_item(life.payment.with_status(Status.REFUNDING, at=1.0), MAXIMUM_SHARDS)
    assert int(item["open_shard"]["N"]) == ERASURE_SHARDS + int(open_item["open_shard"]["N"])
    assert item["overdue_at"] == item["updated_at"]
    assert from_item(item) == life.payment
    assert "open_shard" not in to_item(life.payment, MAXIMUM_SHARDS)
    erase(life)
    assert "open_shard" not in to_item(life.payment, MAXIMUM_SHARDS, erases_customers=True)


def test_a_payment_that_may_need_its_customer_is_not_erased(life: Life) -> None:
    """While it is open, in review, to be announced, or to be closed at the gateway; not even after years."""
    life.validate()

    def assert_refused() -> None:
        with pytest.raises(NotAllowed, match=f"is {life.payment.status} and not finished"):
            erase(life)
        before, life.time = life.time, life.time + 1000 * DAY
        assert (erase_if_due(life), is_listed_for_erasure(life.payment)) == (False, False)
        life.time = before

    assert_refused()
    life.gateway.script = [Declined("card_declined", is_closed=False)]
    life.process()
    assert_refused()
    other = Life()
    other.validate()
    other.leave_unknown()
    life = other
    assert_refused()
    life.ledger.write_step(life.payment, life.payment.with_status(Status.REVIEW, at=life.time))
    assert_refused()


@given(
    units=st.integers(1, 2**53),
    currency=st.sampled_from(["USD", "JPY", "BHD", "CLF"]),
    method=st.sampled_from(["credit_card", "digital_wallet"]),
)
def test_the_request_of_a_record_is_the_one_that_was_sent(units: int, currency: str, method: str) -> None:
    number = Money(units, currency).to_number()
    # Of the numbers that a sender can write, those that JSON carries exactly.
    sent = read_request(request(payment_amount=number, currency=currency, payment_method=method))
    if sent.amount is None or sent.amount.minor_units != units:
        return
    life = Life()
    life.validate(payment_amount=number, currency=currency, payment_method=method)
    assert life.payment.status in (Status.PENDING, Status.REJECTED)
    assert life.payment.is_recorded_for(read_request(life.payment.build_request()))


def test_a_payment_is_reopened_for_its_recorded_request(life: Life) -> None:
    life.validate()
    life.gateway.script = [Unknown("away")]
    life.fail_and_confirm()
    life.time += 3600
    life.reopen_for(None)
    assert life.payment.status is Status.PENDING
