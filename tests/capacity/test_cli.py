"""The command: its tables, its document, its errors and its exit codes, without AWS."""

import json
import re
import socket
from typing import Any

import jsonschema
import pytest
from click.testing import CliRunner, Result

from scripts.capacity import cli
from scripts.common.terminal import create_console
from tests.emitted import ROOT

SCHEMA = json.loads((ROOT / "docs" / "capacity-output.schema.json").read_text(encoding="utf-8"))


@pytest.fixture(autouse=True)
def without_aws(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    """No credentials, and no connection either: who tries one fails."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_PROFILE", "AWS_REGION", "AWS_DEFAULT_REGION", "PAYMENT_ENV"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))

    def refuse(*_: Any) -> None:
        raise AssertionError("a command without credentials connects to nothing")

    monkeypatch.setattr(socket.socket, "connect", refuse)


def run(*arguments: str) -> Result:
    return CliRunner().invoke(cli.main, arguments, prog_name="scripts/capacity.sh")


@pytest.mark.parametrize("environment", ["dev", "staging", "prod"])
def test_the_first_line_answers_the_question(environment: str) -> None:
    result = run(environment, "--per-second", "10")
    assert result.exit_code == 0, result.output
    line = result.stdout.splitlines()[0]
    assert line == (
        f"100 payments a second is what {environment} carries now; the first limit is StartExecution, Standard: "
        "300/s at the peak."
    )


@pytest.mark.parametrize(("width", "quota_code"), [(80, ""), (110, "L-B99A9384")])
def test_a_terminal_cuts_no_number_of_a_limit(monkeypatch: pytest.MonkeyPatch, width: int, quota_code: str) -> None:
    """A narrow one shows fewer columns, and says so."""

    def create_terminal(**arguments: Any) -> Any:
        return create_console(**{**arguments, "width": width})

    monkeypatch.setattr(cli, "create_console", create_terminal)
    shown = run("dev", "--per-second", "20").stdout
    (row,) = [line for line in shown.splitlines() if line.startswith("Lambda concurrency, account")]
    assert len(row) <= width
    assert re.search(rf" 1,000 at .* 543/s *{quota_code}$", row)
    assert ("A terminal of 110 columns shows more" in shown) == (width < 110)


def test_both_tables_fit_into_120_columns() -> None:
    tables = [line for line in run("prod", "--per-second", "2000", "--compare").stdout.splitlines() if "  " in line]
    assert any(line.startswith("StartExecution, Standard") and "L-1B55A735" in line for line in tables)
    assert any(line.startswith("Step Functions") for line in tables)
    assert max(map(len, tables)) <= 120


def test_the_comparison_says_what_is_calculated() -> None:
    text = " ".join(run("dev", "--per-second", "10", "--compare").stdout.split())
    assert "dev (Standard) measured 100/s" in text
    assert "dev (Express) calculated " in text
    assert "the reference measured and calculated 100/s" in text


def test_an_exceeded_limit_ends_with_2_and_the_request_that_raises_it() -> None:
    result = run("dev", "--per-second", "200", "--region", "eu-central-1")
    assert result.exit_code == 2
    assert (
        "aws service-quotas request-service-quota-increase --region eu-central-1 --service-code states "
        "--quota-code L-1B55A735 --desired-value 800" in result.stdout
    )
    # Not the first limit alone: 600 starts a second are also more than four times as many transitions, of 800.
    assert "--quota-code L-AD9B4E93 --desired-value" in result.stdout


@pytest.mark.parametrize("arguments", [(), ("--compare",), ("--region", "ap-south-1"), ("--gateway-seconds", "0")])
def test_the_document_is_as_the_schema_says(arguments: tuple[str, ...]) -> None:
    document = json.loads(run("prod", "--per-second", "10", "--json", *arguments).stdout)
    jsonschema.validate(document, SCHEMA)
    assert document["carries_per_second"] is not None
    total = sum(cost["dollars_per_month"] for cost in document["costs"])
    assert document["dollars_per_month"] == pytest.approx(total)
    assert len(document["compared"]) == (2 if "--compare" in arguments else 0)


def test_the_environment_may_be_an_option_or_a_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "what dev carries" in run("--env", "dev", "--per-second", "1").stdout
    monkeypatch.setenv("PAYMENT_ENV", "prod")
    assert "what prod carries" in run("--per-second", "1").stdout
    assert "what dev carries" in run("--env", "dev", "--per-second", "1").stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("dev", "Missing option '--per-second'"),
        ("dev --per-second 0", "0 is not a finite number above 0"),
        ("dev --per-second -1", "-1 is not a finite number above 0"),
        ("dev --per-second inf", "inf is not a finite number above 0"),
        ("dev --per-second nan", "nan is not a finite number above 0"),
        ("dev --per-second 50/s", "'50/s' is not a number, such as 50 or 0.5; it has no unit"),
        ("dev --per-second 1 --peak-factor 0.5", "0.5 is not a finite number at least 1"),
        ("dev --per-second 1 --declined 101", "101 is not a finite number at least 0 and at most 100"),
        ("dev --per-second 1 --declined 60 --failed 60", "--declined and --failed together are more than 100 %"),
        ("--per-second 1", "no environment; name one, such as dev, or set PAYMENT_ENV"),
        ("dev --env prod --per-second 1", "two environments, dev and --env prod; name one"),
        ("nowhere --per-second 1", "no environment [nowhere]"),
    ],
)
def test_a_wrong_argument_is_one_line_and_a_document(arguments: str, message: str) -> None:
    result = run(*arguments.split())
    assert result.exit_code == 1
    assert message in result.stderr
    assert result.stderr.count("\n") == 1
    document = json.loads(run(*arguments.split(), "--json").stdout)
    jsonschema.validate(document, SCHEMA)
    assert message in document["error"]


def test_the_help_fits_into_80_columns() -> None:
    assert max(map(len, run("--help").stdout.splitlines())) <= 80


def test_the_emulator_that_does_not_run_is_no_error() -> None:
    result = run("local", "--per-second", "1", "--offline")
    assert result.exit_code == 0
    assert "what local carries" in result.stdout
