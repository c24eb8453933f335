"""Who deploys, where that shall not be a person with all rights: CloudFormation's own role, and GitHub's two.

The role of CloudFormation may do what the platform's resource types ask of it, to the platform's names, and nothing
else; tests/stacks/test_deployers.py compares it with the resource types' schemas. The roles of GitHub Actions may plan,
or deploy, with that role, and have no rights on any resource of the platform.
"""

import re
from collections.abc import Sequence
from types import ModuleType

from awacs import awslambda as lambda_
from awacs import (
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
from awacs.aws import (
    Action,
    Allow,
    ArnLike,
    Condition,
    PolicyDocument,
    Principal,
    Statement,
    StringEquals,
)
from troposphere import And, AWSHelperFn, Equals, GetAtt, If, Not, Output, Sub, Template
from troposphere import Condition as ConditionReference
from troposphere.iam import ManagedPolicy, OIDCProvider, Role

from . import names
from .policies import allow, document, trust
from .settings import Bootstrap

_GITHUB = "token.actions.githubusercontent.com"
# The deployer puts it on every stack, and CloudFormation on what is in them.
_OURS = StringEquals({"aws:ResourceTag/ManagedBy": "payment-platform"})


def add(template: Template, bucket_arn: AWSHelperFn) -> None:
    """The roles, each where its setting asks for it."""
    template.add_condition("HasServiceRole", Equals(Bootstrap.service_role.ref, "true"))
    template.add_condition("HasRepository", Not(Equals(Bootstrap.github_repository.ref, "")))
    template.add_condition("HasGitHub", And(ConditionReference("HasServiceRole"), ConditionReference("HasRepository")))
    template.add_condition(
        "MakesProvider",
        And(ConditionReference("HasGitHub"), Equals(Bootstrap.github_oidc_provider_arn.ref, "")),
    )
    service = _service_role(template)
    provider = template.add_resource(
        OIDCProvider("GitHub", Url=f"https://{_GITHUB}", ClientIdList=["sts.amazonaws.com"], Condition="MakesProvider")
    )
    provider_arn = If("MakesProvider", GetAtt(provider, "Arn"), Bootstrap.github_oidc_provider_arn.ref)
    _github_role(
        template, "GitHubPlan", "repo:${GithubRepository}:pull_request", provider_arn, _plan(service, bucket_arn)
    )
    _github_role(
        template,
        "GitHubDeploy",
        "repo:${GithubRepository}:environment:${GithubEnvironment}",
        provider_arn,
        [*_plan(service, bucket_arn), *_deploy()],
    )


def _service_role(template: Template) -> Role:
    policies = [
        _policy(template, "ServiceData", "HasServiceRole", _data()),
        _policy(template, "ServiceCompute", "HasServiceRole", _compute()),
        _policy(template, "ServiceRest", "HasServiceRole", _rest()),
    ]
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


def _github_role(
    template: Template, title: str, subject: str, provider_arn: AWSHelperFn, statements: Sequence[Statement]
) -> None:
    """https://docs.github.com/en/actions/security-for-github-actions/security-hardening-your-deployments/about-security-hardening-with-openid-connect"""
    policy = _policy(template, title, "HasGitHub", statements)
    role = template.add_resource(
        Role(
            f"{title}Role",
            RoleName=f"role-payment-{_hyphens(title)}",
            AssumeRolePolicyDocument=document(
                Statement(
                    Sid="OnlyThisRepository",
                    Effect=Allow,
                    Principal=Principal("Federated", provider_arn),
                    Action=[sts.AssumeRoleWithWebIdentity],
                    Condition=Condition(
                        [StringEquals({f"{_GITHUB}:aud": "sts.amazonaws.com", f"{_GITHUB}:sub": Sub(subject)})]
                    ),
                )
            ),
            ManagedPolicyArns=[policy.ref()],
            # A deployment that alarms watch may take longer than an hour, the default.
            MaxSessionDuration=7200,
            Condition="HasGitHub",
        )
    )
    template.add_output(Output(f"{title}RoleArn", Value=role.get_att("Arn"), Condition="HasGitHub"))


def _policy(template: Template, title: str, condition: str, statements: Sequence[Statement]) -> ManagedPolicy:
    policy: ManagedPolicy = template.add_resource(
        ManagedPolicy(
            f"{title}Policy",
            ManagedPolicyName=f"policy-payment-{_hyphens(title)}",
            PolicyDocument=PolicyDocument(Version="2012-10-17", Statement=list(statements)),
            Condition=condition,
        )
    )
    if condition == "HasServiceRole":
        # With the role that it belongs to.
        policy.resource |= {"DeletionPolicy": "Retain", "UpdateReplacePolicy": "Retain"}
    return policy


def _hyphens(title: str) -> str:
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "-", title.replace("GitHub", "Github")).lower()


def _actions(module: ModuleType, words: str) -> list[Action]:
    """``awacs`` knows each; a misspelt one is an AttributeError."""
    return [getattr(module, word) for word in words.split()]


