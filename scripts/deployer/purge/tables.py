"""DynamoDB tables."""

from typing import Any

from scripts.common.errors import UserError
from scripts.common.waiting import poll_with_backoff

from .leftover import Leftover, format_count, format_size

_TYPE = "AWS::DynamoDB::Table"
_LONGEST_SECONDS = 10 * 60


class Tables:
    name_property = "TableName"
    loss = "its items and their point-in-time recovery"

    def __init__(self, client: Any) -> None:
        self._client = client

    def find(self, name: str) -> Leftover | None:
        table = self._describe_table(name)
        if not table or table["TableStatus"] == "DELETING":
            return None
        pages = self._client.get_paginator("list_tags_of_resource").paginate(ResourceArn=table["TableArn"])
        tags = {tag["Key"]: tag["Value"] for page in pages for tag in page["Tags"]}
        # DynamoDB updates both about every six hours.
        contents = f"about {format_count(table['ItemCount'], 'item')}, {format_size(table['TableSizeBytes'])}"
        return Leftover(_TYPE, name, name, tags, contents)

    def delete(self, leftover: Leftover) -> None:
        """Switch deletion protection off, delete, and wait; it is back on if the table is not deleted."""
        is_protected = bool(self._describe_table(leftover.id).get("DeletionProtectionEnabled"))
        if is_protected:
            self._set_protection(leftover.id, False)
        try:
            self._client.delete_table(TableName=leftover.id)
        except BaseException:
            if is_protected:
                self._set_protection(leftover.id, True)
            raise
        for _ in poll_with_backoff(_LONGEST_SECONDS):
            if not self._describe_table(leftover.id):
                return
        raise UserError(f"{leftover} is still being deleted after {_LONGEST_SECONDS // 60} minutes; try again")

    def _set_protection(self, name: str, enabled: bool) -> None:
        self._client.update_table(TableName=name, DeletionProtectionEnabled=enabled)
        for _ in poll_with_backoff(_LONGEST_SECONDS):
            if self._describe_table(name).get("TableStatus") == "ACTIVE":
                return
        raise UserError(f"{name} is not ACTIVE after {_LONGEST_SECONDS // 60} minutes; try again")

    def _describe_table(self, name: str) -> dict[str, Any]:
        """Empty for a table that does not exist."""
        try:
            table: dict[str, Any] = self._client.describe_table(TableName=name)["Table"]
        except self._client.exceptions.ResourceNotFoundException:
            return {}
        return table
