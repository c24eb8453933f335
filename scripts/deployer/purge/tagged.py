"""Finds everything that has the two tags of an environment, whatever its name and whichever release made it.

Whoever may call ``tag:GetResources`` has all of them in one list, without reading the tags of other teams' resources.
The list may lag, and may still hold what is deleted: each of its resources has to be read again.
https://docs.aws.amazon.com/resourcegroupstagging/latest/APIReference/API_GetResources.html
https://github.com/aws/aws-sdk/issues/302
"""

import re
from typing import Any, NamedTuple

from ..stack import OWNER_TAG
from .leftover import ENVIRONMENT_TAG

# The name in an ARN, by the type of the resource; what precedes it is the partition.
# https://docs.aws.amazon.com/service-authorization/latest/reference/reference_policies_actions-resources-contextkeys.html
_NAMES = {
    "AWS::Backup::BackupVault": re.compile(r"backup:[^:]*:[^:]*:backup-vault:(.+)"),
    "AWS::DynamoDB::Table": re.compile(r"dynamodb:[^:]*:[^:]*:table/([^/]+)"),
    "AWS::Logs::LogGroup": re.compile(r"logs:[^:]*:[^:]*:log-group:([^:]+)(?::\*)?"),
    "AWS::S3::Bucket": re.compile(r"s3:[^:]*:[^:]*:([^/]+)"),
    "AWS::SQS::Queue": re.compile(r"sqs:[^:]*:[^:]*:(.+)"),
}
# What the templates create besides, none of which holds data; keys are found by their own tags (keys.py).
_WITHOUT_DATA = re.compile(
    r"backup:[^:]*:[^:]*:backup-plan:|kms:[^:]*:[^:]*:key/"
    r"|(cloudformation|cloudwatch|codedeploy|events|iam|lambda|sns|states):"
)


class Tagged(NamedTuple):
    # The types and names of the resources that a purge can delete.
    names: list[tuple[str, str]]
    # The ARNs of all others that may hold data.
    others: list[str]


def find_tagged(client: Any, environment: str) -> Tagged:
    filters = {OWNER_TAG["Key"]: OWNER_TAG["Value"], ENVIRONMENT_TAG: environment}
    pages = client.get_paginator("get_resources").paginate(
        TagFilters=[{"Key": key, "Values": [value]} for key, value in filters.items()]
    )
    tagged = Tagged([], [])
    for page in pages:
        for resource in page["ResourceTagMappingList"]:
            arn = resource["ResourceARN"]
            if name := _read_name(arn):
                tagged.names.append(name)
            elif not _WITHOUT_DATA.match(_cut_partition(arn)):
                tagged.others.append(arn)
    return tagged


def _read_name(arn: str) -> tuple[str, str] | None:
    for resource_type, pattern in _NAMES.items():
        if match := pattern.fullmatch(_cut_partition(arn)):
            return resource_type, match[1]
    return None


def _cut_partition(arn: str) -> str:
    """Return the ARN from the name of its service on."""
    return arn.split(":", 2)[-1]
