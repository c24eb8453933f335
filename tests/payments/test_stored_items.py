"""Payments and steps as stored items: how they are written, and how items of earlier releases are read."""

from dataclasses import replace

import pytest
from adapters.stored_items import from_item, to_item, to_step
from hypothesis import given
from hypothesis import strategies as st
from payments.errors import LedgerRefused
from payments.money import Money
from payments.notification import NOTIFIER_SECONDS, Notification
from payments.payment import Payment, Status

from tests.payments.test_dynamodb import CLAIMED, PAYMENT


@given(
    st.builds(
        Payment,
        transaction_id=st.just("T-1"),
        status=st.sampled_from(Status),
        sequence=st.integers(1, 100),
        fingerprint=st.text("0123456789abcdef", min_size=64, max_size=64),
        execution=st.text(min_size=1, max_size=20),
        created_at=st.floats(1e9, 4e9),
        updated_at=st.floats(1e9, 4e9),
        since=st.floats(1e9, 4e9),
        salt=st.none() | st.just("00" * 16),
        idempotency_key_closed=st.booleans(),
        generation=st.integers(0, 3),
        request_version=st.integers(1, 3),
        notification=st.builds(
            Notification,
            is_due=st.booleans(),
            notified_status=st.none() | st.sampled_from(Status),
            notice_id=st.none() | st.just("T-1:2"),
            is_confirmed=st.booleans(),
            notifier=st.none() | st.just("arn:1"),
            notifier_until=st.none() | st.floats(1e9, 4e9),
            is_dead_lettered=st.booleans(),
        ),
        amount=st.none() | st.builds(Money, st.integers(-(10**15), 10**15), st.sampled_from(["USD", "JPY"])),
        payment_method=st.none() | st.just("credit_card"),
        customer_id=st.none() | st.just("C-1"),
        reasons=st.lists(st.text(max_size=10), max_size=3).map(tuple),
        attempt=st.integers(0, 9),
        lease_until=st.none() | st.floats(1e9, 4e9),
        gateway_reference=st.none() | st.just("ref"),
        failure=st.none() | st.just("Broken"),
    )
)
def test_a_stored_payment_reads_back_as_the_same_payment(payment: Payment) -> None:
    assert from_item(to_item(payment, 8)) == payment


FULL = replace(
    PAYMENT,
    status=Status.FAILED,
    sequence=7,
    updated_at=1007.5,
    since=1006.5,
    salt="00" * 16,
    reasons=("a", "b"),
    attempt=2,
    lease_until=1061.5,
    first_claimed_at=1001.5,
    generation=1,
    request_version=2,
    gateway_reference="ref",
    refund_reference="refund",
    failure="Broken",
    idempotency_key_closed=True,
    status_sequence=6,
    notification=Notification(
        is_due=True,
        notified_status=Status.UNKNOWN,
        notice_id="T-1:5",
        is_confirmed=True,
        notifier="arn:1",
        notifier_until=2807.5,
        is_dead_lettered=True,
    ),
)
# Releases that run side by side read and write this format: to change it is to change the format.
STORED = {
    "transaction_id": {"S": "T-1"},
    "status": {"S": "FAILED"},
    "sequence": {"N": "7"},
    "fingerprint": {"S": "f" * 64},
    "execution": {"S": "arn:1"},
    "created_at": {"N": "1000.25"},
    "updated_at": {"N": "1007.5"},
    "since": {"N": "1006.5"},
    "status_sequence": {"N": "6"},
    "attempt": {"N": "2"},
    "salt": {"S": "00" * 16},
    "amount_minor": {"N": "15000"},
    "currency": {"S": "USD"},
    "payment_method": {"S": "credit_card"},
    "customer_id": {"S": "C-1"},
    "reasons": {"S": '["a", "b"]'},
    "lease_until": {"N": "1061.5"},
    "first_claimed_at": {"N": "1001.5"},
    "generation": {"N": "1"},
    "request_version": {"N": "2"},
    "gateway_reference": {"S": "ref"},
    "refund_reference": {"S": "refund"},
    "failure": {"S": "Broken"},
    "closed": {"BOOL": True},
    "notification_due": {"BOOL": True},
    "notified_status": {"S": "UNKNOWN"},
    "notice_id": {"S": "T-1:5"},
    "notification_confirmed": {"BOOL": True},
    "notifier": {"S": "arn:1"},
    "notifier_until": {"N": "2807.5"},
    "dead_lettered": {"BOOL": True},
    "open_shard": {"N": "3"},
    "overdue_at": {"N": "2807.5"},
}


