"""Nothing that identifies a customer or a card reaches a log, a metric, a notice, a dead letter or a failure's words.

Marked payments go every way that there is, with functions that log all they can; then every place is searched for the
marks. They are in the table of payments, under its key, and nowhere else. Nor is a fingerprint of a request, plain
or keyed, or the salt of one: amounts are few enough to try them all. Two places are left out of the search, for no
word in them is ours:

- an execution's input, and what its history repeats of it. Step Functions keeps both under the customer's key and logs
  them only with ``WorkflowLogExecutionData``, which is off here, as in production. The AWS emulator writes no log of a
  workflow; AWS writes the history without these, and that is searched.
- the event in a dead letter that Lambda itself writes. It is whatever was sent; nobody may invoke a function but the
  workflow, which waits for the answer, operators, who do, and the schedule, whose event has no payment in it. What
  Lambda says of the failure is searched.

Ids of payments may be read anywhere; so an id that looks like a card number is refused.
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
from tests.e2e.conftest import TOPIC_ARN, Platform, deployed
from tests.e2e.marked import FINGERPRINT_DIGITS, MARKS, SENT_MARKS, Sender, every_way, every_way_of_stripe
from tests.e2e.places import KINDS, Place, letters_url, places, search, table
from tests.payments.stripe_server import Stripe, serve_stripe

pytestmark = pytest.mark.e2e

PLANTED = "planted-on-purpose"


@pytest.fixture(scope="module")
def stripe() -> Stripe:
    stripe = Stripe()
    stripe.api_key = marked.API_KEY
    # The marked amounts are longer than Stripe takes.
    stripe.maximum = 10**12
    return stripe


@pytest.fixture(scope="module")
def platform(stripe: Stripe) -> Iterator[Platform]:
    with serve_stripe(stripe) as url, server.run_server(wait_scale=0.005) as running:
        to = target.emulator_target(running, GATEWAY_URL=url)
        assert to.runtime is not None
        # The AWS emulator does not hand the level on.
        loud = tuple((name, text.replace(b"=INFO", b"=DEBUG"), mode) for name, text, mode in to.runtime.files)
        yield deployed(
            replace(to, runtime=replace(to.runtime, files=loud)),
            WorkflowLogExecutionData="false",
            FunctionLogLevel="DEBUG",
            MaximumAmounts="USD=90000000",
            HighValueAmounts="USD=88000000",
        )


@pytest.fixture(autouse=True)
def _clean_up_after_earlier_tests() -> None:
    """They are searched: what was sent to them stays, in whichever order the tests run."""


@pytest.fixture(scope="module")
def sender(platform: Platform, stripe: Stripe) -> Sender:
    """Who has sent everything, every way."""
    send = Sender(platform)
    every_way(send)
    secrets = platform.client("secretsmanager")
    secret = secrets.create_secret(Name="gateway", SecretString=json.dumps({"api_key": marked.API_KEY}))
    platform.deploy(Gateway="stripe", GatewaySecretArn=secret["ARN"])
    every_way_of_stripe(send, stripe)
    return send


@pytest.fixture(scope="module")
def searched(sender: Sender) -> list[Place]:
    """Every place, with something planted in one of each kind."""
    plant(sender.platform)
    return places(sender.platform)


@pytest.fixture(scope="module")
def fingerprints(sender: Sender) -> set[str]:
    """The first digits of fingerprints, plain and as recorded, and the salts."""
    dynamodb, name = sender.platform.client("dynamodb"), sender.platform.outputs["DynamodbTableName"]
    items = [item for page in dynamodb.get_paginator("scan").paginate(TableName=name) for item in page["Items"]]
    recorded = {item["fingerprint"]["S"][:FINGERPRINT_DIGITS] for item in items}
    salts = {item["salt"]["S"] for item in items if "salt" in item}
    assert salts
    return sender.fingerprints | recorded | salts


@pytest.fixture(scope="module")
def inputs(sender: Sender) -> str:
    """The requests as they came in."""
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
    platform.client("sqs").send_message(QueueUrl=letters_url(platform), MessageBody=message)
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
    """Seen to fail, before these were mended, by a log of what sends the gateway's requests, by a currency in a reason
    to reject, by ids that were card numbers, or no ids at all, and by fingerprints in states and names of executions.
    """
    markers = [*MARKS, *sorted(fingerprints)]
    leaks = search(markers, searched)
    figures = {"markers": len(markers), "paths": sender.ways, "places": len(searched), "leaked": len(leaks)}
    print(json.dumps(figures))
    if report := os.environ.get("MARKERS_REPORT"):
        Path(report).write_text(json.dumps(figures) + "\n", encoding="utf-8")
    assert leaks == []


def test_the_search_finds_a_planted_marker_in_every_kind_of_place(searched: list[Place]) -> None:
    assert {kind for _, kind, _ in search([PLANTED], searched)} == set(KINDS)


def test_stored_payment_data_is_in_the_payments_table_and_not_in_the_ledger(
    sender: Sender, fingerprints: set[str]
) -> None:
    platform = sender.platform
    payments_table = table(platform, platform.outputs["DynamodbTableName"])
    for mark in (marked.CUSTOMER, marked.STRIPE_CUSTOMER, str(marked.MAJOR_UNITS), marked.METHOD):
        assert mark in payments_table
    # A hash without a key is recorded no more.
    assert search(sender.fingerprints, [("table", "payments", payments_table)]) == []
    ledger = table(platform, "dynamodb-payment-ledger-local")
    assert search([*MARKS, *fingerprints], [("table", "ledger", ledger)]) == []


def test_every_marker_was_sent(inputs: str) -> None:
    assert [mark for mark in SENT_MARKS if mark not in inputs] == []


def test_every_scenario_was_run(searched: list[Place], sender: Sender) -> None:
    payments_table = table(sender.platform, sender.platform.outputs["DynamodbTableName"])
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
    # Stripe's own, whose messages are marked.
    codes = ("AuthenticationError", "RateLimitError", "APIError", "APIConnectionError", "card_declined")
    assert [code for code in codes if code not in logs + executions] == []
    # Of validation and processing; reconciliation answers what it refuses, so that leaves none.
    assert len([text for kind, _, text in searched if kind == "letter" and "requestContext" in text]) == 2


@pytest.mark.usefixtures("searched")  # it plants the one rule that there is
def test_execution_logs_contain_no_data_and_no_rule_receives_executions(platform: Platform) -> None:
    """What is left out of the search is kept by nobody but Step Functions."""
    stacks = platform.client("cloudformation").describe_stacks()["Stacks"]
    parameters = [parameter for stack in stacks for parameter in stack.get("Parameters", [])]
    logged = [
        parameter["ParameterValue"]
        for parameter in parameters
        if parameter["ParameterKey"] == "WorkflowLogExecutionData"
    ]
    # Of the platform, and of its nested stack with the workflow.
    assert logged == ["false", "false"]
    rules = platform.client("events").list_rules()["Rules"]
    assert [rule["Name"] for rule in rules if "EventPattern" in rule] == ["planted"]
