"""`logs.sh` prints every line once, oldest first, with its time in UTC, and no more of a card than CloudWatch does."""

import functools
import io
import json
import shlex
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from click.testing import CliRunner, Result

from scripts.common.terminal import create_console
from scripts.local import choose_target
from scripts.operator import log_events, platform, tail
from scripts.operator.cli import logs as command
from scripts.operator.cli import views
from scripts.operator.log_events import SOURCES, parse_event
from stacks import names
from tests.shell import run_shell

START = 1795437640000


def make_event(seconds: float, line: str | None = None, /, **fields: Any) -> dict[str, Any]:
    text = json.dumps(fields) if line is None else line
    return {"timestamp": START + int(seconds * 1000), "message": text, "eventId": f"{seconds}"}


class FakeLogs:
    """Answers FilterLogEvents with the events of each group, and keeps the arguments of the calls."""

    def __init__(self, events: dict[str, list[dict[str, Any]]]) -> None:
        self.events = events
        self.calls: list[dict[str, Any]] = []

    def get_paginator(self, operation: str) -> Any:
        assert operation == "filter_log_events"
        return SimpleNamespace(paginate=self.paginate)

    def paginate(self, **arguments: Any) -> Iterator[dict[str, Any]]:
        self.calls.append(arguments)
        for event in self.events.get(arguments["logGroupName"], []):
            yield {"events": [event]}


VALIDATION, PROCESSING, WORKFLOW = (
    names.in_environment(name, "dev")
    for name in (names.VALIDATION.log_group, names.PROCESSING.log_group, names.WORKFLOW_LOG_GROUP)
)


@pytest.fixture
def logs() -> FakeLogs:
    return FakeLogs(
        {
            VALIDATION: [make_event(1, level="INFO", message="payment validated", transaction_id="T-1")],
            PROCESSING: [
                make_event(2, type="platform.report", record={"metrics": {"durationMs": 31.5}}),
                make_event(4, "text that is not JSON\n"),
            ],
            WORKFLOW: [make_event(3, type="ExecutionSucceeded", id="7")],
        }
    )


