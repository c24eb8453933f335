"""The platform for the operator's tests, on an emulator where five minutes of an alarm take three seconds."""

import json
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from scripts.local import server, target
from stacks.monitoring.alarms import list_sections
from tests.e2e.conftest import Platform, deploy_platform

ALARM_SCALE = 0.01
PERIOD_SECONDS = 300 * ALARM_SCALE

# The figures that the tests record, in the order in which they are printed.
RINGING_ALARMS, PAYMENTS, FALSE_RINGS = "rung, heard, and back to OK", "payments on an ordinary day", "false rings"
COMMANDS, EXECUTED, CHECKED = "runbook commands", "executed on the AWS emulator", "checked against the service's model"
FIGURES = (RINGING_ALARMS, PAYMENTS, FALSE_RINGS, COMMANDS, EXECUTED, CHECKED)


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Print the figures, summed over the tests that passed or failed on all workers."""
    reports = [*terminalreporter.stats.get("passed", []), *terminalreporter.stats.get("failed", [])]
    figures: Counter[str] = Counter()
    for report in reports:
        for name, count in report.user_properties if "tests/ops/" in report.nodeid else ():
            figures[name] += count
    if not figures:
        return
    terminalreporter.section("what an operator can rely on")
    rows = {"alarms": len(list_sections())} | {name: figures[name] for name in FIGURES if name in figures}
    for name, count in rows.items():
        terminalreporter.write_line(f"{name:<36} {count:>7,}")


class BackgroundLoop:
    """Repeats an action in the background for the length of a ``with`` block.

    After an error it stops, and the end of the block raises the error. An error of the block itself takes precedence,
    with a note about the other.
    """

    def __init__(self, action: Callable[[], object], every_seconds: float) -> None:
        self._action, self._every_seconds = action, every_seconds
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._error: Exception | None = None

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, _: object, error: BaseException | None, __: object) -> None:
        self._stopped.set()
        self._thread.join()
        if self._error and error:
            error.add_note(f"before that, in the background: {self._error!r}")
        elif self._error:
            raise self._error

    def _run(self) -> None:
        while not self._stopped.wait(self._every_seconds):
            try:
                self._action()
            except Exception as error:
                self._error = error
                return


class Subscriber:
    """Receives the notifications of alarms from the topic."""

    def __init__(self, platform: Platform) -> None:
        self.notifications: list[dict[str, Any]] = []
        self._sqs, self._url = platform.target.client("sqs"), platform.notices_url

    def listen(self) -> BackgroundLoop:
        return BackgroundLoop(self._receive, 0)

    def _receive(self) -> None:
        """Receive without delay: a test waits for each notification before it causes the next."""
        queue = {"QueueUrl": self._url}
        for received in self._sqs.receive_message(**queue, MaxNumberOfMessages=10, WaitTimeSeconds=1).get(
            "Messages", []
        ):
            message = json.loads(json.loads(received["Body"])["Message"])
            if "AlarmName" in message:
                self.notifications.append(message)
            self._sqs.delete_message(**queue, ReceiptHandle=received["ReceiptHandle"])

    def read_states(self, alarm: str) -> list[str]:
        """Return the states of an alarm by its notifications, in order."""
        return [
            str(message["NewStateValue"]) for message in self.notifications if message["AlarmName"] == f"{alarm}-local"
        ]

    def ringing_alarms(self) -> set[str]:
        names = {str(message["AlarmName"]) for message in self.notifications if message["NewStateValue"] == "ALARM"}
        return {name.removesuffix("-local") for name in names}


def read_rung_alarms(platform: Platform) -> list[str]:
    """Return the alarms that went into ALARM, in order, by CloudWatch's history."""
    pages = platform.client("cloudwatch").get_paginator("describe_alarm_history")
    history = pages.paginate(
        AlarmTypes=["MetricAlarm", "CompositeAlarm"], HistoryItemType="StateUpdate", ScanBy="TimestampAscending"
    )
    changes = [change for page in history for change in page["AlarmHistoryItems"]]
    return [
        change["AlarmName"].removesuffix("-local")
        for change in changes
        if change["HistorySummary"].endswith("to ALARM")
    ]


def run_schedule(platform: Platform) -> BackgroundLoop:
    """Run reconciliation on its schedule, in the shortened time of the alarms."""
    client = platform.target.client("lambda")
    function = {"FunctionName": "lambda-payment-reconciliation-local", "Qualifier": "live", "Payload": b"{}"}
    return BackgroundLoop(lambda: client.invoke(**function), PERIOD_SECONDS / 2)


@pytest.fixture(scope="module")
def platform() -> Iterator[Platform]:
    with server.run_server(wait_scale=0.02, alarm_scale=ALARM_SCALE) as running:
        yield deploy_platform(target.emulator_target(running))


def wait_until(condition: Callable[[], bool], seconds: float = 60, every_seconds: float = 0.2) -> bool:
    """Return whether ``condition`` became true in time."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(every_seconds)
    return False
