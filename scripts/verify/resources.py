"""Every resource as the templates and the settings say: retention, encryption, protection, tags, and the rest.

Roles, policies and keys have groups of their own, with more to say of each.
"""

from collections.abc import Iterator

from .place import Place
from .results import Check, Failed, Skipped, run

GROUP = "resources"
ROWS = {
    "tables": ("AWS::DynamoDB::Table",),
    "dead-letter queues and their policies": ("AWS::SQS::Queue", "AWS::SQS::QueuePolicy"),
    "topic and its policy": ("AWS::SNS::Topic", "AWS::SNS::TopicPolicy"),
    "subscription": ("AWS::SNS::Subscription",),
    "log groups": ("AWS::Logs::LogGroup",),
    "metric filters": ("AWS::Logs::MetricFilter",),
    "functions": ("AWS::Lambda::Function",),
    "state machine": ("AWS::StepFunctions::StateMachine",),
    "schedule": ("AWS::Events::Rule",),
    "alarms": ("AWS::CloudWatch::Alarm", "AWS::CloudWatch::CompositeAlarm"),
    "backups": ("AWS::Backup::BackupVault", "AWS::Backup::BackupPlan", "AWS::Backup::BackupSelection"),
}
# What people call the properties that are compared; one that the place lacks is not claimed.
_WORDS = {
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


def checks(place: Place) -> Iterator[Check]:
    for name, types in ROWS.items():
        yield run(GROUP, name, _as_declared, place, types)
        for gap in (gap for gap in place.gaps if gap.rsplit(".", 1)[0] in types and place.of_type(*types)):
            row = f"{name}: {gap.rsplit('.', 1)[1]}"
            yield run(GROUP, row, place.skip, gap)


def _as_declared(place: Place, types: tuple[str, ...]) -> str:
    resources = place.of_type(*types)
    if not resources:
        raise Skipped("the settings ask for none")
    if problems := [line for resource in resources for line in place.differences(resource)]:
        raise Failed("; ".join(problems))
    names = [name for resource in resources for name in place.compared(resource)]
    words = dict.fromkeys(word for name, word in _WORDS.items() if name in names)
    return f"{len(resources)} as declared: {', '.join(words)}"
