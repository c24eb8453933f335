"""Every action of a function's role is needed: without it, something that a user cares about breaks.

What the emulator enforces is taken away on the running platform, and a payment fails. What it does not enforce
(Lambda's own calls on behalf of a function, and KMS) is held against what AWS documents that the function's
configuration requires, by the emulator's own policy evaluator.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from ministack.core.iam_evaluator import EvalContext, evaluate, parse_policy_document

from scripts.local import server
from tests.e2e.conftest import Platform
from tests.emitted import load_template, resources

pytestmark = pytest.mark.e2e

FUNCTIONS = ("Validation", "Processing", "Reconciliation")
ENFORCED = {
    ("Validation", "dynamodb:PutItem"),
    ("Processing", "dynamodb:GetItem"),
    ("Processing", "dynamodb:PutItem"),
}
# What reconciliation does beside recording; its own tests are in test_reconciliation.py.
RECONCILES = {
    ("Reconciliation", "dynamodb:GetItem"),
    ("Reconciliation", "dynamodb:PutItem"),
    ("Reconciliation", "dynamodb:Query"),
    ("Reconciliation", "sns:Publish"),
    ("Reconciliation", "kms:GenerateDataKey"),
}
# What needs each of the others, and where AWS says so.
REQUIRED = {
    # The table's key: https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/encryption.usagenotes.html
    "kms:Decrypt": "SSESpecification",
    # DeadLetterConfig: https://docs.aws.amazon.com/lambda/latest/dg/invocation-async-retain-records.html
    "sqs:SendMessage": "DeadLetterConfig",
    # https://docs.aws.amazon.com/lambda/latest/dg/monitoring-cloudwatchlogs.html
    "logs:CreateLogStream": "LoggingConfig",
    "logs:PutLogEvents": "LoggingConfig",
    # TracingConfig: https://docs.aws.amazon.com/lambda/latest/dg/services-xray.html
    "xray:PutTraceSegments": "TracingConfig",
    "xray:PutTelemetryRecords": "TracingConfig",
}


def granted() -> list[tuple[str, str]]:
    policies = resources(load_template("security"), "AWS::IAM::ManagedPolicy")
    return [
        (function, action)
        for function in FUNCTIONS
        for statement in policies[f"{function}Policy"]["Properties"]["PolicyDocument"]["Statement"]
        for action in statement["Action"]
    ]


def policy_arn(function: str) -> str:
    return f"arn:aws:iam::{server.ACCOUNT}:policy/policy-lambda-{function.lower()}-local"


def document(platform: Platform, function: str) -> dict[str, Any]:
    iam = platform.client("iam")
    version = iam.get_policy(PolicyArn=policy_arn(function))["Policy"]["DefaultVersionId"]
    found: dict[str, Any] = iam.get_policy_version(PolicyArn=policy_arn(function), VersionId=version)["PolicyVersion"][
        "Document"
    ]
    return found


@contextmanager
def without(platform: Platform, function: str, action: str) -> Iterator[None]:
    """The function's role without one action."""
    iam, whole = platform.client("iam"), document(platform, function)
    less = json.loads(json.dumps(whole))
    for statement in less["Statement"]:
        statement["Action"] = [one for one in statement["Action"] if one != action]
    less["Statement"] = [statement for statement in less["Statement"] if statement["Action"]]
    assert less != whole
    _put(iam, policy_arn(function), less)
    try:
        yield
    finally:
        _put(iam, policy_arn(function), whole)


def _put(iam: Any, arn: str, policy: dict[str, Any]) -> None:
    """Make ``policy`` the one version that there is."""
    iam.create_policy_version(PolicyArn=arn, PolicyDocument=json.dumps(policy), SetAsDefault=True)
    for version in iam.list_policy_versions(PolicyArn=arn)["Versions"]:
        if not version["IsDefaultVersion"]:
            iam.delete_policy_version(PolicyArn=arn, VersionId=version["VersionId"])


def test_what_is_granted_is_what_is_in_the_two_lists() -> None:
    """Neither less nor more: the tests below go through the lists, not through what the template happens to say."""
    assert (
        set(granted()) == ENFORCED | {(function, action) for function in FUNCTIONS for action in REQUIRED} | RECONCILES
    )


@pytest.mark.parametrize(("function", "action"), sorted(ENFORCED))
def test_without_it_no_payment_completes(platform: Platform, function: str, action: str) -> None:
    with without(platform, function, action):
        _, story = platform.pay()
        assert (story.status, story.error) == ("FAILED", "LedgerRefused")
        (letter,) = platform.dead_letters()
        assert "AccessDenied" in letter["cause"]
    assert platform.pay()[1].status == "SUCCEEDED"


@pytest.mark.parametrize(("function", "action"), [(function, action) for function in FUNCTIONS for action in REQUIRED])
def test_what_the_configuration_requires_is_granted_on_its_resource(
    platform: Platform, function: str, action: str
) -> None:
    configured = {
        **resources(load_template("compute"))[f"{function}Function"]["Properties"],
        **resources(load_template("data"))["Transactions"]["Properties"],
    }
    assert REQUIRED[action] in configured
    place = f"{server.REGION}:{server.ACCOUNT}"
    group = f"arn:aws:logs:{place}:log-group:/aws/lambda/lambda-payment-{function.lower()}-local"
    resource = {
        "kms:Decrypt": platform.outputs["KmsKeyDynamodbArn"],
        "sqs:SendMessage": f"arn:aws:sqs:{server.REGION}:{server.ACCOUNT}:payment-dlq-local",
        "logs:CreateLogStream": f"{group}:log-stream:x",
        "logs:PutLogEvents": f"{group}:log-stream:x",
    }.get(action, "*")
    context = {
        "kms:ViaService": f"dynamodb.{server.REGION}.amazonaws.com",
        "kms:CallerAccount": server.ACCOUNT,
        "kms:EncryptionContext:aws:dynamodb:tableName": platform.outputs["DynamodbTableName"],
    }

    def allowed(resource: str, **changes: str) -> bool:
        request = EvalContext(
            principal_arn=f"arn:aws:iam::{server.ACCOUNT}:role/role-lambda-{function.lower()}-local",
            principal_type="AssumedRole",
            principal_account=server.ACCOUNT,
            action=action,
            resource_arn=resource,
            region=server.REGION,
            source_ip="127.0.0.1",
            secure_transport=True,
            service_context={key.lower(): value for key, value in (context | changes).items()},
        )
        return bool(evaluate(request, [parse_policy_document(document(platform, function))]).decision == "Allow")

    assert allowed(resource)
    if resource != "*":
        assert not allowed(resource.replace("local", "prod").replace("key/", "key/0"))
    if action == "kms:Decrypt":
        assert not allowed(resource, **{"kms:ViaService": "s3.us-east-1.amazonaws.com"})
