"""The text of the policies: each action of each role, and each wildcard with its reason.

What the policies allow is tested in test_access.py, test_access_keys.py and test_access_deployers.py.
"""

import re
from typing import Any

import pytest

from tests.emitted import load_template, resources
from tests.stacks.access import World

# On everything, and why, which the Sid says: AWS has no resource for it, or none that can be named before.
UNRESTRICTED = {
    "WorkflowPolicy": {"LogDeliveryHasNoResource", "TracingHasNoResource"},
    "ValidationPolicy": {"TracingHasNoResource"},
    "ProcessingPolicy": {"TracingHasNoResource"},
    "ReconciliationPolicy": {"TracingHasNoResource"},
    **{
        f"Boundary{environment}": {"LogDeliveryHasNoResource", "TracingHasNoResource"}
        for environment in ("Dev", "Local", "Prod", "Staging")
    },
    "Service1Policy": {
        "AlarmsCannotBeDescribedByName", "CompositeAlarmsCannotBePutByName", "IndexPoliciesHaveNoResource",
        "ListsHaveNoResource", "LogDeliveryHasNoResource", "NewKeysCannotBeNamed", "SubscriptionsHaveNoResource",
        "VaultStorageHasNoResource",
    },
    "GitHubLook1Policy": {"AccountHasNoResource"},
    "GitHubPlanPolicy": {"AlarmsCannotBeDescribedByName"},
    "GitHubDeployPolicy": {"AlarmsCannotBeDescribedByName"},
}  # fmt: skip
REASON = re.compile("(Has|Have)NoResource$|CannotBe[A-Z]")

# Open at one place of an ARN. The roles of the platform, and the boundaries: the streams of a log group, whose names
# Lambda makes up.
STREAMS = {"ValidationPolicy", "ProcessingPolicy", "ReconciliationPolicy"}
# Who deploys: where AWS numbers versions, names streams, or makes a nested stack's name of its parent's...
OF_ONE_RESOURCE = re.compile(
    r"(function:lambda-payment-\w+|layer:layer-stripe|log-group:/aws/(lambda/lambda|vendedlogs/states/sfn)-payment-\w+)"
    r"-(dev|prod|staging):\*|stack/payment-platform-(dev|prod|staging)(/|-)\*"
)
# ... and at these, because AWS makes the rest of the name up, or the deployer does.
MADE_UP = {
    "key/*": "a key is named by an id; each such statement has a condition",
    "secret:*": "the gateway's secret is the account's own, and named in the role's policy",
    "backup-plan:*": "a plan is named by an id",
    "stack/payment-artifacts/*": "a stack's ARN ends in an id",
    "changeSet/*": "a change set of a nested stack is named by CloudFormation",
    "payment-artifacts-123456789012-eu-central-1/payment-platform/*": "files are named by what they hold",
    "payment-artifacts-123456789012-eu-central-1/payment-plans/*": "templates of plans, too",
}


def test_the_exact_list_of_what_is_allowed_on_everything(world: World) -> None:
    sids_of = {
        policy: {statement["Sid"] for statement in statements if "*" in statement["Resource"]}
        for policy, statements in world.policies.items()
    }
    assert {policy: sids for policy, sids in sids_of.items() if sids} == UNRESTRICTED
    for policy, sids in UNRESTRICTED.items():
        for statement in world.policies[policy]:
            if statement["Sid"] in sids:
                assert REASON.search(statement["Sid"]), (policy, statement["Sid"])
                assert statement["Resource"] == ["*"], "it stands alone: nothing that could be named is in it"


