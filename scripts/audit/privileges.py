"""Granted is used: each action that a role has on a resource is used by a call that was recorded, and the other way.

Granted is what the emitted templates say. Used is what scripts/local/recorder.py wrote down while the end-to-end tests
ran, and what AWS documents that such a call asks of a key. What no call here can use is excused, with a reason.
"""

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scripts.common.evaluate import Evaluated, Resource, evaluate
from scripts.common.templates import Tree
from scripts.local import server
from stacks import settings

from .deployed import OPTIONAL_PARTS, Template

PSEUDO = {
    "AWS::AccountId": server.ACCOUNT,
    "AWS::Region": server.REGION,
    "AWS::Partition": "aws",
    "AWS::URLSuffix": "amazonaws.com",
}
# The end-to-end tests name them so; the service puts six characters behind a secret's name.
SECRET = f"arn:aws:secretsmanager:{server.REGION}:{server.ACCOUNT}:secret:gateway-*"
WORKFLOW = "states.amazonaws.com"

_TRACING = "X-Ray: segments are sent by the daemon next to a function and by Step Functions; the emulator has neither"
_DELIVERY = "log delivery: set up when the state machine is created, not by an execution"
_BACKUP = "AWS Backup uses this role at night; the emulator runs no backups"
# Statements that no call recorded here can use, and why, by (role or *, Sid). What they allow is held to the letter
# by tests/stacks/test_policies.py.
EXCUSED = {
    ("*", "TracingHasNoResource"): _TRACING,
    ("WorkflowRole", "LogDeliveryHasNoResource"): _DELIVERY,
    ("WorkflowRole", "UseWorkflowKeyForLogDelivery"): _DELIVERY,
    ("BackupRole", "BackUpTables"): _BACKUP,
    ("BackupRole", "KeepInVault"): _BACKUP,
    ("BackupRole", "UseTableKeyThroughDynamoDB"): _BACKUP,
    ("BackupRole", "UseVaultKeyThroughAWSBackup"): _BACKUP,
    ("BackupRole", "FindVaultKey"): _BACKUP,
}


@dataclass(frozen=True, order=True)
class Grant:
    role: str
    sid: str
    action: str
    resource: str


@dataclass(frozen=True, order=True)
class Call:
    role: str
    action: str
    resource: str
    # Of a function's role: the function's name. Tests take sessions of their own, which say nothing about it.
    session: str = ""
    # For a call to a key: the call that asks for it.
    because: str = ""


@dataclass(frozen=True)
class Comparison:
    granted: list[Grant]
    used: list[Call]
    excused: list[tuple[Grant, str]]
    # Of keys: used because a recorded call is to something that is encrypted.
    by_key: list[Grant]
    # What is granted and not used, and what is used and not granted: there must be neither.
    unused: list[Grant]
    ungranted: list[Call]

    @property
    def holds(self) -> bool:
        return bool(self.used) and not self.unused and not self.ungranted


def compare_privileges(committed: Mapping[str, Template], recorded: Iterable[Call]) -> Comparison:
    platform = _platform(committed)
    granted = sorted(set(_granted(platform)))
    calls = [_by_title(call, platform) for call in recorded]
    used = sorted({call for call in calls if call is not None})
    used = sorted({*used, *(key for call in used for key in _keys(call, platform))})
    unused, excused, by_key = [], [], []
    for grant in granted:
        if reason := _excuse(grant):
            excused.append((grant, reason))
        elif not (by := [call for call in used if _covers(grant, call)]):
            unused.append(grant)
        elif all(call.because for call in by):
            by_key.append(grant)
    ungranted = [call for call in used if not any(_covers(grant, call) for grant in granted)]
    return Comparison(granted, used, excused, by_key, unused, ungranted)


def read_calls(folder: Path) -> Iterator[Call]:
    """What the recorder wrote, from however many servers."""
    for path in sorted(folder.glob("*.jsonl")):
        for line in path.read_text(encoding="utf-8").splitlines():
            yield Call(**json.loads(line))


def _platform(committed: Mapping[str, Template]) -> Evaluated:
    nested = {title: Tree(committed[title.lower()]) for title in committed["parent"]["Resources"]}
    parts = OPTIONAL_PARTS | {
        "GatewaySecretArn": SECRET,
        "BackupRetentionDays": "35",
        "WorkflowCustomerKey": "true",
    }
    return evaluate(Tree(committed["parent"], nested), settings.load("local") | parts, PSEUDO)


def _roles(platform: Evaluated) -> dict[str, Resource]:
    resources = platform.nested["Security"].resources
    return {title: one for title, one in resources.items() if one.type == "AWS::IAM::Role"}