def _any(name: str) -> str:
    """A name in whichever environment."""
    return name.replace("${Environment}", "*")


def _data() -> list[Statement]:
    tables = [names.arn("dynamodb", f"table/{_any(name)}") for name in (names.TABLE, names.LEDGER_TABLE)]
    return [
        allow(
            "Tables",
            _actions(
                dynamodb,
                "CreateTable DeleteTable DescribeContinuousBackups DescribeContributorInsights "
                "DescribeKinesisStreamingDestination DescribeTable DescribeTimeToLive GetResourcePolicy "
                "ListTagsOfResource TagResource UntagResource UpdateContinuousBackups UpdateTable UpdateTimeToLive",
            ),
            tables,
        ),
        allow(
            "Queue",
            _actions(
                sqs,
                "CreateQueue DeleteQueue GetQueueAttributes GetQueueUrl ListQueueTags SetQueueAttributes TagQueue "
                "UntagQueue",
            ),
            [names.arn("sqs", _any(names.QUEUE))],
        ),
        allow(
            "Topic",
            _actions(
                sns,
                "CreateTopic DeleteTopic GetDataProtectionPolicy GetSubscriptionAttributes GetTopicAttributes "
                "ListSubscriptionsByTopic ListTagsForResource SetSubscriptionAttributes SetTopicAttributes Subscribe "
                "TagResource Unsubscribe UntagResource",
            ),
            [names.arn("sns", _any(names.TOPIC))],
        ),
        # A key has no name before it is there; it is ours by its tag from then on.
        allow(
            "NewKeysCannotBeNamed",
            [kms.CreateKey],
            ["*"],
            StringEquals({"aws:RequestTag/ManagedBy": "payment-platform"}),
        ),
        allow("AliasesCannotBeListedByName", [kms.ListAliases], ["*"]),
        allow(
            "Keys",
            _actions(
                kms,
                "CreateAlias DeleteAlias DescribeKey DisableKey DisableKeyRotation EnableKey EnableKeyRotation "
                "GetKeyPolicy GetKeyRotationStatus ListResourceTags PutKeyPolicy ScheduleKeyDeletion TagResource "
                "UntagResource UpdateAlias UpdateKeyDescription",
            ),
            [names.arn("kms", "key/*")],
            _OURS,
        ),
        allow(
            "Aliases",
            _actions(kms, "CreateAlias DeleteAlias UpdateAlias"),
            [
                names.arn("kms", _any(alias))
                for alias in (names.DYNAMODB_KEY_ALIAS, names.SNS_KEY_ALIAS, names.LOGS_KEY_ALIAS)
            ],
        ),
        allow(
            "TableKeyThroughDynamoDB",
            _actions(kms, "CreateGrant Decrypt DescribeKey Encrypt RevokeGrant"),
            [names.arn("kms", "key/*")],
            StringEquals({"kms:ViaService": Sub("dynamodb.${AWS::Region}.${AWS::URLSuffix}")}),
        ),
    ]


def _compute() -> list[Statement]:
    functions = [
        names.arn("lambda", f"function:{_any(name)}{version}")
        for name in (names.VALIDATION_FUNCTION, names.PROCESSING_FUNCTION, names.RECONCILIATION_FUNCTION)
        for version in ("", ":*")
    ]
    layers = [names.arn("lambda", f"layer:{_any(names.STRIPE_LAYER)}{version}") for version in ("", ":*")]
    roles = [names.role_arn("role-sfn-payment-*"), names.role_arn("role-lambda-*")]
    return [
        allow(
            "Functions",
            _actions(
                lambda_,
                "AddPermission CreateAlias CreateFunction DeleteAlias DeleteFunction DeleteFunctionConcurrency "
                "GetAlias GetFunction GetFunctionCodeSigningConfig GetFunctionConfiguration "
                "GetFunctionRecursionConfig GetPolicy GetProvisionedConcurrencyConfig "
                "GetRuntimeManagementConfig ListVersionsByFunction PublishVersion "
                "PutFunctionConcurrency RemovePermission TagResource UntagResource UpdateAlias UpdateFunctionCode "
                "UpdateFunctionConfiguration",
            ),
            functions,
        ),
        allow("Layer", _actions(lambda_, "DeleteLayerVersion GetLayerVersion PublishLayerVersion"), layers),
        allow("Artifacts", _actions(s3, "GetObject GetObjectVersion"), [Sub("${Artifacts.Arn}/*")]),
        allow(
            "Roles",
            _actions(
                iam,
                "CreateRole DeleteRole DetachRolePolicy GetRole GetRolePolicy ListAttachedRolePolicies "
                "ListRolePolicies TagRole UntagRole UpdateAssumeRolePolicy UpdateRole UpdateRoleDescription",
            ),
            roles,
        ),
        allow(
            "RolesGetOurPoliciesOnly",
            [iam.AttachRolePolicy],
            roles,
            ArnLike({"iam:PolicyARN": names.arn("iam", "policy/policy-*", region=False)}),
        ),
        allow(
            "RolesAreForLambdaAndStepFunctions",
            [iam.PassRole],
            roles,
            StringEquals({"iam:PassedToService": ["lambda.amazonaws.com", "states.amazonaws.com"]}),
        ),
        allow(
            "Policies",
            _actions(
                iam,
                "CreatePolicy CreatePolicyVersion DeletePolicy DeletePolicyVersion GetPolicy GetPolicyVersion "
                "ListEntitiesForPolicy ListPolicyVersions",
            ),
            [
                names.arn("iam", f"policy/{name}", region=False)
                for name in ("policy-sfn-payment-*", "policy-lambda-*", _any(names.GATEWAY_POLICY))
            ],
        ),
    ]


