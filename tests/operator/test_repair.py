"""What `refund`, `resolve` and `reconcile` ask of the platform, print and return."""

import io
import json
from types import SimpleNamespace
from typing import Any

import pytest
from botocore.config import Config
from click.testing import CliRunner, Result

from scripts.operator import cli, payment_lists, records
from scripts.operator.cli import common
from scripts.operator.platform import Platform
from stacks import names

ANSWER = {"transaction_id": "T-1", "status": "REFUNDED", "failure": ""}
RESOLVE = {"action": "resolve"}
SHOW = "scripts/payments.sh --env dev show T-1"
UNKNOWN = f"T-1 may have been refunded; run the same command again, or see {SHOW}"
UNCONFIRMED = "the gateway has not confirmed the refund; reconciliation asks again, first in five minutes\n"


class FakeTarget:
    """Answers Invoke with ``answer``, and records its arguments and the configuration of its client."""

    def __init__(self, answer: dict[str, Any], **response: str) -> None:
        self.answer, self.response = answer, response
        self.calls: list[dict[str, Any]] = []
        self.config = Config()

    def client(self, service: str, config: Config) -> Any:
        assert service == "lambda"
        self.config = config
        return SimpleNamespace(invoke=self.invoke)

    def invoke(self, **arguments: Any) -> dict[str, Any]:
        self.calls.append(arguments | {"Payload": json.loads(arguments["Payload"])})
        return {"Payload": io.BytesIO(json.dumps(self.answer).encode())} | self.response


def prepare_payment(monkeypatch: pytest.MonkeyPatch, target: Any, status: str) -> None:
    payment = SimpleNamespace(transaction_id="T-1", status=status, amount="1.00 USD", gateway_reference="r")
    monkeypatch.setattr(Platform, "check_deployed", lambda _: None)
    monkeypatch.setattr(common, "reach_platform", lambda *_: Platform("dev", target, "alice"))
    monkeypatch.setattr(records, "read_payment", lambda *_: payment)
    monkeypatch.setattr(records, "read_open_ids", lambda *_: iter(["T-1"]))
    statuses = iter([status, target.answer.get("after", status)])
    monkeypatch.setattr(records, "read_payments", lambda *_: {"T-1": SimpleNamespace(status=next(statuses))})


def run_command(monkeypatch: pytest.MonkeyPatch, target: Any, status: str, *arguments: str) -> Result:
    prepare_payment(monkeypatch, target, status)
    return CliRunner().invoke(cli.main, ["--env", "dev", *arguments])


@pytest.mark.parametrize(
    ("arguments", "event"),
    [
        (["refund", "T-1", "--yes"], {"action": "refund"}),
        (["resolve", "T-1", "--charged", "c", "--yes"], RESOLVE | {"status": "COMPLETED", "reference": "c"}),
        (["resolve", "T-1", "--refunded", "r", "--yes"], RESOLVE | {"status": "REFUNDED", "reference": "r"}),
        (["resolve", "T-1", "--not-charged", "--yes"], RESOLVE | {"status": "FAILED"}),
    ],
)
def test_the_live_function_learns_the_action_and_the_operator(
    monkeypatch: pytest.MonkeyPatch, arguments: list[str], event: dict[str, str]
) -> None:
    target = FakeTarget(ANSWER)
    result = run_command(monkeypatch, target, "REVIEW", *arguments)
    assert (result.exit_code, result.output) == (0, "T-1: REFUNDED\n")
    payload = event | {"transaction_id": "T-1", "operator": "alice"}
    name = names.in_environment(names.RECONCILIATION.name, "dev")
    assert target.calls == [{"FunctionName": name, "Qualifier": names.LIVE, "Payload": payload}]
    # A second invocation would act on the payment at the same time.
    assert target.config.retries == {"total_max_attempts": 1}
    assert target.config.read_timeout > 300


