"""What `reconcile`, `refund` and `resolve` print and return for the answers of the function."""

from types import SimpleNamespace

import pytest
from click.testing import CliRunner, Result

from scripts.operator import cli, reconciliation, records
from scripts.operator.cli import common


def run_reconcile(monkeypatch: pytest.MonkeyPatch, errors: int) -> Result:
    """Run `reconcile` for one overdue payment that keeps its status."""
    answer = {"overdue": 1, "settled": 0, "open": 1 - errors, "errors": errors}
    monkeypatch.setattr(common, "reach_platform", lambda *_: SimpleNamespace(invoke_reconciliation=lambda _: answer))
    monkeypatch.setattr(reconciliation.records, "read_open_ids", lambda *_: iter(["T-1"]))
    monkeypatch.setattr(reconciliation.records, "read_payments", lambda *_: {"T-1": SimpleNamespace(status="UNKNOWN")})
    return CliRunner().invoke(cli.main, ["--env", "dev", "reconcile"])


def test_an_error_of_reconciliation_fails_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    result = run_reconcile(monkeypatch, errors=1)
    assert result.exit_code == 1
    assert result.stdout == "T-1: still UNKNOWN\n"
    assert result.stderr == "payments: 1 error; the log of the reconciliation function says more\n"


def test_a_payment_that_stays_unknown_is_not_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    result = run_reconcile(monkeypatch, errors=0)
    assert (result.exit_code, result.output) == (0, "T-1: still UNKNOWN\n")


@pytest.mark.parametrize(("answer", "code"), [("y", 0), ("n", 1), ("", 1), (KeyboardInterrupt(), 130), (EOFError(), 1)])
def test_only_a_yes_refunds(answer: str | BaseException, code: int, monkeypatch: pytest.MonkeyPatch) -> None:
    actions: list[str] = []

    def record_action(action: str, *_: str) -> dict[str, str]:
        actions.append(action)
        return {"transaction_id": "T-1", "status": "REFUNDED", "failure": ""}

    def answer_prompt(_prompt: str) -> str:
        if isinstance(answer, BaseException):
            raise answer
        return answer

    payment = SimpleNamespace(transaction_id="T-1", status="COMPLETED", amount="1.00 USD", gateway_reference="r")
    monkeypatch.setattr(common, "reach_platform", lambda *_: SimpleNamespace(invoke_payment_action=record_action))
    monkeypatch.setattr(records, "read_payment", lambda *_: payment)
    with CliRunner().isolation() as (_, stderr, _), monkeypatch.context() as patched:
        patched.setattr("click.termui.visible_prompt_func", answer_prompt)
        with pytest.raises(SystemExit) as end:
            cli.main(["--env", "dev", "refund", "T-1"])
        errors = stderr.getvalue().decode()
    assert end.value.code == code
    assert actions == (["refund"] if code == 0 else [])
    assert ("interrupted; nothing was changed" in errors) is (code == 130)
