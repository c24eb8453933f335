"""DynamoDB tables."""

from rich import filesize

from scripts.common.clients import DynamoDBClient, TableDescriptionTypeDef, WaiterConfigTypeDef

from .leftover import Leftover, format_count

_TYPE = "AWS::DynamoDB::Table"
# Ten minutes.
_WAITING: WaiterConfigTypeDef = {"Delay": 2, "MaxAttempts": 300}


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
        self._client.get_waiter("table_not_exists").wait(TableName=leftover.id, WaiterConfig=_WAITING)

    def _set_protection(self, name: str, enabled: bool) -> None:
        self._client.update_table(TableName=name, DeletionProtectionEnabled=enabled)
        self._client.get_waiter("table_exists").wait(TableName=name, WaiterConfig=_WAITING)

    def _describe_table(self, name: str) -> TableDescriptionTypeDef | None:
        try:
            return self._client.describe_table(TableName=name)["Table"]
        except self._client.exceptions.ResourceNotFoundException:
            return None