@pytest.mark.parametrize(
    ("answer", "response", "message"),
    [
        (
            {"errorType": "InternalError", "errorMessage": "at x"},
            {"FunctionError": "Unhandled"},
            f"InternalError: at x; {UNKNOWN}",
        ),
        (
            {"errorMessage": "Task timed out"},
            {"FunctionError": "Unhandled"},
            f"the function failed: Task timed out; {UNKNOWN}",
        ),
        ({"refused": "NotRefundable", "detail": "only a COMPLETED one"}, {}, "only a COMPLETED one"),
    ],
)
def test_a_failure_or_refusal_of_the_function_is_an_error(
    monkeypatch: pytest.MonkeyPatch, answer: dict[str, str], response: dict[str, str], message: str
) -> None:
    result = run_command(monkeypatch, FakeTarget(answer, **response), "DECLINED", "refund", "T-1")
    assert (result.exit_code, result.output) == (1, f"payments: {message}\n")


@pytest.mark.parametrize(
    ("status", "code", "output"),
    [("COMPLETED", 1, "T-1: COMPLETED: no\n"), ("REFUNDING", 0, f"T-1: REFUNDING: no\n{UNCONFIRMED}")],
)
def test_a_refund_that_is_refused_fails_and_one_that_is_unconfirmed_does_not(
    monkeypatch: pytest.MonkeyPatch, status: str, code: int, output: str
) -> None:
    target = FakeTarget(ANSWER | {"status": status, "failure": "no"})
    result = run_command(monkeypatch, target, "COMPLETED", "refund", "T-1", "--yes")
    assert (result.exit_code, result.output) == (code, output)


@pytest.mark.parametrize("outcomes", [[], ["--charged", "c", "--not-charged"], ["--not-charged", "--refunded", "r"]])
def test_a_payment_is_resolved_to_one_outcome(monkeypatch: pytest.MonkeyPatch, outcomes: list[str]) -> None:
    target = FakeTarget(ANSWER)
    assert run_command(monkeypatch, target, "REVIEW", "resolve", "T-1", "--yes", *outcomes).exit_code == 2
    assert target.calls == []


CHANGES = {"payments": [{"transaction_id": "T-1", "from_status": "UNKNOWN", "status": "FAILED"}]}


@pytest.mark.parametrize(
    ("answer", "options", "output", "error"),
    [
        ({"errors": 0}, [], "T-1: still UNKNOWN\n", ""),
        ({"errors": 0, "after": "FAILED"}, [], "T-1: UNKNOWN → FAILED\n", ""),
        ({"errors": 0, "after": "FAILED"}, ["--json"], json.dumps(CHANGES, indent=2) + "\n", ""),
        ({"errors": 1}, [], "T-1: still UNKNOWN\n", "1 error"),
        ({"errorMessage": "Task timed out"}, [], "T-1: still UNKNOWN\n", "the function failed: Task timed out"),
    ],
)
def test_reconcile_prints_the_overdue_payments_and_fails_with_an_error(
    monkeypatch: pytest.MonkeyPatch, answer: dict[str, Any], options: list[str], output: str, error: str
) -> None:
    target = FakeTarget(answer, **{"FunctionError": "Unhandled"} if "errorMessage" in answer else {})
    result = run_command(monkeypatch, target, "UNKNOWN", "reconcile", *options)
    assert (result.exit_code, result.stdout) == (1 if error else 0, output)
    assert result.stderr == (f"payments: {error}; see scripts/logs.sh dev reconciliation\n" if error else "")


