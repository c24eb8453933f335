"""The roles that deploy: what CloudFormation's role may do, what the boundary limits, and who may act as GitHub."""

from typing import Any

import pytest
from ministack.core.iam_evaluator import EvalContext, evaluate, parse_policy_document

from stacks import settings
from tests.stacks.access import (
    ACCOUNT,
    ALL_RIGHTS,
    DEFAULT_KEY_POLICY,
    PLACE,
    REGION,
    Principal,
    World,
    foreign_role,
    key_arn,
)
from tests.stacks.test_access import (
    ARTIFACTS,
    LIVE_PROCESSING,
    PLATFORM_ROLES,
    QUEUE,
    SECRET,
    STATE_MACHINE,
    TABLE,
    TOPIC,
    TRAFFIC_SHIFT,
    TRUST,
)

ENVIRONMENTS = settings.deployed_environments()
CLOUDFORMATION, PLAN, DEPLOY = "CloudFormationRole", "GitHubPlanRole", "GitHubDeployRole"
IAM = f"arn:aws:iam::{ACCOUNT}"
BOUNDARY = f"{IAM}:policy/policy-payment-boundary-prod"
OUR_ROLE, OUR_POLICY = f"{IAM}:role/role-lambda-processing-prod", f"{IAM}:policy/policy-lambda-processing-prod"
STACK = f"arn:aws:cloudformation:{PLACE}:stack/payment-platform-prod/1"

# https://docs.aws.amazon.com/service-authorization/latest/reference/list_awsidentityandaccessmanagementiam.html
UNDER = {"iam:PermissionsBoundary": BOUNDARY}
NO_BOUNDARY: dict[str, str] = {}
OTHER_BOUNDARY = {"iam:PermissionsBoundary": "arn:aws:iam::aws:policy/AdministratorAccess"}
ATTACHED = UNDER | {"iam:PolicyARN": OUR_POLICY}
TO_LAMBDA = {"iam:PassedToService": "lambda.amazonaws.com"}
TAGGED_AS_OURS = {"aws:RequestTag/ManagedBy": "payment-platform"}
OUR_TAG = {"aws:ResourceTag/ManagedBy": "payment-platform"}
OF_THIS_ACCOUNT = {"kms:CallerAccount": ACCOUNT}
# A key of another team with the default policy, which leaves everything to IAM.
FOREIGN_KEY = key_arn("OfAnotherTeam")

MAY = {
    "CloudFormation makes a role under the boundary": (CLOUDFORMATION, "iam:CreateRole", OUR_ROLE, UNDER),
    "CloudFormation tags the key that it makes": (CLOUDFORMATION, "kms:TagResource", key_arn("SnsKey"), TAGGED_AS_OURS),
    "CloudFormation changes a key of an earlier deployment": (
        CLOUDFORMATION, "kms:PutKeyPolicy", FOREIGN_KEY, OF_THIS_ACCOUNT | OUR_TAG,
    ),
    # CloudWatch refuses it to a role that is restricted to names.
    "CloudFormation makes a composite alarm": (CLOUDFORMATION, "cloudwatch:PutCompositeAlarm", "*"),
    "a plan makes a change set": (PLAN, "cloudformation:CreateChangeSet", STACK),
    "a plan hands CloudFormation its role": (
        PLAN, "iam:PassRole", f"{IAM}:role/role-payment-cloudformation",
        {"iam:PassedToService": "cloudformation.amazonaws.com"},
    ),
    "a plan reads the validations of a change set": (
        PLAN, "cloudformation:DescribeEvents", f"arn:aws:cloudformation:{PLACE}:changeSet/deploy-0123456789ab/1",
    ),
    "a plan writes its templates": (
        PLAN, "s3:PutObject", f"{ARTIFACTS}/payment-plans/prod/template", {"s3:if-none-match": "*"},
    ),
    "a deployment writes its artifacts": (
        DEPLOY, "s3:PutObject", f"{ARTIFACTS}/payment-platform/prod/code", {"s3:if-none-match": "*"},
    ),
    "a deployment executes a change set": (DEPLOY, "cloudformation:ExecuteChangeSet", STACK),
}  # fmt: skip

