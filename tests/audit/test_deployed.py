"""The scanners get the templates as an environment deploys them."""

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
    # A condition decides it: prod reserves no concurrency.
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
    assert [(finding.rule, finding.location) for finding in open_] == [
        ("CKV_AWS_117", "compute/OtherFunction"),
        ("CKV_AWS_27", "compute/ValidationFunction"),
    ]
    (suppression,) = suppressed
    assert suppression.reason.startswith("It talks to AWS")


def test_a_suppression_covers_the_findings_that_it_names(prod: dict[str, Any]) -> None:
    streams = "arn:aws:logs:eu-central-1:123456789012:log-group:/aws/lambda/lambda-payment-processing-prod:*"
    findings = [
        Finding(f"AwsSolutions-IAM5[{detail}]", "security/ProcessingPolicy")
        for detail in ("Resource::*", f"Resource::{streams}", "Resource::arn:aws:s3:::*", "Action::s3:*")
    ]
    open_, suppressed = Suppressions(prod).split_findings(findings)
    assert {suppression.rule for suppression in suppressed} == {findings[0].rule, findings[1].rule}
    assert {finding.rule for finding in open_} == {findings[2].rule, findings[3].rule}


def test_a_suppression_that_no_check_uses_is_open(prod: dict[str, Any]) -> None:
    suppressions = Suppressions(prod)
    finding_of_check = Finding("CKV_AWS_117", "compute/ValidationFunction")
    suppressions.split_findings([finding_of_check])
    stale = suppressions.find_stale().open
    assert ("AwsSolutions-SQS3", "data/DeadLetters") in [(finding.rule, finding.location) for finding in stale]
    assert (finding_of_check.rule, finding_of_check.location) not in [
        (finding.rule, finding.location) for finding in stale
    ]


def test_every_suppression_says_why(prod: dict[str, Any]) -> None:
    for name, template in prod.items():
        for logical_id, resource in template["Resources"].items():
            metadata = resource.get("Metadata", {})
            guard = metadata.get("guard", {})
            assert set(guard.get("SuppressedRules", [])) == set(guard.get("Reasons", {})), (name, logical_id)
            for suppression in [
                *metadata.get("checkov", {}).get("skip", []),
                *metadata.get("cdk_nag", {}).get("rules_to_suppress", []),
            ]:
                assert len(suppression.get("comment") or suppression.get("reason")) > 20