@pytest.fixture
def run(logs: FakeLogs, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    target = SimpleNamespace(client=lambda service: {"logs": logs}[service], requests=None)
    monkeypatch.setattr(choose_target, "reach_environment", lambda *_, **__: target)
    monkeypatch.setattr(platform.Platform, "check_deployed", lambda _: None)
    return lambda *arguments: CliRunner().invoke(command.main, ["dev", "--since", "2026-11-23T12:00", *arguments])


def test_all_sources_are_one_list_in_the_order_of_time(run: Callable[..., Result]) -> None:
    result = run()
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout.splitlines() == [
        "2026-11-23 UTC",
        "12:40:41.000  validation      INFO     payment validated  transaction_id=T-1",
        '12:40:42.000  processing      platform.report  record={"metrics": {"durationMs": 31.5}}',
        "12:40:43.000  workflow        ExecutionSucceeded  id=7",
        "12:40:44.000  processing      text that is not JSON",
    ]


def test_a_source_is_read_alone_and_nothing_is_unmasked(run: Callable[..., Result], logs: FakeLogs) -> None:
    assert "workflow" in run("workflow").stdout
    # 12:00 is 40 minutes and 40 seconds before the start.
    assert logs.calls == [{"logGroupName": WORKFLOW, "startTime": START - 2_440_000}]


def test_programs_get_an_object_for_each_line(run: Callable[..., Result]) -> None:
    lines = [json.loads(line) for line in run("validation", "--json").stdout.splitlines()]
    assert lines == [
        {
            "at": "2026-11-23T12:40:41.000Z",
            "source": "validation",
            "level": "INFO",
            "message": "payment validated",
            "fields": {"transaction_id": "T-1"},
        }
    ]


def test_an_empty_log_is_no_failure_and_says_from_when(run: Callable[..., Result], logs: FakeLogs) -> None:
    logs.events = {}
    result = run("--json")
    assert (result.exit_code, result.stdout) == (0, "")
    assert "since 2026-11-23 12:00 UTC" in result.stderr


def test_following_shows_each_line_once_and_ends_with_ctrl_c(
    run: Callable[..., Result], logs: FakeLogs, monkeypatch: pytest.MonkeyPatch
) -> None:
    pauses: list[float] = []

    def pause(seconds: float) -> None:
        pauses.append(seconds)
        logs.events[VALIDATION].append(make_event(10 + len(pauses), f"line {len(pauses)}"))
        if len(pauses) == 3:
            raise KeyboardInterrupt

    monkeypatch.setattr(tail, "follow_reads", functools.partial(tail.follow_reads, pause=pause))
    result = run("validation", "--follow")
    assert (result.exit_code, result.stderr) == (130, "logs: interrupted; nothing was changed\n")
    assert [line.split("  ")[-1] for line in result.stdout.splitlines()[1:]] == [
        "transaction_id=T-1",
        "line 1",
        "line 2",
    ]


def test_a_wrong_argument_exits_with_1(run: Callable[..., Result]) -> None:
    for arguments in (("billing",), ("--since", "later")):
        assert run(*arguments).exit_code == 1


def test_the_emulator_has_no_log_of_the_workflow() -> None:
    result = CliRunner().invoke(command.main, ["local", "workflow"])
    assert result.exit_code == 1
    assert result.stderr.startswith("logs: local has no log of the workflow: ")


def test_the_names_of_the_sources_are_those_of_the_command() -> None:
    assert tuple(SOURCES) == command.SOURCE_NAMES


def test_a_card_number_is_hidden_wherever_it_is() -> None:
    card = "4111111111111111"
    fields: dict[str, Any] = {
        "message": card,
        "a": {card: [card, int(card)]},
        "level": card,
        "count": 3,
    }
    hidden = parse_event(make_event(0, **fields), "processing")
    assert card not in f"{hidden.message}{hidden.level}{hidden.fields}"
    assert hidden.fields["count"] == 3
    assert card not in parse_event(make_event(0, f"card {card}"), "processing").message


def test_a_stack_trace_is_below_its_line_and_controls_no_terminal() -> None:
    event = make_event(0, level="ERROR", errorType="KeyError", stackTrace=["  File a.py, line 1\n", "\x1b[2J"])
    file = io.StringIO()
    views.print_log_event(create_console(file=file, width=80), parse_event(event, "processing"), "2026-11-23")
    lines = file.getvalue().splitlines()
    assert lines[0].endswith("ERROR    errorType=KeyError")
    assert lines[1:] == ["    File a.py, line 1", "    [2J"]


def test_what_only_metrics_need_is_left_out() -> None:
    event = parse_event(make_event(0, _aws={"Timestamp": 1}, timestamp="2026", Charges=1), "processing")
    assert (event.message, log_events.format_fields(event.fields)) == ("", "Charges=1")


@pytest.mark.parametrize("option", ["", "--json"])
def test_an_output_that_nobody_reads_ends_it_silently(option: str) -> None:
    """As with `logs.sh dev --follow | head`: it ends with the next line, and not never."""
    code = (
        "import itertools\n"
        "from unittest import mock\n"
        "from scripts.common.requests import RequestLog\n"
        "from scripts.local import choose_target\n"
        "from scripts.operator import log_events, platform\n"
        "from scripts.operator.cli.logs import main\n"
        "target = mock.Mock(requests=RequestLog())\n"
        "choose_target.reach_environment = lambda *_, **__: target\n"
        "platform.Platform.check_deployed = mock.Mock()\n"
        "lines = ({'timestamp': number, 'message': 'x' * 500, 'eventId': '1'} for number in itertools.count())\n"
        "log_events.read_group = lambda *_: lines\n"
        f"main(['dev', 'validation', *{option.split()}])\n"
    )
    result = run_shell(f"$python -c {shlex.quote(code)} | head -n 2")
    assert len(result.stdout.splitlines()) == 2
    assert result.stderr == ""
