"""A backup on demand with the role, the vault and the key of the daily ones; it is deleted afterwards."""

from collections.abc import Iterator
from typing import Any

from stacks import names

from .results import Check, Failed, Skipped, Unknown, run_check
from .run import Run

GROUP = "backups"
LONGEST_SECONDS = 15 * 60
_ENDED = ("COMPLETED", "FAILED", "ABORTED", "EXPIRED", "PARTIAL")


def checks(run: Run) -> Iterator[Check]:
    yield run_check(GROUP, "a backup on demand", _check_backup, run)


def _check_backup(run: Run) -> str:
    if run.settings["BackupRetentionDays"] == "0":
        raise Skipped("the settings turn backups off: backup_retention_days")
    backup, vault = run.client("backup"), run.resource_name(names.BACKUP_VAULT)
    ledger = run.expected["Data/PaymentLedger"]
    (selection,) = run.select_resources("AWS::Backup::BackupSelection")
    role = selection.properties["BackupSelection"]["IamRoleArn"]
    arn = run.client("dynamodb").describe_table(TableName=ledger.physical_id)["Table"]["TableArn"]
    described: dict[str, Any] = {}
    job = ""

    def start_job() -> None:
        nonlocal job
        job = backup.start_backup_job(
            BackupVaultName=vault,
            ResourceArn=arn,
            IamRoleArn=role,
            IdempotencyToken=run.name,
            # If this run does not delete it, AWS Backup does on the next day.
            Lifecycle={"DeleteAfterDays": 1},
        )["BackupJobId"]

    def delete_backup() -> None:
        # The answer with the id may be lost: the same request returns it again.
        if not job:
            start_job()
        _delete_backup(backup, vault, job)

    def has_ended() -> bool:
        described.update(backup.describe_backup_job(BackupJobId=job))
        return described["State"] in _ENDED

    description = f"delete the backup of {ledger.physical_id} in {vault}"
    with run.cleanup.undo_after(description, start_job, delete_backup):
        if not run.wait_for(has_ended, LONGEST_SECONDS):
            raise Unknown(f"job {job} is {described['State']} after {LONGEST_SECONDS // 60} minutes")
    if described["State"] != "COMPLETED":
        raise Failed(f"job {job} is {described['State']}: {described.get('StatusMessage', 'no reason given')}")
    return f"{ledger.name} in {vault}, deleted"


def _delete_backup(backup: Any, vault: str, job: str) -> None:
    described = backup.describe_backup_job(BackupJobId=job)
    if described["State"] not in _ENDED:
        backup.stop_backup_job(BackupJobId=job)
    elif "RecoveryPointArn" in described:
        backup.delete_recovery_point(BackupVaultName=vault, RecoveryPointArn=described["RecoveryPointArn"])