MAY_NOT = {
    "CloudFormation makes a role without a boundary": (CLOUDFORMATION, "iam:CreateRole", OUR_ROLE, NO_BOUNDARY),
    "CloudFormation makes a role under another": (CLOUDFORMATION, "iam:CreateRole", OUR_ROLE, OTHER_BOUNDARY),
    "CloudFormation makes a role of another name": (CLOUDFORMATION, "iam:CreateRole", f"{IAM}:role/admin", UNDER),
    "CloudFormation puts a role under another boundary": (
        CLOUDFORMATION, "iam:PutRolePermissionsBoundary", OUR_ROLE, OTHER_BOUNDARY,
    ),
    "CloudFormation takes a boundary away": (CLOUDFORMATION, "iam:DeleteRolePermissionsBoundary", OUR_ROLE, UNDER),
    **{
        f"CloudFormation changes the boundary: {action}": (CLOUDFORMATION, f"iam:{action}", BOUNDARY, UNDER)
        for action in (
            "CreatePolicy", "CreatePolicyVersion", "SetDefaultPolicyVersion", "DeletePolicy", "DeletePolicyVersion",
        )
    },
    "CloudFormation attaches AdministratorAccess": (
        CLOUDFORMATION, "iam:AttachRolePolicy", OUR_ROLE,
        UNDER | {"iam:PolicyARN": "arn:aws:iam::aws:policy/AdministratorAccess"},
    ),
    "CloudFormation attaches a policy of ours where there is no boundary": (
        CLOUDFORMATION, "iam:AttachRolePolicy", OUR_ROLE, {"iam:PolicyARN": OUR_POLICY},
    ),
    "CloudFormation writes a policy into a role": (CLOUDFORMATION, "iam:PutRolePolicy", OUR_ROLE, UNDER),
    "CloudFormation changes a policy of somebody else's": (
        CLOUDFORMATION, "iam:CreatePolicyVersion", f"{IAM}:policy/policy-lambda-of-another-team",
    ),
    "CloudFormation gives our role to another service": (
        CLOUDFORMATION, "iam:PassRole", OUR_ROLE, {"iam:PassedToService": "ec2.amazonaws.com"},
    ),
    "CloudFormation gives our role to a service that is not told": (CLOUDFORMATION, "iam:PassRole", OUR_ROLE),
    # Such a role has no boundary, and the function could do whatever the role may.
    "CloudFormation gives a function a role of somebody else's": (
        CLOUDFORMATION, "iam:PassRole", f"{IAM}:role/role-lambda-of-another-team", TO_LAMBDA,
    ),
    "CloudFormation lets others assume a role of somebody else's": (
        CLOUDFORMATION, "iam:UpdateAssumeRolePolicy", f"{IAM}:role/role-lambda-of-another-team",
    ),
    "CloudFormation gives a function its own role": (
        CLOUDFORMATION, "iam:PassRole", f"{IAM}:role/role-payment-cloudformation", TO_LAMBDA,
    ),
    "CloudFormation changes its own role": (
        CLOUDFORMATION, "iam:AttachRolePolicy", f"{IAM}:role/role-payment-cloudformation", ATTACHED,
    ),
    "CloudFormation changes its own policy": (
        CLOUDFORMATION, "iam:CreatePolicyVersion", f"{IAM}:policy/policy-payment-service-1",
    ),
    "CloudFormation makes a user": (CLOUDFORMATION, "iam:CreateUser", f"{IAM}:user/x"),
    "CloudFormation makes an access key": (CLOUDFORMATION, "iam:CreateAccessKey", f"{IAM}:user/x"),
    "CloudFormation makes a key that is nobody's": (CLOUDFORMATION, "kms:CreateKey", "*"),
    "CloudFormation changes a key of somebody else's": (
        CLOUDFORMATION, "kms:PutKeyPolicy", FOREIGN_KEY, OF_THIS_ACCOUNT,
    ),
    # A key belongs to the platform by its tag, so others must not get the tag.
    "CloudFormation takes a key of somebody else's for ours": (
        CLOUDFORMATION, "kms:TagResource", FOREIGN_KEY,
        TAGGED_AS_OURS | {"kms:ResourceAliases": ["alias/theirs"]},
    ),
    "CloudFormation tags a key with something else": (
        CLOUDFORMATION, "kms:TagResource", FOREIGN_KEY, {"aws:RequestTag/ManagedBy": "another-team"},
    ),
    "CloudFormation writes an artifact": (CLOUDFORMATION, "s3:PutObject", f"{ARTIFACTS}/payment-platform/code"),
    "CloudFormation reads a payment": (CLOUDFORMATION, "dynamodb:GetItem", TABLE),
    "CloudFormation reads the secret": (CLOUDFORMATION, "secretsmanager:GetSecretValue", SECRET),
    "CloudFormation pays": (CLOUDFORMATION, "states:StartExecution", STATE_MACHINE),
    "CloudFormation invokes a function": (CLOUDFORMATION, "lambda:InvokeFunction", LIVE_PROCESSING),
    "a plan writes what a deployment will ask for": (
        PLAN, "s3:PutObject", f"{ARTIFACTS}/payment-platform/prod/template", {"s3:if-none-match": "*"},
    ),
    "a plan executes a change set": (PLAN, "cloudformation:ExecuteChangeSet", STACK),
    "a plan deletes a stack": (PLAN, "cloudformation:DeleteStack", STACK),
    "a plan gives CloudFormation another role": (
        PLAN, "iam:PassRole", f"{IAM}:role/admin", {"iam:PassedToService": "cloudformation.amazonaws.com"},
    ),
    "a plan gives CloudFormation's role to a function": (
        PLAN, "iam:PassRole", f"{IAM}:role/role-payment-cloudformation", TO_LAMBDA,
    ),
    "a deployment touches another stack": (
        DEPLOY, "cloudformation:ExecuteChangeSet", f"arn:aws:cloudformation:{PLACE}:stack/another/1",
    ),
    "a plan overwrites a template": (PLAN, "s3:PutObject", f"{ARTIFACTS}/payment-plans/prod/template"),
    "a deployment overwrites an artifact": (DEPLOY, "s3:PutObject", f"{ARTIFACTS}/payment-platform/code"),
    **{
        f"{role}: {action}": (role, action, resource)
        for role in (PLAN, DEPLOY)
        for action, resource in (
            ("iam:CreateRole", OUR_ROLE),
            ("dynamodb:GetItem", TABLE),
            ("lambda:UpdateFunctionCode", LIVE_PROCESSING[:-5]),
            ("kms:PutKeyPolicy", key_arn("SnsKey")),
            ("s3:PutBucketPolicy", ARTIFACTS),
        )
    },
}  # fmt: skip


