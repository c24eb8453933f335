"""What is said of payments that were started is what became of them."""

import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from types import SimpleNamespace
from typing import Any

import pytest
from botocore.exceptions import ClientError
from click.testing import CliRunner
from payments.request import read_request

from scripts.common.errors import UserError
from scripts.operator import cli, execution_names, payment_requests, records
from scripts.operator.batch import EXECUTIONS_PER_LOOK, MOST_EXECUTIONS, Batch, Result
from scripts.operator.cli import common, inspect
from scripts.operator.payment_requests import Request
from scripts.operator.platform import Platform
from scripts.operator.story import Story
from tests.operator.hashes import find_pieces

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
SALT = "0123456789abcdef" * 2


class ExecutionAlreadyExists(Exception):
    pass


class StepFunctions:
    """Keeps executions, and takes a name as AWS does.

    ``ends`` is called when an execution is asked after, and says its status. ``calls`` are what was started, by name,
    with the arguments; ``started`` is when each began.

    https://docs.aws.amazon.com/step-functions/latest/apireference/API_StartExecution.html
    """

    exceptions = SimpleNamespace(ExecutionAlreadyExists=ExecutionAlreadyExists)

    def __init__(self, ends: Any, started: datetime = NOW) -> None:
        self._ends, self._started = ends, started
        self.calls: dict[str, dict[str, Any]] = {}
        self.asked: list[str] = []

    def start_execution(self, **arguments: Any) -> dict[str, Any]:
        headers = {"date": format_datetime(NOW, usegmt=True)}
        before = self.calls.setdefault(arguments["name"], arguments)
        if before is not arguments and (before["input"] != arguments["input"] or self._status(arguments["name"])):
            raise ExecutionAlreadyExists
        return {"startDate": self._started, "ResponseMetadata": {"HTTPHeaders": headers}}

    def _status(self, name: str) -> str:
        """Empty while it runs."""
        status = str(self._ends(f"arn:aws:states:eu-west-1:1:execution:m:{name}"))
        return "" if status == "RUNNING" else status

    def describe_execution(self, executionArn: str) -> dict[str, Any]:
        self.asked.append(executionArn)
        return {"status": self._ends(executionArn), "input": self.calls[executionArn.rpartition(":")[2]]["input"]}


def request(transaction_id: str = "T-0", amount: str = "150") -> Request:
    return payment_requests.read_arguments(transaction_id, amount, "credit_card", "CUST-1", None)


def item(of: Request, status: str, salt: str | None) -> dict[str, dict[str, str]]:
    """As the functions record a request; without a salt, as they did before fingerprints were keyed."""
    fields = {
        "transaction_id": of.transaction_id,
        "status": status,
        "fingerprint": of.content.compute_fingerprint(salt),
    }
    return {name: {"S": value} for name, value in (fields | ({"salt": salt} if salt else {})).items()}


def batch(
    monkeypatch: pytest.MonkeyPatch,
    stepfunctions: StepFunctions,
    table: dict[str, str],
    sent: Sequence[Request] = (request(),),
    *,
    recorded: Request | None = None,
    salt: str | None = SALT,
) -> Any:
    """A batch that has been sent; ``recorded`` is the request in the table, if that is not the one that is sent."""

    def several(_platform: Any, ids: Any) -> dict[str, Any]:
        wanted = {one.transaction_id: recorded or one for one in sent}
        return {one: records.parse_item(item(wanted[one], table[one], salt)) for one in ids if one in table}

    monkeypatch.setattr(records, "read_payments", several)
    outputs = {"StepFunctionsStateMachineArn": "arn:aws:states:eu-west-1:1:stateMachine:m"}
    platform: Any = SimpleNamespace(client=lambda _: stepfunctions, outputs=outputs)
    made = Batch(platform, sent)
    list(made.send_requests())
    return made


def wait(made: Any) -> list[Result]:
    seconds = [0.0]

    def pause(wait: float) -> None:
        seconds[0] += wait

    return list(made.wait_for_outcomes(pause, lambda: seconds[0]))


def test_a_payment_that_completes_while_its_execution_is_asked_after_is_completed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    table: dict[str, str] = {}

    def ends(_arn: str) -> str:
        table["T-0"] = "COMPLETED"
        return "SUCCEEDED"

    (result,) = wait(batch(monkeypatch, StepFunctions(ends), table))
    assert (result.status, result.failed) == ("COMPLETED", False)


