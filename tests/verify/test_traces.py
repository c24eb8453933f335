"""The workflow log and X-Ray, which the emulator does not have, as AWS documents them."""

import json
from typing import Any

import pytest

from scripts.verify import traces
from scripts.verify.results import Status, run_check
from scripts.verify.run import Run
from tests.verify.runs import make_run

EXECUTION = "arn:aws:states:eu-west-1:123456789012:execution:sfn-payment-workflow-dev:VERIFY-1-completed"
SEGMENTS = ("sfn-payment-workflow-dev", "lambda-payment-validation-dev", "lambda-payment-processing-dev")


class Logs:
    """CloudWatch Logs with these messages."""

    def __init__(self, *messages: dict[str, Any]) -> None:
        self._messages = messages
        self.patterns: list[str] = []

    def get_paginator(self, _: str) -> "Logs":
        return self

    def paginate(self, filterPattern: str, **_: Any) -> list[dict[str, Any]]:
        self.patterns.append(filterPattern)
        return [{"events": [{"message": json.dumps(message)} for message in self._messages]}]


class XRay:
    """X-Ray with a trace of these segments."""

    def __init__(self, *names: str) -> None:
        self._names = names

    def batch_get_traces(self, TraceIds: list[str]) -> dict[str, Any]:
        segments = [{"Id": name, "Document": json.dumps({"name": name})} for name in self._names]
        return {"Traces": [{"Id": TraceIds[0], "Segments": segments}]}


def make_traced_run(monkeypatch: pytest.MonkeyPatch, clients: dict[str, Any], **settings: str) -> Run:
    monkeypatch.setattr(traces, "LOG_SECONDS", 0)
    monkeypatch.setattr(traces, "TRACE_SECONDS", 0)
    run = make_run(clients, **{"WorkflowLogLevel": "ALL", "WorkflowLogExecutionData": "false"} | settings)
    run.executions = {"completed": EXECUTION, "failed": f"{EXECUTION}-failed"}
    run.traces = {"completed": "1-67891233-abcdef012345678912345678"}
    return run


# https://docs.aws.amazon.com/step-functions/latest/dg/cw-logs.html
STARTED = {"id": "1", "type": "ExecutionStarted", "details": {"roleArn": "r"}, "execution_arn": EXECUTION}
WITH_INPUT = STARTED | {"details": {"input": "{}", "inputDetails": {"truncated": False}}}


@pytest.mark.parametrize(
    ("messages", "settings", "status", "words"),
    [
        ((STARTED,), {}, Status.OK, "1 events of completed"),
        ((), {}, Status.FAILED, "UseWorkflowKeyForLogDelivery of role-sfn-payment-workflow-dev"),
        ((WITH_INPUT,), {}, Status.FAILED, "has the input of executions, which the settings exclude"),
        ((WITH_INPUT,), {"WorkflowLogExecutionData": "true"}, Status.OK, "1 events"),
        ((), {"WorkflowLogLevel": "OFF"}, Status.SKIPPED, "the settings turn it off"),
        ((STARTED,), {"WorkflowLogLevel": "ERROR"}, Status.OK, "1 events of failed"),
    ],
)
def test_the_workflow_log_arrives_with_what_the_settings_let_in(
    messages: tuple[dict[str, Any], ...],
    settings: dict[str, str],
    status: Status,
    words: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    logs = Logs(*messages)
    check = run_check(
        "traces", "workflow log", traces.check_workflow_log, make_traced_run(monkeypatch, {"logs": logs}, **settings)
    )
    assert (check.status, words in check.observation) == (status, True), check.observation
    assert logs.patterns == [] or logs.patterns[0].startswith(f'"{EXECUTION}')


@pytest.mark.parametrize("missing", ["", *SEGMENTS])
def test_the_service_without_a_segment_is_named(missing: str, monkeypatch: pytest.MonkeyPatch) -> None:
    # Lambda names the function, or the alias that it was invoked by.
    names = [f"{name}:live" if "lambda" in name else name for name in SEGMENTS if name != missing]
    run = make_traced_run(monkeypatch, {"xray": XRay(*names)})
    check = run_check("traces", "X-Ray traces", traces.check_traces, run)
    assert check.status is (Status.FAILED if missing else Status.OK)
    assert (f"no segment of {missing} in trace" in check.observation) is bool(missing)
