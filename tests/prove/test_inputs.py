"""Sends 10,000 requests, or fewer: each is recorded with its reasons, or refused before anything is written."""

from collections import Counter
from decimal import Decimal
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from payments.errors import MalformedRequest
from payments.money import Money, count_decimal_places
from payments.payment import Status
from payments.receive import receive_payment
from payments.rules import Limits

from tests.fakes import MemoryLedger
from tests.payments.test_workflow_any_input import any_json, extremes, missing, near_valid, valid
from tests.prove.faults import PROVES_ALL
from tests.workflow import request

INPUTS = 10_000 if PROVES_ALL else 1_000
# One currency for each number of decimal places.
CURRENCIES = ("JPY", "USD", "KWD", "CLF")
LIMITS = Limits(
    maximum={code: Money(10**10, code) for code in CURRENCIES},
    high_value={code: Money(10**10, code) for code in CURRENCIES},
)
amounts = st.builds(
    lambda minor, code: request(
        payment_amount=float(Decimal(minor).scaleb(-count_decimal_places(code))), currency=code
    ),
    st.integers(1, 10**10),
    st.sampled_from(CURRENCIES),
)


def test_every_request_is_recorded_or_refused(record_figure: Any) -> None:
    ends: Counter[str] = Counter()

    @settings(
        max_examples=INPUTS, derandomize=True, deadline=None, database=None, suppress_health_check=list(HealthCheck)
    )
    @given(amounts | valid | near_valid | missing | any_json | extremes)
    def send_request(raw: Any) -> None:
        ledger = MemoryLedger()
        try:
            payment = receive_payment(
                raw, ledger=ledger, limits=LIMITS, execution="arn:1", current_time=1.0, notify_outcomes=True
            )
        except MalformedRequest:
            assert ledger.history == []
            ends["refused"] += 1
            return
        assert list(ledger.payments.values()) == [payment]
        assert (payment.status is Status.REJECTED) == bool(payment.reasons)
        ends[payment.status] += 1
        if payment.status is Status.PENDING:
            # The recorded amount is the requested one, to the last minor unit.
            assert payment.amount is not None
            places = count_decimal_places(payment.amount.currency)
            assert Decimal(payment.amount.minor_units).scaleb(-places) == Decimal(str(raw["payment_amount"]))

    send_request()
    print(f"\ninputs: {sum(ends.values())} {dict(ends)}")
    record_figure("inputs tested", sum(ends.values()))
    assert sum(ends.values()) >= INPUTS
    assert {"refused", Status.REJECTED, Status.PENDING} == set(ends)