def test_an_execution_that_step_functions_does_not_know_yet_has_not_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    table: dict[str, str] = {}
    looks: list[str] = []

    def ends(arn: str) -> str:
        looks.append(arn)
        if len(looks) == 2:
            table["T-0"] = "COMPLETED"
        raise ClientError({"Error": {"Code": "ExecutionDoesNotExist", "Message": ""}}, "DescribeExecution")

    (result,) = wait(batch(monkeypatch, StepFunctions(ends), table))
    assert (result.status, result.failed) == ("COMPLETED", False)


def test_all_executions_are_asked_after_in_turn_and_few_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    many = 2 * EXECUTIONS_PER_LOOK + 1
    stepfunctions = StepFunctions(lambda _: "FAILED")
    sent = [request(f"T-{number}") for number in range(many)]
    results = wait(batch(monkeypatch, stepfunctions, {}, sent))
    assert {one.status for one in results} == {"NOT RECORDED"}
    assert len(set(stepfunctions.asked)) == many
    running = StepFunctions(lambda _: "RUNNING")
    results = wait(batch(monkeypatch, running, {}, sent))
    assert {one.comment for one in results} == {"not recorded yet; run the same command again later"}
    assert len(set(running.asked)) == many


@pytest.mark.parametrize(("seconds", "sent"), [(0, True), (600, False)])
def test_an_execution_that_ran_already_was_not_sent_by_us(
    monkeypatch: pytest.MonkeyPatch, seconds: int, sent: bool
) -> None:
    """AWS answers a repetition of what still runs as it answered the first."""
    stepfunctions = StepFunctions(lambda _: "RUNNING", NOW - timedelta(seconds=seconds))
    (result,) = batch(monkeypatch, stepfunctions, {}).results.values()
    assert (result.is_newly_sent, result.comment) == (sent, "" if sent else "already sent")


def spell_differently(payment: Request) -> str:
    """The same request in other bytes: another order, an amount with a fraction, no currency."""
    fields = json.loads(payment.body)
    del fields["currency"]
    return json.dumps(dict(reversed((fields | {"payment_amount": float(fields["payment_amount"])}).items())))


SPELLINGS = [lambda payment: payment.body, spell_differently]


@pytest.mark.parametrize("spell", SPELLINGS)
def test_a_request_that_is_on_its_way_is_not_sent_again(monkeypatch: pytest.MonkeyPatch, spell: Any) -> None:
    stepfunctions = StepFunctions(lambda _: "RUNNING", NOW - timedelta(minutes=1))
    stepfunctions.start_execution(name="T-0", input=spell(request()))
    (result,) = batch(monkeypatch, stepfunctions, {}).results.values()
    assert (result.status, result.comment, result.is_newly_sent) == ("SENT", "already sent", False)
    assert set(stepfunctions.calls) == {"T-0"}


@pytest.mark.parametrize("spell", SPELLINGS)
def test_a_request_whose_executions_recorded_nothing_is_sent_again(monkeypatch: pytest.MonkeyPatch, spell: Any) -> None:
    """Under the next name, until that makes no sense any more."""
    stepfunctions = StepFunctions(lambda _: "FAILED")
    stepfunctions.start_execution(name="T-0", input=spell(request()))
    for number in range(2, MOST_EXECUTIONS + 1):
        (result,) = batch(monkeypatch, stepfunctions, {}).results.values()
        assert (result.status, result.is_newly_sent) == ("SENT", True)
        assert result.execution.endswith(f":T-0_{number}")
    (result,) = batch(monkeypatch, stepfunctions, {}).results.values()
    assert (result.status, result.failed, result.is_final) == ("NOT RECORDED", True, True)
    assert len(stepfunctions.calls) == MOST_EXECUTIONS


@pytest.mark.parametrize(("status", "which"), [("RUNNING", "is being processed"), ("FAILED", "was sent before")])
@pytest.mark.parametrize("ended_before", [0, 2])
def test_another_request_under_an_id_that_was_sent_is_a_conflict(
    monkeypatch: pytest.MonkeyPatch, status: str, which: str, ended_before: int
) -> None:
    """Whatever became of its execution, and of those of ours before it."""
    names = [execution_names.name_execution("T-0", number) for number in range(1, ended_before + 2)]
    stepfunctions = StepFunctions(lambda arn: status if arn.endswith(f":{names[-1]}") else "FAILED")
    for name in names:
        stepfunctions.start_execution(name=name, input=request(amount="151" if name == names[-1] else "150").body)
    (result,) = batch(monkeypatch, stepfunctions, {}).results.values()
    assert (result.status, result.failed, result.is_final, result.is_newly_sent) == ("CONFLICT", True, True, False)
    assert f"the id is already used by another request, which {which}" in result.comment
    assert set(stepfunctions.calls) == set(names)


