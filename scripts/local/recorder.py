"""Records which calls the platform's roles make in MiniStack; scripts/audit compares them with what is granted.

Each distinct call is one line of JSON, ``{"role", "session", "action", "resource"}``, whether it is allowed or denied.
Lambda names a session after its function, which identifies the caller. Three kinds of calls are made for a role without
a request that MiniStack authorizes: the tasks of a state machine, dead letters of functions, and log events.
"""

import json
import os
import threading
from pathlib import Path
from typing import Any

from ministack.core import iam_evaluator
from ministack.services import lambda_svc, stepfunctions

from .server import RECORDED_CALLS

# The action of each optimized integration, and the argument that names its resource.
# https://docs.aws.amazon.com/step-functions/latest/dg/integrate-optimized.html
_TASKS = {
    "states:::lambda:invoke": ("lambda:InvokeFunction", "FunctionName"),
    "states:::sqs:sendMessage": ("sqs:SendMessage", "QueueUrl"),
    "states:::sns:publish": ("sns:Publish", "TopicArn"),
}


def record_calls() -> None:
    """Begin to record, if the environment names a folder."""
    folder = os.environ.get(RECORDED_CALLS)
    if not folder:
        return
    recorder = _Recorder(Path(folder) / f"{os.getpid()}.jsonl")
    _record_requests(recorder)
    _record_tasks(recorder)
    _record_functions(recorder)


class _Recorder:
    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._path = path
        self._lock = threading.Lock()
        self._calls: set[tuple[str, ...]] = set()

    def record_call(self, role: str, session: str, action: str, resource: str) -> None:
        call = (role, session, action, resource)
        with self._lock:
            if call not in self._calls:
                self._calls.add(call)
                line = dict(zip(("role", "session", "action", "resource"), call, strict=True))
                with open(self._path, "a", encoding="utf-8") as file:
                    file.write(json.dumps(line) + "\n")


def _record_requests(recorder: _Recorder) -> None:
    evaluate = iam_evaluator.evaluate

    def record_and_evaluate(context: Any, *policies: Any, **options: Any) -> Any:
        if context.principal_type == "AssumedRole":
            role, session = context.principal_arn.split("/")[-2:]
            recorder.record_call(role, session, context.action, context.resource_arn)
        return evaluate(context, *policies, **options)

    iam_evaluator.evaluate = record_and_evaluate


def _record_tasks(recorder: _Recorder) -> None:
    invoke = stepfunctions._invoke_resource

    def record_and_invoke(resource: str, arguments: Any) -> Any:
        for task, (action, argument) in _TASKS.items():
            if task in resource:
                recorder.record_call("states.amazonaws.com", "", action, str(arguments.get(argument)))
        return invoke(resource, arguments)

    stepfunctions._invoke_resource = record_and_invoke


def _record_functions(recorder: _Recorder) -> None:
    route, emit = lambda_svc._route_async_failure, lambda_svc._emit_lambda_logs

    def record_and_route(target: str, name: str, *arguments: Any) -> Any:
        role = lambda_svc._functions[name]["config"]["Role"].split("/")[-1]
        recorder.record_call(role, name, "sqs:SendMessage", target)
        return route(target, name, *arguments)

    def record_and_emit(function: dict[str, Any], *arguments: Any, **options: Any) -> Any:
        config = function.get("config") or function
        group = (config.get("LoggingConfig") or {}).get("LogGroup") or f"/aws/lambda/{config['FunctionName']}"
        for action in ("logs:CreateLogStream", "logs:PutLogEvents"):
            role = config["Role"].split("/")[-1]
            recorder.record_call(role, config["FunctionName"], action, f"log-group:{group}:log-stream:any")
        return emit(function, *arguments, **options)

    lambda_svc._route_async_failure = record_and_route
    lambda_svc._emit_lambda_logs = record_and_emit
