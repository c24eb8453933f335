"""What the page reads, and when it leaves the dead letters to others."""

import dataclasses
import threading
from types import SimpleNamespace
from typing import Any

import pytest
from click.testing import CliRunner

from scripts.local import server
from scripts.operator.dead_letters import DeadLetter
from scripts.operator.executions import Execution
from scripts.page import __main__ as command
from scripts.page import snapshot
from scripts.page.snapshot import NotDeployedYet, Source


class Queue:
    """A platform with a queue of so many letters, and with a stack that has these outputs."""

    environment = "local"
    dead_letter_queue_url = "http://queue/letters"

    def __init__(self, outputs: dict[str, str] | None = None) -> None:
        self.waiting, self.hidden, self.read = 1, 0, 0
        self._outputs = {"Some": "output"} if outputs is None else outputs

    def client(self, _service: str) -> "Queue":
        return self

    def get_queue_attributes(self, **asked: Any) -> dict[str, Any]:
        counts = (self.waiting, self.hidden)
        return {"Attributes": {name: str(count) for name, count in zip(asked["AttributeNames"], counts, strict=True)}}

    def describe_stacks(self, StackName: str) -> dict[str, Any]:
        outputs = [{"OutputKey": key, "OutputValue": value} for key, value in self._outputs.items()]
        return {
            "Stacks": [{"StackId": "s", "StackName": StackName, "StackStatus": "S", "Outputs": outputs, "Tags": []}]
        }


@pytest.fixture
def queue(monkeypatch: pytest.MonkeyPatch) -> Queue:
    def read(platform: Queue) -> list[Any]:
        platform.read += 1
        return []

    monkeypatch.setattr(snapshot.dead_letter_queue, "read_letters", read)
    return Queue()


def test_letters_are_read_when_there_are_others_and_not_for_nothing(queue: Queue) -> None:
    source = Source(lambda: queue)  # type: ignore[arg-type,return-value]
    # Somebody who reads them hides them: there are no more and no fewer.
    for queue.waiting, queue.hidden, read in ((1, 0, 1), (1, 0, 1), (0, 1, 1), (2, 0, 2), (1, 0, 3)):
        source.refresh_letters()
        assert queue.read == read
    source._failed_executions = ("another execution",)
    assert source.refresh_letters()
    assert queue.read == 4


def test_letters_are_left_alone_while_somebody_asks_for_that(queue: Queue) -> None:
    source = Source(lambda: queue)  # type: ignore[arg-type,return-value]
    answers: list[bool] = []
    look = [threading.Thread(target=lambda: answers.append(source.refresh_letters())) for _ in range(2)]
    with source.reserve_letters():
        look[0].start()
        look[0].join(timeout=5)
    assert (answers, queue.read) == ([False], 0)
    look[1].start()
    look[1].join(timeout=5)
    assert (answers, queue.read) == ([False, True], 1)


def test_a_platform_is_waited_for_until_it_is_whole() -> None:
    made = [Queue({}), Queue()]
    source = Source(lambda: made.pop(0))  # type: ignore[arg-type,return-value]
    with pytest.raises(NotDeployedYet, match="the platform is not deployed in local yet"):
        source.reach_platform()
    assert source.reach_platform()._outputs  # type: ignore[attr-defined]


@pytest.mark.parametrize(("more", "told"), [({}, "2"), ({"nextToken": "t"}, "2 or more")])
def test_more_that_run_than_are_asked_for_are_not_told_as_all(
    more: dict[str, str], told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    running = [{"executionArn": str(n), "startDate": n} for n in range(2)]
    workflow = SimpleNamespace(list_executions=lambda **_: {"executions": running} | more)
    platform: Any = SimpleNamespace(client=lambda _: workflow, outputs={"StepFunctionsStateMachineArn": "m"})
    monkeypatch.setattr(snapshot, "read_execution", lambda _, arn: Execution(arn))
    count, found = Source(lambda: platform)._read_executions(platform)
    assert (count, [one.execution_arn for one in found]) == (told, ["0", "1"])


@pytest.mark.parametrize("sent", ["<b>", "4111111111111111", "a b", ""])
def test_what_is_no_id_is_not_told_of_an_execution(sent: str) -> None:
    told = snapshot._describe_execution(Execution("arn:aws:states:::execution:w:4111111111111111", transaction_id=sent))
    assert told["payment"] == ""
    assert "411111" not in str(told)


@pytest.mark.parametrize(
    ("now", "possible"),
    [("FAILED", True), ("COMPLETED", True), ("REVIEW", False)],
)
def test_a_redrive_is_offered_where_it_would_not_be_refused_now(now: str, possible: bool) -> None:
    """Whatever the payment was when the letter was read."""
    about: Any = dict.fromkeys((one.name for one in dataclasses.fields(DeadLetter)), "")
    payment: Any = SimpleNamespace(status=now)
    for earlier in ("PROCESSING", "FAILED"):
        letter = DeadLetter(**about | {"current_status": earlier})
        assert snapshot._describe_letter(letter, payment)["can_be_redriven"] is possible
    assert snapshot._describe_letter(letter, None)["can_be_redriven"] is False


def test_without_an_embedded_aws_the_command_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "find_kept_server", lambda: None)
    monkeypatch.setattr(server, "isolate_from_user_configuration", lambda: None)
    result = CliRunner().invoke(command.main, [])
    assert (result.exit_code, result.output) == (
        1,
        f"page: {server.NOT_RUNNING}\n",
    )
