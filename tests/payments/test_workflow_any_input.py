"""Every input ends an execution in one of its end states."""

import json
from collections import Counter
from typing import Any

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from tests.asl import LIMIT_BYTES
from tests.workflow import END_STATES, Workflow, request

pytestmark = pytest.mark.slow

INPUTS = 1200

scalars = (
    st.none()
    | st.booleans()
    | st.integers(-(10**30), 10**30)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=100)
)
any_json = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(max_size=10), inner, max_size=5)
)


def nest_lists(depth: int) -> Any:
    value: Any = 1
    for _ in range(depth):
        value = [value]
    return value


extremes = st.one_of(
    st.sampled_from([0, 1, 500, 900]).map(nest_lists),
    st.sampled_from([1, 19_000, 25_000, 250_000]).map(lambda size: "x" * size),
    st.sampled_from(["", "\u0000", "\U0001f4b3" * 50, "\u202e1", "0", "-", "a\nb", "{% $states.input %}", "'; DROP"]),
    st.sampled_from([0, -1, 0.001, 1e-300, 1e300, 10**300, 149.999, 10000, 10000.01, 5000.01, True]),
)
fields = ("transaction_id", "payment_amount", "payment_method", "customer_id", "currency", "more")
near_valid = st.dictionaries(st.sampled_from(fields), scalars | extremes | any_json, max_size=4).map(
    lambda changes: request() | changes
)
missing = st.sets(st.sampled_from(fields[:5]), min_size=1).map(
    lambda missing_fields: request(**dict.fromkeys(missing_fields))
)
valid = st.builds(
    lambda cents, method: request(payment_amount=cents / 100, payment_method=method),
    st.integers(1, 1_000_000),
    st.sampled_from(["credit_card", "bank_transfer"]),
)


def test_every_input_ends_in_an_end_state(monkeypatch: pytest.MonkeyPatch) -> None:
    """This fails without the bound on the request's size, or with ``$failure`` unset in one catcher."""
    ends: Counter[str] = Counter()

    @settings(
        max_examples=INPUTS, derandomize=True, deadline=None, database=None, suppress_health_check=list(HealthCheck)
    )
    @given(valid | near_valid | missing | any_json | extremes)
    def pay(data: Any) -> None:
        # StartExecution refuses larger inputs.
        assume(len(json.dumps(data)) <= LIMIT_BYTES)
        workflow = Workflow().install(monkeypatch)
        execution = workflow.pay(data)
        end = execution.path[-1]
        ends[end] += 1
        assert end in END_STATES, (execution, data)
        if end == "PaymentFailed":
            assert execution.status == "FAILED"
            assert len(workflow.dead_letters) == len(workflow.notices) == 1
            assert workflow.dead_letters[0]["error"] == execution.error
        else:
            assert execution.status == "SUCCEEDED", execution
            assert execution.output["status"] == workflow.ledger.payments[execution.output["transaction_id"]].status

    pay()
    print(f"\n{sum(ends.values())} inputs ended in {dict(ends)}")
    assert set(ends) == END_STATES
    assert sum(ends.values()) >= 1000


def test_an_event_that_the_function_cannot_parse_ends_in_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lambda reports it as ``Runtime.UnmarshalError``."""
    workflow = Workflow(broken={"${ValidationFunctionArn}": "Runtime.UnmarshalError"}).install(monkeypatch)
    execution = workflow.pay({"transaction_id": "T-1", "payment_amount": nest_lists(900)})
    assert (execution.path[-1], execution.error) == ("PaymentFailed", "Runtime.UnmarshalError")
