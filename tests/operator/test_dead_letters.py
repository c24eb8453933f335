"""Reading dead letters leaves them in the queue, and only their holder deletes them."""

import json
from types import SimpleNamespace
from typing import Any

import pytest
from botocore.exceptions import ClientError
from click.testing import CliRunner, Result

from scripts.common.errors import REFUSED, UserError
from scripts.operator import cli, dead_letter_queue, records
from scripts.operator.changes import Changes
from scripts.operator.cli import common
from scripts.operator.redrives import Redrives
from tests.operator.fake_queue import FakeQueue
from tests.operator.hashes import find_pieces

REFUSAL: Any = {"Error": {"Code": "RequestThrottled", "Message": "slow down", REFUSED: True}}
THROTTLED = ClientError(REFUSAL, "DeleteMessage")


def write_letter(transaction_id: str, error: str = "GatewayUnavailable", amount: int = 150) -> str:
    """Write a dead letter whose execution's ARN is its input, because the fake keeps no executions."""
    fields = {"payment_amount": amount, "payment_method": "credit_card", "customer_id": "C-1"}
    request = json.dumps({"transaction_id": transaction_id} | fields)
    return json.dumps({"transaction_id": transaction_id, "error": error, "execution_arn": request, "timestamp": "1"})


MANY_LETTERS = [write_letter(f"T-{n}") for n in range(25)]


class FakePlatform:
    """A platform with a queue and with payments of these statuses; records what was reopened and started."""

    def __init__(self, queue: FakeQueue, **statuses: str) -> None:
        self.queue, self.statuses = queue, statuses
        self.is_history_deleted = False
        self.reopened: list[str] = []
        self.started: list[dict[str, Any]] = []
        self.outputs = {"StepFunctionsStateMachineArn": "arn:m", "DynamodbTableName": "t"}
        self.dead_letter_queue_url = "https://queue"
        self.environment = "dev"
        self.target = SimpleNamespace(is_emulator=False)
        self.changes = Changes()

    def client(self, service: str) -> Any:
        if service == "sqs":
            return self.queue
        return SimpleNamespace(describe_execution=self.describe_execution, start_execution=self.start_execution)

    def describe_execution(self, executionArn: str) -> dict[str, str]:
        if self.is_history_deleted:
            raise ClientError({"Error": {"Code": "ExecutionDoesNotExist", "Message": ""}}, "DescribeExecution")
        return {"input": executionArn}

    def start_execution(self, **arguments: Any) -> dict[str, str]:
        self.started.append(arguments)
        return {"executionArn": f"arn:{arguments['name']}"}

    def invoke_payment_action(self, action: str, transaction_id: str, request: dict[str, Any] | None) -> dict[str, Any]:
        """Reopen the payment, which is recorded for an amount of 150."""
        assert action == "reopen"
        if request and request["payment_amount"] != 150:
            raise UserError("IdempotencyConflict: recorded for another request")
        self.reopened.append(transaction_id)
        self.statuses[transaction_id] = "PENDING"
        return {"request": {"transaction_id": transaction_id, "payment_amount": 150}}

    def read_payments(self, _platform: Any, transaction_ids: Any) -> dict[str, Any]:
        return {key: SimpleNamespace(status=self.statuses[key]) for key in transaction_ids if key in self.statuses}


@pytest.fixture
def make_platform(monkeypatch: pytest.MonkeyPatch) -> Any:
    def make(*letters: str, **statuses: str) -> Any:
        platform = FakePlatform(FakeQueue(*letters), **statuses)
        monkeypatch.setattr(records, "read_payments", platform.read_payments)
        monkeypatch.setattr(common, "reach_platform", lambda *_: platform)
        return platform

    return make


