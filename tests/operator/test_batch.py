"""Payments are started once, and their results are their outcomes."""

import json
import threading
import tracemalloc
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar, cast

import pytest
from botocore.exceptions import ClientError
from click.testing import CliRunner
from payments.request import read_request

from scripts.common.errors import UserError
from scripts.operator import batch, cli, execution_names, payment_lists, payment_requests, records, story
from scripts.operator.batch import EXECUTIONS_PER_LOOK, MOST_EXECUTIONS, MOST_PENDING, STARTS_AT_ONCE, Batch, Result
from scripts.operator.cli import common
from scripts.operator.payment_requests import Request
from scripts.operator.story import Story
from tests.operator.hashes import find_pieces

START = datetime(2026, 11, 23, 12, tzinfo=UTC)
SALT = "0123456789abcdef" * 2


class ExecutionAlreadyExists(Exception):
    pass


class FakeStepFunctions:
    """Keeps executions, and handles their names like AWS.

    ``read_status`` returns the status of an execution by its ARN. ``calls`` are the arguments of StartExecution by
    name; ``started_at`` is when each execution began.

    https://docs.aws.amazon.com/step-functions/latest/apireference/API_StartExecution.html
    """

    exceptions = SimpleNamespace(ExecutionAlreadyExists=ExecutionAlreadyExists)

    def __init__(self, read_status: Any, started_at: datetime = START) -> None:
        self._read_status, self._started_at = read_status, started_at
        self.calls: dict[str, dict[str, Any]] = {}
        self.described_arns: list[str] = []

    def start_execution(self, **arguments: Any) -> dict[str, Any]:
        headers = {"date": format_datetime(START, usegmt=True)}
        arn = f"arn:aws:states:eu-west-1:1:execution:m:{arguments['name']}"
        first = self.calls.setdefault(arguments["name"], arguments)
        if first is not arguments and (first["input"] != arguments["input"] or self._read_status(arn) != "RUNNING"):
            raise ExecutionAlreadyExists
        return {"startDate": self._started_at, "ResponseMetadata": {"HTTPHeaders": headers}}

    def describe_execution(self, executionArn: str) -> dict[str, Any]:
        self.described_arns.append(executionArn)
        name = executionArn.rpartition(":")[2]
        return {"status": self._read_status(executionArn), "input": self.calls[name]["input"]}


def make_request(transaction_id: str = "T-0", amount: str = "150") -> Request:
    return payment_requests.read_arguments(transaction_id, amount, "credit_card", "CUST-1", None)


def make_item(request: Request, status: str, salt: str | None) -> dict[str, dict[str, str]]:
    """Return the item that the functions store; without a salt, the item of a version without keyed fingerprints."""
    fields = {"transaction_id": request.transaction_id, "status": status} | ({"salt": salt} if salt else {})
    fields["fingerprint"] = request.content.compute_fingerprint(salt)
    return {name: {"S": value} for name, value in fields.items()}


def send_batch(
    monkeypatch: pytest.MonkeyPatch,
    stepfunctions: FakeStepFunctions,
    table: dict[str, str],
    requests: Sequence[Request] = (make_request(),),
    *,
    recorded: Request | None = None,
    salt: str | None = SALT,
) -> Any:
    """Send a batch; ``recorded`` is the request in the table, if that is another one."""

    def read_table(_platform: Any, ids: Any) -> dict[str, Any]:
        recorded_requests = {request.transaction_id: recorded or request for request in requests}
        return {
            key: records.parse_item(make_item(recorded_requests[key], table[key], salt)) for key in ids if key in table
        }

    monkeypatch.setattr(records, "read_payments", read_table)
    outputs = {"StepFunctionsStateMachineArn": "arn:aws:states:eu-west-1:1:stateMachine:m"}
    platform: Any = SimpleNamespace(client=lambda _: stepfunctions, outputs=outputs)
    intervals: list[float] = []
    batch = Batch(platform, requests, pause=intervals.append, clock=lambda: sum(intervals))
    return batch, list(batch.send_requests())


