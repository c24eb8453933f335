"""How the interpreter and the plan behave, for each fact that concerns them.

Each function returns the values that facts.yaml has for its fact.
"""

from collections.abc import Callable
from typing import Any
from unittest.mock import patch

from scripts.common.templates import Tree
from scripts.deployer.change_set import create_change_set
from scripts.deployer.plan.model import StackChanges
from scripts.deployer.planning import compare_trees
from scripts.deployer.stack import Stack
from tests.asl import LIMIT_BYTES, Execution, Interpreter, StatesError
from tests.deployer.aws.changes import describe_property, describe_resource
from tests.deployer.aws.client import make_client
from tests.deployer.aws.cloudformation import CloudFormation
from tests.deployer.aws.stacks import Stack as SimulatedStack

_PARAMETER = "AWS::SSM::Parameter"
_INVOKE = "arn:aws:states:::lambda:invoke"


def _run_states(states: dict[str, Any], answer_call: Callable[[Any], Any] = lambda _: None) -> Execution:
    """Run states in JSONata, of which the first is called First."""
    definition = {"QueryLanguage": "JSONata", "StartAt": "First", "States": states}
    return Interpreter(definition, {_INVOKE: answer_call}, catches_large_results=True).run({})


def _catch_failure(error: str, output: str, answer_call: Callable[[Any], Any]) -> Execution:
    """Run a task with a catcher of an error. The execution's output is that of the catcher."""
    catcher = {"ErrorEquals": [error], "Output": output, "Next": "Caught"}
    task = {"Type": "Task", "Resource": _INVOKE, "Arguments": {}, "Catch": [catcher], "End": True}
    return _run_states({"First": task, "Caught": {"Type": "Succeed"}}, answer_call)


def _time_out(_: Any) -> Any:
    raise StatesError("States.Timeout")


def _answer_too_much(_: Any) -> Any:
    return "x" * LIMIT_BYTES


def _catch_timeout() -> dict[str, Any]:
    return {"caught": _catch_failure("States.ALL", "{% $states.errorOutput %}", _time_out).output}


def _fail_without_cause() -> dict[str, Any]:
    execution = _run_states({"First": {"Type": "Fail", "Error": "CardDeclined"}})
    return {"status": execution.status, "error": execution.error, "cause": execution.cause}


def _read_context() -> dict[str, Any]:
    output = _run_states({"First": {"Type": "Pass", "Output": "{% $states.context %}", "End": True}}).output
    return {name: sorted(members) for name, members in output.items()}


def _catch_large_result() -> dict[str, Any]:
    execution = _catch_failure("States.ALL", "{% $states.errorOutput %}", _answer_too_much)
    return {"status": execution.status, "caught": execution.output}


def _catch_large_result_by_name() -> dict[str, Any]:
    execution = _catch_failure("States.DataLimitExceeded", "{% $states.errorOutput.Error %}", _answer_too_much)
    return {"status": execution.status, "caught": execution.output}


def _pass_too_much() -> dict[str, Any]:
    execution = _run_states({"First": {"Type": "Pass", "Output": "x" * LIMIT_BYTES, "End": True}})
    return {"status": execution.status, "error": execution.error}


def _plan_omitted_resource() -> dict[str, Any]:
    """Return which changes the deployer finds if the answer with values is the recorded one, and without an answer."""
    texts = {
        "before": {"Alerts": "a", "Receipts": {"Fn::GetAtt": ["Alerts", "Value"]}},
        "after": {"Alerts": "b", "Receipts": {"Fn::GetAtt": ["Alerts", "Value"]}},
    }
    before, after = (
        Tree(
            {
                "Resources": {
                    name: {"Type": _PARAMETER, "Properties": {"Type": "String", "Value": value}}
                    for name, value in texts[side].items()
                }
            }
        )
        for side in ("before", "after")
    )
    compared = compare_trees("payments", (before, {}), (after, {}), {})
    nothing = compare_trees("payments", (before, {}), (before, {}), {})
    listed = _read_answer_without("Receipts")
    return {
        "planned": _list_real_changes(compared.make_plan(listed, ()).stack),
        "compared": _list_real_changes(compared.changes),
        "without_a_comparison": _list_real_changes(nothing.make_plan(listed, ()).stack),
    }


def _list_real_changes(stack: StackChanges) -> list[str]:
    return sorted(change.logical_id for change in stack.changes if not change.is_spurious)


def _read_answer_without(omitted: str) -> StackChanges:
    """Return what the deployer reads of an answer whose form with values omits a resource."""
    service = CloudFormation(
        objects={"template": "Resources: {}"},
        without_values={omitted},
        scripted_answers={
            "": lambda _: [
                describe_resource(
                    "Modify",
                    name,
                    _PARAMETER,
                    [describe_property("Value", "a", "b", "Never", "Static")],
                    Replacement="False",
                )
                for name in ("Alerts", "Receipts")
            ]
        },
    )
    root = SimulatedStack("payments", "arn:payments", "CREATE_COMPLETE")
    service.stacks[root.id] = root
    stack = Stack(root.name, id=root.id, status=root.status)
    # The simulated service advances with each poll, without time.
    with (
        patch("time.sleep"),
        create_change_set(make_client(service), stack, {}, TemplateURL="https://bucket/template") as proposal,
    ):
        assert proposal is not None
        return proposal.changes


Observe = Callable[[], dict[str, Any]]
# By the name of the fact.
ON_INTERPRETER: dict[str, Observe] = {
    "a task that takes too long": _catch_timeout,
    "a Fail state without a cause": _fail_without_cause,
    "the context object": _read_context,
    "a result that is too large, caught by States.ALL": _catch_large_result,
    "a result that is too large, caught by its name": _catch_large_result_by_name,
    "an output of a Pass state that is too large": _pass_too_much,
}
ON_PLAN: dict[str, Observe] = {"a change set with values": _plan_omitted_resource}
