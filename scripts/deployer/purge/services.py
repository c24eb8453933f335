"""The services that retain resources with fixed names: queues, log groups, tables and backup vaults."""

from botocore.exceptions import WaiterError
from rich import filesize

from scripts.common.clients import (
    BackupClient,
    CloudWatchLogsClient,
    DynamoDBClient,
    RecoveryPointByBackupVaultTypeDef,
    SQSClient,
    TableDescriptionTypeDef,
    WaiterConfigTypeDef,
)
from scripts.common.errors import AWS_ERRORS, UserError, describe_error, raise_both
from scripts.common.suggestion import complete_aws_commands
from scripts.common.waiting import poll_with_backoff

from .leftover import Leftover, format_count

_TIMEOUT_SECONDS = 10 * 60
_WAITING: WaiterConfigTypeDef = {"Delay": 2, "MaxAttempts": _TIMEOUT_SECONDS // 2}


class Queues:
    name_property = "QueueName"
    loss = "its messages"

    def __init__(self, client: SQSClient) -> None:
        self._client = client

    def find(self, name: str) -> Leftover | None:
        try:
            url = self._client.get_queue_url(QueueName=name)["QueueUrl"]
            tags = self._client.list_queue_tags(QueueUrl=url).get("Tags", {})
            counts = self._client.get_queue_attributes(
                QueueUrl=url,
                AttributeNames=[
                    "ApproximateNumberOfMessages",
                    "ApproximateNumberOfMessagesNotVisible",
                    "ApproximateNumberOfMessagesDelayed",
                ],
            )["Attributes"]
        except self._client.exceptions.QueueDoesNotExist:
            return None
        contents = f"about {format_count(sum(map(int, counts.values())), 'message')}"
        return Leftover("AWS::SQS::Queue", name, url, tags, contents)

    def delete(self, leftover: Leftover) -> None:
        """Delete the queue, whose name is free 60 seconds later.

        https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_DeleteQueue.html
        """
        self._client.delete_queue(QueueUrl=leftover.id)


class LogGroups:
    name_property = "LogGroupName"
    loss = "its log"

    def __init__(self, client: CloudWatchLogsClient) -> None:
        self._client = client

    def find(self, name: str) -> Leftover | None:
        pages = self._client.get_paginator("describe_log_groups").paginate(logGroupNamePrefix=name)
        groups = [group for page in pages for group in page["logGroups"] if group["logGroupName"] == name]
        if not groups:
            return None
        # Tags belong to the ARN without the wildcard for the streams.
        arn = groups[0]["arn"].removesuffix(":*")
        tags = self._client.list_tags_for_resource(resourceArn=arn)["tags"]
        contents = f"about {filesize.decimal(groups[0].get('storedBytes', 0))}"
        return Leftover("AWS::Logs::LogGroup", name, name, tags, contents)

    def delete(self, leftover: Leftover) -> None:
        self._client.delete_log_group(logGroupName=leftover.id)


class Tables:
    name_property = "TableName"
    loss = "its items and their point-in-time recovery"

    def __init__(self, client: DynamoDBClient) -> None:
        self._client = client

    def find(self, name: str) -> Leftover | None:
        table = self._describe_table(name)
        if table is None or table["TableStatus"] == "DELETING":
            return None
        pages = self._client.get_paginator("list_tags_of_resource").paginate(ResourceArn=table["TableArn"])
        tags = {tag["Key"]: tag["Value"] for page in pages for tag in page["Tags"]}
        # DynamoDB updates both numbers about every six hours.
        contents = f"about {format_count(table['ItemCount'], 'item')}, {filesize.decimal(table['TableSizeBytes'])}"
        return Leftover("AWS::DynamoDB::Table", name, name, tags, contents)

    def delete(self, leftover: Leftover) -> None:
        """Switch deletion protection off, delete the table, and wait; switch it on again if the deletion is refused."""
        table = self._describe_table(leftover.id)
        is_protected = table is not None and table.get("DeletionProtectionEnabled", False)
        try:
            if is_protected:
                self._set_protection(leftover.id, False)
            self._client.delete_table(TableName=leftover.id)
        except BaseException as error:
            if is_protected:
                self._restore_protection(leftover.id, error)
            raise
        try:
            self._client.get_waiter("table_not_exists").wait(TableName=leftover.id, WaiterConfig=_WAITING)
        except WaiterError as error:
            raise UserError(f"{leftover.id} is still being deleted: {error}; try again") from error

    def _restore_protection(self, name: str, error: BaseException) -> None:
        """Raise both errors, that of the deletion first, if the protection cannot be switched on again."""
        try:
            self._set_protection(name, True)
        except (*AWS_ERRORS, KeyboardInterrupt) as second:
            command = complete_aws_commands(
                f"aws dynamodb update-table --table-name {name} --deletion-protection-enabled"
            )
            unprotected = f"deletion protection may still be off: {describe_error(second)}; switch it on: {command}"
            raise_both(error, unprotected)

    def _set_protection(self, name: str, enabled: bool) -> None:
        self._client.update_table(TableName=name, DeletionProtectionEnabled=enabled)
        self._client.get_waiter("table_exists").wait(TableName=name, WaiterConfig=_WAITING)

    def _describe_table(self, name: str) -> TableDescriptionTypeDef | None:
        try:
            return self._client.describe_table(TableName=name)["Table"]
        except self._client.exceptions.ResourceNotFoundException:
            return None


class Vaults:
    name_property = "BackupVaultName"
    loss = "its recovery points"

    def __init__(self, client: BackupClient) -> None:
        self._client = client

    def find(self, name: str) -> Leftover | None:
        # DescribeBackupVault answers AccessDenied for a vault that does not exist.
        pages = self._client.get_paginator("list_backup_vaults").paginate()
        vaults = [vault for page in pages for vault in page["BackupVaultList"] if vault["BackupVaultName"] == name]
        if not vaults:
            return None
        # One page holds as many tags as a resource can have.
        tags = self._client.list_tags(ResourceArn=vaults[0]["BackupVaultArn"], MaxResults=100)["Tags"]
        points = self._recovery_points(name)
        # A recovery point without the ARN of its resource counts as one of another resource.
        sources = frozenset(point.get("ResourceArn", "unknown") for point in points)
        contents = format_count(len(points), "recovery point")
        return Leftover("AWS::Backup::BackupVault", name, name, tags, contents, sources)

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
