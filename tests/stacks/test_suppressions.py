"""Each suppression names its findings, so that it does not cover a finding that a later change adds."""

from typing import Any

import pytest

from tests.emitted import load_template, resources

WILDCARDS = "AwsSolutions-IAM5"
POLICIES = [
    (template, title)
    for template in ("security", "artifacts")
    for title in resources(load_template(template), "AWS::IAM::ManagedPolicy")
]


def text(value: Any) -> str:
    """Return a resource as cdk-nag prints it in a finding."""
    match value:
        case {"Fn::Sub": sub}:
            return str(sub).replace("${", "<").replace("}", ">")
        case {"Ref": name}:
            return f"<{name}>"
        case {"Fn::GetAtt": [name, attribute]}:
            return f"<{name}.{attribute}>"
    assert isinstance(value, str)
    return value


def wildcards(document: dict[str, Any]) -> set[str]:
    """Return the findings of cdk-nag's rule on wildcards in a policy document, or in each branch of its condition."""
    if "Fn::If" in document:
        return {finding for branch in document["Fn::If"][1:] for finding in wildcards(branch)}
    findings = set()
    for statement in document["Statement"]:
        findings |= {f"Action::{action}" for action in statement["Action"] if "*" in action}
        findings |= {f"Resource::{text(value)}" for value in statement["Resource"] if "*" in text(value)}
    return findings


@pytest.mark.parametrize(("template", "title"), POLICIES, ids=[title for _, title in POLICIES])
def test_exactly_the_wildcards_of_a_policy_are_suppressed(template: str, title: str) -> None:
    policy = load_template(template)["Resources"][title]
    rules = policy.get("Metadata", {}).get("cdk_nag", {}).get("rules_to_suppress", [])
    entries = [rule for rule in rules if rule["id"] == WILDCARDS]
    suppressed = [finding for rule in entries for finding in rule["applies_to"]]
    assert len(suppressed) == len(set(suppressed))
    assert set(suppressed) == wildcards(policy["Properties"]["PolicyDocument"])