def test_the_exact_list_of_where_an_arn_is_open(world: World) -> None:
    for policy, statements in world.policies.items():
        for statement in statements:
            for resource in set(statement["Resource"]) - {"*"}:
                name = resource.split(":", 5)[5]
                if name == "key/*":
                    assert statement.get("Condition"), (policy, statement["Sid"])
                if "*" not in name or name in MADE_UP:
                    continue
                if policy in STREAMS:
                    function = policy.removesuffix("Policy").lower()
                    assert name == f"log-group:/aws/lambda/lambda-payment-{function}-prod:*"
                    assert statement["Sid"] == "LogStreamsAreNamedByLambda"
                elif policy.startswith("Boundary"):
                    function = policy.removeprefix("Boundary").lower()
                    assert re.fullmatch(rf"log-group:/aws/lambda/lambda-payment-\w+-{function}:\*", name), name
                else:
                    assert OF_ONE_RESOURCE.fullmatch(name), (policy, statement["Sid"], name)
                assert "*" not in resource.removesuffix(name), "partition, service, region and account are named"


def test_no_action_is_open_but_in_what_is_denied(world: World) -> None:
    documents = [*world.policies.values(), *(policy["Statement"] for policy in world.resource_policies.values())]
    for statements in documents:
        for statement in statements:
            actions = statement["Action"] if isinstance(statement["Action"], list) else [statement["Action"]]
            assert statement["Effect"] == "Deny" or not any("*" in action for action in actions), statement["Sid"]
            assert not {"NotAction", "NotResource", "NotPrincipal"} & set(statement), statement["Sid"]


def test_nobody_is_allowed_by_being_anybody(world: World) -> None:
    for arn, policy in world.resource_policies.items():
        for statement in policy["Statement"]:
            if statement["Effect"] == "Allow":
                assert statement["Principal"] not in ("*", {"AWS": "*"}, {"AWS": ["*"]}), (arn, statement)


def test_every_statement_says_what_it_is_for(world: World) -> None:
    documents = world.policies | {
        arn: policy["Statement"] for arn, policy in world.resource_policies.items() if ":lambda:" not in arn
    }
    for name, statements in documents.items():
        assert len({statement["Sid"] for statement in statements}) == len(statements), name


def test_every_use_of_a_key_is_under_a_condition(world: World) -> None:
    """Of all policies, those who deploy too; what each condition does is asked in test_access_keys.py."""
    uses = {"kms:Decrypt", "kms:Encrypt", "kms:GenerateDataKey", "kms:CreateGrant", "kms:ReEncryptFrom"}
    for policy, statements in world.policies.items():
        for statement in statements:
            if uses & set(statement["Action"]):
                keys = {key for operator in statement.get("Condition", {}).values() for key in operator}
                assert any(key.startswith("kms:") for key in keys), (policy, statement["Sid"])


FUNCTION_BASICS = {
    "AppendToLedger": ["dynamodb:PutItem"],
    "UseTableKeyThroughDynamoDB": ["kms:Decrypt"],
    "UseFunctionsKeyThroughLambda": ["kms:Decrypt"],
    "DeadLetterAsyncInvocations": ["sqs:SendMessage"],
    "UseQueueKeyThroughSQS": ["kms:Decrypt", "kms:GenerateDataKey"],
    "LogStreamsAreNamedByLambda": ["logs:CreateLogStream", "logs:PutLogEvents"],
    "TracingHasNoResource": ["xray:PutTraceSegments", "xray:PutTelemetryRecords"],
}
PUBLISH = {"PublishNotices": ["sns:Publish"], "UseTopicKeyThroughSNS": ["kms:Decrypt", "kms:GenerateDataKey"]}


