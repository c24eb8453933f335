"""Runs recorded executions on the AWS emulator with the corrections of scripts/local; their tasks are played back.

Not compared, because the emulator does not have it and nothing of ours reads it there:

- the ids of events, and the states that are entered in branches and iterations: its history does not contain them;
- a cause in which AWS names the state and the event at which a field could not be evaluated.

An execution is left out if a task's time limit is an expression: the emulator does not evaluate it, and fails or not
depending on which of its threads is faster.
"""

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3

from scripts.local import server
from tests.conformance.executions import RecordedExecution, load_executions, show_json
from tests.conformance.verdicts import Verdict

PLAYBACK_SERVER = "tests.conformance.playback_server"
END_SECONDS = 60
# The beginning of the causes in which AWS names a state and an event.
_NAMED_PLACE = "An error occurred while executing the state "
_TRUST = {
    "Statement": [{"Effect": "Allow", "Principal": {"Service": "states.amazonaws.com"}, "Action": "sts:AssumeRole"}]
}


def judge_emulator() -> Iterator[Verdict]:
    """Run the recorded executions on an emulator of their own, and yield the results."""
    recordings = [(str(number), recorded) for number, recorded in enumerate(load_executions())]
    with server.run_server(wait_scale=0.0, module=PLAYBACK_SERVER) as running:
        session = boto3.Session(region_name=server.REGION, **server.CREDENTIALS)
        client = session.client("stepfunctions", endpoint_url=running.url)
        role = session.client("iam", endpoint_url=running.url).create_role(
            RoleName="workflow", AssumeRolePolicyDocument=json.dumps(_TRUST)
        )["Role"]["Arn"]
        started = [
            (
                _start_execution(client, role, name, recorded),
                Path(running.folder) / name_calls_file(name),
                recorded,
            )
            for name, recorded in recordings
            if not is_left_out(recorded)
        ]
        for arn, calls_path, recorded in started:
            end = _await_end(client, arn)
            yield Verdict(recorded.name, (*compare_calls(recorded, calls_path), *compare_ends(recorded, end)))


def name_calls_file(execution_name: str) -> str:
    """Return the name of the file, in the folder of the server, with the arguments of each call of a task."""
    return f"calls-of-{execution_name}.jsonl"


def is_left_out(recorded: RecordedExecution) -> bool:
    """Return whether a task's time limit is an expression."""
    return any("{%" in str(state.get("TimeoutSeconds", "")) for state in recorded.machine["States"].values())


def compare_ends(recorded: RecordedExecution, end: dict[str, Any]) -> Iterator[str]:
    """Yield a sentence for each difference between the recorded end and that on the emulator."""
    expected = {"error": "", "cause": "", "output": None} | recorded.ended
    expected["entered"] = [name for name in expected["entered"] if name in recorded.machine["States"]]
    if expected["cause"].startswith(_NAMED_PLACE):
        del expected["cause"]
    for name in sorted(expected.keys() & end.keys()):
        if show_json(expected[name]) != show_json(end[name]):
            yield f"{name}: {show_json(expected[name])}; the emulator's is {show_json(end[name])}"


def compare_calls(recorded: RecordedExecution, calls_path: Path) -> Iterator[str]:
    """Yield a sentence if the emulator called tasks with other arguments than AWS."""
    expected = sorted(show_json(call["arguments"]) for call in recorded.tasks)
    lines = calls_path.read_text().splitlines() if calls_path.exists() else []
    observed = sorted(show_json(json.loads(line)) for line in lines)
    if expected != observed:
        yield f"calls of tasks: {expected}; the emulator's are {observed}"


def _start_execution(client: Any, role: str, name: str, recorded: RecordedExecution) -> str:
    machine = client.create_state_machine(name=f"machine-{name}", definition=json.dumps(recorded.machine), roleArn=role)
    execution = client.start_execution(
        stateMachineArn=machine["stateMachineArn"], name=name, input=json.dumps(recorded.data)
    )
    return str(execution["executionArn"])


def _await_end(client: Any, arn: str) -> dict[str, Any]:
    """Return how an execution ended, with the names that ``RecordedExecution.ended`` has."""
    deadline = time.monotonic() + END_SECONDS
    # The last event is written after all that is described.
    while not (events := _list_events(client, arn))[-1]["type"].startswith("Execution") or len(events) == 1:
        assert time.monotonic() < deadline, f"{arn} does not end"
        time.sleep(0.05)
    execution = client.describe_execution(executionArn=arn)
    return {
        "status": execution["status"],
        "error": execution.get("error", ""),
        "cause": execution.get("cause", ""),
        "output": json.loads(execution["output"]) if "output" in execution else None,
        "entered": [
            event["stateEnteredEventDetails"]["name"] for event in events if event["type"].endswith("StateEntered")
        ],
    }


def _list_events(client: Any, arn: str) -> list[dict[str, Any]]:
    pages = client.get_paginator("get_execution_history").paginate(executionArn=arn)
    return [event for page in pages for event in page["events"]]
