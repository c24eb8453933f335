"""Runs recorded executions of state machines on the interpreter in tests/asl.

The fields of a file in executions/:

title    the subject of its cases
source   the repository, commit, licence and folder of the recordings
machine  the definition, unless a case has one. A case replaces "<name>" by ``with: {name: value}``; the members that
         it does not replace are left out
input    the input, unless a case has one
tasks    the calls of tasks in order, unless a case has them: arguments, and a result or an error and its cause
cases    for each: a name, the recorded test and its date, and how the execution ended on AWS, which is its status,
         error, cause, output, the names of the states entered, and the id of the last event of its history
"""

import json
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

import yaml

from tests.asl import Interpreter, StatesError
from tests.conformance.verdicts import Verdict

FOLDER = Path(__file__).parent / "executions"
_FILE_FIELDS = {"title", "source", "machine", "input", "tasks", "cases"}
_CASE_FIELDS = {"name", "test", "recorded", "with", "machine", "input", "tasks", "ended"}
_CALL_FIELDS = ({"arguments", "result"}, {"arguments", "error"}, {"arguments", "error", "cause"})
_SUBJECTS = {
    "status": "the status is",
    "error": "the error is",
    "cause": "the cause is",
    "output": "the output is",
    "entered": "the states entered are",
    "events": "the id of the last event is",
}


@dataclass(frozen=True)
class RecordedExecution:
    name: str
    machine: dict[str, Any]
    data: Any
    tasks: list[dict[str, Any]]
    ended: dict[str, Any]


@dataclass
class Playback:
    """Answers each call of a task with the next recorded call."""

    recorded: list[dict[str, Any]]
    differences: list[str] = field(default_factory=list)
    calls: int = 0

    def answer_call(self, arguments: Any) -> Any:
        if self.calls == len(self.recorded):
            self.differences.append(f"a call is not recorded; its arguments are {show_json(arguments)}")
            raise StatesError("NotRecorded")
        call = self.recorded[self.calls]
        self.calls += 1
        if call["arguments"] != arguments:
            self.differences.append(
                f"call {self.calls} has the arguments {show_json(call['arguments'])}; ours has {show_json(arguments)}"
            )
        if "error" in call:
            raise StatesError(call["error"], call.get("cause", ""))
        return call["result"]

    def list_differences(self) -> list[str]:
        missing = len(self.recorded) - self.calls
        return self.differences + ([f"{missing} recorded calls were not made"] if missing else [])


def load_executions() -> Iterator[RecordedExecution]:
    """Yield the recorded executions of every file. Raises ``AssertionError`` if a file has an unknown field."""
    for path in sorted(FOLDER.glob("*.yaml")):
        file = yaml.load(path.read_text(encoding="utf-8"), Loader=yaml.CSafeLoader)
        assert set(file) <= _FILE_FIELDS, f"{path.name}: {set(file) - _FILE_FIELDS}"
        assert set(file["source"]) == {"repository", "commit", "licence", "folder"}, path.name
        for case in file["cases"]:
            yield _read_case(path.stem, file, case)


def judge_executions() -> Iterator[Verdict]:
    """Run each recorded execution and yield the result."""
    for execution in load_executions():
        yield Verdict(execution.name, tuple(play_execution(execution)))


def play_execution(recorded: RecordedExecution) -> list[str]:
    """Run a recorded execution and return the differences, a sentence each."""
    playback = Playback(recorded.tasks)
    tasks = defaultdict(lambda: playback.answer_call)
    execution = Interpreter(recorded.machine, tasks).run(recorded.data)
    observed = {
        "status": execution.status,
        "error": execution.error,
        "cause": execution.cause,
        "output": execution.output,
        "entered": execution.path,
        "events": execution.events,
    }
    differences = playback.list_differences()
    for name, value in observed.items():
        answer = recorded.ended.get(name, "" if name in ("error", "cause") else None)
        if show_json(answer) != show_json(value):
            differences.append(f"{_SUBJECTS[name]} {show_json(answer)}; ours is {show_json(value)}")
    return differences


def _read_case(stem: str, file: dict[str, Any], case: dict[str, Any]) -> RecordedExecution:
    name = f"{stem}: {case['name']}"
    assert set(case) <= _CASE_FIELDS, f"{name}: {set(case) - _CASE_FIELDS}"
    assert set(case["ended"]) <= set(_SUBJECTS), f"{name}: {set(case['ended']) - set(_SUBJECTS)}"
    assert isinstance(case["recorded"], date), f"{name}: when was it recorded?"
    assert "::" in case["test"], f"{name}: where was it recorded?"
    for call in case.get("tasks", file.get("tasks", [])):
        assert set(call) in _CALL_FIELDS, f"{name}: {set(call)}"
    fillings = case.get("with", {})
    machine = case["machine"] if "machine" in case else _fill_in(file["machine"], fillings)
    data = case["input"] if "input" in case else file["input"]
    return RecordedExecution(name, machine, data, case.get("tasks", file.get("tasks", [])), case["ended"])


def _fill_in(template: Any, fillings: dict[str, Any]) -> Any:
    if isinstance(template, dict):
        return {key: _fill_in(value, fillings) for key, value in template.items() if not _is_left_out(value, fillings)}
    if isinstance(template, list):
        return [_fill_in(item, fillings) for item in template]
    return fillings[template[1:-1]] if _is_placeholder(template) else template


def _is_placeholder(value: Any) -> bool:
    return isinstance(value, str) and value.startswith("<") and value.endswith(">")


def _is_left_out(value: Any, fillings: dict[str, Any]) -> bool:
    return _is_placeholder(value) and value[1:-1] not in fillings


def show_json(value: Any) -> str:
    """Return the value in JSON, by which values are compared: in Python 1 equals True."""
    return json.dumps(value, sort_keys=True, ensure_ascii=False)
