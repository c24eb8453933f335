"""`show`, `list` and `tail` show no payment data, and each event once."""

import dataclasses
import itertools
import json
from collections.abc import Iterable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from botocore.exceptions import ClientError
from payments.notification import Notification
from payments.payment import Payment

from scripts.operator import logs, records, story, tail
from scripts.operator.batch import Result
from scripts.operator.cli import views
from scripts.operator.cli.common import make_console, parse_since
from scripts.operator.dead_letters import DeadLetter, build_letter
from scripts.operator.json_output import to_json
from scripts.operator.logs import LogLine, parse_event
from scripts.operator.records import Record, hide_card_numbers
from scripts.operator.story import Entry, Story

YES = {"BOOL": True}
MESSAGE = {"MessageId": "1", "ReceiptHandle": "1"}
LETTER_FIELDS = ("transaction_id", "error", "timestamp", "state", "cause", "payment_status")


def make_event(**fields: Any) -> dict[str, Any]:
    return {"timestamp": 1795437640810, "message": json.dumps(fields)}


def test_a_log_line_shows_only_what_our_functions_log() -> None:
    logged = {"message": "payment finished", "transaction_id": "T", "status": "COMPLETED", "card": "5500005555555559"}
    line = parse_event(make_event(level="INFO", **logged), "processing")
    assert line is not None
    assert (line.at, line.summary, line.bad) == ("2026-11-23T12:40:40.810Z", "payment finished: COMPLETED", False)
    assert "5500" not in str(line).replace(line.key, "")


@pytest.mark.parametrize(
    ("transaction_id", "words"),
    [("T-1", ": not charged"), ("A:1.b", " is recorded for another request"), ("T-1", ": 4111111111111111")],
)
def test_an_error_belongs_to_the_payment_in_its_detail(transaction_id: str, words: str) -> None:
    error = {"message": "payment error", "error": "E", "detail": f"transaction {transaction_id}{words}"}
    line = parse_event(make_event(level="WARNING", **error), "processing")
    assert line is not None
    assert (line.transaction_id, line.summary, line.bad) == (transaction_id, "E", True)
    assert "4111" not in line.detail


def test_a_reconciliation_run_yields_each_payment_and_an_error_once(monkeypatch: pytest.MonkeyPatch) -> None:
    failure = {"level": "ERROR", "message": "payment not reconciled", "error": "E"}
    logged = [
        {"level": "INFO", "message": "payment reconciled", "transaction_id": "T-1", "status": "COMPLETED"},
        *(failure | {"transaction_id": transaction_id} for transaction_id in ("T-2", "T-3")),
        {"level": "WARNING", "message": "payment error", "error": "E", "detail": "transaction T-4: away"},
        {"level": "ERROR", "errorType": "E", "errorMessage": "transaction T-4: away"},  # the runtime's
    ]
    page = {"events": [make_event(requestId="1", **fields) for fields in logged]}
    client = SimpleNamespace(get_paginator=lambda _: SimpleNamespace(paginate=lambda **_: [page]))
    monkeypatch.setattr(logs, "GROUPS", {"reconciliation": ""})
    platform: Any = SimpleNamespace(environment="dev", client=lambda _: client)
    assert [line.transaction_id for line in logs.read_lines(platform, 0)] == ["T-1", "T-2", "T-3", "T-4"]


@pytest.mark.parametrize("message", ["START RequestId: 1", "{", "[1]", '{"message": "of no payment"}'])
def test_a_log_event_without_a_payment_is_no_line(message: str) -> None:
    assert parse_event({"timestamp": 0, "message": message}, "processing") is None


def test_a_hostile_letter_does_not_control_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    words = {name: "\x1b[2J[/red]\x9b5n\u202e4111111111111111" for name in LETTER_FIELDS}
    letter = build_letter(MESSAGE, words, {})
    views.print_letters(make_console(), [letter])
    output = capsys.readouterr().out
    assert "[/red]" in output
    assert "4111" not in output + str(letter)
    assert all(character.isprintable() or character == "\n" for character in output)


def test_a_record_hides_card_numbers_that_anybody_wrote() -> None:
    names = ("payment_method", "gateway_reference", "refund_reference", "failure")
    item = {name: {"S": "4111111111111111"} for name in names} | {"reasons": {"S": '["4111111111111111"]'}}
    assert "4111" not in str(records.parse_item(item | {"transaction_id": {"S": "T-1"}}))


def test_card_numbers_are_hidden_and_ids_are_not() -> None:
    assert hide_card_numbers("card 4111-1111-1111-1111, or 5500005555555559.") == "card (hidden), or (hidden)."
    assert hide_card_numbers("sim_317205b21a575eb9 20261123124040") == "sim_317205b21a575eb9 20261123124040"