def _granted(platform: Evaluated) -> Iterator[Grant]:
    resources = platform.nested["Security"].resources
    for role, properties in _roles(platform).items():
        for policy in properties.properties["ManagedPolicyArns"]:
            document = resources[policy.strip("${}").split("/")[-1]].properties["PolicyDocument"]
            for statement in document["Statement"]:
                for action in statement["Action"]:
                    for resource in statement["Resource"]:
                        yield Grant(role, statement["Sid"], action, resource)


def _covers(grant: Grant, call: Call) -> bool:
    if (grant.role, grant.action) != (call.role, call.action):
        return False
    pattern = ".*".join(map(re.escape, grant.resource.split("*")))
    return re.fullmatch(pattern, call.resource) is not None


def _excuse(grant: Grant) -> str:
    return EXCUSED.get((grant.role, grant.sid)) or EXCUSED.get(("*", grant.sid), "")


def _by_title(call: Call, platform: Evaluated) -> Call | None:
    """The call of a function or of the workflow, with the role's logical id and the resource's ARN; nobody else's."""
    titles = {one.properties["RoleName"]: title for title, one in _roles(platform).items()}
    titles[WORKFLOW] = "WorkflowRole"
    functions = {one.properties.get("FunctionName") for one in platform.nested["Compute"].resources.values()}
    if call.role not in titles or (call.session not in functions and call.role != WORKFLOW):
        return None
    place = f"{server.REGION}:{server.ACCOUNT}"
    resource = call.resource
    if call.action == "sqs:SendMessage" and not resource.startswith("arn:"):
        resource = f"arn:aws:sqs:{place}:{resource.rsplit('/', 1)[-1]}"
    elif resource.startswith("log-group:"):
        resource = f"arn:aws:logs:{place}:{resource}"
    return Call(titles[call.role], call.action, resource)


def _keys(call: Call, platform: Evaluated) -> Iterator[Call]:
    """What the service that is called asks of the key of what it is called for, in the name of the same role.

    https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/encryption.usagenotes.html
    https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-key-management.html
    https://docs.aws.amazon.com/sns/latest/dg/sns-key-management.html
    https://docs.aws.amazon.com/secretsmanager/latest/userguide/security-encryption.html
    https://docs.aws.amazon.com/lambda/latest/dg/configuration-envvars-encryption.html
    https://docs.aws.amazon.com/step-functions/latest/dg/encryption-at-rest.html
    """
    service = call.action.split(":")[0]
    both = ("kms:Decrypt", "kms:GenerateDataKey")
    asked: tuple[tuple[str | None, tuple[str, ...]], ...] = ()
    match service:
        case "dynamodb":
            name = call.resource.split(":table/")[-1].split("/")[0]
            table = _named(platform, "Data", "TableName", name)
            asked = ((table.get("SSESpecification", {}).get("KMSMasterKeyId"), ("kms:Decrypt",)),)
        case "sqs":
            queue = _named(platform, "Data", "QueueName", call.resource.rsplit(":", 1)[-1])
            asked = ((queue.get("KmsMasterKeyId"), both),)
        case "sns":
            topic = _named(platform, "Data", "TopicName", call.resource.rsplit(":", 1)[-1])
            asked = ((topic.get("KmsMasterKeyId"), both),)
        case "secretsmanager":
            asked = ((OPTIONAL_PARTS["GatewaySecretKeyArn"], ("kms:Decrypt",)),)
        case "logs":
            # The function ran, so its environment was started.
            name = call.resource.split("log-group:/aws/lambda/")[-1].split(":")[0]
            asked = ((_named(platform, "Compute", "FunctionName", name).get("KmsKeyArn"), ("kms:Decrypt",)),)
        case "lambda":
            # An execution ran, and its log was delivered.
            machine = platform.nested["Workflow"].resources["PaymentWorkflow"].properties
            asked = ((machine["EncryptionConfiguration"]["KmsKeyId"], both),)
    for key, actions in asked:
        for action in actions:
            if key:
                yield Call(call.role, action, _key_arn(key), because=call.action)


def _named(platform: Evaluated, stack: str, property_name: str, name: str) -> dict[str, Any]:
    for resource in platform.nested[stack].resources.values():
        if resource.properties.get(property_name) == name:
            return resource.properties
    return {}  # none of ours; that nobody granted it is told elsewhere


def _key_arn(key: str) -> str:
    """A key's id and its ARN are the same key: ``${Security/SnsKey}`` and ``${Security/SnsKey.Arn}``."""
    return f"{key.removesuffix('}')}.Arn}}" if key.startswith("${") and ".Arn" not in key else key
