"""What this run's payments leave to read: log lines of the functions, the log of the workflow, X-Ray traces."""

import json
from collections.abc import Iterator

from scripts.operator import logs
from stacks import names

from .place import Place
from .results import Check, Failed, Skipped, run
from .samples import samples

GROUP = "traces"
# Log lines arrive within seconds, traces within a minute, mostly.
LOG_SECONDS = 60
TRACE_SECONDS = 120


def checks(place: Place) -> Iterator[Check]:
    if not place.executions:
        yield run(GROUP, "log lines, workflow log, X-Ray traces", _no_payments)
        return
    for function in ("validation", "processing"):
        yield run(GROUP, f"log of {function}", _lines, place, function)
    yield run(GROUP, "workflow log", _workflow_log, place)
    yield run(GROUP, "X-Ray traces", _traces, place)


def _no_payments() -> str:
    raise Skipped("no payment of this run was started")


def _lines(place: Place, function: str) -> str:
    sample = samples(place.settings)[0]
    transaction_id = sample.request(place.run_name)["transaction_id"]

    def probe() -> list[logs.LogLine]:
        lines = logs.read_lines(place.platform, place.started_at - 60, transaction_id)
        return [line for line in lines if line.function == function]

    lines = place.wait(probe, LOG_SECONDS)
    group = place.named(logs.GROUPS[function])
    if not lines:
        raise Failed(
            f"no line of {transaction_id} in {group} within {LOG_SECONDS} s; see LogStreamsAreNamedByLambda of "
            f"role-lambda-{function}-{place.environment}, and the policy of {place.named(names.LOGS_KEY_ALIAS)}"
        )
    return f"{len(lines)} lines of {transaction_id}"


def _workflow_log(place: Place) -> str:
    place.check_gap("workflow log")
    if place.settings["WorkflowLogLevel"] == "OFF":
        raise Skipped("the settings turn it off: workflow_log_level")
    # A level below ALL has only what failed.
    name = "failed" if place.settings["WorkflowLogLevel"] != "ALL" else samples(place.settings)[0].name
    if name not in place.executions:
        raise Skipped(f"the level {place.settings['WorkflowLogLevel']} logs failures only, and none can be asked for")
    arn, group = place.executions[name], place.named(names.WORKFLOW_LOG_GROUP)

    def probe() -> list[str]:
        pages = (
            place.client("logs")
            .get_paginator("filter_log_events")
            .paginate(logGroupName=group, filterPattern=f'"{arn}"', startTime=int((place.started_at - 60) * 1000))
        )
        return [event["message"] for page in pages for event in page["events"]]

    lines = place.wait(probe, LOG_SECONDS)
    if not lines:
        raise Failed(
            f"no event of {name} in {group} within {LOG_SECONDS} s; see LogDeliveryHasNoResource and "
            f"UseWorkflowKeyForLogDelivery of {place.named(names.WORKFLOW_ROLE)}, and the log group's resource policy"
        )
    has_input = any("input" in json.loads(line).get("details", {}) for line in lines)
    if has_input and place.settings["WorkflowLogExecutionData"] != "true":
        raise Failed(f"{group} has the input of executions, which the settings keep out")
    return f"{len(lines)} events of {name}"


def _traces(place: Place) -> str:
    """https://docs.aws.amazon.com/xray/latest/api/API_BatchGetTraces.html"""
    place.check_gap("X-Ray traces")
    sample = samples(place.settings)[0]
    trace = place.traces[sample.name]
    needed = {place.named(name) for name in (names.WORKFLOW, names.VALIDATION_FUNCTION, names.PROCESSING_FUNCTION)}
    if sample.status == "REJECTED":
        needed.discard(place.named(names.PROCESSING_FUNCTION))

    def segments() -> set[str]:
        answer = place.client("xray").batch_get_traces(TraceIds=[trace])
        documents = [json.loads(segment["Document"]) for trace in answer["Traces"] for segment in trace["Segments"]]
        # A function that is invoked by its alias may be named with it.
        return {str(document.get("name")).split(":")[0] for document in documents}

    seen: set[str] = set()

    def probe() -> bool:
        seen.update(segments())
        return needed <= seen

    if not place.wait(probe, TRACE_SECONDS):
        raise Failed(
            f"no segment of {', '.join(sorted(needed - seen))} in trace {trace} within {TRACE_SECONDS} s; see "
            "TracingHasNoResource of its role"
        )
    return f"trace {trace} with segments of {', '.join(sorted(needed))}"
