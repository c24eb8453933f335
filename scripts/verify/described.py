"""Describes a resource as AWS has it, in the form of its template, and compares the two."""

from collections.abc import Callable, Mapping
from typing import Any

from scripts.common.clients import ClientFactory

from . import described_access, described_compute, described_data, described_monitoring
from .expected import Expected
from .property_differences import find_differences

Describe = Callable[[ClientFactory, Expected], dict[str, Any]]

# Returns the properties that are compared, by resource type.
DESCRIBED: Mapping[str, Describe] = {
    "AWS::DynamoDB::Table": described_data.describe_table,
    "AWS::SQS::Queue": described_data.describe_queue,
    "AWS::SNS::Topic": described_data.describe_topic,
    "AWS::SNS::Subscription": described_data.describe_subscription,
    "AWS::Backup::BackupVault": described_data.describe_vault,
    "AWS::Backup::BackupPlan": described_data.describe_backup_plan,
    "AWS::Backup::BackupSelection": described_data.describe_backup_selection,
    "AWS::S3::Bucket": described_data.describe_bucket,
    "AWS::S3::BucketPolicy": described_data.describe_bucket_policy,
    "AWS::IAM::Role": described_access.describe_role,
    "AWS::IAM::ManagedPolicy": described_access.describe_managed_policy,
    "AWS::KMS::Key": described_access.describe_key,
    "AWS::KMS::Alias": described_access.describe_key_alias,
    "AWS::SQS::QueuePolicy": described_access.describe_queue_policy,
    "AWS::SNS::TopicPolicy": described_access.describe_topic_policy,
    "AWS::Lambda::Function": described_compute.describe_function,
    "AWS::Lambda::Version": described_compute.describe_version,
    "AWS::Lambda::Alias": described_compute.describe_alias,
    "AWS::CodeDeploy::Application": described_compute.describe_application,
    "AWS::CodeDeploy::DeploymentGroup": described_compute.describe_deployment_group,
    "AWS::StepFunctions::StateMachine": described_compute.describe_state_machine,
    "AWS::Events::Rule": described_compute.describe_rule,
    "AWS::Logs::LogGroup": described_monitoring.describe_log_group,
    "AWS::Logs::MetricFilter": described_monitoring.describe_metric_filter,
    "AWS::CloudWatch::Alarm": described_monitoring.describe_alarm,
    "AWS::CloudWatch::CompositeAlarm": described_monitoring.describe_composite_alarm,
}
# Properties that need a call of their own, which is not made if they are a gap of the emulator.
PROPERTIES: Mapping[str, Describe] = {
    "AWS::Logs::LogGroup.DataProtectionPolicy": described_monitoring.describe_data_protection
}
# The values of properties that a template leaves out.
DEFAULTS: Mapping[str, Mapping[str, Any]] = {
    "AWS::CloudWatch::Alarm": {"ActionsEnabled": True},
    "AWS::CloudWatch::CompositeAlarm": {"ActionsEnabled": True},
    "AWS::Events::Rule": {"State": "ENABLED"},
    "AWS::KMS::Key": {"Enabled": True},
}
# Types without compared properties: the stack's list of resources shows that they exist.
SILENT = frozenset({"AWS::CloudWatch::Dashboard", "AWS::Lambda::LayerVersion"})


def describe(client: ClientFactory, resource: Expected, gaps: Mapping[str, str]) -> dict[str, Any]:
    """Return the properties of a resource as AWS has them, without those in ``gaps``."""
    actual = DESCRIBED[resource.type](client, resource)
    for name, describe_property in PROPERTIES.items():
        if name.startswith(f"{resource.type}.") and name not in gaps:
            actual |= describe_property(client, resource)
    return {name: value for name, value in actual.items() if f"{resource.type}.{name}" not in gaps}


def compare_resource(resource: Expected, actual: Mapping[str, Any]) -> list[str]:
    """Return a line for each property of ``actual`` that differs from the template."""
    return find_differences({**DEFAULTS.get(resource.type, {}), **resource.properties}, actual)
