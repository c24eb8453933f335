"""A daily backup of the tables in their own vault, if the environment's settings enable backups.

Every table also has point-in-time recovery, but only a backup outlives its table.
"""

from troposphere import Equals, Not, Template, backup, dynamodb

from .. import names, references
from ..wiring import RETAINED, Value, platform_tag_map

# In UTC. A job that does not start, or does not complete, within its window has failed.
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
            BackupVaultName=references.in_template(names.BACKUP_VAULT),
            EncryptionKeyArn=key_arn,
            BackupVaultTags=platform_tag_map(),
            **RETAINED,
        )
    )
    plan = template.add_resource(
        backup.BackupPlan(
            "BackupPlan",
            Condition="HasBackups",
            # The policy of CloudFormation's role identifies a plan by this tag, because AWS chooses the id in its ARN.
            BackupPlanTags=platform_tag_map() | {"ManagedBy": "payment-platform"},
            BackupPlan=backup.BackupPlanResourceType(
                BackupPlanName=references.in_template(names.BACKUP_PLAN),
                BackupPlanRule=[
                    backup.BackupRuleResourceType(
                        RuleName="daily",
                        TargetBackupVault=vault.ref(),
                        # Night in Europe and in America.
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
