"""Which existing resources an import takes into the environment's stacks, and what to do with the others.

https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/import-resources-automatically.html
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from botocore.exceptions import ClientError

from ..finding import Finding, Verdict
from ..holders import StackHolders
from ..plan.recreation import list_identifiers
from .resources import DeclaredResource
from .situation import Situation, unknown_finding

GUIDE = "docs/importing.md"
_TABLE, _KEY = "AWS::DynamoDB::Table", "AWS::KMS::Key"
# What to do before the deletion of a resource that cannot be imported.
_BEFORE_DELETION = {
    "AWS::SNS::Topic": "write down its subscriptions, then ",
    "AWS::SQS::Queue": "save its messages, then ",
    "AWS::StepFunctions::StateMachine": "wait until its executions have ended, then ",
}


@dataclass(frozen=True)
class ImportedResource:
    """An existing resource with the name of a declared one."""

    # The path from the root stack: Data/Transactions.
    path: str
    type: str
    # The property that has the name, and the name.
    property: str
    name: str
    # The ARN of the key, other than the environment's keys, that encrypts the table; empty for none.
    key_arn: str = ""


def is_importable(resource: DeclaredResource) -> bool:
    """Whether CloudFormation can import the resource by its name, and its template retains it."""
    return resource.is_of_environment and resource.is_retained and bool(list_identifiers(resource.type))


def describe_obstacle(resource: DeclaredResource, delete: str, *, is_account_wide: bool) -> tuple[str, str]:
    """Return why an existing resource cannot be imported, and what to do; ``delete`` is the command that deletes it.

    A name that is unique in the account may belong to an environment in another Region.
    """
    if resource.is_retained:
        reason = "CloudFormation cannot import it by its name"
    else:
        reason = "only what the templates retain is imported"
    unused = "no Region of this account uses it" if is_account_wide else "nothing uses it"
    before = _BEFORE_DELETION.get(resource.type, "")
    return reason, f"{before}delete it if {unused}, and this creates it again ({GUIDE}): {delete}"


def examine_import(situation: Situation, subject: str, resource: DeclaredResource, name: str) -> Iterator[Finding]:
    """Yield a finding for each reason against the import of an existing resource.

    CloudFormation refuses a resource that belongs to another stack. It imports a table whatever its key, and would
    replace the table at the first change that it makes.
    """
    text = f"{name} ({resource.type})"
    holder = StackHolders(situation.client("cloudformation"), ()).find_reason_to_keep(name)
    if holder.startswith("belongs to"):
        step = "let that stack retain and release it, or choose another environment name"
        yield Finding(subject, Verdict.FAILURE, f"{text} {holder}", step)
    elif holder:
        yield Finding(subject, Verdict.UNKNOWN, f"{text} {holder}", "grant cloudformation:DescribeStackResources")
    if resource.type == _TABLE:
        try:
            table: Mapping[str, Any] = situation.client("dynamodb").describe_table(TableName=name)["Table"]
        except ClientError as error:
            yield unknown_finding(subject, f"the key of {name}", "dynamodb:DescribeTable", error)
            return
        real, expected = _describe_key(table), _describe_key(resource.properties)
        if real != expected:
            step = "copy its items into a table with this key, or choose another environment name"
            yield Finding(subject, Verdict.FAILURE, f"{text} has the key {real}, but the template {expected}", step)


def describe_import(
    situation: Situation, resource: DeclaredResource, name_property: str, name: str
) -> ImportedResource:
    """Return what the import has to know about an existing resource."""
    key_arn = ""
    if resource.type == _TABLE:
        table = situation.client("dynamodb").describe_table(TableName=name)["Table"]
        key_arn = table.get("SSEDescription", {}).get("KMSMasterKeyArn", "")
    held_keys = {id_ for key in situation.resources if key.type == _KEY for id_ in key.held_ids or ()}
    if key_arn.rpartition("/")[2] in held_keys:
        key_arn = ""
    return ImportedResource(resource.path, resource.type, name_property, name, key_arn)


def _describe_key(table: Mapping[str, Any]) -> str:
    """Return the primary key in the words of the API, such as ``transaction_id (HASH, S)``."""
    types = {item["AttributeName"]: item["AttributeType"] for item in table.get("AttributeDefinitions", [])}
    parts = [(item["AttributeName"], item["KeyType"]) for item in table.get("KeySchema", [])]
    return ", ".join(f"{name} ({kind}, {types.get(name, '?')})" for name, kind in parts)
