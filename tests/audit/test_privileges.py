"""Granted is used: a difference in either direction is told, whatever is excused."""

import json
from pathlib import Path

import pytest

from scripts.audit import deployed, privileges
from scripts.audit.privileges import Call, Comparison
from tests.emitted import ROOT

PLACE = "us-east-1:000000000000"
TABLE = f"arn:aws:dynamodb:{PLACE}:table/dynamodb-transactions-local"
LEDGER = f"arn:aws:dynamodb:{PLACE}:table/dynamodb-payment-ledger-local"
SESSIONS = {
    f"role-lambda-{function}-local": f"lambda-payment-{function}-local"
    for function in ("validation", "processing", "reconciliation")
}


def compare(*calls: Call) -> Comparison:
    return privileges.compare_privileges(deployed.read_committed(ROOT / "templates"), calls)


@pytest.fixture(scope="module")
def every() -> list[Call]:
    """One call for each grant, as the recorder would have it; for keys there is none to record."""
    roles = {
        "ValidationRole": "role-lambda-validation-local",
        "ProcessingRole": "role-lambda-processing-local",
        "ReconciliationRole": "role-lambda-reconciliation-local",
        "WorkflowRole": privileges.WORKFLOW,
    }
    return [
        Call(roles[grant.role], grant.action, grant.resource.replace("*", "any"), SESSIONS.get(roles[grant.role], ""))
        for grant in compare().granted
        if grant.role in roles and not grant.action.startswith("kms:")
    ]


def test_a_call_for_each_grant_uses_all_that_is_granted(every: list[Call]) -> None:
    compared = compare(*every)
    assert (compared.unused, compared.ungranted, compared.holds) == ([], [], True)
    # A key is used because of what it encrypts, and nothing else is used without a call of its own.
    assert {grant.action.split(":")[0] for grant in compared.by_key} == {"kms"}
    assert {grant.role for grant, _ in compared.excused} == {grant.role for grant in compared.granted}


def test_what_is_excused_is_there_and_nothing_else_of_its_role_is() -> None:
    granted = {(grant.role, grant.sid) for grant in compare().granted}
    assert {(role, sid) for role, sid in privileges.EXCUSED if role != "*"} <= granted
    assert ("*", "TracingHasNoResource") in privileges.EXCUSED


def test_without_a_call_its_grant_is_unused_and_so_is_its_keys(every: list[Call]) -> None:
    less = [call for call in every if (call.role, call.action) != ("role-lambda-validation-local", "sqs:SendMessage")]
    compared = compare(*less)
    assert {(grant.role, grant.sid) for grant in compared.unused} == {
        ("ValidationRole", "DeadLetterAsyncInvocations"),
        ("ValidationRole", "UseQueueKeyThroughSQS"),
    }
    assert not compared.holds


def test_each_resource_of_a_grant_has_to_be_used(every: list[Call]) -> None:
    less = [call for call in every if "lambda-payment-processing-local:live" not in call.resource]
    assert [grant.resource for grant in compare(*less).unused] == [
        f"arn:aws:lambda:{PLACE}:function:lambda-payment-processing-local:live"
    ]


@pytest.mark.parametrize(
    ("action", "resource"),
    [
        ("dynamodb:DeleteItem", TABLE),
        ("dynamodb:GetItem", LEDGER),
        ("dynamodb:PutItem", f"{TABLE}-of-another"),
        ("sqs:SendMessage", f"arn:aws:sqs:{PLACE}:another"),
    ],
)
def test_a_call_that_nothing_grants_is_told(every: list[Call], action: str, resource: str) -> None:
    call = Call("role-lambda-processing-local", action, resource, SESSIONS["role-lambda-processing-local"])
    compared = compare(*every, call)
    assert ("ProcessingRole", action, resource) in [(one.role, one.action, one.resource) for one in compared.ungranted]
    assert not compared.holds


@pytest.mark.parametrize(("role", "session"), [("role-of-somebody", "x"), ("role-lambda-processing-local", "a-test")])
def test_what_others_call_says_nothing_about_our_functions(role: str, session: str) -> None:
    assert compare(Call(role, "s3:GetObject", "arn:aws:s3:::x", session)).used == []


def test_nothing_recorded_proves_nothing() -> None:
    assert not compare().holds


def test_what_the_recorder_wrote_is_read_from_all_servers(tmp_path: Path) -> None:
    for name in ("1", "2"):
        line = json.dumps({"role": name, "action": "sqs:SendMessage", "resource": "q"})
        (tmp_path / f"{name}.jsonl").write_text(f"{line}\n")
    assert [call.role for call in privileges.read_calls(tmp_path)] == ["1", "2"]
