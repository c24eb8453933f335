"""The services that hold data, from their side: what a purge asks of DynamoDB, SQS, CloudWatch Logs, KMS and Backup.

Answers have the shapes of the services' API references.
"""

from collections.abc import Callable
from functools import cached_property
from typing import Any

from tests.deployer.aws.holdings import Holdings, Refused, Resource, physical_id

PLACE = "eu-west-1:123456789012"
TABLE, QUEUE, GROUP = "AWS::DynamoDB::Table", "AWS::SQS::Queue", "AWS::Logs::LogGroup"
KEY, VAULT = "AWS::KMS::Key", "AWS::Backup::BackupVault"
NO_QUEUE = "AWS.SimpleQueueService.NonExistentQueue"


# Questions about one resource, which may be something else of the account.
_READS = {
    "DescribeBackupVault", "DescribeTable", "GetQueueUrl", "ListQueueTags", "ListTags", "ListTagsForResource",
    "ListTagsOfResource",
}  # fmt: skip


class DataServices:
    def __init__(self, holdings: Holdings) -> None:
        self._holdings = holdings

    def answer(self, operation: str, given: dict[str, Any]) -> dict[str, Any]:
        """Of an operation of the JSON protocols, or of AWS Backup's REST protocol with the parts of its path."""
        return self._answers[operation](given) or {}

    @cached_property
    def _answers(self) -> dict[str, Callable[[dict[str, Any]], dict[str, Any] | None]]:
        return {
            "DescribeTable": lambda given: {"Table": self._table(given)},
            "ListTagsOfResource": lambda given: {"Tags": _listed(self._by_arn(TABLE, given["ResourceArn"]))},
            "UpdateTable": self._update_table,
            "DeleteTable": lambda given: self._delete(TABLE, given["TableName"], "ResourceNotFoundException"),
            "GetQueueUrl": lambda given: {"QueueUrl": physical_id(QUEUE, self._queue(given["QueueName"]).name)},
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
            "ListAliases": lambda _: {"Aliases": self._aliases(), "Truncated": False},
            "DescribeKey": lambda given: {"KeyMetadata": self._key_metadata(given["KeyId"])},
            "ScheduleKeyDeletion": self._schedule_key_deletion,
            "ListBackupVaults": lambda _: {
                "BackupVaultList": [
                    {"BackupVaultName": one.name, "BackupVaultArn": _arn(one)} for one in self._all(VAULT)
                ]
            },
            "DescribeBackupVault": lambda given: {"BackupVaultName": self._vault(given["name"]).name},
            "ListTags": lambda given: {"Tags": self._vault(given["name"]).tags},
            "ListRecoveryPointsByBackupVault": self._recovery_points,
            "DeleteRecoveryPoint": self._delete_recovery_point,
            "DeleteBackupVault": lambda given: self._delete(VAULT, given["name"], "ResourceNotFoundException"),
        }

    def holds(self, service: str, operation: str, given: dict[str, Any]) -> bool:
        """Whether an operation is about something that is held here, or lists or changes what is."""
        if service == "lambda" or operation not in self._answers:
            return False
        kind, name = _subject(operation, given)
        return not kind or operation not in _READS or self._holdings.holds(kind, name)

    def _recovery_points(self, given: dict[str, Any]) -> dict[str, Any]:
        points = [point.split() for point in self._vault(given["name"]).contents]
        return {
            "RecoveryPoints": [
                {"RecoveryPointArn": arn, "Status": status, "ResourceArn": source} for arn, status, source in points
            ]
        }

    def _delete_recovery_point(self, given: dict[str, Any]) -> None:
        """AWS Backup deletes it later.

        https://docs.aws.amazon.com/aws-backup/latest/devguide/API_DeleteRecoveryPoint.html
        """
        contents = self._vault(given["name"]).contents
        point = next(one for one in contents if one.startswith(f"{given['point']} "))
        if " DELETING " in point:
            raise Refused("InvalidResourceStateException", f"{given['point']} is being deleted")
        contents.remove(point)

    def _vault(self, name: str) -> Resource:
        return self._holdings.of(VAULT, name, "ResourceNotFoundException")

    def _all(self, kind: str) -> list[Resource]:
        return [one for one in self._holdings.resources.values() if one.kind == kind]

    def _by_arn(self, kind: str, arn: str) -> Resource:
        return next(one for one in self._all(kind) if _arn(one) == arn)

    def _delete(self, kind: str, name: str, missing: str) -> None:
        self._holdings.of(kind, name, missing)
        self._holdings.delete(kind, name)

    def _table(self, given: dict[str, Any]) -> dict[str, Any]:
        table = self._holdings.of(TABLE, given["TableName"], "ResourceNotFoundException")
        size = sum(map(len, table.contents))
        numbers = {"ItemCount": len(table.contents), "TableSizeBytes": size}
        state = {"TableStatus": "ACTIVE", "DeletionProtectionEnabled": table.protected}
        return {"TableName": table.name, "TableArn": _arn(table), **numbers, **state}

    def _update_table(self, given: dict[str, Any]) -> dict[str, Any]:
        table = self._holdings.of(TABLE, given["TableName"], "ResourceNotFoundException")
        table.protected = given["DeletionProtectionEnabled"]
        return {"TableDescription": self._table(given)}

    def _queue(self, name_or_url: str) -> Resource:
        return self._holdings.of(QUEUE, name_or_url.rpartition("/")[2], NO_QUEUE)

    def _groups(self, prefix: str) -> list[dict[str, Any]]:
        groups = [one for one in self._all(GROUP) if one.name.startswith(prefix)]
        return [
            {"logGroupName": one.name, "arn": f"{_arn(one)}:*", "storedBytes": sum(map(len, one.contents))}
            for one in groups
        ]

    def _key_tags(self, key_id: str) -> list[dict[str, str]]:
        tags = self._holdings.of(KEY, key_id, "NotFoundException").tags
        if "aws:managed" in tags:
            raise Refused("AccessDeniedException", "not authorized to perform: kms:ListResourceTags")
        return [{"TagKey": key, "TagValue": value} for key, value in tags.items()]

    def _aliases(self) -> list[dict[str, str]]:
        """An alias goes with its key.

        https://docs.aws.amazon.com/kms/latest/developerguide/kms-alias.html
        """
        aliases = self._holdings.aliases.items()
        return [{"AliasName": one, "TargetKeyId": key} for one, key in aliases if self._holdings.holds(KEY, key)]

    def _key_metadata(self, key_id: str) -> dict[str, str]:
        key = self._holdings.of(KEY, key_id, "NotFoundException")
        state = "Enabled" if key.pending_days is None else "PendingDeletion"
        return {"KeyId": key_id, "KeyState": state, "Description": key.description}

    def _schedule_key_deletion(self, given: dict[str, Any]) -> dict[str, Any]:
        key = self._holdings.of(KEY, given["KeyId"], "NotFoundException")
        if not 7 <= given["PendingWindowInDays"] <= 30:
            raise Refused("ValidationException", "PendingWindowInDays must be between 7 and 30")
        if key.pending_days is not None:
            raise Refused("KMSInvalidStateException", f"{key.name} is pending deletion.")
        key.pending_days = given["PendingWindowInDays"]
        return {"KeyId": key.name, "KeyState": "PendingDeletion"}


def _subject(operation: str, given: dict[str, Any]) -> tuple[str, str]:
    """The type and the name of what is asked about; empty where it is not one resource of a name."""
    if operation in ("DescribeBackupVault", "ListTags"):
        return VAULT, given["name"]
    if operation in ("DescribeTable", "ListTagsOfResource"):
        return TABLE, given.get("TableName") or given["ResourceArn"].rpartition("/")[2]
    if operation in ("GetQueueUrl", "ListQueueTags"):
        return QUEUE, given.get("QueueName") or given["QueueUrl"].rpartition("/")[2]
    if operation == "ListTagsForResource":
        return GROUP, given["resourceArn"].rpartition("log-group:")[2]
    return "", ""


def _listed(resource: Resource) -> list[dict[str, str]]:
    return [{"Key": key, "Value": value} for key, value in resource.tags.items()]


def _arn(resource: Resource) -> str:
    service, separator = {
        TABLE: ("dynamodb", "table/"),
        GROUP: ("logs", "log-group:"),
        VAULT: ("backup", "backup-vault:"),
    }[resource.kind]
    return f"arn:aws:{service}:{PLACE}:{separator}{resource.name}"
