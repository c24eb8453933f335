"""The services that hold data, from their side: what a purge asks of DynamoDB, SQS, CloudWatch Logs, KMS and Backup.

Answers have the shapes of the services' API references.
"""

import re
from collections.abc import Callable
from typing import Any
from urllib.parse import unquote

from tests.deployer.aws.account import Account, Refused, Resource

PLACE = "eu-west-1:123456789012"
TABLE, QUEUE, GROUP = "AWS::DynamoDB::Table", "AWS::SQS::Queue", "AWS::Logs::LogGroup"
KEY, VAULT = "AWS::KMS::Key", "AWS::Backup::BackupVault"
NO_QUEUE = "AWS.SimpleQueueService.NonExistentQueue"


class DataServices:
    def __init__(self, account: Account) -> None:
        self._account = account

    def answer(self, operation: str, given: dict[str, Any]) -> dict[str, Any]:
        """Of an operation of the JSON protocols."""
        answers: dict[str, Callable[[dict[str, Any]], dict[str, Any] | None]] = {
            "DescribeTable": lambda given: {"Table": self._table(given)},
            "ListTagsOfResource": lambda given: {"Tags": _listed(self._by_arn(TABLE, given["ResourceArn"]))},
            "UpdateTable": self._update_table,
            "DeleteTable": lambda given: self._delete(TABLE, given["TableName"], "ResourceNotFoundException"),
            "GetQueueUrl": lambda given: {"QueueUrl": f"https://sqs/{self._queue(given['QueueName']).name}"},
            "ListQueueTags": lambda given: {"Tags": self._queue(given["QueueUrl"]).tags},
            "GetQueueAttributes": lambda given: {
                "Attributes": {"ApproximateNumberOfMessages": str(len(self._queue(given["QueueUrl"]).contents))}
            },
            "DeleteQueue": lambda given: self._delete(QUEUE, self._queue(given["QueueUrl"]).name, NO_QUEUE),
            "DescribeLogGroups": lambda given: {"logGroups": self._groups(given["logGroupNamePrefix"])},
            "ListTagsForResource": lambda given: {"tags": self._by_arn(GROUP, given["resourceArn"]).tags},
            "DeleteLogGroup": lambda given: self._delete(GROUP, given["logGroupName"], "ResourceNotFoundException"),
            "ListKeys": lambda _: {"Keys": [{"KeyId": one.name} for one in self._all(KEY)], "Truncated": False},
            "ListResourceTags": lambda given: {"Tags": self._key_tags(given["KeyId"]), "Truncated": False},
            "DescribeKey": lambda given: {"KeyMetadata": self._key_metadata(given["KeyId"])},
            "ScheduleKeyDeletion": self._schedule_key_deletion,
        }
        return answers[operation](given) or {}

    def backup(self, method: str, path: str) -> tuple[str, dict[str, Any]]:
        """The operation, and its answer, of AWS Backup's REST protocol."""
        if method == "GET" and path.rstrip("/") == "/backup-vaults":
            vaults = [{"BackupVaultName": one.name, "BackupVaultArn": _arn(one)} for one in self._all(VAULT)]
            return "ListBackupVaults", {"BackupVaultList": vaults}
        if method == "GET" and path.startswith("/tags/"):
            arn = unquote(path.removeprefix("/tags/")).rstrip("/")
            return "ListTags", {"Tags": self._by_arn(VAULT, arn).tags}
        vault, point = re.fullmatch(r"/backup-vaults/([^/]+)(?:/recovery-points/(.*))?", path).groups()  # type: ignore[union-attr]
        resource = self._account.of(VAULT, vault, "ResourceNotFoundException")
        if method == "GET":
            points = [{"RecoveryPointArn": arn} for arn in resource.contents]
            return "ListRecoveryPointsByBackupVault", {"RecoveryPoints": points}
        if point:
            resource.contents.remove(unquote(point))
            return "DeleteRecoveryPoint", {}
        self._account.delete(VAULT, vault)
        return "DeleteBackupVault", {}

    def _all(self, kind: str) -> list[Resource]:
        return [one for one in self._account.resources.values() if one.kind == kind]

    def _by_arn(self, kind: str, arn: str) -> Resource:
        return next(one for one in self._all(kind) if _arn(one) == arn)

    def _delete(self, kind: str, name: str, missing: str) -> None:
        self._account.of(kind, name, missing)
        self._account.delete(kind, name)

    def _table(self, given: dict[str, Any]) -> dict[str, Any]:
        table = self._account.of(TABLE, given["TableName"], "ResourceNotFoundException")
        size = sum(map(len, table.contents))
        numbers = {"ItemCount": len(table.contents), "TableSizeBytes": size}
        state = {"TableStatus": "ACTIVE", "DeletionProtectionEnabled": table.protected}
        return {"TableName": table.name, "TableArn": _arn(table), **numbers, **state}

    def _update_table(self, given: dict[str, Any]) -> dict[str, Any]:
        table = self._account.of(TABLE, given["TableName"], "ResourceNotFoundException")
        table.protected = given["DeletionProtectionEnabled"]
        return {"TableDescription": self._table(given)}

    def _queue(self, name_or_url: str) -> Resource:
        return self._account.of(QUEUE, name_or_url.rpartition("/")[2], NO_QUEUE)

    def _groups(self, prefix: str) -> list[dict[str, Any]]:
        groups = [one for one in self._all(GROUP) if one.name.startswith(prefix)]
        return [
            {"logGroupName": one.name, "arn": f"{_arn(one)}:*", "storedBytes": sum(map(len, one.contents))}
            for one in groups
        ]

    def _key_tags(self, key_id: str) -> list[dict[str, str]]:
        tags = self._account.of(KEY, key_id, "NotFoundException").tags
        if "aws:managed" in tags:
            raise Refused("AccessDeniedException", "not authorized to perform: kms:ListResourceTags")
        return [{"TagKey": key, "TagValue": value} for key, value in tags.items()]

    def _key_metadata(self, key_id: str) -> dict[str, str]:
        key = self._account.of(KEY, key_id, "NotFoundException")
        state = "Enabled" if key.pending_days is None else "PendingDeletion"
        return {"KeyId": key_id, "KeyState": state, "Description": "Encrypts something"}

    def _schedule_key_deletion(self, given: dict[str, Any]) -> dict[str, Any]:
        key = self._account.of(KEY, given["KeyId"], "NotFoundException")
        if not 7 <= given["PendingWindowInDays"] <= 30:
            raise Refused("ValidationException", "PendingWindowInDays must be between 7 and 30")
        if key.pending_days is not None:
            raise Refused("KMSInvalidStateException", f"{key.name} is pending deletion.")
        key.pending_days = given["PendingWindowInDays"]
        return {"KeyId": key.name, "KeyState": "PendingDeletion"}


def _listed(resource: Resource) -> list[dict[str, str]]:
    return [{"Key": key, "Value": value} for key, value in resource.tags.items()]


def _arn(resource: Resource) -> str:
    service, separator = {
        TABLE: ("dynamodb", "table/"),
        GROUP: ("logs", "log-group:"),
        VAULT: ("backup", "backup-vault:"),
    }[resource.kind]
    return f"arn:aws:{service}:{PLACE}:{separator}{resource.name}"
