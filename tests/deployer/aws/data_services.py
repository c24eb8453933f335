"""DynamoDB, SQS, CloudWatch Logs, KMS, AWS Backup and the list of tagged resources, as far as a purge uses them.

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
# The error of each service for a resource that does not exist.
MISSING = {
    TABLE: "ResourceNotFoundException",
    QUEUE: NO_QUEUE,
    GROUP: "ResourceNotFoundException",
    KEY: "NotFoundException",
    VAULT: "ResourceNotFoundException",
}
# Operations that read one resource, which may be held elsewhere in the account.
_READS = {
    "DescribeBackupVault", "DescribeTable", "GetQueueUrl", "ListQueueTags", "ListTags", "ListTagsForResource",
    "ListTagsOfResource",
}  # fmt: skip


# At most 100 resources are in a page, and there may be fewer.
_TAGGED_PAGE = 6


class DataServices:
    def __init__(self, holdings: Holdings) -> None:
        self._holdings = holdings

    def answer_request(self, operation: str, request: dict[str, Any]) -> dict[str, Any]:
        """Answer an operation of the JSON protocols, or of AWS Backup's REST protocol with the parts of its path."""
        return self._answers[operation](request) or {}

    @cached_property
    def _answers(self) -> dict[str, Callable[[dict[str, Any]], dict[str, Any] | None]]:
        return {
            "DescribeTable": lambda request: {"Table": self._describe_table(request)},
            "ListTagsOfResource": lambda request: {
                "Tags": _list_tags(self._find_by_arn(TABLE, request["ResourceArn"]))
            },
            "UpdateTable": self._update_table,
            "DeleteTable": lambda request: self._delete_resource(TABLE, request["TableName"]),
            "GetQueueUrl": lambda request: {
                "QueueUrl": physical_id(QUEUE, self._find_queue(request["QueueName"]).name)
            },
            "ListQueueTags": lambda request: {"Tags": self._find_queue(request["QueueUrl"]).tags},
            "GetQueueAttributes": self._get_queue_attributes,
            "DeleteQueue": lambda request: self._delete_resource(QUEUE, self._find_queue(request["QueueUrl"]).name),
            "DescribeLogGroups": self._describe_log_groups,
            "ListTagsForResource": lambda request: {"tags": self._find_by_arn(GROUP, request["resourceArn"]).tags},
            "DeleteLogGroup": lambda request: self._delete_resource(GROUP, request["logGroupName"]),
            "ListKeys": lambda _: {"Keys": [{"KeyId": key.name} for key in self._select_resources(KEY)]},
            "ListResourceTags": self._list_key_tags,
            "ListAliases": lambda _: {"Aliases": self._list_aliases()},
            "DescribeKey": self._describe_key,
            "ScheduleKeyDeletion": self._schedule_key_deletion,
            "ListBackupVaults": lambda _: {
                "BackupVaultList": [
                    {"BackupVaultName": vault.name, "BackupVaultArn": _make_arn(vault)}
                    | ({"EncryptionKeyArn": vault.key_arn} if vault.key_arn else {})
                    for vault in self._select_resources(VAULT)
                ]
            },
            "DescribeBackupVault": lambda request: {"BackupVaultName": self._find(VAULT, request["name"]).name},
            "ListTags": lambda request: {"Tags": self._find(VAULT, request["name"]).tags},
            "ListRecoveryPointsByBackupVault": self._list_recovery_points,
            "DeleteRecoveryPoint": self._delete_recovery_point,
            "DeleteBackupVault": lambda request: self._delete_resource(VAULT, request["name"]),
        }

    def is_responsible(self, service: str, operation: str, request: dict[str, Any]) -> bool:
        """Tell whether an operation concerns a resource that is held here, or lists or changes such resources."""
        if service == "lambda" or operation not in self._answers:
            return False
        kind, name = _identify_resource(operation, request)
        return not kind or operation not in _READS or self._holdings.holds(kind, name)

    def list_tagged(self, request: dict[str, Any], others: dict[str, dict[str, str]]) -> dict[str, Any]:
        """Answer GetResources, in small pages, with what was deleted as well; ``others`` are the tags by ARN.

        https://docs.aws.amazon.com/resourcegroupstagging/latest/APIReference/API_GetResources.html
        https://github.com/aws/aws-sdk/issues/302
        """
        held = [*self._holdings.resources.values(), *self._holdings.deleted]
        resources = {_make_arn(resource): resource.tags for resource in held} | others
        matching = [
            {"ResourceARN": arn, "Tags": [{"Key": key, "Value": value} for key, value in tags.items()]}
            for arn, tags in resources.items()
            if all(tags.get(tag_filter["Key"]) in tag_filter["Values"] for tag_filter in request["TagFilters"])
        ]
        first = int(request.get("PaginationToken") or 0)
        following = first + _TAGGED_PAGE
        token = str(following) if following < len(matching) else ""
        return {"ResourceTagMappingList": matching[first:following], "PaginationToken": token}

    def _list_recovery_points(self, request: dict[str, Any]) -> dict[str, Any]:
        points = [point.split() for point in self._find(VAULT, request["name"]).contents]
        names = ("RecoveryPointArn", "Status", "ResourceArn")
        return {"RecoveryPoints": [dict(zip(names, point, strict=True)) for point in points]}

    def _delete_recovery_point(self, request: dict[str, Any]) -> None:
        """Delete a point, unless AWS Backup is deleting it already.

        https://docs.aws.amazon.com/aws-backup/latest/devguide/API_DeleteRecoveryPoint.html
        """
        contents = self._find(VAULT, request["name"]).contents
        point = next(item for item in contents if item.startswith(f"{request['point']} "))
        if " DELETING " in point:
            raise Refused("InvalidResourceStateException", f"{request['point']} is being deleted")
        contents.remove(point)

    def _find(self, kind: str, name: str) -> Resource:
        return self._holdings.find_resource(kind, name, MISSING[kind])

    def _select_resources(self, kind: str) -> list[Resource]:
        return [resource for resource in self._holdings.resources.values() if resource.kind == kind]

    def _find_by_arn(self, kind: str, arn: str) -> Resource:
        return next(resource for resource in self._select_resources(kind) if _make_arn(resource) == arn)

    def _delete_resource(self, kind: str, name: str) -> None:
        self._find(kind, name)
        self._holdings.delete_resource(kind, name)

    def _describe_table(self, request: dict[str, Any]) -> dict[str, Any]:
        table = self._find(TABLE, request["TableName"])
        numbers = {"ItemCount": len(table.contents), "TableSizeBytes": sum(map(len, table.contents))}
        state = {"TableStatus": "ACTIVE", "DeletionProtectionEnabled": table.protected}
        encryption = {"SSEDescription": {"Status": "ENABLED", "SSEType": "KMS", "KMSMasterKeyArn": table.key_arn}}
        described = {"TableName": table.name, "TableArn": _make_arn(table), **numbers, **state, **table.key}
        return described | (encryption if table.key_arn else {})

    def _update_table(self, request: dict[str, Any]) -> dict[str, Any]:
        self._find(TABLE, request["TableName"]).protected = request["DeletionProtectionEnabled"]
        return {"TableDescription": self._describe_table(request)}

    def _find_queue(self, name_or_url: str) -> Resource:
        return self._find(QUEUE, name_or_url.rpartition("/")[2])

    def _get_queue_attributes(self, request: dict[str, Any]) -> dict[str, Any]:
        queue = self._find_queue(request["QueueUrl"])
        encryption = {"KmsMasterKeyId": queue.key_arn} if queue.key_arn else {}
        return {"Attributes": {"ApproximateNumberOfMessages": str(len(queue.contents)), **encryption}}

    def _describe_log_groups(self, request: dict[str, Any]) -> dict[str, Any]:
        return {
            "logGroups": [
                {
                    "logGroupName": group.name,
                    "arn": f"{_make_arn(group)}:*",
                    "storedBytes": sum(map(len, group.contents)),
                }
                | ({"kmsKeyId": group.key_arn} if group.key_arn else {})
                for group in self._select_resources(GROUP)
                if group.name.startswith(request["logGroupNamePrefix"])
            ]
        }

    def _list_key_tags(self, request: dict[str, Any]) -> dict[str, Any]:
        tags = self._find(KEY, request["KeyId"]).tags
        if "aws:managed" in tags:
            raise Refused("AccessDeniedException", "not authorized to perform: kms:ListResourceTags")
        return {"Tags": [{"TagKey": key, "TagValue": value} for key, value in tags.items()]}

    def _list_aliases(self) -> list[dict[str, str]]:
        """List the aliases of existing keys: an alias is deleted with its key.

        https://docs.aws.amazon.com/kms/latest/developerguide/kms-alias.html
        """
        aliases = self._holdings.aliases.items()
        return [{"AliasName": alias, "TargetKeyId": key} for alias, key in aliases if self._holdings.holds(KEY, key)]

    def _describe_key(self, request: dict[str, Any]) -> dict[str, Any]:
        key = self._find(KEY, request["KeyId"])
        state = "Enabled" if key.pending_days is None else "PendingDeletion"
        return {"KeyMetadata": {"KeyId": key.name, "KeyState": state, "Description": key.description}}

    def _schedule_key_deletion(self, request: dict[str, Any]) -> dict[str, Any]:
        key = self._find(KEY, request["KeyId"])
        if not 7 <= request["PendingWindowInDays"] <= 30:
            raise Refused("ValidationException", "PendingWindowInDays must be between 7 and 30")
        if key.pending_days is not None:
            raise Refused("KMSInvalidStateException", f"{key.name} is pending deletion.")
        key.pending_days = request["PendingWindowInDays"]
        return {"KeyId": key.name, "KeyState": "PendingDeletion"}


def _identify_resource(operation: str, request: dict[str, Any]) -> tuple[str, str]:
    """Return the type and the name of the resource in a request; both are empty if it does not name one."""
    if operation in ("DescribeBackupVault", "ListTags"):
        return VAULT, request["name"]
    if operation in ("DescribeTable", "ListTagsOfResource"):
        return TABLE, request.get("TableName") or request["ResourceArn"].rpartition("/")[2]
    if operation in ("GetQueueUrl", "ListQueueTags"):
        return QUEUE, request.get("QueueName") or request["QueueUrl"].rpartition("/")[2]
    if operation == "ListTagsForResource":
        return GROUP, request["resourceArn"].rpartition("log-group:")[2]
    return "", ""


def _list_tags(resource: Resource) -> list[dict[str, str]]:
    return [{"Key": key, "Value": value} for key, value in resource.tags.items()]


def _make_arn(resource: Resource) -> str:
    prefix = {
        TABLE: "dynamodb:{}:table/",
        GROUP: "logs:{}:log-group:",
        VAULT: "backup:{}:backup-vault:",
        KEY: "kms:{}:key/",
        QUEUE: "sqs:{}:",
    }[resource.kind]
    return f"arn:aws:{prefix.format(PLACE)}{resource.name}"
