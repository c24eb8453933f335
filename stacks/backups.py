"""A daily backup of the tables, in a vault of its own, where the environment keeps backups.

Beside the point-in-time recovery that every table has: a backup outlives its table.
"""

from troposphere import Equals, Not, Template, backup, dynamodb

from . import names
from .alarms import Alarm
from .wiring import Value, house_tags

# UTC. A job that has not started, or not completed, within its window counts as failed.
_START_HOUR, _START_WINDOW_HOURS, _COMPLETION_WINDOW_HOURS = 3, 1, 3
_TABLES = 2


def alarms(condition: str) -> list[Alarm]:
    """A job that fails, at once; and a night without a completed job for each table, whatever the reason.

    AWS Backup publishes a metric only while there is something to count, so jobs that never start are silent.
    https://docs.aws.amazon.com/aws-backup/latest/devguide/cloudwatch.html
    """
    vault: dict[str, Value | str] = {"BackupVaultName": names.named(names.BACKUP_VAULT)}
    return [
        Alarm(
            title="BackupFailures",
            name=names.BACKUP_FAILURES_ALARM,
            description="A backup of a table failed",
            namespace="AWS/Backup",
            metric="NumberOfBackupJobsFailed",
            dimensions=vault,
            threshold=0,
            condition=condition,
        ),
        Alarm(
            title="BackupHeartbeat",
            name=names.BACKUP_HEARTBEAT_ALARM,
            description="A night passed without a completed backup of each table",
            namespace="AWS/Backup",
            metric="NumberOfBackupJobsCompleted",
            dimensions=vault,
            threshold=_TABLES,
            comparison="LessThanThreshold",
            missing_data="breaching",
            condition=condition,
            # An hour after the last job has to be over, for its metric to arrive.
            day_ends_at_hour=_START_HOUR + _START_WINDOW_HOURS + _COMPLETION_WINDOW_HOURS + 1,
        ),
    ]


def add(template: Template, role_arn: Value, key_arn: Value, retention_days: Value, *tables: dynamodb.Table) -> None:
    template.add_condition("HasBackups", Not(Equals(retention_days, 0)))
    vault = template.add_resource(
        backup.BackupVault(
            "BackupVault",
            Condition="HasBackups",
            BackupVaultName=names.named(names.BACKUP_VAULT),
            EncryptionKeyArn=key_arn,
            BackupVaultTags=house_tags(),
            DeletionPolicy="RetainExceptOnCreate",
            UpdateReplacePolicy="Retain",
        )
    )
    plan = template.add_resource(
        backup.BackupPlan(
            "BackupPlan",
            Condition="HasBackups",
            # CloudFormation's role knows a plan by this tag: its ARN is an id.
            BackupPlanTags=house_tags() | {"ManagedBy": "payment-platform"},
            BackupPlan=backup.BackupPlanResourceType(
                BackupPlanName=names.named(names.BACKUP_PLAN),
                BackupPlanRule=[
                    backup.BackupRuleResourceType(
                        RuleName="daily",
                        TargetBackupVault=vault.ref(),
                        # At night in Europe and in America; it may start up to an hour later.
                        ScheduleExpression=f"cron(0 {_START_HOUR} * * ? *)",
                        StartWindowMinutes=_START_WINDOW_HOURS * 60,
                        CompletionWindowMinutes=_COMPLETION_WINDOW_HOURS * 60,
                        Lifecycle=backup.LifecycleResourceType(DeleteAfterDays=retention_days),
                    )
                ],
            ),
        )
    )
    template.add_resource(
        backup.BackupSelection(
            "BackupSelection",
            Condition="HasBackups",
            BackupPlanId=plan.ref(),
            BackupSelection=backup.BackupSelectionResourceType(
                SelectionName="tables",
                IamRoleArn=role_arn,
                Resources=[table.get_att("Arn") for table in tables],
            ),
        )
    )
