"""Compares granted privileges with exercised ones: there must be no unused grant and no call without a grant.

The templates grant. scripts/local/recorder.py records the calls of the end-to-end tests, and AWS documents which calls
to a key each of them implies. Grants that no call in the emulator can exercise are exempt, with a reason.
"""

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scripts.common.evaluate import evaluate
from scripts.common.evaluated import Evaluated, Resource
from scripts.common.target import pseudo_parameters
from scripts.common.templates import Tree
from scripts.local import server
from stacks import names, settings

from .deployed import OPTIONAL_PARTS, Template

# The secrets of the end-to-end tests; Secrets Manager appends six characters to their names.
SECRET = f"arn:aws:secretsmanager:{server.REGION}:{server.ACCOUNT}:secret:gateway-*"
WORKFLOW = "states.amazonaws.com"
_RECONCILIATION = names.in_environment(names.RECONCILIATION.name, settings.LOCAL)

_TRACING = "X-Ray: segments are sent by the daemon next to a function and by Step Functions; the emulator has neither"
_DELIVERY = "log delivery: set up when the state machine is created, not by an execution"
_BACKUP = "AWS Backup uses this role at night; the emulator runs no backups"
_SCHEDULE = "EventBridge starts it; the emulator only evaluates whether the role may, which is no recorded call"
_SHIFT = "CodeDeploy uses this role while it shifts traffic; the emulator has no CodeDeploy"
# The reasons of exempt statements, by (role or *, Sid). tests/stacks/test_statements.py checks their exact text.
EXEMPT = {
    ("*", "TracingHasNoResource"): _TRACING,
    ("WorkflowRole", "LogDeliveryHasNoResource"): _DELIVERY,
    ("WorkflowRole", "UseWorkflowKeyForLogDelivery"): _DELIVERY,
    ("ReconciliationWorkflowRole", "LogDeliveryHasNoResource"): _DELIVERY,
    ("ScheduleRole", "StartReconciliation"): _SCHEDULE,
    ("BackupRole", "BackUpTables"): _BACKUP,
    ("BackupRole", "KeepInVault"): _BACKUP,
    ("BackupRole", "UseTableKeyThroughDynamoDB"): _BACKUP,
    ("BackupRole", "UseVaultKeyThroughAWSBackup"): _BACKUP,
    ("BackupRole", "FindVaultKey"): _BACKUP,
    ("TrafficShiftRole", "ShiftLiveTraffic"): _SHIFT,
    ("TrafficShiftRole", "VersionsAreNumberedByLambda"): _SHIFT,
    ("TrafficShiftRole", "AlarmsCannotBeDescribedByName"): _SHIFT,
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
    # For the role of a function, the function's name. Tests use sessions with other names, which are ignored.
    session: str = ""
    # For a call to a key, the action that implies it.
    because: str = ""


@dataclass(frozen=True)
class Comparison:
    granted: list[Grant]
    exercised: list[Call]
    exempt: list[tuple[Grant, str]]
    # Grants of keys that a recorded call to an encrypted resource implies.
    by_key: list[Grant]
    # There must be none of either.
    unused: list[Grant]
    ungranted: list[Call]

    @property
    def holds(self) -> bool:
        return bool(self.exercised) and not self.unused and not self.ungranted


def compare_privileges(committed: Mapping[str, Template], recorded: Iterable[Call]) -> Comparison:
    platform = _evaluate_platform(committed)
    granted = sorted(set(_list_grants(platform)))
    calls = {call for record in recorded if (call := _normalize_call(record, platform))}
    exercised = sorted(calls.union(*(_derive_key_calls(call, platform) for call in calls)))
    unused, exempt, by_key = [], [], []
    for grant in granted:
        if reason := _find_exemption(grant):
            exempt.append((grant, reason))
        elif not (covering := [call for call in exercised if _is_covered(grant, call)]):
            unused.append(grant)
        elif all(call.because for call in covering):
            by_key.append(grant)
    ungranted = [call for call in exercised if not any(_is_covered(grant, call) for grant in granted)]
    return Comparison(granted, exercised, exempt, by_key, unused, ungranted)


def read_calls(folder: Path) -> Iterator[Call]:
    """Yield the recorded calls of all servers."""
    for path in sorted(folder.glob("*.jsonl")):
        for line in path.read_text(encoding="utf-8").splitlines():
            yield Call(**json.loads(line))


def _evaluate_platform(committed: Mapping[str, Template]) -> Evaluated:
    nested = {
        title: Tree(committed[title.lower()])
        for title in committed["parent"]["Resources"]
        if title.lower() in committed
    }
    parts = {"GatewaySecretArn": SECRET, "BackupRetentionDays": "35", "WorkflowCustomerKey": "true"}
    parameters = settings.load("local") | OPTIONAL_PARTS | parts
    return evaluate(Tree(committed["parent"], nested), parameters, pseudo_parameters(server.ACCOUNT, server.REGION))


def _select_roles(platform: Evaluated) -> dict[str, Resource]:
    resources = platform.nested["Security"].resources
    return {title: resource for title, resource in resources.items() if resource.type == "AWS::IAM::Role"}


def _list_grants(platform: Evaluated) -> Iterator[Grant]:
    resources = platform.nested["Security"].resources
    for role, properties in _select_roles(platform).items():
        for policy in properties.properties["ManagedPolicyArns"]:
            document = resources[policy.strip("${}").split("/")[-1]].properties["PolicyDocument"]
            for statement in document["Statement"]:
                for action in statement["Action"]:
                    for resource in statement["Resource"]:
                        yield Grant(role, statement["Sid"], action, resource)


def _is_covered(grant: Grant, call: Call) -> bool:
    if (grant.role, grant.action) != (call.role, call.action):
        return False
    pattern = ".*".join(map(re.escape, grant.resource.split("*")))
    return re.fullmatch(pattern, call.resource) is not None


def _find_exemption(grant: Grant) -> str:
    return EXEMPT.get((grant.role, grant.sid)) or EXEMPT.get(("*", grant.sid), "")


def _normalize_call(call: Call, platform: Evaluated) -> Call | None:
    """Return the call with the role's logical id and the resource's ARN; None if a test made it."""
    titles = {role.properties["RoleName"]: title for title, role in _select_roles(platform).items()}
    titles[WORKFLOW] = "WorkflowRole"
    functions = {role.properties.get("FunctionName") for role in platform.nested["Compute"].resources.values()}
    if call.role not in titles or (call.session not in functions and call.role != WORKFLOW):
        return None
    place = f"{server.REGION}:{server.ACCOUNT}"
    resource = call.resource
    if call.action == "sqs:SendMessage" and not resource.startswith("arn:"):
        resource = f"arn:aws:sqs:{place}:{resource.rsplit('/', 1)[-1]}"
    elif resource.startswith("log-group:"):
        resource = f"arn:aws:logs:{place}:{resource}"
    title = titles[call.role]
    # The recorder does not tell the state machines apart: each invokes functions of its own.
    if title == "WorkflowRole" and f":{_RECONCILIATION}:" in resource:
        title = "ReconciliationWorkflowRole"
    return Call(title, call.action, resource)


def _derive_key_calls(call: Call, platform: Evaluated) -> Iterator[Call]:
    """Yield the calls to keys that a service makes for a call to an encrypted resource, in the name of the same role.

    https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/encryption.usagenotes.html
    https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-key-management.html
    https://docs.aws.amazon.com/sns/latest/dg/sns-key-management.html
    https://docs.aws.amazon.com/secretsmanager/latest/userguide/security-encryption.html
    https://docs.aws.amazon.com/lambda/latest/dg/configuration-envvars-encryption.html
    https://docs.aws.amazon.com/step-functions/latest/dg/encryption-at-rest.html
    """
    service = call.action.split(":")[0]
    encrypt = ("kms:Decrypt", "kms:GenerateDataKey")
    keys: tuple[tuple[str | None, tuple[str, ...]], ...] = ()
    match service:
        case "dynamodb":
            name = call.resource.split(":table/")[-1].split("/")[0]
            table = _find_properties(platform, "Data", "TableName", name)
            keys = ((table.get("SSESpecification", {}).get("KMSMasterKeyId"), ("kms:Decrypt",)),)
        case "sqs":
            queue = _find_properties(platform, "Data", "QueueName", call.resource.rsplit(":", 1)[-1])
            keys = ((queue.get("KmsMasterKeyId"), encrypt),)
        case "sns":
            topic = _find_properties(platform, "Data", "TopicName", call.resource.rsplit(":", 1)[-1])
            keys = ((topic.get("KmsMasterKeyId"), encrypt),)
        case "secretsmanager":
            keys = ((OPTIONAL_PARTS["GatewaySecretKeyArn"], ("kms:Decrypt",)),)
        case "logs":
            # A function that logs has decrypted its environment.
            name = call.resource.split("log-group:/aws/lambda/")[-1].split(":")[0]
            keys = ((_find_properties(platform, "Compute", "FunctionName", name).get("KmsKeyArn"), ("kms:Decrypt",)),)
        case "lambda":
            # A task that invokes a function is part of an execution. Reconciliation has a key of AWS.
            title = "ReconciliationWorkflow" if call.role == "ReconciliationWorkflowRole" else "PaymentWorkflow"
            machine = platform.nested["Workflow"].resources[title].properties
            keys = ((machine["EncryptionConfiguration"].get("KmsKeyId"), encrypt),)
    for key, actions in keys:
        for action in actions:
            if key:
                yield Call(call.role, action, _key_arn(key), because=call.action)


def _find_properties(platform: Evaluated, stack: str, property_name: str, name: str) -> dict[str, Any]:
    for resource in platform.nested[stack].resources.values():
        if resource.properties.get(property_name) == name:
            return resource.properties
    return {}  # not a resource of the platform; the call is reported as not granted


def _key_arn(key: str) -> str:
    """Return the token of a key's ARN for the token of its id, ``${Security/SnsKey}``; any other key as it is."""
    return f"{key.removesuffix('}')}.Arn}}" if key.startswith("${") and ".Arn" not in key else key
