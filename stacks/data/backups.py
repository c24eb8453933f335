"""A daily backup of the tables, in a vault of its own, where the environment keeps backups.

Beside the point-in-time recovery that every table has: a backup outlives its table.
"""

from troposphere import Equals, Not, Template, backup, dynamodb

from .. import names
from ..wiring import RETAINED, Value, platform_tag_map

# UTC. A job that has not started, or not completed, within its window counts as failed.
START_HOUR, START_WINDOW_HOURS, COMPLETION_WINDOW_HOURS = 3, 1, 3
TABLES = 2


def add_backups(
    template: Template, role_arn: Value, key_arn: Value, retention_days: Value, *tables: dynamodb.Table
) -> None:
    template.add_condition("HasBackups", Not(Equals(retention_days, 0)))
    vault = template.add_resource(
        backup.BackupVault(
            "BackupVault",
            Condition="HasBackups",
            BackupVaultName=names.in_template(names.BACKUP_VAULT),
            EncryptionKeyArn=key_arn,
            BackupVaultTags=platform_tag_map(),
            **RETAINED,
        )
    )
    plan = template.add_resource(
        backup.BackupPlan(
            "BackupPlan",
            Condition="HasBackups",
            # CloudFormation's role knows a plan by this tag: its ARN is an id.
            BackupPlanTags=platform_tag_map() | {"ManagedBy": "payment-platform"},
            BackupPlan=backup.BackupPlanResourceType(
                BackupPlanName=names.in_template(names.BACKUP_PLAN),
                BackupPlanRule=[
                    backup.BackupRuleResourceType(
                        RuleName="daily",
                        TargetBackupVault=vault.ref(),
                        # At night in Europe and in America; it may start up to an hour later.
                        ScheduleExpression=f"cron(0 {START_HOUR} * * ? *)",
                        StartWindowMinutes=START_WINDOW_HOURS * 60,
                        CompletionWindowMinutes=COMPLETION_WINDOW_HOURS * 60,
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
