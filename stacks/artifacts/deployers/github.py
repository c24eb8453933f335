"""The roles of GitHub Actions: any pull request may plan, and jobs of one GitHub environment may deploy.

Both roles act through CloudFormation's role and have no access to the platform's resources, but for the code of the
functions where `deploy.sh code-only` may change it.
"""

from collections.abc import Sequence

from awacs.aws import Allow, Condition, Principal, Statement, StringEquals, StringEqualsIfExists
from troposphere import AWSHelperFn, GetAtt, If, Output, Sub, Template
from troposphere.iam import ManagedPolicy, OIDCProvider, Role

from ... import names, references
from ...policies import allow, list_actions, only_through, policy_document
from ...settings import Bootstrap
from ...wiring import RETAINED, to_pascal_case
from .policy_terms import Environments, add_policies, add_policy, hyphenate

GITHUB = "token.actions.githubusercontent.com"


def add_github_roles(template: Template, service: Role, bucket_arn: AWSHelperFn, environments: Environments) -> None:
    provider = template.add_resource(
        OIDCProvider(
            "GitHub",
            Url=f"https://{GITHUB}",
            ClientIdList=["sts.amazonaws.com"],
            Condition="MakesProvider",
            # An account has only one provider for GitHub, and the roles of other teams may trust it too.
            **RETAINED,
        )
    )
    provider_arn = If("MakesProvider", GetAtt(provider, "Arn"), Bootstrap.github_oidc_provider_arn.ref)
    plan = _allow_planning(service, bucket_arn, environments)
    checks = add_policies(template, "GitHubLook{}", "HasGitHub", _allow_checks(environments))
    code = add_policies(template, "GitHubCode{}", "HasGitHub", _allow_taking_code_back(environments))
    _add_role(template, "GitHubPlan", "repo:${GithubRepository}:pull_request", provider_arn, plan, checks)
    _add_role(
        template,
        "GitHubDeploy",
        "repo:${GithubRepository}:environment:${GithubEnvironment}",
        provider_arn,
        [*plan, *_allow_deploying(environments)],
        [*checks, *code],
    )


def _add_role(
    template: Template,
    title: str,
    subject: str,
    provider_arn: AWSHelperFn,
    statements: Sequence[Statement],
    others: Sequence[ManagedPolicy],
) -> None:
    """Add a role that only tokens with this subject may assume, and output its ARN.

    The subject names the repository as the setting does: OWNER/NAME, or OWNER@ID/NAME@ID. Only the ids distinguish it
    from a later repository of the same name. GitHub includes them for each repository that was created, renamed or
    transferred since July 2026, and for those that have opted in.
    https://docs.github.com/en/actions/reference/openid-connect-reference#immutable-subject-claims
    """
    managed_policy = add_policy(template, title, "HasGitHub", statements)
    role = template.add_resource(
        Role(
            f"{title}Role",
            RoleName=f"role-payment-{hyphenate(title)}",
            AssumeRolePolicyDocument=policy_document(
                Statement(
                    Sid="OnlyThisRepository",
                    Effect=Allow,
                    Principal=Principal("Federated", provider_arn),
                    Action=list_actions("sts:AssumeRoleWithWebIdentity"),
                    Condition=Condition(
                        [StringEquals({f"{GITHUB}:aud": "sts.amazonaws.com", f"{GITHUB}:sub": Sub(subject)})]
                    ),
                )
            ),
            ManagedPolicyArns=[managed_policy.ref(), *(policy.ref() for policy in others)],
            # A deployment monitored by alarms may take longer than the default of one hour.
            MaxSessionDuration=7200,
            Condition="HasGitHub",
            **RETAINED,
        )
    )
    template.add_output(Output(f"{title}RoleArn", Value=role.get_att("Arn"), Condition="HasGitHub"))


def _allow_planning(service: Role, bucket_arn: AWSHelperFn, environments: Environments) -> list[Statement]:
    """Allow the requests of `scripts/deploy.sh plan`."""
    return [
        allow(
            "Plan",
            "cloudformation:CreateChangeSet DeleteChangeSet DescribeChangeSet DescribeChangeSetHooks DescribeEvents "
            "DescribeStackResourceDrifts DescribeStacks GetTemplate ListChangeSets ListStackResources",
            environments.stack_arns(),
        ),
        # The events of a change set are requested by its ARN, and CloudFormation chooses the names for nested stacks.
        # https://docs.aws.amazon.com/service-authorization/latest/reference/list_awscloudformation.html
        allow(
            "ReadValidationsOfChangeSets",
            "cloudformation:DescribeChangeSet DescribeEvents",
            [references.arn("cloudformation", "changeSet/*")],
        ),
        allow(
            "FindTheBucket",
            "cloudformation:DescribeStacks GetTemplate",
            [references.arn("cloudformation", "stack/payment-artifacts/*")],
        ),
        # Not under the keys that a deployment uploads to: an object there would stop it.
        allow("UploadPlans", "s3:GetObject PutObject", [Sub("${Artifacts.Arn}/payment-plans/*")]),
        allow("SeeWhatIsThere", "s3:ListBucket", [bucket_arn]),
        allow("AlarmsCannotBeDescribedByName", "cloudwatch:DescribeAlarms", ["*"]),
        # AWS does not document whether the request names the service. The role trusts no other service anyway.
        allow(
            "CloudFormationActs",
            "iam:PassRole",
            [service.get_att("Arn")],
            StringEqualsIfExists({"iam:PassedToService": "cloudformation.amazonaws.com"}),
        ),
    ]


