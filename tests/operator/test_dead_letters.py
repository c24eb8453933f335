"""Dead letters are read without being lost from sight, and deleted only by who holds them."""

import json
from types import SimpleNamespace
from typing import Any

import pytest
from click.testing import CliRunner, Result

from scripts.deployer.errors import DeployError
from scripts.payments import cli, dead_letters, records
from scripts.payments.cli import common
from tests.operator.fake_queue import Queue


def letter(transaction_id: str, error: str = "GatewayUnavailable") -> str:
    return json.dumps({"transaction_id": transaction_id, "error": error, "execution_arn": "arn:e", "timestamp": "1"})


class World:
    """A platform of a queue, and of payments with the statuses given; what was reopened and started is kept."""

    def __init__(self, queue: Queue, **statuses: str) -> None:
        self.queue, self.statuses = queue, statuses
        self.reopened: list[str] = []
        self.outputs = {"StepFunctionsStateMachineArn": "arn:m", "DynamodbTableName": "t"}
        self.dead_letters_url = "https://queue"
        self.environment = "dev"

    def client(self, service: str) -> Any:
        if service == "sqs":
            return self.queue
        return SimpleNamespace(
            describe_execution=lambda **_: {"input": "{}"},
            start_execution=lambda name, **_: {"executionArn": f"arn:{name}"},
        )

    def ask(self, action: str, transaction_id: str, **_: Any) -> dict[str, str]:
        assert action == "reopen"
        self.reopened.append(transaction_id)
        self.statuses[transaction_id] = "PENDING"
        return {}

    def several(self, _platform: Any, transaction_ids: Any) -> dict[str, Any]:
        return {
            one: SimpleNamespace(status=self.statuses[one], closed=False)
            for one in transaction_ids
            if one in self.statuses
        }


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> Any:
    def make(queue: Queue, **statuses: str) -> Any:
        made = World(queue, **statuses)
        monkeypatch.setattr(records, "several", made.several)
        monkeypatch.setattr(common, "reach", lambda *_: made)
        return made

    return make


def run(*arguments: str) -> Result:
    return CliRunner().invoke(cli.main, ["--env", "dev", "dlq", *arguments])


def test_reading_hides_nothing_even_when_it_fails(world: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    queue = Queue(*(letter(f"T-{n}") for n in range(25)))
    platform = world(queue)
    assert len(dead_letters.read(platform)) == 25
    assert len(queue.visible) == 25
    monkeypatch.setattr(records, "several", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        dead_letters.read(platform)
    assert len(queue.visible) == 25


def test_reading_ends_even_where_letters_come_back_meanwhile(world: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    queue = Queue(*(letter(f"T-{n}") for n in range(25)))
    receive = queue.receive_message

    def slowly(**ask: Any) -> dict[str, Any]:
        queue.clock += dead_letters.READ_SECONDS / 2
        return receive(**ask)

    monkeypatch.setattr(queue, "receive_message", slowly)
    read = [letter.letter_id for letter in dead_letters.read(world(queue))]
    assert len(read) == len(set(read)) >= 20
    assert len(queue.visible) == 25


def test_what_others_read_at_this_moment_is_not_no_letter(world: Any) -> None:
    queue = Queue(letter("T-1"))
    world(queue, **{"T-1": "FAILED"})
    queue.receive_message(10, 60)
    answer = run("list")
    assert answer.stdout == "no dead letters\n"
    assert answer.stderr == "1 are being read by somebody else; ask again in a minute\n"


def test_only_the_letter_that_is_acted_on_is_hidden_meanwhile(world: Any) -> None:
    queue = Queue(letter("T-1"), letter("T-2"))
    platform = world(queue, **{"T-1": "COMPLETED"})
    with dead_letters.held(platform, wanted=lambda one: one.transaction_id == "T-1") as (found,):
        assert queue.visible == ["1"]
        dead_letters.clear(platform, found)
    assert list(queue.bodies) == queue.visible == ["1"]


def test_a_letter_that_somebody_else_took_meanwhile_is_not_said_to_be_cleared(world: Any) -> None:
    queue = Queue(letter("T-1"))
    platform = world(queue, **{"T-1": "COMPLETED"})
    with dead_letters.held(platform) as (found,):
        queue.clock += dead_letters.READ_SECONDS
        queue.receive_message(10, 60)
        for act in (dead_letters.clear, dead_letters.redrive):
            with pytest.raises(DeployError, match="held no more"):
                act(platform, found)
    assert list(queue.bodies) == ["0"]


def test_a_payment_that_left_two_letters_is_started_once(world: Any) -> None:
    queue = Queue(letter("T-1"), letter("T-1"), letter("T-2"))
    platform = world(queue, **{"T-1": "FAILED", "T-2": "REVIEW"})
    answer = run("redrive", "--all")
    assert platform.reopened == ["T-1"]
    assert "T-1: cleared: another letter of it was redriven\n" in answer.stdout
    assert (answer.exit_code, list(queue.bodies)) == (1, ["2"])
    assert queue.visible == ["2"]


def test_a_redrive_judges_by_what_the_payment_is_now(world: Any) -> None:
    queue = Queue(letter("T-1"))
    platform = world(queue, **{"T-1": "FAILED"})
    with dead_letters.held(platform) as (found,):
        platform.statuses["T-1"] = "PROCESSING"
        with pytest.raises(DeployError, match="it cannot be redriven"):
            dead_letters.redrive(platform, found)
    assert queue.visible == ["0"]


@pytest.mark.parametrize("status", ["", "NEW", "PROCESSING", "REVIEW"])
def test_what_is_not_known_to_be_safe_is_not_redriven(world: Any, status: str) -> None:
    queue = Queue(letter("T-1"))
    platform = world(queue, **({"T-1": status} if status else {}))
    with dead_letters.held(platform) as (found,):
        assert not found.can_be_redriven
    assert run("redrive", "T-1").exit_code == 1
    assert (platform.reopened, list(queue.bodies)) == ([], ["0"])
