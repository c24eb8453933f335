"""The log lines, the workflow log and the X-Ray traces of this run's payments."""

import json
from collections.abc import Iterator

from scripts.operator import logs
from scripts.operator.execution_names import is_express
from stacks import names

from .results import Check, Failed, Skipped, Status, run_check
from .run import Run
from .samples import make_samples

GROUP = "traces"
# Mostly, log lines arrive within seconds and traces within a minute.
LOG_SECONDS = 60
TRACE_SECONDS = 120


def checks(run: Run) -> Iterator[Check]:
    if not run.executions:
        reason = "no payment of this run was started"
        yield Check(GROUP, "log lines, workflow log, X-Ray traces", Status.SKIPPED, reason)
        return
    for function in ("validation", "processing"):
        yield run_check(GROUP, f"log of {function}", _check_log_lines, run, function)
    yield run_check(GROUP, "workflow log", check_workflow_log, run)
    yield run_check(GROUP, "X-Ray traces", check_traces, run)


def _check_log_lines(run: Run, function: str) -> str:
    sample = make_samples(run.settings)[0]
    transaction_id = sample.request(run.name)["transaction_id"]

    def read_lines() -> list[logs.LogLine]:
        lines = logs.read_lines(run.platform, run.started_at - 60, transaction_id)
        return [line for line in lines if line.function == function]

    lines = run.wait_for(read_lines, LOG_SECONDS)
    group = run.resource_name(logs.GROUPS[function])
    if not lines:
        raise Failed(
            f"no line of {transaction_id} in {group} within {LOG_SECONDS} s; see LogStreamsAreNamedByLambda of "
            f"role-lambda-{function}-{run.environment}, and the policy of {run.resource_name(names.LOGS_KEY_ALIAS)}"
        )
    return f"{len(lines)} lines of {transaction_id}"


def check_workflow_log(run: Run) -> str:
    run.check_gap("workflow log")
    if run.settings["WorkflowLogLevel"] == "OFF":
        raise Skipped("the settings turn it off: workflow_log_level")
    # Levels below ALL log failures only.
    name = "failed" if run.settings["WorkflowLogLevel"] != "ALL" else make_samples(run.settings)[0].name
    if name not in run.executions:
        raise Skipped(
            f"the level {run.settings['WorkflowLogLevel']} logs failures only, and this gateway cannot simulate one"
        )
    arn, group = run.executions[name], run.resource_name(names.WORKFLOW_LOG_GROUP)

    def read_events() -> list[str]:
        pages = (
            run.client("logs")
            .get_paginator("filter_log_events")
            .paginate(logGroupName=group, filterPattern=f'"{arn}"', startTime=int((run.started_at - 60) * 1000))
        )
        return [event["message"] for page in pages for event in page["events"]]

    lines = run.wait_for(read_events, LOG_SECONDS)
    if not lines:
        raise Failed(
            f"no event of {name} in {group} within {LOG_SECONDS} s; see LogDeliveryHasNoResource and "
            f"UseWorkflowKeyForLogDelivery of {run.resource_name(names.WORKFLOW_ROLE)}, and the log group's resource "
            "policy"
        )
    has_input = any("input" in json.loads(line).get("details", {}) for line in lines)
    if has_input and run.settings["WorkflowLogExecutionData"] != "true":
        raise Failed(f"{group} has the input of executions, which the settings exclude")
    return f"{len(lines)} events of {name}"


def check_traces(run: Run) -> str:
    """https://docs.aws.amazon.com/xray/latest/api/API_BatchGetTraces.html"""
    run.check_gap("X-Ray traces")
    sample = make_samples(run.settings)[0]
    trace = run.traces[sample.name]
    receives_express = is_express(run.platform.outputs["StepFunctionsStateMachineArn"])
    workflow = names.EXPRESS_WORKFLOW if receives_express else names.WORKFLOW
    required = {run.resource_name(name) for name in (workflow, names.VALIDATION.name)}
    if sample.status != "REJECTED":
        required.add(run.resource_name(names.PROCESSING.name))

    def read_segments() -> set[str]:
        answer = run.client("xray").batch_get_traces(TraceIds=[trace])
        documents = [json.loads(segment["Document"]) for trace in answer["Traces"] for segment in trace["Segments"]]
        # The name of a function may include its alias.
        return {str(document.get("name")).split(":")[0] for document in documents}

    segments: set[str] = set()

    def has_all_segments() -> bool:
        segments.update(read_segments())
        return required <= segments

    if not run.wait_for(has_all_segments, TRACE_SECONDS):
        raise Failed(
            f"no segment of {', '.join(sorted(required - segments))} in trace {trace} within {TRACE_SECONDS} s; see "
            "TracingHasNoResource of its role"
        )
    return f"trace {trace} with segments of {', '.join(sorted(required))}"
