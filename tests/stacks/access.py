"""Decides whether a principal may do an action on a resource in a context, according to the emitted templates.

No emulator enforces all policies. This module therefore resolves parameters, conditions and references as a deployment
does, and lets the emulator's evaluator decide by the policies that AWS considers:

- the identity policies of the principal, and its permissions boundary;
- the policy of the resource: that of a key must allow the action itself or delegate it to the account; that of a queue
  or a topic can;
- for a service, only the policy of the resource.

https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_evaluation-logic.html
"""

import copy
import functools
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ministack.core.iam_evaluator import (
    EvalContext,
    combine_resource_policy,
    evaluate,
    evaluate_resource_policy,
    evaluate_trust_policy,
    parse_policy_document,
)

from scripts.audit.deployed import ACCOUNT, BOOTSTRAP, OPTIONAL_PARTS, PSEUDO
from scripts.common import evaluate as plan
from scripts.common.evaluated import TOKEN
from scripts.common.templates import Tree, to_plain_types
from stacks import settings
from tests.emitted import TEMPLATES, load_template

REGION = PSEUDO["AWS::Region"]
ANOTHER_ACCOUNT = "999988887777"
PLACE = f"{REGION}:{ACCOUNT}"
ROOT = f"arn:aws:iam::{ACCOUNT}:root"
ALL_RIGHTS = {"Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]}
# The policy of a new key in KMS leaves everything to the identity policies of the account.
DEFAULT_KEY_POLICY = {
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Allow", "Principal": {"AWS": ROOT}, "Action": "kms:*", "Resource": "*"}],
}
# The environment in the names of the evaluated resources.
ENVIRONMENT = "prod"

# The functions, by the beginning of their logical ids, with their variables beyond EVERY_VARIABLE. A function that is
# added to stacks/names.py is added here, and all tests of the stacks know it.
EVERY_VARIABLE = {"ENVIRONMENT", "DYNAMODB_TABLE_NAME", "LEDGER_TABLE_NAME", "OPEN_SHARDS", "CUSTOMER_DATA_DAYS"}
_GATEWAY = {"GATEWAY", "GATEWAY_SECRET_ARN"}
FUNCTIONS = {
    "Validation": {"NOTIFY_BUSINESS_OUTCOMES", "MAXIMUM_AMOUNTS", "HIGH_VALUE_AMOUNTS", "FRAUD_SCORE_LIMIT"},
    "Processing": {"NOTIFY_BUSINESS_OUTCOMES", *_GATEWAY},
    "Reconciliation": {
        "NOTIFY_BUSINESS_OUTCOMES",
        "SNS_TOPIC_ARN",
        "DLQ_URL",
        "GATEWAY_REQUESTS_PER_SECOND",
        *_GATEWAY,
    },
}

Document = dict[str, Any]
Context = Mapping[str, Any]


@dataclass(frozen=True)
class Principal:
    """Who makes a request: an ARN with identity policies, or a ``service``, which has neither."""

    arn: str = ""
    policies: tuple[Document, ...] = ()
    boundary: tuple[Document, ...] = ()
    service: str = ""

    @property
    def account(self) -> str:
        return self.arn.split(":")[4] if self.arn else ""


def service(name: str) -> Principal:
    return Principal(service=f"{name}.amazonaws.com")


def foreign_role(*policies: Document, account: str = ACCOUNT, boundary: tuple[Document, ...] = ()) -> Principal:
    """Return a role that does not belong to the platform."""
    return Principal(f"arn:aws:iam::{account}:role/somebody", policies, boundary)


def may_all(*actions: str) -> Document:
    return {"Statement": [{"Effect": "Allow", "Action": list(actions), "Resource": "*"}]}


def key_arn(title: str) -> str:
    return f"arn:aws:kms:{PLACE}:key/{uuid.uuid5(uuid.NAMESPACE_URL, title)}"


def kms_via(service_name: str, context: Context | None = None, account: str = ACCOUNT) -> dict[str, Any]:
    """Return the context of a request to KMS through a service, with the encryption context.

    https://docs.aws.amazon.com/kms/latest/developerguide/conditions-kms.html
    """
    return {"kms:ViaService": f"{service_name}.{REGION}.amazonaws.com"} | directly(context, account)


def directly(context: Context | None = None, account: str = ACCOUNT) -> dict[str, Any]:
    encryption = {f"kms:EncryptionContext:{key}": value for key, value in (context or {}).items()}
    return {"kms:CallerAccount": account} | encryption


class World:
    """The platform and the account's own stack, as they are deployed."""

    def __init__(
        self,
        environment: str = ENVIRONMENT,
        parameters: Mapping[str, str] | None = None,
        account: Document | None = None,
    ) -> None:
        """``parameters`` replace those of the settings file, and ``account`` the template of the artifacts stack."""
        self.environment = environment
        committed = {name: to_plain_types(load_template(name)) for name in TEMPLATES}
        nested = {title: Tree(committed[title.lower()]) for title in committed["parent"]["Resources"]}
        # In prod, all optional parts; in another environment, those of its settings.
        optional = OPTIONAL_PARTS | {"ReservedConcurrency": "50"} if environment == ENVIRONMENT else {}
        self.platform = plan.evaluate(
            Tree(committed["parent"], nested),
            dict(parameters or settings.load(environment) | optional),
            {**PSEUDO, "AWS::StackName": "stack"},
        )
        self.account = plan.evaluate(Tree(account or committed["artifacts"]), OPTIONAL_PARTS | BOOTSTRAP, PSEUDO)
        stacks = [(f"{title}/", stack) for title, stack in self.platform.nested.items()] + [("", self.account)]
        self.resources = {
            f"{path}{title}": resource for path, stack in stacks for title, resource in stack.resources.items()
        }

    def properties(self, resource: str) -> Document:
        """Return the properties of a resource by its path, such as ``Data/Transactions``, with references resolved."""
        return self._resolve_names(self.resources[resource].properties)

    def of_type(self, kind: str) -> dict[str, Document]:
        return {path: self.properties(path) for path, resource in self.resources.items() if resource.type == kind}

    @functools.cached_property
    def policies(self) -> dict[str, list[Document]]:
        """Return the statements of each managed policy, by title."""
        return {
            path.rsplit("/", 1)[-1]: properties["PolicyDocument"]["Statement"]
            for path, properties in self.of_type("AWS::IAM::ManagedPolicy").items()
        }

    @functools.cached_property
    def roles(self) -> dict[str, Principal]:
        """Return each role with its policies and boundary, by title."""
        by_arn = {
            self._resolve_attribute(path, ""): properties["PolicyDocument"]
            for path, properties in self.of_type("AWS::IAM::ManagedPolicy").items()
        }

        def role(properties: Document) -> Principal:
            limits = (by_arn[properties["PermissionsBoundary"]],) if "PermissionsBoundary" in properties else ()
            attached = tuple(by_arn[arn] for arn in properties["ManagedPolicyArns"])
            return Principal(f"arn:aws:iam::{ACCOUNT}:role/{properties['RoleName']}", attached, limits)

        return {path.rsplit("/", 1)[-1]: role(p) for path, p in self.of_type("AWS::IAM::Role").items()}

    @functools.cached_property
    def resource_policies(self) -> dict[str, Document]:
        """Return the resource policies, by the ARN of the resource."""
        policies = {key_arn(path.split("/")[1]): p["KeyPolicy"] for path, p in self.of_type("AWS::KMS::Key").items()}
        for properties in self.of_type("AWS::SQS::QueuePolicy").values():
            # A queue is referenced by its URL.
            policies |= {
                f"arn:aws:sqs:{PLACE}:{url.rsplit('/', 1)[1]}": properties["PolicyDocument"]
                for url in properties["Queues"]
            }
        for properties in self.of_type("AWS::SNS::TopicPolicy").values():
            policies |= dict.fromkeys(properties["Topics"], properties["PolicyDocument"])
        for properties in self.of_type("AWS::S3::BucketPolicy").values():
            policies[f"arn:aws:s3:::{properties['Bucket']}"] = properties["PolicyDocument"]
        for properties in self.of_type("AWS::Lambda::Permission").values():
            policies[properties["FunctionName"]] = {"Statement": [_permission(properties)]}
        return policies

    def with_policy(self, arn: str, policy: Document) -> "World":
        """Return the same world with the policy of a resource that does not belong to the platform."""
        world = copy.copy(self)
        world.resource_policies = {**self.resource_policies, arn: policy}
        return world

    def principal_of(self, principal: Principal | str) -> Principal:
        return self.roles[principal] if isinstance(principal, str) else principal

    def may(self, principal: Principal | str, action: str, resource: str = "*", context: Context | None = None) -> bool:
        """Return whether the principal, or the platform's role of that title, may do the action."""
        principal = self.principal_of(principal)
        request = _evaluation_context(principal, action, resource, context)
        policies = {arn: policy for arn, policy in self.resource_policies.items() if _is_of(resource, arn)}
        policy = next(iter(policies.values()), None)
        if principal.service:
            return bool(evaluate_resource_policy(policy, request, service=principal.service).decision == "Allow")
        limits = [[parse_policy_document(document) for document in principal.boundary]] if principal.boundary else []
        identity = evaluate(request, [parse_policy_document(document) for document in principal.policies], *limits)
        owner = resource.split(":")[4] if resource.count(":") >= 5 else ""
        # Aliases, and keys that do not exist yet, have no policy.
        decided = combine_resource_policy(
            identity, request, policy, owner or ACCOUNT, required=":key/" in resource, limits=tuple(limits)
        )
        return bool(decided.decision == "Allow")

    def policies_allow(self, role: str, action: str, resource: str, context: Context | None = None) -> bool:
        """Decide by the role's own policies alone, since they must not rely on the resource's policy."""
        request = _evaluation_context(self.roles[role], action, resource, context)
        documents = [parse_policy_document(document) for document in self.roles[role].policies]
        return bool(evaluate(request, documents).decision == "Allow")

    def may_assume(self, role: str, principal: Principal, context: Context | None = None) -> bool:
        """Decide by the trust policy alone, whatever the identity policies of ``principal`` allow."""
        trust = self._trust_policy(role)
        request = _evaluation_context(principal, "sts:AssumeRole", "*", context)
        return bool(evaluate_resource_policy(trust, request, service=principal.service or None).decision == "Allow")

    def may_assume_by_token(self, role: str, provider: str, context: Context) -> bool:
        request = _evaluation_context(Principal(provider), "sts:AssumeRoleWithWebIdentity", "*", context)
        return bool(evaluate_trust_policy(self._trust_policy(role), provider, request))

    def _trust_policy(self, role: str) -> Document:
        (path,) = [path for path in self.resources if path.rsplit("/", 1)[-1] == role]
        return self.properties(path)["AssumeRolePolicyDocument"]

    def _resolve_names(self, value: Any) -> Any:
        if isinstance(value, dict):
            return {key: self._resolve_names(item) for key, item in value.items()}
        if isinstance(value, list):
            return [self._resolve_names(item) for item in value]
        if isinstance(value, str):
            return TOKEN.sub(lambda match: self._resolve_attribute(match[1], match[2][1:], match[0]), value)
        return value

    def _resolve_attribute(self, path: str, attribute: str, otherwise: str = "") -> str:
        """Return the value of a reference. A reference to an unknown resource stays, and matches nothing."""
        if path not in self.resources:
            return otherwise
        kind, properties = self.resources[path].type, self.resources[path].properties
        if kind == "AWS::KMS::Key":
            return key_arn(path.split("/")[1]) if attribute == "Arn" else key_arn(path.split("/")[1]).split("/")[1]
        if (kind, attribute) not in _SHAPES:
            return otherwise
        return self._resolve_names(_SHAPES[kind, attribute].format_map(_PropertiesOrNothing(properties)))


class _PropertiesOrNothing(dict[str, Any]):
    """Properties for ``format_map``. A missing one becomes a reference that matches nothing."""

    def __missing__(self, key: str) -> str:
        return f"${{no-{key}}}"


_SHAPES = {
    ("AWS::IAM::ManagedPolicy", ""): f"arn:aws:iam::{ACCOUNT}:policy/{{ManagedPolicyName}}",
    ("AWS::IAM::Role", "Arn"): f"arn:aws:iam::{ACCOUNT}:role/{{RoleName}}",
    ("AWS::IAM::OIDCProvider", "Arn"): f"arn:aws:iam::{ACCOUNT}:oidc-provider/token.actions.githubusercontent.com",
    ("AWS::SQS::Queue", ""): f"https://sqs.{REGION}.amazonaws.com/{ACCOUNT}/{{QueueName}}",
    ("AWS::SQS::Queue", "QueueName"): "{QueueName}",
    ("AWS::SQS::Queue", "Arn"): f"arn:aws:sqs:{PLACE}:{{QueueName}}",
    ("AWS::SNS::Topic", ""): f"arn:aws:sns:{PLACE}:{{TopicName}}",
    ("AWS::SNS::Topic", "TopicName"): "{TopicName}",
    ("AWS::DynamoDB::Table", ""): "{TableName}",
    ("AWS::DynamoDB::Table", "Arn"): f"arn:aws:dynamodb:{PLACE}:table/{{TableName}}",
    ("AWS::S3::Bucket", ""): "{BucketName}",
    ("AWS::S3::Bucket", "Arn"): "arn:aws:s3:::{BucketName}",
    ("AWS::Events::Rule", "Arn"): f"arn:aws:events:{PLACE}:rule/{{Name}}",
    ("AWS::Lambda::Function", ""): "{FunctionName}",
    ("AWS::Lambda::Function", "Arn"): f"arn:aws:lambda:{PLACE}:function:{{FunctionName}}",
    ("AWS::Lambda::Alias", ""): f"arn:aws:lambda:{PLACE}:function:{{FunctionName}}:{{Name}}",
    ("AWS::Logs::LogGroup", ""): "{LogGroupName}",
    ("AWS::Logs::LogGroup", "Arn"): f"arn:aws:logs:{PLACE}:log-group:{{LogGroupName}}:*",
    ("AWS::StepFunctions::StateMachine", ""): f"arn:aws:states:{PLACE}:stateMachine:{{StateMachineName}}",
    ("AWS::StepFunctions::StateMachine", "Name"): "{StateMachineName}",
    ("AWS::CloudWatch::Alarm", ""): "{AlarmName}",
    ("AWS::CodeDeploy::Application", ""): "{ApplicationName}",
    ("AWS::CodeDeploy::DeploymentGroup", ""): "{DeploymentGroupName}",
    ("AWS::Backup::BackupVault", ""): "{BackupVaultName}",
}


def _evaluation_context(principal: Principal, action: str, resource: str, context: Context | None) -> EvalContext:
    context_keys = {key.lower(): value for key, value in (context or {}).items()}
    return EvalContext(
        # The principal is a session of the role; aws:PrincipalArn holds the ARN of the role.
        principal_arn=principal.arn,
        principal_type="Root" if principal.arn.endswith(":root") else "AssumedRole",
        principal_account=principal.account,
        action=action,
        resource_arn=resource,
        region=REGION,
        secure_transport=context_keys.get("aws:securetransport", "true") == "true",
        service_context={"aws:principalisawsservice": str(bool(principal.service)).lower()} | context_keys,
    )


def _is_of(resource: str, arn: str) -> bool:
    """Whether the resource has the policy of this ARN; an object has that of its bucket."""
    return resource == arn or (arn.startswith("arn:aws:s3:::") and resource.startswith(f"{arn}/"))


def _permission(properties: Document) -> Document:
    """Return the statement that Lambda adds for a permission.

    https://docs.aws.amazon.com/lambda/latest/api/API_AddPermission.html
    """
    condition: Document = {}
    if "SourceAccount" in properties:
        condition["StringEquals"] = {"aws:SourceAccount": properties["SourceAccount"]}
    if "SourceArn" in properties:
        condition["ArnLike"] = {"aws:SourceArn": properties["SourceArn"]}
    principal = "*" if properties["Principal"] == "*" else {"Service": properties["Principal"]}
    return {
        "Effect": "Allow",
        "Principal": principal,
        "Action": properties["Action"],
        "Resource": properties["FunctionName"],
        "Condition": condition,
    }
