"""GitHub's two roles: one may plan, for any pull request; the other may deploy, for one environment of the repository.

Both act through CloudFormation's role, and have no rights on any resource of the platform.
"""

from collections.abc import Sequence

from awacs import cloudformation, cloudwatch, iam, s3, sts
from awacs.aws import Allow, Condition, Principal, Statement, StringEquals
from troposphere import AWSHelperFn, GetAtt, If, Output, Sub, Template
from troposphere.iam import OIDCProvider, Role

from .. import names
from ..policies import allow, document
from ..settings import Bootstrap
from .words import actions, hyphens, policy, stacks

GITHUB = "token.actions.githubusercontent.com"


def add(template: Template, service: Role, bucket_arn: AWSHelperFn) -> None:
    provider = template.add_resource(
        OIDCProvider("GitHub", Url=f"https://{GITHUB}", ClientIdList=["sts.amazonaws.com"], Condition="MakesProvider")
    )
    provider_arn = If("MakesProvider", GetAtt(provider, "Arn"), Bootstrap.github_oidc_provider_arn.ref)
    _role(template, "GitHubPlan", "repo:${GithubRepository}:pull_request", provider_arn, _plan(service, bucket_arn))
    _role(
        template,
        "GitHubDeploy",
        "repo:${GithubRepository}:environment:${GithubEnvironment}",
        provider_arn,
        [*_plan(service, bucket_arn), *_deploy()],
    )


def _role(
    template: Template, title: str, subject: str, provider_arn: AWSHelperFn, statements: Sequence[Statement]
) -> None:
    """https://docs.github.com/en/actions/security-for-github-actions/security-hardening-your-deployments/about-security-hardening-with-openid-connect"""
    own = policy(template, title, "HasGitHub", statements)
    role = template.add_resource(
        Role(
            f"{title}Role",
            RoleName=f"role-payment-{hyphens(title)}",
            AssumeRolePolicyDocument=document(
                Statement(
                    Sid="OnlyThisRepository",
                    Effect=Allow,
                    Principal=Principal("Federated", provider_arn),
                    Action=[sts.AssumeRoleWithWebIdentity],
                    Condition=Condition(
                        [StringEquals({f"{GITHUB}:aud": "sts.amazonaws.com", f"{GITHUB}:sub": Sub(subject)})]
                    ),
                )
            ),
            ManagedPolicyArns=[own.ref()],
            # A deployment that alarms watch may take longer than an hour, the default.
            MaxSessionDuration=7200,
            Condition="HasGitHub",
        )
    )
    template.add_output(Output(f"{title}RoleArn", Value=role.get_att("Arn"), Condition="HasGitHub"))


def _plan(service: Role, bucket_arn: AWSHelperFn) -> list[Statement]:
    """What `scripts/deploy.sh --plan` asks of AWS."""
    return [
        allow(
            "Plan",
            actions(
                cloudformation,
                "CreateChangeSet DeleteChangeSet DescribeChangeSet DescribeChangeSetHooks DescribeEvents "
                "DescribeStacks GetTemplate ListChangeSets ListStackResources",
            ),
            [stacks()],
        ),
        allow(
            "FindTheBucket",
            actions(cloudformation, "DescribeStacks GetTemplate"),
            [names.arn("cloudformation", "stack/payment-artifacts/*")],
        ),
        allow("Upload", actions(s3, "GetObject PutObject"), [Sub("${Artifacts.Arn}/payment-platform/*")]),
        allow("SeeWhatIsThere", [s3.ListBucket], [bucket_arn]),
        allow("AlarmsCannotBeDescribedByName", [cloudwatch.DescribeAlarms], ["*"]),
        allow(
            "CloudFormationActs",
            [iam.PassRole],
            [service.get_att("Arn")],
            StringEquals({"iam:PassedToService": "cloudformation.amazonaws.com"}),
        ),
    ]


def _deploy() -> list[Statement]:
    """What a deployment asks of AWS beyond its plan."""
    return [
        allow(
            "Deploy",
            actions(
                cloudformation,
                "CancelUpdateStack ContinueUpdateRollback DeleteStack DescribeStackEvents ExecuteChangeSet "
                "GetStackPolicy SetStackPolicy UpdateTerminationProtection",
            ),
            [stacks()],
        ),
        allow(
            "RetireArtifacts",
            [s3.DeleteObject],
            [Sub("${Artifacts.Arn}/payment-platform/*")],
        ),
    ]
