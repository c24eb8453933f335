"""The data files: each number has a page and a date, and what the model needs is there."""

import re
from collections.abc import Iterator, Mapping
from datetime import date
from typing import Any

import pytest

from scripts.capacity import demands
from scripts.capacity.data_files import list_unconfirmed, load_file
from scripts.capacity.demands import DEMANDS_FILE, OUTCOMES, REFERENCE_FILE, Mix, average_usage, load_document
from scripts.capacity.design import describe_environment
from scripts.capacity.limits import load_limits
from scripts.capacity.prices import REGIONS, load_prices
from scripts.common.errors import UserError
from stacks import settings
from stacks.workflow.stack import DATA_KEY_REUSE_SECONDS

FILES = ("limits.toml", "prices.toml", "assumptions.toml")


def walk_rows(tables: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    for name, row in tables.items():
        if "source" in row:
            yield name, row
        else:
            yield from walk_rows(row)


@pytest.mark.parametrize("file", FILES)
def test_each_row_names_its_page_and_when_it_was_read(file: str) -> None:
    rows = list(walk_rows(load_file(file)))
    assert rows
    for name, row in rows:
        assert re.fullmatch(
            r"https://(docs\.aws\.amazon\.com|aws\.amazon\.com|docs\.stripe\.com)/\S+", row["source"]
        ), name
        assert isinstance(row["read_on"], date), name
        assert isinstance(row.get("confirmed", False), bool), name
        assert set(row.get("confirmed_in", ())) <= set(REGIONS), name


def test_each_limit_can_be_moved_or_says_that_it_cannot() -> None:
    for key, limit in load_limits("us-east-1").rows.items():
        assert limit.moved_by or re.fullmatch("L-[0-9A-F]{8}", limit.quota_code), key
        assert bool(limit.quota_code) <= bool(limit.service_code), key
        assert len(limit.title) <= 30, f"{key}: the table has no room for its title"
        assert limit.quota_code or len(limit.lever) <= 20, key


def test_a_number_that_was_not_found_is_marked_for_the_regions_where_it_was_not() -> None:
    assert "dynamodb_write_units" not in load_prices("us-east-1").list_unconfirmed()
    assert "dynamodb_write_units" in load_prices("eu-west-1").list_unconfirmed()
    assert "data_keys.sns" in list_unconfirmed(load_file("assumptions.toml"), "us-east-1")


def test_the_period_of_data_keys_is_that_of_the_state_machine() -> None:
    assert load_file("assumptions.toml")["data_keys"]["step_functions"]["seconds"] == DATA_KEY_REUSE_SECONDS


@pytest.mark.parametrize("path", [DEMANDS_FILE, REFERENCE_FILE])
def test_the_measured_files_have_every_outcome(path: Any) -> None:
    document = load_document(path)
    assert tuple(document["outcomes"]) == OUTCOMES
    assert path.read_text(encoding="utf-8") == demands.format_document(document)


def test_a_mix_is_the_weighted_mean() -> None:
    outcomes = load_document()["outcomes"]
    usage = average_usage(load_document(), Mix(declined=0.25, failed=0.25))
    expected = [
        share * outcomes[outcome]["transitions"]
        for outcome, share in {"charged": 0.5, "declined": 0.25, "failed": 0.25}.items()
    ]
    assert usage.transitions == pytest.approx(sum(expected))
    # No dead letter is sent but for a failed payment.
    assert usage.calls["sqs:SendMessage"] == pytest.approx(0.25)


def test_a_file_that_cannot_be_read_is_named(tmp_path: Any) -> None:
    (tmp_path / "demands.json").write_text("{")
    with pytest.raises(UserError, match=r"demands\.json: cannot be read.*make demands"):
        load_document(tmp_path / "demands.json")


@pytest.mark.parametrize("environment", ["dev", "staging", "prod"])
def test_the_environment_is_what_its_settings_and_templates_say(environment: str) -> None:
    design = describe_environment(environment, settings.ENVIRONMENTS_FILE, "us-east-1", Mix(0, 0))
    parameters = settings.load(environment)
    assert design.log_retention_days == int(parameters["LogRetentionDays"])
    assert design.logs_execution_data == (parameters["WorkflowLogExecutionData"] == "true")
    # The sixth key is that of the workflow, where it has one.
    assert design.count("KMS::Key") == (6 if parameters["WorkflowCustomerKey"] == "true" else 5)
    assert design.count("CloudWatch::CompositeAlarm") == 1
    assert design.memory_mb == 256
    assert design.open_shards == 8
