"""A backup on demand, by the role, into the vault and under the key of the daily ones; it is deleted afterwards."""

from collections.abc import Iterator
from typing import Any

from stacks import names

from .place import Place
from .results import Check, Failed, Skipped, Unknown, run

GROUP = "backups"
LONGEST_SECONDS = 15 * 60
_ENDED = ("COMPLETED", "FAILED", "ABORTED", "EXPIRED", "PARTIAL")


def checks(place: Place) -> Iterator[Check]:
    yield run(GROUP, "a backup on demand", _back_up, place)


def _back_up(place: Place) -> str:
    if place.settings["BackupRetentionDays"] == "0":
        raise Skipped("the settings turn backups off: backup_retention_days")
    backup, vault = place.client("backup"), place.named(names.BACKUP_VAULT)
    tables = [table for table in place.of_type("AWS::DynamoDB::Table") if table.path.endswith("PaymentLedger")]
    (selection,) = place.of_type("AWS::Backup::BackupSelection")
    role = selection.properties["BackupSelection"]["IamRoleArn"]
    arn = place.client("dynamodb").describe_table(TableName=tables[0].physical_id)["Table"]["TableArn"]
    job = backup.start_backup_job(
        BackupVaultName=vault,
        ResourceArn=arn,
        IamRoleArn=role,
        IdempotencyToken=place.run_name,
        # Should it not be deleted here, AWS Backup deletes it on the next day.
        Lifecycle={"DeleteAfterDays": 1},
    )["BackupJobId"]
    described: dict[str, Any] = {}

    def probe() -> bool:
        described.update(backup.describe_backup_job(BackupJobId=job))
        return described["State"] in _ENDED

    with place.cleanup.after(f"delete the backup of job {job}", lambda: _delete(backup, vault, job)):
        if not place.wait(probe, LONGEST_SECONDS):
            raise Unknown(f"job {job} is {described['State']} after {LONGEST_SECONDS // 60} minutes")
    if described["State"] != "COMPLETED":
        raise Failed(f"job {job} is {described['State']}: {described.get('StatusMessage', 'no reason given')}")
    return f"{tables[0].name} in {vault}, deleted"


def _delete(backup: Any, vault: str, job: str) -> None:
    described = backup.describe_backup_job(BackupJobId=job)
    if described["State"] not in _ENDED:
        backup.stop_backup_job(BackupJobId=job)
    elif "RecoveryPointArn" in described:
        backup.delete_recovery_point(BackupVaultName=vault, RecoveryPointArn=described["RecoveryPointArn"])
