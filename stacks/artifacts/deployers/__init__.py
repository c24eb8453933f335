"""The roles that deploy, so that no administrator has to: CloudFormation's service role, and two for GitHub Actions.

CloudFormation's role may do what the platform's resource types require, on the platform's resources in the environments
of environments.toml, and nothing else; tests/stacks/test_service_role.py checks every operation on every resource. One
role of GitHub Actions may plan with that role and the other may deploy. Neither may access the platform's resources.

service_role.py    CloudFormation's role
service_rights.py  what it may do to the platform's resources
github.py          the two roles of GitHub Actions
policy_terms.py    ARNs and policies as the other modules write them
"""

from troposphere import And, AWSHelperFn, Equals, Not, Template
from troposphere import Condition as ConditionReference

from ...settings import LOCAL, Bootstrap
from .. import permissions_boundary
from . import github, service_role
from .policy_terms import Environments


def add_deployers(template: Template, bucket_arn: AWSHelperFn, environments: Environments) -> None:
    """Add the roles and the permissions boundaries, each under the condition that its setting is on."""
    template.add_condition("HasServiceRole", Equals(Bootstrap.service_role.ref, "true"))
    template.add_condition("HasRepository", Not(Equals(Bootstrap.github_repository.ref, "")))
    template.add_condition("HasGitHub", And(ConditionReference("HasServiceRole"), ConditionReference("HasRepository")))
    template.add_condition(
        "MakesProvider",
        And(ConditionReference("HasGitHub"), Equals(Bootstrap.github_oidc_provider_arn.ref, "")),
    )
    permissions_boundary.add_boundaries(
        template, Bootstrap.permissions_boundary.ref, (*environments.names, LOCAL), environments.shifting
    )
    service = service_role.add_service_role(template, environments)
    github.add_github_roles(template, service, bucket_arn, environments)