def _rest() -> list[Statement]:
    return [
        allow(
            "StateMachine",
            _actions(
                states,
                "CreateStateMachine DeleteStateMachine DescribeStateMachine ListTagsForResource TagResource "
                "UntagResource UpdateStateMachine",
            ),
            [names.arn("states", f"stateMachine:{_any(names.WORKFLOW)}")],
        ),
        allow(
            "Schedule",
            _actions(
                events,
                "DeleteRule DescribeRule ListTagsForResource ListTargetsByRule PutRule PutTargets RemoveTargets "
                "TagResource UntagResource",
            ),
            [names.arn("events", f"rule/{_any(names.RECONCILIATION_RULE)}")],
        ),
        allow(
            "LogGroups",
            _actions(
                logs,
                "AssociateKmsKey CreateLogGroup DeleteLogGroup DeleteMetricFilter DeleteRetentionPolicy "
                "DescribeIndexPolicies DescribeMetricFilters DisassociateKmsKey GetDataProtectionPolicy "
                "ListTagsForResource PutMetricFilter PutRetentionPolicy TagResource UntagResource",
            ),
            [
                names.arn("logs", f"log-group:{prefix}*")
                for prefix in ("/aws/lambda/lambda-payment-", "/aws/vendedlogs/states/sfn-payment-")
            ],
        ),
        # https://docs.aws.amazon.com/step-functions/latest/dg/cw-logs.html: none of these can be scoped.
        allow(
            "LogDeliveryCannotBeScoped",
            _actions(
                logs,
                "CreateLogDelivery DeleteLogDelivery DescribeLogGroups DescribeResourcePolicies GetLogDelivery "
                "ListLogDeliveries PutResourcePolicy UpdateLogDelivery",
            ),
            ["*"],
        ),
        allow(
            "Alarms",
            _actions(
                cloudwatch, "DeleteAlarms DescribeAlarms ListTagsForResource PutMetricAlarm TagResource UntagResource"
            ),
            [names.arn("cloudwatch", "alarm:alarm-*")],
        ),
        allow(
            "Dashboard",
            _actions(
                cloudwatch, "DeleteDashboards GetDashboard ListTagsForResource PutDashboard TagResource UntagResource"
            ),
            [names.arn("cloudwatch", f"dashboard/{_any(names.DASHBOARD)}", region=False)],
        ),
        allow(
            "NestedStacks",
            _actions(
                cloudformation,
                "CreateStack DeleteStack DescribeStacks GetStackPolicy GetTemplate SetStackPolicy UpdateStack "
                "UpdateTerminationProtection CreateChangeSet DescribeChangeSet DeleteChangeSet ExecuteChangeSet "
                "CancelUpdateStack",
            ),
            [_stacks()],
        ),
    ]


def _stacks() -> AWSHelperFn:
    return names.arn("cloudformation", "stack/payment-platform-*")


def _plan(service: Role, bucket_arn: AWSHelperFn) -> list[Statement]:
    """What `scripts/deploy.sh --plan` asks of AWS."""
    return [
        allow(
            "Plan",
            _actions(
                cloudformation,
                "CreateChangeSet DeleteChangeSet DescribeChangeSet DescribeChangeSetHooks DescribeEvents "
                "DescribeStacks GetTemplate ListChangeSets ListStackResources",
            ),
            [_stacks()],
        ),
        allow(
            "FindTheBucket",
            _actions(cloudformation, "DescribeStacks GetTemplate"),
            [names.arn("cloudformation", "stack/payment-artifacts/*")],
        ),
        allow("Upload", _actions(s3, "GetObject PutObject"), [Sub("${Artifacts.Arn}/payment-platform/*")]),
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
            _actions(
                cloudformation,
                "CancelUpdateStack ContinueUpdateRollback DeleteStack DescribeStackEvents ExecuteChangeSet "
                "GetStackPolicy SetStackPolicy UpdateTerminationProtection",
            ),
            [_stacks()],
        ),
        allow(
            "RetireArtifacts",
            [s3.DeleteObject],
            [Sub("${Artifacts.Arn}/payment-platform/*")],
        ),
    ]
