"""What AWS says of who may do what: roles, policies, keys, and the policies of resources."""

import json
from collections.abc import Callable
from typing import Any

from .expected import Expected

Clients = Callable[[str], Any]


def role(client: Clients, resource: Expected) -> dict[str, Any]:
    iam = client("iam")
    described = iam.get_role(RoleName=resource.physical_id)["Role"]
    attached = iam.list_attached_role_policies(RoleName=resource.physical_id)["AttachedPolicies"]
    inline = iam.list_role_policies(RoleName=resource.physical_id)["PolicyNames"]
    return {
        "AssumeRolePolicyDocument": _document(described["AssumeRolePolicyDocument"]),
        "ManagedPolicyArns": [policy["PolicyArn"] for policy in attached],
        # A role of the templates has no inline policies.
        "Policies": inline,
        "PermissionsBoundary": described.get("PermissionsBoundary", {}).get("PermissionsBoundaryArn"),
        "Tags": described.get("Tags", []),
    }


def managed_policy(client: Clients, resource: Expected) -> dict[str, Any]:
    iam = client("iam")
    version = iam.get_policy(PolicyArn=resource.physical_id)["Policy"]["DefaultVersionId"]
    described = iam.get_policy_version(PolicyArn=resource.physical_id, VersionId=version)
    return {"PolicyDocument": _document(described["PolicyVersion"]["Document"])}


def key(client: Clients, resource: Expected) -> dict[str, Any]:
    kms = client("kms")
    described = kms.describe_key(KeyId=resource.physical_id)["KeyMetadata"]
    policy = kms.get_key_policy(KeyId=resource.physical_id, PolicyName="default")["Policy"]
    return {
        # A template leaves it out: a key is enabled.
        "Enabled": described["KeyState"] == "Enabled" or described["KeyState"],
        "EnableKeyRotation": kms.get_key_rotation_status(KeyId=resource.physical_id)["KeyRotationEnabled"],
        "KeyPolicy": json.loads(policy),
        "Tags": [
            {"Key": tag["TagKey"], "Value": tag["TagValue"]}
            for tag in kms.list_resource_tags(KeyId=resource.physical_id)["Tags"]
        ],
    }


def key_alias(client: Clients, resource: Expected) -> dict[str, Any]:
    return {"TargetKeyId": client("kms").describe_key(KeyId=resource.physical_id)["KeyMetadata"]["KeyId"]}


def queue_policy(client: Clients, resource: Expected) -> dict[str, Any]:
    url = resource.properties["Queues"][0]
    attributes = client("sqs").get_queue_attributes(QueueUrl=url, AttributeNames=["Policy"]).get("Attributes", {})
    return {"PolicyDocument": json.loads(attributes.get("Policy") or "{}")}


def topic_policy(client: Clients, resource: Expected) -> dict[str, Any]:
    attributes = client("sns").get_topic_attributes(TopicArn=resource.properties["Topics"][0])["Attributes"]
    return {"PolicyDocument": json.loads(attributes.get("Policy") or "{}")}


def function_permission(client: Clients, resource: Expected) -> dict[str, Any]:
    """The statement of the function's policy that lets in the expected source; nothing where there is none."""
    function = resource.properties["FunctionName"]
    policy = json.loads(client("lambda").get_policy(FunctionName=function)["Policy"])
    for statement in policy["Statement"]:
        conditions = {
            key.lower(): value for keys in statement.get("Condition", {}).values() for key, value in keys.items()
        }
        if conditions.get("aws:sourcearn") == resource.properties["SourceArn"]:
            return {
                "Action": statement["Action"],
                "Principal": statement["Principal"].get("Service"),
                "SourceArn": conditions.get("aws:sourcearn"),
                "SourceAccount": conditions.get("aws:sourceaccount"),
            }
    return {"SourceArn": None}


def _document(document: Any) -> Any:
    return json.loads(document) if isinstance(document, str) else document
