"""The Express workflow: what it shares with the Standard one, its time limits, and which one receives payments."""

import json
from typing import Any

import pytest
from payments.charge import LEASE_SECONDS
from payments.ports import GATEWAY_SECONDS

from stacks import settings
from stacks.workflow.state_machine import EXPRESS, STANDARD, define_states
from tests.emitted import load_template
from tests.stacks.access import World
from tests.stacks.test_states_language import list_targets

EMITTED: dict[str, Any] = load_template("workflow")["Resources"]["ExpressWorkflow"]["Properties"]
STATES: dict[str, Any] = EMITTED["Definition"]["States"]
# https://docs.aws.amazon.com/step-functions/latest/dg/service-quotas.html
QUOTA_SECONDS = 300
OUTPUT = "StepFunctionsStateMachineArn"


def test_the_template_holds_the_definition_of_the_express_profile() -> None:
    assert json.loads(json.dumps(EMITTED["Definition"])) == define_states(EXPRESS)
    assert EMITTED["StateMachineType"] == "EXPRESS"


def test_it_has_the_states_of_the_standard_workflow_and_identifies_each_run_first() -> None:
    standard = define_states(STANDARD)["States"]
    assert {name: list_targets(state) for name, state in STATES.items() if name != "IdentifyRun"} == {
        name: list_targets(state) for name, state in standard.items()
    }
    assert (EMITTED["Definition"]["StartAt"], STATES["IdentifyRun"]["Next"]) == ("IdentifyRun", "ValidatePayment")


def test_functions_know_an_execution_by_its_run_and_never_by_its_id() -> None:
    """An execution may be restarted under the same id, so a claim under that would be everybody's."""
    ids = {
        name: state["Arguments"]["Payload"]["execution"]["id"]
        for name, state in STATES.items()
        if "FunctionName" in state.get("Arguments", {})
    }
    assert set(ids) == {"ValidatePayment", "ProcessPayment", "RecordFailure", "RecordUnsuccessful", "RecordNotice"}
    assert set(ids.values()) == {"{% $run_id %}"}
    assert "$uuid()" in STATES["IdentifyRun"]["Assign"]["run_id"]


def test_an_execution_ends_before_aws_ends_it() -> None:
    assert EMITTED["Definition"]["TimeoutSeconds"] < QUOTA_SECONDS


def test_a_payment_that_cannot_be_recorded_leaves_its_dead_letter_in_time() -> None:
    """Nothing else would tell of it. Each retrier is used up, and each call of a function times out twice."""
    total = 0.0
    for name in ("ValidatePayment", "RecordFailure", "SendToDeadLetterQueue"):
        state = STATES[name]
        calls = 2 if "FunctionName" in state["Arguments"] else 1
        # No other attempt holds a payment that is not recorded.
        retriers = [retrier for retrier in state["Retry"] if retrier["ErrorEquals"] != ["PaymentInProgress"]]
        total += calls * state["TimeoutSeconds"] + sum(map(wait_seconds, retriers))
    assert total < EMITTED["Definition"]["TimeoutSeconds"]


def test_the_time_limits_leave_the_gateway_and_the_lease_their_time() -> None:
    assert STATES["ProcessPayment"]["TimeoutSeconds"] > GATEWAY_SECONDS
    (waits,) = (r for r in STATES["ProcessPayment"]["Retry"] if r["ErrorEquals"] == ["PaymentInProgress"])
    assert wait_seconds(waits) > LEASE_SECONDS


@pytest.mark.parametrize(
    ("workflow_type", "exists", "receiver"),
    [
        ("standard", False, "sfn-payment-workflow-prod"),
        ("express", True, "sfn-payment-express-prod"),
        ("standard-after-express", True, "sfn-payment-workflow-prod"),
    ],
)
def test_the_setting_decides_which_workflow_exists_and_which_receives_payments(
    workflow_type: str, exists: bool, receiver: str
) -> None:
    """The Standard one stays in any case, so that its executions end."""
    world = World(parameters=settings.load("prod") | {"WorkflowType": workflow_type})
    assert ("Workflow/ExpressWorkflow" in world.resources) == exists
    assert "Workflow/PaymentWorkflow" in world.resources
    alarm = world.properties("Monitoring/WorkflowFailuresAlarm")
    # Alarms and dashboard watch the workflow whose ARN is the output for callers.
    (watched,) = (dimension["Value"] for dimension in alarm["Dimensions"])
    parent = load_template("parent")
    assert parent["Outputs"][OUTPUT]["Value"] == {"Fn::GetAtt": ["Workflow", "Outputs.StateMachineArn"]}
    assert watched.endswith(receiver)


def wait_seconds(retrier: dict[str, Any]) -> float:
    delays = [retrier["IntervalSeconds"] * retrier["BackoffRate"] ** n for n in range(retrier["MaxAttempts"])]
    return float(sum(min(delay, retrier.get("MaxDelaySeconds", delay)) for delay in delays))
