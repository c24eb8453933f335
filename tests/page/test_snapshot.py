"""What the page shows, and when it reads the dead letters."""

import threading
from types import SimpleNamespace
from typing import Any

import pytest
from click.testing import CliRunner

from scripts.local import server
from scripts.operator.dead_letters import build_letter
from scripts.operator.execution_names import name_redrive
from scripts.operator.executions import Execution
from scripts.page import __main__ as command
from scripts.page import snapshot
from scripts.page.snapshot import NotDeployedYet, Source


class FakePlatform:
    """A platform with a queue of ``waiting`` and ``hidden`` letters, whose stack has these outputs."""

    environment = "local"
    dead_letter_queue_url = "http://queue/letters"

    def __init__(self, *outputs: str) -> None:
        self.waiting, self.hidden, self.reads = 1, 0, 0
        self._outputs = [{"OutputKey": key, "OutputValue": "value"} for key in outputs]

    def client(self, _service: str) -> "FakePlatform":
        return self

    def get_queue_attributes(self, **request: Any) -> dict[str, Any]:
        counts = (self.waiting, self.hidden)
        return {"Attributes": {name: str(count) for name, count in zip(request["AttributeNames"], counts, strict=True)}}

    def describe_stacks(self, StackName: str) -> dict[str, Any]:
        stack = {"StackId": "s", "StackName": StackName, "StackStatus": "S", "Outputs": self._outputs, "Tags": []}
        return {"Stacks": [stack]}


@pytest.fixture
def platform(monkeypatch: pytest.MonkeyPatch) -> Any:
    def count_read(platform: FakePlatform) -> list[Any]:
        platform.reads += 1
        return []

    monkeypatch.setattr(snapshot, "read_letters", count_read)
    return FakePlatform("Output")


def test_letters_are_read_only_after_the_queue_changed(platform: Any) -> None:
    source = Source(lambda: platform)
    # A letter that somebody reads is hidden, and still counts.
    for platform.waiting, platform.hidden, reads in ((1, 0, 1), (1, 0, 1), (0, 1, 1), (2, 0, 2), (1, 0, 3)):
        source.refresh_letters()
        assert platform.reads == reads
    source._failed_executions = ("another execution",)
    assert source.refresh_letters()
    assert platform.reads == 4


def test_reserved_letters_are_not_read(platform: Any) -> None:
    source = Source(lambda: platform)
    answers: list[bool] = []
    looks = [threading.Thread(target=lambda: answers.append(source.refresh_letters())) for _ in range(2)]
    with source.reserve_letters():
        looks[0].start()
        looks[0].join(timeout=5)
    assert (answers, platform.reads) == ([False], 0)
    looks[1].start()
    looks[1].join(timeout=5)
    assert (answers, platform.reads) == ([False, True], 1)


def test_a_platform_without_outputs_is_not_deployed_yet() -> None:
    platforms: Any = [FakePlatform(), FakePlatform("Output")]
    source = Source(lambda: platforms.pop(0))
    with pytest.raises(NotDeployedYet, match="the platform is not deployed in local yet"):
        source.reach_platform()
    source.reach_platform()
    assert platforms == []


@pytest.mark.parametrize(("next_page", "count"), [({}, "2"), ({"nextToken": "t"}, "2 or more")])
def test_a_second_page_of_running_executions_is_counted_as_more(
    next_page: dict[str, str], count: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    running = [{"executionArn": str(n), "startDate": n} for n in range(2)]
    workflow = SimpleNamespace(list_executions=lambda **_: {"executions": running} | next_page)
    platform: Any = SimpleNamespace(client=lambda _: workflow, outputs={"StepFunctionsStateMachineArn": "m"})
    monkeypatch.setattr(snapshot, "read_execution", lambda _, arn: Execution(arn))
    described_count, executions = Source(lambda: platform)._read_executions(platform)
    assert (described_count, [execution.execution_arn for execution in executions]) == (count, ["0", "1"])


def test_the_latest_redrive_of_each_payment_is_shown() -> None:
    def make_execution(name: str, transaction_id: str, status: str) -> Execution:
        return Execution(f"arn:aws:states:::execution:w:{name}", status, transaction_id=transaction_id)

    executions = [  # the oldest first
        make_execution("T-1", "T-1", "FAILED"),
        make_execution(name_redrive("T-1"), "T-1", "FAILED"),
        make_execution(name_redrive("T_2"), "T_2", "SUCCEEDED"),
        make_execution(name_redrive("T-1"), "T-1", "RUNNING"),
        # Anybody can choose a name.
        make_execution(name_redrive("T-3"), "T-4", "FAILED"),
        make_execution("T-5_redrive", "T-5", "FAILED"),
        make_execution(name_redrive("<b>"), "<b>", "FAILED"),
    ]
    assert list(snapshot._find_redrives(executions).items()) == [("T-1", "RUNNING"), ("T_2", "SUCCEEDED")]


@pytest.mark.parametrize("transaction_id", ["<b>", "4111111111111111", "a b", ""])
def test_an_invalid_transaction_id_is_not_shown(transaction_id: str) -> None:
    description = snapshot._describe_execution(
        Execution("arn:aws:states:::execution:w:4111111111111111", transaction_id=transaction_id)
    )
    assert description["payment"] == ""
    assert "411111" not in str(description)


@pytest.mark.parametrize(("status", "is_redrivable"), [("FAILED", True), ("COMPLETED", True), ("REVIEW", False)])
def test_a_redrive_is_offered_by_the_current_status(status: str, is_redrivable: bool) -> None:
    """The status when the letter was read does not matter."""
    payment: Any = SimpleNamespace(status=status)
    for earlier in ("PROCESSING", "FAILED"):
        payments: Any = {"": SimpleNamespace(status=earlier)}
        letter = build_letter({"MessageId": "1", "ReceiptHandle": "1"}, {}, payments)
        description = snapshot._describe_letter(letter, payment)
        assert (description["current_status"], description["can_be_redriven"]) == (status, is_redrivable)
    assert snapshot._describe_letter(letter, None)["can_be_redriven"] is False


def test_the_command_fails_without_a_running_emulator(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "find_kept_server", lambda: None)
    monkeypatch.setattr(server, "isolate_from_user_configuration", lambda: None)
    result = CliRunner().invoke(command.main, [])
    assert (result.exit_code, result.output) == (1, f"page: {server.describe_absence()}\n")