# Of each policy, by Sid.
ALLOWED: dict[str, dict[str, list[str]]] = {
    "ValidationPolicy": {"RecordPayments": ["dynamodb:PutItem"], **FUNCTION_BASICS},
    "ProcessingPolicy": {"RecordPayments": ["dynamodb:GetItem", "dynamodb:PutItem"], **FUNCTION_BASICS},
    "ReconciliationPolicy": {
        "RecordPayments": ["dynamodb:BatchGetItem", "dynamodb:GetItem", "dynamodb:PutItem"],
        "FindOverduePayments": ["dynamodb:Query"],
        **PUBLISH,
        **FUNCTION_BASICS,
    },
    "GatewaySecretPolicy": {
        "ReadGatewaySecret": ["secretsmanager:GetSecretValue"],
        "UseSecretKeyThroughSecretsManager": ["kms:Decrypt"],
    },
    "WorkflowPolicy": {
        "InvokeLiveFunctions": ["lambda:InvokeFunction"],
        "DeadLetterPayments": ["sqs:SendMessage"],
        "UseQueueKeyThroughSQS": ["kms:Decrypt", "kms:GenerateDataKey"],
        **PUBLISH,
        # https://docs.aws.amazon.com/step-functions/latest/dg/cw-logs.html
        "LogDeliveryHasNoResource": [
            "logs:CreateLogDelivery", "logs:DeleteLogDelivery", "logs:DescribeLogGroups",
            "logs:DescribeResourcePolicies", "logs:GetLogDelivery", "logs:ListLogDeliveries", "logs:PutResourcePolicy",
            "logs:UpdateLogDelivery",
        ],
        "TracingHasNoResource": [
            "xray:GetSamplingRules", "xray:GetSamplingTargets", "xray:PutTelemetryRecords", "xray:PutTraceSegments",
        ],
    },
    "WorkflowKeyPolicy": {
        "UseWorkflowKeyForOwnExecutions": ["kms:Decrypt", "kms:GenerateDataKey"],
        "UseWorkflowKeyForLogDelivery": ["kms:GenerateDataKey"],
    },
    "BackupPolicy": {
        "BackUpTables": ["dynamodb:DescribeTable", "dynamodb:ListTagsOfResource", "dynamodb:StartAwsBackupJob"],
        "KeepInVault": ["backup:CopyIntoBackupVault", "backup:DescribeBackupVault"],
        "UseTableKeyThroughDynamoDB": ["kms:Decrypt", "kms:GenerateDataKey"],
        "UseVaultKeyThroughAWSBackup": ["kms:Decrypt", "kms:GenerateDataKey"],
        "FindVaultKey": ["kms:DescribeKey"],
    },
}  # fmt: skip


@pytest.mark.parametrize("policy", ALLOWED)
def test_a_role_of_the_platform_may_do_exactly_this(policy: str, world: World) -> None:
    assert {statement["Sid"]: statement["Action"] for statement in world.policies[policy]} == ALLOWED[policy]


def test_a_role_has_its_policies_from_its_first_moment(templates: dict[str, Any]) -> None:
    """Attached by the role itself: one that is attached later leaves the role without it for a while."""
    also = {
        "WorkflowRole": ["HasWorkflowKey", "WorkflowKeyPolicy"],
        "ProcessingRole": ["HasGatewaySecret", "GatewaySecretPolicy"],
        "ReconciliationRole": ["HasGatewaySecret", "GatewaySecretPolicy"],
    }
    for title, role in resources(templates["security"], "AWS::IAM::Role").items():
        first, *optional = role["Properties"]["ManagedPolicyArns"]
        assert first == {"Ref": title.replace("Role", "Policy")}
        condition = also.get(title)
        expected = [{"Fn::If": [condition[0], {"Ref": condition[1]}, {"Ref": "AWS::NoValue"}]}] if condition else []
        assert optional == expected, title
    for name in ("security", "artifacts"):
        assert not [r for r in resources(load_template(name)).values() if "Policies" in r.get("Properties", {})]


def test_the_gateways_secret_is_decrypted_only_where_a_key_is_named(templates: dict[str, Any]) -> None:
    conditions = templates["security"]["Conditions"]
    for name in ("GatewaySecret", "GatewaySecretKey"):
        assert conditions[f"Has{name}"] == {"Fn::Not": [{"Fn::Equals": [{"Ref": f"{name}Arn"}, ""]}]}
    policy = resources(templates["security"])["GatewaySecretPolicy"]
    assert policy["Condition"] == "HasGatewaySecret"
    condition, with_key, without = policy["Properties"]["PolicyDocument"]["Fn::If"]
    assert condition == "HasGatewaySecretKey"
    allow_read, decrypt = with_key["Statement"]
    assert without["Statement"] == [allow_read]
    assert allow_read["Resource"] == [{"Ref": "GatewaySecretArn"}]
    assert decrypt["Resource"] == [{"Ref": "GatewaySecretKeyArn"}]
