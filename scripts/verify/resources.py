"""Every resource as the templates and the settings say: retention, encryption, protection, tags, and the rest.

Roles, policies and keys have groups of their own, with more to say of each.
"""

from collections.abc import Iterator

from .place import Place
from .results import Check, Failed, Skipped, run

GROUP = "resources"
ROWS = {
    "tables": ("AWS::DynamoDB::Table",),
    "dead-letter queue and its policy": ("AWS::SQS::Queue", "AWS::SQS::QueuePolicy"),
    "topic and its policy": ("AWS::SNS::Topic", "AWS::SNS::TopicPolicy"),
    "log groups": ("AWS::Logs::LogGroup",),
    "metric filters": ("AWS::Logs::MetricFilter",),
    "functions": ("AWS::Lambda::Function",),
    "state machine": ("AWS::StepFunctions::StateMachine",),
    "schedule": ("AWS::Events::Rule",),
    "alarms": ("AWS::CloudWatch::Alarm", "AWS::CloudWatch::CompositeAlarm"),
    "backups": ("AWS::Backup::BackupVault", "AWS::Backup::BackupPlan", "AWS::Backup::BackupSelection"),
}
_WHAT = {
    "tables": "on demand, keys, deletion protection, encryption, recovery, tags",
    "dead-letter queue and its policy": "retention, encryption, who may send, tags",
    "topic and its policy": "encryption, who may publish, tags",
    "log groups": "retention, encryption, masking, tags",
    "metric filters": "pattern and metric",
    "functions": "runtime, role, limits, encryption, log, tracing, dead letters, tags",
    "state machine": "definition, role, log, tracing, encryption, tags",
    "schedule": "enabled, rate, target, dead letters, tags",
    "alarms": "metric, threshold, actions, tags",
    "backups": "vault, daily plan, retention, tables",
}


def checks(place: Place) -> Iterator[Check]:
    for name, types in ROWS.items():
        yield run(GROUP, name, _as_declared, place, name, types)
        for gap in (gap for gap in place.gaps if gap.rsplit(".", 1)[0] in types and place.of_type(*types)):
            row = f"{name}: {gap.rsplit('.', 1)[1]}"
            yield run(GROUP, row, place.skip, gap)


def _as_declared(place: Place, name: str, types: tuple[str, ...]) -> str:
    resources = place.of_type(*types)
    if not resources:
        raise Skipped("the settings ask for none")
    if problems := [line for resource in resources for line in place.differences(resource)]:
        raise Failed("; ".join(problems))
    return f"{len(resources)} as declared: {_WHAT[name]}"
