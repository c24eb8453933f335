"""An unused grant and a call without a grant are reported, except for exempt grants."""

import json
from pathlib import Path

import pytest

from scripts.audit import deployed, privileges
from scripts.audit.privileges import Call, Comparison
from stacks import names
from stacks.wiring import to_pascal_case
from tests.emitted import ROOT

REGION_AND_ACCOUNT = "us-east-1:000000000000"
TABLE = f"arn:aws:dynamodb:{REGION_AND_ACCOUNT}:table/dynamodb-transactions-local"
LEDGER = f"arn:aws:dynamodb:{REGION_AND_ACCOUNT}:table/dynamodb-payment-ledger-local"
SESSIONS = {
    names.in_environment(function.role, "local"): names.in_environment(function.name, "local")
    for function in names.FUNCTIONS
}


def compare_calls(*calls: Call) -> Comparison:
    return privileges.compare_privileges(deployed.read_committed(ROOT / "templates"), calls)


@pytest.fixture(scope="module")
def all_calls() -> list[Call]:
    """Return a call for each grant, as the recorder writes it; calls to keys are not recorded."""
    roles = {
        **{
            f"{to_pascal_case(function.purpose)}Role": names.in_environment(function.role, "local")
            for function in names.FUNCTIONS
        },
        "WorkflowRole": privileges.WORKFLOW,
        "ReconciliationWorkflowRole": privileges.WORKFLOW,
    }
    return [
        Call(roles[grant.role], grant.action, grant.resource.replace("*", "any"), SESSIONS.get(roles[grant.role], ""))
        for grant in compare_calls().granted
        if grant.role in roles and not grant.action.startswith("kms:")
    ]


def test_a_call_for_each_grant_uses_all_that_is_granted(all_calls: list[Call]) -> None:
    compared = compare_calls(*all_calls)
    assert (compared.unused, compared.ungranted, compared.holds) == ([], [], True)
    # Only grants of keys are used without a recorded call.
    assert {grant.action.split(":")[0] for grant in compared.by_key} == {"kms"}
    assert {grant.role for grant, _ in compared.exempt} == {grant.role for grant in compared.granted}


def test_every_exempt_statement_is_granted() -> None:
    granted = {(grant.role, grant.sid) for grant in compare_calls().granted}
    assert {(role, sid) for role, sid in privileges.EXEMPT if role != "*"} <= granted
    assert ("*", "TracingHasNoResource") in privileges.EXEMPT


def test_a_grant_without_a_call_is_unused_and_so_is_the_grant_of_its_key(all_calls: list[Call]) -> None:
    calls = [
        call for call in all_calls if (call.role, call.action) != ("role-lambda-validation-local", "sqs:SendMessage")
    ]
    compared = compare_calls(*calls)
    assert {(grant.role, grant.sid) for grant in compared.unused} == {
        ("ValidationRole", "DeadLetterAsyncInvocations"),
        ("ValidationRole", "UseQueueKeyThroughSQS"),
    }
    assert not compared.holds


def test_each_resource_of_a_grant_must_be_used(all_calls: list[Call]) -> None:
    calls = [call for call in all_calls if "lambda-payment-processing-local:live" not in call.resource]
    assert [grant.resource for grant in compare_calls(*calls).unused] == [
        f"arn:aws:lambda:{REGION_AND_ACCOUNT}:function:lambda-payment-processing-local:live"
    ]


@pytest.mark.parametrize(
    ("action", "resource"),
    [
        ("dynamodb:DeleteItem", TABLE),
        ("dynamodb:GetItem", LEDGER),
        ("dynamodb:PutItem", f"{TABLE}-of-another"),
        ("sqs:SendMessage", f"arn:aws:sqs:{REGION_AND_ACCOUNT}:another"),
    ],
)
def test_a_call_without_a_grant_is_reported(all_calls: list[Call], action: str, resource: str) -> None:
    call = Call("role-lambda-processing-local", action, resource, SESSIONS["role-lambda-processing-local"])
    compared = compare_calls(*all_calls, call)
    assert ("ProcessingRole", action, resource) in [
        (ungranted.role, ungranted.action, ungranted.resource) for ungranted in compared.ungranted
    ]
    assert not compared.holds


@pytest.mark.parametrize(("role", "session"), [("role-of-somebody", "x"), ("role-lambda-processing-local", "a-test")])
def test_calls_of_other_roles_and_sessions_are_ignored(role: str, session: str) -> None:
    assert compare_calls(Call(role, "s3:GetObject", "arn:aws:s3:::x", session)).exercised == []


def test_without_recorded_calls_the_comparison_fails() -> None:
    assert not compare_calls().holds


def test_the_calls_of_all_servers_are_read(tmp_path: Path) -> None:
    for name in ("1", "2"):
        line = json.dumps({"role": name, "action": "sqs:SendMessage", "resource": "q"})
        (tmp_path / f"{name}.jsonl").write_text(f"{line}\n")
    assert [call.role for call in privileges.read_calls(tmp_path)] == ["1", "2"]
