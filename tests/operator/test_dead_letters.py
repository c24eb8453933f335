"""Dead letters are read without being lost from sight, and deleted only by who holds them."""

import json
from types import SimpleNamespace
from typing import Any

import pytest
from botocore.exceptions import ClientError
from click.testing import CliRunner, Result

from scripts.common.errors import UserError
from scripts.operator import cli, dead_letter_queue, records
from scripts.operator.cli import common
from scripts.operator.redrives import Redrives
from tests.operator.fake_queue import Queue
from tests.operator.hashes import find_pieces


def letter(transaction_id: str, error: str = "GatewayUnavailable", amount: int = 150) -> str:
    """Of an execution that is named after what it was sent, for a fake that keeps no executions."""
    fields = {"payment_amount": amount, "payment_method": "credit_card", "customer_id": "C-1"}
    request = json.dumps({"transaction_id": transaction_id} | fields)
    return json.dumps({"transaction_id": transaction_id, "error": error, "execution_arn": request, "timestamp": "1"})


class World:
    """A platform of a queue, and of payments with the statuses given; what was reopened and started is kept."""

    def __init__(self, queue: Queue, **statuses: str) -> None:
        self.queue, self.statuses = queue, statuses
        self.reopened: list[str] = []
        self.started: list[dict[str, Any]] = []
        self.outputs = {"StepFunctionsStateMachineArn": "arn:m", "DynamodbTableName": "t"}
        self.dead_letter_queue_url = "https://queue"
        self.environment = "dev"

    def client(self, service: str) -> Any:
        if service == "sqs":
            return self.queue
        return SimpleNamespace(
            describe_execution=lambda executionArn: {"input": executionArn},
            start_execution=self.start,
        )

    def start(self, **arguments: Any) -> dict[str, str]:
        self.started.append(arguments)
        return {"executionArn": f"arn:{arguments['name']}"}

    def invoke_payment_action(self, action: str, transaction_id: str, request: dict[str, Any]) -> dict[str, str]:
        """Reopen the payment, which is recorded for an amount of 150."""
        assert action == "reopen"
        if request["payment_amount"] != 150:
            raise UserError("IdempotencyConflict: recorded for another request")
        self.reopened.append(transaction_id)
        self.statuses[transaction_id] = "PENDING"
        return {}

    def several(self, _platform: Any, transaction_ids: Any) -> dict[str, Any]:
        return {one: SimpleNamespace(status=self.statuses[one]) for one in transaction_ids if one in self.statuses}


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> Any:
    def make(queue: Queue, **statuses: str) -> Any:
        made = World(queue, **statuses)
        monkeypatch.setattr(records, "read_payments", made.several)
        monkeypatch.setattr(common, "reach_platform", lambda *_: made)
        return made

    return make


def run(*arguments: str) -> Result:
    return CliRunner().invoke(cli.main, ["--env", "dev", "dlq", *arguments])


def test_reading_hides_nothing_even_when_it_fails(world: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    queue = Queue(*(letter(f"T-{n}") for n in range(25)))
    platform = world(queue)
    assert len(dead_letter_queue.read_letters(platform)) == 25
    assert len(queue.visible) == 25
    monkeypatch.setattr(records, "read_payments", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        dead_letter_queue.read_letters(platform)
    assert len(queue.visible) == 25


def test_reading_ends_even_where_letters_come_back_meanwhile(world: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    queue = Queue(*(letter(f"T-{n}") for n in range(25)))
    receive = queue.receive_message

    def slowly(**ask: Any) -> dict[str, Any]:
        queue.clock += dead_letter_queue.READ_SECONDS / 2
        return receive(**ask)

    monkeypatch.setattr(queue, "receive_message", slowly)
    read = [letter.letter_id for letter in dead_letter_queue.read_letters(world(queue))]
    assert len(read) == len(set(read)) >= 20
    assert len(queue.visible) == 25


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["list"], 0, "no dead letters\n"),
        (["explain", "T-1"], 1, "payments: no dead letter for transaction T-1; "),
        (["redrive", "T-1"], 1, "payments: no dead letter for transaction T-1; "),
        (["redrive", "--all"], 1, "payments: "),
        (["clear", "0", "--yes"], 1, "payments: no dead letter has an id that begins with 0; see `dlq list`; "),
    ],
)
def test_what_others_hold_at_this_moment_is_not_no_letter(
    world: Any, arguments: list[str], code: int, says: str
) -> None:
    queue = Queue(letter("T-1"))
    world(queue, **{"T-1": "FAILED"})
    assert "somebody else" not in run("list").output
    queue.receive_message(10, 60)
    answer = run(*arguments)
    held = "1 dead letter is being read or redriven by somebody else; try again in a few minutes\n"
    assert (answer.exit_code, answer.output) == (code, f"{says}{held}")


def test_a_queue_that_is_empty_is_said_to_be(world: Any) -> None:
    world(Queue())
    answer = run("redrive", "--all")
    assert (answer.exit_code, answer.output) == (0, "no dead letters\n")


def test_only_the_letter_that_is_acted_on_is_hidden_meanwhile(world: Any) -> None:
    queue = Queue(letter("T-1"), letter("T-2"))
    platform = world(queue, **{"T-1": "COMPLETED"})
    with dead_letter_queue.hold_letters(platform, is_selected=lambda one: one.transaction_id == "T-1") as (found,):
        assert queue.visible == ["1"]
        dead_letter_queue.delete_letter(platform, found)
    assert list(queue.bodies) == queue.visible == ["1"]


