"""Describes tables, backups, queues, topics, subscriptions, and buckets as AWS has them."""

import json
from collections.abc import Callable
from typing import Any

from botocore.exceptions import ClientError

from scripts.common.clients import ClientFactory, QueueAttributeNameType

from .expected import Expected
from .results import Failed

_NO_CONFIGURATION = ("NoSuchBucketPolicy", "NoSuchPublicAccessBlockConfiguration", "NoSuchTagSet")


def describe_table(client: ClientFactory, resource: Expected) -> dict[str, Any]:
    dynamodb, name = client("dynamodb"), resource.physical_id
    table = dynamodb.describe_table(TableName=name)["Table"]
    backups = dynamodb.describe_continuous_backups(TableName=name)["ContinuousBackupsDescription"]
    recovery = backups.get("PointInTimeRecoveryDescription", {}).get("PointInTimeRecoveryStatus")
    encryption = table.get("SSEDescription", {})
    indexes = table.get("GlobalSecondaryIndexes", [])
    return {
        "BillingMode": table.get("BillingModeSummary", {}).get("BillingMode", "PROVISIONED"),
        "KeySchema": table["KeySchema"],
        "GlobalSecondaryIndexes": [
            {"IndexName": index["IndexName"], "KeySchema": index["KeySchema"], "Projection": index["Projection"]}
            for index in indexes
        ],
        "DeletionProtectionEnabled": table.get("DeletionProtectionEnabled", False),
        "SSESpecification": {
            # https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_SSEDescription.html
            "SSEEnabled": encryption.get("Status") in ("ENABLED", "UPDATING"),
            "SSEType": encryption.get("SSEType"),
            "KMSMasterKeyId": encryption.get("KMSMasterKeyArn"),
        },
        "PointInTimeRecoverySpecification": {"PointInTimeRecoveryEnabled": recovery == "ENABLED"},
        "Tags": dynamodb.list_tags_of_resource(ResourceArn=table["TableArn"])["Tags"],
    }


def describe_vault(client: ClientFactory, resource: Expected) -> dict[str, Any]:
    backup = client("backup")
    vault = backup.describe_backup_vault(BackupVaultName=resource.physical_id)
    tags = backup.list_tags(ResourceArn=vault["BackupVaultArn"])["Tags"]
    return {"EncryptionKeyArn": vault.get("EncryptionKeyArn"), "BackupVaultTags": tags}


def describe_backup_plan(client: ClientFactory, resource: Expected) -> dict[str, Any]:
    plan = client("backup").get_backup_plan(BackupPlanId=resource.physical_id)["BackupPlan"]
    names = {"TargetBackupVaultName": "TargetBackupVault"}
    rules = [{names.get(name, name): value for name, value in rule.items()} for rule in plan["Rules"]]
    return {"BackupPlan": {"BackupPlanName": plan["BackupPlanName"], "BackupPlanRule": rules}}


def describe_backup_selection(client: ClientFactory, resource: Expected) -> dict[str, Any]:
    backup, plan = client("backup"), resource.properties["BackupPlanId"]
    pages = backup.get_paginator("list_backup_selections").paginate(BackupPlanId=plan)
    selection_ids = [selection["SelectionId"] for page in pages for selection in page["BackupSelectionsList"]]
    selection_id = next((candidate for candidate in selection_ids if candidate in resource.physical_id), None)
    if selection_id is None:
        raise Failed(f"the backup plan {plan} has no selection {resource.physical_id}")
    selection = backup.get_backup_selection(BackupPlanId=plan, SelectionId=selection_id)["BackupSelection"]
    return {"BackupSelection": {name: selection[name] for name in ("SelectionName", "IamRoleArn", "Resources")}}


def describe_queue(client: ClientFactory, resource: Expected) -> dict[str, Any]:
    sqs = client("sqs")
    attributes = sqs.get_queue_attributes(QueueUrl=resource.physical_id, AttributeNames=["All"])["Attributes"]
    names: tuple[QueueAttributeNameType, ...]
    names = ("MessageRetentionPeriod", "VisibilityTimeout", "KmsMasterKeyId", "SqsManagedSseEnabled")
    tags = sqs.list_queue_tags(QueueUrl=resource.physical_id).get("Tags", {})
    return {name: attributes.get(name) for name in names} | {"Tags": tags}


