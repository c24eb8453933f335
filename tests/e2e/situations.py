"""Situations for a test: abandoned payments, and roles without a permission."""

import json
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from adapters.stored_items import MAXIMUM_SHARDS, to_item
from payments.money import Money
from payments.payment import Payment, Status

from scripts.local import server
from tests.e2e.conftest import Platform

HOUR, DAY = 60 * 60, 24 * 60 * 60
RECONCILIATION = "lambda-payment-reconciliation-local"


def call_function(platform: Platform, function: str, **event: Any) -> dict[str, Any]:
    """Invoke the live version of the validation, processing or reconciliation function, and return its answer."""
    answer = platform.client("lambda").invoke(
        FunctionName=f"lambda-payment-{function}-local", Qualifier="live", Payload=json.dumps(event).encode()
    )
    result: dict[str, Any] = json.loads(answer["Payload"].read())
    return result


def reconcile(platform: Platform) -> dict[str, Any]:
    """Run reconciliation as an operator does."""
    return call_function(platform, "reconciliation")


def put_abandoned_payment(platform: Platform, status: Status, cents: int, age: float) -> str:
    """Store a payment as a workflow that died ``age`` seconds ago has left it, and return its id."""
    updated_at = time.time() - age
    payment = Payment(
        transaction_id=f"T-{uuid.uuid4().hex[:12]}",
        status=status,
        sequence=2,
        fingerprint="f" * 64,
        execution="arn:of-an-execution-that-died",
        created_at=updated_at,
        updated_at=updated_at,
        since=updated_at,
        amount=Money(15000 + cents, "USD"),
        payment_method="credit_card",
        customer_id="CUST-1",
        attempt=1,
        lease_until=updated_at + 60 if status is Status.PROCESSING else None,
        first_claimed_at=updated_at,
    )
    platform.client("dynamodb").put_item(
        TableName=platform.outputs["DynamodbTableName"], Item=to_item(payment, MAXIMUM_SHARDS, erases_customers=True)
    )
    return payment.transaction_id


def read_ledger(platform: Platform, transaction_id: str) -> list[dict[str, Any]]:
    records: list[dict[str, Any]] = platform.client("dynamodb").query(
        TableName="dynamodb-payment-ledger-local",
        KeyConditionExpression="transaction_id = :id",
        ExpressionAttributeValues={":id": {"S": transaction_id}},
    )["Items"]
    return records


def policy_arn(role: str) -> str:
    """Return the ARN of the policy of a function's role, or of those of ``workflow`` and ``schedule``."""
    others = {"workflow": "sfn-payment-workflow", "schedule": "events-payment-reconciliation"}
    name = others.get(role, f"lambda-{role.lower()}")
    return f"arn:aws:iam::{server.ACCOUNT}:policy/policy-{name}-local"


def read_policy(platform: Platform, function: str) -> dict[str, Any]:
    iam = platform.client("iam")
    version = iam.get_policy(PolicyArn=policy_arn(function))["Policy"]["DefaultVersionId"]
    policy: dict[str, Any] = iam.get_policy_version(PolicyArn=policy_arn(function), VersionId=version)["PolicyVersion"][
        "Document"
    ]
    return policy


@contextmanager
def without_permission(platform: Platform, function: str, action: str) -> Iterator[None]:
    """Remove an action from the policy of a function's role for the length of the block."""
    iam, policy = platform.client("iam"), read_policy(platform, function)
    reduced = json.loads(json.dumps(policy))
    for statement in reduced["Statement"]:
        statement["Action"] = [name for name in statement["Action"] if name != action]
    reduced["Statement"] = [statement for statement in reduced["Statement"] if statement["Action"]]
    assert reduced != policy
    put_document(iam, policy_arn(function), reduced)
    try:
        yield
    finally:
        put_document(iam, policy_arn(function), policy)


def put_document(iam: Any, arn: str, policy: dict[str, Any]) -> None:
    """Make ``policy`` the only version of the managed policy."""
    iam.create_policy_version(PolicyArn=arn, PolicyDocument=json.dumps(policy), SetAsDefault=True)
    for version in iam.list_policy_versions(PolicyArn=arn)["Versions"]:
        if not version["IsDefaultVersion"]:
            iam.delete_policy_version(PolicyArn=arn, VersionId=version["VersionId"])
