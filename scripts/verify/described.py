"""What AWS says of a resource, in the form of its template: for each resource type the properties that are compared.

``SILENT`` are the types of which AWS says nothing beside that they exist: the stack says that.
"""

from collections.abc import Callable, Mapping
from typing import Any

from . import described_access, described_compute, described_messages, described_watching
from .compared import differences
from .expected import Expected
from .results import Failed

# Gives a client by the name of its service.
Clients = Callable[[str], Any]
Describe = Callable[[Clients, Expected], dict[str, Any]]


def table(client: Clients, resource: Expected) -> dict[str, Any]:
    dynamodb = client("dynamodb")
    table = dynamodb.describe_table(TableName=resource.physical_id)["Table"]
    backups = dynamodb.describe_continuous_backups(TableName=resource.physical_id)["ContinuousBackupsDescription"]
    encryption = table.get("SSEDescription", {})
    indexes = table.get("GlobalSecondaryIndexes", [])
    index_properties = ("IndexName", "KeySchema", "Projection")
    return {
        "BillingMode": table.get("BillingModeSummary", {}).get("BillingMode", "PROVISIONED"),
        "KeySchema": table["KeySchema"],
        "GlobalSecondaryIndexes": [{name: index[name] for name in index_properties} for index in indexes],
        "DeletionProtectionEnabled": table.get("DeletionProtectionEnabled", False),
        "SSESpecification": {
            # https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_SSEDescription.html
            "SSEEnabled": encryption.get("Status") in ("ENABLED", "UPDATING"),
            "SSEType": encryption.get("SSEType"),
            "KMSMasterKeyId": encryption.get("KMSMasterKeyArn"),
        },
        "PointInTimeRecoverySpecification": {
            "PointInTimeRecoveryEnabled": backups.get("PointInTimeRecoveryDescription", {}).get(
                "PointInTimeRecoveryStatus"
            )
            == "ENABLED"
        },
        "Tags": dynamodb.list_tags_of_resource(ResourceArn=table["TableArn"])["Tags"],
    }


def vault(client: Clients, resource: Expected) -> dict[str, Any]:
    backup = client("backup")
    described = backup.describe_backup_vault(BackupVaultName=resource.physical_id)
    tags = backup.list_tags(ResourceArn=described["BackupVaultArn"])["Tags"]
    return {"EncryptionKeyArn": described.get("EncryptionKeyArn"), "BackupVaultTags": tags}


def backup_plan(client: Clients, resource: Expected) -> dict[str, Any]:
    plan = client("backup").get_backup_plan(BackupPlanId=resource.physical_id)["BackupPlan"]
    names = {"TargetBackupVaultName": "TargetBackupVault"}
    renamed = [{names.get(name, name): value for name, value in rule.items()} for rule in plan["Rules"]]
    return {"BackupPlan": {"BackupPlanName": plan["BackupPlanName"], "BackupPlanRule": renamed}}


def backup_selection(client: Clients, resource: Expected) -> dict[str, Any]:
    backup, plan = client("backup"), resource.properties["BackupPlanId"]
    listed = backup.list_backup_selections(BackupPlanId=plan)["BackupSelectionsList"]
    selection_id = next(
        (selection["SelectionId"] for selection in listed if selection["SelectionId"] in resource.physical_id), None
    )
    if selection_id is None:
        raise Failed(f"the backup plan {plan} has no selection {resource.physical_id}")
    selection = backup.get_backup_selection(BackupPlanId=plan, SelectionId=selection_id)["BackupSelection"]
    return {"BackupSelection": {name: selection[name] for name in ("SelectionName", "IamRoleArn", "Resources")}}


DESCRIBED: Mapping[str, Describe] = {
    "AWS::DynamoDB::Table": table,
    "AWS::SQS::Queue": described_messages.queue,
    "AWS::SNS::Topic": described_messages.topic,
    "AWS::SNS::Subscription": described_messages.subscription,
    "AWS::Backup::BackupVault": vault,
    "AWS::Backup::BackupPlan": backup_plan,
    "AWS::Backup::BackupSelection": backup_selection,
    "AWS::IAM::Role": described_access.role,
    "AWS::IAM::ManagedPolicy": described_access.managed_policy,
    "AWS::KMS::Key": described_access.key,
    "AWS::KMS::Alias": described_access.key_alias,
    "AWS::SQS::QueuePolicy": described_access.queue_policy,
    "AWS::SNS::TopicPolicy": described_access.topic_policy,
    "AWS::Lambda::Permission": described_access.function_permission,
    "AWS::Lambda::Function": described_compute.function,
    "AWS::Lambda::Version": described_compute.version,
    "AWS::Lambda::Alias": described_compute.alias,
    "AWS::StepFunctions::StateMachine": described_compute.state_machine,
    "AWS::Events::Rule": described_compute.rule,
    "AWS::Logs::LogGroup": described_watching.log_group,
    "AWS::Logs::MetricFilter": described_watching.metric_filter,
    "AWS::CloudWatch::Alarm": described_watching.alarm,
    "AWS::CloudWatch::CompositeAlarm": described_watching.composite_alarm,
}
# Asked for by a call of its own, where the place has it.
PROPERTIES: Mapping[str, Describe] = {"AWS::Logs::LogGroup.DataProtectionPolicy": described_watching.log_masking}
# What a resource has where its template says nothing.
DEFAULTS: Mapping[str, Mapping[str, Any]] = {
    "AWS::CloudWatch::Alarm": {"ActionsEnabled": True},
    "AWS::CloudWatch::CompositeAlarm": {"ActionsEnabled": True},
    "AWS::Events::Rule": {"State": "ENABLED"},
    "AWS::KMS::Key": {"Enabled": True},
}
SILENT = frozenset({"AWS::CloudWatch::Dashboard", "AWS::Lambda::LayerVersion"})


def describe(client: Clients, resource: Expected, gaps: Mapping[str, str]) -> dict[str, Any]:
    """The properties of a resource as AWS says; what the place lacks is left out."""
    seen = DESCRIBED[resource.type](client, resource)
    for name, describe_property in PROPERTIES.items():
        if name.startswith(f"{resource.type}.") and name not in gaps:
            seen |= describe_property(client, resource)
    return {name: value for name, value in seen.items() if f"{resource.type}.{name}" not in gaps}


def differences_of(resource: Expected, seen: Mapping[str, Any]) -> list[str]:
    """One line for each property that is not as the template says."""
    return differences({**DEFAULTS.get(resource.type, {}), **resource.properties}, seen)
