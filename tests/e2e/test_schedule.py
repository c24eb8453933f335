"""The schedule: the deployed rule starts the state machine of reconciliation, which invokes the live function.

Its five minutes are too long to wait for, so the rule itself is told to fire every minute: the AWS emulator, which
looks every ten seconds, then fires at once if the minute is over. Everything behind it is as it was deployed.
"""

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from payments.payment import Status

from scripts.local import server
from stacks import names
from tests.e2e.conftest import ENVIRONMENT, Platform
from tests.e2e.situations import HOUR, RECONCILIATION, put_abandoned_payment, read_ledger

pytestmark = pytest.mark.e2e

RULE = names.in_environment(names.RECONCILIATION_RULE, ENVIRONMENT)
MACHINE = names.in_environment(names.RECONCILIATION_WORKFLOW, ENVIRONMENT)


@contextmanager
def sooner(platform: Platform) -> Iterator[None]:
    """The deployed rule, firing every minute."""
    events = platform.client("events")
    deployed = events.describe_rule(Name=RULE)
    assert (deployed["ScheduleExpression"], deployed["State"]) == ("rate(5 minutes)", "ENABLED")
    events.put_rule(Name=RULE, ScheduleExpression="cron(* * * * ? *)")
    try:
        yield
    finally:
        events.put_rule(Name=RULE, ScheduleExpression=deployed["ScheduleExpression"])


@contextmanager
def witness(platform: Platform) -> Iterator[str]:
    """Add a queue to the targets of the rule, which receives the events of the rule."""
    queue_url = platform.client("sqs").create_queue(QueueName="witness")["QueueUrl"]
    arn = f"arn:aws:sqs:{server.REGION}:{server.ACCOUNT}:witness"
    events = platform.client("events")
    events.put_targets(Rule=RULE, Targets=[{"Id": "witness", "Arn": arn}])
    try:
        yield queue_url
    finally:
        events.remove_targets(Rule=RULE, Ids=["witness"])


def test_the_schedule_settles_a_payment_that_a_dead_workflow_left(platform: Platform) -> None:
    """No other caller invokes the function in this test."""
    with witness(platform) as queue_url:
        transaction_id = put_abandoned_payment(platform, Status.PROCESSING, 4, HOUR)
        with sooner(platform):
            settled = wait_until_settled(platform, transaction_id)
        (message, *_) = platform.client("sqs").receive_message(QueueUrl=queue_url, WaitTimeSeconds=10)["Messages"]
    event = json.loads(message["Body"])
    assert (event["source"], event["resources"]) == (
        "aws.events",
        [f"arn:aws:events:{server.REGION}:{server.ACCOUNT}:rule/{RULE}"],
    )
    assert settled["status"] == {"S": "COMPLETED"}
    counts = wait_for_run(platform)
    assert counts["errors"] == 0
    # The version behind the alias in the rule was invoked.
    live = platform.client("lambda").get_alias(FunctionName=RECONCILIATION, Name=names.LIVE)["FunctionVersion"]
    assert read_ledger(platform, transaction_id)[-1]["actor"] == {"S": f"{RECONCILIATION}:{live}"}


def wait_for_run(platform: Platform) -> dict[str, Any]:
    """Return the output of the run that has settled something; the rule may have started others before it."""
    machine = f"arn:aws:states:{server.REGION}:{server.ACCOUNT}:stateMachine:{MACHINE}"
    stepfunctions = platform.client("stepfunctions")
    for _ in range(500):
        executions = stepfunctions.list_executions(stateMachineArn=machine)["executions"]
        for ended in (execution for execution in executions if execution["status"] != "RUNNING"):
            execution = stepfunctions.describe_execution(executionArn=ended["executionArn"])
            assert execution["status"] == "SUCCEEDED", execution
            output: dict[str, Any] = json.loads(execution["output"])
            if output["settled"]:
                return output
        time.sleep(0.2)
    raise AssertionError("no run of reconciliation has settled anything")


def wait_until_settled(platform: Platform, transaction_id: str) -> dict[str, Any]:
    for _ in range(500):
        item = platform.read_item(transaction_id)
        if item["status"] != {"S": "PROCESSING"}:
            return item
        time.sleep(0.2)
    raise AssertionError(f"{transaction_id} was not settled")
