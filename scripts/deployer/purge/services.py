"""The services that retain resources with fixed names: queues, log groups, tables, vaults and buckets."""

from itertools import islice
from typing import Any

from botocore.exceptions import ClientError
from rich import filesize

from scripts.common.clients import (
    BackupClient,
    CloudWatchLogsClient,
    DynamoDBClient,
    RecoveryPointByBackupVaultTypeDef,
    S3Client,
    SQSClient,
    TableDescriptionTypeDef,
    WaiterConfigTypeDef,
)
from scripts.common.errors import AWS_ERRORS, StillRunning, UserError, describe_error, raise_both
from scripts.common.suggestion import complete_aws_commands
from scripts.common.waiting import poll_with_backoff

from ..preflight.name_lookups import read_bucket_tags
from .leftover import Leftover, format_count

_TIMEOUT_SECONDS = 10 * 60
_WAITING: WaiterConfigTypeDef = {"Delay": 2, "MaxAttempts": _TIMEOUT_SECONDS // 2}
# S3 has no count of a bucket's versions: they are listed, at most 1,000 in a request.
_COUNTED_PAGES = 20


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
                    "KmsMasterKeyId",
                ],
            )["Attributes"]
        except self._client.exceptions.QueueDoesNotExist:
            return None
        keys = frozenset({counts.pop("KmsMasterKeyId", "")})
        number = sum(map(int, counts.values()))
        contents = f"about {format_count(number, 'message')}"
        return Leftover("AWS::SQS::Queue", name, url, tags, contents, is_empty=not number, keys=keys)

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
        keys = frozenset({groups[0].get("kmsKeyId", "")})
        return Leftover("AWS::Logs::LogGroup", name, name, tags, contents, keys=keys)

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
        keys = frozenset({table.get("SSEDescription", {}).get("KMSMasterKeyArn", "")})
        return Leftover("AWS::DynamoDB::Table", name, name, tags, contents, keys=keys)

    def delete(self, leftover: Leftover) -> None:
        """Switch deletion protection off, delete the table, and wait; switch it on again if the deletion is refused."""
        table = self._describe_table(leftover.id)
        is_protected = table is not None and table.get("DeletionProtectionEnabled", False)
        try:
            if is_protected:
                self._set_protection(leftover.id, False)
            self._client.delete_table(TableName=leftover.id)
        except BaseException as error:
            # The answer may be lost although the deletion has begun.
            if not self._is_being_deleted(leftover.id):
                if is_protected:
                    self._restore_protection(leftover.id, error)
                raise
            if not isinstance(error, AWS_ERRORS):
                raise
        try:
            self._client.get_waiter("table_not_exists").wait(TableName=leftover.id, WaiterConfig=_WAITING)
        except (*AWS_ERRORS, KeyboardInterrupt) as error:
            raise StillRunning(f"{leftover} is still being deleted: {describe_error(error)}") from error

    def _is_being_deleted(self, name: str) -> bool:
        try:
            return self.find(name) is None
        except (*AWS_ERRORS, KeyboardInterrupt):
            return False

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
        sources = {point["RecoveryPointArn"]: point.get("ResourceArn", "unknown") for point in points}
        keys = frozenset(item.get("EncryptionKeyArn", "") for item in (vaults[0], *points))
        contents = format_count(len(points), "recovery point")
        return Leftover("AWS::Backup::BackupVault", name, name, tags, contents, recovery_points=sources, keys=keys)

    def delete(self, leftover: Leftover) -> None:
        """Delete the recovery points, wait until they are gone, and delete the vault.

        https://docs.aws.amazon.com/aws-backup/latest/devguide/create-a-vault.html

        Raises ``UserError`` for a recovery point that the leftover, as it was shown, does not have.
        """
        points = self._recovery_points(leftover.id)
        for point in points:
            if (arn := point["RecoveryPointArn"]) not in leftover.recovery_points:
                raise UserError(f"it has a recovery point that was not there before: {arn}; run it again")
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


