"""What the demonstration tells: in a few lines, as wide as a terminal, and on a server that others use, too."""

import io
from collections import Counter
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

from rich.console import Console

from scripts.common.templates import STACK
from scripts.demo import summary
from scripts.demo.quiet import Quiet
from scripts.demo.subscriber import receive_objects
from scripts.deployer.failure import Event
from scripts.local.examples import EXAMPLES
from scripts.operator.executions import Execution


class Queue:
    """Gives each message once."""

    def __init__(self, *bodies: str) -> None:
        self.waiting = [{"Body": body, "ReceiptHandle": str(n)} for n, body in enumerate(bodies)]
        self.taken: list[str] = []

    def receive_message(self, MaxNumberOfMessages: int, **_asked: Any) -> dict[str, Any]:
        given, self.waiting = self.waiting[:MaxNumberOfMessages], self.waiting[MaxNumberOfMessages:]
        return {"Messages": given} if given else {}

    def delete_message(self, ReceiptHandle: str, **_asked: Any) -> None:
        self.taken.append(ReceiptHandle)


def test_what_others_left_in_the_queue_is_no_notice() -> None:
    queue = Queue("hello", '{"Message": "m"}', "[1]", "null", "", *["{"] * 10)
    assert receive_objects(queue, "http://queue") == [{"Message": "m"}]
    assert len(queue.taken) == 15


def event(where: str, kind: str, status: str) -> Event:
    return Event("1", datetime(2026, 1, 1, tzinfo=UTC), "s", where, kind, status, "", "")


def test_resources_are_counted_once_they_are_made_and_nothing_is_told_of_them() -> None:
    report = Quiet()
    with report.follow_events(None, "platform") as watch:
        watch([event("Data", STACK, "CREATE_IN_PROGRESS"), event("Data/Table", "T", "CREATE_IN_PROGRESS")])
        watch([event("Data/Table", "T", "CREATE_COMPLETE"), event("Data", STACK, "CREATE_COMPLETE")])
        watch([event("Data/CREATE_COMPLETE", "T", "CREATE_FAILED")])
    assert report.created_resources == 1
    assert "Data/Table T" in report.text


def test_the_table_tells_of_each_payment_and_fits() -> None:
    """The longest path, and the longest error, of the examples."""
    states = ["ValidatePayment", "ProcessPayment", "RecordFailure", "SendToDeadLetterQueue"]
    states += ["NotifyFailure", "PaymentFailed"]
    failed = Execution(
        "arn:1", "FAILED", states, Counter({"ProcessPayment": 4}), 123.4, "GatewayUnavailable", transaction_id="T-1"
    )
    told: Any = [SimpleNamespace(execution_arn="arn:1")], [{"execution_arn": "arn:1"}, {"no": "execution"}]
    found = summary.make_table(
        [(EXAMPLES[0], failed)],
        {"T-1": SimpleNamespace(status="FAILED")},
        *told,
        summary.WIDTH,  # type: ignore[dict-item]
    )
    console = Console(file=io.StringIO(), width=summary.WIDTH)
    console.print(found)
    lines = [line.split() for line in console.file.getvalue().splitlines()]  # type: ignore[attr-defined]
    assert lines[0][-5:] == ["Attempts", "Final", "status", "Seconds", "Notified"]
    assert lines[2][-4:] == ["4", "FAILED", "123.4", "DLQ"]
    assert lines[3] == ["Validate→Process", "×4→Record→DLQ→Notify→Failed", "GatewayUnavailable", "subscribers"]  # noqa: RUF001
