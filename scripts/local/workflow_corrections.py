"""Corrections of MiniStack's executions and asynchronous invocations, in the form of corrections.py."""

import contextvars
import json
import threading
import uuid
from collections.abc import Callable
from datetime import datetime
from typing import Any

from ministack.core.responses import error_response_json, get_account_id, get_region, json_response, now_iso
from ministack.services import cloudwatch_logs, lambda_svc, sqs, stepfunctions

# https://docs.aws.amazon.com/lambda/latest/dg/invocation-async-retain-records.html
_ERROR_MESSAGE_BYTES = 1024


def apply_corrections() -> None:
    describe_failures_without_output()
    complete_context_object()
    time_out_without_cause()
    send_events_as_dead_letters()
    run_express_executions()
    refuse_calls_on_express_executions()
    log_express_executions()


def describe_failures_without_output() -> None:
    """On AWS only an execution that succeeded has an output. MiniStack describes the error and cause as the output.

    https://docs.aws.amazon.com/step-functions/latest/apireference/API_DescribeExecution.html
    """
    describe = stepfunctions._describe_execution

    def describe_execution(request: dict[str, Any]) -> Any:
        answer = describe(request)
        description = json.loads(answer[2])
        if description.get("status", "SUCCEEDED") == "SUCCEEDED":
            return answer
        del description["output"], description["outputDetails"]
        return json_response(description)

    stepfunctions._describe_execution = describe_execution


def complete_context_object() -> None:
    """On AWS the context object has the role of the execution and its count of redrives, which the workflow reads.

    MiniStack leaves out both, and gives a Pass state the count of retries, which on AWS only a task has. It cannot
    redrive an execution, so the count is 0.
    https://docs.aws.amazon.com/step-functions/latest/dg/input-output-contextobject.html
    """
    evaluate, execute_pass = stepfunctions._evaluate_jsonata, stepfunctions._execute_pass

    def evaluate_with_context(
        expression: str, data: Any, context: dict[str, Any] | None = None, *states: Any, **named_states: Any
    ) -> Any:
        if context and "Execution" in context:
            role = stepfunctions._state_machines[context["StateMachine"]["Id"]]["roleArn"]
            context["Execution"] |= {"RoleArn": role, "RedriveCount": 0}
        return evaluate(expression, data, context, *states, **named_states)

    def execute_pass_without_retries(state: dict[str, Any], data: Any, context: dict[str, Any] | None = None) -> Any:
        if context:
            context["State"].pop("RetryCount", None)
        return execute_pass(state, data, context)

    stepfunctions._evaluate_jsonata = evaluate_with_context
    stepfunctions._execute_pass = execute_pass_without_retries


def time_out_without_cause() -> None:
    """On AWS a task that is over its time limit fails without a cause. MiniStack words one.

    Recorded on 2024-11-28: tests/conformance/facts.yaml.
    """
    invoke = stepfunctions._invoke_resource_with_timeout

    def invoke_resource(*arguments: Any) -> Any:
        try:
            return invoke(*arguments)
        except stepfunctions._ExecutionError as error:
            if error.error != "States.Timeout":
                raise
            raise stepfunctions._ExecutionError(error.error, "") from None

    stepfunctions._invoke_resource_with_timeout = invoke_resource


def send_events_as_dead_letters() -> None:
    """On AWS the dead letter of a function is the event, with the error in attributes of the message.

    MiniStack sends the record that AWS sends to a destination.
    https://docs.aws.amazon.com/lambda/latest/dg/invocation-async-retain-records.html
    """
    route = lambda_svc._route_async_failure

    def route_failure(target: str, name: str, event: dict[str, Any], result: dict[str, Any]) -> None:
        configuration = lambda_svc._functions.get(name, {}).get("config", {})
        dead_letters = (configuration.get("DeadLetterConfig") or {}).get("TargetArn")
        if target != dead_letters or ":sqs:" not in target or sqs._queue_by_arn(target) is None:
            route(target, name, event, result)
            return
        failure = result["body"] if isinstance(result.get("body"), dict) else {}
        message = str(failure.get("errorMessage", "")).encode()[:_ERROR_MESSAGE_BYTES].decode(errors="ignore")
        texts = {"RequestID": str(failure.get("requestId") or uuid.uuid4()), "ErrorMessage": message}
        attributes = {key: {"DataType": "String", "StringValue": text} for key, text in texts.items() if text}
        attributes["ErrorCode"] = {"DataType": "Number", "StringValue": "200"}
        letter = {"MessageBody": json.dumps(event), "MessageAttributes": attributes}
        sqs._act_send_message(letter, sqs._queue_by_arn(target)["url"])

    lambda_svc._route_async_failure = route_failure


