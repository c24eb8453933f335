"""GitHub's two roles: one may plan, for any pull request; the other may deploy, for one environment of the repository.

Both act through CloudFormation's role, and have no rights on any resource of the platform.
"""

from collections.abc import Sequence

from awacs import awslambda as lambda_
from awacs import (
    backup,
    cloudformation,
    cloudwatch,
    dynamodb,
    events,
    iam,
    kms,
    logs,
    s3,
    sns,
    sqs,
    states,
    sts,
)
from awacs.aws import Allow, Condition, Principal, Statement, StringEquals
from troposphere import AWSHelperFn, GetAtt, If, Output, Sub, Template
from troposphere.iam import ManagedPolicy, OIDCProvider, Role

from .. import names
from ..names import everywhere
from ..policies import allow, document
from ..settings import Bootstrap
from .words import actions, hyphens, policy, stacks

GITHUB = "token.actions.githubusercontent.com"
# How the names of the platform's roles, and of their policies, begin.
_KINDS_OF_ROLES = (
    "backup-payments",
    "lambda-processing",
    "lambda-reconciliation",
    "lambda-validation",
    "sfn-payment-workflow",
)


def add(template: Template, service: Role, bucket_arn: AWSHelperFn) -> None:
    provider = template.add_resource(
        OIDCProvider("GitHub", Url=f"https://{GITHUB}", ClientIdList=["sts.amazonaws.com"], Condition="MakesProvider")
    )
    provider_arn = If("MakesProvider", GetAtt(provider, "Arn"), Bootstrap.github_oidc_provider_arn.ref)
    # One for both roles: CloudFormation takes the template in one piece of 51,200 bytes.
    look = policy(template, "GitHubLook", "HasGitHub", _look_before())
    _role(
        template,
        "GitHubPlan",
        "repo:${GithubRepository}:pull_request",
        provider_arn,
        _plan(service, bucket_arn),
        look,
    )
    _role(
        template,
        "GitHubDeploy",
        "repo:${GithubRepository}:environment:${GithubEnvironment}",
        provider_arn,
        [*_plan(service, bucket_arn), *_deploy()],
        look,
    )


def _role(
    template: Template,
    title: str,
    subject: str,
    provider_arn: AWSHelperFn,
    statements: Sequence[Statement],
    look: ManagedPolicy,
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
            ManagedPolicyArns=[own.ref(), look.ref()],
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


def _look_before() -> list[Statement]:
    """What the checks before a deployment (scripts/deployer/preflight) ask of AWS; they change nothing."""
    return [
        # None of these takes a resource that is narrower than the account.
        # https://docs.aws.amazon.com/service-authorization/latest/reference/list_awslambda.html
        # https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazoncloudwatchlogs.html
        # https://docs.aws.amazon.com/service-authorization/latest/reference/list_awskeymanagementservice.html
        allow(
            "LookAtTheAccount",
            [
                lambda_.GetAccountSettings,
                logs.DescribeLogGroups,
                logs.DescribeResourcePolicies,
                kms.ListAliases,
            ],
            ["*"],
        ),
        allow(
            "LookForNames",
            [
                *actions(backup, "DescribeBackupVault ListTags"),
                cloudwatch.GetDashboard,
                *actions(dynamodb, "DescribeTable ListTagsOfResource"),
                events.DescribeRule,
                *actions(iam, "GetPolicy GetRole"),
                *actions(lambda_, "GetFunctionConcurrency ListTags"),
                logs.ListTagsForResource,
                sns.GetTopicAttributes,
                *actions(sqs, "GetQueueUrl ListQueueTags"),
                states.DescribeStateMachine,
            ],
            _named_resources(),
        ),
        allow(
            "LookAtTheOwnRights",
            actions(iam, "GetRole SimulatePrincipalPolicy"),
            [names.role_arn(f"role-payment-{hyphens(title)}") for title in ("GitHubPlan", "GitHubDeploy")],
        ),
    ]


def _named_resources() -> list[AWSHelperFn]:
    """What the platform's fixed names stand for. Prefixes, where each name would not fit into one policy."""
    return [
        names.arn("backup", f"backup-vault:{everywhere(names.BACKUP_VAULT)}"),
        names.arn("cloudwatch", f"dashboard/{everywhere(names.DASHBOARD)}", region=False),
        *(names.arn("dynamodb", f"table/{everywhere(name)}") for name in (names.TABLE, names.LEDGER_TABLE)),
        names.arn("events", f"rule/{everywhere(names.RECONCILIATION_RULE)}"),
        *(names.arn("iam", f"policy/policy-{kind}-*", region=False) for kind in _KINDS_OF_ROLES),
        names.arn("iam", "policy/policy-gateway-secret-*", region=False),
        *(names.role_arn(f"role-{kind}-*") for kind in _KINDS_OF_ROLES),
        names.arn("lambda", "function:lambda-payment-*"),
        names.arn("logs", "log-group:/aws/lambda/lambda-payment-*"),
        names.arn("logs", f"log-group:{everywhere(names.WORKFLOW_LOG_GROUP)}"),
        names.arn("sns", everywhere(names.TOPIC)),
        names.arn("sqs", everywhere(names.QUEUE)),
        names.arn("states", f"stateMachine:{everywhere(names.WORKFLOW)}"),
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