@pytest.mark.parametrize("is_known_at_once", [True, False])
def test_a_payment_that_completes_while_its_execution_is_described_is_completed(
    monkeypatch: pytest.MonkeyPatch, is_known_at_once: bool
) -> None:
    """Also if Step Functions does not know the execution yet: it has not ended for that."""
    table: dict[str, str] = {}
    looks: list[str] = []

    def complete_payment(arn: str) -> str:
        looks.append(arn)
        if is_known_at_once or len(looks) == 2:
            table["T-0"] = "COMPLETED"
        if is_known_at_once:
            return "SUCCEEDED"
        raise ClientError({"Error": {"Code": "ExecutionDoesNotExist", "Message": ""}}, "DescribeExecution")

    (result,) = list(send_batch(monkeypatch, FakeStepFunctions(complete_payment), table)[0].wait_for_outcomes())
    assert (result.status, result.failed) == ("COMPLETED", False)


def test_all_executions_are_described_in_turn_and_few_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    many = 2 * EXECUTIONS_PER_LOOK + 1
    stepfunctions = FakeStepFunctions(lambda _: "FAILED")
    requests = [make_request(f"T-{number}") for number in range(many)]
    results = list(send_batch(monkeypatch, stepfunctions, {}, requests)[0].wait_for_outcomes())
    assert {result.status for result in results} == {"NOT RECORDED"}
    assert len(set(stepfunctions.described_arns)) == many
    running = FakeStepFunctions(lambda _: "RUNNING")
    results = list(send_batch(monkeypatch, running, {}, requests)[0].wait_for_outcomes())
    assert {result.comment for result in results} == {"not recorded yet; run the same command again later"}
    assert len(set(running.described_arns)) == many


@pytest.mark.parametrize(("seconds", "is_newly_sent"), [(0, True), (600, False)])
def test_an_execution_that_ran_already_is_not_newly_sent(
    monkeypatch: pytest.MonkeyPatch, seconds: int, is_newly_sent: bool
) -> None:
    """AWS repeats its answer for an execution that still runs."""
    stepfunctions = FakeStepFunctions(lambda _: "RUNNING", START - timedelta(seconds=seconds))
    _, (result,) = send_batch(monkeypatch, stepfunctions, {})
    assert (result.is_newly_sent, result.comment) == (is_newly_sent, "" if is_newly_sent else "already sent")


def spell_differently(payment: Request) -> str:
    """The same request in other bytes: another order, an amount with a fraction, no currency."""
    fields = json.loads(payment.body)
    del fields["currency"]
    return json.dumps(dict(reversed((fields | {"payment_amount": float(fields["payment_amount"])}).items())))


SPELLINGS = [lambda payment: payment.body, spell_differently]


@pytest.mark.parametrize("spell", SPELLINGS)
def test_a_request_that_is_on_its_way_is_not_sent_again(monkeypatch: pytest.MonkeyPatch, spell: Any) -> None:
    stepfunctions = FakeStepFunctions(lambda _: "RUNNING", START - timedelta(minutes=1))
    stepfunctions.start_execution(name="T-0", input=spell(make_request()))
    _, (result,) = send_batch(monkeypatch, stepfunctions, {})
    assert (result.status, result.comment, result.is_newly_sent) == ("SENT", "already sent", False)
    assert set(stepfunctions.calls) == {"T-0"}


@pytest.mark.parametrize("spell", SPELLINGS)
def test_a_request_whose_executions_recorded_nothing_is_sent_again(monkeypatch: pytest.MonkeyPatch, spell: Any) -> None:
    """Under the next name, up to ``MOST_EXECUTIONS``."""
    stepfunctions = FakeStepFunctions(lambda _: "FAILED")
    stepfunctions.start_execution(name="T-0", input=spell(make_request()))
    for number in range(2, MOST_EXECUTIONS + 1):
        _, (result,) = send_batch(monkeypatch, stepfunctions, {})
        assert (result.status, result.is_newly_sent) == ("SENT", True)
        assert result.execution.endswith(f":T-0_{number}")
    _, (result,) = send_batch(monkeypatch, stepfunctions, {})
    assert (result.status, result.failed, result.is_final) == ("NOT RECORDED", True, True)
    assert len(stepfunctions.calls) == MOST_EXECUTIONS