class Buckets:
    """Every request names the account: a bucket of this name that another account owns is neither read nor changed.

    https://docs.aws.amazon.com/AmazonS3/latest/userguide/bucket-owner-condition.html
    """

    name_property = "BucketName"
    loss = "its objects with all their versions"

    def __init__(self, client: S3Client, account: str) -> None:
        self._client, self._account = client, account

    def find(self, name: str) -> Leftover | None:
        """Return the bucket, with an obstacle if it is in another Region or S3 denies this account access to it.

        https://docs.aws.amazon.com/AmazonS3/latest/API/API_HeadBucket.html
        """
        try:
            region = self._client.head_bucket(Bucket=name, ExpectedBucketOwner=self._account).get("BucketRegion")
        except ClientError as error:
            # The answer to a HEAD request has no body, and so no other code than its status.
            code = error.response["Error"]["Code"]
            if code == "404":
                return None
            if code not in ("301", "403"):
                raise
            denied = "belongs to another account, or s3:ListBucket on it is not allowed"
            obstacle = denied if code == "403" else "is in another Region"
            return Leftover("AWS::S3::Bucket", name, name, keys=None, obstacle=obstacle)
        if region not in (None, self._client.meta.region_name):
            return Leftover("AWS::S3::Bucket", name, name, keys=None, obstacle=f"is in another Region, {region}")
        tags = read_bucket_tags(self._client, name, ExpectedBucketOwner=self._account)
        contents, is_empty = self._count_versions(name)
        # Each version may have a key of its own.
        return Leftover("AWS::S3::Bucket", name, name, tags, contents, is_empty, keys=None)

    def delete(self, leftover: Leftover) -> None:
        """Delete every version and delete marker, then the bucket, and wait.

        https://docs.aws.amazon.com/AmazonS3/latest/userguide/delete-bucket.html

        Raises ``UserError`` for a version that S3 does not delete, such as a locked one, and for a new object.
        """
        for page in self._list_versions(leftover.id):
            self._delete_versions(leftover, page)
        try:
            self._client.delete_bucket(Bucket=leftover.id, ExpectedBucketOwner=self._account)
        except ClientError as error:
            if error.response["Error"]["Code"] != "BucketNotEmpty":
                raise
            step = "stop what writes to it, and run it again"
            raise UserError(f"{leftover} has got new objects while it was emptied; {step}") from error
        try:
            waiter = self._client.get_waiter("bucket_not_exists")
            waiter.wait(Bucket=leftover.id, ExpectedBucketOwner=self._account, WaiterConfig=_WAITING)
        except (*AWS_ERRORS, KeyboardInterrupt) as error:
            raise StillRunning(f"{leftover} is still being deleted: {describe_error(error)}") from error

    def _delete_versions(self, leftover: Leftover, page: Any) -> None:
        versions = [
            {"Key": version["Key"], "VersionId": version["VersionId"]}
            for version in (*page.get("Versions", ()), *page.get("DeleteMarkers", ()))
        ]
        if not versions:
            return
        answer: Any = self._client.delete_objects(
            Bucket=leftover.id,
            Delete={"Objects": versions, "Quiet": True},  # type: ignore[typeddict-item]
            ExpectedBucketOwner=self._account,
        )
        if errors := answer.get("Errors"):
            first = errors[0]
            # The key of an object may hold payment data: its version names it.
            raise UserError(
                f"{leftover} keeps {format_count(len(errors), 'version')}, the first of them "
                f"{first.get('VersionId', '')}: {first.get('Code', '')}: {first.get('Message', '')}; allow the "
                "deletion, or wait until no lock holds them, and run it again"
            )

    def _count_versions(self, name: str) -> tuple[str, bool]:
        """Return how many versions and delete markers a bucket has, and their size, and whether it has none.

        They are counted up to a limit.
        """
        number = size = 0
        pages = iter(self._list_versions(name))
        for page in islice(pages, _COUNTED_PAGES):
            versions = page.get("Versions", ())
            number += len(versions) + len(page.get("DeleteMarkers", ()))
            size += sum(version["Size"] for version in versions)
        more = "more than " if next(pages, None) else ""
        return f"{more}{format_count(number, 'object version')}, {filesize.decimal(size)}", not number

    def _list_versions(self, name: str) -> Any:
        paginator = self._client.get_paginator("list_object_versions")
        return paginator.paginate(Bucket=name, ExpectedBucketOwner=self._account)