@pytest.fixture(scope="module")
def world(world: World) -> World:
    """The platform, with a key of another team beside it."""
    return world.with_policy(FOREIGN_KEY, DEFAULT_KEY_POLICY)


@pytest.mark.parametrize("sentence", MAY)
def test_the_policies_allow_that(sentence: str, world: World) -> None:
    assert world.may(*MAY[sentence])


@pytest.mark.parametrize("sentence", MAY_NOT)
def test_the_policies_deny_that(sentence: str, world: World) -> None:
    assert not world.may(*MAY_NOT[sentence])


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_a_role_needs_the_boundary_and_gets_the_policies_of_its_environment(environment: str, world: World) -> None:
    role, policy, boundary = (arn.replace("-prod", f"-{environment}") for arn in (OUR_ROLE, OUR_POLICY, BOUNDARY))
    for action in ("iam:CreateRole", "iam:PutRolePermissionsBoundary", "iam:AttachRolePolicy"):
        for value in (boundary, *(BOUNDARY.replace("-prod", f"-{name}") for name in ENVIRONMENTS), ""):
            context = {"iam:PolicyARN": policy} | ({"iam:PermissionsBoundary": value} if value else {})
            assert world.may(CLOUDFORMATION, action, role, context) == (value == boundary), (action, value)
    for name in set(ENVIRONMENTS) - {environment}:
        context = {"iam:PermissionsBoundary": boundary, "iam:PolicyARN": OUR_POLICY.replace("-prod", f"-{name}")}
        assert not world.may(CLOUDFORMATION, "iam:AttachRolePolicy", role, context), name


@pytest.mark.parametrize("role", PLATFORM_ROLES)
@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_a_role_is_passed_to_its_own_service_only(role: str, environment: str, world: World) -> None:
    arn = world.roles[role].arn.replace("-prod", f"-{environment}")
    for name in ("lambda", "states", "backup", "cloudformation", "ec2"):
        context = {"iam:PassedToService": f"{name}.amazonaws.com"}
        assert world.may(CLOUDFORMATION, "iam:PassRole", arn, context) == (name == TRUST[role][0]), name


# The boundary


def test_every_role_of_the_platform_has_the_boundary(world: World) -> None:
    for role in PLATFORM_ROLES:
        assert world.roles[role].boundary == ({"Version": "2012-10-17", "Statement": world.policies["BoundaryProd"]},)


def test_the_policies_of_a_role_allow_nothing_beyond_the_boundary(world: World) -> None:
    """Each action of each statement is tried on each of its resources, in the context of its conditions.

    The boundary of an environment without traffic_shift has nothing for CodeDeploy's role: test_traffic_shift.py.
    """
    ceiling = [parse_policy_document({"Statement": world.policies["BoundaryProd"]})]
    requests = [
        (role, statement, action, resource)
        for role in PLATFORM_ROLES
        if role != TRAFFIC_SHIFT
        for policy in world.roles[role].policies
        for statement in policy["Statement"]
        for action in statement["Action"]
        for resource in statement["Resource"]
    ]
    assert len(requests) > 60
    for role, statement, action, resource in requests:
        request = EvalContext(
            world.roles[role].arn, "AssumedRole", ACCOUNT, action, resource, REGION,
            secure_transport=True, service_context=_satisfy_conditions(statement),
        )  # fmt: skip
        assert evaluate(request, ceiling).decision == "Allow", (role, statement["Sid"], action, resource)


