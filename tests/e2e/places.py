"""Every place beside the encrypted tables where something of a payment may be read, and a search through them."""

import json
import re
from collections.abc import Iterable, Iterator
from typing import Any

from scripts.demo.subscriber import receive_objects
from tests.e2e.conftest import ENVIRONMENT, Platform

# Names every payment method, whatever the payment's is.
_METHODS = "payment_method must be one of bank_transfer, credit_card, debit_card, digital_wallet"
# A metric counts payments by their method: a kind, which identifies nobody.
_DIMENSION = re.compile(r'"PaymentMethod": ?"[a-z_]+"|"Name": "PaymentMethod", "Value": "[a-z_]+"')
# Where Step Functions keeps its own copy of the request as it came in: on the way to the validation function.
FIRST_STATE, _INPUT, _PARAMETERS = "ValidatePayment", "input", "parameters"

KINDS = ("log", "metric", "alarm", "notice", "letter", "execution", "history", "rule")
# A kind of place, which one it is, and all that stands in it.
Place = tuple[str, str, str]


def places(platform: Platform) -> list[Place]:
    """All there are now. The messages of both queues are taken out of them."""
    entries = [*_logs(platform), *_metrics(platform), *_messages(platform), *_executions(platform), *_rules(platform)]
    return [(kind, name, _DIMENSION.sub("", text.replace(_METHODS, ""))) for kind, name, text in entries]


def search(markers: Iterable[str], among: Iterable[Place]) -> list[tuple[str, str, str]]:
    """Marker, kind and name of each place that has one, in whatever case."""
    among = [(kind, name, text.lower()) for kind, name, text in among]
    return [(marker, kind, name) for marker in markers for kind, name, text in among if marker.lower() in text]


def table(platform: Platform, name: str) -> str:
    """All that a table holds, as text."""
    return json.dumps(platform.client("dynamodb").scan(TableName=name)["Items"])


def letters_url(platform: Platform) -> str:
    return str(platform.client("sqs").get_queue_url(QueueName=f"payment-dlq-{ENVIRONMENT}")["QueueUrl"])


def _logs(platform: Platform) -> Iterator[Place]:
    logs = platform.client("logs")
    for page in logs.get_paginator("describe_log_groups").paginate():
        for group in page["logGroups"]:
            name = group["logGroupName"]
            pages = logs.get_paginator("filter_log_events").paginate(logGroupName=name)
            yield "log", name, "\n".join(event["message"] for page in pages for event in page["events"])


def _metrics(platform: Platform) -> Iterator[Place]:
    cloudwatch = platform.client("cloudwatch")
    for page in cloudwatch.get_paginator("list_metrics").paginate():
        for metric in page["Metrics"]:
            yield "metric", metric["MetricName"], json.dumps(metric)
    for alarm in cloudwatch.describe_alarms()["MetricAlarms"]:
        yield "alarm", alarm["AlarmName"], json.dumps(alarm, default=str)


def _messages(platform: Platform) -> Iterator[Place]:
    sqs = platform.client("sqs")
    for kind, url in (("notice", platform.notices_url), ("letter", letters_url(platform))):
        for message in receive_objects(sqs, url):
            # Of an event that failed, what Lambda says: the event itself is whatever was sent. A signature is noise.
            for name in ("requestPayload", "Signature"):
                message.pop(name, None)
            yield kind, str(message.get("MessageId", "")), json.dumps(message)


def _executions(platform: Platform) -> Iterator[Place]:
    """How each ended, and its history, which the workflow's log repeats.

    The request is left out as it came in, and as it goes to the validation function: Step Functions keeps both under
    the customer's key, and the log has neither while ``IncludeExecutionData`` is off.
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
            yield "history", arn, "\n".join(json.dumps(event, default=str) for event in _without_the_request(events))


def _without_the_request(events: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    validating = True
    for event in events:
        # Behind the validation, whether it answered or failed, no state is entered or left with the request. What goes
        # to the function that records a failure has it on AWS; the AWS emulator keeps no parameters.
        validating = validating and event.get("stateEnteredEventDetails", {}).get("name", FIRST_STATE) == FIRST_STATE
        for name, details in event.items():
            if validating and isinstance(details, dict):
                event[name] = {key: value for key, value in details.items() if key not in (_INPUT, _PARAMETERS)}
        yield event


def _rules(platform: Platform) -> Iterator[Place]:
    events = platform.client("events")
    for rule in events.list_rules()["Rules"]:
        yield "rule", rule["Name"], json.dumps([rule, events.list_targets_by_rule(Rule=rule["Name"])["Targets"]])