def fail_first(monkeypatch: pytest.MonkeyPatch, queue: FakeQueue, method: str, errors: list[ClientError]) -> None:
    """Let the first calls of a method of the queue raise the errors."""
    call = getattr(queue, method)

    def fail(**arguments: Any) -> Any:
        if errors:
            raise errors.pop()
        return call(**arguments)

    monkeypatch.setattr(queue, method, fail)


def run_dlq(*arguments: str) -> Result:
    return CliRunner().invoke(cli.main, ["--env", "dev", "dlq", *arguments])


def test_reading_leaves_all_letters_visible(make_platform: Any) -> None:
    platform = make_platform(*MANY_LETTERS)
    assert len(dead_letter_queue.read_letters(platform)) == len(platform.queue.visible_ids) == 25


@pytest.mark.parametrize(("is_emulator", "seconds"), [(False, 1), (True, 0)])
def test_an_empty_queue_is_waited_at_only_where_it_is_on_many_servers(
    make_platform: Any, monkeypatch: pytest.MonkeyPatch, is_emulator: bool, seconds: int
) -> None:
    """https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-short-and-long-polling.html"""
    platform, waits = make_platform(), list[int]()
    platform.target.is_emulator = is_emulator
    receive = platform.queue.receive_message
    monkeypatch.setattr(
        platform.queue,
        "receive_message",
        lambda **request: waits.append(request["WaitTimeSeconds"]) or receive(**request),
    )
    assert dead_letter_queue.read_letters(platform) == []
    assert waits == [seconds]


@pytest.mark.parametrize(
    ("options", "is_emulator", "output", "receives"),
    [
        ([], False, "no dead letters; one of the last minute may not be counted yet\n", 0),
        # These look on every server: a program cannot be told, and an emulator has one.
        (["--json"], False, "[]\n", 1),
        ([], True, "no dead letters\n", 1),
    ],
)
def test_the_list_of_an_empty_queue_waits_for_no_server(
    make_platform: Any,
    monkeypatch: pytest.MonkeyPatch,
    options: list[str],
    is_emulator: bool,
    output: str,
    receives: int,
) -> None:
    platform, received = make_platform(), list[Any]()
    platform.target.is_emulator = is_emulator
    receive = platform.queue.receive_message
    monkeypatch.setattr(platform.queue, "receive_message", lambda **request: received.append(1) or receive(**request))
    assert (run_dlq("list", *options).output, len(received)) == (output, receives)


