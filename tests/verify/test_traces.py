"""What the emulator does not have, a workflow log and X-Ray, as AWS documents it."""

import json
from types import SimpleNamespace
from typing import Any

import pytest

from scripts.deployer.rollout import Rollout
from scripts.verify import traces
from scripts.verify.place import Place
from scripts.verify.results import Status, run

EXECUTION = "arn:aws:states:eu-west-1:123456789012:execution:sfn-payment-workflow-dev:VERIFY-1-completed"
SEGMENTS = ("sfn-payment-workflow-dev", "lambda-payment-validation-dev", "lambda-payment-processing-dev")


class Logs:
    """CloudWatch Logs with these messages, whatever is asked for."""

    def __init__(self, *messages: dict[str, Any]) -> None:
        self._messages = messages
        self.patterns: list[str] = []

    def get_paginator(self, _: str) -> "Logs":
        return self

    def paginate(self, filterPattern: str, **_: Any) -> list[dict[str, Any]]:
        self.patterns.append(filterPattern)
        return [{"events": [{"message": json.dumps(message)} for message in self._messages]}]


class XRay:
    """X-Ray with a trace of these segments: documents in JSON."""

    def __init__(self, *names: str) -> None:
        self._names = names

    def batch_get_traces(self, TraceIds: list[str]) -> dict[str, Any]:
        segments = [{"Id": name, "Document": json.dumps({"name": name})} for name in self._names]
        return {"Traces": [{"Id": TraceIds[0], "Segments": segments}]}


def place_with(monkeypatch: pytest.MonkeyPatch, clients: dict[str, Any], **settings: str) -> Place:
    monkeypatch.setattr(traces, "LOG_SECONDS", 0)
    monkeypatch.setattr(traces, "TRACE_SECONDS", 0)
    platform = SimpleNamespace(environment="dev", client=clients.__getitem__, target=SimpleNamespace(gaps={}))
    base = {"Gateway": "simulator", "MaximumAmounts": "USD=10000", "WorkflowLogLevel": "ALL"}
    place = Place(platform, base | {"WorkflowLogExecutionData": "false"} | settings, Rollout())  # type: ignore[arg-type]
    place.executions = {"completed": EXECUTION, "failed": f"{EXECUTION}-failed"}
    place.traces = {"completed": "1-67891233-abcdef012345678912345678"}
    return place


# https://docs.aws.amazon.com/step-functions/latest/dg/cw-logs.html
STARTED = {"id": "1", "type": "ExecutionStarted", "details": {"roleArn": "r"}, "execution_arn": EXECUTION}
WITH_INPUT = STARTED | {"details": {"input": "{}", "inputDetails": {"truncated": False}}}


@pytest.mark.parametrize(
    ("messages", "settings", "status", "seen"),
    [
        ((STARTED,), {}, Status.OK, "1 events of completed"),
        ((), {}, Status.FAILED, "UseWorkflowKeyForLogDelivery of role-sfn-payment-workflow-dev"),
        ((WITH_INPUT,), {}, Status.FAILED, "has the input of executions, which the settings keep out"),
        ((WITH_INPUT,), {"WorkflowLogExecutionData": "true"}, Status.OK, "1 events"),
        ((), {"WorkflowLogLevel": "OFF"}, Status.SKIPPED, "the settings turn it off"),
        ((STARTED,), {"WorkflowLogLevel": "ERROR"}, Status.OK, "1 events of failed"),
    ],
)
def test_the_workflow_log_arrives_with_what_the_settings_let_in(
    messages: tuple[dict[str, Any], ...],
    settings: dict[str, str],
    status: Status,
    seen: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    logs = Logs(*messages)
    check = run("traces", "workflow log", traces._workflow_log, place_with(monkeypatch, {"logs": logs}, **settings))
    assert (check.status, seen in check.seen) == (status, True), check.seen
    assert logs.patterns == [] or logs.patterns[0].startswith(f'"{EXECUTION}')


@pytest.mark.parametrize("missing", ["", *SEGMENTS])
def test_the_service_without_a_segment_is_named(missing: str, monkeypatch: pytest.MonkeyPatch) -> None:
    # Lambda names the function, or the alias that it was invoked by.
    names = [f"{name}:live" if "lambda" in name else name for name in SEGMENTS if name != missing]
    place = place_with(monkeypatch, {"xray": XRay(*names)})
    check = run("traces", "X-Ray traces", traces._traces, place)
    assert check.status is (Status.FAILED if missing else Status.OK)
    assert (f"no segment of {missing} in trace" in check.seen) is bool(missing)
