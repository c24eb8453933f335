"""Which calls the platform's roles make, written down while MiniStack runs: the proof that what is granted is used.

Each call is one line of JSON, ``{"role", "session", "action", "resource"}``, the first time that it is made, whether
it is allowed or not. Lambda names a session by its function, so that tells whose call it was. Three kinds are made on
behalf of a role without a request that could be checked: the tasks of a state machine, what Lambda sends to a
function's dead-letter queue, and what it writes to its log.
"""

import json
import os
import threading
from pathlib import Path
from typing import Any

from ministack.core import iam_evaluator
from ministack.services import lambda_svc, stepfunctions

from .server import RECORDED_CALLS

# What the optimized integrations call, and which argument names the resource.
# https://docs.aws.amazon.com/step-functions/latest/dg/integrate-optimized.html
_TASKS = {
    "states:::lambda:invoke": ("lambda:InvokeFunction", "FunctionName"),
    "states:::sqs:sendMessage": ("sqs:SendMessage", "QueueUrl"),
    "states:::sns:publish": ("sns:Publish", "TopicArn"),
}


def record_calls() -> None:
    """Record from now on, if the environment says where."""
    folder = os.environ.get(RECORDED_CALLS)
    if not folder:
        return
    recorder = _Recorder(Path(folder) / f"{os.getpid()}.jsonl")
    _requests(recorder)
    _tasks(recorder)
    _functions(recorder)


class _Recorder:
    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._path = path
        self._lock = threading.Lock()
        self._seen: set[tuple[str, ...]] = set()

    def record(self, role: str, session: str, action: str, resource: str) -> None:
        call = (role, session, action, resource)
        with self._lock:
            if call not in self._seen:
                self._seen.add(call)
                line = dict(zip(("role", "session", "action", "resource"), call, strict=True))
                with open(self._path, "a", encoding="utf-8") as file:
                    file.write(json.dumps(line) + "\n")


def _requests(recorder: _Recorder) -> None:
    evaluate = iam_evaluator.evaluate

    def recording(context: Any, *policies: Any, **options: Any) -> Any:
        if context.principal_type == "AssumedRole":
            role, session = context.principal_arn.split("/")[-2:]
            recorder.record(role, session, context.action, context.resource_arn)
        return evaluate(context, *policies, **options)

    iam_evaluator.evaluate = recording


def _tasks(recorder: _Recorder) -> None:
    invoke = stepfunctions._invoke_resource

    def invoking(resource: str, arguments: Any) -> Any:
        for task, (action, argument) in _TASKS.items():
            if task in resource:
                recorder.record("states.amazonaws.com", "", action, str(arguments.get(argument)))
        return invoke(resource, arguments)

    stepfunctions._invoke_resource = invoking


def _functions(recorder: _Recorder) -> None:
    route, emit = lambda_svc._route_async_failure, lambda_svc._emit_lambda_logs

    def routing(target: str, name: str, *rest: Any) -> Any:
        role = lambda_svc._functions[name]["config"]["Role"].split("/")[-1]
        recorder.record(role, name, "sqs:SendMessage", target)
        return route(target, name, *rest)

    def emitting(function: dict[str, Any], *rest: Any, **options: Any) -> Any:
        config = function.get("config") or function
        group = (config.get("LoggingConfig") or {}).get("LogGroup") or f"/aws/lambda/{config['FunctionName']}"
        for action in ("logs:CreateLogStream", "logs:PutLogEvents"):
            role = config["Role"].split("/")[-1]
            recorder.record(role, config["FunctionName"], action, f"log-group:{group}:log-stream:any")
        return emit(function, *rest, **options)

    lambda_svc._route_async_failure = routing
    lambda_svc._emit_lambda_logs = emitting
