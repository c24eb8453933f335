"""The workers of `make load` and `make bench` make payments with the variables of the deployed functions."""

from typing import Any

import pytest

from scripts.bench.load import Load, measure_load
from scripts.bench.sides import Side, read_variables
from scripts.common.paths import ROOT
from scripts.local import server

pytestmark = [pytest.mark.e2e, pytest.mark.nightly]


def test_two_processes_make_their_payments_at_the_same_time(platform: Any) -> None:
    environment = server.emulator_environment(platform.target.endpoint_url) | read_variables(platform.target)
    before = count_payments(platform)
    load = measure_load(Side("ours", str(ROOT / "lambda"), environment), payments=3, processes=2)
    assert len(load.milliseconds) == 6
    # Each process makes one more, to open its connections.
    assert count_payments(platform) - before == 8
    assert sum(load.milliseconds) / 2 <= load.seconds * 1000 < sum(load.milliseconds)


def test_a_payment_that_fails_ends_the_measurement(platform: Any, capfd: pytest.CaptureFixture[str]) -> None:
    environment = server.emulator_environment(platform.target.endpoint_url) | read_variables(platform.target)
    side = Side("ours", str(ROOT / "lambda"), environment | {"GATEWAY": "none"})
    with pytest.raises(SystemExit, match="a payment of ours failed"):
        measure_load(side, payments=1, processes=1)
    assert "GATEWAY names no gateway" in capfd.readouterr().err


def test_percentiles_are_those_of_all_rounds() -> None:
    load = Load(seconds=1, milliseconds=[float(number) for number in range(1, 51)])
    load.add(Load(seconds=4, milliseconds=[float(number) for number in range(51, 102)]))
    assert load.describe().split() == ["20.2", "51", "ms", "96", "ms", "100", "ms"]


def count_payments(platform: Any) -> int:
    answer = platform.client("dynamodb").scan(TableName=platform.outputs["DynamodbTableName"], Select="COUNT")
    return int(answer["Count"])
