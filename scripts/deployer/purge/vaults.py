"""Backup vaults, with the recovery points in them."""

from scripts.common.clients import BackupClient, RecoveryPointByBackupVaultTypeDef
from scripts.common.errors import UserError
from scripts.common.waiting import poll_with_backoff

from .leftover import Leftover, format_count

_TYPE = "AWS::Backup::BackupVault"
_TIMEOUT_SECONDS = 10 * 60


class Vaults:
    name_property = "BackupVaultName"
    loss = "its recovery points"

    def __init__(self, client: BackupClient) -> None:
        self._client = client

    def find(self, name: str) -> Leftover | None:
        # DescribeBackupVault answers AccessDenied for a vault that does not exist.
        pages = self._client.get_paginator("list_backup_vaults").paginate()
        arns = [
            vault["BackupVaultArn"]
            for page in pages
            for vault in page["BackupVaultList"]
            if vault["BackupVaultName"] == name
        ]
        if not arns:
            return None
        # One page holds as many tags as a resource can have.
        tags = self._client.list_tags(ResourceArn=arns[0], MaxResults=100)["Tags"]
        points = self._recovery_points(name)
        # A recovery point without the ARN of its resource counts as one of another resource.
        sources = frozenset(point.get("ResourceArn", "unknown") for point in points)
        return Leftover(_TYPE, name, name, tags, format_count(len(points), "recovery point"), sources)

    def delete(self, leftover: Leftover) -> None:
        """Delete the recovery points, wait until they are gone, and delete the vault.

        https://docs.aws.amazon.com/aws-backup/latest/devguide/create-a-vault.html

        Raises ``UserError`` for a recovery point of a resource that had none when the deletion was confirmed.
        """
        points = self._recovery_points(leftover.id)
        for point in points:
            if point.get("ResourceArn", "unknown") not in leftover.backup_sources:
                arn = point["RecoveryPointArn"]
                raise UserError(f"{leftover} has a recovery point that was not there before: {arn}; run it again")
        for point in points:
            if point.get("Status") != "DELETING":
                self._client.delete_recovery_point(
                    BackupVaultName=leftover.id, RecoveryPointArn=point["RecoveryPointArn"]
                )
        for _ in poll_with_backoff(_TIMEOUT_SECONDS):
            if not self._recovery_points(leftover.id):
                self._client.delete_backup_vault(BackupVaultName=leftover.id)
                return
        raise UserError(f"{leftover} still holds recovery points after {_TIMEOUT_SECONDS // 60} minutes; run it again")

    def _recovery_points(self, name: str) -> list[RecoveryPointByBackupVaultTypeDef]:
        paginator = self._client.get_paginator("list_recovery_points_by_backup_vault")
        pages = paginator.paginate(BackupVaultName=name)
        return [point for page in pages for point in page["RecoveryPoints"]]
