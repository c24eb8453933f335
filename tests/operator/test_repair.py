"""What the operator's commands make of what the functions answer."""

from types import SimpleNamespace

import pytest
from click.testing import CliRunner, Result

from scripts.operator import cli, reconciliation, records
from scripts.operator.cli import common


def reconcile(monkeypatch: pytest.MonkeyPatch, errors: int) -> Result:
    """One payment is overdue, and stays as it is."""
    answer = {"overdue": 1, "settled": 0, "open": 1 - errors, "errors": errors}
    monkeypatch.setattr(common, "reach_platform", lambda *_: SimpleNamespace(invoke_reconciliation=lambda _: answer))
    monkeypatch.setattr(reconciliation.records, "read_open_ids", lambda *_: iter(["T-1"]))
    monkeypatch.setattr(reconciliation.records, "read_payments", lambda *_: {"T-1": SimpleNamespace(status="UNKNOWN")})
    return CliRunner().invoke(cli.main, ["--env", "dev", "reconcile"])


def test_what_reconciliation_could_not_settle_is_said_and_is_no_success(monkeypatch: pytest.MonkeyPatch) -> None:
    result = reconcile(monkeypatch, errors=1)
    assert result.exit_code == 1
    assert result.stdout == "T-1: still UNKNOWN\n"
    assert result.stderr == "payments: 1 error; the log of the reconciliation function says more\n"


def test_what_the_gateway_does_not_say_yet_is_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    result = reconcile(monkeypatch, errors=0)
    assert (result.exit_code, result.output) == (0, "T-1: still UNKNOWN\n")


@pytest.mark.parametrize(("answer", "code"), [("y", 0), ("n", 1), ("", 1), (KeyboardInterrupt(), 130), (EOFError(), 1)])
def test_a_question_is_answered(answer: str | BaseException, code: int, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def ask(action: str, *_: str) -> dict[str, str]:
        asked.append(action)
        return {"transaction_id": "T-1", "status": "REFUNDED", "failure": ""}

    def read(_prompt: str) -> str:
        if isinstance(answer, BaseException):
            raise answer
        return answer

    payment = SimpleNamespace(transaction_id="T-1", status="COMPLETED", amount="1.00 USD", gateway_reference="r")
    monkeypatch.setattr(common, "reach_platform", lambda *_: SimpleNamespace(invoke_payment_action=ask))
    monkeypatch.setattr(records, "read_payment", lambda *_: payment)
    with CliRunner().isolation() as (_, stderr, _), monkeypatch.context() as patched:
        patched.setattr("click.termui.visible_prompt_func", read)
        with pytest.raises(SystemExit) as end:
            cli.main(["--env", "dev", "refund", "T-1"])
        said = stderr.getvalue().decode()
    assert end.value.code == code
    assert asked == (["refund"] if code == 0 else [])
    assert ("interrupted; nothing was changed" in said) is (code == 130)
