"""The platform for the operator's tests: on the AWS emulator, where five minutes of an alarm take three seconds."""

import json
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from scripts.local import server, target
from stacks.monitoring.alarm_table import list_sections
from tests.e2e.conftest import Platform, deployed

ALARM_SCALE = 0.01
PERIOD_SECONDS = 300 * ALARM_SCALE

# What the tests record of themselves, in the order in which it is told at the end.
RUNG, PAYMENTS, FALSE_RINGS = "rung, heard, and back to OK", "payments on an ordinary day", "false rings"
COMMANDS, EXECUTED, CHECKED = "runbook commands", "executed on the AWS emulator", "checked against the service's model"
FIGURES = (RUNG, PAYMENTS, FALSE_RINGS, COMMANDS, EXECUTED, CHECKED)


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """The figures, summed over the tests that passed or failed, whichever worker they ran on."""
    ended = [*terminalreporter.stats.get("passed", []), *terminalreporter.stats.get("failed", [])]
    figures: Counter[str] = Counter()
    for report in ended:
        for name, count in report.user_properties if "tests/ops/" in report.nodeid else ():
            figures[name] += count
    if not figures:
        return
    terminalreporter.section("what an operator can rely on")
    told = {"alarms": len(list_sections())} | {name: figures[name] for name in FIGURES if name in figures}
    for name, count in told.items():
        terminalreporter.write_line(f"{name:<36} {count:>7,}")


class Repeated:
    """Something done in the background, again and again, for the length of a ``with`` block.

    When it fails it is not done again, and the end of the block raises its error: what a block finds after that is
    worth nothing. An error of the block itself goes first, and tells of the other.
    """

    def __init__(self, do: Callable[[], object], every_seconds: float) -> None:
        self._do, self._every_seconds = do, every_seconds
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._failed: Exception | None = None

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, _: object, error: BaseException | None, __: object) -> None:
        self._stopped.set()
        self._thread.join()
        if self._failed and error:
            error.add_note(f"before that, in the background: {self._failed!r}")
        elif self._failed:
            raise self._failed

    def _run(self) -> None:
        while not self._stopped.wait(self._every_seconds):
            try:
                self._do()
            except Exception as error:
                self._failed = error
                return


class Subscriber:
    """Hears what is published to the topic, and keeps of it what alarms say."""

    def __init__(self, platform: Platform) -> None:
        self.heard: list[dict[str, Any]] = []
        self._sqs, self._url = platform.target.client("sqs"), platform.notices_url

    def listening(self) -> Repeated:
        return Repeated(self._listen, 0)

    def _listen(self) -> None:
        """Each as it comes: what an alarm says is waited for before the next is made to ring."""
        queue = {"QueueUrl": self._url}
        for received in self._sqs.receive_message(**queue, MaxNumberOfMessages=10, WaitTimeSeconds=1).get(
            "Messages", []
        ):
            message = json.loads(json.loads(received["Body"])["Message"])
            if "AlarmName" in message:
                self.heard.append(message)
            self._sqs.delete_message(**queue, ReceiptHandle=received["ReceiptHandle"])

    def states(self, alarm: str) -> list[str]:
        """What it said of itself, in order."""
        return [str(one["NewStateValue"]) for one in self.heard if one["AlarmName"] == f"{alarm}-local"]

    def rang(self) -> set[str]:
        rang = {str(one["AlarmName"]) for one in self.heard if one["NewStateValue"] == "ALARM"}
        return {name.removesuffix("-local") for name in rang}


def recorded(platform: Platform) -> list[str]:
    """Which alarms have rung, in order, as CloudWatch itself has it."""
    pages = platform.client("cloudwatch").get_paginator("describe_alarm_history")
    found = pages.paginate(
        AlarmTypes=["MetricAlarm", "CompositeAlarm"], HistoryItemType="StateUpdate", ScanBy="TimestampAscending"
    )
    changes = [one for page in found for one in page["AlarmHistoryItems"]]
    return [one["AlarmName"].removesuffix("-local") for one in changes if one["HistorySummary"].endswith("to ALARM")]


def heart(platform: Platform) -> Repeated:
    """Reconciliation's schedule, in the alarms' time."""
    client = platform.target.client("lambda")
    function = {"FunctionName": "lambda-payment-reconciliation-local", "Qualifier": "live", "Payload": b"{}"}
    return Repeated(lambda: client.invoke(**function), PERIOD_SECONDS / 2)


@pytest.fixture(scope="module")
def platform() -> Iterator[Platform]:
    with server.run_server(wait_scale=0.02, alarm_scale=ALARM_SCALE) as running:
        yield deployed(target.emulator_target(running))


def until(true: Callable[[], bool], seconds: float = 60, every_seconds: float = 0.2) -> bool:
    """Whether it became so in time."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if true():
            return True
        time.sleep(every_seconds)
    return False
