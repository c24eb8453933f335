"""CloudFormation's role: which roles it may create and pass, with the rights of service_rights.py."""

from collections.abc import Sequence

from awacs.aws import ArnEquals, ArnLike, Statement, StringEquals, StringEqualsIfExists
from troposphere import AWSHelperFn, Output, Template
from troposphere.iam import ManagedPolicy, Role

from ... import boundary_reference, names, references
from ...policies import allow, trust_policy
from ...settings import Bootstrap, SettingsError
from ...suppressions import suppress
from ...wiring import RETAINED, to_pascal_case
from . import service_rights
from .policy_terms import Environments, add_policies, policy_length

# https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_iam-quotas.html
MAXIMUM_POLICIES = 10


def add_service_role(template: Template, environments: Environments) -> Role:
    """Add the role and return it. Raises ``SettingsError`` if the environments need too many policies for one role."""
    statements = [
        *service_rights.allow_without_resource(),
        *service_rights.allow_data(environments),
        *service_rights.allow_keys(environments),
        *service_rights.allow_backups(environments),
        *service_rights.allow_compute(environments),
        *service_rights.allow_traffic_shift(environments),
        *service_rights.allow_workflow(environments),
        *service_rights.allow_monitoring(environments),
        *service_rights.allow_nested_stacks(environments),
        *_allow_roles(environments),
    ]
    # The longest first, so that they fit into fewer policies.
    statements.sort(key=lambda statement: policy_length([statement]), reverse=True)
    managed_policies = add_policies(template, "Service{}", "HasServiceRole", statements)
    suppress(
        next(policy for policy in managed_policies if "CompositeAlarmsCannotBePutByName" in _list_sids(policy)),
        "cloudwatch:PutCompositeAlarm is denied unless it is allowed on all resources (*)",
        checkov=("CKV_AWS_111",),
    )
    if len(managed_policies) > MAXIMUM_POLICIES:
        shifting = ", ".join(environments.shifting)
        raise SettingsError(
            f"stacks/environments.toml: CloudFormation's role needs {len(managed_policies)} policies for "
            f"{len(environments.names)} environments, and a role takes {MAXIMUM_POLICIES}; give some their own account"
            + (f", or take traffic_shift out of {shifting}" if shifting else "")
        )
    role: Role = template.add_resource(
        Role(
            "CloudFormationRole",
            RoleName=names.SERVICE_ROLE,
            AssumeRolePolicyDocument=trust_policy("cloudformation.amazonaws.com"),
            ManagedPolicyArns=[managed_policy.ref() for managed_policy in managed_policies],
            Condition="HasServiceRole",
            # CloudFormation keeps using the role for each stack that was deployed with it.
            **RETAINED,
        )
    )
    template.add_output(Output("ServiceRoleArn", Value=role.get_att("Arn"), Condition="HasServiceRole"))
    return role


def _list_sids(managed_policy: ManagedPolicy) -> list[str]:
    statements = managed_policy.properties["PolicyDocument"].properties["Statement"]
    return [statement.properties["Sid"] for statement in statements]


def _allow_roles(environments: Environments) -> list[Statement]:
    """Allow roles only under the boundary and with the platform's policies, and passing each only to its service.

    Every role is listed by its full name: a pattern could match another team's role, which has no boundary.
    """
    roles, managed_policies = environments.all_role_arns(), environments.all_policy_arns()
    shifting = Environments(environments.shifting).role_arns(names.TRAFFIC_SHIFT_ROLE)
    return [
        allow(
            "Roles",
            "iam:DeleteRole DetachRolePolicy GetRole GetRolePolicy ListAttachedRolePolicies ListRolePolicies "
            "ListRoleTags TagRole UntagRole UpdateAssumeRolePolicy UpdateRole UpdateRoleDescription",
            roles,
        ),
        *(
            statement
            for environment in environments.names
            for statement in _under_boundary(environments.narrow(environment))
        ),
        _allow_passing("PassRolesToLambda", environments.role_arns(*names.FUNCTION_ROLES), "lambda"),
        _allow_passing("PassRoleToStepFunctions", environments.role_arns(*names.STATE_MACHINE_ROLES), "states"),
        _allow_passing("PassRoleToEventBridge", environments.role_arns(names.SCHEDULE_ROLE), "events"),
        _allow_passing("PassRoleToBackup", environments.role_arns(names.BACKUP_ROLE), "backup"),
        *([_allow_passing("PassRoleToCodeDeploy", shifting, "codedeploy")] if shifting else ()),
        # CloudFormation passes its own role to each nested stack. AWS does not document whether the request names the
        # service. The role trusts no other service anyway.
        # https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/using-iam-servicerole.html
        allow(
            "PassItselfToNestedStacks",
            "iam:PassRole",
            [references.role_arn(names.SERVICE_ROLE)],
            StringEqualsIfExists({"iam:PassedToService": "cloudformation.amazonaws.com"}),
        ),
        allow(
            "Policies",
            "iam:CreatePolicy CreatePolicyVersion DeletePolicy DeletePolicyVersion GetPolicy GetPolicyVersion "
            "ListEntitiesForPolicy ListPolicyVersions",
            managed_policies,
        ),
    ]


def _under_boundary(only: Environments) -> list[Statement]:
    """Allow the roles of the ``only`` environment, under the boundary of that environment and with its policies."""
    (environment,) = only.names
    sid = f"RolesOf{to_pascal_case(environment)}"
    boundary_arn = boundary_reference.boundary_arn(Bootstrap.permissions_boundary.ref, environment)
    under_boundary = ArnEquals({"iam:PermissionsBoundary": boundary_arn})
    return [
        allow(
            f"{sid}StandUnderTheBoundary",
            "iam:CreateRole PutRolePermissionsBoundary",
            only.all_role_arns(),
            under_boundary,
        ),
        allow(
            f"{sid}GetOurPoliciesOnly",
            "iam:AttachRolePolicy",
            only.all_role_arns(),
            under_boundary,
            ArnLike({"iam:PolicyARN": only.all_policy_arns()}),
        ),
    ]


def _allow_passing(sid: str, roles: Sequence[AWSHelperFn], service: str) -> Statement:
    return allow(sid, "iam:PassRole", roles, StringEquals({"iam:PassedToService": f"{service}.amazonaws.com"}))
