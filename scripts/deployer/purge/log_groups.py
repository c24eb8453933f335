"""CloudWatch log groups."""

from rich import filesize

from scripts.common.clients import CloudWatchLogsClient

from .leftover import Leftover

_TYPE = "AWS::Logs::LogGroup"


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
        return Leftover(_TYPE, name, name, tags, f"about {filesize.decimal(groups[0].get('storedBytes', 0))}")

    def delete(self, leftover: Leftover) -> None:
        self._client.delete_log_group(logGroupName=leftover.id)