def test_the_list_looks_on_every_server_if_the_count_may_not_be_read(
    make_platform: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    platform = make_platform()
    denied = {"Error": {"Code": "AccessDenied", "Message": "denied"}}
    errors = [ClientError(denied, "GetQueueAttributes")]  # type: ignore[arg-type]
    fail_first(monkeypatch, platform.queue, "get_queue_attributes", errors)
    assert run_dlq("list").output == "no dead letters\n"


@pytest.mark.parametrize(("errors", "visible"), [([], 25), ([THROTTLED], 15)])
def test_the_first_error_of_reading_is_raised_and_the_letters_become_visible(
    make_platform: Any, monkeypatch: pytest.MonkeyPatch, errors: list[ClientError], visible: int
) -> None:
    """The exception is the batch whose letters cannot be made visible either."""
    platform = make_platform(*MANY_LETTERS)
    fail_first(monkeypatch, platform.queue, "change_message_visibility_batch", errors)
    monkeypatch.setattr(records, "read_payments", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        dead_letter_queue.read_letters(platform)
    assert len(platform.queue.visible_ids) == visible


def test_letters_are_read_oldest_first(make_platform: Any) -> None:
    platform = make_platform(*(json.dumps({"timestamp": f"2026-11-{day}"}) for day in (23, 21, 22)))
    assert [letter.letter_id for letter in dead_letter_queue.read_letters(platform)] == ["1", "2", "0"]


def test_reading_ends_even_if_letters_come_back_meanwhile(make_platform: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    platform = make_platform(*MANY_LETTERS)
    queue, receive = platform.queue, platform.queue.receive_message

    def receive_slowly(**arguments: Any) -> dict[str, Any]:
        queue.clock += dead_letter_queue.READ_SECONDS / 2
        return receive(**arguments)

    monkeypatch.setattr(queue, "receive_message", receive_slowly)
    letter_ids = [letter.letter_id for letter in dead_letter_queue.read_letters(platform)]
    assert len(letter_ids) == len(set(letter_ids)) >= 20
    assert len(queue.visible_ids) == 25


@pytest.mark.parametrize(
    ("arguments", "code", "output"),
    [
        (["list"], 0, "no dead letters\n"),
        (["explain", "T-1"], 1, "payments: no dead letter for transaction T-1; "),
        (["redrive", "T-1"], 1, "payments: no dead letter for transaction T-1; "),
        (["redrive", "--all"], 1, "payments: "),
        (["clear", "0", "--yes"], 1, "payments: no dead letter has an id that begins with 0; see `dlq list`; "),
    ],
)
def test_letters_that_others_hold_are_mentioned(
    make_platform: Any, arguments: list[str], code: int, output: str
) -> None:
    platform = make_platform(write_letter("T-1"), **{"T-1": "FAILED"})
    assert "somebody else" not in run_dlq("list").output
    platform.queue.receive_message(QueueUrl="https://queue", MaxNumberOfMessages=10, VisibilityTimeout=60)
    answer = run_dlq(*arguments)
    hint = "1 dead letter is being read or redriven by somebody else; try again in a few minutes\n"
    assert (answer.exit_code, answer.output) == (code, f"{output}{hint}")


def test_only_the_selected_letter_is_hidden(make_platform: Any) -> None:
    platform = make_platform(write_letter("T-1"), write_letter("T-2"), **{"T-1": "COMPLETED"})
    with dead_letter_queue.hold_letters(platform, is_selected=lambda letter: letter.letter_id == "0") as (letter,):
        assert platform.queue.visible_ids == ["1"]
        dead_letter_queue.delete_letter(platform, letter)
    assert list(platform.queue.bodies) == platform.queue.visible_ids == ["1"]


def test_a_letter_that_another_received_meanwhile_is_not_cleared(make_platform: Any) -> None:
    platform = make_platform(write_letter("T-1"), **{"T-1": "COMPLETED"})
    with dead_letter_queue.hold_letters(platform) as (letter,):
        platform.queue.clock += dead_letter_queue.ACT_SECONDS
        platform.queue.receive_message(QueueUrl="https://queue", MaxNumberOfMessages=10, VisibilityTimeout=60)
        with pytest.raises(UserError, match="no longer reserved"):
            dead_letter_queue.delete_letter(platform, letter)
        with pytest.raises(UserError, match="no longer reserved"):
            Redrives(platform).redrive_letter(letter)
    assert list(platform.queue.bodies) == ["0"]


def test_a_payment_that_left_two_letters_is_started_once(make_platform: Any) -> None:
    letters = [write_letter(transaction_id) for transaction_id in ("T-1", "T-1", "T-2")]
    platform = make_platform(*letters, **{"T-1": "FAILED", "T-2": "REVIEW"})
    answer = run_dlq("redrive", "--all")
    assert (platform.reopened, len(platform.started)) == (["T-1"], 1)
    assert "T-1: started already; cleared this dead letter of the same request\n" in answer.stdout
    assert (answer.exit_code, list(platform.queue.bodies)) == (1, ["2"])
    assert platform.queue.visible_ids == ["2"]


def test_a_redrive_starts_the_request_as_it_was_and_carries_no_hash_of_it(make_platform: Any) -> None:
    platform = make_platform(write_letter("T-1"), **{"T-1": "FAILED"})
    assert run_dlq("redrive", "T-1").exit_code == 0
    (started,) = platform.started
    assert started["input"] == json.loads(write_letter("T-1"))["execution_arn"]
    assert find_pieces(started["input"], platform.started) == []


def test_the_recorded_request_is_sent_once_the_history_is_deleted(make_platform: Any) -> None:
    platform = make_platform(write_letter("T-1"), write_letter("T-1"), **{"T-1": "FAILED"})
    platform.is_history_deleted = True
    assert run_dlq("redrive", "--all").exit_code == 0
    (started,) = platform.started
    assert json.loads(started["input"]) == {"transaction_id": "T-1", "payment_amount": 150}
    assert platform.queue.bodies == {}


def test_a_letter_of_another_request_under_the_id_is_kept(make_platform: Any) -> None:
    letters = write_letter("T-1"), write_letter("T-1", "LedgerUnavailable", amount=151)
    platform = make_platform(*letters, **{"T-1": "FAILED"})
    answer = run_dlq("redrive", "--all")
    assert len(platform.started) == 1
    assert "payments: T-1: IdempotencyConflict: recorded for another request\n" in answer.stderr
    assert (answer.exit_code, platform.queue.visible_ids) == (1, ["1"])


def test_letters_of_a_payment_with_an_outcome_are_cleared_until_none_is_left(make_platform: Any) -> None:
    make_platform(write_letter("T-1"), write_letter("T-1"), **{"T-1": "COMPLETED"})
    assert run_dlq("redrive", "--all").output == "T-1: has its outcome; cleared its dead letter\n" * 2
    answer = run_dlq("redrive", "--all")
    assert (answer.exit_code, answer.output) == (0, "no dead letters\n")


def test_a_started_payment_is_not_started_again_if_its_letter_stays(
    make_platform: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    platform = make_platform(write_letter("T-1"), write_letter("T-1"), **{"T-1": "FAILED"})
    fail_first(monkeypatch, platform.queue, "delete_message", [THROTTLED])
    answer = run_dlq("redrive", "--all")
    assert len(platform.started) == 1
    assert answer.stderr.startswith("payments: T-1: started arn:T-1_redrive")
    assert "but its dead letter was not deleted: " in answer.stderr
    assert platform.queue.visible_ids == ["0"]


def test_a_slow_redrive_keeps_holding_the_remaining_letters(
    make_platform: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    platform = make_platform(*MANY_LETTERS, **{f"T-{n}": "FAILED" for n in range(25)})
    reopen = platform.invoke_payment_action

    def reopen_slowly(*arguments: Any, **parameters: Any) -> dict[str, str]:
        platform.queue.clock += 300
        return reopen(*arguments, **parameters)

    monkeypatch.setattr(platform, "invoke_payment_action", reopen_slowly)
    redrives = Redrives(platform)
    with dead_letter_queue.hold_letters(platform) as letters:
        for letter in dead_letter_queue.keep_holding(platform, letters, lambda: platform.queue.clock):
            redrives.redrive_letter(letter)
    assert (len(platform.started), platform.queue.bodies) == (25, {})


def test_a_redrive_decides_by_the_current_status(make_platform: Any) -> None:
    platform = make_platform(write_letter("T-1"), **{"T-1": "FAILED"})
    with dead_letter_queue.hold_letters(platform) as (letter,):
        platform.statuses["T-1"] = "PROCESSING"
        with pytest.raises(UserError, match="it cannot be redriven"):
            Redrives(platform).redrive_letter(letter)
    assert platform.queue.visible_ids == ["0"]


@pytest.mark.parametrize("status", ["", "NEW", "PROCESSING", "REVIEW"])
def test_a_payment_in_another_status_is_not_redriven(make_platform: Any, status: str) -> None:
    platform = make_platform(write_letter("T-1"), **({"T-1": status} if status else {}))
    with dead_letter_queue.hold_letters(platform) as (letter,):
        assert not letter.is_redrivable
    assert run_dlq("redrive", "T-1").exit_code == 1
    assert (platform.reopened, list(platform.queue.bodies)) == ([], ["0"])