@pytest.mark.parametrize(
    ("command", "status"), [(["refund", "T-1"], "COMPLETED"), (["resolve", "T-1", "--not-charged"], "REVIEW")]
)
@pytest.mark.parametrize(("answer", "code"), [("y", 0), ("n", 1), ("", 1), (KeyboardInterrupt(), 130), (EOFError(), 1)])
def test_only_a_yes_changes_a_payment(
    command: list[str], status: str, answer: str | BaseException, code: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def answer_prompt(prompt: str) -> str:
        # Somebody with several terminals sees which environment changes.
        assert " in dev?" in prompt
        if isinstance(answer, BaseException):
            raise answer
        return answer

    target = FakeTarget(ANSWER)
    prepare_payment(monkeypatch, target, status)
    with CliRunner().isolation() as (_, stderr, _), monkeypatch.context() as patched:
        patched.setattr(common, "can_ask", lambda: True)
        patched.setattr("click.termui.visible_prompt_func", answer_prompt)
        with pytest.raises(SystemExit) as end:
            cli.main(["--env", "dev", *command])
        errors = stderr.getvalue().decode()
    assert end.value.code == code
    assert len(target.calls) == (code == 0)
    assert errors.startswith(f"T-1 is {status}, 1.00 USD, charged as r\n")
    assert ("interrupted; nothing was changed" in errors) is (code == 130)


@pytest.mark.parametrize(
    ("command", "status"), [(["refund", "T-1"], "COMPLETED"), (["resolve", "T-1", "--not-charged"], "REVIEW")]
)
def test_a_question_that_nobody_can_answer_names_the_option_that_answers_it(
    command: list[str], status: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = FakeTarget(ANSWER)
    result = run_command(monkeypatch, target, status, *command)
    assert (result.exit_code, target.calls) == (1, [])
    assert result.output.endswith("run it in a terminal or add --yes\n")


def test_erase_asks_first_and_erases_each_payment(monkeypatch: pytest.MonkeyPatch) -> None:
    target = FakeTarget({"transaction_id": "T-1", "status": "COMPLETED", "failure": ""})
    answer = run_command(monkeypatch, target, "COMPLETED", "erase", "T-1", "T-2", "--yes")
    assert (answer.exit_code, answer.output) == (0, "T-1: erased\nT-2: erased\n")
    assert [(call["Payload"]["action"], call["Payload"]["transaction_id"]) for call in target.calls] == [
        ("erase", "T-1"),
        ("erase", "T-2"),
    ]
    unasked = run_command(monkeypatch, FakeTarget(ANSWER), "COMPLETED", "erase", "T-1")
    assert unasked.exit_code == 1
    assert "--yes" in unasked.output


def test_erase_finds_the_payments_of_a_customer(monkeypatch: pytest.MonkeyPatch) -> None:
    target = FakeTarget({"transaction_id": "T-3", "status": "COMPLETED", "failure": ""})
    monkeypatch.setattr(payment_lists, "list_ids_of_customer", lambda _, customer: [f"of-{customer}"])
    answer = run_command(monkeypatch, target, "COMPLETED", "erase", "--customer", "C-1", "--yes", "--json")
    assert json.loads(answer.output) == [{"transaction_id": "T-3", "status": "COMPLETED"}]
    assert target.calls[0]["Payload"]["transaction_id"] == "of-C-1"


def test_a_payment_that_is_not_erased_is_named_and_the_others_are_erased(monkeypatch: pytest.MonkeyPatch) -> None:
    target = FakeTarget({"refused": "NotAllowed", "detail": "transaction T-1 is PENDING and not finished"})
    answer = run_command(monkeypatch, target, "PENDING", "erase", "T-1", "T-2", "--yes")
    assert (answer.exit_code, len(target.calls)) == (1, 2)
    assert answer.stderr == "payments: transaction T-1 is PENDING and not finished\n" * 2


def test_erase_finds_the_payments_that_are_older_than_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    target = FakeTarget({"transaction_id": "T-3", "status": "COMPLETED", "failure": ""})
    limits: list[float] = []
    monkeypatch.setattr(payment_lists, "list_erasable_ids", lambda _, until: limits.append(until) or ["T-3"])
    answer = run_command(monkeypatch, target, "COMPLETED", "erase", "--older-than", "2026-01-01", "--yes")
    assert (answer.exit_code, answer.output, limits) == (0, "T-3: erased\n", [1767225600.0])


@pytest.mark.parametrize("arguments", [[], ["T-1", "--customer", "C-1"], ["T-1", "--older-than", "365d"]])
def test_erase_needs_ids_or_a_customer(monkeypatch: pytest.MonkeyPatch, arguments: list[str]) -> None:
    answer = run_command(monkeypatch, FakeTarget(ANSWER), "COMPLETED", "erase", *arguments)
    assert (answer.exit_code, "give transaction ids, or --customer ID" in answer.output) == (2, True)
