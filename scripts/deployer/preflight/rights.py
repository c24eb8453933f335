"""Checks the caller's permissions by IAM's simulation.

A simulation may differ from AWS's decision, so a denial is only a warning:
https://docs.aws.amazon.com/IAM/latest/APIReference/API_SimulatePrincipalPolicy.html
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from botocore.exceptions import ClientError

from scripts.common.clients import ContextEntryTypeDef
from scripts.common.wording import join_names

from ..finding import Finding, Verdict
from ..plan.resource_schemas import read_schema
from .name_lookups import LOOKUPS, exclusive_name
from .resources import DeclaredResource
from .situation import Situation, unknown_finding

SUBJECT = "rights"
_PLAN = "CreateChangeSet DeleteChangeSet DescribeChangeSet DescribeStacks GetTemplate ListStackResources"
_DEPLOY = f"{_PLAN} DescribeStackEvents ExecuteChangeSet"
# Stands for the id of a stack that does not exist yet.
_ANY_ID = "00000000-0000-0000-0000-000000000000"
# At most so many denied actions are listed.
_LISTED_ACTIONS = 5
_PASSED_TO_CLOUDFORMATION: ContextEntryTypeDef = {
    "ContextKeyName": "iam:PassedToService",
    "ContextKeyType": "string",
    "ContextKeyValues": ["cloudformation.amazonaws.com"],
}


@dataclass(frozen=True)
class _Request:
    """All of the actions on all of the resources."""

    actions: tuple[str, ...]
    arns: tuple[str, ...]
    passes_role: bool = False


def check_rights(situation: Situation) -> list[Finding]:
    """Check that the caller may do what the deployer does and, without a service role, what CloudFormation does."""
    caller = str(situation.target.identity["Arn"])
    if caller.endswith(":root"):
        return [Finding(SUBJECT, Verdict.OK, "the caller is the root user, whom no policy of the account limits")]
    try:
        principal = _find_principal(situation, caller)
    except ClientError as error:
        return [unknown_finding(SUBJECT, f"the rights of {caller}", "iam:GetRole", error)]
    if not principal:
        text = f"the rights of {caller} could not be checked: IAM simulates users and roles only"
        return [Finding(SUBJECT, Verdict.UNKNOWN, text)]
    try:
        denied = [
            action
            for request in _deployer_requests(situation)
            for action in _find_denied(situation, principal, request)
        ]
        denied += _denied_creations(situation, principal)
    except ClientError as error:
        return [unknown_finding(SUBJECT, f"the rights of {principal}", "iam:SimulatePrincipalPolicy", error)]
    if not denied:
        return [Finding(SUBJECT, Verdict.OK, f"{principal} has the permissions that it needs, by simulation")]
    text = f"{principal} may not {join_names(denied, _LISTED_ACTIONS)}, by simulation"
    return [Finding(SUBJECT, Verdict.WARNING, text, "grant it, or deploy with a role that has these permissions")]


def _find_principal(situation: Situation, caller: str) -> str:
    """Return the ARN of the user or role, whose path a session's ARN lacks; empty for a federated user."""
    resource = caller.split(":", 5)[5]
    if resource.startswith("user/"):
        return caller
    if not resource.startswith("assumed-role/"):
        return ""
    role = situation.client("iam").get_role(RoleName=resource.split("/")[1])["Role"]
    return str(role["Arn"])


def _deployer_requests(situation: Situation) -> Iterator[_Request]:
    place = situation.place
    stack = "arn:{partition}:cloudformation:{region}:{account}:stack/".format(**place)
    operations = _PLAN if situation.only_plan else _DEPLOY
    yield _Request(
        tuple(f"cloudformation:{operation}" for operation in operations.split()),
        (f"{stack}{situation.stack_name}/{_ANY_ID}",),
    )
    bucket = situation.bootstrap.resources["Artifacts"].properties["BucketName"]
    key = f"{situation.upload_prefix}/{'0' * 64}.yaml"
    yield _Request(("s3:GetObject", "s3:PutObject"), (f"arn:{place['partition']}:s3:::{bucket}/{key}",))
    if situation.service_role_arn:
        yield _Request(("iam:PassRole",), (situation.service_role_arn,), passes_role=True)


def _find_denied(situation: Situation, principal: str, request: _Request) -> list[str]:
    """Return the actions that are allowed on no resource. One that depends on an unknown condition key is allowed."""
    pages = (
        situation.client("iam")
        .get_paginator("simulate_principal_policy")
        .paginate(
            PolicySourceArn=principal,
            ActionNames=list(request.actions),
            ResourceArns=list(request.arns),
            ContextEntries=[_PASSED_TO_CLOUDFORMATION] if request.passes_role else [],
        )
    )
    results = [result for page in pages for result in page["EvaluationResults"]]
    allowed = {
        result["EvalActionName"]
        for result in results
        if result["EvalDecision"] == "allowed" or result.get("MissingContextValues")
    }
    return [action for action in request.actions if action not in allowed]


def _denied_creations(situation: Situation, principal: str) -> list[str]:
    """Return the denied actions among those by which CloudFormation creates resources on behalf of the caller.

    They are simulated on any resource first, which suffices for an administrator, and if denied, on the resources.
    """
    created = [
        resource
        for resource in situation.resources
        # Where the stack holds resources of the type already, their creation was permitted.
        if not resource.held_ids and not (resource.is_of_environment and situation.service_role_arn)
    ]
    if situation.only_plan or not created:
        return []
    actions = {action: resource.type for resource in created for action in _create_actions(resource.type)}
    if not actions:
        return []
    denied = []
    for action in _find_denied(situation, principal, _Request(tuple(sorted(actions)), ("*",))):
        arns = _resource_arns(situation, [resource for resource in created if resource.type == actions[action]])
        # Without an ARN the denial may come from "any resource", which is more than CloudFormation needs.
        if arns:
            denied += _find_denied(situation, principal, _Request((action,), tuple(arns)))
    return denied


def _create_actions(resource_type: str) -> list[str]:
    """Return the actions of the type's own service; those of other services depend on the properties.

    https://docs.aws.amazon.com/cloudformation-cli/latest/userguide/resource-type-schema.html#schema-properties-handlers
    """
    permissions = (read_schema(resource_type) or {}).get("handlers", {}).get("create", {}).get("permissions", [])
    namespace = resource_type.split("::")[1]
    prefix = _IAM_PREFIX.get(namespace, namespace.lower())
    creating = [permission for permission in permissions if permission.startswith(f"{prefix}:Create")]
    # Such as cloudwatch:PutMetricAlarm and lambda:PublishVersion.
    verbs = tuple(f"{prefix}:{verb}" for verb in ("Put", "Publish", "Add"))
    return creating or [permission for permission in permissions if permission.startswith(verbs)]


# The services whose IAM prefix is not their lowercase name in CloudFormation.
_IAM_PREFIX = {"StepFunctions": "states"}


def _resource_arns(situation: Situation, resources: Sequence[DeclaredResource]) -> list[str]:
    return [
        LOOKUPS[resource.type].arn.format(name=name, **situation.place)
        for resource in resources
        if (name := exclusive_name(resource.type, resource.properties))
    ]
