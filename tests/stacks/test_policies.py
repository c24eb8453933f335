"""The text of the policies: which wildcards they have and why, and how they are attached.

The exact statements are in statements.txt; what they allow is tested in test_access*.py.
"""

import re
from typing import Any

from stacks import settings
from stacks.wiring import to_pascal_case
from tests.emitted import load_template, resources
from tests.stacks.access import FUNCTIONS, World

# Statements on all resources. The Sid gives the reason: AWS has no resource for the action, or none with a known name.
UNRESTRICTED = {
    "WorkflowPolicy": {"LogDeliveryHasNoResource", "TracingHasNoResource"},
    "ReconciliationWorkflowPolicy": {"LogDeliveryHasNoResource", "TracingHasNoResource"},
    **{f"{title}Policy": {"TracingHasNoResource"} for title in FUNCTIONS},
    "TrafficShiftPolicy": {"AlarmsCannotBeDescribedByName"},
    **{
        f"Boundary{to_pascal_case(environment)}": {"LogDeliveryHasNoResource", "TracingHasNoResource"}
        for environment in (*settings.deployed_environments(), settings.LOCAL)
    },
    # Together, because their statements are packed into as few policies as possible.
    "ServicePolicies": {
        "AlarmsCannotBeDescribedByName", "CompositeAlarmsCannotBePutByName", "IndexPoliciesHaveNoResource",
        "ListsHaveNoResource", "LogDeliveryHasNoResource", "NewKeysCannotBeNamed", "SubscriptionsHaveNoResource",
        "VaultStorageHasNoResource",
    },
    "GitHubLook1Policy": {"AccountHasNoResource"},
    "GitHubPlanPolicy": {"AlarmsCannotBeDescribedByName"},
    "GitHubDeployPolicy": {"AlarmsCannotBeDescribedByName", "StackListsHaveNoResource"},
}  # fmt: skip
REASON = re.compile("(Has|Have)NoResource$|CannotBe[A-Z]")

# ARNs with a wildcard: of the platform's roles and the boundaries, the streams of a log group, which Lambda names.
STREAMS = {f"{title}Policy" for title in FUNCTIONS}
ENVIRONMENTS = "|".join(settings.deployed_environments())
# Of the roles that deploy: where AWS numbers versions, names streams, or derives a nested stack's name...
OF_ONE_RESOURCE = re.compile(
    r"(function:lambda-payment-\w+|layer:layer-stripe|log-group:/aws/(lambda/lambda|vendedlogs/states/sfn)-payment-\w+)"
    rf"-({ENVIRONMENTS}):\*|stack/payment-platform-({ENVIRONMENTS})(/|-)\*"
)
# ... and these, because AWS or the deployer generates the rest of the name.
GENERATED_NAMES = {
    "key/*": "a key is named by an id; each such statement has a condition",
    "secret:*": "the gateway's secret is the account's own, and named in the role's policy",
    "backup-plan:*": "a plan is named by an id",
    "stack/payment-artifacts/*": "a stack's ARN ends in an id",
    "changeSet/*": "a change set of a nested stack is named by CloudFormation",
    "payment-artifacts-123456789012-eu-central-1/payment-platform/*": "files are named by a digest of their content",
    "payment-artifacts-123456789012-eu-central-1/payment-plans/*": "so are the templates of plans",
}


def test_every_statement_on_all_resources_is_in_the_list(world: World) -> None:
    statements_of: dict[str, list[dict[str, Any]]] = {}
    for policy, statements in world.policies.items():
        statements_of.setdefault(re.sub(r"^Service\d+Policy$", "ServicePolicies", policy), []).extend(statements)
    sids_of = {
        policy: {statement["Sid"] for statement in statements if "*" in statement["Resource"]}
        for policy, statements in statements_of.items()
    }
    assert {policy: sids for policy, sids in sids_of.items() if sids} == UNRESTRICTED, (
        "a statement on all resources needs a reason: name its Sid in UNRESTRICTED of tests/stacks/test_policies.py, "
        "or name the resources in stacks/"
    )
    for policy, sids in UNRESTRICTED.items():
        for statement in statements_of[policy]:
            if statement["Sid"] in sids:
                assert REASON.search(statement["Sid"]), (policy, statement["Sid"])
                assert statement["Resource"] == ["*"], "its actions have no resource that could be named"


def test_every_wildcard_of_an_arn_is_in_the_list(world: World) -> None:
    for policy, statements in world.policies.items():
        for statement in statements:
            for resource in set(statement["Resource"]) - {"*"}:
                name = resource.split(":", 5)[5]
                if name == "key/*":
                    assert statement.get("Condition"), (policy, statement["Sid"])
                if "*" not in name or name in GENERATED_NAMES:
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


def test_only_denials_have_actions_with_wildcards(world: World) -> None:
    documents = [*world.policies.values(), *(policy["Statement"] for policy in world.resource_policies.values())]
    for statements in documents:
        for statement in statements:
            actions = statement["Action"] if isinstance(statement["Action"], list) else [statement["Action"]]
            assert statement["Effect"] == "Deny" or not any("*" in action for action in actions), statement["Sid"]
            assert not {"NotAction", "NotResource", "NotPrincipal"} & set(statement), statement["Sid"]


def test_no_resource_policy_allows_every_principal(world: World) -> None:
    for arn, policy in world.resource_policies.items():
        for statement in policy["Statement"]:
            if statement["Effect"] == "Allow":
                assert statement["Principal"] not in ("*", {"AWS": "*"}, {"AWS": ["*"]}), (arn, statement)


def test_every_statement_has_its_own_sid(world: World) -> None:
    documents = world.policies | {
        arn: policy["Statement"] for arn, policy in world.resource_policies.items() if ":lambda:" not in arn
    }
    for name, statements in documents.items():
        assert len({statement["Sid"] for statement in statements}) == len(statements), name


def test_every_statement_that_uses_keys_has_a_condition_of_kms(world: World) -> None:
    """What each condition does is tested in test_access_keys.py."""
    uses = {"kms:Decrypt", "kms:Encrypt", "kms:GenerateDataKey", "kms:CreateGrant", "kms:ReEncryptFrom"}
    for policy, statements in world.policies.items():
        for statement in statements:
            if uses & set(statement["Action"]):
                keys = {key for operator in statement.get("Condition", {}).values() for key in operator}
                assert any(key.startswith("kms:") for key in keys), (policy, statement["Sid"])


def test_every_policy_is_attached_by_the_role_itself(templates: dict[str, Any]) -> None:
    """A policy that is attached later leaves the role without it for a while."""
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