@pytest.mark.parametrize("given", ["{}", "no JSON", "[" * 100_000, request("T-0-0123456789abcdef").body])
def test_an_execution_of_something_else_that_has_the_name_is_passed_over(
    monkeypatch: pytest.MonkeyPatch, given: str
) -> None:
    stepfunctions = StepFunctions(lambda _: "RUNNING")
    stepfunctions.start_execution(name="T-0", input=given)
    (result,) = batch(monkeypatch, stepfunctions, {}).results.values()
    assert (result.is_newly_sent, result.execution.rpartition(":")[2]) == (True, "T-0_2")


@pytest.mark.parametrize("salt", [SALT, None])
@pytest.mark.parametrize(("amount", "status"), [("150", "COMPLETED"), ("150.00", "COMPLETED"), ("151", "CONFLICT")])
def test_what_is_recorded_decides_whether_a_request_is_the_same(
    monkeypatch: pytest.MonkeyPatch, salt: str | None, amount: str, status: str
) -> None:
    """Before it is sent, and while it is waited for; recorded with a salt, and before there were any."""
    stepfunctions = StepFunctions(lambda _: "RUNNING")
    table = {"T-0": "COMPLETED"}
    recorded = Request(read_request(json.loads(spell_differently(request(amount=amount)))), "")
    (result,) = batch(monkeypatch, stepfunctions, table, recorded=recorded, salt=salt).results.values()
    assert (result.status, result.is_newly_sent, stepfunctions.calls) == (status, False, {})
    later = batch(monkeypatch, stepfunctions, table := {}, recorded=recorded, salt=salt)
    table["T-0"] = "COMPLETED"
    assert [result.status for result in wait(later)] == [status]


def test_nothing_that_is_started_carries_a_hash_of_its_request(monkeypatch: pytest.MonkeyPatch) -> None:
    stepfunctions = StepFunctions(lambda _: "FAILED")
    for _ in range(MOST_EXECUTIONS):
        batch(monkeypatch, stepfunctions, {})
    assert len(stepfunctions.calls) == MOST_EXECUTIONS
    assert find_pieces(request().body, stepfunctions.calls.values()) == []


def test_a_command_prints_neither_the_fingerprint_nor_its_salt(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever has both can try all amounts."""
    record = records.parse_item(item(request(), "COMPLETED", SALT))
    story = Story(record, (), (), ())
    monkeypatch.setattr(inspect, "list_recent_payments", lambda *_, **__: [record])
    monkeypatch.setattr(inspect, "read_story", lambda *_: story)
    monkeypatch.setattr(common, "reach_platform", lambda *_: SimpleNamespace())
    for command in (("list", "--json"), ("show", "T-0", "--json"), ("list",), ("show", "T-0")):
        answer = CliRunner().invoke(cli.main, ["--env", "dev", *command])
        assert (answer.exit_code, "T-0" in answer.output) == (0, True)
        assert [value for value in (record.fingerprint, SALT, "salt") if value in answer.output] == []


def busy(times: int) -> Any:
    """A table that is too busy so many times."""
    left = [times]

    def batch_get_item(RequestItems: dict[str, Any]) -> dict[str, Any]:
        left[0] -= 1
        if left[0] >= 0:
            return {"Responses": {}, "UnprocessedKeys": RequestItems}
        return {"Responses": {"t": [{"transaction_id": {"S": "T-1"}}]}, "UnprocessedKeys": {}}

    client = SimpleNamespace(batch_get_item=batch_get_item)
    return SimpleNamespace(client=lambda _: client, outputs={"DynamodbTableName": "t"})


def test_a_table_that_is_too_busy_is_asked_again_later_and_not_for_ever() -> None:
    waits: list[float] = []
    assert set(records.read_payments(busy(3), ["T-1"], waits.append)) == {"T-1"}
    assert waits == sorted(waits)
    assert len(waits) == 3
    with pytest.raises(UserError, match="t is too busy to read 1 payments"):
        records.read_payments(busy(10_000), ["T-1"], waits.append)


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (b'{"errorType": "InternalError", "errorMessage": "at x"}', "InternalError: at x"),
        (b'{"errorMessage": "2026 Task timed out after 300.00 seconds"}', "Task timed out"),
    ],
)
def test_a_function_that_failed_is_no_answer(monkeypatch: pytest.MonkeyPatch, answer: bytes, says: str) -> None:
    payload = SimpleNamespace(read=lambda: answer)
    invoked = SimpleNamespace(invoke=lambda **_: {"FunctionError": "Unhandled", "Payload": payload})
    monkeypatch.setattr(Platform, "check_deployed", lambda _: None)
    target: Any = SimpleNamespace(client=lambda *_: invoked)
    with pytest.raises(UserError, match=says):
        Platform("dev", target, "alice").invoke_payment_action("refund", "T-1")