def run_express_executions() -> None:
    """On AWS each start of an Express workflow is an execution with an ARN of its own, whatever its name.

    MiniStack refuses a name that was used, gives the ARN of a Standard execution, and announces it on EventBridge.
    https://docs.aws.amazon.com/step-functions/latest/dg/express-at-least-once-execution.html
    https://docs.aws.amazon.com/service-authorization/latest/reference/list_awsstepfunctions.html
    """
    start_standard = stepfunctions._start_execution

    def start_execution(request: dict[str, Any]) -> Any:
        machine = stepfunctions._state_machines.get(request.get("stateMachineArn", ""))
        if machine is None or machine["type"] != "EXPRESS":
            return start_standard(request)
        name = request.get("name") or str(uuid.uuid4())
        arn = f"arn:aws:states:{get_region()}:{get_account_id()}:express:{machine['name']}:{name}:{uuid.uuid4()}"
        text, started_at = request.get("input", "{}"), now_iso()
        execution = {
            **{"executionArn": arn, "stateMachineArn": machine["stateMachineArn"], "name": name, "status": "RUNNING"},
            **{"startDate": started_at, "stopDate": None, "input": text, "output": None, "events": []},
            **{"testCase": "", "mockAttempts": {}},
            # MiniStack's mark of executions that EventBridge does not announce.
            "sync": True,
        }
        stepfunctions._executions[arn] = execution
        details = {"input": text, "roleArn": machine["roleArn"]}
        stepfunctions._add_event(execution, "ExecutionStarted", {"executionStartedEventDetails": details})
        stepfunctions._emit_execution_status_event(execution)
        run = contextvars.copy_context().run
        threading.Thread(target=run, args=(stepfunctions._run_execution, arn), daemon=True).start()
        return json_response({"executionArn": arn, "startDate": started_at})

    stepfunctions._start_execution = start_execution


def refuse_calls_on_express_executions() -> None:
    """On AWS no call describes, lists or stops Express executions. MiniStack answers as for Standard ones.

    The service model says of each that it is not supported by EXPRESS state machines; the wording of the refusal of an
    ARN is not documented.
    https://docs.aws.amazon.com/step-functions/latest/apireference/API_DescribeExecution.html
    https://docs.aws.amazon.com/step-functions/latest/apireference/API_ListExecutions.html
    """

    def refuse_express(call: Callable[[dict[str, Any]], Any]) -> Callable[[dict[str, Any]], Any]:
        def answer(request: dict[str, Any]) -> Any:
            if ":express:" in str(request.get("executionArn")):
                message = "Invalid Arn: 'Resource type not valid in this context: express'"
                return error_response_json("InvalidArn", message, 400)
            return call(request)

        return answer

    for name in ("_describe_execution", "_get_execution_history", "_stop_execution"):
        setattr(stepfunctions, name, refuse_express(getattr(stepfunctions, name)))
    list_standard = stepfunctions._list_executions

    def list_executions(request: dict[str, Any]) -> Any:
        machine = stepfunctions._state_machines.get(request.get("stateMachineArn", ""), {})
        if machine.get("type") == "EXPRESS":
            message = "This operation is not supported by this type of state machine"
            return error_response_json("StateMachineTypeNotSupported", message, 400)
        return list_standard(request)

    stepfunctions._list_executions = list_executions


# What the levels below ALL log. https://docs.aws.amazon.com/step-functions/latest/dg/cw-logs.html
_FATAL = {"ExecutionAborted", "ExecutionFailed", "ExecutionTimedOut"}
_ERRORS = _FATAL | {"EvaluationFailed", "FailStateEntered", "TaskFailed", "TaskSubmitFailed", "TaskTimedOut"}


def log_express_executions() -> None:
    """On AWS the log of an Express workflow is the only history of its executions. MiniStack writes none.

    https://docs.aws.amazon.com/step-functions/latest/dg/cw-logs.html
    """
    add = stepfunctions._add_event

    def add_and_log(execution: dict[str, Any], kind: str, details: dict[str, Any] | None = None) -> Any:
        event = add(execution, kind, details)
        if ":express:" in execution["executionArn"]:
            machine = stepfunctions._state_machines.get(execution["stateMachineArn"], {})
            _log_event(_as_in_calls(machine.get("loggingConfiguration", {})), execution, event)
        return event

    stepfunctions._add_event = add_and_log


def _as_in_calls(value: Any) -> Any:
    """Return a configuration with the keys of CreateStateMachine; MiniStack keeps those of a template."""
    if isinstance(value, dict):
        return {key[0].lower() + key[1:]: _as_in_calls(item) for key, item in value.items()}
    return [_as_in_calls(item) for item in value] if isinstance(value, list) else value


def _log_event(configuration: dict[str, Any], execution: dict[str, Any], event: dict[str, Any]) -> None:
    """Write an event to the log group of a state machine with this logging configuration."""
    level = configuration.get("level", "OFF")
    if event["type"] not in {"OFF": set(), "FATAL": _FATAL, "ERROR": _ERRORS}.get(level, {event["type"]}):
        return
    details: dict[str, Any] = next((value for name, value in event.items() if name.endswith("EventDetails")), {})
    if str(configuration.get("includeExecutionData")).lower() != "true":
        details = {name: value for name, value in details.items() if name not in ("input", "output", "parameters")}
    moment = int(datetime.fromisoformat(event["timestamp"]).timestamp() * 1000)
    line = {
        "id": str(event["id"]),
        "type": event["type"],
        "details": details,
        "previous_event_id": str(event["id"] - 1),
        "event_timestamp": str(moment),
        "execution_arn": execution["executionArn"],
        "redrive_count": "0",
    }
    group = configuration["destinations"][0]["cloudWatchLogsLogGroup"]["logGroupArn"].split(":")[6]
    stream = {"logGroupName": group, "logStreamName": f"states/{execution['executionArn'].split(':')[6]}"}
    cloudwatch_logs._create_log_stream(stream)
    cloudwatch_logs._put_log_events(stream | {"logEvents": [{"timestamp": moment, "message": json.dumps(line)}]})