def _satisfy_conditions(statement: dict[str, Any]) -> dict[str, Any]:
    values = {
        key.lower(): value[0] if isinstance(value, list) else value
        for operator in statement.get("Condition", {}).values()
        for key, value in operator.items()
    }
    # KMS sets this context key for every request.
    return {"kms:calleraccount": ACCOUNT} | values


# What no role may do, whatever its policies allow.
BEYOND_THE_BOUNDARY = {
    "iam:CreateUser": f"{IAM}:user/x",
    "iam:AttachRolePolicy": OUR_ROLE,
    "iam:CreatePolicyVersion": BOUNDARY,
    "iam:PassRole": OUR_ROLE,
    "sts:AssumeRole": f"{IAM}:role/admin",
    "s3:GetObject": f"{ARTIFACTS}/payment-platform/code",
    "s3:PutObject": "arn:aws:s3:::somewhere/else",
    "kms:ScheduleKeyDeletion": key_arn("DynamodbKey"),
    "kms:PutKeyPolicy": key_arn("DynamodbKey"),
    "kms:CreateGrant": key_arn("DynamodbKey"),
    "dynamodb:DeleteTable": TABLE,
    "dynamodb:DeleteItem": TABLE,
    "dynamodb:Scan": TABLE,
    "dynamodb:GetItem": TABLE.replace("-prod", "-images"),
    "dynamodb:PutItem": TABLE.replace("-prod", "-dev"),
    "sqs:SendMessage": QUEUE.replace("-prod", "-dev"),
    "sns:Publish": TOPIC.replace("-prod", "-dev"),
    "lambda:UpdateFunctionCode": LIVE_PROCESSING[:-5],
    "lambda:InvokeFunction": LIVE_PROCESSING[:-5],
    "logs:DeleteLogGroup": f"arn:aws:logs:{PLACE}:log-group:/aws/lambda/lambda-payment-processing-prod",
    "sqs:PurgeQueue": QUEUE,
    "sns:Subscribe": TOPIC,
    "states:StartExecution": STATE_MACHINE,
    "backup:DeleteRecoveryPoint": f"arn:aws:backup:{PLACE}:recovery-point:x",
    "ec2:RunInstances": "*",
    "cloudformation:DeleteStack": STACK,
}


@pytest.mark.parametrize("action", BEYOND_THE_BOUNDARY)
def test_a_role_with_all_rights_is_limited_by_the_boundary(action: str, world: World) -> None:
    boundary = world.roles["ProcessingRole"].boundary
    capped = Principal(OUR_ROLE, (ALL_RIGHTS,), boundary)
    # The context satisfies the policies of the bucket and the keys, so that only the boundary can deny.
    context = {"s3:if-none-match": "*", "kms:GrantIsForAWSResource": "true", "kms:CallerAccount": ACCOUNT}
    assert not world.may(capped, action, BEYOND_THE_BOUNDARY[action], context)
    assert world.may(capped, "dynamodb:GetItem", TABLE), "the boundary denies everything"


# GitHub

TOKENS = "token.actions.githubusercontent.com"
PROVIDER = f"{IAM}:oidc-provider/{TOKENS}"
PULL, PROD = "repo:us/payments:pull_request", "repo:us/payments:environment:prod"


@pytest.mark.parametrize(("role", "subject"), [(PLAN, PULL), (DEPLOY, PROD)], ids=("plan", "deploy"))
def test_only_one_repository_plans_and_only_one_of_its_environments_deploys(
    role: str, subject: str, world: World
) -> None:
    """https://docs.github.com/en/actions/security-for-github-actions/security-hardening-your-deployments/about-security-hardening-with-openid-connect"""
    right = {f"{TOKENS}:aud": "sts.amazonaws.com", f"{TOKENS}:sub": subject}
    assert world.may_assume_by_token(role, PROVIDER, right)
    wrong_subjects = {PULL, PROD} - {subject} | {
        subject.replace("us/payments", "us/payments-fork"),
        subject.replace("us/payments", "them/payments"),
        "repo:us/payments:ref:refs/heads/main",
        "repo:us/payments:environment:dev",
        f"{subject}2",
        # The subject of a repository that takes over an old name has ids.
        subject.replace("us/payments", "us@123/payments@456"),
    }
    for wrong_subject in wrong_subjects:
        assert not world.may_assume_by_token(role, PROVIDER, {**right, f"{TOKENS}:sub": wrong_subject}), wrong_subject
    for claim in right:
        assert not world.may_assume_by_token(role, PROVIDER, {k: v for k, v in right.items() if k != claim}), claim
    assert not world.may_assume_by_token(role, PROVIDER, {**right, f"{TOKENS}:aud": "https://github.com/us"})
    assert not world.may_assume_by_token(role, PROVIDER.replace(TOKENS, "gitlab.com"), right)
    assert not world.may_assume(role, foreign_role(ALL_RIGHTS), right)
