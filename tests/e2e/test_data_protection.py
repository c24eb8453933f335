"""No data that identifies a customer or a card is in a log, metric, notification, dead letter or error message.

The tests run payments with markers through every scenario, with functions that log at DEBUG, and then search every
place for the markers. Only the payments table, which is encrypted, may contain them. The same applies to fingerprints
of requests, plain or keyed, and to their salts, because all amounts can be tried. Two places are not searched, because
the platform does not write them:

- The input of an execution, and its copies in the history. Step Functions encrypts both with the customer's key and
  logs them only with ``WorkflowLogExecutionData``, which is off here, as in production. The AWS emulator writes no
  workflow log; AWS logs the history without them, and the history is searched.
- The event in a dead letter that Lambda writes, which is what the caller sent. Only three callers may invoke a
  function: the workflow and operators, which wait for the answer, and the schedule, whose event contains no payment.
  The error that Lambda adds is searched.

Ids of payments may appear anywhere, so an id that looks like a card number is refused.
"""

import json
import os
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from scripts.local import server, target
from tests.e2e import marked
from tests.e2e.conftest import TOPIC_ARN, Platform, deploy_platform
from tests.e2e.marked import FINGERPRINT_DIGITS, MARKS, SENT_MARKS, Sender, run_scenarios, run_stripe_scenarios
from tests.e2e.places import KINDS, Place, collect_places, find_dead_letter_queue, find_markers, read_table
from tests.payments.stripe_server import Stripe, serve_stripe

pytestmark = pytest.mark.e2e

PLANTED = "planted-on-purpose"


@pytest.fixture(scope="module")
def stripe() -> Stripe:
    stripe = Stripe()
    stripe.api_key = marked.API_KEY
    # The marked amounts are higher than Stripe accepts.
    stripe.maximum = 10**12
    return stripe


@pytest.fixture(scope="module")
def platform(stripe: Stripe) -> Iterator[Platform]:
    with serve_stripe(stripe) as url, server.run_server(wait_scale=0.005) as running:
        to = target.emulator_target(running, GATEWAY_URL=url)
        assert to.runtime is not None
        # The AWS emulator does not pass the log level to the functions.
        loud = tuple((name, text.replace(b"=INFO", b"=DEBUG"), mode) for name, text, mode in to.runtime.files)
        yield deploy_platform(
            replace(to, runtime=replace(to.runtime, files=loud)),
            WorkflowLogExecutionData="false",
            FunctionLogLevel="DEBUG",
            MaximumAmounts="USD=90000000",
            HighValueAmounts="USD=88000000",
        )


@pytest.fixture(autouse=True)
def _clean_up_after_earlier_tests() -> None:
    """Keep the messages in the queues, because the tests search them."""


@pytest.fixture(scope="module")
def sender(platform: Platform, stripe: Stripe) -> Sender:
    """Return a sender that has run every scenario."""
    send = Sender(platform)
    run_scenarios(send)
    secrets = platform.client("secretsmanager")
    secret = secrets.create_secret(Name="gateway", SecretString=json.dumps({"api_key": marked.API_KEY}))
    platform.deploy(Gateway="stripe", GatewaySecretArn=secret["ARN"])
    run_stripe_scenarios(send, stripe)
    return send


@pytest.fixture(scope="module")
def searched(sender: Sender) -> list[Place]:
    """Return every place, with a planted marker in one place of each kind."""
    plant(sender.platform)
    return collect_places(sender.platform)


@pytest.fixture(scope="module")
def fingerprints(sender: Sender) -> set[str]:
    """Return the first digits of the plain and of the recorded fingerprints, and the salts."""
    dynamodb, name = sender.platform.client("dynamodb"), sender.platform.outputs["DynamodbTableName"]
    items = [item for page in dynamodb.get_paginator("scan").paginate(TableName=name) for item in page["Items"]]
    recorded = {item["fingerprint"]["S"][:FINGERPRINT_DIGITS] for item in items}
    salts = {item["salt"]["S"] for item in items if "salt" in item}
    assert salts
    return sender.fingerprints | recorded | salts


@pytest.fixture(scope="module")
def inputs(sender: Sender) -> str:
    """Return the inputs of all executions."""
    stepfunctions = sender.platform.client("stepfunctions")
    arn = sender.platform.outputs["StepFunctionsStateMachineArn"]
    pages = stepfunctions.get_paginator("list_executions").paginate(stateMachineArn=arn)
    arns = [execution["executionArn"] for page in pages for execution in page["executions"]]
    return "\n".join(stepfunctions.describe_execution(executionArn=arn)["input"] for arn in arns)


