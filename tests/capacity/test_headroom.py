"""Which limit is reached first, and at how many payments a second."""

import math
from typing import Any

import pytest

from scripts.capacity.design import change_to_express
from scripts.capacity.headroom import Available, Headroom, compute_headroom, find_first
from scripts.capacity.limits import load_limits
from tests.capacity.example import DESIGN, make_design, make_workload


def compare(design: Any = DESIGN, workload: Any = None, region: str = "us-east-1", **values: float) -> list[Headroom]:
    read_values = {key: Available(value, "Service Quotas") for key, value in values.items()}
    return compute_headroom(design, workload or make_workload(), load_limits(region), read_values)


def find(rows: list[Headroom], key: str) -> Headroom:
    return next(row for row in rows if row.limit.key == key)


@pytest.mark.parametrize(
    ("key", "need", "breaks_at"),
    [
        # Ten a second: one start each, of 300 a second.
        ("step_functions_starts", 10, 300),
        ("step_functions_transitions", 40, 1250),
        # 0.05 s of validation, 0.05 s of processing and 0.9 s of the gateway: one second for each payment.
        ("lambda_concurrency", 10, 1000),
        # Of that, processing runs 0.95 s.
        ("lambda_scaling", 9.5, 1000 / 0.95),
        # Two invocations of each payment.
        ("lambda_requests", 20, 5000),
        ("dynamodb_table_writes", 60, 40_000 / 6),
        # Four units for each payment, over eight shards.
        ("dynamodb_index_partition", 5, 2000),
        ("logs_requests", 20, 2500),
        ("sns_messages", 5, 60_000),
        ("gateway_requests", 10, 25),
    ],
)
def test_a_need_grows_with_the_load_until_the_limit(key: str, need: float, breaks_at: float) -> None:
    row = find(compare(), key)
    assert row.need == pytest.approx(need)
    assert row.breaks_at == pytest.approx(breaks_at)


def test_the_limits_stand_in_the_order_in_which_a_load_reaches_them() -> None:
    reached = [row.breaks_at for row in compare()]
    assert reached == sorted(reached)
    assert len(reached) > 10


def test_a_peak_is_reached_at_a_lower_average() -> None:
    row = find(compare(workload=make_workload(10, peak_factor=3)), "step_functions_starts")
    assert (row.need, row.breaks_at) == (30, pytest.approx(100))


def test_a_region_has_its_defaults() -> None:
    assert find(compare(region="eu-central-1"), "step_functions_starts").available == Available(150, "default")
    assert find(compare(region="eu-west-1"), "step_functions_starts").available == Available(300, "default")
    assert find(compare(region="eu-central-1"), "kms_requests").available.value == 20_000


def test_what_the_account_tells_counts_more_than_the_default() -> None:
    row = find(compare(step_functions_starts=1000), "step_functions_starts")
    assert (row.available.origin, row.breaks_at) == ("Service Quotas", 1000)


def test_the_first_limit_is_one_that_stands_in_the_way() -> None:
    """The simulator has no rate limit, and warm throughput grows with the load."""
    first = find_first(compare())
    assert first is not None
    assert first.limit.key == "step_functions_starts"
    with_stripe = find_first(compare(make_design(gateway="stripe")))
    assert with_stripe is not None
    assert with_stripe.limit.key == "gateway_requests"


def test_reconciliation_takes_its_part_of_the_gateways_account() -> None:
    """Of 100 requests a second, 25 are left to the run that works off a backlog."""
    row = find(compare(make_design(gateway="stripe", reconciled_per_second=25.0)), "gateway_account")
    assert (row.need, row.breaks_at) == (35, 75)


def test_reserved_concurrency_is_a_limit_of_its_own() -> None:
    assert "lambda_reserved" not in [row.limit.key for row in compare()]
    row = find(compare(make_design(reserved_concurrency=50)), "lambda_reserved")
    assert row.available == Available(50, "setting")
    assert row.breaks_at == pytest.approx(50 / 0.95)


def test_express_has_other_limits() -> None:
    keys = {row.limit.key for row in compare(change_to_express(DESIGN))}
    assert "step_functions_express_starts" in keys
    assert not keys & {"step_functions_starts", "step_functions_transitions", "step_functions_open"}


@pytest.mark.parametrize("shards", [1, 8, 64])
def test_more_shards_take_more(shards: int) -> None:
    assert find(compare(make_design(open_shards=shards)), "dynamodb_index_partition").breaks_at == 250 * shards


def test_a_limit_without_a_value_is_never_reached() -> None:
    row = find(compare(), "sqs_messages")
    assert row.available.value is None
    assert math.isinf(row.breaks_at)
    assert not row.is_exceeded
    assert row.share_left is None


def test_an_exceeded_limit_asks_for_more_than_the_need() -> None:
    row = find(compare(workload=make_workload(600)), "step_functions_starts")
    assert row.is_exceeded
    assert row.share_left == pytest.approx(-1)
    assert row.wanted_value() == 800
    assert find(compare(), "step_functions_starts").wanted_value() == 600