def follow_looks(monkeypatch: pytest.MonkeyPatch, looks: Iterable[Any], interval: int) -> tuple[list[str], list[float]]:
    """Return the keys of the lines that `tail` shows after each poll, and the wait after each poll."""
    remaining, times, waits = iter(looks), itertools.count(1000, interval), []

    def read_lines(*_: Any) -> Iterator[LogLine]:
        for key in next(remaining, [KeyboardInterrupt()]):
            if isinstance(key, BaseException):
                raise key
            yield LogLine(f"2026-11-23T12:00:0{key}Z", "processing", "T", "what", "", False, "", key)

    monkeypatch.setattr(tail.logs, "read_lines", read_lines)
    keys: list[str] = []
    lines = tail.follow_lines(None, 0, pause=waits.append, clock=lambda: next(times))  # type: ignore[arg-type]
    with pytest.raises(KeyboardInterrupt):
        keys.extend(line.key for line in lines)
    return keys, waits


THROTTLED = ClientError({"Error": {"Code": "ThrottlingException", "Message": ""}}, "FilterLogEvents")


def test_tail_shows_each_line_once_and_slows_down_while_nothing_happens(monkeypatch: pytest.MonkeyPatch) -> None:
    looks = [["1"], ["2", "1"], [THROTTLED], ["2", "3"], [], [], [], []]
    assert follow_looks(monkeypatch, looks, 1) == (["1", "2", "3"], [2, 2, 10, 2, 3, 4.5, 6.75, 10])


def test_tail_repeats_nothing_however_long_it_is_throttled(monkeypatch: pytest.MonkeyPatch) -> None:
    assert follow_looks(monkeypatch, [["1", THROTTLED]] * 50, 10)[0] == ["1"]


@pytest.mark.parametrize("text", ["2", "2 h", "yesterday", "2999-01-01", "-1h"])
def test_an_invalid_time_is_refused(text: str) -> None:
    with pytest.raises(Exception, match=f"--since {text}"):
        parse_since(text)


def test_times_are_relative_or_in_utc(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("time.time", lambda: 1_795_437_640.0)
    assert parse_since("2h") == 1_795_437_640 - 7200
    assert parse_since("2026-11-23T12:40:00") == parse_since("2026-11-23T13:40:00+01:00") == 1_795_437_600
    assert parse_since(None) == 0


def test_a_failure_without_a_payment_is_logged_in_words() -> None:
    logged = {"message": "payment failed", "transaction_id": "T", "status": "NOT_RECORDED", "error": "MalformedRequest"}
    line = parse_event(make_event(level="ERROR", **logged), "processing")
    assert line is not None
    assert line.summary == "payment failed: no payment is recorded: MalformedRequest"


@pytest.mark.parametrize("value_class", [Record, Story, Entry, LogLine, DeadLetter, Result])
def test_programs_find_the_names_of_the_code_and_no_secrets(value_class: Any) -> None:
    names = [field.name for field in dataclasses.fields(value_class)]
    printed = [name for name in names if name not in ("fingerprint", "salt", "receipt", "key")]
    assert list(to_json(value_class(**dict.fromkeys(names, "")))) == printed


def test_a_record_names_what_was_notified_as_the_payments_do() -> None:
    recorded = {field.name for field in dataclasses.fields(Record)} | {"is_due"}
    # Programs do not need the ids and times by which notifiers keep out of each other's way.
    assert {field.name for field in dataclasses.fields(Notification)} - recorded == {"notice_id", "notifier_until"}
    assert {"payment_method", "idempotency_key_closed"} <= recorded & {
        field.name for field in dataclasses.fields(Payment)
    }


@pytest.mark.parametrize(
    ("cause", "explanation"),
    [
        ("transact_write_items: ConditionalCheckFailed", "the ledger is ahead of the table for this payment"),
        ("get_item: AccessDeniedException", "the function has no access to the tables"),
    ],
)
def test_the_explanation_tells_a_restored_table_from_missing_access(cause: str, explanation: str) -> None:
    assert build_letter(MESSAGE, {"error": "LedgerRefused", "cause": cause}, {}).explanation.startswith(explanation)


@pytest.mark.parametrize(
    ("item", "described"),
    [
        # An execution may have published a notice of itself, so only the record counts.
        ({}, ()),
        ({"notified_status": {"S": "UNKNOWN"}}, ("subscribers: UNKNOWN, not confirmed",)),
        ({"notified_status": {"S": "UNKNOWN"}, "notification_confirmed": YES}, ("subscribers: UNKNOWN",)),
        (
            {"notified_status": {"S": "FAILED"}, "notifier": {"S": "a"}, "notification_due": YES, "dead_lettered": YES},
            ("a notification of FAILED is being sent", "the dead-letter queue"),
        ),
        ({"notification_due": YES}, ("a notification is due; reconciliation will send it",)),
        # Written by an older version.
        (
            {"told": {"S": "FAILED"}, "told_id": {"S": "T-1:2"}, "letter": YES},
            ("subscribers: FAILED", "the dead-letter queue"),
        ),
    ],
)
def test_notifications_are_described_by_the_record(item: dict[str, Any], described: tuple[str, ...]) -> None:
    payment = records.parse_item({"transaction_id": {"S": "T-1"}, "status": {"S": "COMPLETED"}} | item)
    assert story._describe_notifications(payment) == described