@pytest.mark.parametrize(("status", "state"), [("RUNNING", "is being processed"), ("FAILED", "was sent before")])
@pytest.mark.parametrize("ended_before", [0, 2])
def test_another_request_under_an_id_that_was_sent_is_a_conflict(
    monkeypatch: pytest.MonkeyPatch, status: str, state: str, ended_before: int
) -> None:
    """Whatever the status of its execution, and after any number of our own that failed."""
    names = [execution_names.name_execution("T-0", number) for number in range(1, ended_before + 2)]
    stepfunctions = FakeStepFunctions(lambda arn: status if arn.endswith(f":{names[-1]}") else "FAILED")
    for name in names:
        stepfunctions.start_execution(name=name, input=make_request(amount="151" if name == names[-1] else "150").body)
    _, (result,) = send_batch(monkeypatch, stepfunctions, {})
    assert (result.status, result.failed, result.is_final, result.is_newly_sent) == ("CONFLICT", True, True, False)
    assert f"the id is already used by another request, which {state}" in result.comment
    assert set(stepfunctions.calls) == set(names)


@pytest.mark.parametrize("existing_input", ["{}", "no JSON", "[" * 100_000, make_request("T-0-0123456789abcdef").body])
def test_an_execution_of_another_input_under_the_name_is_skipped(
    monkeypatch: pytest.MonkeyPatch, existing_input: str
) -> None:
    stepfunctions = FakeStepFunctions(lambda _: "RUNNING")
    stepfunctions.start_execution(name="T-0", input=existing_input)
    _, (result,) = send_batch(monkeypatch, stepfunctions, {})
    assert (result.is_newly_sent, result.execution.rpartition(":")[2]) == (True, "T-0_2")


@pytest.mark.parametrize("salt", [SALT, None])
@pytest.mark.parametrize(("amount", "status"), [("150", "COMPLETED"), ("150.00", "COMPLETED"), ("151", "CONFLICT")])
def test_what_is_recorded_decides_whether_a_request_is_the_same(
    monkeypatch: pytest.MonkeyPatch, salt: str | None, amount: str, status: str
) -> None:
    """Before it is sent, and while it is waited for; recorded with a salt, and by versions without salts."""
    stepfunctions = FakeStepFunctions(lambda _: "RUNNING")
    table = {"T-0": "COMPLETED"}
    recorded = Request(read_request(json.loads(spell_differently(make_request(amount=amount)))), "")
    _, (result,) = send_batch(monkeypatch, stepfunctions, table, recorded=recorded, salt=salt)
    assert (result.status, result.is_newly_sent, stepfunctions.calls) == (status, False, {})
    pending, _ = send_batch(monkeypatch, stepfunctions, table := {}, recorded=recorded, salt=salt)
    table["T-0"] = "COMPLETED"
    assert [result.status for result in pending.wait_for_outcomes()] == [status]


def test_nothing_that_is_started_carries_a_hash_of_its_request(monkeypatch: pytest.MonkeyPatch) -> None:
    stepfunctions = FakeStepFunctions(lambda _: "FAILED")
    for _ in range(MOST_EXECUTIONS):
        send_batch(monkeypatch, stepfunctions, {})
    assert len(stepfunctions.calls) == MOST_EXECUTIONS
    assert find_pieces(make_request().body, stepfunctions.calls.values()) == []


def test_a_command_prints_neither_the_fingerprint_nor_its_salt(monkeypatch: pytest.MonkeyPatch) -> None:
    """Anyone who has the fingerprint and the salt could try all amounts."""
    record = records.parse_item(make_item(make_request(), "COMPLETED", SALT))
    events = Story(record, (), (), ())
    monkeypatch.setattr(payment_lists, "list_recent_payments", lambda *_, **__: [record])
    monkeypatch.setattr(story, "read_story", lambda *_: events)
    monkeypatch.setattr(common, "reach_platform", lambda *_: SimpleNamespace())
    for command in (("list", "--json"), ("show", "T-0", "--json"), ("list",), ("show", "T-0")):
        answer = CliRunner().invoke(cli.main, ["--env", "dev", *command])
        assert (answer.exit_code, "T-0" in answer.output) == (0, True)
        assert [value for value in (record.fingerprint, SALT, "salt") if value in answer.output] == []
    hint = "only the newest 1 are shown; use --limit to see more\n"
    assert CliRunner().invoke(cli.main, ["--env", "dev", "list", "--limit", "1"]).stderr == hint


