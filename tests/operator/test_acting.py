"""What the operator's commands make of what the functions answer."""

from types import SimpleNamespace

import pytest
from click.testing import CliRunner, Result

from scripts.payments import cli, reconciling
from scripts.payments.cli import common


def reconcile(monkeypatch: pytest.MonkeyPatch, errors: int) -> Result:
    """One payment is overdue, and stays as it is."""
    answer = {"overdue": 1, "settled": 0, "open": 1 - errors, "errors": errors}
    monkeypatch.setattr(common, "reach", lambda *_: SimpleNamespace(invoke=lambda _: answer))
    monkeypatch.setattr(reconciling.records, "shards", lambda *_: iter(["T-1"]))
    monkeypatch.setattr(reconciling.records, "several", lambda *_: {"T-1": SimpleNamespace(status="UNKNOWN")})
    return CliRunner().invoke(cli.main, ["--env", "dev", "reconcile"])


def test_what_reconciliation_could_not_settle_is_said_and_is_no_success(monkeypatch: pytest.MonkeyPatch) -> None:
    result = reconcile(monkeypatch, errors=1)
    assert result.exit_code == 1
    assert result.stdout == "T-1: still UNKNOWN\n"
    assert result.stderr == "payments: 1 error; the log of the reconciliation function says more\n"


def test_what_the_gateway_does_not_say_yet_is_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    result = reconcile(monkeypatch, errors=0)
    assert (result.exit_code, result.output) == (0, "T-1: still UNKNOWN\n")
