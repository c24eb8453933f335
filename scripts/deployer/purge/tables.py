"""DynamoDB tables."""

from rich import filesize

from scripts.common.clients import DynamoDBClient, TableDescriptionTypeDef
from scripts.common.errors import UserError
from scripts.common.waiting import poll_with_backoff

from .leftover import Leftover, format_count

_TYPE = "AWS::DynamoDB::Table"
_TIMEOUT_SECONDS = 10 * 60


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
        return Leftover(_TYPE, name, name, tags, contents)

    def delete(self, leftover: Leftover) -> None:
        """Switch deletion protection off, delete the table, and wait; switch it on again if the deletion is refused."""
        table = self._describe_table(leftover.id)
        is_protected = table is not None and table.get("DeletionProtectionEnabled", False)
        if is_protected:
            self._set_protection(leftover.id, False)
        try:
            self._client.delete_table(TableName=leftover.id)
        except BaseException:
            if is_protected:
                self._set_protection(leftover.id, True)
            raise
        for _ in poll_with_backoff(_TIMEOUT_SECONDS):
            if self._describe_table(leftover.id) is None:
                return
        raise UserError(f"{leftover} is still being deleted after {_TIMEOUT_SECONDS // 60} minutes; try again")

    def _set_protection(self, name: str, enabled: bool) -> None:
        self._client.update_table(TableName=name, DeletionProtectionEnabled=enabled)
        for _ in poll_with_backoff(_TIMEOUT_SECONDS):
            table = self._describe_table(name)
            if table is not None and table["TableStatus"] == "ACTIVE":
                return
        raise UserError(f"{name} is not ACTIVE after {_TIMEOUT_SECONDS // 60} minutes; try again")

    def _describe_table(self, name: str) -> TableDescriptionTypeDef | None:
        try:
            return self._client.describe_table(TableName=name)["Table"]
        except self._client.exceptions.ResourceNotFoundException:
            return None
