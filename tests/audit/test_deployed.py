"""The templates as prod has them: what the scanners are given to judge."""

from typing import Any

import pytest

from scripts.audit import deployed
from scripts.audit.results import Finding, Suppressions
from tests.emitted import ROOT


@pytest.fixture(scope="module")
def prod() -> dict[str, Any]:
    return deployed.evaluate_templates(deployed.read_committed(ROOT / "templates"))


def test_settings_are_filled_in_and_conditions_decided(prod: dict[str, Any]) -> None:
    function = prod["compute"]["Resources"]["ValidationFunction"]["Properties"]
    # Decided by a condition: prod reserves none.
    assert "ReservedConcurrentExecutions" not in function
    assert function["KmsKeyArn"]
    assert "BackupVault" in prod["data"]["Resources"]
    assert prod["compute"]["Resources"]["ValidationLogs"]["Properties"]["RetentionInDays"] >= 365
    assert {"CloudFormationRole", "GitHubDeployRole", "BoundaryProd"} <= set(prod["artifacts"]["Resources"])


def test_references_within_a_stack_stay_references_and_those_to_others_are_text(prod: dict[str, Any]) -> None:
    data = prod["data"]["Resources"]
    assert data["DeadLettersPolicy"]["Properties"]["Queues"] == [{"Ref": "DeadLetters"}]
    assert data["BackupSelection"]["Properties"]["BackupSelection"]["Resources"] == [
        {"Fn::GetAtt": ["Transactions", "Arn"]},
        {"Fn::GetAtt": ["PaymentLedger", "Arn"]},
    ]
    assert data["DeadLetters"]["Properties"]["KmsMasterKeyId"] == "${Security/QueueKey.Arn}"


def test_a_suppression_is_for_one_rule_at_one_resource(prod: dict[str, Any]) -> None:
    suppressions = Suppressions(prod)
    findings = [Finding("CKV_AWS_117", f"compute/{name}") for name in ("ValidationFunction", "OtherFunction")]
    open_, suppressed = suppressions.split_findings([*findings, Finding("CKV_AWS_27", "compute/ValidationFunction")])
    assert [(one.rule, one.location) for one in open_] == [
        ("CKV_AWS_117", "compute/OtherFunction"),
        ("CKV_AWS_27", "compute/ValidationFunction"),
    ]
    (one,) = suppressed
    assert one.reason.startswith("It talks to AWS")


def test_a_suppression_covers_the_findings_that_it_names(prod: dict[str, Any]) -> None:
    streams = "arn:aws:logs:eu-central-1:123456789012:log-group:/aws/lambda/lambda-payment-processing-prod:*"
    findings = [
        Finding(f"AwsSolutions-IAM5[{detail}]", "security/ProcessingPolicy")
        for detail in ("Resource::*", f"Resource::{streams}", "Resource::arn:aws:s3:::*", "Action::s3:*")
    ]
    open_, suppressed = Suppressions(prod).split_findings(findings)
    assert {one.rule for one in suppressed} == {findings[0].rule, findings[1].rule}
    assert {one.rule for one in open_} == {findings[2].rule, findings[3].rule}


def test_a_suppression_that_nothing_needs_is_open(prod: dict[str, Any]) -> None:
    suppressions = Suppressions(prod)
    needed = Finding("CKV_AWS_117", "compute/ValidationFunction")
    suppressions.split_findings([needed])
    stale = suppressions.find_stale().open
    assert ("AwsSolutions-SQS3", "data/DeadLetters") in [(one.rule, one.location) for one in stale]
    assert (needed.rule, needed.location) not in [(one.rule, one.location) for one in stale]


def test_every_suppression_says_why(prod: dict[str, Any]) -> None:
    for name, template in prod.items():
        for logical_id, resource in template["Resources"].items():
            metadata = resource.get("Metadata", {})
            guard = metadata.get("guard", {})
            assert set(guard.get("SuppressedRules", [])) == set(guard.get("Reasons", {})), (name, logical_id)
            for told in [
                *metadata.get("checkov", {}).get("skip", []),
                *metadata.get("cdk_nag", {}).get("rules_to_suppress", []),
            ]:
                assert len(told.get("comment") or told.get("reason")) > 20