def plant(platform: Platform) -> None:
    logs, stepfunctions = platform.client("logs"), platform.client("stepfunctions")
    stream = {"logGroupName": platform.outputs["CloudwatchLogGroupProcessingName"], "logStreamName": "planted"}
    logs.create_log_stream(**stream)
    logs.put_log_events(**stream, logEvents=[{"timestamp": 1, "message": PLANTED}])
    metric = {"MetricName": "planted", "Dimensions": [{"Name": "customer", "Value": PLANTED}]}
    platform.client("cloudwatch").put_metric_data(Namespace="planted", MetricData=[metric | {"Value": 1}])
    platform.client("cloudwatch").put_metric_alarm(
        **metric,
        **{"AlarmName": "planted", "Namespace": "planted", "Statistic": "Sum", "Period": 60, "Threshold": 1},
        **{"ComparisonOperator": "GreaterThanThreshold", "EvaluationPeriods": 1},
    )
    message = json.dumps({"customer_id": PLANTED})
    platform.client("sns").publish(TopicArn=TOPIC_ARN, Subject="planted", Message=message)
    platform.client("sqs").send_message(QueueUrl=find_dead_letter_queue(platform), MessageBody=message)
    states = {"Failed": {"Type": "Fail", "Error": "Planted", "Cause": PLANTED}}
    machine = stepfunctions.create_state_machine(
        name="planted",
        definition=json.dumps({"StartAt": "Failed", "States": states}),
        roleArn=f"arn:aws:iam::{server.ACCOUNT}:role/role-sfn-payment-workflow-local",
    )
    started = stepfunctions.start_execution(stateMachineArn=machine["stateMachineArn"])
    platform.follow(started["executionArn"])
    platform.client("events").put_rule(Name="planted", EventPattern=json.dumps({"source": [PLANTED]}))


def test_no_payment_data_is_outside_the_encrypted_tables(
    searched: list[Place], sender: Sender, fingerprints: set[str]
) -> None:
    """Failed before these were fixed: a log of the gateway's HTTP client, a currency in the reason of a rejection, ids
    that were card numbers or no ids at all, and fingerprints in states and names of executions.
    """
    markers = [*MARKS, *sorted(fingerprints)]
    leaks = find_markers(markers, searched)
    figures = {"markers": len(markers), "paths": sender.count, "places": len(searched), "leaked": len(leaks)}
    print(json.dumps(figures))
    if report := os.environ.get("MARKERS_REPORT"):
        Path(report).write_text(json.dumps(figures) + "\n", encoding="utf-8")
    assert leaks == []


def test_the_search_finds_a_planted_marker_in_every_kind_of_place(searched: list[Place]) -> None:
    assert {kind for _, kind, _ in find_markers([PLANTED], searched)} == set(KINDS)


def test_stored_payment_data_is_in_the_payments_table_and_not_in_the_ledger(
    sender: Sender, fingerprints: set[str]
) -> None:
    platform = sender.platform
    payments_table = read_table(platform, platform.outputs["DynamodbTableName"])
    for mark in (marked.CUSTOMER, marked.STRIPE_CUSTOMER, str(marked.MAJOR_UNITS), marked.METHOD):
        assert mark in payments_table
    # The table contains no unkeyed hash of a request.
    assert find_markers(sender.fingerprints, [("table", "payments", payments_table)]) == []
    ledger = read_table(platform, "dynamodb-payment-ledger-local")
    assert find_markers([*MARKS, *fingerprints], [("table", "ledger", ledger)]) == []


def test_every_marker_was_sent(inputs: str) -> None:
    assert [mark for mark in SENT_MARKS if mark not in inputs] == []


def test_every_scenario_was_run(searched: list[Place], sender: Sender) -> None:
    payments_table = read_table(sender.platform, sender.platform.outputs["DynamodbTableName"])
    for status in ("COMPLETED", "DECLINED", "REJECTED", "FAILED", "UNKNOWN", "REVIEW", "REFUNDING", "REFUNDED"):
        assert f'"status": {{"S": "{status}"}}' in payments_table
    executions = " ".join(text for kind, _, text in searched if kind == "execution")
    logs = " ".join(text for kind, _, text in searched if kind == "log")
    ways = {
        "MalformedRequest", "IdempotencyConflict", "GatewayUnavailable", "ChargeOutcomeUnknown",
        "LedgerRefused", "InternalError", "PaymentGivenUp", "States.QueryEvaluationError",
    }  # fmt: skip
    assert ways <= set(re.findall(r'"error": "([\w.]+)"', executions))
    assert [
        text for text in ("NotAllowed", "PaymentNotRecorded", "payment not reconciled", '"DEBUG"') if text not in logs
    ] == []
    # The errors of Stripe, whose messages contain a marker.
    codes = ("AuthenticationError", "RateLimitError", "APIError", "APIConnectionError", "card_declined")
    assert [code for code in codes if code not in logs + executions] == []
    # From validation and processing; reconciliation answers a refused request, which leaves no dead letter.
    assert len([text for kind, _, text in searched if kind == "letter" and '"RequestID"' in text]) == 2


@pytest.mark.usefixtures("searched")  # it plants the only rule with a pattern
def test_execution_logs_contain_no_data_and_no_rule_receives_executions(platform: Platform) -> None:
    """Only Step Functions stores the data that is not searched."""
    stacks = platform.client("cloudformation").describe_stacks()["Stacks"]
    parameters = [parameter for stack in stacks for parameter in stack.get("Parameters", [])]
    logged = [
        parameter["ParameterValue"]
        for parameter in parameters
        if parameter["ParameterKey"] == "WorkflowLogExecutionData"
    ]
    # The values of the platform and of its nested stack with the workflow.
    assert logged == ["false", "false"]
    rules = platform.client("events").list_rules()["Rules"]
    assert [rule["Name"] for rule in rules if "EventPattern" in rule] == ["planted"]
