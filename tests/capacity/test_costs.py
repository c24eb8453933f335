"""Prices by hand, with the list prices of us-east-1."""

from dataclasses import replace
from typing import Any

import pytest

from scripts.capacity.costs import Cost, compute_costs, sum_by_service
from scripts.capacity.design import change_to_express
from scripts.capacity.prices import load_prices
from tests.capacity.example import DESIGN, PAYMENT, make_design, make_workload

# A million payments in a month of 730 hours.
MILLION = 1_000_000 / (730 * 3600)


def charge(design: Any = DESIGN, region: str = "us-east-1", **workload: Any) -> list[Cost]:
    return compute_costs(design, make_workload(MILLION, **workload), load_prices(region))


def find(costs: list[Cost], service: str, item: str) -> float:
    return sum(cost.dollars for cost in costs if (cost.service, cost.item) == (service, item))


@pytest.mark.parametrize(
    ("service", "item", "dollars"),
    [
        # Four transitions at 0.025 a thousand.
        ("Step Functions", "transitions", 100),
        ("Lambda", "requests", 0.4),
        # One second of 0.25 GB.
        ("Lambda", "duration", 4.1666750),
        # Twelve of the tables and four of the index, at 0.625 a million.
        ("DynamoDB", "write units", 10),
        ("DynamoDB", "read units", 0.125),
        ("DynamoDB", "storage", 2048e6 / 1024**3 * 0.25),
        ("CloudWatch", "logs ingested", 1000e6 / 1024**3 * 0.5),
        ("SNS", "publications", 0.25),
        ("SQS", "messages", 0.1),
    ],
)
def test_a_million_payments_cost(service: str, item: str, dollars: float) -> None:
    assert find(charge(), service, item) == pytest.approx(dollars)


def test_express_is_billed_by_time_in_steps() -> None:
    costs = charge(change_to_express(DESIGN), gateway_seconds=0.91)
    assert find(costs, "Step Functions", "transitions") == 0
    assert find(costs, "Step Functions", "executions") == pytest.approx(1)
    # 1.01 s are 1.1 s, of 64 MB.
    assert find(costs, "Step Functions", "duration") == pytest.approx(1.1e6 / 16 * 0.00001667)


def test_the_parts_of_a_large_amount_have_their_own_prices() -> None:
    prices = load_prices("us-east-1")
    assert prices.charge("logs_ingestion", 10_240) == pytest.approx(5120)
    assert prices.charge("logs_ingestion", 10_241) == pytest.approx(5120.25)
    assert prices.charge("logs_ingestion", 100_000) == pytest.approx(5120 + 5120 + 2048 + 48_800 * 0.05)


def test_a_region_has_its_prices_or_those_of_us_east_1() -> None:
    assert load_prices("eu-central-1").charge("dynamodb_write_units", 1e6) == pytest.approx(0.7625)
    assert load_prices("sa-east-1").region == "us-east-1"


def test_log_settings_have_their_price() -> None:
    logged = make_design(logs_workflow=True, logs_execution_data=True, masks_logs=True)
    gigabytes = 6000e6 / 1024**3
    assert find(charge(logged), "CloudWatch", "logs ingested") == pytest.approx(gigabytes * 0.5)
    assert find(charge(logged), "CloudWatch", "masking of logs") == pytest.approx(gigabytes * 0.12)
    kept = find(charge(make_design(log_retention_days=365)), "CloudWatch", "logs stored")
    assert kept == pytest.approx(1000e6 / 1024**3 * 12 * 0.15 * 0.03)


def test_every_daily_backup_is_a_full_copy() -> None:
    costs = charge(make_design(backup_retention_days=35), months_stored=2)
    assert find(costs, "Backup", "35 daily copies") == pytest.approx(35 * 2 * 2048e6 / 1024**3 * 0.1)


def test_traces_are_the_first_of_a_second_and_a_part_of_the_others() -> None:
    traced = make_design(traces=True)
    prices = load_prices("us-east-1")
    low = find(compute_costs(traced, make_workload(0.5), prices), "X-Ray", "traces")
    high = find(compute_costs(traced, make_workload(101), prices), "X-Ray", "traces")
    assert low == pytest.approx(0.5 * 730 * 3600 * 5e-6)
    assert high == pytest.approx(6 * 730 * 3600 * 5e-6)


def test_reconciliation_costs_the_same_without_any_payment() -> None:
    """8,760 runs in a month of 730 hours, with five transitions each."""
    run = replace(PAYMENT, transitions=5)
    costs = charge(make_design(reconciliation=run))
    item = "reconciliation while nothing is open"
    assert find(costs, "Step Functions", item) == pytest.approx(8760 * 5 * 0.000025)
    assert all(cost.is_fixed for cost in costs if cost.item == item)
    assert find(charge(), "Step Functions", item) == 0


def test_the_most_expensive_service_comes_first() -> None:
    totals = sum_by_service(charge())
    assert next(iter(totals)) == "Step Functions"
    assert sum(totals.values()) == pytest.approx(sum(cost.dollars for cost in charge()))
