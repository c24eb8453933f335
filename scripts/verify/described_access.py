"""Describes roles, policies, keys, and the policies of resources as AWS has them."""

import json
from typing import Any

from scripts.common.clients import ClientFactory

from .expected import Expected


def describe_role(client: ClientFactory, resource: Expected) -> dict[str, Any]:
    iam, name = client("iam"), resource.physical_id
    role = iam.get_role(RoleName=name)["Role"]
    attached = iam.get_paginator("list_attached_role_policies").paginate(RoleName=name)
    inline = iam.get_paginator("list_role_policies").paginate(RoleName=name)
    return {
        "AssumeRolePolicyDocument": role["AssumeRolePolicyDocument"],
        "ManagedPolicyArns": [policy["PolicyArn"] for page in attached for policy in page["AttachedPolicies"]],
        # A role of the templates has no inline policies.
        "Policies": [policy for page in inline for policy in page["PolicyNames"]],
        "PermissionsBoundary": role.get("PermissionsBoundary", {}).get("PermissionsBoundaryArn"),
        "Tags": role.get("Tags", []),
    }


def describe_managed_policy(client: ClientFactory, resource: Expected) -> dict[str, Any]:
    iam = client("iam")
    version = iam.get_policy(PolicyArn=resource.physical_id)["Policy"]["DefaultVersionId"]
    policy = iam.get_policy_version(PolicyArn=resource.physical_id, VersionId=version)
    return {"PolicyDocument": policy["PolicyVersion"]["Document"]}


def describe_key(client: ClientFactory, resource: Expected) -> dict[str, Any]:
    kms, key = client("kms"), resource.physical_id
    state = kms.describe_key(KeyId=key)["KeyMetadata"]["KeyState"]
    return {
        "Enabled": state == "Enabled" or state,
        "EnableKeyRotation": kms.get_key_rotation_status(KeyId=key)["KeyRotationEnabled"],
        "KeyPolicy": json.loads(kms.get_key_policy(KeyId=key, PolicyName="default")["Policy"]),
        "Tags": kms.list_resource_tags(KeyId=key)["Tags"],
    }


def describe_key_alias(client: ClientFactory, resource: Expected) -> dict[str, Any]:
    return {"TargetKeyId": client("kms").describe_key(KeyId=resource.physical_id)["KeyMetadata"]["KeyId"]}


def describe_queue_policy(client: ClientFactory, resource: Expected) -> dict[str, Any]:
    url = resource.properties["Queues"][0]
    attributes = client("sqs").get_queue_attributes(QueueUrl=url, AttributeNames=["Policy"]).get("Attributes", {})
    return {"PolicyDocument": json.loads(attributes.get("Policy") or "{}")}


def describe_topic_policy(client: ClientFactory, resource: Expected) -> dict[str, Any]:
    attributes = client("sns").get_topic_attributes(TopicArn=resource.properties["Topics"][0])["Attributes"]
    return {"PolicyDocument": json.loads(attributes.get("Policy") or "{}")}
