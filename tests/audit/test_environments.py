"""dev and staging may have the accepted findings, and no others that prod does not have."""

from pathlib import Path

import pytest

from scripts.audit import deployed, environments
from scripts.audit.results import Finding, Result
from tests.emitted import ROOT

BACKUP = Finding("NIST.800.53.R5-DynamoDBInBackupPlan", "data/Transactions")
TABLE = Finding("CKV_AWS_28", "data/Transactions", "no backup")


@pytest.fixture
def differences(tmp_path: Path) -> Path:
    path = tmp_path / "differences.toml"
    path.write_text(
        f"""
        [[accepted]]
        reason = "no backups of tests"
        environments = ["dev"]
        rules = ["{BACKUP.rule}", "HIPAA"]
        resources = ["{BACKUP.location}"]
        """
    )
    return path


def test_a_listed_difference_is_accepted_for_its_environment_only(differences: Path) -> None:
    assert environments.read_accepted("dev", differences) == {
        (BACKUP.rule, BACKUP.location): "no backups of tests",
        ("HIPAA", BACKUP.location): "no backups of tests",
    }
    assert environments.read_accepted("staging", differences) == {}


def test_an_unlisted_finding_and_an_accepted_one_that_is_not_found_are_open(differences: Path) -> None:
    accepted = environments.read_accepted("dev", differences)
    result = environments.compare_findings("dev", [Result("nag", 2, [BACKUP]), Result("checkov", 3, [TABLE])], accepted)
    assert result.applied == 5
    assert [(suppression.rule, suppression.reason) for suppression in result.suppressed] == [
        (BACKUP.rule, "no backups of tests")
    ]
    assert [(suppression.rule, suppression.location) for suppression in result.open] == [
        (TABLE.rule, TABLE.location),
        ("HIPAA", BACKUP.location),
    ]
    assert not result.has_passed


def test_every_accepted_difference_is_of_an_environment_and_says_why() -> None:
    assert set(environments.ENVIRONMENTS) == {"dev", "staging"}
    for environment in environments.ENVIRONMENTS:
        accepted = environments.read_accepted(environment)
        assert accepted
        assert all(len(reason) > 40 for reason in accepted.values())


def test_an_environment_is_judged_as_its_settings_deploy_it() -> None:
    committed = deployed.read_committed(ROOT / "templates")
    dev = deployed.evaluate_templates(committed, "dev")
    assert "artifacts" not in dev
    assert "BackupVault" not in dev["data"]["Resources"]
    assert dev["compute"]["Resources"]["ValidationLogs"]["Properties"]["RetentionInDays"] == 1
    assert "Subscription" not in dev["data"]["Resources"]
    policy = dev["security"]["Resources"]["ValidationPolicy"]
    (suppressed,) = policy["Metadata"]["cdk_nag"]["rules_to_suppress"]
    assert any("lambda-payment-validation-dev:*" in finding for finding in suppressed["applies_to"])