def test_a_busy_table_is_read_again_later_and_not_for_ever() -> None:
    waits: list[float] = []

    def batch_get_item(RequestItems: dict[str, Any]) -> dict[str, Any]:
        if len(waits) != 3:
            return {"Responses": {}, "UnprocessedKeys": RequestItems}
        return {"Responses": {"t": [{"transaction_id": {"S": "T-1"}}]}, "UnprocessedKeys": {}}

    client = SimpleNamespace(batch_get_item=batch_get_item)
    platform: Any = SimpleNamespace(client=lambda _: client, outputs={"DynamodbTableName": "t"})
    assert set(records.read_payments(platform, ["T-1"], waits.append)) == {"T-1"}
    assert waits == sorted(waits)
    waits += [0.0]
    with pytest.raises(UserError, match="t is too busy to read 1 payments"):
        records.read_payments(platform, ["T-1"], waits.append)


class Started:
    """A platform on which a payment that was started completes when it is read for the ``looks``-th time."""

    outputs: ClassVar[dict[str, str]] = {"StepFunctionsStateMachineArn": "arn:aws:states:eu-west-1:1:stateMachine:m"}

    def __init__(self, monkeypatch: pytest.MonkeyPatch, looks: int = 2) -> None:
        self.exceptions = SimpleNamespace(ExecutionAlreadyExists=ExecutionAlreadyExists)
        self.seconds = 0.0
        # When each execution was started, and how often each pending payment was read.
        self.started_at: list[float] = []
        self.reads: dict[str, int] = {}
        self.most_pending = 0
        self._bodies: dict[str, str] = {}
        self._looks = looks
        monkeypatch.setattr(records, "read_payments", self.read_payments)

    def client(self, _: str) -> Any:
        return self

    def pause(self, seconds: float) -> None:
        self.seconds += seconds

    def start_execution(self, **arguments: Any) -> dict[str, Any]:
        self.started_at.append(self.seconds)
        self._bodies[json.loads(arguments["input"])["transaction_id"]] = arguments["input"]
        headers = {"date": format_datetime(START, usegmt=True)}
        return {"startDate": START, "ResponseMetadata": {"HTTPHeaders": headers}}

    def describe_execution(self, **_: Any) -> dict[str, Any]:
        return {"status": "RUNNING"}

    def read_payments(self, _platform: Any, ids: Sequence[str]) -> dict[str, Any]:
        pending = [key for key in ids if key in self._bodies]
        self.most_pending = max(self.most_pending, len(pending))
        payments = {}
        for key in pending:
            self.reads[key] = self.reads.get(key, 0) + 1
            if self.reads[key] >= self._looks:
                del self.reads[key]
                content = read_request(json.loads(self._bodies.pop(key)))
                payments[key] = records.parse_item(make_item(Request(content, ""), "COMPLETED", SALT))
        return payments

    def make_batch(self, requests: Iterable[Request], **options: Any) -> Batch:
        platform: Any = self
        return Batch(platform, requests, pause=self.pause, clock=lambda: self.seconds, **options)


class ImmediateExecutor(ThreadPoolExecutor):
    """Runs each call before it returns, so that the time of each is that of its turn."""

    def submit(self, call: Any, /, *arguments: Any, **options: Any) -> Any:
        future = super().submit(call, *arguments, **options)
        wait([future])
        return future


def test_a_large_batch_starts_evenly_and_waits_for_a_bounded_number(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batch, "ThreadPoolExecutor", ImmediateExecutor)
    started = Started(monkeypatch, looks=40)
    requests = (make_request(f"T-{number}") for number in range(2_000))
    results = list(started.make_batch(requests, starts_per_second=100).wait_for_outcomes())
    assert {(result.status, result.failed) for result in results} == {("COMPLETED", False)}
    assert len({result.transaction_id for result in results}) == 2_000
    assert started.most_pending == MOST_PENDING
    # In no second are there more starts than the limit.
    assert all(
        later - earlier >= 0.999 for earlier, later in zip(started.started_at, started.started_at[100:], strict=False)
    )


