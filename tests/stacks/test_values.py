"""Names, periods and settings that nothing else refers to, so that no other test fails if two are swapped."""

import pytest

from stacks import settings
from tests.stacks.access import World

ALIASES = {
    "DynamodbKey": "alias/dynamodb-transactions-prod",
    "SnsKey": "alias/sns-payment-notifications-prod",
    "LogsKey": "alias/cloudwatch-logs-prod",
    "QueueKey": "alias/sqs-payment-dlq-prod",
    "FunctionsKey": "alias/lambda-payment-functions-prod",
    "WorkflowKey": "alias/sfn-payment-workflow-prod",
}
# The values of each environment on AWS that the audit depends on.
AUDITED = {
    "dev": {"LogRetentionDays": "1", "KeyDeletionWindowDays": "7", "DeletionProtection": "false",
            "BackupRetentionDays": "0", "WorkflowLogExecutionData": "true", "WorkflowCustomerKey": "false",
            "MaximumAmounts": "USD=10000"},
    "staging": {"LogRetentionDays": "30", "KeyDeletionWindowDays": "7", "DeletionProtection": "true",
                "BackupRetentionDays": "0", "WorkflowLogExecutionData": "false", "WorkflowCustomerKey": "true"},
    "prod": {"LogRetentionDays": "400", "KeyDeletionWindowDays": "30", "DeletionProtection": "true",
             "BackupRetentionDays": "35", "WorkflowLogExecutionData": "false", "WorkflowCustomerKey": "true"},
}  # fmt: skip


def test_each_key_has_its_alias(world: World) -> None:
    aliases = world.of_type("AWS::KMS::Alias")
    assert {path.split("/")[1].removesuffix("Alias"): alias["AliasName"] for path, alias in aliases.items()} == ALIASES


def test_the_dashboard_and_the_layer_are_named_after_the_environment(world: World) -> None:
    assert world.properties("Monitoring/Dashboard")["DashboardName"] == "dashboard-payments-prod"
    assert world.properties("Compute/StripeLayer")["LayerName"] == "layer-stripe-prod"


def test_a_session_of_github_outlasts_a_monitored_deployment(world: World) -> None:
    for role in ("GitHubPlanRole", "GitHubDeployRole"):
        assert world.properties(role)["MaxSessionDuration"] == 2 * 60 * 60


def test_access_logs_are_kept_for_a_year(world: World) -> None:
    (rule,) = world.properties("AccessLogs")["LifecycleConfiguration"]["Rules"]
    assert (rule["ExpirationInDays"], rule["NoncurrentVersionExpiration"]) == (365, {"NoncurrentDays": 1})


@pytest.mark.parametrize("environment", AUDITED)
def test_an_environment_has_the_values_of_the_audit(environment: str) -> None:
    parameters = settings.load(environment)
    assert {name: parameters[name] for name in AUDITED[environment]} == AUDITED[environment]
    assert (parameters["LogDataProtection"], parameters["WorkflowLogLevel"]) == ("true", "ALL")
    assert (parameters["FunctionLogLevel"], parameters["Gateway"]) == ("INFO", "simulator")


@pytest.mark.parametrize("environment", settings.deployed_environments())
def test_only_dev_logs_execution_data_like_the_reference(environment: str) -> None:
    """In dev, the workflow's log contains input and output, as in the reference implementation."""
    assert settings.load(environment)["WorkflowLogExecutionData"] == ("true" if environment == "dev" else "false")