def _allow_checks(environments: Environments) -> list[Statement]:
    """Allow the read-only requests of the checks before a deployment (scripts/deployer/preflight)."""
    return [
        # None of these actions supports a resource narrower than the account.
        # https://docs.aws.amazon.com/service-authorization/latest/reference/list_awslambda.html
        # https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazoncloudwatchlogs.html
        # https://docs.aws.amazon.com/service-authorization/latest/reference/list_awskeymanagementservice.html
        # https://docs.aws.amazon.com/service-authorization/latest/reference/list_awsbackup.html
        allow(
            "AccountHasNoResource",
            "backup:ListBackupVaults lambda:GetAccountSettings logs:DescribeLogGroups DescribeResourcePolicies "
            "kms:ListAliases",
            ["*"],
        ),
        allow(
            "LookAtTheOwnRights",
            "iam:GetRole SimulatePrincipalPolicy",
            [references.role_arn(f"role-payment-{hyphenate(title)}") for title in ("GitHubPlan", "GitHubDeploy")],
        ),
        *(_allow_lookup_of_names(environments.narrow(environment)) for environment in environments.names),
        *_allow_on_functions("SeeChangedCode", "lambda:GetAlias", environments),
    ]


def _allow_lookup_of_names(only: Environments) -> Statement:
    """Allow the lookup of whether the names of the ``only`` environment are taken, and by whom."""
    (environment,) = only.names
    shifting = Environments(only.shifting)
    return allow(
        f"LookForNamesOf{to_pascal_case(environment)}",
        f"backup:ListTags cloudwatch:GetDashboard {'codedeploy:GetApplication ' if only.shifting else ''}"
        "dynamodb:DescribeTable ListTagsOfResource events:DescribeRule "
        "iam:GetPolicy GetRole lambda:GetFunctionConcurrency ListTags logs:ListTagsForResource sns:GetTopicAttributes "
        "sqs:GetQueueUrl ListQueueTags states:DescribeStateMachine",
        [
            *only.arns("backup", f"backup-vault:{names.BACKUP_VAULT}"),
            *only.arns("cloudwatch", f"dashboard/{names.DASHBOARD}", is_regional=False),
            *shifting.arns("codedeploy", f"application:{names.SHIFTING_APPLICATION}"),
            *only.arns("dynamodb", *(f"table/{name}" for name in names.TABLES)),
            *only.arns("events", f"rule/{names.RECONCILIATION_RULE}"),
            *only.all_policy_arns(),
            *only.all_role_arns(),
            *only.arns("lambda", *(f"function:{function.name}" for function in names.FUNCTIONS)),
            *only.arns("logs", *(f"log-group:{name}" for name in names.LOG_GROUPS)),
            *only.arns("sns", *names.TOPICS),
            *only.arns("sqs", *names.QUEUES),
            *only.arns("states", *(f"stateMachine:{name}" for name in names.STATE_MACHINES)),
        ],
    )


def _allow_deploying(environments: Environments) -> list[Statement]:
    """Allow the requests of a deployment beyond those of its plan."""
    return [
        allow(
            "Deploy",
            "cloudformation:CancelUpdateStack ContinueUpdateRollback DeleteStack DescribeStackEvents ExecuteChangeSet "
            "GetStackPolicy SetStackPolicy UpdateTerminationProtection",
            environments.stack_arns(),
        ),
        # https://docs.aws.amazon.com/service-authorization/latest/reference/list_awscloudformation.html
        allow("StackListsHaveNoResource", "cloudformation:ListStacks", ["*"]),
        *_allow_later_rollback(environments),
        allow("Artifacts", "s3:DeleteObject GetObject PutObject", [Sub("${Artifacts.Arn}/payment-platform/*")]),
    ]


def _allow_taking_code_back(environments: Environments) -> list[Statement]:
    """Allow the requests by which a deployment takes back what deploy.sh code-only has changed, where that is allowed.

    Lambda creates a grant on the key of the functions' variables with the caller's rights, and users report that it
    does so for new code, too:
    https://docs.aws.amazon.com/lambda/latest/dg/configuration-envvars-encryption.html
    https://github.com/ministryofjustice/modernisation-platform/pull/8147
    """
    actions = "lambda:GetFunctionConfiguration UpdateAlias UpdateFunctionCode"
    arns = Environments(environments.code_only).arns("lambda", *(f"function:{item.name}" for item in names.FUNCTIONS))
    grant = allow(
        "LambdaUsesTheFunctionsKey",
        "kms:CreateGrant",
        [references.arn("kms", "key/*")],
        only_through("lambda", FunctionArn=arns),
    )
    statements = _allow_on_functions("TakeCodeBack", actions, environments)
    return [*statements, grant] if statements else []


def _allow_on_functions(sid: str, actions: str, environments: Environments) -> list[Statement]:
    """Allow the actions only where code may get into functions without a deployment (deploy.sh code-only)."""
    if not environments.code_only:
        return []
    functions = [f"function:{function.name}{version}" for function in names.FUNCTIONS for version in ("", ":*")]
    return [allow(sid, actions, Environments(environments.code_only).arns("lambda", *functions))]


def _allow_later_rollback(environments: Environments) -> list[Statement]:
    """Allow it only where a failed deployment may keep what succeeded (deploy.sh --keep-failed)."""
    if not environments.unprotected:
        return []
    stacks = Environments(environments.unprotected).stack_arns()
    return [allow("RollBackLater", "cloudformation:RollbackStack", stacks)]
