"""Names, periods and settings that nothing else in the templates refers to: no other test fails if two are swapped."""

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
FILTERS = {
    "PaymentDurationFilter": "metric-filter-payment-duration-prod",
    "ReconciliationHeartbeatFilter": "metric-filter-reconciliation-heartbeat-prod",
}
# Every environment that is deployed to AWS, with the values that an auditor asks for.
AUDITED = {
    "dev": {"LogRetentionDays": "1", "KeyDeletionWindowDays": "7", "DeletionProtection": "false",
            "BackupRetentionDays": "0", "WorkflowLogExecutionData": "true", "WorkflowCustomerKey": "false",
            "MaximumAmounts": "USD=10000"},
    "staging": {"LogRetentionDays": "30", "KeyDeletionWindowDays": "7", "DeletionProtection": "true",
                "BackupRetentionDays": "0", "WorkflowLogExecutionData": "false", "WorkflowCustomerKey": "true"},
    "prod": {"LogRetentionDays": "400", "KeyDeletionWindowDays": "30", "DeletionProtection": "true",
             "BackupRetentionDays": "35", "WorkflowLogExecutionData": "false", "WorkflowCustomerKey": "true"},
}  # fmt: skip


def test_the_alias_of_each_key_says_what_the_key_encrypts(world: World) -> None:
    aliases = world.of_type("AWS::KMS::Alias")
    assert {path.split("/")[1].removesuffix("Alias"): alias["AliasName"] for path, alias in aliases.items()} == ALIASES


def test_each_metric_filter_has_its_own_name(world: World) -> None:
    filters = world.of_type("AWS::Logs::MetricFilter")
    assert {path.split("/")[1]: metric_filter["FilterName"] for path, metric_filter in filters.items()} == FILTERS


def test_the_dashboard_and_the_layer_are_named_after_the_environment(world: World) -> None:
    assert world.properties("Monitoring/Dashboard")["DashboardName"] == "dashboard-payments-prod"
    assert world.properties("Compute/StripeLayer")["LayerName"] == "layer-stripe-prod"


def test_a_session_of_github_outlasts_a_deployment_that_alarms_watch(world: World) -> None:
    for role in ("GitHubPlanRole", "GitHubDeployRole"):
        assert world.properties(role)["MaxSessionDuration"] == 2 * 60 * 60


def test_access_logs_are_kept_for_a_year(world: World) -> None:
    (rule,) = world.properties("AccessLogs")["LifecycleConfiguration"]["Rules"]
    assert (rule["ExpirationInDays"], rule["NoncurrentVersionExpiration"]) == (365, {"NoncurrentDays": 1})


@pytest.mark.parametrize("environment", AUDITED)
def test_an_environment_has_the_values_that_an_auditor_asks_for(environment: str) -> None:
    parameters = settings.load(environment)
    assert {name: parameters[name] for name in AUDITED[environment]} == AUDITED[environment]
    assert (parameters["LogDataProtection"], parameters["WorkflowLogLevel"]) == ("true", "ALL")
    assert (parameters["FunctionLogLevel"], parameters["Gateway"]) == ("INFO", "simulator")


@pytest.mark.parametrize("environment", settings.deployed_environments())
def test_payment_data_is_in_no_log_but_that_of_the_reference(environment: str) -> None:
    """In dev the workflow's log has input and output, as in the reference implementation."""
    assert settings.load(environment)["WorkflowLogExecutionData"] == ("true" if environment == "dev" else "false")
