"""What AWS says of where messages go: queues, topics, and who is subscribed."""

import json
from collections.abc import Callable, Mapping
from typing import Any

from .expected import Expected
from .results import Failed

Clients = Callable[[str], Any]


def queue(client: Clients, resource: Expected) -> dict[str, Any]:
    sqs = client("sqs")
    attributes = sqs.get_queue_attributes(QueueUrl=resource.physical_id, AttributeNames=["All"])["Attributes"]
    names = ("MessageRetentionPeriod", "VisibilityTimeout", "KmsMasterKeyId", "SqsManagedSseEnabled")
    tags = sqs.list_queue_tags(QueueUrl=resource.physical_id).get("Tags", {})
    return {name: attributes.get(name) for name in names} | {"Tags": _pairs(tags)}


def topic(client: Clients, resource: Expected) -> dict[str, Any]:
    sns = client("sns")
    attributes = sns.get_topic_attributes(TopicArn=resource.physical_id)["Attributes"]
    tags = sns.list_tags_for_resource(ResourceArn=resource.physical_id)["Tags"]
    return {"KmsMasterKeyId": attributes.get("KmsMasterKeyId"), "Tags": tags}


def subscription(client: Clients, resource: Expected) -> dict[str, Any]:
    """Raises ``Failed`` for one that the topic does not have, or that is not confirmed: it has no ARN until then.

    Only the list is documented to have the protocol and the endpoint:
    https://docs.aws.amazon.com/sns/latest/api/API_GetSubscriptionAttributes.html
    https://docs.aws.amazon.com/sns/latest/api/API_Subscription.html
    """
    sns, expected = client("sns"), resource.properties
    pages = sns.get_paginator("list_subscriptions_by_topic").paginate(TopicArn=expected["TopicArn"])
    listed = [subscription for page in pages for subscription in page["Subscriptions"]]
    # CloudFormation may keep the id of the time before it was confirmed.
    by_arn = [subscription for subscription in listed if subscription["SubscriptionArn"] == resource.physical_id]
    by_endpoint = [
        subscription
        for subscription in listed
        if all(subscription[name] == expected[name] for name in ("Protocol", "Endpoint"))
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


def _pairs(tags: Mapping[str, str]) -> list[dict[str, str]]:
    return [{"Key": key, "Value": value} for key, value in tags.items()]
