"""The status and the outputs of an environment."""

import json
import subprocess
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.deployer.aws.cloudformation import CloudFormation as Service
from tests.deployer.conftest import Command, add_platform, assert_golden

NAME = "payment-platform-dev"


def test_the_status_shows_stacks_drift_and_alarms(command: Command, aws: Service) -> None:
    stack = add_platform(aws)
    stack.nested["Data"].drift = "DRIFTED"
    aws.alarms["alarm-sfn-failures-dev"] = "ALARM"
    result = command("dev", "--drift", script="status", code=2)
    assert result.stderr == ""
    assert_golden("status.txt", result.stdout)
    # The detection of a root stack does not include its nested stacks.
    assert len(aws.find_requests("DetectStackDrift")) == 6
    assert aws.find_writes() == []


def test_the_status_of_a_healthy_environment_ends_with_0(command: Command, aws: Service) -> None:
    add_platform(aws)
    result = command("dev", "--json", script="status")
    status = json.loads(result.stdout)
    assert (result.code, len(status["stacks"]), set(status["alarms"].values())) == (0, 6, {"OK"})


HEARTBEAT = "alarm-reconciliation-heartbeat-dev"
# Three periods of five minutes, as in the template, and two minutes.
FIRST_HEARTBEAT = timedelta(minutes=17)


def add_silent_platform(aws: Service, age: timedelta, **members: Any) -> datetime:
    """Deploy a platform whose monitoring stack has this age, without heartbeats; return when the first one is due."""
    monitoring = add_platform(aws).nested["Monitoring"]
    monitoring.created = datetime.now(UTC) - age
    properties = monitoring.resources["ReconciliationHeartbeatAlarm"]["Properties"]
    copied = ("Period", "EvaluationPeriods", "TreatMissingData")
    aws.alarm_members[HEARTBEAT] = {name: properties[name] for name in copied} | members
    aws.alarms[HEARTBEAT] = "ALARM"
    return monitoring.created + FIRST_HEARTBEAT


def test_no_heartbeat_is_no_failure_before_the_first_one_is_due(command: Command, aws: Service) -> None:
    due_at = add_silent_platform(aws, FIRST_HEARTBEAT - timedelta(minutes=5))
    lines = command("dev", script="status", code=0).stdout.splitlines()
    assert f"{HEARTBEAT} is in ALARM: no heartbeat yet; the first is expected by {due_at:%H:%M} UTC" in lines
    status = json.loads(command("dev", "--json", script="status", code=0).stdout)
    assert (status["first_heartbeats"], status["alarms"][HEARTBEAT]) == ({HEARTBEAT: due_at.isoformat()}, "ALARM")
    # Of every other alarm it is.
    aws.alarms["alarm-sfn-failures-dev"] = "ALARM"
    assert "! alarm-sfn-failures-dev is in ALARM\n" in command("dev", script="status", code=2).stdout


@pytest.mark.parametrize(
    ("age", "members"),
    [
        (FIRST_HEARTBEAT + timedelta(seconds=1), {}),
        # Such an alarm does not ring for lack of data, so that somebody or something else has set it off.
        (timedelta(), {"TreatMissingData": "notBreaching"}),
        (timedelta(), {"WarmUpConfiguration": {"WarmUpPeriodDurationInMinutes": 30}}),
    ],
)
def test_a_missing_heartbeat_is_a_failure_afterwards(
    command: Command, aws: Service, age: timedelta, members: dict[str, Any]
) -> None:
    add_silent_platform(aws, age, **members)
    assert f"! {HEARTBEAT} is in ALARM\n" in command("dev", script="status", code=2).stdout


@pytest.mark.parametrize(("state", "code"), [("UPDATE_ROLLBACK_FAILED", 2), ("UPDATE_IN_PROGRESS", 0)])
def test_the_status_names_an_artifacts_stack_that_can_take_no_update(
    command: Command, aws: Service, state: str, code: int
) -> None:
    add_platform(aws)
    assert "payment-artifacts" not in command("dev", script="status", code=0).stdout
    (artifacts,) = [stack for stack in aws.stacks.values() if stack.name == "payment-artifacts"]
    artifacts.status = state
    (line,) = [
        line for line in command("dev", script="status", code=code).stdout.splitlines() if "payment-artifacts" in line
    ]
    assert line.startswith(f"payment-artifacts is {state}: ")
    assert json.loads(command("dev", "--json", script="status", code=code).stdout)["artifacts"] == state


@pytest.mark.parametrize(
    ("script", "message"),
    [
        ("status", f"status: {NAME} is not deployed; deploy it with scripts/deploy.sh dev\n"),
        ("outputs", f"outputs: {NAME} is not deployed; deploy it with scripts/deploy.sh dev\n"),
    ],
)
def test_an_environment_that_is_not_deployed_is_reported(
    command: Command, aws: Service, script: str, message: str
) -> None:
    assert command("dev", script=script, code=1).stderr == message


def test_the_outputs_are_printed_in_every_format(command: Command, aws: Service) -> None:
    add_platform(aws)
    table = command("dev", script="outputs").stdout
    assert "SnsTopicName                            sns-payment-notifications-dev\n" in table
    assert command("dev", "SnsTopicName", script="outputs").stdout == "sns-payment-notifications-dev\n"
    assert json.loads(command("dev", "--format", "json", script="outputs").stdout)["Region"] == "eu-west-1"
    shell = command("dev", "--format", "env", script="outputs").stdout
    sourced = subprocess.run(
        ["bash", "-c", f"{shell}\necho $SNS_TOPIC_NAME"], capture_output=True, text=True, check=True
    )
    assert sourced.stdout == "sns-payment-notifications-dev\n"
    wrong = command("dev", "Nope", script="outputs", code=1)
    assert wrong.stderr == f"outputs: {NAME} has no output Nope; see scripts/outputs.sh dev\n"
