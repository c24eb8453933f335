"""CloudFormation's own role. Three policies, because one holds 6,144 characters."""

from awacs import iam
from awacs.aws import ArnEquals, ArnLike, Statement, StringEquals
from troposphere import Output, Template
from troposphere.iam import Role

from .. import boundary, names
from ..names import everywhere
from ..policies import allow, trust
from ..settings import Bootstrap
from ..suppressions import suppress
from . import service_rights
from .words import actions, policy


def add(template: Template) -> Role:
    policies = [
        policy(template, "ServiceData", "HasServiceRole", service_rights.data()),
        policy(template, "ServiceCompute", "HasServiceRole", [*service_rights.compute(), *_roles()]),
        policy(template, "ServiceRest", "HasServiceRole", service_rights.rest()),
    ]
    *_, rest = policies
    suppress(
        rest,
        "cloudwatch:PutCompositeAlarm is denied unless it is allowed on all resources (*)",
        checkov=("CKV_AWS_111",),
    )
    role: Role = template.add_resource(
        Role(
            "CloudFormationRole",
            RoleName="role-payment-cloudformation",
            AssumeRolePolicyDocument=trust("cloudformation.amazonaws.com"),
            ManagedPolicyArns=[policy.ref() for policy in policies],
            Condition="HasServiceRole",
            # CloudFormation goes on using it for a stack that it has used it for.
            DeletionPolicy="Retain",
            UpdateReplacePolicy="Retain",
        )
    )
    template.add_output(Output("ServiceRoleArn", Value=role.get_att("Arn"), Condition="HasServiceRole"))
    return role


def _roles() -> list[Statement]:
    """No role without the boundary, none but for our services, and with our policies only.

    Each by the whole of its name: a role of somebody else's, passed to a function of ours, knows no boundary.
    """
    roles = [
        names.role_arn(everywhere(name))
        for name in (
            names.WORKFLOW_ROLE,
            names.VALIDATION_ROLE,
            names.PROCESSING_ROLE,
            names.RECONCILIATION_ROLE,
            names.BACKUP_ROLE,
        )
    ]
    policies = [
        names.arn("iam", f"policy/{everywhere(name)}", region=False)
        for name in (
            names.WORKFLOW_POLICY,
            names.VALIDATION_POLICY,
            names.PROCESSING_POLICY,
            names.RECONCILIATION_POLICY,
            names.GATEWAY_POLICY,
            names.BACKUP_POLICY,
            names.WORKFLOW_KEY_POLICY,
        )
    ]
    under_boundary = ArnEquals({"iam:PermissionsBoundary": boundary.arn(Bootstrap.permissions_boundary.ref)})
    return [
        allow(
            "Roles",
            actions(
                iam,
                "DeleteRole DetachRolePolicy GetRole GetRolePolicy ListAttachedRolePolicies "
                "ListRolePolicies TagRole UntagRole UpdateAssumeRolePolicy UpdateRole UpdateRoleDescription",
            ),
            roles,
        ),
        allow(
            "RolesStandUnderTheBoundary",
            actions(iam, "CreateRole PutRolePermissionsBoundary"),
            roles,
            under_boundary,
        ),
        allow(
            "RolesGetOurPoliciesOnly",
            [iam.AttachRolePolicy],
            roles,
            under_boundary,
            ArnLike({"iam:PolicyARN": policies}),
        ),
        allow(
            "RolesAreForThreeServices",
            [iam.PassRole],
            roles,
            StringEquals(
                {"iam:PassedToService": ["backup.amazonaws.com", "lambda.amazonaws.com", "states.amazonaws.com"]}
            ),
        ),
        allow(
            "Policies",
            actions(
                iam,
                "CreatePolicy CreatePolicyVersion DeletePolicy DeletePolicyVersion GetPolicy GetPolicyVersion "
                "ListEntitiesForPolicy ListPolicyVersions",
            ),
            policies,
        ),
    ]
