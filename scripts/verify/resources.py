"""Every resource is as declared by templates and settings; roles and permissions are the group "access"."""

from collections.abc import Iterator, Mapping

from .results import Check, Skipped, run_check
from .run import Run

# The resource types of each check, by group and name of the check.
RESOURCES = {
    "tables": ("AWS::DynamoDB::Table",),
    "dead-letter queues and their policies": ("AWS::SQS::Queue", "AWS::SQS::QueuePolicy"),
    "topic and its policy": ("AWS::SNS::Topic", "AWS::SNS::TopicPolicy"),
    "subscription": ("AWS::SNS::Subscription",),
    "log groups": ("AWS::Logs::LogGroup",),
    "metric filters": ("AWS::Logs::MetricFilter",),
    "functions": ("AWS::Lambda::Function",),
    "traffic shift": ("AWS::CodeDeploy::Application", "AWS::CodeDeploy::DeploymentGroup"),
    "state machine": ("AWS::StepFunctions::StateMachine",),
    "schedule": ("AWS::Events::Rule",),
    "alarms": ("AWS::CloudWatch::Alarm", "AWS::CloudWatch::CompositeAlarm"),
    "backups": ("AWS::Backup::BackupVault", "AWS::Backup::BackupPlan", "AWS::Backup::BackupSelection"),
}
ACCESS = {
    "roles": ("AWS::IAM::Role",),
    "policies of the roles": ("AWS::IAM::ManagedPolicy",),
}
# Plain words for the compared properties; those of a gap are not compared and not listed.
_WORDS = {
    "AssumeRolePolicyDocument": "trusted services",
    "ManagedPolicyArns": "attached policies",
    "Policies": "no inline policies",
    "PermissionsBoundary": "boundary",
    "Principal": "service",
    "SourceArn": "rule",
    "BillingMode": "billing mode",
    "DeletionProtectionEnabled": "deletion protection",
    "SSESpecification": "encryption",
    "PointInTimeRecoverySpecification": "point-in-time recovery",
    "MessageRetentionPeriod": "retention",
    "RetentionInDays": "retention",
    "KmsMasterKeyId": "encryption",
    "KmsKeyId": "encryption",
    "KmsKeyArn": "encryption of variables",
    "EncryptionConfiguration": "encryption",
    "EncryptionKeyArn": "encryption",
    "PolicyDocument": "policy",
    "DataProtectionPolicy": "masking",
    "Endpoint": "endpoint",
    "RedrivePolicy": "dead-letter queue",
    "FilterPolicy": "filter",
    "FilterPattern": "pattern",
    "MetricTransformations": "metric",
    "Runtime": "runtime",
    "Role": "role",
    "RoleArn": "role",
    "Timeout": "limits",
    "DeploymentConfigName": "configuration",
    "AutoRollbackConfiguration": "rollback",
    "AlarmConfiguration": "alarms",
    "ServiceRoleArn": "role",
    "Definition": "definition",
    "LoggingConfig": "log",
    "LoggingConfiguration": "log",
    "TracingConfig": "tracing",
    "TracingConfiguration": "tracing",
    "DeadLetterConfig": "dead letters",
    "ScheduleExpression": "rate",
    "Targets": "targets",
    "State": "state",
    "MetricName": "metric",
    "Threshold": "threshold",
    "AlarmActions": "actions",
    "AlarmRule": "rule",
    "BackupPlan": "daily plan",
    "BackupSelection": "tables",
    "Tags": "tags",
    "BackupVaultTags": "tags",
}


def checks(run: Run) -> Iterator[Check]:
    return _check_rows(run, "resources", RESOURCES)


def access_checks(run: Run) -> Iterator[Check]:
    return _check_rows(run, "access", ACCESS)


def _check_rows(run: Run, group: str, rows: Mapping[str, tuple[str, ...]]) -> Iterator[Check]:
    for name, types in rows.items():
        yield run_check(group, name, _check_types, run, types)
        for gap in (gap for gap in run.gaps if gap.rsplit(".", 1)[0] in types and run.select_resources(*types)):
            yield run_check(group, f"{name}: {gap.rsplit('.', 1)[1]}", run.skip_gap, gap)


def _check_types(run: Run, types: tuple[str, ...]) -> str:
    resources = run.select_resources(*types)
    if not resources:
        raise Skipped("the settings do not require any")
    run.check_declared(resources)
    names = [name for resource in resources for name in run.compared_properties(resource)]
    words = dict.fromkeys(word for name, word in _WORDS.items() if name in names)
    return f"{len(resources)} as declared: {', '.join(words)}"