def test_the_format_of_a_stored_payment_is_the_one_that_earlier_releases_read_and_write() -> None:
    assert to_item(FULL, 8) == STORED
    assert from_item(STORED) == FULL


def test_a_new_payment_stores_what_earlier_releases_require_and_nothing_empty() -> None:
    assert set(to_item(PAYMENT, 8)) == {
        *("transaction_id", "status", "sequence", "fingerprint", "execution", "created_at", "updated_at", "since"),
        *("status_sequence", "attempt", "amount_minor", "currency", "payment_method", "customer_id"),
        *("open_shard", "overdue_at"),
    }


def test_an_item_without_the_time_of_its_status_has_the_time_of_its_last_write() -> None:
    item = {name: value for name, value in STORED.items() if name not in ("since", "status_sequence")}
    payment = from_item(item)
    assert (payment.since, payment.status_sequence) == (FULL.updated_at, FULL.sequence)


def test_an_old_announcer_of_a_notice_that_is_not_due_has_no_claim() -> None:
    assert from_item(to_item(PAYMENT, 8) | {"announced_by": {"S": "arn:1"}}).notification == Notification()


def test_an_item_of_a_release_without_claims_keeps_its_meaning() -> None:
    item = to_item(PAYMENT.with_status(Status.FAILED, at=1010.0), 8) | {
        "told": {"S": "UNKNOWN"},
        "told_id": {"S": "T-1:1"},
        "letter": {"BOOL": True},
        "notice_due": {"BOOL": True},
        "announced_by": {"S": "arn:1"},
    }
    del item["notification_due"]
    payment = from_item(item)
    assert payment.notification == Notification(
        is_due=True,
        notified_status=Status.UNKNOWN,
        notice_id="T-1:1",
        is_confirmed=True,
        notifier="arn:1",
        notifier_until=1010.0 + NOTIFIER_SECONDS,
        is_dead_lettered=True,
    )
    assert payment.overdue_at == 1010.0 + NOTIFIER_SECONDS


def test_a_ledger_step_says_who_did_what_when_and_holds_no_payment_data() -> None:
    completed = CLAIMED.with_status(Status.COMPLETED, at=1002.0, gateway_reference="ref")
    assert to_step(CLAIMED, completed, "function:1") == {
        "transaction_id": {"S": "T-1"},
        "sequence": {"N": "3"},
        "from_status": {"S": "PROCESSING"},
        "status": {"S": "COMPLETED"},
        "at": {"N": "1002.0"},
        "actor": {"S": "function:1"},
        "execution": {"S": "arn:1"},
        "attempt": {"N": "1"},
        "gateway_reference": {"S": "ref"},
    }


def test_only_open_payments_are_in_the_index() -> None:
    assert {"open_shard", "overdue_at"} <= set(to_item(PAYMENT, 8))
    assert to_item(CLAIMED, 8)["overdue_at"] == {"N": str(1001.5 + 300)}
    completed = CLAIMED.with_status(Status.COMPLETED, at=1002.0, gateway_reference="ref")
    assert not {"open_shard", "overdue_at"} & set(to_item(completed, 8))


def test_an_item_with_missing_attributes_is_refused_with_their_names() -> None:
    with pytest.raises(LedgerRefused, match="without sequence, fingerprint"):
        from_item({"transaction_id": {"S": "T"}, "status": {"S": "PENDING"}, "execution": {"S": "x"}})
