"""The demonstration prints a few lines that fit a terminal, also on a server that others use."""

import io
import json
import shlex
from collections import Counter
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

from rich.console import Console

from scripts.common.templates import STACK
from scripts.demo import payer, summary
from scripts.demo.quiet import Quiet
from scripts.demo.run import list_next_steps
from scripts.demo.subscriber import receive_objects
from scripts.deployer.failure import Event
from scripts.local.examples import EXAMPLES
from scripts.operator.executions import Execution
from tests.operator.fake_queue import FakeQueue


def test_messages_of_others_are_deleted_and_not_returned() -> None:
    queue: Any = FakeQueue("hello", '{"Message": "m"}', "[1]", "null", "", *["{"] * 10)
    assert receive_objects(queue, "http://queue") == [{"Message": "m"}]
    assert queue.bodies == {}


def test_the_next_steps_fit_a_terminal_and_are_commands() -> None:
    machine = "arn:aws:states:us-east-1:000000000000:stateMachine:sfn-payment-local"
    lines = list_next_steps("http://127.0.0.1:45661", machine, express=True)
    assert max(map(len, lines)) <= 80
    words = shlex.split("\n".join(lines).replace("\\\n", ""), comments=True)
    assert json.loads(words[words.index("--input") + 1]) == EXAMPLES[0].request("MINE")
    assert words[words.index("--state-machine-arn") + 1] == machine


def make_event(logical_id: str, kind: str, status: str) -> Event:
    return Event("1", datetime(2026, 1, 1, tzinfo=UTC), "s", logical_id, kind, status, "", "")


def test_created_resources_are_counted_and_nothing_is_printed() -> None:
    report = Quiet()
    with report.follow_events(None, "platform") as watch:
        watch([make_event("Data", STACK, "CREATE_IN_PROGRESS"), make_event("Data/Table", "T", "CREATE_IN_PROGRESS")])
        watch([make_event("Data/Table", "T", "CREATE_COMPLETE"), make_event("Data", STACK, "CREATE_COMPLETE")])
        watch([make_event("Data/CREATE_COMPLETE", "T", "CREATE_FAILED")])
    assert report.created_resources == 1
    assert "Data/Table T" in report.text


def test_the_table_has_a_row_for_each_payment_and_fits() -> None:
    """The examples have the longest path and the longest error."""
    states = ["ValidatePayment", "ProcessPayment", "RecordFailure", "SendToDeadLetterQueue"]
    states += ["NotifyFailure", "PaymentFailed"]
    failed = Execution(
        "arn:1", "FAILED", states, Counter({"ProcessPayment": 4}), 123.4, "GatewayUnavailable", transaction_id="T-1"
    )
    received: Any = [SimpleNamespace(execution_arn="arn:1")], [{"execution_arn": "arn:1"}, {"no": "execution"}]
    table = summary.make_table(
        [(EXAMPLES[0], failed)],
        {"T-1": SimpleNamespace(status="FAILED", attempts=3)},
        *received,
        summary.WIDTH,  # type: ignore[dict-item]
    )
    console = Console(file=io.StringIO(), width=summary.WIDTH)
    console.print(table)
    lines = [line.split() for line in console.file.getvalue().splitlines()]  # type: ignore[attr-defined]
    assert lines[0][-5:] == ["Attempts", "Final", "status", "Seconds", "Notified"]
    assert lines[2][-4:] == ["3", "FAILED", "123.4", "DLQ"]
    assert lines[3] == ["Validate→Process", "×4→Record→DLQ→Notify→Failed", "GatewayUnavailable", "subscribers"]  # noqa: RUF001


def test_the_list_shows_the_status_of_each_payment_while_it_runs() -> None:
    executions = [
        Execution("arn:1", "RUNNING", ["ValidatePayment"], transaction_id="T-1"),
        Execution("arn:2", "RUNNING", ["ValidatePayment", "ProcessPayment"], transaction_id="T-2"),
        Execution("arn:3", "SUCCEEDED", ["ValidatePayment", "PaymentUnsuccessful"], transaction_id="T-3"),
        Execution("arn:4", "FAILED", ["PaymentFailed"], error="GatewayUnavailable", transaction_id="T-4"),
    ]
    statuses = {"T-2": "PROCESSING", "T-3": "DECLINED", "T-4": "FAILED"}
    payments: Any = {name: SimpleNamespace(status=status) for name, status in statuses.items()}
    console = Console(file=io.StringIO(), width=80)
    console.print(payer.make_progress_table(list(zip(EXAMPLES, executions, strict=False)), payments))
    lines = [line.split("  ") for line in console.file.getvalue().splitlines()]  # type: ignore[attr-defined]
    assert [[cell.strip() for cell in line if cell.strip()][1:] for line in lines] == [
        ["not recorded yet", "Validate"],
        ["PROCESSING", "Process"],
        ["DECLINED"],
        ["FAILED", "GatewayUnavailable"],
    ]
