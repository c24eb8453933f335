"""The alarms on the daily backup."""

from .. import names
from ..data import backups
from ..wiring import Value
from .alarms import Alarm


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
            threshold=backups.TABLES,
            comparison="LessThanThreshold",
            missing_data="breaching",
            condition=condition,
            # An hour after the last job has to be over, for its metric to arrive.
            day_ends_at_hour=backups.START_HOUR + backups.START_WINDOW_HOURS + backups.COMPLETION_WINDOW_HOURS + 1,
        ),
    ]
