"""Reads every place outside the encrypted tables that may contain payment data, and searches them for markers."""

import json
import re
from collections.abc import Iterable, Iterator
from typing import Any

from scripts.operator.executions import parse_object
from tests.e2e.conftest import ENVIRONMENT, Platform

# This message names every payment method, not that of the payment.
_METHODS = "payment_method must be one of bank_transfer, credit_card, debit_card, digital_wallet"
# A metric counts payments by their method, which identifies nobody.
_DIMENSION = re.compile(r'"PaymentMethod": ?"[a-z_]+"|"Name": "PaymentMethod", "Value": "[a-z_]+"')
# Step Functions stores its own copy of the request until the validation function has it.
FIRST_STATE, _INPUT, _PARAMETERS = "ValidatePayment", "input", "parameters"

KINDS = ("log", "metric", "alarm", "notice", "letter", "execution", "history", "rule")
# The kind of a place, its name, and its whole content.
Place = tuple[str, str, str]


def collect_places(platform: Platform) -> list[Place]:
    """Return all places. This receives, and so removes, the messages of both queues."""
    entries = [
        *_read_logs(platform),
        *_read_metrics(platform),
        *_read_messages(platform),
        *_read_executions(platform),
        *_read_rules(platform),
    ]
    return [(kind, name, _DIMENSION.sub("", text.replace(_METHODS, ""))) for kind, name, text in entries]


def find_markers(markers: Iterable[str], among: Iterable[Place]) -> list[tuple[str, str, str]]:
    """Return the marker, kind and name of each place that contains a marker, in upper or lower case."""
    among = [(kind, name, text.lower()) for kind, name, text in among]
    return [(marker, kind, name) for marker in markers for kind, name, text in among if marker.lower() in text]


def read_table(platform: Platform, name: str) -> str:
    """Return the items of a table as text."""
    return json.dumps(platform.client("dynamodb").scan(TableName=name)["Items"])


def find_dead_letter_queue(platform: Platform) -> str:
    return str(platform.client("sqs").get_queue_url(QueueName=f"payment-dlq-{ENVIRONMENT}")["QueueUrl"])


def _read_logs(platform: Platform) -> Iterator[Place]:
    logs = platform.client("logs")
    for page in logs.get_paginator("describe_log_groups").paginate():
        for group in page["logGroups"]:
            name = group["logGroupName"]
            pages = logs.get_paginator("filter_log_events").paginate(logGroupName=name)
            yield "log", name, "\n".join(event["message"] for page in pages for event in page["events"])


def _read_metrics(platform: Platform) -> Iterator[Place]:
    cloudwatch = platform.client("cloudwatch")
    for page in cloudwatch.get_paginator("list_metrics").paginate():
        for metric in page["Metrics"]:
            yield "metric", metric["MetricName"], json.dumps(metric)
    for alarm in cloudwatch.describe_alarms()["MetricAlarms"]:
        yield "alarm", alarm["AlarmName"], json.dumps(alarm, default=str)


def _read_messages(platform: Platform) -> Iterator[Place]:
    sqs = platform.client("sqs")
    for kind, url in (("notice", platform.notices_url), ("letter", find_dead_letter_queue(platform))):
        for message in _receive_messages(sqs, url):
            attributes, content = message.get("MessageAttributes", {}), parse_object(message["Body"])
            content.pop("Signature", None)
            # Of a failed event, only what Lambda adds is searched: the event is what the caller sent.
            added = json.dumps(attributes) if "RequestID" in attributes else json.dumps([attributes, content])
            yield kind, message["MessageId"], added


def _receive_messages(sqs: Any, url: str) -> Iterator[Any]:
    """Receive and delete all messages of a queue, and yield them with their attributes."""
    request = {"QueueUrl": url, "MaxNumberOfMessages": 10, "WaitTimeSeconds": 1, "MessageAttributeNames": ["All"]}
    while messages := sqs.receive_message(**request).get("Messages"):
        for message in messages:
            yield message
            sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])


def _read_executions(platform: Platform) -> Iterator[Place]:
    """Yield the result of each execution, and its history, which the workflow's log repeats.

    The input of the execution and of the validation function is left out: Step Functions encrypts both with the
    customer's key, and the log contains neither while ``IncludeExecutionData`` is off.
    """
    stepfunctions = platform.client("stepfunctions")
    for machine in stepfunctions.list_state_machines()["stateMachines"]:
        listed = stepfunctions.get_paginator("list_executions").paginate(stateMachineArn=machine["stateMachineArn"])
        for execution in (entry for page in listed for entry in page["executions"]):
            arn = execution["executionArn"]
            described = stepfunctions.describe_execution(executionArn=arn)
            description = {name: described.get(name) for name in ("name", "status", "error", "cause", "output")}
            yield "execution", arn, json.dumps(description)
            pages = stepfunctions.get_paginator("get_execution_history").paginate(executionArn=arn)
            events = [event for page in pages for event in page["events"]]
            yield "history", arn, "\n".join(json.dumps(event, default=str) for event in _omit_request(events))


def _omit_request(events: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    validating = True
    for event in events:
        # After the validation, no state receives or returns the request. On AWS, the parameters of the function that
        # records a failure contain it; the AWS emulator stores no parameters.
        validating = validating and event.get("stateEnteredEventDetails", {}).get("name", FIRST_STATE) == FIRST_STATE
        for name, details in event.items():
            if validating and isinstance(details, dict):
                event[name] = {key: value for key, value in details.items() if key not in (_INPUT, _PARAMETERS)}
        yield event


def _read_rules(platform: Platform) -> Iterator[Place]:
    events = platform.client("events")
    for rule in events.list_rules()["Rules"]:
        yield "rule", rule["Name"], json.dumps([rule, events.list_targets_by_rule(Rule=rule["Name"])["Targets"]])
