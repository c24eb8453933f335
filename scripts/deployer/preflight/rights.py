"""The caller's permissions, simulated by IAM.

A simulation may differ from what AWS decides, so that a denial warns:
https://docs.aws.amazon.com/IAM/latest/APIReference/API_SimulatePrincipalPolicy.html
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from botocore.exceptions import ClientError

from ..finding import Finding, Verdict
from .name_lookups import LOOKUPS, exclusive_name
from .resources import DeclaredResource
from .situation import Situation, unknown_finding

SUBJECT = "rights"
_PLAN = "CreateChangeSet DeleteChangeSet DescribeChangeSet DescribeStacks GetTemplate ListStackResources"
_DEPLOY = f"{_PLAN} DescribeStackEvents ExecuteChangeSet"
# The id of a stack that does not exist yet.
_ANY_ID = "00000000-0000-0000-0000-000000000000"
# Of the actions that are denied, so many are named.
_NAMED = 5
_PASSED_TO_CLOUDFORMATION = {
    "ContextKeyName": "iam:PassedToService",
    "ContextKeyType": "string",
    "ContextKeyValues": ["cloudformation.amazonaws.com"],
}


@dataclass(frozen=True)
class _Request:
    """Actions, each on each of the resources."""

    actions: tuple[str, ...]
    arns: tuple[str, ...]
    is_passing_a_role: bool = False


def check_rights(situation: Situation) -> list[Finding]:
    """Whether the caller may do what the deployer does, and without a service role what CloudFormation does for it."""
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
    more = f" and {len(denied) - _NAMED} more" if len(denied) > _NAMED else ""
    text = f"{principal} may not {', '.join(denied[:_NAMED])}{more}, by simulation"
    return [Finding(SUBJECT, Verdict.WARNING, text, "grant it, or deploy with a role that has these permissions")]


def _find_principal(situation: Situation, caller: str) -> str:
    """The ARN of the user or role whose policies count; empty for a federated user.

    The ARN of a role's session lacks the role's path.
    """
    resource = caller.split(":", 5)[5]
    if resource.startswith("user/"):
        return caller
    if not resource.startswith("assumed-role/"):
        return ""
    role = situation.client("iam").get_role(RoleName=resource.split("/")[1])["Role"]
    return str(role["Arn"])


def _deployer_requests(situation: Situation) -> Iterator[_Request]:
    """What the deployer itself does."""
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
        yield _Request(("iam:PassRole",), (situation.service_role_arn,), is_passing_a_role=True)


def _find_denied(situation: Situation, principal: str, request: _Request) -> list[str]:
    """The actions that are allowed on none of the resources. One that hangs on a condition that the simulation does
    not know is not counted."""
    pages = (
        situation.client("iam")
        .get_paginator("simulate_principal_policy")
        .paginate(
            PolicySourceArn=principal,
            ActionNames=list(request.actions),
            ResourceArns=list(request.arns),
            ContextEntries=[_PASSED_TO_CLOUDFORMATION] if request.is_passing_a_role else [],
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
    """The actions with which CloudFormation creates the resources, where it acts with the caller's permissions.

    First all of them on any resource, which an administrator may; then those that are denied, on what they are for.
    """
    # Of a type that the stack holds already, somebody has had the permission.
    new = [one for one in situation.resources if not one.held_ids]
    acting = [one for one in new if not (one.is_of_environment and situation.service_role_arn)]
    if situation.only_plan or not acting:
        return []
    actions = {action: one.type for one in acting for action in _create_actions(one.type)}
    if not actions:
        return []
    denied = []
    for action in _find_denied(situation, principal, _Request(tuple(sorted(actions)), ("*",))):
        arns = _resource_arns(situation, [one for one in acting if one.type == actions[action]])
        # Without an ARN there is nothing to be more exact about, and "any resource" may be more than is needed.
        if arns:
            denied += _find_denied(situation, principal, _Request((action,), tuple(arns)))
    return denied


def _create_actions(resource_type: str) -> list[str]:
    """Of the type's own service: what its handler asks of others depends on properties.

    https://docs.aws.amazon.com/cloudformation-cli/latest/userguide/resource-type-schema.html#schema-properties-handlers
    """
    # cfn-lint takes most of a second to import, and a deployment with a service role does not need it.
    from cfnlint.schema._exceptions import ResourceNotFoundError
    from cfnlint.schema.manager import PROVIDER_SCHEMA_MANAGER

    try:
        schema = PROVIDER_SCHEMA_MANAGER.get_resource_schema("us-east-1", resource_type).schema
    except ResourceNotFoundError:
        return []
    permissions = schema.get("handlers", {}).get("create", {}).get("permissions", [])
    namespace = resource_type.split("::")[1]
    own = _IAM_PREFIX.get(namespace, namespace.lower())
    creating = [permission for permission in permissions if permission.startswith(f"{own}:Create")]
    # Such as cloudwatch:PutMetricAlarm and lambda:PublishVersion.
    verbs = tuple(f"{own}:{verb}" for verb in ("Put", "Publish", "Add"))
    return creating or [permission for permission in permissions if permission.startswith(verbs)]


# Services that IAM calls otherwise than CloudFormation does.
_IAM_PREFIX = {"StepFunctions": "states"}


def _resource_arns(situation: Situation, resources: Sequence[DeclaredResource]) -> list[str]:
    found = []
    for one in resources:
        name = exclusive_name(one.type, one.properties)
        if name:
            found.append(LOOKUPS[one.type].arn.format(name=name, **situation.place))
    return found
