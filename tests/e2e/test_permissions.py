"""Every action of a function's role that the embedded AWS checks is needed: without it, no payment completes.

That each of the others is used, too, and nothing is granted beside, is what `make audit` compares; whom the policies
let do what, with their conditions, is asked in tests/stacks.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from scripts.local import server
from tests.e2e.conftest import Platform

pytestmark = pytest.mark.e2e

ENFORCED = {
    ("Validation", "dynamodb:PutItem"),
    ("Processing", "dynamodb:GetItem"),
    ("Processing", "dynamodb:PutItem"),
}


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


@pytest.mark.parametrize(("function", "action"), sorted(ENFORCED))
def test_without_it_no_payment_completes(platform: Platform, function: str, action: str) -> None:
    with without(platform, function, action):
        _, story = platform.pay()
        assert (story.status, story.error) == ("FAILED", "LedgerRefused")
        (letter,) = platform.dead_letters()
        assert "AccessDenied" in letter["cause"]
    assert platform.pay()[1].status == "SUCCEEDED"