def describe_topic(client: ClientFactory, resource: Expected) -> dict[str, Any]:
    sns = client("sns")
    attributes = sns.get_topic_attributes(TopicArn=resource.physical_id)["Attributes"]
    tags = sns.list_tags_for_resource(ResourceArn=resource.physical_id)["Tags"]
    return {"KmsMasterKeyId": attributes.get("KmsMasterKeyId"), "Tags": tags}


def describe_subscription(client: ClientFactory, resource: Expected) -> dict[str, Any]:
    """Raise ``Failed`` for one that the topic does not have, or that is not confirmed and so has no ARN.

    Only the list is documented to have the protocol and the endpoint:
    https://docs.aws.amazon.com/sns/latest/api/API_GetSubscriptionAttributes.html
    https://docs.aws.amazon.com/sns/latest/api/API_Subscription.html
    """
    sns, expected = client("sns"), resource.properties
    pages = sns.get_paginator("list_subscriptions_by_topic").paginate(TopicArn=expected["TopicArn"])
    subscriptions = [subscription for page in pages for subscription in page["Subscriptions"]]
    # CloudFormation may keep the id that the subscription had before it was confirmed.
    by_arn = [entry for entry in subscriptions if entry["SubscriptionArn"] == resource.physical_id]
    by_endpoint = [
        entry for entry in subscriptions if all(entry[name] == expected[name] for name in ("Protocol", "Endpoint"))
    ]
    subscription = next(iter([*by_arn, *by_endpoint]), None)
    if subscription is None:
        raise Failed(f"{resource.path}: {expected['Endpoint']} is not subscribed to the topic; deploy again")
    if not subscription["SubscriptionArn"].startswith("arn:"):
        raise Failed(
            f"{resource.path}: {expected['Endpoint']} has not confirmed the subscription, so its dead-letter queue and "
            "its filter cannot be read; confirm it by the link in SNS's message"
        )
    attributes = sns.get_subscription_attributes(SubscriptionArn=subscription["SubscriptionArn"])["Attributes"]
    policies = {name: json.loads(attributes.get(name) or "{}") for name in ("RedrivePolicy", "FilterPolicy")}
    return {name: subscription[name] for name in ("TopicArn", "Protocol", "Endpoint")} | policies


def describe_bucket(client: ClientFactory, resource: Expected) -> dict[str, Any]:
    s3, name = client("s3"), resource.physical_id
    encryption = s3.get_bucket_encryption(Bucket=name)["ServerSideEncryptionConfiguration"]["Rules"]
    rules: list[dict[str, Any]] = [
        {
            "ServerSideEncryptionByDefault": {
                "SSEAlgorithm": rule["ApplyServerSideEncryptionByDefault"]["SSEAlgorithm"],
                "KMSMasterKeyID": rule["ApplyServerSideEncryptionByDefault"].get("KMSMasterKeyID"),
            },
            "BucketKeyEnabled": rule.get("BucketKeyEnabled", False),
        }
        for rule in encryption
    ]
    public_access = _get_unless_missing(s3.get_public_access_block, name, "PublicAccessBlockConfiguration")
    return {
        "BucketEncryption": {"ServerSideEncryptionConfiguration": rules},
        "VersioningConfiguration": {"Status": s3.get_bucket_versioning(Bucket=name).get("Status", "Suspended")},
        "PublicAccessBlockConfiguration": public_access or {},
        "Tags": _get_unless_missing(s3.get_bucket_tagging, name, "TagSet") or [],
    }


def describe_bucket_policy(client: ClientFactory, resource: Expected) -> dict[str, Any]:
    policy = _get_unless_missing(client("s3").get_bucket_policy, resource.properties["Bucket"], "Policy")
    return {"PolicyDocument": json.loads(policy or "{}")}


def _get_unless_missing(get: Callable[..., Any], bucket: str, field: str) -> Any:
    """Return a field of the answer; None if the bucket has no such configuration.

    https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html
    """
    try:
        return get(Bucket=bucket)[field]
    except ClientError as error:
        if error.response["Error"]["Code"] not in _NO_CONFIGURATION:
            raise
        return None
