"""What scripts/capacity/demands.json says that a payment takes is what it takes now."""

from typing import Any

import pytest

from scripts.bench.demands import AMOUNTS, Meter, run_meter, select_counts
from scripts.capacity.account import read_account
from scripts.capacity.demands import BYTES_TOLERANCE, load_document
from scripts.capacity.limits import load_limits
from scripts.local import server
from stacks.settings import LOCAL

pytestmark = [pytest.mark.e2e, pytest.mark.nightly]


@pytest.fixture(scope="module")
def platform() -> Any:
    """A platform of its own, whose functions' calls are recorded."""
    with run_meter() as meter:
        yield meter


@pytest.fixture(autouse=True)
def _clean_up_after_earlier_tests() -> None:
    """There is nothing to clean up: each measurement counts its own calls, and no other test uses this platform."""


def test_a_run_of_reconciliation_takes_what_the_file_says(platform: Meter) -> None:
    """Before the failed payment, which stays open."""
    compare_with_file(platform.measure_reconciliation().to_json(), load_document()["reconciliation"])


def test_the_emulator_tells_what_it_has(platform: Meter) -> None:
    """It has no Service Quotas; of these the defaults of AWS count."""
    readings = read_account(platform.target, LOCAL, load_limits(server.REGION))
    concurrency = readings.values["lambda_concurrency"]
    # MiniStack's number is that of the machine.
    assert concurrency.value
    assert concurrency.origin == "Lambda"
    assert [obstacle.partition(" could")[0] for obstacle in readings.obstacles] == ["Service Quotas"]


@pytest.mark.parametrize("outcome", AMOUNTS)
def test_a_payment_takes_what_the_file_says(platform: Meter, outcome: str) -> None:
    measured = platform.measure_payment(AMOUNTS[outcome]).to_json()
    compare_with_file(measured, load_document()["outcomes"][outcome])


def compare_with_file(measured: dict[str, Any], recorded: dict[str, Any]) -> None:
    advice = "to measure again: `make demands`, then `make generate`"
    assert select_counts(measured) == select_counts(recorded), advice
    for key, value in recorded.items():
        if key.endswith("_bytes"):
            assert measured[key] == pytest.approx(value, rel=BYTES_TOLERANCE), f"{key}: {advice}"
    for name, table in recorded["tables"].items():
        stored = measured["tables"][name]["stored_bytes"]
        assert stored == pytest.approx(table["stored_bytes"], rel=BYTES_TOLERANCE), f"{name}: {advice}"