def test_a_letter_that_somebody_else_took_meanwhile_is_not_said_to_be_cleared(world: Any) -> None:
    queue = Queue(letter("T-1"))
    platform = world(queue, **{"T-1": "COMPLETED"})
    with dead_letter_queue.hold_letters(platform) as (found,):
        queue.clock += dead_letter_queue.ACT_SECONDS
        queue.receive_message(10, 60)
        for act in (dead_letter_queue.delete_letter, lambda there, one: Redrives(there).redrive_letter(one)):
            with pytest.raises(UserError, match="no longer reserved"):
                act(platform, found)
    assert list(queue.bodies) == ["0"]


def test_a_payment_that_left_two_letters_is_started_once(world: Any) -> None:
    queue = Queue(letter("T-1"), letter("T-1"), letter("T-2"))
    platform = world(queue, **{"T-1": "FAILED", "T-2": "REVIEW"})
    answer = run("redrive", "--all")
    assert (platform.reopened, len(platform.started)) == (["T-1"], 1)
    assert "T-1: started already; cleared this dead letter of the same request\n" in answer.stdout
    assert (answer.exit_code, list(queue.bodies)) == (1, ["2"])
    assert queue.visible == ["2"]


def test_a_redrive_starts_the_request_as_it_was_and_carries_no_hash_of_it(world: Any) -> None:
    platform = world(Queue(letter("T-1")), **{"T-1": "FAILED"})
    assert run("redrive", "T-1").exit_code == 0
    (started,) = platform.started
    assert started["input"] == json.loads(letter("T-1"))["execution_arn"]
    assert find_pieces(started["input"], platform.started) == []


def test_a_letter_of_another_request_under_the_id_is_kept(world: Any) -> None:
    queue = Queue(letter("T-1"), letter("T-1", "LedgerUnavailable", amount=151))
    platform = world(queue, **{"T-1": "FAILED"})
    answer = run("redrive", "--all")
    assert len(platform.started) == 1
    assert "payments: T-1: IdempotencyConflict: recorded for another request\n" in answer.stderr
    assert (answer.exit_code, queue.visible) == (1, ["1"])


def test_two_letters_of_a_payment_that_has_its_outcome_are_cleared_for_that(world: Any) -> None:
    world(Queue(letter("T-1"), letter("T-1")), **{"T-1": "COMPLETED"})
    assert run("redrive", "--all").output == "T-1: has its outcome\n" * 2


def test_a_payment_that_was_started_is_not_started_again_though_its_letter_stays(
    world: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    queue = Queue(letter("T-1"), letter("T-1"))
    platform = world(queue, **{"T-1": "FAILED"})
    throttled = ClientError({"Error": {"Code": "RequestThrottled", "Message": "slow down"}}, "DeleteMessage")
    delete, errors = queue.delete_message, [throttled]

    def delete_message(**ask: Any) -> None:
        if errors:
            raise errors.pop()
        delete(**ask)

    monkeypatch.setattr(queue, "delete_message", delete_message)
    answer = run("redrive", "--all")
    assert len(platform.started) == 1
    assert answer.stderr.startswith("payments: T-1: started arn:T-1_redrive")
    assert "but its dead letter was not deleted: " in answer.stderr
    assert queue.visible == ["0"]


def test_a_slow_redrive_keeps_its_letter_and_those_still_to_come(world: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    queue = Queue(*(letter(f"T-{n}") for n in range(30)))
    platform = world(queue, **{f"T-{n}": "FAILED" for n in range(30)})
    reopen = platform.invoke_payment_action

    def reopen_slowly(*arguments: Any, **parameters: Any) -> dict[str, str]:
        queue.clock += 300
        return reopen(*arguments, **parameters)

    monkeypatch.setattr(platform, "invoke_payment_action", reopen_slowly)
    redrives = Redrives(platform)
    with dead_letter_queue.hold_letters(platform) as letters:
        for one in dead_letter_queue.keep_holding(platform, letters, lambda: queue.clock):
            redrives.redrive_letter(one)
    assert (len(platform.started), queue.bodies) == (30, {})


def test_what_went_wrong_first_is_told_and_all_that_can_be_shown_is(
    world: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    queue = Queue(*(letter(f"T-{n}") for n in range(25)))
    platform = world(queue)
    throttled = ClientError({"Error": {"Code": "RequestThrottled", "Message": ""}}, "ChangeMessageVisibilityBatch")
    show, errors = queue.change_message_visibility_batch, [throttled]

    def change(**ask: Any) -> Any:
        if errors:
            raise errors.pop()
        return show(**ask)

    monkeypatch.setattr(queue, "change_message_visibility_batch", change)
    monkeypatch.setattr(records, "read_payments", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        dead_letter_queue.read_letters(platform)
    assert len(queue.visible) == 15


def test_a_redrive_judges_by_what_the_payment_is_now(world: Any) -> None:
    queue = Queue(letter("T-1"))
    platform = world(queue, **{"T-1": "FAILED"})
    with dead_letter_queue.hold_letters(platform) as (found,):
        platform.statuses["T-1"] = "PROCESSING"
        with pytest.raises(UserError, match="it cannot be redriven"):
            Redrives(platform).redrive_letter(found)
    assert queue.visible == ["0"]


@pytest.mark.parametrize("status", ["", "NEW", "PROCESSING", "REVIEW"])
def test_what_is_not_known_to_be_safe_is_not_redriven(world: Any, status: str) -> None:
    queue = Queue(letter("T-1"))
    platform = world(queue, **({"T-1": status} if status else {}))
    with dead_letter_queue.hold_letters(platform) as (found,):
        assert not found.is_redrivable
    assert run("redrive", "T-1").exit_code == 1
    assert (platform.reopened, list(queue.bodies)) == ([], ["0"])