@pytest.mark.nightly
@pytest.mark.parametrize("waits", [False, True])
def test_the_memory_of_a_batch_does_not_grow_with_its_size(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, *, waits: bool
) -> None:
    def measure_peak(count: int) -> int:
        path = tmp_path / f"{count}.csv"
        with path.open("w") as file:
            file.write("transaction_id,payment_amount,payment_method,customer_id\n")
            file.writelines(f"T-{count}-{number},150.00,credit_card,CUST-1\n" for number in range(count))
        # As many are pending as may be.
        batch = Started(monkeypatch, looks=6).make_batch(
            payment_requests.check_file(path), starts_per_second=1_000, follows=waits
        )
        tracemalloc.start()
        try:
            results = batch.wait_for_outcomes() if waits else batch.send_requests()
            assert sum(result.status == ("COMPLETED" if waits else "SENT") for result in results) == count
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    # Only the time of each start is kept, by the test. A request and its result have two thousand bytes.
    assert measure_peak(2_500) - measure_peak(1_000) < 1_500 * 500


def test_a_start_that_fails_is_raised_after_the_others_were_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    started = Started(monkeypatch)
    start = started.start_execution

    def refuse_the_third(**arguments: Any) -> dict[str, Any]:
        if arguments["name"] == "T-3":
            raise ClientError({"Error": {"Code": "ThrottlingException", "Message": ""}}, "StartExecution")
        return start(**arguments)

    monkeypatch.setattr(started, "start_execution", refuse_the_third)
    batch = started.make_batch(make_request(f"T-{number}") for number in range(10))
    with pytest.raises(ClientError):
        list(batch.wait_for_outcomes())
    assert batch.sent_count == 9


@pytest.mark.parametrize("is_interrupted_again", [False, True])
def test_an_interrupt_begins_no_other_start_and_counts_those_that_have_begun(
    monkeypatch: pytest.MonkeyPatch, is_interrupted_again: bool
) -> None:
    """They are waited for, unless it is interrupted again."""
    is_answering = threading.Event()

    class ShutDown(ThreadPoolExecutor):
        def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
            super().shutdown(wait=False, cancel_futures=cancel_futures)
            if is_interrupted_again:
                raise KeyboardInterrupt
            is_answering.set()
            super().shutdown(wait=wait)

    monkeypatch.setattr(batch, "ThreadPoolExecutor", ShutDown)
    started = Started(monkeypatch)
    start, begun, pauses = started.start_execution, threading.Semaphore(0), list[float]()

    def start_slowly(**arguments: Any) -> dict[str, Any]:
        begun.release()
        is_answering.wait()
        return start(**arguments)

    def interrupt_later(seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) == 60:
            for _ in range(STARTS_AT_ONCE):
                begun.acquire()
            raise KeyboardInterrupt

    monkeypatch.setattr(started, "start_execution", start_slowly)
    requests, platform = [make_request(f"T-{number}") for number in range(150)], cast("Any", started)
    interrupted = Batch(platform, requests, pause=interrupt_later, clock=lambda: 0.0)
    counts = (0, STARTS_AT_ONCE) if is_interrupted_again else (STARTS_AT_ONCE, 0)
    try:
        with pytest.raises(KeyboardInterrupt):
            list(interrupted.send_requests())
        assert (interrupted.sent_count, interrupted.unanswered_count, interrupted.read_count) == (*counts, 100)
        assert interrupted.is_going_on
        assert len(started.started_at) == counts[0]
    finally:
        is_answering.set()


def test_results_are_printed_also_if_the_file_has_changed_since_they_were_sent(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    path = tmp_path / "payments.csv"
    header = "transaction_id,payment_amount,payment_method,customer_id\n"
    path.write_text(header + "T-2,150.00,credit_card,CUST-1\nT-1,150.00,credit_card,CUST-1\n")

    class FakeBatch:
        def __init__(self, _platform: Any, requests: Iterable[Request], **_: Any) -> None:
            self._requests = requests
            self.open_results: dict[str, Result] = {}

        def wait_for_outcomes(self) -> list[Result]:
            results = [Result(request.transaction_id, "COMPLETED") for request in self._requests]
            path.write_text(header)
            return results[::-1]

    monkeypatch.setattr(batch, "Batch", FakeBatch)
    monkeypatch.setattr(common, "reach_platform", lambda *_: SimpleNamespace())
    answer = CliRunner().invoke(cli.main, ["--env", "dev", "start", "--file", str(path), "--json"])
    assert answer.exit_code == 0
    assert [result["transaction_id"] for result in json.loads(answer.output)] == ["T-2", "T-1"]
