"""Corrections of MiniStack's executions and asynchronous invocations, in the form of corrections.py."""

import json
import uuid
from typing import Any

from ministack.core.responses import json_response
from ministack.services import lambda_svc, sqs, stepfunctions

# https://docs.aws.amazon.com/lambda/latest/dg/invocation-async-retain-records.html
_ERROR_MESSAGE_BYTES = 1024


def apply_corrections() -> None:
    describe_failures_without_output()
    complete_context_object()
    time_out_without_cause()
    send_events_as_dead_letters()


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
